create or replace function centralcloud.setting_definitions()
returns table (name text, type text, default_value text, allowed text, description text)
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
    values
    ('subject_prefix', 'text', 'singularity', '^[a-z0-9_-]+$', 'First token of every NATS subject and name.'),
    ('stream_max_bytes', 'bigint', '1073741824', '^[1-9][0-9]*$',
        'Limit of the contribution stream in bytes; a full stream reads as being offline.'),
    ('group_cap', 'double precision', '20', null,
        'Outcomes of one group that count for a variant, so that none outvotes the others.'),
    ('environment_weights', 'jsonb', '{"prod": 1, "dev": 1, "ci": 0.5, "test": 0.5}', null,
        'Weight of an outcome by the environment of its instance.'),
    ('half_life', 'interval', '180 days', null, 'After how long without use an outcome counts half.'),
    ('level_thresholds', 'jsonb',
        '{"very_high": {"confidence": 0.9, "groups": 5}, "high": {"confidence": 0.8, "groups": 3}, '
        '"medium": {"confidence": 0.7, "groups": 2}}', null,
        'Confidence and number of independent groups that each level needs.'),
    ('scored_as_of', 'timestamp with time zone', null, null,
        'The day for which scores are computed; moved on once a day by the bridge, or by rescore().'),
    ('answer_relevance', 'double precision', '0.3', null, 'Relevance, 0 to 1, from which a row belongs into an answer.'),
    ('answer_rows', 'integer', '10', '^[1-9][0-9]{0,2}$', 'Greatest number of artifacts in an answer.')
$$;

comment on function centralcloud.setting_definitions()
is 'The settings that there are, with type, default, the pattern that a value must match and meaning.';

create or replace function centralcloud.configure(settings jsonb) returns void
language sql security definer
set search_path = pg_catalog, pg_temp
as $$ select centralcloud.change_settings(configure.settings) $$;

comment on function centralcloud.configure(jsonb)
is 'Changes settings from a JSON object of names and values; null puts one back to its default. See the view '
'centralcloud.configuration. Errors: 22023 for an unknown setting or a value that does not fit.';
