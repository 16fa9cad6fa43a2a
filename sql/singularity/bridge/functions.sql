-- The instance's half of the bridge's contract: what to have, what to send, what to do with what comes.

create or replace function singularity.stream_name() returns text
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$ select singularity.get_setting('subject_prefix') || '_contributions' $$;

comment on function singularity.stream_name() is 'Name of the JetStream stream that takes contributions.';

create or replace function singularity.bridge_plan() returns jsonb
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    prefix text := singularity.get_setting('subject_prefix');
    me uuid := (singularity.present_identity()).instance_id;
begin
    return singularity.with_revision(jsonb_build_object(
        'extension', 'singularity',
        'version', '@version@',
        'protocol', 1,
        'client_name', 'singularity/' || singularity.instance_name(),
        'inbox_prefix', prefix || '.inbox.' || me,
        'bell', 'singularity_bell',
        'poll_ms', 250,
        'tick_ms', 1000,
        'speaking', singularity.get_setting('mode') <> 'local' and not singularity.is_unclear(),
        'lanes', '[{"name": "question", "window": 32}, {"name": "sync", "window": 4}, {"name": "contribution", "window": 16}]'::jsonb,
        'streams', jsonb_build_array(jsonb_build_object('name', singularity.stream_name(), 'create', false)),
        'consumers', '[]'::jsonb,
        'subscriptions', jsonb_build_array(prefix || '.receipt.' || me, prefix || '.heads') || coalesce((
            select jsonb_agg(prefix || '.refined.' || t.namespace || '.' || t.kind order by t.namespace, t.kind)
            from singularity.topic t
        ), '[]'),
        'service', null
    ));
end
$$;

comment on function singularity.bridge_plan() is 'What the bridge is to have, consume and serve, as a JSON object.';

create or replace function singularity.bridge_attached() returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    update singularity.authority set welcomed_at = null, hello_sent_at = null, session_id = gen_random_uuid();
    update singularity.topic set requested_at = null;
    update singularity.comparison set requested_at = null;
    perform singularity.restore_indexes();
    if singularity.get_setting('mode') <> 'local' then
        -- what a restored dump or a crash has left unqueued
        perform singularity.backfill();
    end if;
end
$$;

comment on function singularity.bridge_attached() is 'What is to be done when a bridge takes over.';

create or replace function singularity.lanes_with_work() returns text[]
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    lanes text[] := array[]::text[];
begin
    if not exists (select from singularity.bridge_state b where b.connected)
        or singularity.get_setting('mode') = 'local' then
        return lanes;
    end if;
    if exists (select from singularity.question q where q.answered_at is null and now() not between q.next_attempt_at - interval '2 minutes' and q.next_attempt_at) then
        lanes := array_append(lanes, 'question');
    end if;
    if singularity.hello_is_due() or exists (select from singularity.topics_to_fetch())
        or singularity.comparison_is_due() then
        lanes := array_append(lanes, 'sync');
    end if;
    if singularity.may_contribute() and (
        exists (select from singularity.outbox o where o.shipment_id is null) or exists (select from singularity.outcome)
    ) then
        lanes := array_append(lanes, 'contribution');
    end if;
    return lanes;
end
$$;

comment on function singularity.lanes_with_work() is 'Names of the lanes that have something to send now.';

create or replace function singularity.hello_is_due() returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select exists (
        select from singularity.authority as a, singularity.bridge_state as b
        where (
            coalesce(a.welcomed_at not between b.connected_at and clock_timestamp(), true)
            or not singularity.is_confirmed()
        ) and (a.hello_sent_at < b.connected_at or singularity.is_over(a.hello_sent_at, '2 seconds'))
        -- whether the twin is gone
        or a.twin_at is not null and singularity.is_over(a.hello_sent_at, '10 seconds')
    )
$$;

comment on function singularity.hello_is_due() is 'Whether a hello is to be said: to a new connection or a new epoch, and again until it is answered.';

create or replace function singularity.topics_to_fetch() returns setof singularity.topic
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select t.* from singularity.topic as t
    where t.position < t.head and singularity.is_over(t.requested_at, '10 seconds')
        and singularity.is_online()
$$;

comment on function singularity.topics_to_fetch() is 'Topics that lag behind the authority and have no page under way.';

create or replace function singularity.bridge_outgoing(lane text, max_messages integer)
returns table (message_id text, via text, subject text, headers jsonb, payload bytea, timeout_ms integer)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set jit = off
as $$
#variable_conflict use_column
declare
    prefix text := singularity.get_setting('subject_prefix');
    me uuid := (singularity.present_identity()).instance_id;
    service text := prefix || '.centralcloud.';
begin
    case bridge_outgoing.lane
        when 'question' then
            return query
            select q.message_id, 'request', service || 'ask.' || me, null::jsonb, q.payload, 5000
            from singularity.next_questions(max_messages) as q;
        when 'sync' then
            return query
            select h.message_id, 'request', service || 'hello.' || me, null::jsonb, h.payload, 5000
            from singularity.next_hello() as h;
            return query
            select c.message_id, 'request', service || 'changes.' || me, null::jsonb, c.payload, 10000
            from singularity.next_change_requests(max_messages) as c;
            return query
            select d.message_id, 'request', service || 'digest.' || me, null::jsonb, d.payload, 10000
            from singularity.next_comparison() as d;
        when 'contribution' then
            perform singularity.fold_outcomes(10000);
            for i in 1 .. max_messages loop
                exit when not singularity.may_contribute();
                return query
                select s.message_id, 'stream', prefix || '.contribute.' || me, null::jsonb, s.payload, 5000
                from singularity.next_shipment() as s;
                exit when not found;
            end loop;
    end case;
end
$$;

comment on function singularity.bridge_outgoing(text, integer)
is 'Messages of a lane to send now; they are marked as offered, so the transaction is committed before they are sent.';

create or replace function singularity.request(type text, request text) returns jsonb
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select jsonb_build_object(
        'type', request.type, 'request', request.request,
        'instance', (singularity.present_identity()).instance_id,
        'session', (select a.session_id from singularity.authority as a)
    )
$$;

comment on function singularity.request(text, text) is 'What every request to the authority says: its type and id, and who asks.';

create or replace function singularity.next_questions(max_questions integer)
returns table (message_id text, payload bytea)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return query
    with due as (
        select q.question_id from singularity.question q
        where q.answered_at is null and now() not between q.next_attempt_at - interval '2 minutes' and q.next_attempt_at
            and q.asked_at > now() - singularity.get_setting('question_ttl')::interval
        order by q.next_attempt_at limit max_questions for update skip locked
    ), sent as (
        update singularity.question q set
            attempts = q.attempts + 1,
            -- beyond the time that the answer may take, and ever longer
            next_attempt_at = clock_timestamp() + least(6 + power(2, q.attempts), 60) * interval '1 second'
        from due where q.question_id = due.question_id
        returning q.*
    )
    select 'question:' || s.question_id, singularity.encode_message(singularity.request('ask', s.question_id::text) || jsonb_build_object(
        'query', s.query, 'namespace', s.namespace, 'kind', s.kind, 'name', s.name, 'tags', s.tags
    ))
    from sent s;
end
$$;

comment on function singularity.next_questions(integer) is 'Questions to send now, as requests to the authority.';

create or replace function singularity.next_hello() returns table (message_id text, payload bytea)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    if not singularity.hello_is_due() then
        return;
    end if;
    update singularity.authority as a set
        hello_sent_at = clock_timestamp(),
        stream_awaited = case when a.hello_sent_at is null or a.hello_sent_at < b.connected_at or a.stream_awaited is null
            then (b.streams -> singularity.stream_name() ->> 'last_sequence')::bigint else a.stream_awaited end
    from singularity.bridge_state as b;
    return query
    select 'hello:' || i.instance_id, singularity.encode_message(singularity.request('hello', 'hello') || jsonb_build_object(
        'instance_name', singularity.instance_name(),
        'environment', singularity.get_setting('environment'), 'incarnation', i.incarnation,
        'extension_version', '@version@', 'greatest_version', s.last_value
    ))
    from singularity.present_identity() as i, singularity.version as s;
end
$$;

comment on function singularity.next_hello() is 'A hello to the authority when one is due.';

create or replace function singularity.next_change_requests(max_requests integer)
returns table (message_id text, payload bytea)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return query
    with due as (
        select t.namespace, t.kind from singularity.topics_to_fetch() as t limit max_requests
    ), asked as (
        update singularity.topic t set requested_at = clock_timestamp()
        from due where t.namespace = due.namespace and t.kind = due.kind
        returning t.*
    )
    select 'changes:' || a.namespace || '/' || a.kind, singularity.encode_message(
        singularity.request('changes', a.namespace || '/' || a.kind)
        || jsonb_build_object('namespace', a.namespace, 'kind', a.kind, 'after', a.position)
    )
    from asked a;
end
$$;

comment on function singularity.next_change_requests(integer) is 'Requests for pages of changes of topics that lag behind.';

create or replace function singularity.bridge_result(results jsonb) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set jit = off
as $$
#variable_conflict use_column
declare
    result record;
begin
    update singularity.shipment s set
        stream_created = r.stream_created, stream_sequence = r.sequence,
        failed_at = case when not r.ok then clock_timestamp() end, failure = r.error
    from jsonb_to_recordset(results) as r (message_id text, ok boolean, stream_created text, sequence bigint, error text)
    where r.message_id = 'contribution:' || s.shipment_id;
    for result in
        select r.message_id, r.ok, decode(r.reply, 'base64') as reply
        from jsonb_to_recordset(results) as r (message_id text, ok boolean, reply text)
        where r.message_id not like 'contribution:%'
    loop
        if result.ok then
            perform singularity.take_reply(result.message_id, result.reply);
        else
            perform singularity.note_failed_request(result.message_id);
        end if;
    end loop;
end
$$;

comment on function singularity.bridge_result(jsonb) is 'Takes what became of messages that were sent: acknowledgements, replies and failures.';

create or replace function singularity.note_failed_request(message_id text) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    if split_part(message_id, ':', 1) = 'question' then
        update singularity.question q set
            next_attempt_at = clock_timestamp() + least(power(2, q.attempts - 1), 30) * interval '1 second'
        where q.question_id = split_part(note_failed_request.message_id, ':', 2)::uuid;
    elsif split_part(message_id, ':', 1) = 'changes' then
        -- not at once: topics_to_fetch() tries again after a pause
        update singularity.topic t set requested_at = clock_timestamp() - interval '8 seconds'
        where t.namespace || '/' || t.kind = split_part(note_failed_request.message_id, ':', 2);
    elsif split_part(message_id, ':', 1) = 'digest' then
        update singularity.comparison c set requested_at = clock_timestamp() - interval '8 seconds'
        where c.requested_at is not null;
    end if;
end
$$;

comment on function singularity.note_failed_request(text) is 'A request without an answer is tried again after a pause that grows.';

create or replace function singularity.apply_reply(message_id text, body jsonb) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    about text := split_part(message_id, ':', 1);
begin
    if body ->> 'request' is distinct from (case about when 'hello' then 'hello' else split_part(message_id, ':', 2) end) then
        raise exception using errcode = 'invalid_parameter_value',
            message = format('reply to request %L came for %L', body ->> 'request', message_id);
    end if;
    perform singularity.hear_authority(body ->> 'epoch'), singularity.hear_of_twin((body ->> 'twin')::boolean);
    case about || ' ' || (body ->> 'type')
        when 'question answer' then
            perform singularity.take_answer(split_part(message_id, ':', 2)::uuid, body);
        when 'changes changes' then
            perform singularity.apply_refined(body);
            update singularity.topic t set requested_at = null, head = greatest(t.head, (body ->> 'head')::bigint)
            where t.namespace = body ->> 'namespace' and t.kind = body ->> 'kind';
        when 'hello welcome' then
            perform singularity.take_welcome(body);
        when 'digest digest' then
            perform singularity.take_comparison(body);
        else
            raise exception using errcode = 'feature_not_supported',
                message = format('reply of type %L came for %L', body ->> 'type', message_id);
    end case;
    -- an earlier one that could not be applied is made good
    delete from singularity.dead_letter d where d.subject = 'reply to ' || apply_reply.message_id;
end
$$;

comment on function singularity.apply_reply(text, jsonb) is 'Applies the authority''s reply to a request.';

create or replace function singularity.take_reply(message_id text, payload bytea) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    perform singularity.apply_reply(message_id, singularity.decode_message(payload));
exception when others then
    if singularity.is_transient(sqlstate) then
        raise;
    end if;
    insert into singularity.dead_letter as d (subject, payload, meta, error_code, error)
    values ('reply to ' || take_reply.message_id, take_reply.payload, '{}', sqlstate, sqlerrm)
    on conflict (subject, sha256(payload)) do update set received_at = now();
    perform singularity.note_failed_request(take_reply.message_id);
end
$$;

comment on function singularity.take_reply(text, bytea)
is 'Applies the authority''s reply to a request; one that cannot be applied becomes a dead letter and the request is tried again.';

create or replace function singularity.take_answer(question_id uuid, body jsonb) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    rows_found integer := jsonb_array_length(body -> 'rows');
    answered uuid;
begin
    perform singularity.take_rows(body -> 'rows', body ->> 'epoch', true);
    -- an answer from before what is known here already: what came since, a removal perhaps, is fetched again
    update singularity.topic t set position = h.head::bigint
    from jsonb_each_text(body -> 'heads') as h (topic, head)
    where t.namespace || '/' || t.kind = h.topic and t.position > h.head::bigint;
    perform singularity.mind_topics(body -> 'heads');
    for answered in
        update singularity.question q set answered_at = clock_timestamp(), results = rows_found
        from singularity.question asked
        where asked.question_id = take_answer.question_id
            and q.question_key = asked.question_key and q.answered_at is null
        returning q.question_id
    loop
        perform pg_notify(
            'singularity_answer', json_build_object('question_id', answered, 'results', rows_found)::text
        );
    end loop;
end
$$;

comment on function singularity.take_answer(uuid, jsonb)
is 'Keeps the rows of an answer, closes every open question that asked the same and announces each on singularity_answer.';

create or replace function singularity.take_welcome(body jsonb) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    update singularity.authority set welcomed_at = clock_timestamp();
    perform singularity.confirm_identity((body ->> 'known_version')::bigint), singularity.hear_heads(body -> 'heads'),
        singularity.want_comparison();
end
$$;

comment on function singularity.take_welcome(jsonb)
is 'Takes the authority''s answer to a hello: the greatest version it knows of this instance, and heads.';

create or replace function singularity.apply_messages(subjects text[], bodies jsonb[], meta jsonb[])
returns table (subject_number integer, subject text, headers jsonb, payload bytea)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    records jsonb;
    body jsonb;
begin
    select jsonb_agg(r.value) into records
    from unnest(bodies) as b (body)
    cross join lateral jsonb_array_elements(b.body -> 'records') as r
    where b.body ->> 'type' = 'receipt';
    if records is not null then
        perform singularity.apply_receipts(records);
    end if;
    for i in 1 .. cardinality(bodies) loop
        body := bodies[i];
        if subjects[i] like 'reply to %' then
            -- replayed: nobody else can publish on a subject with blanks
            perform singularity.apply_reply(substr(subjects[i], 10), body);
            continue;
        end if;
        perform singularity.hear_authority(body ->> 'epoch');
        case body ->> 'type'
            when 'receipt' then
                perform singularity.mind_topics(body -> 'heads');
            when 'refined' then
                perform singularity.apply_refined(body);
            when 'heads' then
                perform singularity.hear_heads(body -> 'heads');
                update singularity.authority set
                    stream_created = body ->> 'stream_created', stream_passed = (body ->> 'stream_passed')::bigint;
            else
                raise exception using errcode = 'feature_not_supported',
                    message = format('message of unknown type %L', body ->> 'type');
        end case;
    end loop;
    return;
end
$$;

comment on function singularity.apply_messages(text[], jsonb[], jsonb[])
is 'Applies receipts, refined knowledge and heartbeats; an instance publishes nothing in reply.';

create or replace function singularity.parts_of(payload bytea) returns bytea[]
language sql immutable
set search_path = pg_catalog, pg_temp
as $$ select '{}'::bytea[] $$;

comment on function singularity.parts_of(bytea) is 'What comes to an instance is not divided: where rows cannot be taken, take_rows() tries each.';

create or replace function singularity.answer_poison(from_subject text, from_payload bytea, error text)
returns table (subject text, headers jsonb, payload bytea)
language sql immutable
set search_path = pg_catalog, pg_temp
as $$ select null::text, null::jsonb, null::bytea where false $$;

comment on function singularity.answer_poison(text, bytea, text) is 'An instance answers nothing to a message that it cannot apply.';

create or replace function singularity.bridge_serve(subject text, payload bytea) returns bytea
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set jit = off
as $$
begin
    raise exception using errcode = 'feature_not_supported',
        message = format('an instance serves no requests, one came on %s', bridge_serve.subject);
end
$$;

comment on function singularity.bridge_serve(text, bytea) is 'An instance serves no requests: always raises 0A000.';

create or replace function singularity.background() returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform singularity.fold_outcomes(10000), singularity.expire_questions(), singularity.delete_forgotten_copies(),
        singularity.fold_lexemes(1000), singularity.index_vectors(200);
    if singularity.get_setting('mode') <> 'local' then
        perform singularity.finish_backfill(), singularity.resend_lost_shipments(), singularity.prepare_topics(),
            singularity.begin_comparison(), singularity.end_comparison();
    end if;
end
$$;

comment on function singularity.background() is 'The work that the bridge''s tick does.';

create or replace procedure singularity.maintain()
language plpgsql
as $$
declare
    committed boolean;
begin
    while singularity.fold_outcomes(10000) operator(pg_catalog.>) 0 loop
        call singularity.try_commit(committed);
    end loop;
    perform singularity.expire_questions();
    call singularity.maintain_search();
end
$$;

comment on procedure singularity.maintain()
is 'The background work of a database without a bridge: adds outcomes up into evidence, lets old questions go, counts lexemes '
'and puts the vectors of learn_many() into their index, in batches that commit (not inside a transaction block). A bridge '
'does the same by itself.';
