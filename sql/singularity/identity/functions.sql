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
    present_mark text := singularity.database_mark();
begin
    select i.* into known from singularity.identity i;
    if not found then
        known.instance_id := singularity.uuid_from('instance ' || present_mark);
        known.incarnation := singularity.uuid_from('incarnation ' || present_mark);
        known.past_incarnations := '{}';
        known.mark := present_mark;
        known.server_start := pg_postmaster_start_time();
    elsif known.mark <> present_mark or known.server_start is distinct from pg_postmaster_start_time() then
        -- perhaps restored from an earlier time: until the authority has said, what happens is kept apart
        known.incarnation := singularity.uuid_from(
            concat_ws(' ', 'incarnation', present_mark, extract(epoch from pg_postmaster_start_time())));
    end if;
    return known;
end
$$;

comment on function singularity.present_identity()
is 'Instance and incarnation of this database. Both follow from its mark until connect() writes them down, so that no '
'session ever waits for another one to do so. After a start of the server the incarnation is a provisional one until the '
'authority has confirmed that it knows nothing later of this instance.';

create or replace function singularity.is_confirmed() returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select coalesce((
        select i.mark = singularity.database_mark() and i.server_start is not distinct from pg_postmaster_start_time()
        from singularity.identity as i
    ), true)
$$;

comment on function singularity.is_confirmed()
is 'Whether this database is known to go on with its life: since the start of the server the authority was asked, or it '
'never was connected.';

create or replace function singularity.is_unclear() returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$ select exists (select from singularity.identity as i where i.mark <> singularity.database_mark()) $$;

comment on function singularity.is_unclear()
is 'Whether this database may be the twin of another one: it was restored or copied, and nobody has said yet which of the '
'two it is, see keep_identity() and reidentify().';

create or replace function singularity.keep_present_identity() returns void
language sql security definer
set search_path = pg_catalog, pg_temp
as $$
    insert into singularity.identity (instance_id, mark, incarnation, past_incarnations, server_start)
    select
        p.instance_id, p.mark, p.incarnation,
        array(
            select e.incarnation from singularity.evidence as e where e.incarnation <> p.incarnation
            union
            select o.incarnation from singularity.outcome as o where o.incarnation <> p.incarnation
        ),
        p.server_start
    from singularity.present_identity() as p
    on conflict (only_row) do nothing;
$$;

comment on function singularity.keep_present_identity() is 'Writes the identity of this database down, once.';

create or replace procedure singularity.keep_identity()
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    update singularity.identity set mark = singularity.database_mark(), server_start = null
    where mark <> singularity.database_mark();
    if found then
        perform singularity.ring_doorbell();
    else
        raise notice 'this database is known to be %, nothing is to be decided', singularity.instance_name();
    end if;
end
$$;

comment on procedure singularity.keep_identity()
is 'Says of a restored database that it goes on as the instance it was: the database that it was dumped from is gone. What '
'the authority knows of a later life is taken back. Where both go on, call reidentify() in the copy instead.';

create or replace function singularity.reidentify() returns uuid
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    new_id uuid := gen_random_uuid();
begin
    perform singularity.keep_present_identity();
    -- what was counted before is the other one's to tell
    perform singularity.make_evidence_private(array(select distinct e.artifact_id from singularity.evidence e), null);
    update singularity.outcome set shared = false where shared;
    delete from singularity.outbox;
    delete from singularity.shipment;
    delete from singularity.delivery;
    delete from singularity.comparison;
    update singularity.identity i set
        instance_id = new_id, mark = singularity.database_mark(), server_start = pg_postmaster_start_time(),
        past_incarnations = i.past_incarnations || i.incarnation, incarnation = gen_random_uuid(), known_version = 0,
        restoring = false;
    update singularity.authority set welcomed_at = null, hello_sent_at = null, twin_at = null, session_id = gen_random_uuid();
    if singularity.get_setting('mode') <> 'local' then
        perform singularity.backfill(), singularity.ring_doorbell();
    end if;
    return new_id;
end
$$;

comment on function singularity.reidentify()
is 'Says of a copied database that it is another instance from now on, and returns its new id. What it holds it shares in '
'its own name; outcomes that were recorded before count here only, since the original tells them.';

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
