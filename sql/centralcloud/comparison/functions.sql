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
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    ranges centralcloud.wire_range[];
    range centralcloud.wire_range;
    difference jsonb;
    differences jsonb := '[]'::jsonb;
    left_bytes bigint := centralcloud.message_limit();
    at_least integer := 1;
begin
    perform centralcloud.check_length('ranges', request -> 'ranges', 64);
    ranges := array(
        select r from jsonb_populate_recordset(null::centralcloud.wire_range, request -> 'ranges') as r
    );
    perform centralcloud.check_ranges(ranges);
    foreach range in array ranges loop
        difference := centralcloud.without_nulls(to_jsonb(case
            when range.states is null or centralcloud.is_large(range, speaker)
                then centralcloud.compare_digest(range, speaker)
            when range.topic = '' then centralcloud.compare_states(range, speaker, at_least, left_bytes)
            else centralcloud.compare_copies(range, speaker, at_least, left_bytes)
        end));
        if difference ? 'more' then
            at_least := 0;
            left_bytes := left_bytes - octet_length(difference::text);
        end if;
        differences := differences || difference;
    end loop;
    return jsonb_build_object('type', 'digest', 'ranges', differences);
end
$$;

comment on function centralcloud.compare(jsonb, uuid)
is 'Answers a digest request: for each range whether it is equal, or where versions were sent, what differs. Since no two ranges '
'overlap, each state and each artifact is read once at most. Errors: 54000 for more than 64 ranges or too long lists, 22023 for '
'ranges that overlap or are none.';

create or replace function centralcloud.check_ranges(ranges centralcloud.wire_range[]) returns void
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    wrong text;
begin
    perform
        centralcloud.check_length('states', r.states, 1000),
        centralcloud.check_length('forgotten', r.forgotten, 20000)
    from unnest(ranges) as r;
    if (select count(*) from unnest(ranges) as r where r.states is not null) > 8 then
        raise exception using errcode = 'program_limit_exceeded',
            message = 'versions of more than 8 ranges are to be compared',
            hint = 'Send them in several requests.';
    end if;
    wrong := (
        select min(coalesce(r.prefix, 'null')) from unnest(ranges) as r
        where r.topic is null or r.prefix is null or r.prefix !~ '^[0-9a-f]{0,32}$'
    );
    if wrong is not null then
        raise exception using errcode = 'invalid_parameter_value',
            message = format('%L is no range', left(wrong, 100)),
            hint = 'A range has a topic and up to 32 hex digits.';
    end if;
    wrong := (
        select min(a.prefix)
        from unnest(ranges) with ordinality as a (topic, prefix, entries, digest, forgotten, states, n)
        inner join unnest(ranges) with ordinality as b (topic, prefix, entries, digest, forgotten, states, n)
            on a.topic = b.topic and a.n <> b.n and starts_with(b.prefix, a.prefix)
    );
    if wrong is not null then
        raise exception using errcode = 'invalid_parameter_value',
            message = format('another range lies in that of %L', wrong),
            hint = 'Send ranges that do not overlap.';
    end if;
end
$$;

comment on function centralcloud.check_ranges(centralcloud.wire_range[])
is 'Raises 54000 or 22023 for ranges that are not to be compared: too many, with too long lists, not valid, or overlapping.';

create or replace function centralcloud.is_large(range centralcloud.wire_range, speaker uuid) returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select count(*) > 400
    from (
        select from centralcloud.states_of(speaker, range.prefix) as s where range.topic = ''
        union all
        select from centralcloud.published_in(range, speaker) as p where range.topic <> ''
    ) as here
$$;

comment on function centralcloud.is_large(centralcloud.wire_range, uuid)
is 'Whether there is too much in a range to compare its versions: then it is to be divided.';

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
        from centralcloud.published_in(range, speaker) as p;
    end if;
    difference.equal := difference.entries = range.entries and digest = range.digest;
    return difference;
end
$$;

comment on function centralcloud.compare_digest(centralcloud.wire_range, uuid) is 'Compares the digest of a range.';

create or replace function centralcloud.compare_states(
    range centralcloud.wire_range, speaker uuid, at_least integer, max_bytes bigint
) returns centralcloud.wire_difference
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    difference centralcloud.wire_difference;
    behind record;
    found jsonb;
    size bigint;
begin
    difference.topic := range.topic;
    difference.prefix := range.prefix;
    difference.records := '[]';
    difference.more := false;
    difference.states := (
        select coalesce(jsonb_agg(jsonb_build_array(h.artifact_id, h.variant, h.incarnation, h.version)), '[]')
        from centralcloud.states_of(speaker, range.prefix) as h
    );
    size := octet_length(difference.states::text);
    for behind in
        select artifact_id, variant, incarnation
        from centralcloud.states_of(speaker, range.prefix) as h
        left join (
            select (s.value ->> 0)::uuid as artifact_id, s.value ->> 1 as variant, (s.value ->> 2)::uuid as incarnation,
                (s.value ->> 3)::bigint as version
            from jsonb_array_elements(range.states) as s
        ) as t using (artifact_id, variant, incarnation)
        where h.version > coalesce(t.version, 0)
        order by artifact_id, variant, incarnation
    loop
        found := centralcloud.encode_record(
            centralcloud.own_state(speaker, behind.artifact_id, behind.variant, behind.incarnation)
        );
        size := size + octet_length(found::text);
        if size >= max_bytes and jsonb_array_length(difference.records) >= at_least then
            difference.more := true;
            exit;
        end if;
        difference.records := difference.records || found;
    end loop;
    return difference;
end
$$;

comment on function centralcloud.compare_states(centralcloud.wire_range, uuid, integer, bigint)
is 'Versions of a range, and the whole states that the instance does not know of itself, as many as fit but so many at least.';

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

create or replace function centralcloud.compare_copies(
    range centralcloud.wire_range, speaker uuid, at_least integer, max_bytes bigint
) returns centralcloud.wire_difference
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    difference centralcloud.wire_difference;
    different uuid[];
begin
    difference.topic := range.topic;
    difference.prefix := range.prefix;
    difference.states := '[]';
    with there as materialized (
        select (s.value ->> 0)::uuid as artifact_id, (s.value ->> 1)::bigint as revision
        from jsonb_array_elements(range.states) as s
    ), readable as materialized (
        -- whatever ids are named
        select r.artifact_id
        from unnest(centralcloud.readable_artifacts(speaker, array(select artifact_id from there))) as r (artifact_id)
    )
    select
        array(
            select artifact_id
            from centralcloud.published_in(range, speaker) as here full join there using (artifact_id)
            where here.revision is distinct from there.revision
            order by here.revision, artifact_id
        ),
        coalesce((
            select jsonb_agg(t.artifact_id) from there as t
            where not exists (select from readable as a where a.artifact_id = t.artifact_id)
        ), '[]')
    into different, difference.unknown;
    select coalesce(jsonb_agg(f.refined), '[]') into difference.rows
    from centralcloud.fitting_rows(
        array(
            select d.artifact_id
            from unnest(centralcloud.readable_artifacts(speaker, different)) with ordinality as d (artifact_id, n)
            order by d.n
        ),
        greatest(max_bytes / 2, at_least)
    ) as f;
    difference.more := jsonb_array_length(difference.rows) + jsonb_array_length(difference.unknown)
        < cardinality(different);
    return difference;
end
$$;

comment on function centralcloud.compare_copies(centralcloud.wire_range, uuid, integer, bigint)
is 'The published artifacts of a range that the instance has otherwise or not, as many as fit but so many at least, and those that '
'are unknown here or that it may not read.';

create or replace function centralcloud.states_of(instance_id uuid, prefix text)
returns table (artifact_id uuid, variant text, incarnation uuid, version bigint)
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select s.artifact_id, s.variant, s.incarnation, s.version
    from (
        select h.artifact_id, '' as variant, '00000000-0000-0000-0000-000000000000'::uuid as incarnation, h.version,
            h.seal
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

create or replace function centralcloud.published_in(range centralcloud.wire_range, speaker uuid)
returns table (artifact_id uuid, revision bigint)
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select a.artifact_id, a.revision
    from centralcloud.topic_parts(range.topic) as t
    inner join centralcloud.artifact as a on t.namespace = a.namespace and t.kind = a.kind
    where a.variant is not null and a.revision > 0 and centralcloud.may_read(published_in.speaker, t.namespace)
        and a.artifact_id between centralcloud.range_start(range.prefix) and centralcloud.range_end(range.prefix)
        and a.artifact_id not in (
            select f.value::uuid from jsonb_array_elements_text(coalesce(range.forgotten, '[]')) as f
        )
$$;

comment on function centralcloud.published_in(centralcloud.wire_range, uuid)
is 'Published artifacts of a topic in a range, without those that the instance that asks has forgotten; none of a namespace that it '
'may not read.';
