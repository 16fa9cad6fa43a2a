-- The instance's half of the bridge's contract: what to have, what to send, what to do with what comes.

create or replace function singularity.bridge_probes(me uuid) returns jsonb
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select jsonb_build_object(
        'may_publish', jsonb_build_array(p.prefix || '.contribute.' || me, p.prefix || '.centralcloud.check.' || me),
        'must_not_publish', jsonb_build_array(
            p.prefix || '.contribute.' || p.nobody, p.prefix || '.centralcloud.check.' || p.nobody,
            p.prefix || '.receipt.' || p.nobody, p.prefix || '.refined.CHECK.CHECK',
            p.prefix || '.inbox.' || p.nobody || '.check', '$JS.API.STREAM.PURGE.' || singularity.stream_name(),
            '$JS.API.STREAM.MSG.GET.' || singularity.stream_name()
        ),
        'must_not_subscribe', jsonb_build_array(
            p.prefix || '.contribute.*', p.prefix || '.receipt.' || p.nobody, p.prefix || '.inbox.' || p.nobody || '.>',
            p.prefix || '.centralcloud.*.' || p.nobody
        )
    )
    from (
        select singularity.get_setting('subject_prefix') as prefix, '00000000-0000-0000-0000-000000000000' as nobody
    ) as p
$$;

comment on function singularity.bridge_probes(uuid)
is 'Subjects by which `singularity-bridge check` tries NATS permissions: what is published there does nothing.';

create or replace function singularity.bridge_plan() returns jsonb
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    prefix text := singularity.get_setting('subject_prefix');
    me uuid := (singularity.present_identity()).instance_id;
    default_sharing constant text := singularity.get_setting('default_sharing');
    queues constant jsonb := '[
        {"name": "question", "window": 32}, {"name": "sync", "window": 4}, {"name": "contribution", "window": 16}
    ]'::jsonb;
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
        'queues', queues,
        'lanes', queues, -- what a bridge before 0.3 reads
        'streams', jsonb_build_array(jsonb_build_object('name', singularity.stream_name(), 'create', false)),
        'consumers', '[]'::jsonb,
        'subscriptions', jsonb_build_array(prefix || '.receipt.' || me, prefix || '.heads') || coalesce((
            select jsonb_agg(prefix || '.refined.' || t.namespace || '.' || t.kind order by t.namespace, t.kind)
            from singularity.topic t left join singularity.sharing_policy p using (namespace)
            where coalesce(p.policy, default_sharing) <> 'private'
        ), '[]'),
        'signing_keys', singularity.signing_keys(),
        'service', null,
        'probes', singularity.bridge_probes(me)
    ));
end
$$;

comment on function singularity.bridge_plan() is 'What the bridge is to have, consume and serve, as a JSON object.';

create or replace function singularity.bridge_attached() returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    update singularity.authority set
        welcomed_at = null, hello_sent_at = null, heads_asked_at = null, paused_until = null,
        session_id = gen_random_uuid();
    update singularity.topic set requested_at = null;
    update singularity.comparison set requested_at = null;
    perform singularity.restore_indexes(), singularity.repair_versions(), singularity.ensure_seal_key();
    if singularity.get_setting('mode') <> 'local' then
        -- what a restored dump or a crash has left unqueued
        perform singularity.backfill();
    end if;
end
$$;

comment on function singularity.bridge_attached() is 'What is to be done when a bridge takes over.';

create or replace function singularity.queues_with_work() returns text[]
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    queues text[] := array[]::text[];
begin
    if not exists (select from singularity.bridge_state b where b.connected)
        or singularity.get_setting('mode') = 'local' then
        return queues;
    end if;
    if exists (select from singularity.due_questions()) then
        queues := array_append(queues, 'question');
    end if;
    if singularity.hello_is_due() or not singularity.is_paused() and (
        singularity.heads_are_due() or exists (select from singularity.topics_to_fetch())
        or singularity.comparison_is_due()
    ) then
        queues := array_append(queues, 'sync');
    end if;
    if singularity.may_contribute() and (
        exists (select from singularity.outbox o where o.batch_id is null) or exists (select from singularity.outcome)
    ) then
        queues := array_append(queues, 'contribution');
    end if;
    return queues;
end
$$;

comment on function singularity.queues_with_work() is 'Names of the queues that have something to send now.';

create or replace function singularity.bridge_outgoing(queue text, max_messages integer)
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
    case bridge_outgoing.queue
        when 'question' then
            return query
            select q.message_id, 'request', service || 'ask.' || me, null::jsonb, q.payload, 5000
            from singularity.next_questions(max_messages) as q;
        when 'sync' then
            return query
            select h.message_id, 'request', service || 'hello.' || me, null::jsonb, h.payload, 5000
            from singularity.next_hello() as h;
            if singularity.is_paused() then
                return;
            end if;
            return query
            select w.message_id, 'request', service || 'heads.' || me, null::jsonb, w.payload, 10000
            from singularity.next_heads_request() as w;
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
                from singularity.next_batch() as s;
                exit when not found;
            end loop;
    end case;
end
$$;

comment on function singularity.bridge_outgoing(text, integer)
is 'Messages of a queue to send now; they are marked as offered, so the transaction is committed before they are sent.';

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

create or replace function singularity.bridge_result(results jsonb) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set jit = off
as $$
#variable_conflict use_column
declare
    result record;
begin
    perform singularity.note_batches(results);
    for result in
        select r.message_id, r.ok, decode(r.reply, 'base64') as reply, r.error, r.signer
        from jsonb_to_recordset(results) as r (message_id text, ok boolean, reply text, error text, signer text)
        where r.message_id not like 'contribution:%'
    loop
        if result.ok then
            perform singularity.receive_reply(result.message_id, result.reply, result.signer);
        else
            perform singularity.retry_request(result.message_id, result.error);
        end if;
    end loop;
end
$$;

comment on function singularity.bridge_result(jsonb) is 'Takes what became of messages that were sent: acknowledgements, replies and failures.';

create or replace function singularity.receive_reply(message_id text, payload bytea, signer text) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    reason text := singularity.reply_rejection_reason(message_id, signer);
    body jsonb;
begin
    if reason is null then
        body := singularity.decode_message(payload);
        if body ->> 'request' is distinct from split_part(message_id, ':', 2) then
            reason := 'request';
        end if;
    end if;
    if reason is not null then
        perform singularity.count_rejection(reason, 'reply to ' || message_id, signer),
            singularity.retry_request(message_id, reason);
        return;
    end if;
    perform singularity.apply_reply(message_id, body), singularity.note_authority_key(signer);
exception when others then
    if singularity.is_transient(sqlstate) then
        raise;
    end if;
    perform singularity.keep_dead_letter('reply to ' || message_id, payload, null, sqlstate, sqlerrm),
        singularity.drop_dead_letters(),
        singularity.retry_request(message_id, sqlerrm);
end
$$;

comment on function singularity.receive_reply(text, bytea, text)
is 'Applies the authority''s reply to a request, given with its signer. The request is tried again after one that is not authentic, '
'which is counted and dropped, and after one that cannot be applied, which becomes a dead letter.';

create or replace function singularity.apply_reply(message_id text, body jsonb) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    about text := split_part(message_id, ':', 1);
    request text := split_part(message_id, ':', 2);
begin
    perform singularity.hear_authority(body ->> 'epoch'), singularity.hear_of_twin((body ->> 'twin')::boolean);
    case about || ' ' || (body ->> 'type')
        when 'question answer' then
            perform singularity.apply_answer(request::uuid, body);
        when 'changes changes' then
            perform singularity.apply_changes(body);
        when 'heads heads' then
            perform singularity.apply_heads(body);
        when 'hello welcome' then
            perform singularity.apply_welcome(body);
        when 'digest digest' then
            perform singularity.apply_comparison(body);
        else
            raise exception using errcode = 'feature_not_supported',
                message = format('reply of type %L came for %L', singularity.printable(body ->> 'type'), message_id);
    end case;
    -- an earlier one that could not be applied is made good
    delete from singularity.dead_letter d
    where d.subject = 'reply to ' || apply_reply.message_id
        -- each of these has an id of its own
        or about in ('hello', 'digest') and starts_with(d.subject, 'reply to ' || about || ':');
end
$$;

comment on function singularity.apply_reply(text, jsonb) is 'Applies the authority''s reply to a request.';

create or replace function singularity.retry_request(message_id text, error text) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    request text := split_part(message_id, ':', 2);
    seconds constant integer := (regexp_match(error, '^429: .* in ([0-9]{1,4}) s'))[1]::integer;
begin
    update singularity.authority a set paused_until = clock_timestamp() + least(seconds, 60) * interval '1 second'
    where seconds is not null;
    case split_part(message_id, ':', 1)
        when 'question' then perform singularity.retry_question(request::uuid);
        when 'changes' then perform singularity.retry_changes(request);
        when 'heads' then perform singularity.retry_heads();
        when 'digest' then perform singularity.retry_comparison();
        else null; -- a hello is said again by itself
    end case;
end
$$;

comment on function singularity.retry_request(text, text)
is 'A request without an answer is tried again after a pause; when there were too many, nothing but questions and hellos is asked until '
'the time that the authority said, a minute at most.';

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
    for i in 1 .. cardinality(bodies) loop
        if not singularity.belongs_on(subjects[i], bodies[i]) then
            perform singularity.count_rejection('subject', subjects[i], meta[i] ->> 'signer');
            bodies[i] := null;
        end if;
    end loop;
    select jsonb_agg(r.value) into records
    from unnest(bodies) as b (body)
    cross join lateral jsonb_array_elements(b.body -> 'records') as r
    where b.body ->> 'type' = 'receipt';
    if records is not null then
        perform singularity.apply_receipts(records);
    end if;
    for i in 1 .. cardinality(bodies) loop
        body := bodies[i];
        continue when body is null;
        if subjects[i] like 'reply to %' then
            -- replayed: nobody else can publish on a subject with blanks
            perform singularity.apply_reply(substr(subjects[i], 10), body);
            continue;
        end if;
        if body ->> 'type' = 'key' then
            perform singularity.follow_authority_key(body ->> 'public_key');
            continue;
        end if;
        perform singularity.hear_authority(body ->> 'epoch');
        case body ->> 'type'
            when 'receipt' then
                perform singularity.watch_topics(body -> 'heads');
                if (body ->> 'retry_refused')::boolean then
                    perform singularity.retry_refused();
                end if;
            when 'refined' then
                perform singularity.apply_refined(body);
            when 'heads' then
                perform singularity.hear_heartbeat(body);
            else
                raise exception using errcode = 'feature_not_supported',
                    message = format('message of unknown type %L', singularity.printable(body ->> 'type'));
        end case;
    end loop;
    return;
end
$$;

comment on function singularity.apply_messages(text[], jsonb[], jsonb[])
is 'Applies receipts, refined knowledge and heartbeats; an instance publishes nothing in reply.';

create or replace function singularity.answer_poison(from_subject text, from_payload bytea, error text)
returns table (subject text, headers jsonb, payload bytea)
language sql immutable
set search_path = pg_catalog, pg_temp
as $$ select null::text, null::jsonb, null::bytea where false $$;

comment on function singularity.answer_poison(text, bytea, text) is 'An instance answers nothing to a message that it cannot apply.';

create or replace function singularity.bridge_serve(subject text, payload bytea, meta jsonb) returns bytea
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception using errcode = 'feature_not_supported',
        message = format('an instance serves no requests, one came on %s', singularity.printable(bridge_serve.subject));
end
$$;

comment on function singularity.bridge_serve(text, bytea, jsonb) is 'An instance serves no requests: always raises 0A000.';

create or replace function singularity.bridge_serve(subject text, payload bytea) returns bytea
language sql security definer
set search_path = pg_catalog, pg_temp
as $$ select singularity.bridge_serve(bridge_serve.subject, bridge_serve.payload, '{}') $$;

comment on function singularity.bridge_serve(text, bytea) is 'The same for a bridge before 0.3: always raises 0A000.';
