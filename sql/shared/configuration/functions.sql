create or replace function @extschema@.get_setting(name text) returns text
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    result text;
begin
    select s.value into result from @extschema@.setting s
    where s.name = get_setting.name and @extschema@.setting_fits(s.name, s.value);
    if not found then
        select d.default_value into result from @extschema@.setting_definitions() d where d.name = get_setting.name;
    end if;
    return result;
end
$$;

comment on function @extschema@.get_setting(text)
is 'Value of a setting as text; its default when it was not changed, or when the value does not fit any more; null for a name '
'that is no setting.';

create or replace function @extschema@.setting_fits(name text, value text) returns boolean
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    definition record;
    bounds text[];
    fits boolean := true;
begin
    select d.type, d.allowed into strict definition
    from @extschema@.setting_definitions() d where d.name = setting_fits.name;
    bounds := string_to_array(@extschema@.bounds_of(definition.type, definition.allowed), ' .. ');
    if bounds is null and definition.allowed is not null and setting_fits.value !~ definition.allowed then
        return false;
    end if;
    if definition.type = 'regconfig' then
        -- by its name, and it works: to_tsvector() fails where a dictionary does
        return setting_fits.value !~ '^[0-9]+$'
            and to_tsvector(setting_fits.value::regconfig, 'Some words') is not null;
    elsif bounds is not null then
        execute format(
            'select %1$L::%2$s between %3$L::%2$s and %4$L::%2$s',
            setting_fits.value, definition.type, bounds[1], bounds[2]
        ) into fits;
    elsif definition.type <> 'text' then
        execute format('select (%L::%s)::text is not null', setting_fits.value, definition.type) into fits;
    end if;
    return fits and coalesce(@extschema@.setting_is_usable(setting_fits.name, setting_fits.value), true);
-- what cannot be cast; what there is no such configuration, schema or right for
exception when data_exception or syntax_error_or_access_rule_violation or invalid_schema_name or feature_not_supported
    or program_limit_exceeded or object_not_in_prerequisite_state or config_file_error
then
    return false;
end
$$;

comment on function @extschema@.setting_fits(text, text)
is 'Whether a value can be cast to the type of a setting, matches its pattern or lies within its bounds, and can be worked with.';

create or replace function @extschema@.bounds_of(type text, allowed text) returns text
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$ select case when allowed like '% .. %' then allowed when type = 'interval' then '0 .. 10 years' end $$;

comment on function @extschema@.bounds_of(text, text)
is 'The least and the greatest value of a setting, as "least .. greatest"; null where it has a pattern or nothing.';

create or replace function @extschema@.setting_trouble() returns text
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select format(
        'Settings have values that do not fit, so their defaults are in force (%s): SELECT '
        '@extension@.configure(settings => %L) or give others.',
        string_agg(format('%s is %L', s.name, left(s.value, 60)), ', ' order by s.name),
        jsonb_object_agg(s.name, null)
    )
    from @extschema@.setting as s
    inner join @extschema@.setting_definitions() as d on s.name = d.name
    where not @extschema@.setting_fits(s.name, s.value)
    having count(*) > 0
$$;

comment on function @extschema@.setting_trouble()
is 'A sentence about settings whose values have gone bad (a text search configuration that was dropped, or set under other '
'bounds in an older release); null when there are none.';

create or replace function @extschema@.change_settings(settings jsonb) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    changed record;
    definition record;
begin
    if jsonb_typeof(settings) <> 'object' then
        raise exception using errcode = 'invalid_parameter_value',
            message = format('settings must be a JSON object, not %s', jsonb_typeof(settings)),
            hint = 'Write for example {"answer_ttl": "2 hours"}.';
    end if;
    for changed in select e.key, e.value from jsonb_each_text(settings) e loop
        select d.* into definition from @extschema@.setting_definitions() d where d.name = changed.key;
        if not found then
            raise exception using errcode = 'invalid_parameter_value',
                message = format('there is no setting %L', @extschema@.printable(changed.key)),
                hint = format('Settings are: %s.',
                    (select string_agg(d.name, ', ' order by d.name) from @extschema@.setting_definitions() d));
        end if;
        if changed.value is null then
            delete from @extschema@.setting s where s.name = changed.key;
            continue;
        end if;
        perform @extschema@.check_setting(changed.key, changed.value, definition.type, definition.allowed);
        insert into @extschema@.setting as s (name, value) values (changed.key, changed.value)
        on conflict (name) do update set value = excluded.value, changed_at = now()
        where s.value <> excluded.value;
    end loop;
end
$$;

comment on function @extschema@.change_settings(jsonb)
is 'Changes settings from a JSON object of names and values; null puts a setting back to its default. '
'Errors: 22023 for an unknown name or a value that does not fit.';

create or replace function @extschema@.check_setting(name text, value text, type text, allowed text) returns void
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    fits boolean := @extschema@.setting_fits(name, value);
begin
    if fits and type = 'regconfig' then
        -- not with more rights than who sets it has
        select has_schema_privilege(session_user, c.cfgnamespace, 'usage') into fits
        from pg_ts_config c where c.oid = value::regconfig;
    end if;
    if not fits then
        raise exception using errcode = 'invalid_parameter_value',
            message = format('%L does not fit the setting %s', @extschema@.printable(value), name),
            hint = format('It is of type %s%s.', type, coalesce(
                ', from ' || replace(@extschema@.bounds_of(type, allowed), ' .. ', ' to '),
                ' and must match ' || allowed
            ));
    end if;
end
$$;

comment on function @extschema@.check_setting(text, text, text, text)
is 'Raises 22023 when a value does not fit its setting, see setting_fits(), or names a configuration that this login may not use.';

create or replace view @extschema@.configuration as
select
    d.name,
    @extschema@.get_setting(d.name) as value,
    d.default_value,
    d.type,
    d.description,
    s.changed_at
from @extschema@.setting_definitions() as d
left join @extschema@.setting as s on d.name = s.name;

comment on view @extschema@.configuration is 'Every setting with its present value, default, type and meaning.';
comment on column @extschema@.configuration.name is 'Name of the setting.';
comment on column @extschema@.configuration.value is 'The value in force.';
comment on column @extschema@.configuration.default_value is 'The value in force when it is not changed.';
comment on column @extschema@.configuration.type is 'The SQL type that the value is cast to.';
comment on column @extschema@.configuration.description is 'What the setting does, with its unit.';
comment on column @extschema@.configuration.changed_at is 'When it was changed; null when it is the default.';
