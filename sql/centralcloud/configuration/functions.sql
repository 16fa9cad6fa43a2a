create or replace function centralcloud.configure(settings jsonb) returns void
language sql security definer
set search_path = pg_catalog, pg_temp
as $$
    select centralcloud.change_settings(configure.settings);
    select centralcloud.check_scoring();
$$;

comment on function centralcloud.configure(jsonb)
is 'Changes settings from a JSON object of names and values; null puts one back to its default. See the view '
'centralcloud.configuration. Errors: 22023 for an unknown setting or a value that does not fit.';

create or replace function centralcloud.check_scoring() returns void
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    checked text;
    fits boolean;
begin
    -- a setting that cannot be computed with would stop every contribution
    foreach checked in array array[
        'group_cap', 'half_life', 'scored_as_of', 'environment_weights', 'level_thresholds', 'hostile_share',
        'new_group_trust'
    ] loop
        begin
            fits := centralcloud.fits_scoring(checked, centralcloud.get_setting(checked));
        exception when data_exception then
            fits := false;
        end;
        if not fits then
            raise exception using errcode = 'invalid_parameter_value',
                message = format('%L does not fit the setting %s', centralcloud.get_setting(checked), checked),
                hint = 'See its default and description in centralcloud.configuration.';
        end if;
    end loop;
end
$$;

comment on function centralcloud.check_scoring() is 'Raises 22023 when scores cannot be computed with the settings.';

create or replace function centralcloud.fits_scoring(name text, value text) returns boolean
language sql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
    select case name
        when 'group_cap' then value::double precision > 0 and value::double precision <= 1e9
        when 'hostile_share' then value::double precision between 0 and 0.5
        when 'new_group_trust' then value::double precision > 0 and value::double precision <= 1
        when 'half_life' then value::interval >= interval '1 second'
        when 'scored_as_of' then coalesce(isfinite(value::timestamptz), true)
        when 'environment_weights' then (
            select coalesce(bool_and(coalesce(w.value::double precision between 0 and 1000, false)), true)
            from jsonb_each_text(value::jsonb) as w
        )
        when 'level_thresholds' then (
            select coalesce(bool_and(
                t.key::centralcloud.level between 'low' and 'very_high'
                and coalesce((t.value ->> 'groups')::bigint >= 1, false)
                and coalesce((t.value ->> 'confidence')::double precision between 0 and 1, false)
            ), true)
            from jsonb_each(value::jsonb) as t
        )
    end
$$;

comment on function centralcloud.fits_scoring(text, text)
is 'Whether scores can be computed with a setting; raises an error of class 22 for one that cannot even be read.';

create or replace function centralcloud.setting_definitions()
returns table (name text, type text, default_value text, allowed text, description text)
language sql immutable parallel safe
begin atomic
    select *
    from (
        values
        ('subject_prefix', 'text', 'singularity', '^[a-z0-9_-]+$', 'First token of every NATS subject and name.'),
        (
            'stream_max_bytes', 'bigint', '1073741824', '^[1-9][0-9]*$',
            'Limit of the contribution stream in bytes; a full stream reads as being offline.'
        ),
        (
            'group_cap', 'double precision', centralcloud.default_group_cap()::text, null,
            'Outcomes of one group that count for a variant, so that none outvotes the others.'
        ),
        (
            'hostile_share', 'double precision', '0.2', null,
            'Share of a namespace''s active groups, 0 to 0.5, that may be hostile: so many voices are left out at '
            'either end. 0 for a team that knows its members.'
        ),
        (
            'new_group_trust', 'double precision', '0.6', null,
            'Weight of a group of which nothing is known yet, above 0 to 1; see centralcloud.reputation.'
        ),
        (
            'environment_weights', 'jsonb', '{"prod": 1, "dev": 1, "ci": 0.5, "test": 0.5}', null,
            'Weight of an outcome by the environment of its instance.'
        ),
        ('half_life', 'interval', '180 days', null, 'After how long without use an outcome counts half.'),
        (
            'level_thresholds', 'jsonb',
            '{"very_high": {"confidence": 0.9, "groups": 5}, "high": {"confidence": 0.8, "groups": 3}, '
            '"medium": {"confidence": 0.7, "groups": 2}}', null,
            'Confidence and number of independent groups that each level needs.'
        ),
        (
            'scored_as_of', 'timestamp with time zone', null, null,
            'The day for which scores are computed; moved on once a day by the bridge, or by rescore().'
        ),
        (
            'search_configuration', 'regconfig', 'english', null,
            'Text search configuration of the words; CALL reembed() after a change.'
        ),
        (
            'search_candidates', 'integer', '1000', '^[1-9][0-9]{2,6}$',
            'About how many documents with words of a query are scored; more costs time.'
        ),
        (
            'answer_relevance', 'double precision', '0.3', null,
            'Relevance, 0 to 1, from which a row belongs into an answer.'
        ),
        (
            'twin_grace', 'interval', '30 seconds', null,
            'How late a message of a bridge may come after its successor''s before it is taken for a twin''s.'
        ),
        ('answer_rows', 'integer', '10', '^[1-9][0-9]{0,2}$', 'Greatest number of artifacts in an answer.')
    ) as d (name, type, default_value, allowed, description);
end;

comment on function centralcloud.setting_definitions()
is 'The settings that there are, with type, default, the pattern that a value must match and meaning.';
