-- The authority's half of the bridge's contract: what to have, what to publish, what to do with what comes.

create or replace function centralcloud.bridge_probes() returns jsonb
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select jsonb_build_object(
        'may_publish', jsonb_build_array(
            p.prefix || '.receipt.' || p.nobody, p.prefix || '.refined.CHECK.CHECK',
            p.prefix || '.inbox.' || p.nobody || '.check', '$JS.API.STREAM.UPDATE.' || p.stream,
            '$JS.API.CONSUMER.CREATE.' || p.stream || '.centralcloud',
            '$JS.API.CONSUMER.MSG.NEXT.' || p.stream || '.centralcloud', '$JS.ACK.' || p.stream || '.centralcloud.check'
        ),
        'must_not_publish', jsonb_build_array(
            p.prefix || '.contribute.' || p.nobody, p.prefix || '.centralcloud.check.' || p.nobody,
            '$JS.API.STREAM.PURGE.' || p.stream, '$JS.API.STREAM.DELETE.' || p.stream
        ),
        'must_not_subscribe', jsonb_build_array(
            p.prefix || '.contribute.*', p.prefix || '.receipt.' || p.nobody, p.prefix || '.inbox.' || p.nobody || '.>'
        )
    )
    from (
        select centralcloud.get_setting('subject_prefix') as prefix, centralcloud.stream_name() as stream,
            '00000000-0000-0000-0000-000000000000' as nobody
    ) as p
$$;

comment on function centralcloud.bridge_probes()
is 'Subjects by which `singularity-bridge check` tries NATS permissions: what is published there does nothing.';

create or replace function centralcloud.bridge_plan() returns jsonb
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    prefix text := centralcloud.get_setting('subject_prefix');
    queues constant jsonb := '[{"name": "heartbeat", "window": 4}, {"name": "refined", "window": 64}]'::jsonb;
begin
    return centralcloud.with_revision(jsonb_build_object(
        'extension', 'centralcloud',
        'version', '@version@',
        'protocol', 1,
        'client_name', 'centralcloud',
        'inbox_prefix', prefix || '.inbox.centralcloud',
        'bell', 'centralcloud_bell',
        'poll_ms', 250,
        'tick_ms', 1000,
        'speaking', true,
        'queues', queues,
        'lanes', queues, -- what a bridge before 0.3 reads
        'streams', jsonb_build_array(jsonb_build_object(
            'name', centralcloud.stream_name(), 'subjects', jsonb_build_array(prefix || '.contribute.*'),
            'create', true,
            'retention', 'workqueue', 'discard', 'new', 'duplicate_window_s', 120,
            'max_bytes', centralcloud.get_setting('stream_max_bytes')::bigint,
            'max_messages_per_subject', centralcloud.get_setting('stream_messages')::bigint
        )),
        'consumers', jsonb_build_array(jsonb_build_object(
            'stream', centralcloud.stream_name(), 'durable', 'centralcloud', 'batch', 16,
            -- what a dead bridge held comes again after that; a living one says in time that it works on it
            'ack_wait_s', 5, 'max_ack_pending', 10000
        )),
        'subscriptions', '[]'::jsonb,
        'signing_keys', centralcloud.signing_keys(),
        'service', jsonb_build_object(
            'name', 'centralcloud', 'version', '@version@', 'description', 'The knowledge authority of Singularity',
            'reply_prefix', prefix || '.inbox.',
            'timeout_ms', centralcloud.get_setting('request_timeout')::integer * 1000,
            'endpoints', (
                select jsonb_agg(jsonb_build_object(
                    'name', e.name, 'subject', prefix || '.centralcloud.' || e.name || '.*'
                ))
                from unnest(array['hello', 'ask', 'heads', 'changes', 'digest']) as e (name)
            )
        ),
        'probes', centralcloud.bridge_probes()
    ));
end
$$;

comment on function centralcloud.bridge_plan() is 'What the bridge is to have, consume and serve, as a JSON object.';

create or replace function centralcloud.bridge_attached() returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    insert into centralcloud.publisher (epoch) values (gen_random_uuid()::text)
    on conflict (only_row) do update set
        epoch = excluded.epoch, heads_sent_at = null, changes_sent = publisher.changes;
    perform centralcloud.restore_indexes(), centralcloud.repair_versions();
end
$$;

comment on function centralcloud.bridge_attached() is 'What is to be done when a bridge takes over: a new epoch begins.';

create or replace function centralcloud.queues_with_work() returns text[]
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    queues text[] := array[]::text[];
begin
    if not exists (select from centralcloud.bridge_state b where b.connected) then
        return queues;
    end if;
    if centralcloud.heartbeat_is_due() then
        queues := array_append(queues, 'heartbeat');
    end if;
    if exists (select from centralcloud.unpublished) or exists (select from centralcloud.queued_message) then
        queues := array_append(queues, 'refined');
    end if;
    return queues;
end
$$;

comment on function centralcloud.queues_with_work() is 'Names of the queues that have something to send now.';

create or replace function centralcloud.bridge_outgoing(queue text, max_messages integer)
returns table (message_id text, via text, subject text, headers jsonb, payload bytea, timeout_ms integer)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set jit = off
as $$
#variable_conflict use_column
begin
    case bridge_outgoing.queue
        when 'heartbeat' then
            return query
            select h.message_id, 'publish', h.subject, null::jsonb, h.payload, 5000
            from centralcloud.next_heartbeat() as h;
            return query
            select k.message_id, 'publish', k.subject, k.headers, k.payload, 5000
            from centralcloud.next_key_announcements() as k;
        when 'refined' then
            return query
            select q.message_id, 'publish', q.subject, q.headers, q.payload, 5000
            from centralcloud.dequeue_messages(max_messages) as q;
            return query
            select p.message_id, 'publish', p.subject, null::jsonb, p.payload, 5000
            from centralcloud.publish(1000, max_messages * centralcloud.message_limit()::bigint / 2) as p;
    end case;
end
$$;

comment on function centralcloud.bridge_outgoing(text, integer)
is 'Messages of a queue to send now; the transaction is committed before they are sent.';

create or replace function centralcloud.bridge_result(results jsonb) returns void
language sql immutable
set search_path = pg_catalog, pg_temp
set jit = off
as $$ select null::void where results is null $$;

comment on function centralcloud.bridge_result(jsonb)
is 'What became of messages that were sent. The authority publishes without waiting for anybody, so there is nothing to note.';

create or replace function centralcloud.apply_messages(subjects text[], bodies jsonb[], meta jsonb[])
returns table (subject_number integer, subject text, headers jsonb, payload bytea)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    unknown constant text := (
        select min(b.body ->> 'type') from unnest(bodies) as b (body) where b.body ->> 'type' <> 'contribution'
    );
    speakers uuid[];
    waiting interval[];
    now_due integer[];
    incoming centralcloud.incoming[];
    before jsonb;
    heads jsonb;
begin
    if unknown is not null then
        raise exception using errcode = 'feature_not_supported',
            message = format('message of unknown type %L', centralcloud.printable(unknown));
    end if;
    speakers := array(
        select centralcloud.check_speaker(b.subject, b.body)
        from unnest(subjects, bodies) with ordinality as b (subject, body, n) order by b.n
    );
    waiting := centralcloud.delays(speakers, bodies, meta);
    now_due := array(select n from generate_subscripts(bodies, 1) as n where waiting[n] = '0' order by n);
    return query
    select n - 1, null::text, jsonb_build_object('delay_ms', ceil(extract(epoch from waiting[n]) * 1000)), null::bytea
    from generate_subscripts(bodies, 1) as n where waiting[n] > '0';
    speakers := array(select speakers[d.n] from unnest(now_due) with ordinality as d (n, place) order by d.place);
    bodies := array(select bodies[d.n] from unnest(now_due) with ordinality as d (n, place) order by d.place);
    meta := array(select meta[d.n] from unnest(now_due) with ordinality as d (n, place) order by d.place);
    incoming := centralcloud.judge_quotas(array(select r from centralcloud.read_contributions(speakers, bodies) as r));
    heads := centralcloud.heads(array(
        select distinct centralcloud.topic_name((i.record).namespace, (i.record).kind)
        from unnest(incoming) as i where i.verdict <> 'refused'
    ));
    before := centralcloud.measure(incoming);
    perform centralcloud.register_instances(speakers, bodies, incoming), centralcloud.store_contributions(incoming),
        centralcloud.note_signers(speakers, meta);
    perform centralcloud.count_states(incoming, before);
    perform centralcloud.refresh_artifacts(
        array(select distinct i.artifact_id from unnest(incoming) as i where i.verdict <> 'refused' order by 1)
    );
    return query
    select now_due[r.message + 1] - 1, r.subject, null::jsonb, r.payload
    from centralcloud.receipts(incoming, heads) as r;
end
$$;

comment on function centralcloud.apply_messages(text[], jsonb[], jsonb[])
is 'Applies contributions and returns a receipt for each message, with a verdict for each record; for a message that comes faster '
'than its instance may send a row without a subject, with the header delay_ms.';

create or replace function centralcloud.bridge_serve(subject text, payload bytea, meta jsonb) returns bytea
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
    reason text := centralcloud.rejection_reason(bridge_serve.subject, bridge_serve.payload, bridge_serve.meta);
    request jsonb;
    speaker uuid;
    reply jsonb;
    twin boolean;
begin
    if reason is null and not centralcloud.is_own_inbox(
        bridge_serve.meta ->> 'reply', centralcloud.subject_instance(bridge_serve.subject)
    ) then
        reason := 'inbox';
    end if;
    if reason is not null then
        perform centralcloud.count_rejection(reason, bridge_serve.subject, bridge_serve.meta ->> 'signer');
        return null;
    end if;
    request := centralcloud.decode_message(bridge_serve.payload);
    speaker := centralcloud.check_speaker(bridge_serve.subject, request);
    perform centralcloud.check_rate(speaker, request ->> 'type');
    case request ->> 'type'
        when 'ask' then reply := centralcloud.answer(request, speaker);
        when 'changes' then reply := centralcloud.changes(request, speaker);
        when 'heads' then reply := centralcloud.topic_heads(request, speaker);
        when 'hello' then
            reply := centralcloud.welcome(speaker, request);
            perform centralcloud.note_signers(array[speaker], array[bridge_serve.meta]);
            reply := reply || jsonb_build_object('public_key', centralcloud.note_new_key(
                speaker, bridge_serve.meta ->> 'signer', request ->> 'public_key'
            ));
        when 'digest' then reply := centralcloud.compare(request, speaker);
        else
            raise exception using errcode = 'feature_not_supported',
                message = format('request of unknown type %L', centralcloud.printable(request ->> 'type'));
    end case;
    twin := centralcloud.note_session(speaker, (request ->> 'session')::uuid);
    perform centralcloud.count_request(speaker);
    return centralcloud.encode_message(reply || jsonb_build_object(
        'request', request -> 'request', 'epoch', centralcloud.epoch(), 'twin', twin
    ));
end
$$;

comment on function centralcloud.bridge_serve(text, bytea, jsonb)
is 'Answers a request: ask, heads, changes, hello or digest; meta has its signer and its reply subject. Null, nothing is to be answered, '
'when it is not authentic or the reply is to go elsewhere than to the inbox of who asks. Raises 42501 when subject and payload '
'name different instances, 53400 for more requests than the instance may make.';

create or replace function centralcloud.bridge_serve(subject text, payload bytea) returns bytea
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    reply bytea := centralcloud.bridge_serve(bridge_serve.subject, bridge_serve.payload, jsonb_build_object(
        'reply', format('%s.inbox.%s.', centralcloud.get_setting('subject_prefix'),
            centralcloud.subject_instance(bridge_serve.subject))
    ));
begin
    if reply is null then
        raise exception using errcode = 'insufficient_privilege',
            message = format('a request on %s is not signed, or its signature was not verified', bridge_serve.subject),
            hint = 'Upgrade the bridges on both sides, or set unsigned_messages to accept meanwhile.';
    end if;
    return reply;
end
$$;

comment on function centralcloud.bridge_serve(text, bytea)
is 'The same for a bridge before 0.3, which knows neither signer nor reply subject: raises 42501 unless unsigned_messages is accept.';
