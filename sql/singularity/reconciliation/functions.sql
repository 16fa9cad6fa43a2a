-- Anti-entropy: the instance compares digests of ranges with the authority, divides what differs, mends what is left.

create or replace function singularity.digest(prefix text default '') returns table (entries bigint, digest text)
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select
        count(*),
        to_hex(coalesce(bit_xor(
            singularity.state_hash(d.artifact_id::text, d.variant, d.incarnation::text, d.stored_version::text)
        ), 0))
    from singularity.delivery as d
    where d.stored_version > 0
        and d.artifact_id between singularity.range_start(digest.prefix) and singularity.range_end(digest.prefix)
$$;

comment on function singularity.digest(text)
is 'What the authority is taken to have of this instance, in a range of artifact ids (first hex digits; default: all): '
'number of states, and a digest that is equal to centralcloud.digest() where it has exactly these versions.';

create or replace function singularity.topic_digest(topic text, prefix text) returns table (entries bigint, digest text)
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select count(*), to_hex(coalesce(bit_xor(singularity.state_hash(c.artifact_id::text, c.revision::text)), 0))
    from singularity.central_copy as c
    where c.namespace = split_part(topic_digest.topic, '/', 1) and c.kind = split_part(topic_digest.topic, '/', 2)
        and not c.unknown
        and c.artifact_id between singularity.range_start(topic_digest.prefix) and singularity.range_end(topic_digest.prefix)
$$;

comment on function singularity.topic_digest(text, text) is 'Number and digest of the copies of a topic in a range.';

create or replace function singularity.forgotten_in(topic text, prefix text) returns jsonb
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select jsonb_agg(h.artifact_id)
    from singularity.holding as h
    where h.variant is null
        and h.namespace = split_part(forgotten_in.topic, '/', 1) and h.kind = split_part(forgotten_in.topic, '/', 2)
        and h.artifact_id between singularity.range_start(forgotten_in.prefix) and singularity.range_end(forgotten_in.prefix)
        and not exists (
            select from singularity.holding as newer
            where newer.artifact_id = h.artifact_id and newer.version > h.version
        )
$$;

comment on function singularity.forgotten_in(text, text)
is 'Artifacts of a topic that were forgotten here, so that no copy is wanted; null for none.';

create or replace function singularity.want_comparison() returns void
language sql security definer
set search_path = pg_catalog, pg_temp
as $$
    insert into singularity.reconciliation as r (wanted_at) values (clock_timestamp())
    on conflict (only_row) do update set wanted_at = excluded.wanted_at;
$$;

comment on function singularity.want_comparison() is 'Asks for a comparison as soon as there is nothing under way.';

create or replace function singularity.begin_comparison() returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    every interval := singularity.get_setting('reconcile_every')::interval;
    restoring boolean := coalesce((select i.restoring from singularity.identity i), false);
begin
    if not singularity.is_online() or exists (select from singularity.comparison)
        or exists (select from singularity.authority a where a.welcomed_at is null)
        or exists (
            select from singularity.reconciliation r
            where coalesce(r.wanted_at <= r.started_at, true) and not singularity.is_over(r.finished_at, every)
        )
        -- what is under way differs, but is no difference; in the end it is compared all the same
        or not restoring and exists (select from singularity.outbox) and exists (
            select from singularity.reconciliation r where not singularity.is_over(r.finished_at, 6 * every)
        )
    then
        return;
    end if;
    insert into singularity.reconciliation as r (started_at) values (clock_timestamp())
    on conflict (only_row) do update set started_at = excluded.started_at, sent_again = 0, taken_back = 0, refreshed = 0;
    insert into singularity.comparison (topic)
    select ''
    union all
    select t.namespace || '/' || t.kind from singularity.topic t where t.followed and t.position = t.head;
end
$$;

comment on function singularity.begin_comparison() is 'Begins a comparison when one is due or wanted.';

create or replace function singularity.end_comparison() returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    update singularity.reconciliation set finished_at = clock_timestamp()
    where started_at is not null and (finished_at is null or finished_at < started_at)
        and not exists (select from singularity.comparison);
    if found then
        update singularity.identity set restoring = false where restoring;
    end if;
end
$$;

comment on function singularity.end_comparison() is 'Ends the comparison when nothing is left to be compared.';

create or replace function singularity.comparison_is_due() returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select exists (
        select from singularity.comparison as c
        where singularity.is_over(c.requested_at, '10 seconds')
    )
$$;

comment on function singularity.comparison_is_due() is 'Whether a range is to be compared that no request is under way for.';

create or replace function singularity.next_comparison() returns table (message_id text, payload bytea)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    -- a range in detail is at most 200 states of 150 bytes here and twice that in the reply
    in_detail_at_once integer := greatest(1, singularity.message_limit() / 131072);
    request uuid := gen_random_uuid();
    ranges jsonb;
begin
    with due as (
        select c.*, row_number() over (partition by c.in_detail order by c.topic, c.prefix) as place
        from singularity.comparison c
        where singularity.is_over(c.requested_at, '10 seconds')
    ), chosen as (
        update singularity.comparison c set requested_at = clock_timestamp()
        from due d
        where c.topic = d.topic and c.prefix = d.prefix
            and d.place <= case when d.in_detail then in_detail_at_once else 64 end
        returning c.*
    )
    select jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
        'topic', c.topic, 'prefix', c.prefix, 'entries', d.entries, 'digest', d.digest,
        'forgotten', case when c.topic <> '' then singularity.forgotten_in(c.topic, c.prefix) end,
        'states', case when c.in_detail then singularity.states_in(c.topic, c.prefix) end
    )))
    into ranges
    from chosen c
    cross join lateral (
        select * from singularity.digest(c.prefix) where c.topic = ''
        union all
        select * from singularity.topic_digest(c.topic, c.prefix) where c.topic <> ''
    ) as d;
    if ranges is not null then
        return query
        select 'digest:' || request, singularity.encode_message(
            singularity.request('digest', request::text) || jsonb_build_object('ranges', ranges)
        );
    end if;
end
$$;

comment on function singularity.next_comparison() is 'A request to the authority to compare ranges, digests or versions, when there are any to be compared.';

create or replace function singularity.states_in(topic text, prefix text) returns jsonb
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select coalesce(jsonb_agg(s.state), '[]')
    from (
        select jsonb_build_array(d.artifact_id, d.variant, d.incarnation, d.offered_version) as state
        from singularity.delivery as d
        where states_in.topic = ''
            and d.artifact_id between singularity.range_start(states_in.prefix) and singularity.range_end(states_in.prefix)
        union all
        select jsonb_build_array(c.artifact_id, c.revision)
        from singularity.central_copy as c
        where states_in.topic <> '' and not c.unknown
            and c.namespace = split_part(states_in.topic, '/', 1) and c.kind = split_part(states_in.topic, '/', 2)
            and c.artifact_id between singularity.range_start(states_in.prefix) and singularity.range_end(states_in.prefix)
    ) as s
$$;

comment on function singularity.states_in(text, text)
is 'The states of a range: artifact, variant, incarnation and the greatest version ever offered; of a topic artifact and revision.';

create or replace function singularity.take_comparison(body jsonb) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set jit = off
as $$
#variable_conflict use_column
declare
    compared record;
begin
    for compared in
        select r.value as range, c.topic, c.prefix, c.in_detail, c.requested_at
        from jsonb_array_elements(body -> 'ranges') as r
        join singularity.comparison c on c.topic = r.value ->> 'topic' and c.prefix = r.value ->> 'prefix'
    loop
        if compared.in_detail and compared.range ? 'states' then
            if compared.topic = '' then
                perform singularity.take_back(compared.range -> 'records'),
                    singularity.settle_states(compared.prefix, compared.range -> 'states', compared.requested_at);
            else
                perform singularity.refresh_copies(compared.topic, compared.range, body ->> 'epoch');
            end if;
        elsif not (compared.range ->> 'equal')::boolean then
            perform singularity.divide_range(compared.topic, compared.prefix, (compared.range ->> 'entries')::bigint);
        end if;
        if (compared.range ->> 'more')::boolean then
            update singularity.comparison c set requested_at = null
            where c.topic = compared.topic and c.prefix = compared.prefix;
        else
            delete from singularity.comparison c
            where c.topic = compared.topic and c.prefix = compared.prefix and c.requested_at is not null;
        end if;
    end loop;
    perform singularity.end_comparison();
end
$$;

comment on function singularity.take_comparison(jsonb)
is 'Takes the authority''s side of compared ranges: what is equal is done, what differs is divided, and where versions were '
'compared each side gets the other''s greater ones.';

create or replace function singularity.divide_range(topic text, prefix text, entries_there bigint) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    entries_here bigint;
begin
    if divide_range.topic = '' then
        entries_here := (select d.entries from singularity.digest(divide_range.prefix) as d);
    else
        entries_here := (select d.entries from singularity.topic_digest(divide_range.topic, divide_range.prefix) as d);
    end if;
    if greatest(entries_here, entries_there) <= 200 then
        update singularity.comparison c set in_detail = true, requested_at = null
        where c.topic = divide_range.topic and c.prefix = divide_range.prefix;
    else
        insert into singularity.comparison (topic, prefix)
        select divide_range.topic, divide_range.prefix || to_hex(n) from generate_series(0, 15) as n
        on conflict do nothing;
    end if;
end
$$;

comment on function singularity.divide_range(text, text, bigint)
is 'A range that differs is compared in detail when it is small, else in sixteen parts.';

create or replace function singularity.take_back(records jsonb) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    given singularity.own_state[] := array(
        select row(
            singularity.artifact_id(r.namespace, r.kind, r.name), coalesce(r.variant, ''), r.what, r.namespace, r.kind, r.name,
            r.version, coalesce(r.withdrawn_through, 0), r.content, r.summary, coalesce(r.tags, '{}'),
            coalesce(r.incarnation, '00000000-0000-0000-0000-000000000000'), r.uses, r.successes, r.failures, r.last_used_at
        )::singularity.own_state
        from jsonb_to_recordset(records) as r (
            what text, namespace text, kind text, name text, version bigint, withdrawn_through bigint, variant text,
            content jsonb, summary text, tags text[], incarnation uuid, uses bigint, successes bigint, failures bigint,
            last_used_at timestamptz
        )
    );
begin
    if cardinality(given) = 0 then
        return;
    end if;
    perform singularity.take_back_holdings(given), singularity.take_back_evidence(given);
    insert into singularity.delivery as d (
        artifact_id, variant, incarnation, offered_version, confirmed_version, stored_version, verdict, confirmed_at
    )
    select
        g.artifact_id, case when g.what = 'evidence' then g.variant else '' end, g.incarnation, g.version, g.version,
        g.version, 'stored', clock_timestamp()
    from unnest(given) as g
    on conflict (artifact_id, variant, incarnation) do update set
        offered_version = greatest(d.offered_version, excluded.offered_version),
        confirmed_version = excluded.confirmed_version, stored_version = excluded.stored_version,
        verdict = excluded.verdict, reason = null, confirmed_at = excluded.confirmed_at;
    perform setval('singularity.version', greatest(s.last_value, (select max(g.version) from unnest(given) as g)))
    from singularity.version as s;
    update singularity.reconciliation set taken_back = taken_back + cardinality(given);
    perform singularity.index_artifacts(array(select distinct g.artifact_id from unnest(given) as g));
end
$$;

comment on function singularity.take_back(jsonb)
is 'Stores states of this instance that only the authority has: of a life after the dump or backup that was restored here.';

create or replace function singularity.take_back_holdings(given singularity.own_state[]) returns void
language sql security definer
set search_path = pg_catalog, pg_temp
as $$
    -- what was withdrawn may have been unshared only: its content stays here and is not shared
    insert into singularity.holding (
        artifact_id, version, namespace, kind, name, variant, content, summary, tags, shared, withdrawn_through
    )
    select
        g.artifact_id, g.version, g.namespace, g.kind, g.name,
        case when s.live then g.variant else old.variant end,
        case when s.live then g.content else old.content end,
        case when s.live then g.summary else old.summary end,
        case when s.live then g.tags else coalesce(old.tags, '{}') end,
        s.live or old.variant is null, g.withdrawn_through
    from unnest(given) as g
    cross join lateral (select g.withdrawn_through < g.version and g.content is not null as live) as s
    left join lateral (
        select h.* from singularity.holding as h where h.artifact_id = g.artifact_id order by h.version desc limit 1
    ) as old on true
    where g.what = 'holding'
    on conflict do nothing;
$$;

comment on function singularity.take_back_holdings(singularity.own_state[]) is 'Stores holdings that only the authority has.';

create or replace function singularity.take_back_evidence(given singularity.own_state[]) returns void
language sql security definer
set search_path = pg_catalog, pg_temp
as $$
    -- counted in what is taken back
    delete from singularity.outcome as o
    using unnest(given) as g
    where g.what = 'evidence' and o.artifact_id = g.artifact_id and o.variant = g.variant
        and o.incarnation = g.incarnation and o.version < g.version and o.shared;
    insert into singularity.evidence as e (
        artifact_id, variant, incarnation, shared, namespace, kind, name, uses, successes, failures, last_used_at, version
    )
    select
        g.artifact_id, g.variant, g.incarnation, true, g.namespace, g.kind, g.name, g.uses, g.successes, g.failures,
        g.last_used_at, g.version
    from unnest(given) as g
    where g.what = 'evidence'
    on conflict (artifact_id, variant, incarnation, shared) do update set
        uses = excluded.uses, successes = excluded.successes, failures = excluded.failures,
        last_used_at = excluded.last_used_at, version = excluded.version
    where e.version < excluded.version;
$$;

comment on function singularity.take_back_evidence(singularity.own_state[]) is 'Stores counters that only the authority has.';

create or replace function singularity.settle_states(prefix text, states jsonb, asked_at timestamptz) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    lost uuid[];
begin
    with there as (
        select (s.value ->> 0)::uuid as artifact_id, s.value ->> 1 as variant, (s.value ->> 2)::uuid as incarnation,
            (s.value ->> 3)::bigint as version
        from jsonb_array_elements(states) as s
    ), different as (
        select d.artifact_id, d.variant, d.incarnation, d.stored_version, coalesce(t.version, 0) as version
        from singularity.delivery d
        left join there t using (artifact_id, variant, incarnation)
        where d.artifact_id between singularity.range_start(settle_states.prefix)
                and singularity.range_end(settle_states.prefix)
            and d.stored_version <> coalesce(t.version, 0) and coalesce(t.version, 0) <= d.offered_version
            -- a receipt that came since says it better
            and (d.confirmed_at is null or d.confirmed_at < asked_at)
    ), settled as (
        update singularity.delivery d set
            stored_version = f.version,
            confirmed_version = case when f.version < f.stored_version then f.version
                else greatest(d.confirmed_version, f.version) end,
            verdict = case when f.version > 0 then 'stored' end, reason = null, confirmed_at = clock_timestamp()
        from different f
        where d.artifact_id = f.artifact_id and d.variant = f.variant and d.incarnation = f.incarnation
    ), freed as (
        delete from singularity.outbox o
        where o.version in (
            select e.version from different f
            join singularity.outbox e using (artifact_id, variant, incarnation)
            where e.version <= f.version
            for update of e skip locked
        )
    )
    select array_agg(distinct f.artifact_id) into lost from different f where f.version < f.stored_version;
    if lost is not null then
        update singularity.reconciliation set sent_again = sent_again + singularity.backfill(lost);
    end if;
end
$$;

comment on function singularity.settle_states(text, jsonb, timestamptz)
is 'Notes which versions the authority has: what it lost is queued again, what it has without a receipt is confirmed.';

create or replace function singularity.refresh_copies(topic text, range jsonb, epoch text) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    perform singularity.take_rows(range -> 'rows', refresh_copies.epoch, false);
    update singularity.central_copy c set unknown = true
    where c.artifact_id in (select u.value::uuid from jsonb_array_elements_text(range -> 'unknown') as u);
    update singularity.reconciliation set
        refreshed = refreshed + jsonb_array_length(range -> 'rows') + jsonb_array_length(range -> 'unknown');
end
$$;

comment on function singularity.refresh_copies(text, jsonb, text)
is 'Takes the authority''s version of copies that differ; what it does not know stays here and is stale.';

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
            withdrawn_through = case when h.withdrawn_through = h.version then n.new_version else h.withdrawn_through end
        from numbered n
        where h.artifact_id = n.artifact_id and h.version = n.version
    )
    update singularity.outbox o set version = n.new_version, shipment_id = null
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
is 'Begins a new life of this database: what was recorded provisionally belongs to it, numbered above what the authority knows.';

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
            artifact_id, variant, incarnation, shared, namespace, kind, name, uses, successes, failures, last_used_at, version
        )
        select
            artifact_id, variant, me.incarnation, shared, namespace, kind, name, uses, successes, failures, last_used_at,
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
is 'Adds counters that were kept apart since the start of the server to those of the present life.';

create or replace function singularity.confirm_identity(known_version bigint) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    me singularity.identity := singularity.present_identity();
    accounted bigint := greatest(me.known_version, (select max(d.offered_version) from singularity.delivery d));
begin
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
is 'Decides, from the greatest version that the authority knows of this instance, whether this database goes on with its life '
'or was restored and begins a new one. While messages are under way that the authority has not read, it decides nothing.';

create or replace function singularity.stream_is_passed() returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select coalesce((
        select a.stream_created is distinct from b.streams -> singularity.stream_name() ->> 'created'
            or a.stream_passed >= a.stream_awaited
        from singularity.authority as a, singularity.bridge_state as b
    ), true)
$$;

comment on function singularity.stream_is_passed()
is 'Whether the authority has read everything that was in the stream when this connection began.';

create or replace function singularity.may_contribute() returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select singularity.get_setting('mode') <> 'local' and not exists (
        select from singularity.identity as i where i.restoring or i.mark <> singularity.database_mark()
    ) and (
        singularity.is_confirmed()
        -- the authority is away: the provisional life is told as one of its own
        or exists (
            select from singularity.bridge_state as b where b.connected_at < clock_timestamp() - interval '10 seconds'
        )
    )
$$;

comment on function singularity.may_contribute()
is 'Whether contributions may be sent now: not by a possible twin, not while states are being taken back, and after a start of '
'the server not before the authority had 10 seconds to say what it knows.';

create or replace function singularity.is_reconciled(since timestamptz) returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select exists (
        select from singularity.reconciliation as r where r.started_at >= is_reconciled.since and r.finished_at >= r.started_at
    )
$$;

comment on function singularity.is_reconciled(timestamptz) is 'Whether a comparison that began after a time has come to its end.';

create or replace function singularity.retry_set_aside() returns bigint
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    update singularity.delivery d set confirmed_version = d.stored_version where d.verdict in ('set aside', 'refused');
    return singularity.backfill(array(
        select d.artifact_id from singularity.delivery d where d.verdict in ('set aside', 'refused')
    ));
end
$$;

comment on function singularity.retry_set_aside()
is 'Queues again what the authority refused or could not apply, and returns how many states that are.';

create or replace procedure singularity.reconcile(timeout interval default '1 minute')
language plpgsql
as $$
declare
    asked_at pg_catalog.timestamptz := pg_catalog.clock_timestamp();
    deadline pg_catalog.timestamptz := asked_at operator(pg_catalog.+) reconcile.timeout;
    committed boolean;
    result singularity.reconciliation;
    queued_again bigint;
begin
    if not singularity.is_online() then
        raise exception using errcode = 'connection_exception', message = 'the authority cannot be reached',
            hint = coalesce(
                (select pg_catalog.string_agg(t.mend, ' ') from pg_catalog.unnest(singularity.troubles()) as t (mend)),
                'Call singularity.connect() first.'
            );
    end if;
    queued_again := singularity.retry_set_aside();
    perform singularity.want_comparison(), singularity.ring_doorbell();
    call singularity.try_commit(committed);
    if not committed then
        raise exception using errcode = 'active_sql_transaction', message = 'reconcile() cannot run inside a transaction block',
            hint = 'Call it by itself, in autocommit mode.';
    end if;
    while not singularity.is_reconciled(asked_at) loop
        if pg_catalog.clock_timestamp() operator(pg_catalog.>) deadline then
            raise exception using errcode = 'query_canceled',
                message = pg_catalog.format('no end of the comparison within %s', reconcile.timeout),
                hint = 'It goes on in the background, see singularity.reconciliation.';
        end if;
        perform pg_catalog.pg_sleep(0.05);
        call singularity.try_commit(committed);
    end loop;
    select r.* into result from singularity.reconciliation as r;
    raise notice '% states sent again, % taken back, % copies refreshed',
        result.sent_again operator(pg_catalog.+) queued_again, result.taken_back, result.refreshed;
end
$$;

comment on procedure singularity.reconcile(interval)
is 'Compares with the authority what both have of this instance and of the topics that it follows, and mends differences both '
'ways: what the authority lost is sent again (also what it had refused or set aside), what this database lost is taken back. Waits for '
'the end (not inside a transaction block). The bridge does the same every reconcile_every. Errors: 08000 when the authority '
'cannot be reached, 57014 after the timeout.';
