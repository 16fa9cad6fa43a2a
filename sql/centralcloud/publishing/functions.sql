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
    ), grown as (
        select w.namespace, w.kind, count(*) as added, row_number() over (order by w.namespace, w.kind) as place
        from wanted w group by w.namespace, w.kind
    ), counted as (
        -- who counts holds the row until the commit, so no lower number comes after a higher one was seen
        update centralcloud.publisher p set changes = p.changes + g.topics
        from (select count(*) as topics from grown) as g where g.topics > 0
        returning p.changes - g.topics as changes
    ), topics as (
        insert into centralcloud.topic as t (namespace, kind, head, change)
        select g.namespace, g.kind, g.added, coalesce(c.changes, 0) + g.place
        from grown g left join counted c on true order by g.namespace, g.kind
        on conflict (namespace, kind) do update set head = t.head + excluded.head, change = excluded.change
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

create or replace function centralcloud.fitting_rows(artifact_ids uuid[], max_bytes bigint)
returns table (artifact_id uuid, namespace text, kind text, revision bigint, refined jsonb, size bigint)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    at_once constant integer := 16;
    taken bigint := 0;
begin
    if max_bytes <= 0 then
        return;
    end if;
    -- a few at a time: what does not fit is not built
    for place in 1 .. cardinality(artifact_ids) by at_once loop
        for artifact_id, namespace, kind, revision, refined, size in
            select r.artifact_id, r.namespace, r.kind, r.revision, r.refined, r.size
            from unnest(artifact_ids[place : place + at_once - 1]) with ordinality as i (artifact_id, n)
            join centralcloud.refined_rows(artifact_ids[place : place + at_once - 1]) as r using (artifact_id)
            order by i.n
        loop
            if taken >= max_bytes then
                return;
            end if;
            taken := taken + fitting_rows.size;
            return next;
        end loop;
    end loop;
end
$$;

comment on function centralcloud.fitting_rows(uuid[], bigint)
is 'The first of these artifacts as they are sent to instances, in this order, until they have so many bytes.';

create or replace function centralcloud.next_heartbeat() returns table (message_id text, subject text, payload bytea)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    max_heads constant integer := 8;
    since bigint;
begin
    if not centralcloud.heartbeat_is_due() then
        return;
    end if;
    since := (select p.changes_sent from centralcloud.publisher p);
    return query
    with sent as (
        update centralcloud.publisher p set heads_sent_at = clock_timestamp(), changes_sent = p.changes
        returning p.epoch, p.changes, p.changes - since between 0 and max_heads
            -- everybody hears it
            and not centralcloud.access_is_restricted() as fits
    )
    select
        'heads:' || s.changes, centralcloud.get_setting('subject_prefix') || '.heads',
        centralcloud.encode_message(jsonb_build_object(
            'type', 'heads', 'epoch', s.epoch, 'changes', s.changes,
            'since', case when s.fits then since else s.changes end, 'heads', coalesce((
                select jsonb_object_agg(centralcloud.topic_name(t.namespace, t.kind), t.head)
                from centralcloud.topic t where s.fits and t.change > since and t.change <= s.changes
            ), '{}'),
            'stream_created', b.streams -> centralcloud.stream_name() ->> 'created',
            'stream_passed', b.consumers -> 'centralcloud' -> 'ack_floor'
        ))
    from sent s
    left join centralcloud.bridge_state b on true;
end
$$;

comment on function centralcloud.next_heartbeat()
is 'The heartbeat, when one is due: epoch, how often topics have changed, how far the contribution stream is applied, and of '
'the topics that changed since the last one the heads, where these are few and everybody may read them. Who lacks some asks, see '
'topic_heads().';

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

create or replace function centralcloud.heartbeat_is_due() returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select exists (
        select from centralcloud.publisher as p
        where centralcloud.is_over(p.heads_sent_at, case
            when p.changes > p.changes_sent then interval '900 milliseconds' else interval '3 seconds'
        end)
    )
$$;

comment on function centralcloud.heartbeat_is_due()
is 'Whether a heartbeat is to be sent: every 3 seconds, and soon after topics have changed.';

create or replace function centralcloud.topic_heads(request jsonb, speaker uuid) returns jsonb
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    page constant integer := 500;
    topics constant text[] := array(select t.value from jsonb_array_elements_text(request -> 'topics') as t);
    asked_since constant bigint := (request ->> 'since')::bigint;
    present constant bigint := (select p.changes from centralcloud.publisher p);
    heads jsonb;
    reached bigint;
    complete boolean := true;
begin
    perform centralcloud.check_length('topics', request -> 'topics', page);
    if asked_since is null then
        heads := centralcloud.heads(topics);
    elsif request ? 'topics' then
        select jsonb_object_agg(a.topic, t.head) into heads
        from unnest(topics) as a (topic)
        cross join lateral centralcloud.topic_parts(a.topic) as p
        join centralcloud.topic as t on t.namespace = p.namespace and t.kind = p.kind
        where t.change > asked_since;
    else
        select jsonb_object_agg(centralcloud.topic_name(t.namespace, t.kind), t.head), max(t.change), count(*) < page
        into heads, reached, complete
        from (
            select c.* from centralcloud.topic as c where c.change > asked_since order by c.change limit page
        ) as t;
    end if;
    return jsonb_build_object(
        'type', 'heads', 'since', asked_since, 'to', case when complete then present else reached end,
        'heads', centralcloud.readable_heads(speaker, coalesce(heads, '{}'))
    );
end
$$;

comment on function centralcloud.topic_heads(jsonb, uuid)
is 'Heads of topics that an instance asks for and may read: of up to 500 that it names, of those among them that changed after a number, or '
'of all that changed after it, a page of 500. "to" is the number up to which the answer is complete. Errors: 54000 for more.';

create or replace function centralcloud.changes(request jsonb, speaker uuid) returns jsonb
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    left_bytes bigint := centralcloud.message_limit() / 2;
    first constant jsonb := centralcloud.page_of(request, speaker, left_bytes);
    more jsonb := '[]'::jsonb;
    page jsonb := first;
    asked jsonb;
begin
    perform centralcloud.check_length('more', request -> 'more', 200);
    for asked in select m.value from jsonb_array_elements(request -> 'more') as m loop
        left_bytes := left_bytes - octet_length(page::text);
        page := centralcloud.page_of(asked, speaker, left_bytes);
        more := more || page;
    end loop;
    return first || jsonb_build_object('type', 'changes', 'more', more);
end
$$;

comment on function centralcloud.changes(jsonb, uuid)
is 'A page of a topic, see page_of(), and of each that the request names besides it, up to 200; those that do not fit are empty and '
'end where they begin. Errors: 54000 for more.';

create or replace function centralcloud.page_of(asked jsonb, speaker uuid, max_bytes bigint) returns jsonb
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    at_once constant integer := 500;
    wanted_namespace text := asked ->> 'namespace';
    wanted_kind text := asked ->> 'kind';
    after bigint := (asked ->> 'after')::bigint;
    readable constant boolean := centralcloud.may_read(speaker, wanted_namespace);
    topic_head bigint := coalesce((
        select t.head from centralcloud.topic t
        where readable and t.namespace = wanted_namespace and t.kind = wanted_kind
    ), 0);
    candidates constant uuid[] := array(
        select a.artifact_id from centralcloud.artifact a
        where readable and a.namespace = wanted_namespace and a.kind = wanted_kind and a.revision > after
        order by a.revision limit at_once
    );
    page jsonb;
    reached bigint;
    complete boolean;
begin
    select
        coalesce(jsonb_agg(r.refined order by r.revision), '[]'), max(r.revision),
        count(*) = cardinality(candidates) and count(*) < at_once
    into page, reached, complete
    from centralcloud.fitting_rows(candidates, max_bytes) as r;
    return jsonb_build_object(
        'namespace', wanted_namespace, 'kind', wanted_kind, 'from', after,
        'to', case when complete then greatest(topic_head, after) else coalesce(reached, after) end,
        'head', topic_head, 'rows', page
    );
end
$$;

comment on function centralcloud.page_of(jsonb, uuid, bigint)
is 'A page of a topic: the artifacts whose last change has a number after the one given, so many bytes or 500, up to "to", which is '
'the head when nothing remains. A namespace that the instance may not read is like one in which there is nothing.';

create or replace function centralcloud.heads(topics text[] default null) returns jsonb
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select coalesce(jsonb_object_agg(h.topic, h.head), '{}')
    from (
        (
            select centralcloud.topic_name(t.namespace, t.kind) as topic, t.head
            from centralcloud.topic as t where heads.topics is null order by t.change desc limit 100
        )
        union all
        select asked.topic, coalesce(t.head, 0)
        from unnest(heads.topics) as asked (topic)
        cross join lateral centralcloud.topic_parts(asked.topic) as p
        left join centralcloud.topic as t on t.namespace = p.namespace and t.kind = p.kind
    ) as h
$$;

comment on function centralcloud.heads(text[])
is 'Heads of the topics given as namespace/kind, 0 where nothing is published yet; without any of the 100 that changed last.';

create or replace function centralcloud.epoch() returns text
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$ select p.epoch from centralcloud.publisher as p $$;

comment on function centralcloud.epoch() is 'The present epoch: another one after each start of the bridge or the server.';
