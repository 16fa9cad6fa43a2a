create or replace function centralcloud.status() returns table (
    instances bigint, artifacts bigint, variants bigint, unpublished bigint, unscored bigint, pending_messages bigint,
    connected boolean, bridge_seen_at timestamptz, error text, epoch text, twin_alarms bigint, dead_letters bigint,
    extension_version text, bridge_version text, troubles text[], public_key text, enrolment text, rejections bigint
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
        b.bridge_version,
        centralcloud.troubles(),
        centralcloud.public_key(),
        centralcloud.enrolment(),
        (select coalesce(sum(r.messages), 0)::bigint from centralcloud.rejection as r)
    from (select true as here) as one
    left join centralcloud.bridge_state as b on one.here
$$;

comment on function centralcloud.status()
is 'How things stand, in one row: how much is known, what waits to be published, scored or applied, whether the bridge is '
'connected and why not, instances that two databases speak for, messages that could not be applied, versions, and what is '
'wrong now with its mend, see troubles(); the key that the authority signs with, whether enrolment is open or required, and how '
'many messages were dropped since they were not authentic.';

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

create or replace function centralcloud.troubles(with_bridge boolean default true) returns text[]
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    bridge centralcloud.bridge_state := (select b from centralcloud.bridge_state b);
begin
    return array_remove(array[
        case when with_bridge then centralcloud.bridge_trouble('run singularity-bridge check') end,
        (
            select format('The contribution stream is full (%s of %s bytes), and instances keep what they learn '
                'until there is room: raise stream_max_bytes, or look why it is not applied.', s.bytes, s.max_bytes)
            from (
                select (bridge.streams -> centralcloud.stream_name() ->> 'bytes')::bigint as bytes,
                    centralcloud.get_setting('stream_max_bytes')::bigint as max_bytes
            ) as s
            where s.bytes > s.max_bytes * 0.9
        ),
        (
            select format('Two databases speak as %s: SELECT singularity.reidentify() in the copies, then SELECT '
                '%s here.', string_agg(centralcloud.printable(i.instance_name), ', ' order by i.instance_name),
                string_agg(format('centralcloud.dismiss_twin_alarm(%L)', i.instance_id), ', ' order by i.instance_name))
            from centralcloud.instance i where i.twin_alarm_at is not null
            having count(*) > 0
        ),
        centralcloud.dead_letter_trouble(),
        centralcloud.setting_trouble()
    ], null) || centralcloud.registry_troubles();
end
$$;

comment on function centralcloud.troubles(boolean) is 'What is wrong now, a sentence each with what to do, also of the bridge unless with_bridge is false; empty when all is '
'well.';
