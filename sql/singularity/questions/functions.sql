create or replace function singularity.is_online() returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select coalesce((
        select b.connected and b.seen_at > clock_timestamp() - interval '10 seconds'
            and a.heard_at > clock_timestamp() - interval '10 seconds'
        from singularity.bridge_state as b, singularity.authority as a
        where singularity.get_setting('mode') <> 'local'
    ), false)
$$;

comment on function singularity.is_online()
is 'Whether the bridge is running and connected and the authority was heard within the last 10 seconds.';

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
    if current_setting('transaction_read_only')::boolean or not singularity.is_online() then
        return null;
    end if;
    -- what is open, or was answered a short while ago, is not asked again; a SERIALIZABLE transaction does not look, since
    -- two that look and ask would fail with 40001
    select q.question_id into id from singularity.question q
    where current_setting('transaction_isolation') <> 'serializable' and q.question_key = key and case
        when q.answered_at is null then q.asked_at > now() - singularity.get_setting('question_ttl')::interval
        when singularity.get_setting('mode') = 'central' then false
        when q.results > 0 then q.answered_at > now() - singularity.get_setting('answer_ttl')::interval
        else q.answered_at > now() - singularity.get_setting('negative_ttl')::interval
    end
    order by q.asked_at desc limit 1;
    if not found then
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
is 'Queues a question to the authority, unless offline or in a read-only transaction (then null) or the same one is open '
'or freshly answered (then that one''s id). Inserts only: it waits for no other session.';

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
        raise notice using message = 'the question was not queued: this instance is not online',
            hint = 'See singularity.status(); recall() answers from what is here.';
    end if;
    return id;
end
$$;

comment on function singularity.ask(text, text, text)
is 'Asks the authority and returns the id of the question at once; null, with a notice, while not online. The answer is '
'kept here for recall() and lookup() and announced on the channel singularity_answer with the payload '
'{"question_id": …, "results": n}; await_answer() waits for it. Errors: 22023 for an empty query or a filter that is not '
'valid.';

create or replace function singularity.question_state(question_id uuid)
returns table (asked_at timestamptz, answered_at timestamptz, results integer)
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select q.asked_at, q.answered_at, q.results
    from singularity.question as q where q.question_id = question_state.question_id
$$;

comment on function singularity.question_state(uuid) is 'How a question stands; no row for an unknown one.';

create or replace procedure singularity.await_answer(question_id uuid, timeout interval default '10 seconds')
language plpgsql
as $$
declare
    deadline pg_catalog.timestamptz := pg_catalog.clock_timestamp() operator(pg_catalog.+) timeout;
    pause double precision := 0.005;
    committed boolean;
    answered boolean;
begin
    if timeout is null or timeout operator(pg_catalog.<) interval '0' then
        raise exception using errcode = 'invalid_parameter_value',
            message = pg_catalog.format('timeout is %s', coalesce(timeout::pg_catalog.text, 'null')),
            hint = 'Pass an interval of 0 or more, for example ''10 seconds''.';
    end if;
    call singularity.try_commit(committed);
    if not committed then
        raise exception using errcode = 'active_sql_transaction',
            message = 'await_answer cannot wait inside a transaction block',
            hint = 'The question is sent when its transaction commits: use autocommit, or COMMIT before the CALL.';
    end if;
    loop
        select s.answered_at is not null into answered from singularity.question_state(question_id) as s;
        if answered is null then
            raise exception using errcode = 'no_data_found',
                message = pg_catalog.format('there is no question %s', coalesce(question_id::pg_catalog.text, 'null')),
                hint = 'Pass an id that ask() returned; ask() returns null while not online, and old questions are let go.';
        end if;
        exit when answered;
        if pg_catalog.clock_timestamp() operator(pg_catalog.>=) deadline then
            raise notice 'no answer to question % within %', question_id, timeout;
            exit;
        end if;
        -- no transaction stays open while waiting
        commit;
        perform pg_catalog.pg_sleep(pause);
        pause := least(pause operator(pg_catalog.*) 1.5, 0.1);
    end loop;
end
$$;

comment on procedure singularity.await_answer(uuid, interval)
is 'Waits until a question is answered or the timeout is over (a notice says so); lookup() and recall() then say what is '
'known. It holds no transaction open meanwhile. Errors: P0002 for an unknown question, 22023 for a negative timeout, '
'25001 inside a transaction block (the question is not committed, so no answer can come: use autocommit).';

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
