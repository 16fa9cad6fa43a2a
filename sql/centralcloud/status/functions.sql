create or replace function centralcloud.status() returns table (
    instances bigint, artifacts bigint, variants bigint, unpublished bigint, unscored bigint, pending_messages bigint,
    connected boolean, bridge_seen_at timestamptz, error text, epoch text, twin_alarms bigint, dead_letters bigint,
    extension_version text, bridge_version text
)
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select
        (select count(*) from centralcloud.instance),
        (select count(*) from centralcloud.artifact as a where a.variant is not null),
        (select count(*) from centralcloud.variant),
        (select count(*) from centralcloud.unpublished),
        (select count(*) from centralcloud.unscored),
        (b.consumers -> 'centralcloud' ->> 'pending')::bigint,
        coalesce(b.connected and b.seen_at > clock_timestamp() - interval '10 seconds', false),
        b.seen_at,
        b.error,
        centralcloud.epoch(),
        (select count(*) from centralcloud.instance as i where i.twin_alarm_at is not null),
        (select count(*) from centralcloud.dead_letter),
        (select e.extversion::text from pg_extension as e where e.extname = 'centralcloud'),
        b.bridge_version
    from (select true as here) as one
    left join centralcloud.bridge_state as b on one.here
$$;

comment on function centralcloud.status()
is 'How things stand, in one row: how much is known, what waits to be published, scored or applied, whether the bridge is '
'connected and why not, instances that two databases speak for, messages that could not be applied, versions.';

create or replace function centralcloud.statistics() returns table (
    namespace text, kind text, artifacts bigint, variants bigint, uses bigint, candidate bigint, low bigint,
    medium bigint, high bigint, very_high bigint, head bigint
)
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select
        a.namespace, a.kind, count(*), sum(v.n)::bigint, sum(a.uses)::bigint,
        count(*) filter (where a.level = 'candidate'),
        count(*) filter (where a.level = 'low'),
        count(*) filter (where a.level = 'medium'),
        count(*) filter (where a.level = 'high'),
        count(*) filter (where a.level = 'very_high'),
        max(t.head)
    from centralcloud.artifact as a
    cross join lateral (
        select count(*) as n from centralcloud.variant as v where v.artifact_id = a.artifact_id
    ) as v
    left join centralcloud.topic as t on a.namespace = t.namespace and a.kind = t.kind
    where a.variant is not null
    group by a.namespace, a.kind
    order by a.namespace, a.kind
$$;

comment on function centralcloud.statistics()
is 'What is known, by namespace and kind: artifacts, rival variants, outcomes, how many artifacts have which level, and the '
'number of the last published change.';
