-- The plans of a long session are kept, also those made while the outbox was short: what touches it goes by index.

create or replace function singularity.holding_to_send(artifact_id uuid) returns setof singularity.holding
language sql stable
begin atomic
    -- forgetting here alone is nobody else's business: what was said before stays said
    select h.*
    from singularity.holding as h
    where h.artifact_id = holding_to_send.artifact_id
        and (h.variant is not null or h.withdrawn_through = h.version)
    order by h.version desc
    limit 1;
end;

comment on function singularity.holding_to_send(uuid) is 'The state of a holding that the authority is to know.';

create or replace function singularity.is_for_authority(artifact_id uuid) returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select h.shared and h.variant is not null
        or exists (
            select from singularity.delivery as d
            where d.artifact_id = is_for_authority.artifact_id
        )
    from singularity.holding as h
    where h.artifact_id = is_for_authority.artifact_id
    order by h.version desc
    limit 1
$$;

comment on function singularity.is_for_authority(uuid)
is 'Whether the authority is to hear of a holding: it is shared, or something of it was offered to the broker before (then '
'its withdrawal is told). What was never offered is dropped instead of withdrawn.';

create or replace function singularity.evidence_may_leave(artifact_id uuid, version bigint) returns boolean
language sql stable
begin atomic
    select coalesce((
        select
            h.shared and (h.variant is not null or h.withdrawn_through < h.version)
            and h.withdrawn_through < evidence_may_leave.version
        from singularity.holding as h
        where h.artifact_id = evidence_may_leave.artifact_id
        order by h.version desc
        limit 1
    ), true);
end;

comment on function singularity.evidence_may_leave(uuid, bigint)
is 'Whether counters of that version may be told to the authority: not while their artifact is unshared or forgotten '
'everywhere, and never again those from before that.';

create or replace function singularity.delete_replaced_entries(artifact_ids uuid[]) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
#variable_conflict use_column
begin
    -- above READ COMMITTED the locking clause would raise 40001; the bridge passes over what stays
    if current_setting('transaction_isolation') <> 'read committed' then
        return;
    end if;
    delete from singularity.outbox o
    where o.version in (
        select e.version from singularity.outbox e
        where e.artifact_id = any (artifact_ids) and exists (
            select from singularity.outbox newer
            where newer.artifact_id = e.artifact_id and newer.variant = e.variant
                and newer.incarnation = e.incarnation and newer.version > e.version
        )
        for update skip locked
    );
end
$$;

comment on function singularity.delete_replaced_entries(uuid[])
is 'Keeps the outbox a set: deletes entries that a newer one of the same holding or evidence has replaced.';

create or replace function singularity.backfill(artifact_ids uuid[] default null) returns bigint
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set jit = off
as $$
#variable_conflict use_column
declare
    queued bigint;
begin
    insert into singularity.outbox (version, artifact_id, variant, incarnation)
    select s.version, s.artifact_id, s.variant, s.incarnation
    from (
        select h.version, h.artifact_id, '' as variant, '00000000-0000-0000-0000-000000000000'::uuid as incarnation
        from (
            select distinct x.artifact_id from singularity.holding x
            where backfill.artifact_ids is null or x.artifact_id = any (backfill.artifact_ids)
        ) as a
        cross join lateral singularity.holding_to_send(a.artifact_id) as h
        where singularity.is_for_authority(a.artifact_id)
        union all
        select e.version, e.artifact_id, e.variant, e.incarnation from singularity.evidence e
        where e.shared and singularity.evidence_may_leave(e.artifact_id, e.version)
            and (backfill.artifact_ids is null or e.artifact_id = any (backfill.artifact_ids))
    ) as s
    left join singularity.delivery d using (artifact_id, variant, incarnation)
    where s.version > coalesce(d.confirmed_version, 0)
        and not exists (
            select from singularity.outbox o
            where o.artifact_id = s.artifact_id and o.variant = s.variant and o.incarnation = s.incarnation
                and o.version >= s.version
        )
    on conflict do nothing;
    get diagnostics queued = row_count;
    return queued;
end
$$;

comment on function singularity.backfill(uuid[])
is 'Queues everything shared (of these artifacts, or of all) that the authority has not confirmed and that is not queued, in '
'one statement; returns how many entries that were.';

create or replace function singularity.finish_backfill() returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    -- a transaction that was open during connect() may have learned in local mode; wait for them all, without waiting
    if exists (
        select from singularity.authority as c
        where c.backfill_after is not null and not exists (
            select from pg_stat_activity as a
            where a.datname = current_database() and a.pid <> pg_backend_pid()
                and greatest(age(a.backend_xid), age(a.backend_xmin)) >= age(c.backfill_after::xid)
        )
        and not exists (
            select from pg_prepared_xacts as p
            where p.database = current_database() and age(p.transaction) >= age(c.backfill_after::xid)
        )
    ) then
        perform singularity.backfill();
        update singularity.authority set backfill_after = null;
    end if;
end
$$;

comment on function singularity.finish_backfill()
is 'Queues what transactions learned that were open during connect(), once the last of them has ended.';

create or replace function singularity.take_entries(max_entries integer)
returns table (artifact_id uuid, variant text, incarnation uuid)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return query
    select distinct o.artifact_id, o.variant, o.incarnation
    from (
        select e.artifact_id, e.variant, e.incarnation from singularity.outbox e
        where e.shipment_id is null order by e.version limit max_entries for update skip locked
    ) as o;
end
$$;

comment on function singularity.take_entries(integer) is 'The holdings and evidence of the oldest entries that wait to be sent.';

create or replace function singularity.record_to_send(artifact_id uuid, variant text, incarnation uuid)
returns table (version bigint, record jsonb)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    if record_to_send.variant = '' then
        return query
        select h.version, jsonb_build_object(
            'what', 'holding', 'namespace', h.namespace, 'kind', h.kind, 'name', h.name, 'version', h.version,
            'withdrawn_through', h.withdrawn_through
        ) || case when h.withdrawn_through < h.version then jsonb_build_object(
            'variant', h.variant, 'content', h.content, 'summary', h.summary, 'tags', to_jsonb(h.tags)
        ) else '{}' end
        from singularity.holding_to_send(record_to_send.artifact_id) as h
        where singularity.is_for_authority(record_to_send.artifact_id);
    else
        return query
        select e.version, jsonb_build_object(
            'what', 'evidence', 'namespace', e.namespace, 'kind', e.kind, 'name', e.name, 'version', e.version,
            'variant', e.variant, 'incarnation', e.incarnation, 'uses', e.uses, 'successes', e.successes,
            'failures', e.failures, 'last_used_at', e.last_used_at
        )
        from singularity.evidence e
        where e.artifact_id = record_to_send.artifact_id and e.variant = record_to_send.variant
            and e.incarnation = record_to_send.incarnation and e.shared
            and singularity.evidence_may_leave(e.artifact_id, e.version);
    end if;
end
$$;

comment on function singularity.record_to_send(uuid, text, uuid)
is 'The present state of a holding (empty variant) or of evidence as a record of a message, with its version; no row when '
'the authority is not to hear of it.';

create or replace function singularity.next_shipment()
returns table (message_id text, payload bytea)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
#variable_conflict use_column
declare
    max_records constant integer := 300;
    shipment uuid := gen_random_uuid();
    taken record;
begin
    with entry as (
        select t.*, r.version, r.record, coalesce(d.attempts, 0) as attempts, coalesce(d.offered_version, 0) as offered_version,
            sum(octet_length(r.record::text) + 2) over (order by r.version) as size,
            row_number() over (order by r.version) as n
        from singularity.take_entries(max_records) as t
        left join singularity.delivery d using (artifact_id, variant, incarnation)
        left join lateral singularity.record_to_send(t.artifact_id, t.variant, t.incarnation) as r
            on r.version > coalesce(d.confirmed_version, 0)
    ), sent as (
        select * from entry e
        where e.version is not null and (e.n = 1 or e.size < singularity.message_limit() - 1024)
    ), offered as (
        insert into singularity.delivery as d (artifact_id, variant, incarnation, offered_version)
        select s.artifact_id, s.variant, s.incarnation, s.version from sent s
        on conflict (artifact_id, variant, incarnation) do update set
            offered_version = excluded.offered_version,
            attempts = case when d.offered_version = excluded.offered_version then d.attempts + 1 else 1 end
    ), marked as (
        update singularity.outbox o set shipment_id = shipment
        where o.version in (
            select x.version from sent s
            join singularity.outbox x using (artifact_id, variant, incarnation)
            where x.version <= s.version
            for update of x skip locked
        )
    ), dropped as (
        delete from singularity.outbox o
        where o.version in (
            select x.version from entry e
            join singularity.outbox x using (artifact_id, variant, incarnation)
            where e.version is null
            for update of x skip locked
        )
    )
    select
        jsonb_agg(s.record order by s.version) as records,
        max(case when s.offered_version = s.version then s.attempts + 1 else 1 end) as attempt
    into taken
    from sent s;
    if taken.records is null then
        return;
    end if;
    insert into singularity.shipment (shipment_id, attempt) values (shipment, taken.attempt);
    return query
    select 'contribution:' || shipment, singularity.encode_message(jsonb_build_object(
        'type', 'contribution',
        'instance', i.instance_id,
        'instance_name', singularity.instance_name(),
        'environment', singularity.get_setting('environment'),
        'records', taken.records
    ))
    from singularity.present_identity() as i;
end
$$;

comment on function singularity.next_shipment()
is 'Builds one message from the oldest entries that wait, at most 300 records and message_limit() bytes, and marks them '
'as offered; entries that the authority is not to hear of, or has confirmed already, are dropped.';

create or replace function singularity.resend_lost_shipments() returns void
language sql security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
    -- the pauses double with each attempt, up to five minutes
    update singularity.outbox as o set shipment_id = null
    where o.version in (
        select w.version
        from singularity.shipment as s
        cross join lateral (select least(power(2, s.attempt), 300) * interval '1 second' as pause) as p
        left join singularity.authority as a on singularity.is_online()
        left join singularity.bridge_state as b on b.connected
        inner join singularity.outbox as w on s.shipment_id = w.shipment_id
        where case
            when s.failed_at is not null then singularity.is_over(s.failed_at, p.pause / 4)
            when s.stream_created is null then singularity.is_over(s.offered_at, '10 seconds')
            -- another stream than the one that took it: the broker has lost it
            when s.stream_created <> b.streams -> singularity.stream_name() ->> 'created' then true
            -- the authority has passed it and sent no receipt, or the receipt was lost
            else s.stream_created = a.stream_created and s.stream_sequence <= a.stream_passed
                and singularity.is_over(s.offered_at, p.pause)
        end
        for update of w skip locked
    );
    delete from singularity.shipment as s
    where not exists (select from singularity.outbox as o where o.shipment_id = s.shipment_id)
        and singularity.is_over(s.offered_at, '10 seconds');
$$;

comment on function singularity.resend_lost_shipments()
is 'Puts entries back into the waiting part of the outbox whose message the broker refused or lost, or that the authority '
'has passed without a receipt.';

create or replace function singularity.apply_receipts(records jsonb) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
#variable_conflict use_column
declare
    overtaken boolean;
begin
    with receipt as (
        select distinct on (r.artifact_id, r.variant, r.incarnation)
            r.artifact_id, coalesce(r.variant, '') as variant,
            coalesce(r.incarnation, '00000000-0000-0000-0000-000000000000') as incarnation, r.version, r.verdict, r.reason
        from jsonb_to_recordset(records) as r (
            artifact_id uuid, variant text, incarnation uuid, version bigint, verdict text, reason text
        )
        order by r.artifact_id, r.variant, r.incarnation, r.version desc
    ), confirmed as (
        update singularity.delivery d set
            confirmed_version = r.version,
            stored_version = case when r.verdict = 'stored' then r.version else d.stored_version end, verdict = r.verdict, reason = r.reason, confirmed_at = clock_timestamp()
        from receipt r
        where d.artifact_id = r.artifact_id and d.variant = r.variant and d.incarnation = r.incarnation
            -- only what was offered can be confirmed
            and r.version between d.confirmed_version and d.offered_version
        returning d.artifact_id, d.variant, d.incarnation, d.confirmed_version, d.offered_version, d.verdict
    ), freed as (
        delete from singularity.outbox o
        where o.version in (
            select e.version from confirmed c
            join singularity.outbox e using (artifact_id, variant, incarnation)
            where e.version <= c.confirmed_version
            for update of e skip locked
        )
    )
    select bool_or(c.verdict = 'superseded' and c.confirmed_version = c.offered_version) into overtaken from confirmed c;
    if overtaken then
        -- by a state that this database never told: of a life that was not known when it was restored
        perform singularity.want_comparison();
    end if;
end
$$;

comment on function singularity.apply_receipts(jsonb)
is 'Notes what the authority has committed: an outbox entry leaves only when a receipt names its version or a later one.';
