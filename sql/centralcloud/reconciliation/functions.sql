-- The authority's half of anti-entropy: it compares ranges with the instance that asks, and keeps nothing of it.

create or replace function centralcloud.states_of(instance_id uuid, prefix text)
returns table (artifact_id uuid, variant text, incarnation uuid, version bigint)
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select h.artifact_id, '', '00000000-0000-0000-0000-000000000000'::uuid, h.version
    from centralcloud.holding as h
    where h.instance_id = states_of.instance_id
        and h.artifact_id between centralcloud.range_start(states_of.prefix) and centralcloud.range_end(states_of.prefix)
    union all
    select e.artifact_id, e.variant, e.incarnation, e.version
    from centralcloud.evidence as e
    where e.instance_id = states_of.instance_id
        and e.artifact_id between centralcloud.range_start(states_of.prefix) and centralcloud.range_end(states_of.prefix)
$$;

comment on function centralcloud.states_of(uuid, text)
is 'Versions of what an instance said, in a range of artifact ids: holdings with an empty variant and a zero incarnation.';

create or replace function centralcloud.digest(instance_id uuid, prefix text default '')
returns table (entries bigint, digest text)
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select
        count(*),
        to_hex(coalesce(bit_xor(
            centralcloud.state_hash(s.artifact_id::text, s.variant, s.incarnation::text, s.version::text)
        ), 0))
    from centralcloud.states_of(digest.instance_id, digest.prefix) as s
$$;

comment on function centralcloud.digest(uuid, text)
is 'What the authority has of an instance, in a range of artifact ids (first hex digits; default: all): number of states, and '
'a digest that is equal to singularity.digest() of an instance that has the same.';

create or replace function centralcloud.published_in(topic text, range jsonb)
returns table (artifact_id uuid, revision bigint)
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select a.artifact_id, a.revision
    from centralcloud.artifact as a
    where a.namespace = split_part(published_in.topic, '/', 1) and a.kind = split_part(published_in.topic, '/', 2)
        and a.variant is not null and a.revision > 0
        and a.artifact_id between centralcloud.range_start(range ->> 'prefix') and centralcloud.range_end(range ->> 'prefix')
        and not coalesce(range -> 'forgotten', '[]') ? a.artifact_id::text
$$;

comment on function centralcloud.published_in(text, jsonb)
is 'Published artifacts of a topic in a range, without those that the instance that asks has forgotten.';

create or replace function centralcloud.compare(request jsonb, speaker uuid) returns jsonb
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select jsonb_build_object('type', 'digest', 'ranges', jsonb_agg(
        jsonb_build_object('topic', r.range -> 'topic', 'prefix', r.range -> 'prefix')
        || case
            when not r.range ? 'states' then centralcloud.compare_digest(r.range, speaker)
            when r.range ->> 'topic' = '' then centralcloud.compare_states(r.range, speaker, r.max_bytes)
            else centralcloud.compare_copies(r.range, r.max_bytes)
        end
    ))
    from (
        select e.value as range, centralcloud.message_limit() / count(*) over () as max_bytes
        from jsonb_array_elements(request -> 'ranges') as e
    ) as r
$$;

comment on function centralcloud.compare(jsonb, uuid)
is 'Answers a digest request: for each range whether it is equal, or where versions were sent, what differs.';

create or replace function centralcloud.compare_digest(range jsonb, speaker uuid) returns jsonb
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select jsonb_build_object(
        'entries', d.entries,
        'equal', d.entries = (range ->> 'entries')::bigint and d.digest = range ->> 'digest'
    )
    from (
        select s.entries, s.digest from centralcloud.digest(speaker, range ->> 'prefix') as s where range ->> 'topic' = ''
        union all
        select count(*), to_hex(coalesce(bit_xor(centralcloud.state_hash(p.artifact_id::text, p.revision::text)), 0))
        from centralcloud.published_in(range ->> 'topic', range) as p
        where range ->> 'topic' <> ''
        having range ->> 'topic' <> ''
    ) as d
$$;

comment on function centralcloud.compare_digest(jsonb, uuid) is 'Compares the digest of a range.';

create or replace function centralcloud.compare_states(range jsonb, speaker uuid, max_bytes bigint) returns jsonb
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    with here as materialized (
        select s.* from centralcloud.states_of(speaker, range ->> 'prefix') as s
    ), there as (
        select (s.value ->> 0)::uuid as artifact_id, s.value ->> 1 as variant, (s.value ->> 2)::uuid as incarnation,
            (s.value ->> 3)::bigint as version
        from jsonb_array_elements(range -> 'states') as s
    ), unknown_there as (
        select r.record, sum(octet_length(r.record::text)) over (order by h.artifact_id, h.variant, h.incarnation) as size,
            row_number() over (order by h.artifact_id, h.variant, h.incarnation) as n
        from here as h
        left join there as t using (artifact_id, variant, incarnation)
        cross join lateral (
            select centralcloud.own_state(speaker, h.artifact_id, h.variant, h.incarnation) as record
        ) as r
        where h.version > coalesce(t.version, 0)
    )
    select jsonb_build_object(
        'states', coalesce((
            select jsonb_agg(jsonb_build_array(h.artifact_id, h.variant, h.incarnation, h.version)) from here as h
        ), '[]'),
        'records', coalesce((select jsonb_agg(u.record) from unknown_there as u where u.n = 1 or u.size < max_bytes), '[]'),
        'more', exists (select from unknown_there as u where u.n > 1 and u.size >= max_bytes)
    )
$$;

comment on function centralcloud.compare_states(jsonb, uuid, bigint)
is 'Versions of a range, and the whole states that the instance does not know of itself, as many as fit.';

create or replace function centralcloud.own_state(
    speaker uuid, artifact_id uuid, variant text, incarnation uuid
) returns jsonb
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select jsonb_build_object('namespace', a.namespace, 'kind', a.kind, 'name', a.name) || s.state
    from centralcloud.artifact as a
    cross join lateral (
        select jsonb_build_object(
            'what', 'holding', 'version', h.version, 'withdrawn_through', h.withdrawn_through, 'variant', h.variant,
            'content', v.content, 'summary', c.summary, 'tags', c.tags
        ) as state
        from centralcloud.holding as h
        left join centralcloud.variant as v on h.artifact_id = v.artifact_id and h.variant = v.variant
        left join centralcloud.contribution as c
            on h.artifact_id = c.artifact_id and h.variant = c.variant and h.instance_id = c.instance_id
        where own_state.variant = '' and h.artifact_id = own_state.artifact_id and h.instance_id = speaker
        union all
        select jsonb_build_object(
            'what', 'evidence', 'version', e.version, 'variant', e.variant, 'incarnation', e.incarnation, 'uses', e.uses,
            'successes', e.successes, 'failures', e.failures, 'last_used_at', e.last_used_at
        )
        from centralcloud.evidence as e
        where own_state.variant <> '' and e.artifact_id = own_state.artifact_id and e.instance_id = speaker
            and e.variant = own_state.variant and e.incarnation = own_state.incarnation
    ) as s
    where a.artifact_id = own_state.artifact_id
$$;

comment on function centralcloud.own_state(uuid, uuid, text, uuid) is 'A state that an instance said, to be given back to it.';

create or replace function centralcloud.compare_copies(range jsonb, max_bytes bigint) returns jsonb
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    with here as materialized (
        select p.* from centralcloud.published_in(range ->> 'topic', range) as p
    ), there as (
        select (s.value ->> 0)::uuid as artifact_id, (s.value ->> 1)::bigint as revision
        from jsonb_array_elements(range -> 'states') as s
    ), refined as (
        select r.*, sum(r.size) over (order by r.revision, r.artifact_id) as size_up_to,
            row_number() over (order by r.revision, r.artifact_id) as n
        from centralcloud.refined_rows(array(
            select artifact_id from here full join there using (artifact_id)
            where here.revision is distinct from there.revision
        )) as r
    )
    select jsonb_build_object(
        'states', '[]'::jsonb,
        'rows', coalesce((select jsonb_agg(f.refined) from refined as f where f.n = 1 or f.size_up_to < max_bytes), '[]'),
        'unknown', coalesce((
            select jsonb_agg(t.artifact_id) from there as t
            where not exists (select from centralcloud.artifact as a where a.artifact_id = t.artifact_id)
        ), '[]'),
        'more', exists (select from refined as f where f.n > 1 and f.size_up_to >= max_bytes)
    )
$$;

comment on function centralcloud.compare_copies(jsonb, bigint)
is 'The published artifacts of a range that the instance has otherwise or not, as many as fit, and those that are unknown here.';
