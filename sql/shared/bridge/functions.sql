-- The half of the bridge's contract that is the same on both sides. What differs is in the functions that these call:
-- bridge_plan, bridge_attached, queues_with_work, apply_messages, parts_of, answer_poison, troubles and background.

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
    perform @extschema@.background();
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
    parts bytea[];
begin
    begin
        return query
        select a.subject, a.headers, a.payload
        from @extschema@.apply_messages(
            array[from_subject], array[@extschema@.decode_message(from_payload)], array[receive_alone.meta]
        ) as a;
        return;
    exception when others then
        if @extschema@.is_transient(sqlstate) then
            raise;
        end if;
        parts := @extschema@.parts_of(from_payload);
        if cardinality(parts) < 2 then
            perform @extschema@.keep_dead_letter(from_subject, from_payload, receive_alone.meta, sqlstate, sqlerrm);
            return query
            select a.subject, a.headers, a.payload
            from @extschema@.answer_poison(from_subject, from_payload, sqlerrm) as a;
            return;
        end if;
    end;
    -- one record of it is poison: each is tried alone
    return query
    select a.subject, a.headers, a.payload
    from unnest(parts) as p (payload)
    cross join lateral @extschema@.receive_alone(from_subject, p.payload, receive_alone.meta) as a;
end
$$;

comment on function @extschema@.receive_alone(text, bytea, jsonb)
is 'Applies one message; where that fails, each of its records; what cannot be applied is kept as a dead letter with its error.';

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
            then format('The bridge has no connection to NATS (%s): run singularity-bridge check.', b.error)
        when b.error is not null then format('JetStream is not as it should be (%s): %s.', b.error, jetstream_mend)
    end
    from (select true as here) as one
    left join @extschema@.bridge_state as b on one.here
$$;

comment on function @extschema@.bridge_trouble(text)
is 'A sentence about what is wrong with the bridge, given the mend where it is JetStream; null when nothing is.';
