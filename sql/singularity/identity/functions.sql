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
'the authority knows of a later incarnation is restored. Where both go on, call reidentify() in the copy instead.';

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
    delete from singularity.batch;
    delete from singularity.delivery;
    delete from singularity.comparison;
    update singularity.identity i set
        instance_id = new_id, mark = singularity.database_mark(), server_start = pg_postmaster_start_time(),
        past_incarnations = i.past_incarnations || i.incarnation, incarnation = gen_random_uuid(), known_version = 0,
        restoring = false;
    update singularity.authority set welcomed_at = null, hello_sent_at = null, twin_at = null,
        session_id = gen_random_uuid();
    if singularity.get_setting('mode') <> 'local' then
        perform singularity.backfill(), singularity.ring_doorbell();
    end if;
    -- the database that this one is a copy of has the key too
    if exists (select from singularity.signing_key) then
        perform singularity.rotate_key(false);
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

create or replace function singularity.present_identity() returns singularity.identity
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    known singularity.identity := (select i from singularity.identity i);
    present_mark text := singularity.database_mark();
begin
    if known.instance_id is null then
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
is 'Whether the present incarnation is known to go on: since the start of the server the authority was asked, or it '
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

create or replace function singularity.confirm_identity(known_version bigint) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    me singularity.identity := singularity.present_identity();
    accounted bigint := greatest(me.known_version, (select max(d.offered_version) from singularity.delivery d));
begin
    perform singularity.raise_refusal(singularity.known_version_refusal(confirm_identity.known_version));
    if confirm_identity.known_version > (select s.last_value from singularity.version as s) then
        perform setval('singularity.version', confirm_identity.known_version);
    end if;
    update singularity.identity i set known_version = greatest(i.known_version, confirm_identity.known_version);
    if confirm_identity.known_version > accounted then
        -- numbers that this database never gave: it was restored from an earlier time
        perform singularity.begin_incarnation(confirm_identity.known_version, true);
    elsif not singularity.is_confirmed() and singularity.stream_is_passed() then
        if exists (select from singularity.delivery d where d.incarnation = me.incarnation) then
            perform singularity.begin_incarnation(0, false);
        else
            update singularity.identity set server_start = pg_postmaster_start_time();
            perform singularity.adopt_evidence();
        end if;
    end if;
end
$$;

comment on function singularity.confirm_identity(bigint)
is 'Decides, from the greatest version that the authority knows of this instance, whether the present incarnation goes on '
'or was restored and begins a new one. While messages are under way that the authority has not read, it decides nothing.';

create or replace function singularity.known_version_refusal(known_version bigint) returns singularity.refusal
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    counted constant bigint := (select s.last_value from singularity.version as s);
begin
    if known_version between 0 and singularity.most_known()
        and not singularity.is_leap(known_version, counted, 1099511627776) then
        return null;
    end if;
    return singularity.refuse('22023',
        format('the authority says that it knows version %s of this instance, which has counted to %s',
            coalesce(known_version::text, 'null'), counted),
        'At the authority SELECT centralcloud.repair_versions(), and see who speaks in this instance''s name.');
end
$$;

comment on function singularity.known_version_refusal(bigint)
is 'Why this instance does not go on above a version that the authority says it knows: no number, or further on than it can have '
'counted in a time that was lost; null when it does.';

create or replace function singularity.repair_versions() returns boolean
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    most constant bigint := singularity.most_known();
    counted constant bigint := (select s.last_value from singularity.version s);
    sound bigint;
    renumbered bigint;
begin
    if greatest(counted, (select i.known_version from singularity.identity i)) <= most then
        return false;
    end if;
    select coalesce(max(v.version), 1) into sound
    from (
        select max(h.version) from singularity.holding h where h.version <= most
        union all
        select max(e.version) from singularity.evidence e where e.version <= most
        union all
        select max(o.version) from singularity.outcome o where o.version <= most
        union all
        select max(d.offered_version) from singularity.delivery d where d.offered_version <= most
    ) as v (version);
    -- in the order in which they were given
    with given as (
        select h.version from singularity.holding h where h.version > most
        union
        select h.withdrawn_up_to from singularity.holding h where h.withdrawn_up_to > most
        union
        select e.version from singularity.evidence e where e.version > most
        union
        select o.version from singularity.outcome o where o.version > most
    ), numbered as (
        select g.version, sound + row_number() over (order by g.version) as new_version from given g
    ), holdings as (
        update singularity.holding h set
            version = n.new_version,
            withdrawn_up_to = coalesce(
                (select w.new_version from numbered w where w.version = h.withdrawn_up_to), h.withdrawn_up_to
            )
        from numbered n where n.version = h.version
    ), outcomes as (
        update singularity.outcome o set version = n.new_version from numbered n where n.version = o.version
    ), evidence as (
        update singularity.evidence e set version = n.new_version from numbered n where n.version = e.version
    )
    select max(n.new_version) into renumbered from numbered n;
    perform setval('singularity.version', coalesce(renumbered, sound));
    update singularity.identity i set known_version = least(i.known_version, sound);
    update singularity.document d set version = -1 where d.version > most;
    delete from singularity.delivery d
    where greatest(d.offered_version, d.confirmed_version, d.stored_version) > most;
    delete from singularity.outbox;
    delete from singularity.batch;
    update singularity.authority set welcomed_at = null, hello_sent_at = null;
    if singularity.get_setting('mode') <> 'local' then
        perform singularity.backfill(), singularity.ring_doorbell();
    end if;
    return true;
end
$$;

comment on function singularity.repair_versions()
is 'Mends a database of a version before 0.3 that was led to versions near the end of the numbers, so that learning failed: what '
'was numbered there gets numbers above the sound ones, in the same order, and is sent again. Returns whether anything was wrong. A '
'bridge that attaches calls it.';

create or replace function singularity.most_known() returns bigint
language sql immutable parallel safe
begin atomic
    select (singularity.greatest_number() + 1) / 2;
end;

comment on function singularity.most_known()
is 'The greatest version that an instance goes on above, 2^52: half of the numbers stay its own, however often it is led on.';

create or replace function singularity.begin_incarnation(known_version bigint, restoring boolean) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    me singularity.identity := singularity.present_identity();
    new_incarnation uuid := case when singularity.is_confirmed() then gen_random_uuid() else me.incarnation end;
begin
    update singularity.identity i set
        past_incarnations = i.past_incarnations || i.incarnation, incarnation = new_incarnation,
        server_start = pg_postmaster_start_time(), restoring = begin_incarnation.restoring;
    -- what happened since the restore goes on above what the authority knows
    with numbered as (
        select n.artifact_id, n.version, nextval('singularity.version') as new_version
        from (
            select h.artifact_id, h.version from singularity.holding h
            where h.incarnation = new_incarnation and h.version <= begin_incarnation.known_version
            order by h.version
        ) as n
    ), holdings as (
        update singularity.holding h set
            version = n.new_version,
            withdrawn_up_to = case when h.withdrawn_up_to = h.version then n.new_version else h.withdrawn_up_to end
        from numbered n
        where h.artifact_id = n.artifact_id and h.version = n.version
    )
    update singularity.outbox o set version = n.new_version, batch_id = null
    from numbered n
    where o.artifact_id = n.artifact_id and o.version = n.version and o.variant = '';
    update singularity.outcome o set version = nextval('singularity.version')
    where o.incarnation = new_incarnation and o.version <= begin_incarnation.known_version;
    update singularity.evidence e set version = nextval('singularity.version')
    where e.incarnation = new_incarnation and e.version <= begin_incarnation.known_version;
    perform singularity.adopt_evidence();
end
$$;

comment on function singularity.begin_incarnation(bigint, boolean)
is 'Begins a new incarnation: what was recorded provisionally belongs to it, numbered above what the authority knows.';

create or replace function singularity.adopt_evidence() returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    me singularity.identity := singularity.present_identity();
begin
    with provisional as (
        delete from singularity.evidence e
        where e.incarnation <> me.incarnation and e.incarnation <> all (me.past_incarnations)
        returning e.*
    ), summed as (
        select artifact_id, variant, shared, namespace, kind, name, sum(uses)::bigint as uses,
            sum(successes)::bigint as successes, sum(failures)::bigint as failures, max(last_used_at) as last_used_at
        from provisional
        group by artifact_id, variant, shared, namespace, kind, name
    ), adopted as (
        insert into singularity.evidence as e (
            artifact_id, variant, incarnation, shared, namespace, kind, name, uses, successes, failures, last_used_at,
            version
        )
        select
            artifact_id, variant, me.incarnation, shared, namespace, kind, name, uses, successes, failures,
            last_used_at,
            nextval('singularity.version')
        from summed
        on conflict (artifact_id, variant, incarnation, shared) do update set
            uses = e.uses + excluded.uses, successes = e.successes + excluded.successes,
            failures = e.failures + excluded.failures,
            last_used_at = greatest(e.last_used_at, excluded.last_used_at), version = excluded.version
        returning e.*
    )
    insert into singularity.outbox (version, artifact_id, variant, incarnation)
    select version, artifact_id, variant, incarnation from adopted
    where shared and singularity.get_setting('mode') <> 'local';
end
$$;

comment on function singularity.adopt_evidence()
is 'Adds counters that were kept apart since the start of the server to those of the present incarnation.';

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
