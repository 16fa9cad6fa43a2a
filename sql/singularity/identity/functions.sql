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

create or replace function singularity.database_mark() returns text
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select concat_ws('/', c.system_identifier, d.oid, e.oid)
    from pg_control_system() as c, pg_database as d, pg_extension as e
    where d.datname = current_database() and e.extname = 'singularity'
$$;

comment on function singularity.database_mark()
is 'What tells this database from its copies: system identifier, oid of the database, oid of the extension in it.';

create or replace function singularity.uuid_from(value text) returns uuid
language sql immutable strict parallel safe
set search_path = pg_catalog, pg_temp
as $$ select left(encode(sha256(convert_to(value, 'UTF8')), 'hex'), 32)::uuid $$;

comment on function singularity.uuid_from(text) is 'A UUID from the sha-256 of a text.';

create or replace function singularity.present_identity() returns singularity.identity
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    known singularity.identity;
    mark text := singularity.database_mark();
begin
    select i.* into known from singularity.identity i;
    if not found then
        known.instance_id := singularity.uuid_from('instance ' || mark);
    end if;
    -- a restored dump has another mark: its next outcomes count in an incarnation of their own
    if known.mark is distinct from mark then
        known.incarnation := singularity.uuid_from('incarnation ' || mark);
    end if;
    known.mark := mark;
    return known;
end
$$;

comment on function singularity.present_identity()
is 'Instance and incarnation of this database. Both follow from its mark until connect() writes them down, so that no '
'session ever waits for another one to do so.';

create or replace function singularity.keep_present_identity() returns void
language sql security definer
set search_path = pg_catalog, pg_temp
as $$
    insert into singularity.identity as i (instance_id, mark, incarnation)
    select p.instance_id, p.mark, p.incarnation from singularity.present_identity() as p
    on conflict (only_row) do update set mark = excluded.mark, incarnation = excluded.incarnation
    where i.mark <> excluded.mark;
$$;

comment on function singularity.keep_present_identity() is 'Writes the identity of this database down.';

create or replace function singularity.instance_name() returns text
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select coalesce(
        singularity.get_setting('instance_name'),
        'instance-' || left((singularity.present_identity()).instance_id::text, 8)
    )
$$;

comment on function singularity.instance_name() is 'Name of this instance: the setting, or one made from its id.';

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
    perform singularity.change_settings(changes);
end
$$;

comment on function singularity.configure(text, text, jsonb)
is 'Changes the name of this instance, its environment (dev, test, ci, prod) or other settings, given as a JSON object; '
'arguments left out stay as they are. See the view singularity.configuration. Errors: 22023 for an unknown setting or '
'a value that does not fit.';
