create or replace function centralcloud.configure(settings jsonb) returns void
language sql security definer
set search_path = pg_catalog, pg_temp
as $$
    select centralcloud.change_settings(configure.settings);
$$;

comment on function centralcloud.configure(jsonb)
is 'Changes settings from a JSON object of names and values; null puts one back to its default. See the view '
'centralcloud.configuration. Errors: 22023 for an unknown setting or a value that does not fit.';

create or replace function centralcloud.setting_is_usable(name text, value text) returns boolean
language sql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
    select case name
        when 'group_cap' then value::double precision > 0 and value::double precision <= 1e9
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

comment on function centralcloud.setting_is_usable(text, text)
is 'Whether scores can be computed with a setting, null for one that they do not need; raises an error of class 22 for one '
'that cannot even be read.';

create or replace function centralcloud.setting_definitions()
returns table (name text, type text, default_value text, allowed text, description text)
language sql immutable parallel safe
begin atomic
    select *
    from (
        values
        ('subject_prefix', 'text', 'singularity', '^[a-z0-9_-]{1,64}$', 'First token of every NATS subject and name.'),
        (
            'stream_max_bytes', 'bigint', '1073741824', '1 .. 1152921504606846976',
            'Limit of the contribution stream in bytes; a full stream reads as being offline.'
        ),
        (
            'group_cap', 'double precision', centralcloud.default_group_cap()::text, null,
            'Outcomes of one group that count for a variant, so that none outvotes the others.'
        ),
        (
            'hostile_share', 'double precision', '0.2', '0 .. 0.5',
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
        (
            'half_life', 'interval', '180 days', '1 second .. 1000000 years',
            'After how long without use an outcome counts half.'
        ),
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
            'search_candidates', 'integer', '1000', '100 .. 9999999',
            'About how many documents with words of a query are scored; more costs time.'
        ),
        (
            'answer_relevance', 'double precision', '0.3', '0 .. 1',
            'Relevance, 0 to 1, from which a row belongs into an answer.'
        ),
        (
            'twin_grace', 'interval', '30 seconds', null,
            'How late a message of a bridge may come after its successor''s before it is taken for a twin''s.'
        ),
        (
            'enrolment', 'text', null, '^(open|required)$',
            'Whether the key of an unknown instance is taken from its first message (open), or only enroll() makes it '
            'known (required); default: open while the NATS server is on this machine, else required.'
        ),
        (
            'unsigned_messages', 'text', 'refuse', '^(refuse|accept)$',
            'Whether instances of which no key is known may speak unsigned, as versions before 0.3 do: for an upgrade.'
        ),
        (
            'default_access', 'text', 'all', '^(all|none)$',
            'What a group of instances may read and contribute of which grant_access() says nothing: all or none.'
        ),
        (
            'credential', 'text', null, '^U[A-Z2-7]{55}( U[A-Z2-7]{55})?$',
            'Public nkey of the NATS user that the authority speaks by; two with a blank between while it is changed.'
        ),
        (
            'quota_artifacts', 'bigint', '100000', '0 .. 999999999999999',
            'Artifacts that an instance may speak of; see set_quota() for a single one.'
        ),
        (
            'quota_topics', 'bigint', '10000', '0 .. 999999999999999',
            'Topics (namespace and kind) that an instance may speak of.'
        ),
        (
            'quota_bytes', 'bigint', '1073741824', '0 .. 999999999999999',
            'Bytes that the states of an instance may take: contents, summaries, tags, 200 for each row.'
        ),
        (
            'requests_per_minute', 'bigint', '600', '1 .. 999999999',
            'Requests that an instance may make in a minute; more get error 429.'
        ),
        (
            'records_per_minute', 'bigint', '60000', '1 .. 999999999',
            'Records that an instance may send in a minute; more wait.'
        ),
        (
            'stream_messages', 'integer', '256', '1 .. 9999999',
            'Messages of one instance that the contribution stream holds; more read as being offline.'
        ),
        (
            'request_timeout', 'integer', '5', '1 .. 999',
            'Seconds that a request may take before it ends with an error.'
        ),
        ('answer_rows', 'integer', '10', '1 .. 999', 'Greatest number of artifacts in an answer.')
    ) as d (name, type, default_value, allowed, description);
end;

comment on function centralcloud.setting_definitions()
is 'The settings that there are, with type, default, what is allowed (a pattern, or "least .. greatest"; intervals without one '
'reach from 0 to 10 years) and meaning.';
