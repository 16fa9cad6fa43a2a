-- The half of the bridge's contract that is the same on both sides. What differs is in the functions that these call:
-- bridge_plan, bridge_attached, queues_with_work, apply_messages, answer_poison, troubles and background.

create or replace function @extschema@.bridge_attach(bridge_version text, protocol integer) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set jit = off
as $$
#variable_conflict use_column
declare
    holder record;
begin
    if bridge_attach.protocol is distinct from 1 then
        raise exception using errcode = 'SGV01',
            message = format('bridge %s speaks protocol %s, extension @extension@ @version@ speaks protocol 1',
                bridge_attach.bridge_version, bridge_attach.protocol),
            hint = 'Install the bridge and the extension of one version, then ALTER EXTENSION @extension@ UPDATE.';
    end if;
    select h.pid, h.who into holder from @extschema@.bridge_holder() h where h.pid <> pg_backend_pid();
    if not found then
        -- it is free: of several that come at once one is first
        insert into @extschema@.doorbell (armed) values (false) on conflict do nothing;
        insert into @extschema@.bridge_state (only_row) values (true) on conflict do nothing;
        perform from @extschema@.bridge_state b for update;
        perform pg_stat_clear_snapshot();
        select h.pid, h.who into holder from @extschema@.bridge_holder() h where h.pid <> pg_backend_pid();
    end if;
    if found then
        return jsonb_build_object('attached', false, 'holder', holder.pid, 'who', holder.who);
    end if;
    update @extschema@.bridge_state set
        bridge_version = bridge_attach.bridge_version, seen_at = now(),
        connected = false, connected_at = null, error = null,
        pid = a.pid, backend_start = a.backend_start
    from pg_stat_activity a where a.pid = pg_backend_pid();
    if not exists (select from @extschema@.signing_key) then
        perform @extschema@.make_signing_key();
    end if;
    perform @extschema@.bridge_attached();
    return jsonb_build_object('attached', true, 'plan', @extschema@.bridge_plan());
end
$$;

comment on function @extschema@.bridge_attach(text, integer)
is 'Makes the calling session the one bridge of this database and returns {attached, plan}, or {attached: false, holder, who} '
'while another session is, until that one detaches or ends. Raises SGV01 for a bridge of another protocol.';

create or replace function @extschema@.bridge_detach() returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    update @extschema@.bridge_state set
        seen_at = null, connected = false, connected_at = null, error = null, pid = null, backend_start = null
    where pid = pg_backend_pid();
end
$$;

comment on function @extschema@.bridge_detach()
is 'A clean stop: notes that the bridge is gone and gives its place back; nothing for a session that does not have it.';

create or replace function @extschema@.bridge_holder() returns table (pid integer, who text)
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select a.pid, format(
        'process %s: %s, user %s, from %s, since %s', a.pid, coalesce(nullif(a.application_name, ''), 'no name'),
        a.usename, coalesce(host(a.client_addr), 'this machine'), a.backend_start::timestamptz(0)
    )
    from @extschema@.bridge_state as b
    -- a number is given again some day, but not with the same start
    inner join pg_stat_activity as a on b.pid = a.pid and b.backend_start = a.backend_start
    where a.datname = current_database()
$$;

comment on function @extschema@.bridge_holder()
is 'The session that has the bridge''s place: its process, and who it is in words; no row when the place is free.';

create or replace function @extschema@.bridge_arm() returns text[]
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    queues text[] := @extschema@.queues_with_work();
begin
    if cardinality(queues) = 0 then
        update @extschema@.doorbell set armed = true
        where only_row in (select d.only_row from @extschema@.doorbell d where not d.armed for update skip locked);
    end if;
    return queues;
end
$$;

comment on function @extschema@.bridge_arm() is 'Names of the queues that have something to send; arms the doorbell when there is none.';

create or replace function @extschema@.bridge_tick(state jsonb) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set jit = off
as $$
begin
    update @extschema@.bridge_state set
        seen_at = clock_timestamp(),
        bridge_version = state ->> 'bridge_version',
        connected_at = case
            when not (state ->> 'connected')::boolean then null
            when connected and connection is not distinct from state ->> 'connection' then connected_at
            else clock_timestamp()
        end,
        connected = (state ->> 'connected')::boolean,
        connection = state ->> 'connection',
        error = state ->> 'error',
        remote = (state ->> 'remote')::boolean,
        max_payload = coalesce((state ->> 'max_payload')::integer, max_payload),
        streams = coalesce(state -> 'streams', '{}'),
        consumers = coalesce(state -> 'consumers', '{}');
    perform @extschema@.note_public_keys(state -> 'public_keys');
    if (state ->> 'forged')::bigint > 0 then
        perform @extschema@.count_rejection('signature', null, null, (state ->> 'forged')::bigint);
    end if;
    perform @extschema@.drop_dead_letters(), @extschema@.background();
    return jsonb_build_object(
        'plan_revision', @extschema@.bridge_plan() ->> 'revision', 'troubles', to_jsonb(@extschema@.troubles())
    );
end
$$;

comment on function @extschema@.bridge_tick(jsonb)
is 'Takes the bridge''s report, does the background work that is due and returns {plan_revision, troubles}.';

create or replace function @extschema@.bridge_receive(subjects text[], payloads bytea[], meta jsonb[])
returns table (message integer, subject text, headers jsonb, payload bytea)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
    admitted constant integer[] := @extschema@.admit_messages(subjects, payloads, meta);
begin
    if cardinality(admitted) < cardinality(subjects) then
        subjects := array(select subjects[a.place] from unnest(admitted) as a (place));
        payloads := array(select payloads[a.place] from unnest(admitted) as a (place));
        meta := array(select meta[a.place] from unnest(admitted) as a (place));
    end if;
    begin
        return query
        select admitted[a.subject_number + 1] - 1, a.subject, a.headers, a.payload
        from @extschema@.apply_messages(
            subjects,
            (select array_agg(@extschema@.decode_message(p.payload) order by p.n)
                from unnest(payloads) with ordinality as p (payload, n)),
            meta
        ) as a;
        return;
    exception when others then
        if @extschema@.is_transient(sqlstate) then
            raise;
        end if;
    end;
    -- one of them is poison: each is tried alone
    for i in 1 .. cardinality(subjects) loop
        return query
        select admitted[i] - 1, a.subject, a.headers, a.payload
        from @extschema@.receive_alone(subjects[i], payloads[i], meta[i]) as a;
    end loop;
    perform @extschema@.drop_dead_letters();
end
$$;

comment on function @extschema@.bridge_receive(text[], bytea[], jsonb[])
is 'Applies messages in one transaction and returns the messages to publish after its commit. A message that cannot be '
'applied becomes a dead letter and stops no other; one that is not authentic is counted and leaves nothing else; an error of the '
'server is raised, to be tried again.';

create or replace function @extschema@.receive_alone(from_subject text, from_payload bytea, meta jsonb)
returns table (subject text, headers jsonb, payload bytea)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    body jsonb;
begin
    begin
        body := @extschema@.decode_message(from_payload);
        return query
        select a.subject, a.headers, a.payload
        from @extschema@.apply_messages(array[from_subject], array[body], array[receive_alone.meta]) as a;
        return;
    exception when others then
        if @extschema@.is_transient(sqlstate) then
            raise;
        end if;
        if body is null or not @extschema@.has_parts(body) then
            perform @extschema@.keep_dead_letter(from_subject, from_payload, receive_alone.meta, sqlstate, sqlerrm);
            return query
            select a.subject, a.headers, a.payload
            from @extschema@.answer_poison(from_subject, from_payload, sqlerrm) as a;
            return;
        end if;
    end;
    return query
    select a.subject, a.headers, a.payload
    from @extschema@.receive_parts(from_subject, from_payload, body, receive_alone.meta) as a;
end
$$;

comment on function @extschema@.receive_alone(text, bytea, jsonb)
is 'Applies one message; where that fails, its records by themselves; what cannot be applied is kept as a dead letter with its error.';

create or replace function @extschema@.receive_parts(from_subject text, from_payload bytea, body jsonb, meta jsonb)
returns table (subject text, headers jsonb, payload bytea)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    records constant jsonb[] := array(select r.value from jsonb_array_elements(body -> 'records') as r);
    -- ranges of records to be tried, the next one last
    firsts integer[] := array[1];
    lasts integer[] := array[cardinality(records)];
    tries integer := 100;
    failed jsonb[] := array[]::jsonb[];
    first_code text;
    first_error text;
    n integer;
    lower integer;
    upper integer;
    part jsonb;
begin
    while cardinality(firsts) > 0 and tries > 0 loop
        n := cardinality(firsts);
        lower := firsts[n];
        upper := lasts[n];
        firsts := firsts[: n - 1];
        lasts := lasts[: n - 1];
        tries := tries - 1;
        part := body || jsonb_build_object('records', records[lower : upper]);
        begin
            return query
            select a.subject, a.headers, a.payload
            from @extschema@.apply_messages(array[from_subject], array[part], array[receive_parts.meta]) as a;
        exception when others then
            if @extschema@.is_transient(sqlstate) then
                raise;
            end if;
            if lower < upper then
                firsts := firsts || array[(lower + upper + 1) / 2, lower];
                lasts := lasts || array[upper, (lower + upper + 1) / 2 - 1];
                continue;
            end if;
            failed := failed || records[lower];
            first_code := coalesce(first_code, sqlstate);
            first_error := coalesce(first_error, sqlerrm);
            return query
            select a.subject, a.headers, a.payload
            from @extschema@.answer_poison(from_subject, @extschema@.encode_message(part), sqlerrm) as a;
        end;
    end loop;
    -- who sends so much poison has the rest refused with it, and no other waits for that
    for i in 1 .. cardinality(firsts) loop
        failed := failed || records[firsts[i] : lasts[i]];
        return query
        select a.subject, a.headers, a.payload
        from @extschema@.answer_poison(
            from_subject,
            @extschema@.encode_message(body || jsonb_build_object('records', records[firsts[i] : lasts[i]])),
            'too many records that came with it could not be applied: ' || first_error
        ) as a;
    end loop;
    if cardinality(failed) > 0 then
        perform @extschema@.keep_dead_letter(
            from_subject,
            case
                when cardinality(failed) = cardinality(records) then from_payload
                else @extschema@.encode_message(body || jsonb_build_object('records', failed))
            end,
            receive_parts.meta, first_code, first_error, cardinality(failed)
        );
    end if;
end
$$;

comment on function @extschema@.receive_parts(text, bytea, jsonb, jsonb)
is 'Applies the records of a message of which some are poison: halves of what fails are tried, at most 100 times, and what is left '
'is one dead letter.';

create or replace function @extschema@.has_parts(body jsonb) returns boolean
language sql immutable parallel safe
begin atomic
    select coalesce(jsonb_typeof(body -> 'records') = 'array' and jsonb_array_length(body -> 'records') > 1, false);
end;

comment on function @extschema@.has_parts(jsonb) is 'Whether a message has several records, each of which can be applied alone.';

create or replace function @extschema@.bridge_put_aside(subject text, payload bytea, meta jsonb, error text)
returns void
language sql security definer
set search_path = pg_catalog, pg_temp
as $$
    select @extschema@.keep_dead_letter(
        bridge_put_aside.subject, bridge_put_aside.payload, bridge_put_aside.meta, 'SGV03', bridge_put_aside.error
    ), @extschema@.drop_dead_letters()
$$;

comment on function @extschema@.bridge_put_aside(text, bytea, jsonb, text)
is 'Keeps a message as a dead letter that failed so often that the bridge tries it no more. It is not read: reading it may be what fails.';

create or replace function @extschema@.ring_doorbell() returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    asleep boolean;
begin
    -- above READ COMMITTED the locking clause would raise 40001 where another writer was first
    if current_setting('transaction_isolation') <> 'read committed' then
        asleep := exists (select from @extschema@.doorbell d where d.armed);
    else
        perform from @extschema@.doorbell d where d.armed for update skip locked;
        asleep := found;
        if asleep then
            update @extschema@.doorbell set armed = false;
        end if;
    end if;
    if asleep then
        perform pg_notify('@extension@_bell', '');
    end if;
end
$$;

comment on function @extschema@.ring_doorbell() is 'Wakes the bridge when it sleeps, without ever waiting for another writer.';

create or replace function @extschema@.send_later(subject text, headers jsonb, payload bytea) returns void
language sql security definer
set search_path = pg_catalog, pg_temp
as $$
    insert into @extschema@.queued_message (subject, headers, payload)
    values (send_later.subject, send_later.headers, send_later.payload);
    select @extschema@.ring_doorbell();
$$;

comment on function @extschema@.send_later(text, jsonb, bytea) is 'Queues a core NATS message for the bridge.';

create or replace function @extschema@.dequeue_messages(max_messages integer)
returns table (message_id text, subject text, headers jsonb, payload bytea)
language sql security definer
set search_path = pg_catalog, pg_temp
as $$
    delete from @extschema@.queued_message as q
    where q.queued_message_id in (
        select n.queued_message_id from @extschema@.queued_message as n
        order by n.queued_message_id limit max_messages for update skip locked
    )
    returning 'queued:' || q.queued_message_id, q.subject, q.headers, q.payload;
$$;

comment on function @extschema@.dequeue_messages(integer)
is 'Takes the oldest queued messages out of the queue. They are sent once at most: who needs one asks again.';

create or replace function @extschema@.with_revision(plan jsonb) returns jsonb
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$ select plan || jsonb_build_object('revision', md5(plan::text)) $$;

comment on function @extschema@.with_revision(jsonb) is 'A plan with a revision that changes when the plan does.';

create or replace function @extschema@.is_over(since timestamptz, pause interval) returns boolean
language sql volatile
set search_path = pg_catalog, pg_temp
as $$ select since is null or clock_timestamp() not between since and since + pause $$;

comment on function @extschema@.is_over(timestamptz, interval)
is 'Whether a pause that began at a time is over. So it is when that time lies in the future: the clock was set back.';

create or replace function @extschema@.is_transient(error_code text) returns boolean
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$ select left(error_code, 2) in ('40', '53', '55', '57', '58') or error_code = '25006' $$;

comment on function @extschema@.is_transient(text)
is 'Whether an error (SQLSTATE) is the server''s trouble of the moment, so that trying again is right, not the message''s.';

create or replace function @extschema@.stream_name() returns text
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$ select @extschema@.get_setting('subject_prefix') || '_contributions' $$;

comment on function @extschema@.stream_name() is 'Name of the JetStream stream that takes contributions.';

create or replace function @extschema@.bridge_trouble(jetstream_mend text) returns text
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select case
        when b.seen_at is null then 'No bridge runs for this database: start singularity-bridge run.'
        when b.seen_at < clock_timestamp() - interval '10 seconds' then format(
            'The bridge has not reported since %s%s: start singularity-bridge run, or look at its log.',
            b.seen_at::timestamptz(0),
            (select format(', though it has its place (%s)', h.who) from @extschema@.bridge_holder() h)
        )
        when b.error is not null and not b.connected
            then format('The bridge has no connection to NATS (%s): run singularity-bridge check.',
                @extschema@.printable(b.error, 300))
        when b.error is not null then format('JetStream is not as it should be (%s): %s.',
            @extschema@.printable(b.error, 300), jetstream_mend)
    end
    from (select true as here) as one
    left join @extschema@.bridge_state as b on one.here
$$;

comment on function @extschema@.bridge_trouble(text)
is 'A sentence about what is wrong with the bridge, given the mend where it is JetStream; null when nothing is.';
