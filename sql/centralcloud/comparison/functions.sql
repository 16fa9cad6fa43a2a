-- The authority compares ranges with the instance that asks, and keeps nothing of it.

create or replace function centralcloud.digest(instance_id uuid, prefix text default '')
returns table (entries bigint, digest text)
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select
        count(*),
        centralcloud.digest_of(
            centralcloud.state_hash(s.artifact_id::text, s.variant, s.incarnation::text, s.version::text)
        )
    from centralcloud.states_of(digest.instance_id, digest.prefix) as s
$$;

comment on function centralcloud.digest(uuid, text)
is 'What the authority has of an instance, in a range of artifact ids (first hex digits; default: all): number of states, and '
'a digest that is equal to singularity.digest() of an instance that has the same.';

create or replace function centralcloud.compare(request jsonb, speaker uuid) returns jsonb
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select jsonb_build_object('type', 'digest', 'ranges', jsonb_agg(centralcloud.without_nulls(to_jsonb(case
        when (a.range).states is null then centralcloud.compare_digest(a.range, speaker)
        when (a.range).topic = '' then centralcloud.compare_states(a.range, speaker, a.max_bytes)
        else centralcloud.compare_copies(a.range, a.max_bytes)
    end))))
    from (
        select r as range, centralcloud.message_limit() / count(*) over () as max_bytes
        from jsonb_populate_recordset(null::centralcloud.wire_range, request -> 'ranges') as r
    ) as a
$$;

comment on function centralcloud.compare(jsonb, uuid)
is 'Answers a digest request: for each range whether it is equal, or where versions were sent, what differs.';

create or replace function centralcloud.compare_digest(range centralcloud.wire_range, speaker uuid)
returns centralcloud.wire_difference
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    difference centralcloud.wire_difference;
    digest text;
begin
    difference.topic := range.topic;
    difference.prefix := range.prefix;
    if range.topic = '' then
        select d.entries, d.digest into difference.entries, digest from centralcloud.digest(speaker, range.prefix) as d;
    else
        select count(*), centralcloud.digest_of(centralcloud.state_hash(p.artifact_id::text, p.revision::text))
        into difference.entries, digest
        from centralcloud.published_in(range) as p;
    end if;
    difference.equal := difference.entries = range.entries and digest = range.digest;
    return difference;
end
$$;

comment on function centralcloud.compare_digest(centralcloud.wire_range, uuid) is 'Compares the digest of a range.';

create or replace function centralcloud.compare_states(range centralcloud.wire_range, speaker uuid, max_bytes bigint)
returns centralcloud.wire_difference
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    difference centralcloud.wire_difference;
begin
    difference.topic := range.topic;
    difference.prefix := range.prefix;
    with here as materialized (
        select s.artifact_id, s.variant, s.incarnation, s.version
        from centralcloud.states_of(speaker, range.prefix) as s
    ), there as (
        select (s.value ->> 0)::uuid as artifact_id, s.value ->> 1 as variant, (s.value ->> 2)::uuid as incarnation,
            (s.value ->> 3)::bigint as version
        from jsonb_array_elements(range.states) as s
    ), unknown_there as (
        select r.record, sum(octet_length(r.record::text)) over in_order as size, row_number() over in_order as n
        from here as h
        left join there as t using (artifact_id, variant, incarnation)
        cross join lateral (
            select centralcloud.encode_record(
                centralcloud.own_state(speaker, h.artifact_id, h.variant, h.incarnation)
            ) as record
        ) as r
        where h.version > coalesce(t.version, 0)
        window in_order as (order by h.artifact_id, h.variant, h.incarnation)
    )
    select
        coalesce((
            select jsonb_agg(jsonb_build_array(h.artifact_id, h.variant, h.incarnation, h.version)) from here as h
        ), '[]'),
        coalesce((select jsonb_agg(u.record) from unknown_there as u where u.n = 1 or u.size < max_bytes), '[]'),
        exists (select from unknown_there as u where u.n > 1 and u.size >= max_bytes)
    into difference.states, difference.records, difference.more;
    return difference;
end
$$;

comment on function centralcloud.compare_states(centralcloud.wire_range, uuid, bigint)
is 'Versions of a range, and the whole states that the instance does not know of itself, as many as fit.';

create or replace function centralcloud.own_state(
    speaker uuid, artifact_id uuid, variant text, incarnation uuid
) returns centralcloud.wire_record
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select jsonb_populate_record(null::centralcloud.wire_record, to_jsonb(a) || s.state)
    from (
        select a.namespace, a.kind, a.name from centralcloud.artifact as a where a.artifact_id = own_state.artifact_id
    ) as a
    cross join lateral (
        select coalesce(to_jsonb(c), '{}') || to_jsonb(h)
            || jsonb_build_object('record_type', 'holding', 'content', v.content) as state
        from centralcloud.holding as h
        left join centralcloud.variant as v on h.artifact_id = v.artifact_id and h.variant = v.variant
        left join centralcloud.contribution as c
            on h.artifact_id = c.artifact_id and h.variant = c.variant and h.instance_id = c.instance_id
        where own_state.variant = '' and h.artifact_id = own_state.artifact_id and h.instance_id = speaker
        union all
        select to_jsonb(e) || '{"record_type": "evidence"}'
        from centralcloud.evidence as e
        where own_state.variant <> '' and e.artifact_id = own_state.artifact_id and e.instance_id = speaker
            and e.variant = own_state.variant and e.incarnation = own_state.incarnation
    ) as s
$$;

comment on function centralcloud.own_state(uuid, uuid, text, uuid) is 'A state that an instance said, to be given back to it.';

create or replace function centralcloud.compare_copies(range centralcloud.wire_range, max_bytes bigint)
returns centralcloud.wire_difference
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    difference centralcloud.wire_difference;
begin
    difference.topic := range.topic;
    difference.prefix := range.prefix;
    difference.states := '[]';
    with here as materialized (
        select p.artifact_id, p.revision from centralcloud.published_in(range) as p
    ), there as (
        select (s.value ->> 0)::uuid as artifact_id, (s.value ->> 1)::bigint as revision
        from jsonb_array_elements(range.states) as s
    ), refined as (
        select r.refined, sum(r.size) over (order by r.revision, r.artifact_id) as size_up_to,
            row_number() over (order by r.revision, r.artifact_id) as n
        from centralcloud.refined_rows(array(
            select artifact_id from here full join there using (artifact_id)
            where here.revision is distinct from there.revision
        )) as r
    )
    select
        coalesce((select jsonb_agg(f.refined) from refined as f where f.n = 1 or f.size_up_to < max_bytes), '[]'),
        coalesce((
            select jsonb_agg(t.artifact_id) from there as t
            where not exists (select from centralcloud.artifact as a where a.artifact_id = t.artifact_id)
        ), '[]'),
        exists (select from refined as f where f.n > 1 and f.size_up_to >= max_bytes)
    into difference.rows, difference.unknown, difference.more;
    return difference;
end
$$;

comment on function centralcloud.compare_copies(centralcloud.wire_range, bigint)
is 'The published artifacts of a range that the instance has otherwise or not, as many as fit, and those that are unknown here.';

create or replace function centralcloud.states_of(instance_id uuid, prefix text)
returns table (artifact_id uuid, variant text, incarnation uuid, version bigint)
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select s.artifact_id, s.variant, s.incarnation, s.version
    from (
        select h.artifact_id, '' as variant, '00000000-0000-0000-0000-000000000000'::uuid as incarnation, h.version, h.seal
        from centralcloud.holding as h
        where h.instance_id = states_of.instance_id
            and h.artifact_id between centralcloud.range_start(states_of.prefix)
                and centralcloud.range_end(states_of.prefix)
        union all
        select e.artifact_id, e.variant, e.incarnation, e.version, e.seal
        from centralcloud.evidence as e
        where e.instance_id = states_of.instance_id
            and e.artifact_id between centralcloud.range_start(states_of.prefix)
                and centralcloud.range_end(states_of.prefix)
    ) as s
    where s.seal is not null or not exists (
        select from centralcloud.instance as i where i.instance_id = states_of.instance_id and i.seals
    )
$$;

comment on function centralcloud.states_of(uuid, text)
is 'Versions of what an instance said, in a range of artifact ids: holdings with an empty variant and a zero incarnation. Of an '
'instance that seals, what has no seal does not count: it is sent again, and can be given back from then on.';

create or replace function centralcloud.published_in(range centralcloud.wire_range)
returns table (artifact_id uuid, revision bigint)
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select a.artifact_id, a.revision
    from centralcloud.topic_parts(range.topic) as t
    inner join centralcloud.artifact as a on t.namespace = a.namespace and t.kind = a.kind
    where a.variant is not null and a.revision > 0
        and a.artifact_id between centralcloud.range_start(range.prefix) and centralcloud.range_end(range.prefix)
        and not coalesce(range.forgotten, '[]') ? a.artifact_id::text
$$;

comment on function centralcloud.published_in(centralcloud.wire_range)
is 'Published artifacts of a topic in a range, without those that the instance that asks has forgotten.';
