create or replace function @extschema@.get_setting(name text) returns text
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    result text;
begin
    select s.value into result from @extschema@.setting s where s.name = get_setting.name;
    if not found then
        select d.default_value into result from @extschema@.setting_definitions() d where d.name = get_setting.name;
    end if;
    return result;
end
$$;

comment on function @extschema@.get_setting(text)
is 'Value of a setting as text, or its default when it was not changed; null for a name that is no setting.';

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
    fits boolean;
begin
    begin
        execute format('select (%L::%s)::text is not null', value, type) into fits;
    exception when data_exception or undefined_object then
        fits := false;
    end;
    if fits and type = 'interval' then
        fits := value::interval >= interval '0';
    end if;
    if fits and allowed is not null then
        fits := value ~ allowed;
    end if;
    if not fits then
        raise exception using errcode = 'invalid_parameter_value',
            message = format('%L does not fit the setting %s', @extschema@.printable(value), name),
            hint = format('It is of type %s%s.', type, case
                when allowed is not null then ' and must match ' || allowed
                when type = 'interval' then ' and not negative'
            end);
    end if;
end
$$;

comment on function @extschema@.check_setting(text, text, text, text)
is 'Raises 22023 when a value cannot be cast to the type of its setting, is a negative interval or does not match its '
'pattern.';

create or replace view @extschema@.configuration as
select
    d.name,
    coalesce(s.value, d.default_value) as value,
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
