create or replace function centralcloud.name_in(body jsonb, speaker uuid) returns text
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
    select case
        when coalesce(
            (centralcloud.name_refusal(n.name)).reason, (centralcloud.hidden_refusal(n.name, 'name')).reason
        ) is null then n.name
        else speaker::text
    end
    from (select body ->> 'instance_name' as name) as n
$$;

comment on function centralcloud.name_in(jsonb, uuid)
is 'The name that an instance says it has; its id where that is none that an artifact could have.';

create or replace function centralcloud.environment_in(body jsonb) returns text
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
    select case when body ->> 'environment' in ('dev', 'test', 'ci', 'prod') then body ->> 'environment' else 'dev' end
$$;

comment on function centralcloud.environment_in(jsonb) is 'The environment that an instance says it has; dev where that is none.';

create or replace function centralcloud.register_instances(
    speakers uuid[], bodies jsonb[], incoming centralcloud.incoming[]
) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    moved uuid[];
begin
    with heard as (
        -- the message with the greatest version says who an instance is, in whatever order they come
        select distinct on (b.speaker)
            b.speaker as instance_id, centralcloud.name_in(b.body, b.speaker) as instance_name,
            centralcloud.environment_in(b.body) as environment, v.greatest_version
        from unnest(speakers, bodies) with ordinality as b (speaker, body, n)
        cross join lateral (
            select coalesce(max((i.record).version), 0) as greatest_version
            from unnest(incoming) as i
            where i.message = b.n - 1 and i.verdict <> 'refused'
        ) as v
        order by b.speaker, v.greatest_version desc
    ), known as (
        select h.instance_id from heard as h
        join centralcloud.instance i using (instance_id)
        where h.greatest_version > i.greatest_version and h.environment <> i.environment
    ), stored as (
        insert into centralcloud.instance as i (
            instance_id, instance_name, environment, group_name, greatest_version
        )
        select instance_id, instance_name, environment, instance_id::text, greatest_version from heard
        on conflict (instance_id) do update set
            instance_name = case when excluded.greatest_version > i.greatest_version
                then excluded.instance_name else i.instance_name end,
            environment = case when excluded.greatest_version > i.greatest_version
                then excluded.environment else i.environment end,
            greatest_version = greatest(i.greatest_version, excluded.greatest_version), last_heard_at = now()
    )
    select array_agg(k.instance_id) into moved from known k;
    update centralcloud.instance i set twin_alarm_at = now()
    where i.instance_id in (select t.instance_id from unnest(incoming) as t where t.twin);
    if moved is not null then
        perform centralcloud.queue_scores(moved);
    end if;
end
$$;

comment on function centralcloud.register_instances(uuid[], jsonb[], centralcloud.incoming[])
is 'Notes the instances that contribute, the greatest version that was taken from each, what each says of itself with it, and '
'those that two databases speak for.';

create or replace function centralcloud.queue_scores(instance_ids uuid[]) returns void
language sql security definer
set search_path = pg_catalog, pg_temp
as $$
    insert into centralcloud.unscored (artifact_id)
    select distinct e.artifact_id from centralcloud.evidence as e where e.instance_id = any (queue_scores.instance_ids)
    on conflict do nothing
$$;

comment on function centralcloud.queue_scores(uuid[])
is 'Queues everything that instances have outcomes of, since these have another weight now.';

create or replace function centralcloud.repair_versions() returns bigint
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    -- what an instance goes on above
    most constant bigint := (centralcloud.greatest_number() + 1) / 2;
    repaired uuid[];
begin
    select array_agg(i.instance_id) into repaired from centralcloud.instance i where i.greatest_version > most;
    if repaired is null then
        return 0;
    end if;
    -- below all that it says from now on; what it had withdrawn stays so
    update centralcloud.holding h set version = 0 where h.instance_id = any (repaired) and h.version > most;
    update centralcloud.contribution c set version = 0 where c.instance_id = any (repaired) and c.version > most;
    update centralcloud.evidence e set version = 0 where e.instance_id = any (repaired) and e.version > most;
    update centralcloud.holding h set withdrawn_up_to = coalesce((
        select max(c.version) from centralcloud.contribution c
        where c.artifact_id = h.artifact_id and c.instance_id = h.instance_id
    ), 0)
    where h.instance_id = any (repaired) and h.withdrawn_up_to > most;
    update centralcloud.instance i set greatest_version = coalesce((
        select max(v.version)
        from (
            select h.version from centralcloud.holding h where h.instance_id = i.instance_id
            union all
            select c.version from centralcloud.contribution c where c.instance_id = i.instance_id
            union all
            select e.version from centralcloud.evidence e where e.instance_id = i.instance_id
        ) as v
    ), 0)
    where i.instance_id = any (repaired);
    return cardinality(repaired);
end
$$;

comment on function centralcloud.repair_versions()
is 'Mends what a version before 0.3 took: versions so great that the instance in whose name they came cannot go on above them. '
'They become 0, so that what the instance says next is newer. Returns how many instances it was. A bridge that attaches calls it.';
