create or replace function singularity.ask(query text, kind text default null, namespace text default null) returns uuid
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    id uuid;
begin
    perform singularity.check_query(ask.query), singularity.check_filters(ask.kind, ask.namespace, 0);
    id := singularity.raise_question(ask.query, ask.kind, ask.namespace, null, null);
    if id is null then
        raise notice using
            message = 'the question was not queued: ' || case
                when not singularity.is_online() then 'this instance is not online'
                when singularity.sharing_of(ask.namespace) <> 'shared' then 'what concerns '
                    || coalesce('namespace ' || ask.namespace, 'no namespace in particular') || ' stays here, see share()'
                when current_setting('transaction_read_only')::boolean then 'this transaction is read-only'
                else 'too many have no answer yet, see max_open_questions'
            end,
            hint = 'See singularity.status(); recall() answers from what is here.';
    end if;
    return id;
end
$$;

comment on function singularity.ask(text, text, text)
is 'Asks the authority and returns the id of the question at once; null, with a notice, while not online, in a read-only '
'transaction, where the policy of its namespace is not shared, or when there are max_open_questions without an answer, a tenth of '
'them this login''s. One that looks as if a secret was in it is not sent: see held_back. The answer is '
'kept here for recall() and lookup() and announced on the channel singularity_answer with the payload '
'{"question_id": …, "results": n}; await_answer() waits for it. Errors: 22023 for an empty query or a filter that is not '
'valid.';

create or replace function singularity.is_awaited(question_id uuid, asked_at timestamptz, timeout interval)
returns boolean
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    answered boolean;
    finding jsonb;
begin
    select q.answered_at is not null, q.findings -> 0 into answered, finding
    from singularity.question q where q.question_id = is_awaited.question_id;
    if not found then
        raise exception using errcode = 'no_data_found',
            message = format('there is no question %s', coalesce(is_awaited.question_id::text, 'null')),
            hint = 'Pass an id that ask() returned; it returns null while not online, old questions are let go.';
    end if;
    if not answered and clock_timestamp() - is_awaited.asked_at >= timeout then
        raise notice 'no answer to question % within %', is_awaited.question_id, timeout;
        return false;
    end if;
    if finding is not null then
        raise notice using
            message = format('the question was not sent: %s', concat_ws(', ', finding ->> 'rule', finding ->> 'place')),
            hint = 'What looks as if a secret was in it stays here, and so does what is not shared: see '
                'singularity.held_back.';
    end if;
    return not answered;
end
$$;

comment on function singularity.is_awaited(uuid, timestamptz, interval)
is 'Whether await_answer(), called at a time with a timeout, goes on waiting; a notice when the timeout is over, or when the question was held back. Error: P0002 '
'for an unknown question.';

create or replace function singularity.check_timeout(timeout interval) returns void
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    if timeout is null or timeout < interval '0' then
        raise exception using errcode = 'invalid_parameter_value',
            message = format('timeout is %s', coalesce(timeout::text, 'null')),
            hint = 'Pass an interval of 0 or more, for example ''10 seconds''.';
    end if;
end
$$;

comment on function singularity.check_timeout(interval) is 'Raises 22023 for a timeout that is negative or null.';

create or replace function singularity.next_pause(pause double precision) returns double precision
language sql immutable
set search_path = pg_catalog, pg_temp
as $$ select least(coalesce(next_pause.pause * 1.5, 0.005), 0.1) $$;

comment on function singularity.next_pause(double precision)
is 'Seconds to wait for an answer before looking again, given the pause before (null at first): 5 ms, growing up to 100.';

create or replace procedure singularity.await_answer(question_id uuid, timeout interval default '10 seconds')
language plpgsql
as $$
declare
    asked_at pg_catalog.timestamptz := pg_catalog.clock_timestamp();
    pause double precision;
    committed boolean;
begin
    perform singularity.check_timeout(timeout);
    call singularity.try_commit(committed);
    if not committed then
        raise exception using errcode = 'active_sql_transaction',
            message = 'await_answer cannot wait inside a transaction block',
            hint = 'The question is sent when its transaction commits: use autocommit, or COMMIT before the CALL.';
    end if;
    while singularity.is_awaited(question_id, asked_at, timeout) loop
        -- no transaction stays open while waiting
        commit;
        pause := singularity.next_pause(pause);
        perform pg_catalog.pg_sleep(pause);
    end loop;
end
$$;

comment on procedure singularity.await_answer(uuid, interval)
is 'Waits until a question is answered or the timeout is over (a notice says so); lookup() and recall() then say what is '
'known. It holds no transaction open meanwhile. Errors: P0002 for an unknown question, 22023 for a negative timeout, '
'25001 inside a transaction block (the question is not committed, so no answer can come: use autocommit).';

create or replace function singularity.question_state(question_id uuid)
returns table (asked_at timestamptz, answered_at timestamptz, results integer)
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select q.asked_at, q.answered_at, q.results
    from singularity.question as q where q.question_id = question_state.question_id
$$;

comment on function singularity.question_state(uuid) is 'How a question stands; no row for an unknown one.';

create or replace function singularity.raise_question(query text, kind text, namespace text, name text, tags text[])
returns uuid
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    key text := encode(sha256(convert_to(jsonb_build_array(
        case when raise_question.name is null then raise_question.query end,
        raise_question.kind, raise_question.namespace, raise_question.name, raise_question.tags
    )::text, 'UTF8')), 'hex');
    id uuid;
begin
    if current_setting('transaction_read_only')::boolean or not singularity.is_online()
        or singularity.sharing_of(raise_question.namespace) <> 'shared' then
        return null;
    end if;
    -- what is open, or was answered a short while ago, is not asked again; a SERIALIZABLE transaction does not look,
    -- since two that look and ask would fail with 40001
    select q.question_id into id from singularity.question q
    where current_setting('transaction_isolation') <> 'serializable' and q.question_key = key and case
        when q.answered_at is null then q.asked_at > now() - singularity.get_setting('question_ttl')::interval
        when singularity.get_setting('mode') = 'central' then false
        when q.results > 0 then q.answered_at > now() - singularity.get_setting('answer_ttl')::interval
        else q.answered_at > now() - singularity.get_setting('negative_ttl')::interval
    end
    order by q.asked_at desc limit 1;
    if not found and singularity.may_ask() then
        insert into singularity.question (question_key, query, kind, namespace, name, tags)
        values (key, raise_question.query, raise_question.kind, raise_question.namespace, raise_question.name,
            raise_question.tags)
        returning question_id into id;
        perform singularity.ring_doorbell();
    end if;
    return id;
end
$$;

comment on function singularity.raise_question(text, text, text, text, text[])
is 'Queues a question to the authority, unless offline, in a read-only transaction, about a namespace that is not shared or with '
'too many open (then null) or the same one is open '
'or freshly answered (then that one''s id). Inserts only: it waits for no other session.';

create or replace function singularity.may_ask() returns boolean
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    most integer := singularity.get_setting('max_open_questions')::integer;
    since timestamptz := now() - singularity.get_setting('question_ttl')::interval;
    found_open bigint;
    found_own bigint;
begin
    if current_setting('transaction_isolation') = 'serializable' then
        -- two that look at the rows and ask would fail with 40001
        return pg_table_size('singularity.question') < most * 1024::bigint;
    end if;
    select count(*), count(*) filter (where o.asked_by = session_user) into found_open, found_own
    from (
        select q.asked_by from singularity.question q where q.answered_at is null and q.asked_at > since limit most
    ) as o;
    return found_open < most and found_own < most / 10;
end
$$;

comment on function singularity.may_ask()
is 'Whether there is room for one more question without an answer: fewer than max_open_questions, and of this login fewer than '
'a tenth of that.';

create or replace function singularity.next_questions(max_questions integer)
returns table (message_id text, payload bytea)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    due uuid[] := array(
        select q.question_id from singularity.question q
        where q.answered_at is null and q.question_id in (
            select d.question_id from singularity.due_questions() d order by d.next_attempt_at limit max_questions
        )
        for update skip locked
    );
begin
    due := singularity.judge_questions(due);
    return query
    with sent as (
        update singularity.question q set
            attempts = q.attempts + 1,
            -- beyond the time that the answer may take, and ever longer
            next_attempt_at = clock_timestamp() + least(6 + power(2, q.attempts), 60) * interval '1 second'
        where q.question_id = any (due)
        returning q.*
    )
    select 'question:' || s.question_id, singularity.encode_message(
        singularity.request('ask', s.question_id::text)
        || to_jsonb(jsonb_populate_record(null::singularity.wire_question, to_jsonb(s)))
    )
    from sent s;
end
$$;

comment on function singularity.next_questions(integer) is 'Questions to send now, as requests to the authority.';

create or replace function singularity.judge_questions(question_ids uuid[]) returns uuid[]
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    -- what was sent before has passed; the policy of its namespace may have changed since it was asked
    unsent uuid[] := array(
        select q.question_id from singularity.question q where q.question_id = any (question_ids) and q.attempts = 0
    );
    records jsonb[] := array(
        select jsonb_build_object('query', q.query, 'namespace', q.namespace, 'kind', q.kind, 'name', q.name, 'tags', q.tags)
        from unnest(unsent) with ordinality as u (question_id, place)
        join singularity.question q using (question_id)
        order by u.place
    );
    unjudged uuid[] := array[]::uuid[];
begin
    with found as (
        select unsent[f.record] as question_id, f.findings from singularity.find_secrets_or_wait(records) as f
    ), private as (
        select q.question_id, jsonb_build_array(jsonb_build_object('rule', singularity.sharing_of(q.namespace))) as findings
        from singularity.question q
        where q.question_id = any (question_ids) and singularity.sharing_of(q.namespace) <> 'shared'
    ), held as (
        update singularity.question q set
            findings = coalesce(f.findings, p.findings), answered_at = clock_timestamp(), results = 0
        from found f full join private p using (question_id)
        where q.question_id = coalesce(f.question_id, p.question_id) and coalesce(f.findings, p.findings) is not null
        returning q.question_id
    )
    select array(select h.question_id from held h), array(select f.question_id from found f where f.findings is null)
    into unsent, unjudged;
    return array(
        select i.question_id from unnest(question_ids) as i (question_id)
        where i.question_id <> all (unsent) and i.question_id <> all (unjudged)
    );
end
$$;

comment on function singularity.judge_questions(uuid[])
is 'Judges questions, each once, as judge_entries() does holdings: one that may not leave is closed without an answer, with its '
'findings. Returns those that may be sent.';

create or replace function singularity.retry_question(question_id uuid) returns void
language sql security definer
set search_path = pg_catalog, pg_temp
as $$
    update singularity.question as q set
        next_attempt_at = clock_timestamp() + least(power(2, q.attempts - 1), 30) * interval '1 second'
    where q.question_id = retry_question.question_id
$$;

comment on function singularity.retry_question(uuid) is 'A question without an answer is sent again after a pause that grows.';

create or replace function singularity.apply_answer(question_id uuid, body jsonb) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    answer constant singularity.wire_answer := jsonb_populate_record(null::singularity.wire_answer, body);
    rows_found constant integer := jsonb_array_length(answer.rows);
    answered uuid;
begin
    perform singularity.receive_refined(answer.rows, body ->> 'epoch', true);
    -- an answer from before what is known here already: what came since, a removal perhaps, is fetched again
    update singularity.topic t set position = h.head
    from singularity.read_heads(answer.heads) as h
    where t.namespace = h.namespace and t.kind = h.kind and t.position > h.head;
    perform singularity.watch_topics(answer.heads);
    for answered in
        update singularity.question q set answered_at = clock_timestamp(), results = rows_found
        from singularity.question asked
        where asked.question_id = apply_answer.question_id
            and q.question_key = asked.question_key and q.answered_at is null
        returning q.question_id
    loop
        perform pg_notify(
            'singularity_answer', json_build_object('question_id', answered, 'results', rows_found)::text
        );
    end loop;
end
$$;

comment on function singularity.apply_answer(uuid, jsonb)
is 'Keeps the rows of an answer, closes every open question that asked the same and announces each on singularity_answer.';

create or replace function singularity.expire_questions() returns void
language sql security definer
set search_path = pg_catalog, pg_temp
as $$
    delete from singularity.question as q
    where q.question_id in (
        select o.question_id from singularity.question as o
        where o.asked_at < now() - greatest(
            singularity.get_setting('question_ttl')::interval, singularity.get_setting('answer_ttl')::interval,
            singularity.get_setting('negative_ttl')::interval
        )
        for update skip locked
    );
$$;

comment on function singularity.expire_questions() is 'Deletes questions that are over, answered or not.';

create or replace function singularity.due_questions() returns setof singularity.question
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select q.*
    from singularity.question as q
    where q.answered_at is null and q.asked_at > now() - singularity.get_setting('question_ttl')::interval
        and singularity.scanner_is_ready()
        -- no pause is that long: the clock was set back
        and now() not between q.next_attempt_at - interval '2 minutes' and q.next_attempt_at
$$;

comment on function singularity.due_questions() is 'Open questions that are to be sent now, for the first time or again.';
