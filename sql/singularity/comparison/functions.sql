-- The instance compares digests of ranges with the authority, divides what differs, mends what is left.

create or replace function singularity.digest(prefix text default '') returns table (entries bigint, digest text)
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select
        count(*),
        singularity.digest_of(
            singularity.state_hash(d.artifact_id::text, d.variant, d.incarnation::text, d.stored_version::text)
        )
    from singularity.delivery as d
    where d.stored_version > 0
        and d.artifact_id between singularity.range_start(digest.prefix) and singularity.range_end(digest.prefix)
$$;

comment on function singularity.digest(text)
is 'What the authority is taken to have of this instance, in a range of artifact ids (first hex digits; default: all): '
'number of states, and a digest that is equal to centralcloud.digest() where it has exactly these versions.';

create or replace function singularity.want_reconciliation() returns bigint
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    queued_again bigint;
begin
    if not singularity.is_online() then
        raise exception using errcode = 'connection_exception', message = 'the authority cannot be reached',
            hint = coalesce(
                nullif(array_to_string(singularity.troubles(), ' '), ''), 'Call singularity.connect() first.'
            );
    end if;
    queued_again := singularity.retry_refused();
    perform singularity.want_comparison(), singularity.ring_doorbell();
    return queued_again;
end
$$;

comment on function singularity.want_reconciliation()
is 'Asks for a comparison, queues again what the authority refused, and returns how much that was. Error: 08000 when the '
'authority cannot be reached.';

create or replace function singularity.is_reconciling(asked_at timestamptz, timeout interval, queued_again bigint)
returns boolean
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    ended record;
begin
    if not singularity.is_reconciled(is_reconciling.asked_at) then
        if clock_timestamp() - is_reconciling.asked_at > timeout then
            raise exception using errcode = 'query_canceled',
                message = format('no end of the comparison within %s', timeout),
                hint = 'It goes on in the background, see singularity.reconciliation.';
        end if;
        return true;
    end if;
    select r.sent_again + is_reconciling.queued_again as sent_again, r.restored, r.refreshed into ended
    from singularity.reconciliation r;
    raise notice '% states sent again, % restored, % copies refreshed',
        ended.sent_again, ended.restored, ended.refreshed;
    return false;
end
$$;

comment on function singularity.is_reconciling(timestamptz, interval, bigint)
is 'Whether reconcile(), called at a time with a timeout, goes on waiting; a notice says what was mended. Error: 57014 after '
'the timeout.';

create or replace procedure singularity.reconcile(timeout interval default '1 minute')
language plpgsql
as $$
declare
    asked_at pg_catalog.timestamptz := pg_catalog.clock_timestamp();
    committed boolean;
    queued_again bigint;
begin
    perform singularity.check_timeout(timeout);
    queued_again := singularity.want_reconciliation();
    call singularity.try_commit(committed);
    if not committed then
        raise exception using errcode = 'active_sql_transaction',
            message = 'reconcile() cannot run inside a transaction block',
            hint = 'Call it by itself, in autocommit mode.';
    end if;
    while singularity.is_reconciling(asked_at, timeout, queued_again) loop
        perform pg_catalog.pg_sleep(0.05::double precision);
        call singularity.try_commit(committed);
    end loop;
end
$$;

comment on procedure singularity.reconcile(interval)
is 'Compares with the authority what both have of this instance and of the topics that it follows, and mends differences both '
'ways: what the authority lost is sent again (also what it had refused), what this database lost is restored. Waits for '
'the end (not inside a transaction block). The bridge does the same every reconcile_every. Errors: 08000 when the authority '
'cannot be reached, 22023 for a negative timeout, 57014 after the timeout.';

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
    on conflict (only_row) do update set started_at = excluded.started_at, sent_again = 0, restored = 0, refreshed = 0,
        ignored = 0;
    insert into singularity.comparison (topic)
    select ''
    union all
    select singularity.topic_name(t.namespace, t.kind) from singularity.topic t
    where t.followed and t.position = t.head and singularity.sharing_of(t.namespace) <> 'private';
end
$$;

comment on function singularity.begin_comparison() is 'Begins a comparison when one is due or wanted.';

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
        select c.topic, c.prefix, c.in_detail,
            row_number() over (partition by c.in_detail order by c.topic, c.prefix) as place
        from singularity.comparison c
        where singularity.is_over(c.requested_at, '10 seconds')
    ), chosen as (
        update singularity.comparison c set requested_at = clock_timestamp()
        from due d
        where c.topic = d.topic and c.prefix = d.prefix
            and d.place <= case when d.in_detail then in_detail_at_once else 64 end
        returning c.topic, c.prefix, c.in_detail
    )
    select jsonb_agg(singularity.without_nulls(to_jsonb(singularity.range_to_send(c.topic, c.prefix, c.in_detail))))
    into ranges
    from chosen c;
    if ranges is not null then
        return query
        select 'digest:' || request, singularity.encode_message(
            singularity.request('digest', request::text) || jsonb_build_object('ranges', ranges)
        );
    end if;
end
$$;

comment on function singularity.next_comparison() is 'A request to the authority to compare ranges, digests or versions, when there are any to be compared.';

create or replace function singularity.range_to_send(topic text, prefix text, in_detail boolean)
returns singularity.wire_range
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    made singularity.wire_range;
begin
    made.topic := range_to_send.topic;
    made.prefix := range_to_send.prefix;
    select d.entries, d.digest into made.entries, made.digest
    from singularity.range_digest(made.topic, made.prefix) as d;
    if in_detail then
        made.states := singularity.states_in(made.topic, made.prefix);
    end if;
    return made;
end
$$;

comment on function singularity.range_to_send(text, text, boolean) is 'A range as it is sent: its digest, or in detail its versions as well.';

create or replace function singularity.range_digest(topic text, prefix text) returns table (entries bigint, digest text)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    if range_digest.topic = '' then
        return query
        select d.entries, d.digest from singularity.digest(range_digest.prefix) as d;
    else
        return query
        select count(*), singularity.digest_of(singularity.state_hash(c.artifact_id::text, c.revision::text))
        from singularity.copies_in(range_digest.topic, range_digest.prefix) as c;
    end if;
end
$$;

comment on function singularity.range_digest(text, text)
is 'Number and digest of the states of this instance in a range, or of the copies of a topic.';

create or replace function singularity.states_in(topic text, prefix text) returns jsonb
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select coalesce(jsonb_agg(s.state), '[]')
    from (
        select jsonb_build_array(d.artifact_id, d.variant, d.incarnation, d.offered_version) as state
        from singularity.delivery as d
        where states_in.topic = ''
            and d.artifact_id between singularity.range_start(states_in.prefix)
                and singularity.range_end(states_in.prefix)
        union all
        select jsonb_build_array(c.artifact_id, c.revision)
        from singularity.copies_in(states_in.topic, states_in.prefix) as c
        where states_in.topic <> ''
    ) as s
$$;

comment on function singularity.states_in(text, text)
is 'The states of a range: artifact, variant, incarnation and the greatest version ever offered; of a topic artifact and revision.';

create or replace function singularity.copies_in(topic text, prefix text)
returns table (artifact_id uuid, revision bigint)
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select c.artifact_id, c.revision
    from singularity.topic_parts(copies_in.topic) as t
    inner join singularity.central_copy as c on t.namespace = c.namespace and t.kind = c.kind
    where not c.unknown
        and c.artifact_id between singularity.range_start(copies_in.prefix) and singularity.range_end(copies_in.prefix)
    union all
    -- the authority told of it, so its id is no news there; of what was forgotten besides nothing is said
    select u.artifact_id, u.revision
    from singularity.topic_parts(copies_in.topic) as t
    inner join singularity.unwanted_copy as u on t.namespace = u.namespace and t.kind = u.kind
    where u.artifact_id between singularity.range_start(copies_in.prefix) and singularity.range_end(copies_in.prefix)
        and singularity.is_forgotten(u.artifact_id)
        and not exists (select from singularity.central_copy as c where c.artifact_id = u.artifact_id and not c.unknown)
$$;

comment on function singularity.copies_in(text, text)
is 'The copies of a topic in a range that the authority is taken to know, and those that came and were not kept, since they were '
'forgotten here.';

create or replace function singularity.apply_comparison(body jsonb) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set jit = off
as $$
#variable_conflict use_column
declare
    compared record;
begin
    perform singularity.check_length('ranges', body -> 'ranges', 64);
    for compared in
        select r as range, r.topic, r.prefix, c.in_detail, c.requested_at
        from jsonb_populate_recordset(null::singularity.wire_difference, body -> 'ranges') as r
        join singularity.comparison c using (topic, prefix)
    loop
        perform singularity.check_length('states', (compared.range).states, 1000),
            singularity.check_length('records', (compared.range).records, 1000),
            singularity.check_length('rows', (compared.range).rows, 1000),
            singularity.check_length('unknown', (compared.range).unknown, 1000);
        if compared.in_detail and (compared.range).states is not null then
            if compared.topic = '' then
                perform singularity.restore_states((compared.range).records),
                    singularity.settle_states(compared.prefix, (compared.range).states, compared.requested_at);
            else
                perform singularity.refresh_copies(compared.range, body ->> 'epoch');
            end if;
        elsif not (compared.range).equal then
            perform singularity.divide_range(compared.topic, compared.prefix, (compared.range).entries);
        end if;
        if (compared.range).more then
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

comment on function singularity.apply_comparison(jsonb)
is 'Takes the authority''s side of compared ranges: what is equal is done, what differs is divided, and where versions were '
'compared each side gets the other''s greater ones.';

create or replace function singularity.divide_range(topic text, prefix text, entries_there bigint) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    entries_here constant bigint := (
        select d.entries from singularity.range_digest(divide_range.topic, divide_range.prefix) as d
    );
    -- nobody has so much that the ranges of the seventh digit were not small: what the other side says is no reason
    deep constant boolean := length(divide_range.prefix) >= 7 and entries_here <= 200;
begin
    if greatest(entries_here, entries_there) <= 200 or deep then
        update singularity.comparison c set in_detail = true, requested_at = null
        where c.topic = divide_range.topic and c.prefix = divide_range.prefix;
    else
        -- they are compared in the order of their digits, so that few wait; what is left out differs next time too
        insert into singularity.comparison (topic, prefix)
        select divide_range.topic, divide_range.prefix || to_hex(n) from generate_series(0, 15) as n
        where (select count(*) from singularity.comparison c where c.prefix <> '') < 20000
        on conflict do nothing;
    end if;
end
$$;

comment on function singularity.divide_range(text, text, bigint)
is 'A range that differs is compared in detail when it is small, else in sixteen parts. Whatever the authority says, no more '
'than 20,000 parts wait.';

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
            greatest((s.value ->> 3)::bigint, 0) as version
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

create or replace function singularity.refresh_copies(range singularity.wire_difference, epoch text) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    perform singularity.receive_refined(range.rows, refresh_copies.epoch, false);
    update singularity.central_copy c set unknown = true
    where c.artifact_id in (select u.value::uuid from jsonb_array_elements_text(range.unknown) as u);
    delete from singularity.unwanted_copy c
    where c.artifact_id in (select u.value::uuid from jsonb_array_elements_text(range.unknown) as u);
    update singularity.reconciliation set
        refreshed = refreshed + jsonb_array_length(range.rows) + jsonb_array_length(range.unknown);
end
$$;

comment on function singularity.refresh_copies(singularity.wire_difference, text)
is 'Takes the authority''s version of copies that differ; what it does not know stays here and is stale.';

create or replace function singularity.retry_comparison() returns void
language sql security definer
set search_path = pg_catalog, pg_temp
as $$
    -- not at once: comparison_is_due() waits for 10 seconds
    update singularity.comparison as c set requested_at = clock_timestamp() - interval '8 seconds'
    where c.requested_at is not null
$$;

comment on function singularity.retry_comparison() is 'Ranges that were not answered are asked for again after a pause.';

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

create or replace function singularity.is_reconciled(since timestamptz) returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select exists (
        select from singularity.reconciliation as r
        where r.started_at >= is_reconciled.since and r.finished_at >= r.started_at
    )
$$;

comment on function singularity.is_reconciled(timestamptz) is 'Whether a comparison that began after a time has come to its end.';
