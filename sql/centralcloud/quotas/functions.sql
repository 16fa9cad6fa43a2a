create or replace function centralcloud.quota_of(instance_id uuid)
returns table (artifacts bigint, topics bigint, bytes bigint, requests_per_minute bigint, records_per_minute bigint)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return query
    select
        coalesce(q.artifacts, centralcloud.get_setting('quota_artifacts')::bigint),
        coalesce(q.topics, centralcloud.get_setting('quota_topics')::bigint),
        coalesce(q.bytes, centralcloud.get_setting('quota_bytes')::bigint),
        coalesce(q.requests_per_minute, centralcloud.get_setting('requests_per_minute')::bigint),
        coalesce(q.records_per_minute, centralcloud.get_setting('records_per_minute')::bigint)
    from (select true as here) as one
    left join centralcloud.quota q on q.instance_id = quota_of.instance_id;
end
$$;

comment on function centralcloud.quota_of(uuid) is 'What an instance may take: what a curator said, else the settings.';

create or replace view centralcloud.usage as
select
    i.instance_id,
    i.instance_name,
    coalesce(c.artifacts, 0) as artifacts,
    q.artifacts as max_artifacts,
    coalesce(c.topics, 0) as topics,
    q.topics as max_topics,
    coalesce(c.bytes, 0) as bytes,
    q.bytes as max_bytes,
    q.requests_per_minute,
    q.records_per_minute
from centralcloud.instance as i
cross join lateral centralcloud.quota_of(i.instance_id) as q
left join centralcloud.consumption as c on i.instance_id = c.instance_id;

comment on view centralcloud.usage is 'What each instance takes, and what it may take; see set_quota().';
comment on column centralcloud.usage.instance_id is 'Id of the instance.';
comment on column centralcloud.usage.instance_name is 'Its name.';
comment on column centralcloud.usage.artifacts is 'Artifacts that it ever spoke of.';
comment on column centralcloud.usage.max_artifacts is 'How many it may speak of; records about more are refused.';
comment on column centralcloud.usage.topics is 'Topics of these.';
comment on column centralcloud.usage.max_topics is 'How many it may speak of; records in more are refused.';
comment on column centralcloud.usage.bytes is 'Bytes that its states take, with 200 for each row.';
comment on column centralcloud.usage.max_bytes is 'How many they may take; records that need more are refused.';
comment on column centralcloud.usage.requests_per_minute is 'Requests that it may make in a minute; more are refused for the moment.';
comment on column centralcloud.usage.records_per_minute is 'Records that it may send in a minute; more wait.';

create or replace function centralcloud.set_quota(
    instance_id uuid, artifacts bigint default null, topics bigint default null, bytes bigint default null,
    requests_per_minute bigint default null, records_per_minute bigint default null
) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    if not exists (select from centralcloud.instance i where i.instance_id = set_quota.instance_id) then
        raise exception using errcode = 'no_data_found',
            message = format('there is no instance %s', coalesce(set_quota.instance_id::text, 'null')),
            hint = 'See centralcloud.instance.';
    end if;
    if least(artifacts, topics, bytes) < 0 or least(requests_per_minute, records_per_minute) < 1 then
        raise exception using errcode = 'invalid_parameter_value',
            message = 'a quota is negative, or a rate less than 1',
            hint = 'Pass null for what the settings say.';
    end if;
    insert into centralcloud.quota as q (
        instance_id, artifacts, topics, bytes, requests_per_minute, records_per_minute
    )
    values (
        set_quota.instance_id, set_quota.artifacts, set_quota.topics, set_quota.bytes, set_quota.requests_per_minute,
        set_quota.records_per_minute
    )
    on conflict (instance_id) do update set
        artifacts = excluded.artifacts, topics = excluded.topics, bytes = excluded.bytes,
        requests_per_minute = excluded.requests_per_minute, records_per_minute = excluded.records_per_minute,
        untold = true;
    perform centralcloud.send_later(
        centralcloud.receipt_subject(set_quota.instance_id), null,
        centralcloud.encode_message(jsonb_build_object(
            'type', 'receipt', 'epoch', centralcloud.epoch(), 'records', '[]'::jsonb, 'heads', '{}'::jsonb,
            'retry_refused', true
        ))
    );
end
$$;

comment on function centralcloud.set_quota(uuid, bigint, bigint, bigint, bigint, bigint)
is 'Says what an instance may take: artifacts, topics, bytes, requests and records a minute; null for what the settings say. It '
'is told to send again what was refused, now or at its next hello. Errors: P0002 for an unknown instance, 22023 for a negative number.';

create or replace function centralcloud.tell_quota(instance_id uuid) returns boolean
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    update centralcloud.quota q set untold = false where q.instance_id = tell_quota.instance_id and q.untold;
    return found;
end
$$;

comment on function centralcloud.tell_quota(uuid) is 'Whether the quota of an instance changed since its last hello.';

create or replace function centralcloud.record_bytes(given centralcloud.wire_record) returns bigint
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select 400 + coalesce(octet_length(given.content::text), 0) + coalesce(octet_length(given.summary), 0)
        + coalesce(octet_length(array_to_string(given.tags, '')), 0)
$$;

comment on function centralcloud.record_bytes(centralcloud.wire_record)
is 'About how many bytes a record takes when it is stored: what it says, and its rows.';

create or replace function centralcloud.judge_quotas(incoming centralcloud.incoming[]) returns centralcloud.incoming[]
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    if not exists (
        select from (
            select
                i.instance_id, count(*) as records,
                count(distinct ((i.record).namespace, (i.record).kind)) as topics,
                sum(centralcloud.record_bytes(i.record)) as bytes
            from unnest(incoming) as i where i.verdict <> 'refused'
            group by i.instance_id
        ) as r
        cross join lateral centralcloud.quota_of(r.instance_id) as q
        left join centralcloud.consumption c using (instance_id)
        where coalesce(c.artifacts, 0) + r.records > q.artifacts or coalesce(c.topics, 0) + r.topics > q.topics
            or coalesce(c.bytes, 0) + r.bytes > q.bytes
    ) then
        return incoming;
    end if;
    return (
        with given as (
            select
                i as entry, row_number() over () as n, i.instance_id, i.artifact_id, (i.record).namespace,
                (i.record).kind, (i.record).record_type, coalesce((i.record).variant, '') as variant,
                (i.record).incarnation, i.verdict <> 'refused' as counts, centralcloud.record_bytes(i.record) as size
            from unnest(incoming) as i
        ), new as (
            select
                g.*,
                counts and not exists (
                    select from centralcloud.holding h
                    where h.artifact_id = g.artifact_id and h.instance_id = g.instance_id
                ) and not exists (
                    select from centralcloud.evidence e
                    where e.artifact_id = g.artifact_id and e.instance_id = g.instance_id
                ) as new_artifact,
                counts and not exists (
                    select from centralcloud.spoken_topic t
                    where t.instance_id = g.instance_id and t.namespace = g.namespace and t.kind = g.kind
                ) as new_topic,
                counts and case g.record_type
                    when 'evidence' then not exists (
                        select from centralcloud.evidence e
                        where e.artifact_id = g.artifact_id and e.instance_id = g.instance_id
                            and e.variant = g.variant and e.incarnation = g.incarnation
                    )
                    -- what was withdrawn takes its room again, and so does a longer summary
                    else g.variant <> '' and not exists (
                        select from centralcloud.contribution c
                        join centralcloud.holding h using (artifact_id, instance_id)
                        where c.artifact_id = g.artifact_id and c.instance_id = g.instance_id and c.variant = g.variant
                            and c.version > h.withdrawn_up_to
                            and coalesce(octet_length(c.summary), 0) + octet_length(array_to_string(c.tags, ''))
                                >= coalesce(octet_length(((g.entry).record).summary), 0)
                                    + coalesce(octet_length(array_to_string(((g.entry).record).tags, '')), 0)
                    )
                end as new_state
            from given g
        ), first as (
            select
                n.*,
                new_artifact and row_number() over (partition by n.instance_id, n.artifact_id order by n) = 1
                    as adds_artifact,
                new_topic and row_number() over (partition by n.instance_id, n.namespace, n.kind order by n) = 1
                    as adds_topic,
                case when new_state and row_number() over (
                    partition by n.instance_id, n.artifact_id, n.record_type, n.variant, n.incarnation order by n
                ) = 1 then size else 0 end as adds_bytes
            from new n
        ), counted as (
            select
                f.*,
                count(*) filter (where adds_artifact) over so_far as artifacts,
                count(*) filter (where adds_topic) over so_far as topics,
                sum(adds_bytes) over so_far as bytes
            from first f
            window so_far as (partition by f.instance_id order by f.n)
        ), judged as (
            -- all about a new artifact, or in a new topic, are judged as the first one
            select
                d.n, d.entry,
                case
                    when new_artifact and coalesce(c.artifacts, 0) + min(d.artifacts) over (
                        partition by d.instance_id, d.artifact_id
                    ) > q.artifacts then format('%s artifacts', q.artifacts)
                    when new_topic and coalesce(c.topics, 0) + min(d.topics) over (
                        partition by d.instance_id, d.namespace, d.kind
                    ) > q.topics then format('%s topics', q.topics)
                    when new_state and coalesce(c.bytes, 0) + d.bytes > q.bytes then format('%s bytes', q.bytes)
                end as quota
            from counted d
            cross join lateral centralcloud.quota_of(d.instance_id) as q
            left join centralcloud.consumption c using (instance_id)
        )
        select array_agg(
            case
                when j.quota is null then j.entry
                else jsonb_populate_record(j.entry, jsonb_build_object(
                    'verdict', 'refused',
                    'reason', format('quota: %s of this instance; a curator can raise it with set_quota()', j.quota)
                ))
            end
            order by j.n
        )
        from judged j
    );
end
$$;

comment on function centralcloud.judge_quotas(centralcloud.incoming[])
is 'Refuses the records that would take an instance beyond its quota of artifacts, topics or bytes; what changes or withdraws '
'what is known is taken.';

create or replace function centralcloud.measure(incoming centralcloud.incoming[]) returns jsonb
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return (
        with spoken as (
            select distinct i.instance_id, i.artifact_id from unnest(incoming) as i where i.verdict <> 'refused'
        ), stored as (
            select s.instance_id, s.artifact_id, 200 as bytes
            from spoken s join centralcloud.holding using (artifact_id, instance_id)
            union all
            select s.instance_id, s.artifact_id, 200
            from spoken s join centralcloud.evidence using (artifact_id, instance_id)
            union all
            select s.instance_id, s.artifact_id, 200 + case
                when c.version > coalesce(h.withdrawn_up_to, 0) then coalesce(octet_length(v.content::text), 0)
                    + coalesce(octet_length(c.summary), 0) + octet_length(array_to_string(c.tags, ''))
                else 0
            end
            from spoken s
            join centralcloud.contribution c using (artifact_id, instance_id)
            left join centralcloud.holding h using (artifact_id, instance_id)
            left join centralcloud.variant v on v.artifact_id = c.artifact_id and v.variant = c.variant
        )
        select jsonb_object_agg(m.instance_id, jsonb_build_array(m.artifacts, m.bytes))
        from (
            select t.instance_id, count(distinct t.artifact_id) as artifacts, sum(t.bytes) as bytes
            from stored t group by t.instance_id
        ) as m
    );
end
$$;

comment on function centralcloud.measure(centralcloud.incoming[])
is 'What the artifacts that these records are about take now, for each instance: [artifacts, bytes].';

create or replace function centralcloud.count_states(incoming centralcloud.incoming[], before jsonb) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    after constant jsonb := centralcloud.measure(incoming);
begin
    with topics as (
        insert into centralcloud.spoken_topic (instance_id, namespace, kind)
        select distinct i.instance_id, (i.record).namespace, (i.record).kind
        from unnest(incoming) as i where i.verdict <> 'refused'
        order by 1, 2, 3
        on conflict do nothing
        returning instance_id
    )
    insert into centralcloud.consumption as c (instance_id, artifacts, topics, bytes)
    select
        a.key::uuid,
        (a.value ->> 0)::bigint - coalesce((before -> a.key ->> 0)::bigint, 0),
        (select count(*) from topics t where t.instance_id = a.key::uuid),
        (a.value ->> 1)::bigint - coalesce((before -> a.key ->> 1)::bigint, 0)
    from jsonb_each(after) as a
    order by a.key
    on conflict (instance_id) do update set
        artifacts = c.artifacts + excluded.artifacts, topics = c.topics + excluded.topics,
        bytes = c.bytes + excluded.bytes;
end
$$;

comment on function centralcloud.count_states(centralcloud.incoming[], jsonb)
is 'Adds what records added to what their instances take, given what measure() said before they were stored.';

create or replace function centralcloud.delays(speakers uuid[], bodies jsonb[], meta jsonb[]) returns interval[]
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    -- so much may come at once
    burst constant interval := interval '10 seconds';
    delays interval[] := array_fill('0'::interval, array[cardinality(bodies)]);
    cost interval;
    until timestamptz;
begin
    for n in 1 .. cardinality(bodies) loop
        -- what waited has paid, and a bridge before 0.3 cannot let it wait
        continue when (meta[n] -> 'may_wait')::boolean is not true or (meta[n] ->> 'deliveries')::bigint > 1;
        cost := coalesce(jsonb_array_length(bodies[n] -> 'records'), 1) * interval '1 minute'
            / (select q.records_per_minute from centralcloud.quota_of(speakers[n]) as q);
        insert into centralcloud.consumption as c (instance_id, records_until)
        values (speakers[n], clock_timestamp() + cost)
        on conflict (instance_id) do update set
            -- what is far ahead is of a clock that was set back
            records_until = case
                when c.records_until > clock_timestamp() + interval '1 hour' then clock_timestamp()
                else least(greatest(c.records_until, clock_timestamp()), clock_timestamp() + interval '10 minutes')
            end + cost
        returning c.records_until into until;
        delays[n] := least(greatest(until - cost - clock_timestamp() - burst, '0'), '10 minutes');
    end loop;
    return delays;
end
$$;

comment on function centralcloud.delays(uuid[], jsonb[], jsonb[])
is 'How long each contribution has to wait so that its instance keeps to its records a minute; 0 for what may be applied now.';

create or replace function centralcloud.check_rate(speaker uuid, type text) returns void
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    allowed constant bigint := (select q.requests_per_minute from centralcloud.quota_of(speaker) as q);
    paid_until constant timestamptz := (
        select r.requests_until from centralcloud.request_rate r where r.instance_id = speaker
    );
    -- a part is kept for questions and hellos: whoever catches up with much can still ask
    ahead constant interval := case when type in ('ask', 'hello') then 60 else 48 end * interval '1 second';
    wait constant double precision := extract(epoch from paid_until - ahead - clock_timestamp());
begin
    if wait > 0 then
        raise exception using errcode = 'configuration_limit_exceeded',
            message = format('more than %s requests in a minute, again in %s s', allowed, least(ceil(wait), 60)),
            hint = 'A curator can raise it with centralcloud.set_quota().';
    end if;
end
$$;

comment on function centralcloud.check_rate(uuid, text)
is 'Raises 53400 when an instance has made more requests than its rate allows, and says when to ask again.';

create or replace function centralcloud.count_request(speaker uuid) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    cost constant interval
        := interval '1 minute' / (select q.requests_per_minute from centralcloud.quota_of(speaker) as q);
begin
    if current_setting('transaction_read_only')::boolean then
        return;
    end if;
    insert into centralcloud.request_rate as r (instance_id, requests_until)
    values (speaker, clock_timestamp() + cost)
    on conflict (instance_id) do update set
        -- also after the clock was set back
        requests_until = cost
            + least(greatest(r.requests_until, clock_timestamp()), clock_timestamp() + interval '1 minute');
end
$$;

comment on function centralcloud.count_request(uuid) is 'Counts a request that was answered. It is the last thing of its transaction, so that none waits for another.';
