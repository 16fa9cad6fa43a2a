-- The authority's half of the bridge's contract: what to have, what to publish, what to do with what comes.

create or replace function centralcloud.stream_name() returns text
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$ select centralcloud.get_setting('subject_prefix') || '_contributions' $$;

comment on function centralcloud.stream_name() is 'Name of the JetStream stream that takes contributions.';

create or replace function centralcloud.bridge_plan() returns jsonb
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    prefix text := centralcloud.get_setting('subject_prefix');
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
        'lanes', '[{"name": "heartbeat", "window": 4}, {"name": "refined", "window": 64}]'::jsonb,
        'streams', jsonb_build_array(jsonb_build_object(
            'name', centralcloud.stream_name(), 'subjects', jsonb_build_array(prefix || '.contribute.*'), 'create', true,
            'retention', 'workqueue', 'discard', 'new', 'duplicate_window_s', 120,
            'max_bytes', centralcloud.get_setting('stream_max_bytes')::bigint
        )),
        'consumers', jsonb_build_array(jsonb_build_object(
            'stream', centralcloud.stream_name(), 'durable', 'centralcloud', 'batch', 16, 'ack_wait_s', 30,
            'max_ack_pending', 64
        )),
        'subscriptions', '[]'::jsonb,
        'service', jsonb_build_object(
            'name', 'centralcloud', 'version', '@version@', 'description', 'The knowledge authority of Singularity',
            'endpoints', (
                select jsonb_agg(jsonb_build_object('name', e.name, 'subject', prefix || '.centralcloud.' || e.name || '.*'))
                from unnest(array['hello', 'ask', 'changes', 'digest']) as e (name)
            )
        )
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
    on conflict (only_row) do update set epoch = excluded.epoch, heads_sent_at = null;
    perform centralcloud.restore_indexes();
end
$$;

comment on function centralcloud.bridge_attached() is 'What is to be done when a bridge takes over: a new epoch begins.';

create or replace function centralcloud.lanes_with_work() returns text[]
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    lanes text[] := array[]::text[];
begin
    if not exists (select from centralcloud.bridge_state b where b.connected) then
        return lanes;
    end if;
    if exists (select from centralcloud.publisher p where centralcloud.is_over(p.heads_sent_at, '900 milliseconds')) then
        lanes := array_append(lanes, 'heartbeat');
    end if;
    if exists (select from centralcloud.unpublished) or exists (select from centralcloud.queued_message) then
        lanes := array_append(lanes, 'refined');
    end if;
    return lanes;
end
$$;

comment on function centralcloud.lanes_with_work() is 'Names of the lanes that have something to send now.';

create or replace function centralcloud.bridge_outgoing(lane text, max_messages integer)
returns table (message_id text, via text, subject text, headers jsonb, payload bytea, timeout_ms integer)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set jit = off
as $$
#variable_conflict use_column
begin
    case bridge_outgoing.lane
        when 'heartbeat' then
            return query
            select h.message_id, 'publish', h.subject, null::jsonb, h.payload, 5000 from centralcloud.next_heartbeat() as h;
        when 'refined' then
            return query
            select q.message_id, 'publish', q.subject, q.headers, q.payload, 5000
            from centralcloud.take_queued_messages(max_messages) as q;
            return query
            select p.message_id, 'publish', p.subject, null::jsonb, p.payload, 5000
            from centralcloud.publish(1000, max_messages * centralcloud.message_limit()::bigint / 2) as p;
    end case;
end
$$;

comment on function centralcloud.bridge_outgoing(text, integer)
is 'Messages of a lane to send now; the transaction is committed before they are sent.';

create or replace function centralcloud.bridge_result(results jsonb) returns void
language sql immutable
set search_path = pg_catalog, pg_temp
set jit = off
as $$ select null::void where results is null $$;

comment on function centralcloud.bridge_result(jsonb)
is 'What became of messages that were sent. The authority publishes without waiting for anybody, so there is nothing to note.';

create or replace function centralcloud.receipt_records(receipts jsonb) returns jsonb
language sql immutable strict parallel safe
set search_path = pg_catalog, pg_temp
as $$ select jsonb_agg(jsonb_strip_nulls(r.value)) from jsonb_array_elements(receipts) as r $$;

comment on function centralcloud.receipt_records(jsonb) is 'Records of a receipt without the fields that are null.';

create or replace function centralcloud.apply_messages(subjects text[], bodies jsonb[], meta jsonb[])
returns table (subject_number integer, subject text, headers jsonb, payload bytea)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    incoming centralcloud.incoming[];
    twins uuid[];
    heads jsonb := centralcloud.heads();
    unknown text := (select min(b.body ->> 'type') from unnest(bodies) as b (body) where b.body ->> 'type' <> 'contribution');
begin
    if unknown is not null then
        raise exception using errcode = 'feature_not_supported', message = format('message of unknown type %L', unknown);
    end if;
    perform centralcloud.register_instances(subjects, bodies);
    incoming := array(select r from centralcloud.read_contributions(subjects, bodies) as r);
    -- before it is stored, since the greater state takes the place of the other one
    twins := array(select v.instance_id from centralcloud.verdicts(incoming) as v where v.twin);
    perform centralcloud.store_contributions(incoming);
    perform centralcloud.refresh_artifacts(
        array(select distinct r.artifact_id from unnest(incoming) as r where r.refusal is null order by 1)
    );
    update centralcloud.instance i set twin_alarm_at = now()
    where i.instance_id = any (twins)
        or i.instance_id in (select v.instance_id from centralcloud.verdicts(incoming) as v where v.twin);
    return query
    select v.message, r.subject, null::jsonb, centralcloud.receipt(
        jsonb_agg(jsonb_build_object('artifact_id', v.artifact_id, 'variant', v.variant, 'incarnation', v.incarnation,
            'version', v.version, 'verdict', v.verdict, 'reason', v.reason)),
        (
            select jsonb_object_agg(t.topic, coalesce(heads -> t.topic, '0'))
            from (
                select distinct i.namespace || '/' || i.kind as topic
                from unnest(incoming) as i where i.message = v.message and i.refusal is null
            ) as t
        )
    )
    from centralcloud.verdicts(incoming) as v
    cross join lateral (
        select format('%s.receipt.%s', centralcloud.get_setting('subject_prefix'), v.instance_id) as subject
    ) as r
    group by v.message, r.subject;
end
$$;

comment on function centralcloud.apply_messages(text[], jsonb[], jsonb[])
is 'Applies contributions and returns a receipt for each message, with a verdict for each record.';

create or replace function centralcloud.receipt(records jsonb, heads jsonb) returns bytea
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select centralcloud.encode_message(jsonb_build_object(
        'type', 'receipt', 'epoch', centralcloud.epoch(), 'records', centralcloud.receipt_records(records),
        'heads', coalesce(heads, '{}')
    ))
$$;

comment on function centralcloud.receipt(jsonb, jsonb)
is 'A receipt: records with their verdicts, and the heads of their topics as they were before.';

create or replace function centralcloud.parts_of(payload bytea) returns bytea[]
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    body jsonb;
begin
    body := centralcloud.decode_message(payload);
    return array(
        select centralcloud.encode_message(body || jsonb_build_object('records', jsonb_build_array(r.value)))
        from jsonb_array_elements(body -> 'records') as r
    );
exception when data_exception or feature_not_supported then
    -- not even its records can be read
    return '{}'::bytea[];
end
$$;

comment on function centralcloud.parts_of(bytea) is 'A message of several records as one message for each; empty when it cannot be read.';

create or replace function centralcloud.answer_poison(from_subject text, from_payload bytea, error text)
returns table (subject text, headers jsonb, payload bytea)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return query
    select
        format('%s.receipt.%s', centralcloud.get_setting('subject_prefix'), centralcloud.subject_instance(from_subject)),
        null::jsonb,
        centralcloud.receipt(jsonb_agg(jsonb_build_object(
            'artifact_id', centralcloud.artifact_id(r.value ->> 'namespace', r.value ->> 'kind', r.value ->> 'name'),
            'variant', case when r.value ->> 'what' = 'evidence' then r.value ->> 'variant' end,
            'incarnation', r.value ->> 'incarnation', 'version', (r.value ->> 'version')::bigint,
            'verdict', 'set aside', 'reason', left(error, 500)
        )), '{}')
    from jsonb_array_elements(convert_from(from_payload, 'UTF8')::jsonb -> 'records') as r
    where centralcloud.subject_instance(from_subject) is not null
    having count(*) > 0;
exception when data_exception then
    -- not even its records can be read: the dead letter is all there is
    return;
end
$$;

comment on function centralcloud.answer_poison(text, bytea, text)
is 'A receipt that says "set aside" for every record of a message that could not be applied, as far as they can be read.';

create or replace function centralcloud.bridge_serve(subject text, payload bytea) returns bytea
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
    request jsonb := centralcloud.decode_message(bridge_serve.payload);
    speaker uuid := centralcloud.check_speaker(bridge_serve.subject, request);
    reply jsonb;
begin
    case request ->> 'type'
        when 'ask' then reply := centralcloud.answer(request);
        when 'changes' then reply := centralcloud.changes(request);
        when 'hello' then reply := centralcloud.welcome(speaker, request);
        when 'digest' then reply := centralcloud.compare(request, speaker);
        else
            raise exception using errcode = 'feature_not_supported',
                message = format('request of unknown type %L', request ->> 'type');
    end case;
    return centralcloud.encode_message(reply || jsonb_build_object(
        'request', request -> 'request', 'epoch', centralcloud.epoch(),
        'twin', centralcloud.note_session(speaker, (request ->> 'session')::uuid)
    ));
end
$$;

comment on function centralcloud.bridge_serve(text, bytea)
is 'Answers a request: ask, changes, hello or digest. Raises 42501 when subject and payload name different instances.';

create or replace function centralcloud.background() returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    today timestamptz := date_trunc('day', now(), 'UTC');
begin
    if coalesce(centralcloud.get_setting('scored_as_of')::timestamptz < today, true) then
        perform centralcloud.rescore(today);
    end if;
    perform centralcloud.score_queued(500), centralcloud.fold_lexemes(1000), centralcloud.index_vectors(200);
end
$$;

comment on function centralcloud.background() is 'The work that the bridge''s tick does: once a day, outcomes are weighted anew by their age; '
'lexemes are counted and vectors put into their index.';

create or replace procedure centralcloud.maintain()
language plpgsql
as $$
begin
    call centralcloud.maintain_search();
end
$$;

comment on procedure centralcloud.maintain()
is 'Counts lexemes and puts vectors into their index, in batches that commit. The bridge does the same by itself.';
