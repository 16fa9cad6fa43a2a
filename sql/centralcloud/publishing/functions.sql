create or replace function centralcloud.publish(max_artifacts integer, max_bytes bigint)
returns table (message_id text, subject text, payload bytea)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    candidates uuid[];
    numbered uuid[];
begin
    -- what another session is changing just now is passed over and comes next time
    candidates := array(
        select a.artifact_id from centralcloud.artifact a
        where a.artifact_id in (select u.artifact_id from centralcloud.unpublished u limit max_artifacts)
        order by a.artifact_id for no key update skip locked
    );
    with sized as (
        select artifact_id, sum(octet_length(v.content::text)) over (order by artifact_id) as size
        from unnest(candidates) as c (artifact_id)
        join centralcloud.artifact a using (artifact_id)
        left join centralcloud.variant v using (artifact_id, variant)
    ), taken as (
        delete from centralcloud.unpublished u using sized s
        where u.artifact_id = s.artifact_id and (s.artifact_id = candidates[1] or coalesce(s.size, 0) <= max_bytes)
        returning u.artifact_id
    ), wanted as (
        -- also what came and went: an answer may have told of it meanwhile
        select a.artifact_id, a.namespace, a.kind,
            row_number() over (partition by a.namespace, a.kind order by a.artifact_id)
                - count(*) over (partition by a.namespace, a.kind) as place
        from taken t
        join centralcloud.artifact a using (artifact_id)
    ), topics as (
        insert into centralcloud.topic as t (namespace, kind, head)
        select w.namespace, w.kind, count(*) from wanted w group by w.namespace, w.kind order by 1, 2
        on conflict (namespace, kind) do update set head = t.head + excluded.head
        returning t.*
    ), updated as (
        update centralcloud.artifact a
        set revision = t.head + w.place
        from wanted w join topics t using (namespace, kind)
        where a.artifact_id = w.artifact_id
        returning a.artifact_id
    )
    select array_agg(u.artifact_id) into numbered from updated u;
    return query
    select
        format('refined:%s/%s/%s', p.namespace, p.kind, max(p.revision)),
        format('%s.refined.%s.%s', centralcloud.get_setting('subject_prefix'), p.namespace, p.kind),
        centralcloud.encode_message(jsonb_build_object(
            'type', 'refined', 'epoch', centralcloud.epoch(), 'namespace', p.namespace, 'kind', p.kind,
            'from', min(p.revision) - 1, 'to', max(p.revision), 'rows', jsonb_agg(p.refined order by p.revision)
        ))
    from (
        select r.*, sum(r.size) over (partition by r.namespace, r.kind order by r.revision) - r.size as size_before
        from centralcloud.refined_rows(numbered) as r
    ) as p
    group by p.namespace, p.kind, div(p.size_before, centralcloud.message_limit() / 2);
end
$$;

comment on function centralcloud.publish(integer, bigint)
is 'Numbers changed artifacts in their topics, without holes, and returns the messages that push them: of at most so many '
'artifacts and about so many bytes of content, one artifact at least. They are sent once at most: an instance that misses '
'one sees the hole and asks for the page.';

create or replace function centralcloud.refined_rows(artifact_ids uuid[])
returns table (artifact_id uuid, namespace text, kind text, revision bigint, refined jsonb, size bigint)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return query
    select a.artifact_id, a.namespace, a.kind, a.revision, r.refined, octet_length(r.refined::text)::bigint
    from centralcloud.artifact a
    left join centralcloud.variant v using (artifact_id, variant)
    cross join lateral (
        select case
            when a.variant is null then jsonb_build_object(
                'namespace', a.namespace, 'kind', a.kind, 'name', a.name, 'revision', a.revision, 'removed', true
            )
            else to_jsonb(jsonb_populate_record(
                null::centralcloud.wire_refined, to_jsonb(a) || jsonb_build_object('content', v.content)
            )) - 'removed'
        end
    ) as r (refined)
    where a.artifact_id = any (artifact_ids);
end
$$;

comment on function centralcloud.refined_rows(uuid[])
is 'Artifacts as they are sent to instances, with their size in bytes; one without a winner is a removal.';

create or replace function centralcloud.next_heartbeat() returns table (message_id text, subject text, payload bytea)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    update centralcloud.publisher set heads_sent_at = clock_timestamp()
    where centralcloud.is_over(heads_sent_at, '900 milliseconds');
    if not found then
        return;
    end if;
    return query
    select
        'heads:' || h.n, centralcloud.get_setting('subject_prefix') || '.heads',
        centralcloud.encode_message(jsonb_build_object(
            'type', 'heads', 'epoch', centralcloud.epoch(), 'heads', h.heads,
            'stream_created', b.streams -> centralcloud.stream_name() ->> 'created',
            'stream_passed', b.consumers -> 'centralcloud' -> 'ack_floor'
        ))
    from centralcloud.bridge_state b
    cross join (
        -- a message holds 2,000 topics
        select t.n / 2000 as n,
            coalesce(jsonb_object_agg(t.topic, t.head) filter (where t.topic is not null), '{}') as heads
        from (
            select 0::bigint as n, null::text as topic, null::bigint as head
            union all
            select row_number() over () - 1, centralcloud.topic_name(t.namespace, t.kind), t.head
            from centralcloud.topic t
        ) as t
        group by t.n / 2000
    ) as h;
end
$$;

comment on function centralcloud.next_heartbeat()
is 'The heartbeat, when one is due (each second): epoch, heads of all topics, and how far the contribution stream is applied.';

create or replace function centralcloud.next_key_announcements()
returns table (message_id text, subject text, headers jsonb, payload bytea)
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select
        'key:' || k.signing_key_id, centralcloud.get_setting('subject_prefix') || '.heads',
        jsonb_build_object('Singularity-Key', k.public_key),
        centralcloud.encode_message(jsonb_build_object('type', 'key', 'public_key', centralcloud.public_key()))
    from centralcloud.signing_key as k
    where k.public_key <> centralcloud.public_key()
$$;

comment on function centralcloud.next_key_announcements()
is 'For each former key a message, signed by it, that says which key the authority has now: whoever was away hears it later.';

create or replace function centralcloud.changes(request jsonb) returns jsonb
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    wanted_namespace text := request ->> 'namespace';
    wanted_kind text := request ->> 'kind';
    after bigint := (request ->> 'after')::bigint;
    topic_head bigint := coalesce((
        select t.head from centralcloud.topic t where t.namespace = wanted_namespace and t.kind = wanted_kind
    ), 0);
    page jsonb;
    reached bigint;
    complete boolean;
begin
    with candidate as (
        select a.artifact_id, a.revision from centralcloud.artifact a
        where a.namespace = wanted_namespace and a.kind = wanted_kind and a.revision > after
        order by a.revision limit 500
    ), sized as (
        select r.revision, r.refined, sum(r.size) over (order by r.revision) - r.size as size_before
        from centralcloud.refined_rows(array(select c.artifact_id from candidate c)) as r
    ), chosen as (
        select s.revision, s.refined from sized s where s.size_before < centralcloud.message_limit() / 2
    )
    select
        coalesce(jsonb_agg(c.refined order by c.revision), '[]'), max(c.revision),
        count(*) = (select count(*) from candidate) and count(*) < 500
    into page, reached, complete
    from chosen c;
    return jsonb_build_object(
        'type', 'changes', 'namespace', wanted_namespace, 'kind', wanted_kind, 'from', after,
        'to', case when complete then greatest(topic_head, after) else reached end, 'head', topic_head, 'rows', page
    );
end
$$;

comment on function centralcloud.changes(jsonb)
is 'A page of a topic: the artifacts whose last change has a number after the one given, up to "to", which is the head when '
'nothing remains.';

create or replace function centralcloud.heads(topics text[] default null) returns jsonb
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select coalesce(jsonb_object_agg(h.topic, h.head), '{}')
    from (
        select centralcloud.topic_name(t.namespace, t.kind) as topic, t.head
        from centralcloud.topic as t where heads.topics is null
        union all
        select asked.topic, coalesce(t.head, 0)
        from unnest(heads.topics) as asked (topic)
        cross join lateral centralcloud.topic_parts(asked.topic) as p
        left join centralcloud.topic as t on t.namespace = p.namespace and t.kind = p.kind
    ) as h
$$;

comment on function centralcloud.heads(text[])
is 'Heads of topics, of all or of those given as namespace/kind; 0 where nothing is published yet.';

create or replace function centralcloud.epoch() returns text
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$ select p.epoch from centralcloud.publisher as p $$;

comment on function centralcloud.epoch() is 'The present epoch: another one after each start of the bridge or the server.';
