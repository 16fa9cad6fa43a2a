create or replace function singularity.follow(kind text, namespace text default 'default') returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    max_topics constant bigint := 10000;
begin
    perform singularity.check_token(follow.namespace, 'namespace'), singularity.check_token(follow.kind, 'kind');
    if (select count(*) from singularity.followed_topic) >= max_topics then
        raise exception using errcode = 'program_limit_exceeded',
            message = format('%s topics are followed already', max_topics),
            hint = 'The bridge subscribes to each of them: unfollow() some.';
    end if;
    insert into singularity.followed_topic (namespace, kind) values (follow.namespace, follow.kind)
    on conflict do nothing;
end
$$;

comment on function singularity.follow(text, text)
is 'Keeps everything that the authority knows of a kind in a namespace here, for use offline, from now on and as it changes. '
'Errors: 22004 and 22023 for a kind or namespace that is not valid, 54000 for more than 10,000.';

create or replace function singularity.unfollow(kind text, namespace text default 'default') returns void
language sql security definer
set search_path = pg_catalog, pg_temp
as $$
    delete from singularity.followed_topic as t
    where t.namespace = singularity.check_token(unfollow.namespace, 'namespace')
        and t.kind = singularity.check_token(unfollow.kind, 'kind')
$$;

comment on function singularity.unfollow(text, text)
is 'Stops following a kind in a namespace; what is here already stays, and is still refreshed.';

create or replace function singularity.topics_to_fetch() returns setof singularity.topic
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select t.* from singularity.topic as t
    where t.position < t.head and singularity.is_over(t.requested_at, '10 seconds')
        and singularity.sharing_of(t.namespace) <> 'private' and singularity.is_online()
$$;

comment on function singularity.topics_to_fetch() is 'Topics that lag behind the authority and have no page under way.';

create or replace function singularity.next_change_requests(max_requests integer)
returns table (message_id text, payload bytea)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    -- an authority before 0.3 answers for the first alone
    at_once constant integer := (
        select case when a.changes_known is null then 1 else 200 end from singularity.authority a
    );
begin
    return query
    with due as (
        select t.namespace, t.kind from singularity.topics_to_fetch() as t limit at_once * max_requests
    ), asked as (
        update singularity.topic t set requested_at = clock_timestamp()
        from due where t.namespace = due.namespace and t.kind = due.kind
        returning
            singularity.topic_name(t.namespace, t.kind) as topic,
            jsonb_build_object('namespace', t.namespace, 'kind', t.kind, 'after', t.position) as page
    ), numbered as (
        select a.*, row_number() over (order by a.topic) - 1 as n from asked a
    )
    select 'changes:' || f.topic, singularity.encode_message(
        singularity.request('changes', f.topic) || f.page || jsonb_build_object('more', coalesce((
            select jsonb_agg(m.page order by m.n) from numbered m where m.n > f.n and m.n < f.n + at_once
        ), '[]'))
    )
    from numbered f
    where f.n % at_once = 0;
end
$$;

comment on function singularity.next_change_requests(integer)
is 'Requests for pages of changes of topics that lag behind, 200 topics in each.';

create or replace function singularity.apply_changes(body jsonb) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    page jsonb;
begin
    perform singularity.check_length('more', body -> 'more', 200);
    for page in
        select body - 'more'
        union all
        select m.value || jsonb_build_object('epoch', body -> 'epoch') from jsonb_array_elements(body -> 'more') as m
    loop
        perform singularity.check_length('rows', page -> 'rows', 1000), singularity.apply_refined(page);
        update singularity.topic t set requested_at = null, head = greatest(t.head, singularity.number_in(page, 'head'))
        where t.namespace = page ->> 'namespace' and t.kind = page ->> 'kind';
    end loop;
end
$$;

comment on function singularity.apply_changes(jsonb) is 'Takes in pages of changes that were asked for.';

create or replace function singularity.retry_changes(topic text) returns void
language sql security definer
set search_path = pg_catalog, pg_temp
as $$
    -- not at once: topics_to_fetch() waits for 10 seconds
    update singularity.topic as t set requested_at = clock_timestamp() - interval '8 seconds'
    from singularity.topic_parts(retry_changes.topic) as p
    where t.namespace = p.namespace and t.kind = p.kind
$$;

comment on function singularity.retry_changes(text) is 'A page that did not come is asked for again after a pause.';

create or replace function singularity.apply_refined(body jsonb) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    perform singularity.receive_refined(body -> 'rows', body ->> 'epoch', false);
    update singularity.topic t set
        head = greatest(t.head, singularity.number_in(body, 'to')),
        -- also back, to what came late: what changed since, a removal perhaps, is fetched again
        position = case
            when singularity.number_in(body, 'from') <= t.position then singularity.number_in(body, 'to')
            else t.position
        end
    where t.namespace = body ->> 'namespace' and t.kind = body ->> 'kind';
end
$$;

comment on function singularity.apply_refined(jsonb)
is 'Takes in a push or a page of changes after number "from" up to "to"; where something is missing before it, the '
'position stays and the page is asked for; after one that came late the position goes back to its end.';

create or replace function singularity.receive_refined(given jsonb, epoch text, asked boolean) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    given_row jsonb;
    failed jsonb[] := array[]::jsonb[];
    first_code text;
    first_error text;
begin
    begin
        perform singularity.store_refined(given, epoch, asked);
        return;
    exception when others then
        if singularity.is_transient(sqlstate) or asked and jsonb_array_length(given) = 1 then
            raise;
        end if;
    end;
    -- one of them is poison: each is tried alone
    for given_row in select r.value from jsonb_array_elements(given) as r loop
        begin
            perform singularity.store_refined(jsonb_build_array(given_row), epoch, asked);
        exception when others then
            if singularity.is_transient(sqlstate) then
                raise;
            end if;
            failed := failed || given_row;
            first_code := coalesce(first_code, sqlstate);
            first_error := coalesce(first_error, sqlerrm);
        end;
    end loop;
    -- a letter for each topic, which when replayed has what changed since fetched again
    perform singularity.keep_dead_letter('refined row', singularity.encode_message(jsonb_build_object(
        'type', 'refined', 'epoch', receive_refined.epoch, 'namespace', l.namespace, 'kind', l.kind,
        'from', l.revision - 1, 'to', l.revision, 'rows', l.rows
    )), '{}', first_code, first_error, jsonb_array_length(l.rows))
    from (
        select f.value -> 'namespace' as namespace, f.value -> 'kind' as kind, jsonb_agg(f.value) as rows,
            min(case
                when f.value ->> 'revision' ~ '^[0-9]{1,15}$' then (f.value ->> 'revision')::bigint
            end) as revision
        from unnest(failed) as f (value)
        group by 1, 2
    ) as l;
end
$$;

comment on function singularity.receive_refined(jsonb, text, boolean)
is 'Takes in refined knowledge, see store_refined(); rows that cannot be stored become a dead letter and stop no other. An '
'answer of one such row raises its error, so that the question stays open.';

create or replace function singularity.store_refined(given jsonb, epoch text, asked boolean) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    refined constant singularity.wire_refined[] := array(
        select r from jsonb_populate_recordset(null::singularity.wire_refined, given) as r
    );
    stored uuid[];
begin
    perform singularity.raise_refusal(singularity.refined_refusal(r)) from unnest(refined) as r;
    with incoming as (
        select distinct on (r.namespace, r.kind, r.name)
            singularity.artifact_id(r.namespace, r.kind, r.name) as artifact_id, r.*
        from unnest(refined) as r
        order by r.namespace, r.kind, r.name, r.revision desc
    ), wanted as (
        select i.* from incoming i
        left join singularity.central_copy c using (artifact_id)
        left join lateral singularity.present_holding(i.artifact_id) as h on true
        where case
            -- also one that was forgotten: it may be learned again before delete_forgotten_copies()
            when c.artifact_id is not null then c.epoch <> store_refined.epoch or c.revision <= i.revision
            when h.artifact_id is not null then h.variant is not null
            else asked or exists (
                select from singularity.followed_topic t where t.namespace = i.namespace and t.kind = i.kind
            )
        end
    ), removed as (
        delete from singularity.central_copy c using wanted w
        where w.removed and c.artifact_id = w.artifact_id
    ), unwanted as (
        -- to compare with the authority: which revision came of what is not kept
        insert into singularity.unwanted_copy as u (artifact_id, namespace, kind, revision)
        select i.artifact_id, i.namespace, i.kind, i.revision
        from incoming i
        where i.removed is not true and singularity.is_forgotten(i.artifact_id)
            and not exists (select from wanted w where w.artifact_id = i.artifact_id)
        on conflict (artifact_id) do update set revision = excluded.revision
    ), gone as (
        delete from singularity.unwanted_copy u using incoming i where i.removed and u.artifact_id = i.artifact_id
    ), kept as (
        insert into singularity.central_copy as c (
            artifact_id, namespace, kind, name, variant, content, summary, tags, level, confidence, uses, successes,
            pinned, revision, epoch, holders, vouching
        )
        select
            artifact_id, namespace, kind, name, variant, content, summary, coalesce(tags, '{}'), level, confidence,
            uses,
            successes, coalesce(pinned, false), revision, store_refined.epoch, holders, vouching
        from wanted
        where removed is not true
        on conflict (artifact_id) do update set
            variant = excluded.variant, content = excluded.content, summary = excluded.summary, tags = excluded.tags,
            level = excluded.level, confidence = excluded.confidence, uses = excluded.uses,
            successes = excluded.successes, pinned = excluded.pinned, revision = excluded.revision,
            epoch = excluded.epoch, holders = excluded.holders, vouching = excluded.vouching,
            fetched_at = excluded.fetched_at, unknown = false
    )
    select array_agg(w.artifact_id) into stored from wanted w;
    if stored is not null then
        perform singularity.index_artifacts(stored);
    end if;
end
$$;

comment on function singularity.store_refined(jsonb, text, boolean)
is 'Takes in refined knowledge: of what was asked for all, else what is followed, held or cached here and not older than '
'the copy; what was forgotten here stays forgotten. Raises what refined_refusal() finds.';

create or replace function singularity.is_stale(
    unknown boolean, fetched_at timestamptz, synced_at timestamptz, answer_ttl interval
) returns boolean
language sql stable parallel safe
begin atomic
    select unknown or greatest(fetched_at, synced_at) < now() - answer_ttl;
end;

comment on function singularity.is_stale(boolean, timestamptz, timestamptz, interval)
is 'Whether a copy of the authority''s may be out of date: the authority did not know it when they last compared, or the time '
'that an answer is fresh is over since it was fetched and since its topic was last known to be in step.';

create or replace function singularity.hear_heads(heads jsonb) returns void
language sql security definer
set search_path = pg_catalog, pg_temp
as $$
    update singularity.topic as t set
        head = h.head,
        -- an authority that went back in time numbers anew: take the topic from its start
        position = case when h.head < t.position then 0 else t.position end,
        synced_at = case
            when h.head = t.position then now()
            -- it was in step until now
            when t.head = t.position then greatest(t.synced_at, (
                select a.synced_at from singularity.authority as a where a.epoch = t.epoch
            ))
            else t.synced_at
        end
    from singularity.read_heads(heads) as h
    where t.namespace = h.namespace and t.kind = h.kind
        and (t.head <> h.head or t.synced_at is null or t.synced_at < now() - interval '30 seconds');
$$;

comment on function singularity.hear_heads(jsonb)
is 'Notes the heads of topics, a JSON object of namespace/kind and number; a head beyond the position is a page to fetch.';

create or replace function singularity.hear_heartbeat(body jsonb) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    told constant bigint := singularity.number_in(body, 'changes');
    since constant bigint := singularity.number_in(body, 'since');
    known constant bigint := (select a.changes_known from singularity.authority a);
    hole constant boolean := coalesce(since > known and told >= known, false);
begin
    perform singularity.hear_heads(body -> 'heads');
    if told < known then
        -- never in one epoch: nothing that was heard is sure
        update singularity.topic t set epoch = null;
    end if;
    update singularity.authority a set
        stream_created = left(body ->> 'stream_created', 100),
        stream_passed = singularity.number_in(body, 'stream_passed'),
        changes = told,
        changes_known = case when hole then known else told end,
        synced_at = case when hole then a.synced_at else clock_timestamp() end;
end
$$;

comment on function singularity.hear_heartbeat(jsonb)
is 'Takes a heartbeat: how far the stream is applied, how often topics have changed, and the heads of those that did after '
'number "since"; when that is beyond what is known here the rest is asked for, see next_heads_request().';

create or replace function singularity.heads_are_due() returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select exists (
        select from singularity.authority as a
        where a.changes_known is not null and singularity.is_over(a.heads_asked_at, '10 seconds')
            and singularity.is_online()
            and exists (
                select from singularity.topic as t
                where (a.changes_known < a.changes or t.epoch is distinct from a.epoch)
                    and singularity.sharing_of(t.namespace) <> 'private'
            )
    )
$$;

comment on function singularity.heads_are_due() is 'Whether heads of watched topics are to be asked for.';

create or replace function singularity.next_heads_request() returns table (message_id text, payload bytea)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    at_once constant integer := 500;
    request constant text := gen_random_uuid();
    present_epoch text;
    known bigint;
    topics text[];
    since bigint;
begin
    if not singularity.heads_are_due() then
        return;
    end if;
    update singularity.authority a set heads_asked_at = clock_timestamp()
    returning a.epoch, a.changes_known into present_epoch, known;
    topics := array(
        select singularity.topic_name(t.namespace, t.kind) from singularity.topic t
        where t.epoch is distinct from present_epoch and singularity.sharing_of(t.namespace) <> 'private' limit at_once
    );
    if cardinality(topics) = 0 then
        since := known;
        -- who watches more is told of all that changed
        topics := array(
            select singularity.topic_name(t.namespace, t.kind) from singularity.topic t
            where singularity.sharing_of(t.namespace) <> 'private' limit at_once + 1
        );
    end if;
    return query
    select 'heads:' || request, singularity.encode_message(
        singularity.request('heads', request) || singularity.without_nulls(jsonb_build_object(
            'topics', case when cardinality(topics) <= at_once then to_jsonb(topics) end, 'since', since
        ))
    );
end
$$;

comment on function singularity.next_heads_request()
is 'A request for heads when one is due: of watched topics whose head was not told in this epoch, else of what changed since it '
'was last known, among the watched topics where these are few.';

create or replace function singularity.apply_heads(body jsonb) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    since constant bigint := singularity.number_in(body, 'since');
begin
    perform singularity.hear_heads(body -> 'heads');
    if since is null then
        update singularity.topic t set epoch = body ->> 'epoch'
        from singularity.read_heads(body -> 'heads') as h
        where t.namespace = h.namespace and t.kind = h.kind;
    end if;
    update singularity.authority a set
        heads_asked_at = null,
        changes_known = case
            when since = a.changes_known then singularity.number_in(body, 'to')
            else a.changes_known
        end;
end
$$;

comment on function singularity.apply_heads(jsonb) is 'Takes in heads that were asked for.';

create or replace function singularity.retry_heads() returns void
language sql security definer
set search_path = pg_catalog, pg_temp
as $$
    -- not at once: heads_are_due() waits for 10 seconds
    update singularity.authority as a set heads_asked_at = clock_timestamp() - interval '8 seconds'
    where a.heads_asked_at is not null
$$;

comment on function singularity.retry_heads() is 'Heads that did not come are asked for again after a pause.';

create or replace function singularity.watch_topics(heads jsonb) returns void
language sql security definer
set search_path = pg_catalog, pg_temp
as $$
    insert into singularity.topic (namespace, kind, position, head)
    select h.namespace, h.kind, h.head, h.head from singularity.read_heads(heads) as h
    on conflict do nothing;
$$;

comment on function singularity.watch_topics(jsonb)
is 'Starts to watch topics that this instance now holds something of, from the heads that came with it.';

create or replace function singularity.prepare_topics() returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    -- a topic that is followed from now on is wanted from its start
    insert into singularity.topic as t (namespace, kind, followed)
    select f.namespace, f.kind, true from singularity.followed_topic f
    where not exists (
        select from singularity.topic s where s.namespace = f.namespace and s.kind = f.kind and s.followed
    )
    on conflict (namespace, kind) do update set followed = true, position = 0;
    update singularity.topic t set followed = false
    where t.followed and not exists (
        select from singularity.followed_topic f where f.namespace = t.namespace and f.kind = t.kind
    );
end
$$;

comment on function singularity.prepare_topics() is 'Makes the topics that are followed, or no longer, known to the bridge.';

create or replace function singularity.delete_forgotten_copies() returns void
language sql security definer
set search_path = pg_catalog, pg_temp
as $$
    with deleted as (
        delete from singularity.central_copy as c
        using singularity.holding as h
        where h.artifact_id = c.artifact_id and h.variant is null and singularity.is_forgotten(c.artifact_id)
        returning c.artifact_id, c.namespace, c.kind, c.revision
    ), unwanted as (
        insert into singularity.unwanted_copy as u (artifact_id, namespace, kind, revision)
        select d.artifact_id, d.namespace, d.kind, d.revision from deleted as d
        on conflict (artifact_id) do update set revision = excluded.revision
    )
    -- another session may just learn it again, and take the copy for the best known version
    insert into singularity.lexeme_change (artifact_id, words, change)
    select d.artifact_id, ''::tsvector, 0 from deleted as d;
$$;

comment on function singularity.delete_forgotten_copies() is 'Deletes central copies of what was forgotten here.';
