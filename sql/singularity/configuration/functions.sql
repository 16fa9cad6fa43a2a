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
    perform singularity.raise_refusal(singularity.hidden_refusal(changes ->> 'instance_name', 'instance_name'));
    perform singularity.change_settings(changes);
    if changes ? 'default_sharing' then
        perform singularity.apply_policies(array(select distinct h.artifact_id from singularity.holding as h));
    end if;
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
        (
            'default_sharing', 'text', 'shared', '^(shared|private|review)$',
            'Policy of namespaces of which share() said nothing, and of questions about none: shared, private, review.'
        ),
        ('subject_prefix', 'text', 'singularity', '^[a-z0-9_-]{1,64}$', 'First token of every NATS subject and name.'),
        (
            'reconcile_every', 'interval', '10 minutes', null,
            'How often the bridge compares with the authority what both have.'
        ),
        (
            'unsigned_messages', 'text', 'refuse', '^(refuse|accept)$',
            'Whether an authority of which no key is known may speak unsigned, as versions before 0.3 do: for an '
            'upgrade.'
        ),
        ('answer_ttl', 'interval', '1 hour', null, 'How long a central copy or an answer is fresh.'),
        ('negative_ttl', 'interval', '5 minutes', null, 'How long "the authority knows nothing" is remembered.'),
        ('question_ttl', 'interval', '1 hour', null, 'How long a question without an answer stays open.'),
        (
            'max_open_questions', 'integer', '10000', '10 .. 1000000',
            'Greatest number of questions without an answer; one login may have a tenth of them.'
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
            'good_relevance', 'double precision', '0.4', '0 .. 1',
            'Relevance, 0 to 1, from which a row is a good answer; a recall without one makes a question.'
        )
    ) as d (name, type, default_value, allowed, description);
end;

comment on function singularity.setting_definitions()
is 'The settings that there are, with type, default, what is allowed (a pattern, or "least .. greatest"; intervals without one '
'reach from 0 to 10 years) and meaning.';

create or replace function singularity.setting_is_usable(name text, value text) returns boolean
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$ select null::boolean $$;

comment on function singularity.setting_is_usable(text, text)
is 'Whether a setting can be worked with beyond what its definition says: null, an instance needs no more.';
