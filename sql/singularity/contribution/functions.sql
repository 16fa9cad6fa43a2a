-- The plans of a long session are kept, also those made while the outbox was short: what touches it goes by index.

create or replace view singularity.outbox_entries as
select
    o.artifact_id,
    case when o.variant = '' then 'holding' else 'evidence' end as record_type,
    nullif(o.variant, '') as variant,
    max(o.version) as version,
    min(o.queued_at) as queued_at
from singularity.outbox as o
group by o.artifact_id, o.variant, o.incarnation;

comment on view singularity.outbox_entries is 'What the authority has not confirmed: one row for each changed holding or evidence.';
comment on column singularity.outbox_entries.artifact_id is 'Id of the artifact.';
comment on column singularity.outbox_entries.record_type is 'holding or evidence.';
comment on column singularity.outbox_entries.variant is 'Variant of the evidence; null for a holding.';
comment on column singularity.outbox_entries.version is 'The version to be confirmed.';
comment on column singularity.outbox_entries.queued_at is 'When the oldest unconfirmed change was made.';

create or replace function singularity.next_batch()
returns table (message_id text, payload bytea)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
#variable_conflict use_column
declare
    max_records constant integer := 300;
    room constant integer := singularity.message_limit() - 1024;
    new_id constant uuid := gen_random_uuid();
    keys jsonb;
    may_leave bigint[];
    records jsonb;
    attempt integer;
begin
    select jsonb_agg(to_jsonb(t)) into keys from singularity.dequeue_entries(max_records) as t;
    if keys is null then
        return;
    end if;
    may_leave := (
        select singularity.judge_entries(array_agg(t.artifact_id), array_agg(t.variant))
        from jsonb_to_recordset(keys) as t (artifact_id uuid, variant text)
    );
    if not singularity.scanner_is_ready() then
        return;
    end if;
    with entry as (
        select
            t.artifact_id, t.variant, t.incarnation, t.version as dequeued_version, r.version, j.record,
            d.offered_version, d.attempts,
            sum(octet_length(j.record::text) + 2) over (order by r.version) as size,
            row_number() over (order by r.version) as n
        from jsonb_to_recordset(keys) as t (artifact_id uuid, variant text, incarnation uuid, version bigint)
        left join singularity.delivery d using (artifact_id, variant, incarnation)
        left join lateral singularity.record_to_send(t.artifact_id, t.variant, t.incarnation) as r
            on r.version > coalesce(d.confirmed_version, 0)
            -- what another session learned since is judged with its own entry
            and (t.variant <> '' or r.variant is null or r.version = any (may_leave))
        cross join lateral (select singularity.encode_record(r) as record) as j
    ), sent as (
        select e.* from entry e
        where e.version is not null and (e.n = 1 or e.size < room)
    ), offered as (
        insert into singularity.delivery as d (artifact_id, variant, incarnation, offered_version)
        select s.artifact_id, s.variant, s.incarnation, s.version from sent s
        on conflict (artifact_id, variant, incarnation) do update set
            offered_version = excluded.offered_version,
            attempts = case when d.offered_version = excluded.offered_version then d.attempts + 1 else 1 end
    ), marked as (
        update singularity.outbox o set batch_id = new_id
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
            where e.version is null and x.version <= e.dequeued_version
            for update of x skip locked
        )
    )
    select
        jsonb_agg(s.record order by s.version),
        max(case when s.offered_version = s.version then s.attempts + 1 else 1 end)
    into records, attempt
    from sent s;
    if records is null then
        return;
    end if;
    insert into singularity.batch (batch_id, attempt) values (new_id, attempt);
    return query
    select 'contribution:' || new_id, singularity.encode_message(jsonb_build_object(
        'type', 'contribution',
        'instance', i.instance_id,
        'instance_name', singularity.instance_name(),
        'environment', singularity.get_setting('environment'),
        'records', records
    ))
    from singularity.present_identity() as i;
end
$$;

comment on function singularity.next_batch()
is 'Builds one message from the oldest entries that wait, at most 300 records and message_limit() bytes, and marks them '
'as offered; entries that the authority is not to hear of, has confirmed already or that judge_entries() holds back are '
'dropped.';

create or replace function singularity.dequeue_entries(max_entries integer)
returns table (artifact_id uuid, variant text, incarnation uuid, version bigint)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    room bigint := singularity.message_limit();
begin
    for artifact_id, variant, incarnation, version in
        select o.artifact_id, o.variant, o.incarnation, max(o.version)
        from (
            select e.artifact_id, e.variant, e.incarnation, e.version from singularity.outbox e
            where e.batch_id is null order by e.version limit max_entries for update skip locked
        ) as o
        group by o.artifact_id, o.variant, o.incarnation
        order by min(o.version)
    loop
        return next;
        -- what does not fit is not looked at: it would be judged again for the next message
        room := room - case when variant = '' then coalesce(
            (select octet_length(h.content::text) from singularity.holding_to_send(artifact_id) as h), 0
        ) else 0 end;
        exit when room < 0;
    end loop;
end
$$;

comment on function singularity.dequeue_entries(integer)
is 'The holdings and evidence of the oldest entries that wait to be sent, about as many as a message takes, each with the last '
'version of its entries.';

create or replace function singularity.record_to_send(artifact_id uuid, variant text, incarnation uuid)
returns singularity.wire_record
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    state jsonb;
    made singularity.wire_record;
begin
    if record_to_send.variant = '' then
        state := (
            select '{"record_type": "holding"}'::jsonb || case
                when h.withdrawn_up_to < h.version then to_jsonb(h) - 'incarnation'
                else jsonb_build_object('namespace', h.namespace, 'kind', h.kind, 'name', h.name, 'version', h.version,
                    'withdrawn_up_to', h.withdrawn_up_to)
            end
            from singularity.holding_to_send(record_to_send.artifact_id) as h
            where singularity.is_for_authority(record_to_send.artifact_id) and (
                h.withdrawn_up_to >= h.version
                or singularity.sharing_of(h.namespace) <> 'private' and not exists (
                    select from singularity.held_holding b
                    where b.artifact_id = h.artifact_id and b.version = h.version
                )
            )
        );
    else
        state := (
            select '{"record_type": "evidence"}'::jsonb || to_jsonb(e)
            from singularity.evidence e
            where e.artifact_id = record_to_send.artifact_id and e.variant = record_to_send.variant
                and e.incarnation = record_to_send.incarnation and e.shared
                and singularity.outcomes_may_leave(e.artifact_id, e.version)
                and singularity.sharing_of(e.namespace) <> 'private'
                and not singularity.is_held(e.artifact_id, e.variant)
        );
    end if;
    made := jsonb_populate_record(null::singularity.wire_record, state);
    if made.content is not null and (singularity.content_refusal(made.content)).reason is not null then
        -- learned before that was a rule: what cannot be read there would keep all from being read that goes with it
        made.content := null;
    end if;
    if made.version is not null then
        made.seal := singularity.seal_of(made);
    end if;
    return made;
end
$$;

comment on function singularity.record_to_send(uuid, text, uuid)
is 'The present state of a holding (empty variant) or of evidence as it is sent; null when the authority is not to hear of it.';

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
            coalesce(r.incarnation, '00000000-0000-0000-0000-000000000000') as incarnation, r.version,
            -- an authority before 0.3 says so of what it could not apply
            case when r.verdict = 'set aside' then 'refused' else r.verdict end as verdict,
            singularity.printable(r.reason, 500) as reason
        from jsonb_populate_recordset(null::singularity.wire_verdict, records) as r
        where r.verdict in ('stored', 'superseded', 'refused', 'set aside')
        order by r.artifact_id, r.variant, r.incarnation, r.version desc
    ), confirmed as (
        update singularity.delivery d set
            confirmed_version = r.version,
            stored_version = case when r.verdict = 'stored' then r.version else d.stored_version end,
            verdict = r.verdict, reason = r.reason, confirmed_at = clock_timestamp()
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
    select bool_or(c.verdict = 'superseded' and c.confirmed_version = c.offered_version) into overtaken
    from confirmed c;
    if overtaken then
        -- by a state that this database never told: of an incarnation that was not known when it was restored
        perform singularity.want_comparison();
    end if;
end
$$;

comment on function singularity.apply_receipts(jsonb)
is 'Notes what the authority has committed: an outbox entry leaves only when a receipt names its version or a later one.';

create or replace function singularity.note_batches(results jsonb) returns void
language sql security definer
set search_path = pg_catalog, pg_temp
as $$
    update singularity.batch as b set
        stream_created = r.stream_created, stream_sequence = r.sequence,
        failed_at = case when not r.ok then clock_timestamp() end, failure = r.error
    from jsonb_to_recordset(results)
        as r (message_id text, ok boolean, stream_created text, sequence bigint, error text)
    where r.message_id = 'contribution:' || b.batch_id
$$;

comment on function singularity.note_batches(jsonb) is 'Notes which stream took batches that were sent, or why none did.';

create or replace function singularity.resend_lost_batches() returns void
language sql security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
    -- the pauses double with each attempt, up to five minutes
    update singularity.outbox as o set batch_id = null
    where o.version in (
        select w.version
        from singularity.batch as s
        cross join lateral (select least(power(2, s.attempt), 300) * interval '1 second' as pause) as p
        left join singularity.authority as a on singularity.is_online()
        left join singularity.bridge_state as b on b.connected
        inner join singularity.outbox as w on s.batch_id = w.batch_id
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
    delete from singularity.batch as s
    where not exists (select from singularity.outbox as o where o.batch_id = s.batch_id)
        and singularity.is_over(s.offered_at, '10 seconds');
$$;

comment on function singularity.resend_lost_batches()
is 'Puts entries back into the waiting part of the outbox whose message the broker refused or lost, or that the authority '
'has passed without a receipt.';

create or replace function singularity.may_contribute() returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select singularity.get_setting('mode') <> 'local' and singularity.scanner_is_ready() and not exists (
        select from singularity.identity as i where i.restoring or i.mark <> singularity.database_mark()
    ) and (
        singularity.is_confirmed()
        -- the authority is away: the provisional incarnation is told as one of its own
        or exists (
            select from singularity.bridge_state as b where b.connected_at < clock_timestamp() - interval '10 seconds'
        )
    )
$$;

comment on function singularity.may_contribute()
is 'Whether contributions may be sent now: not by a possible twin, not while states are being restored or secrets cannot be '
'looked for, and after a start of '
'the server not before the authority had 10 seconds to say what it knows.';

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
        where singularity.is_for_authority(a.artifact_id) and not exists (
            select from singularity.held_holding b where b.artifact_id = h.artifact_id and b.version = h.version
        )
        union all
        select e.version, e.artifact_id, e.variant, e.incarnation from singularity.evidence e
        where e.shared and singularity.outcomes_may_leave(e.artifact_id, e.version)
            and singularity.sharing_of(e.namespace) <> 'private'
            and not singularity.is_held(e.artifact_id, e.variant)
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

create or replace function singularity.retry_refused() returns bigint
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    update singularity.delivery d set confirmed_version = d.stored_version where d.verdict = 'refused';
    return singularity.backfill(array(select d.artifact_id from singularity.delivery d where d.verdict = 'refused'));
end
$$;

comment on function singularity.retry_refused() is 'Queues again what the authority refused, and returns how many states that are.';

create or replace function singularity.is_for_authority(artifact_id uuid) returns boolean
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    return (
        select h.shared and h.variant is not null and h.withdrawn_up_to < h.version
            and singularity.sharing_of(h.namespace) <> 'private'
            or exists (select from singularity.delivery d where d.artifact_id = is_for_authority.artifact_id)
        from singularity.present_holding(is_for_authority.artifact_id) as h
    );
end
$$;

comment on function singularity.is_for_authority(uuid)
is 'Whether the authority is to hear of a holding: it is shared, or something of it was offered to the broker before (then '
'its withdrawal is told). What was never offered is dropped instead of withdrawn.';

create or replace function singularity.outcomes_may_leave(artifact_id uuid, version bigint default null) returns boolean
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    return coalesce((
        select
            h.shared and (h.variant is not null or h.withdrawn_up_to < h.version)
            and h.withdrawn_up_to < coalesce(outcomes_may_leave.version, h.withdrawn_up_to + 1)
        from singularity.present_holding(outcomes_may_leave.artifact_id) as h
    ), true);
end
$$;

comment on function singularity.outcomes_may_leave(uuid, bigint)
is 'Whether outcomes of an artifact, of now or up to a version, may be told to the authority: not while it is unshared or '
'forgotten everywhere, and never again those from before that.';

create or replace function singularity.holding_to_send(artifact_id uuid) returns setof singularity.holding
language sql stable
begin atomic
    -- forgetting here alone is nobody else's business: what was said before stays said
    select h.*
    from singularity.holding as h
    where h.artifact_id = holding_to_send.artifact_id
        and (h.variant is not null or h.withdrawn_up_to = h.version)
    order by h.version desc
    limit 1;
end;

comment on function singularity.holding_to_send(uuid) is 'The state of a holding that the authority is to know.';
