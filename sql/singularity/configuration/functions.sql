create or replace function singularity.configure(
    instance_name text default null, environment text default null, settings jsonb default '{}'
) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    changes jsonb := coalesce(configure.settings, '{}') || jsonb_strip_nulls(jsonb_build_object(
        'instance_name', configure.instance_name, 'environment', configure.environment));
begin
    if changes ? 'mode' then
        raise exception using errcode = 'invalid_parameter_value',
            message = 'the mode is not changed by configure()',
            hint = 'Call singularity.connect(mode) or singularity.disconnect().';
    end if;
    perform singularity.raise_refusal(singularity.hidden_refusal(changes ->> 'instance_name', 'instance_name')),
        singularity.change_settings(changes);
end
$$;

comment on function singularity.configure(text, text, jsonb)
is 'Changes the name of this instance, its environment (dev, test, ci, prod) or other settings, given as a JSON object; '
'arguments left out stay as they are. See the view singularity.configuration. Errors: 22023 for an unknown setting or '
'a value that does not fit.';

create or replace function singularity.setting_definitions()
returns table (name text, type text, default_value text, allowed text, description text)
language sql immutable parallel safe
begin atomic
    select *
    from (
        values
        ('mode', 'text', 'local', '^(local|hybrid|central)$', 'Changed by connect() and disconnect().'),
        ('instance_name', 'text', null, '^\S(.{0,98}\S)?$', 'Name of this instance, for people; default: from its id.'),
        (
            'environment', 'text', 'dev', '^(dev|test|ci|prod)$',
            'Environment of this instance; the authority weights by it.'
        ),
        ('subject_prefix', 'text', 'singularity', '^[a-z0-9_-]+$', 'First token of every NATS subject and name.'),
        (
            'reconcile_every', 'interval', '10 minutes', null,
            'How often the bridge compares with the authority what both have.'
        ),
        ('answer_ttl', 'interval', '1 hour', null, 'How long a central copy or an answer is fresh.'),
        ('negative_ttl', 'interval', '5 minutes', null, 'How long "the authority knows nothing" is remembered.'),
        ('question_ttl', 'interval', '1 hour', null, 'How long a question without an answer stays open.'),
        (
            'search_configuration', 'regconfig', 'english', null,
            'Text search configuration of the words; CALL reembed() after a change.'
        ),
        (
            'search_candidates', 'integer', '1000', '^[1-9][0-9]{2,6}$',
            'About how many documents with words of a query are scored; more costs time.'
        ),
        (
            'good_relevance', 'double precision', '0.4', '^(0?\.[0-9]+|[01](\.0*)?)$',
            'Relevance, 0 to 1, from which a row is a good answer; a recall without one makes a question.'
        )
    ) as d (name, type, default_value, allowed, description);
end;

comment on function singularity.setting_definitions()
is 'The settings that there are, with type, default, the pattern that a value must match and meaning.';
