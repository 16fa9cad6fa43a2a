create or replace function singularity.status() returns table (
    instance_id uuid, instance_name text, environment text, mode text, online boolean, bridge_seen_at timestamptz,
    authority_heard_at timestamptz, outbox_entries bigint, outbox_oldest_at timestamptz, open_questions bigint,
    cached_artifacts bigint, set_aside bigint, dead_letters bigint, extension_version text, bridge_version text,
    troubles text[], public_key text, authority_key text, rejections bigint
)
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select
        (singularity.present_identity()).instance_id,
        singularity.instance_name(),
        singularity.get_setting('environment'),
        singularity.get_setting('mode'),
        singularity.is_online(),
        (select b.seen_at from singularity.bridge_state as b),
        (select a.heard_at from singularity.authority as a),
        (select count(*) from singularity.outbox_entries),
        (select min(o.queued_at) from singularity.outbox as o),
        (
            select count(*) from singularity.question as q
            where q.answered_at is null
                and q.asked_at > now() - singularity.get_setting('question_ttl')::interval
        ),
        (select count(*) from singularity.central_copy),
        (select count(*) from singularity.delivery as d where d.verdict = 'refused'),
        (select count(*) from singularity.dead_letter),
        (select e.extversion::text from pg_extension as e where e.extname = 'singularity'),
        (select b.bridge_version from singularity.bridge_state as b),
        singularity.troubles(),
        singularity.public_key(),
        (select a.public_key from singularity.authority as a),
        (select coalesce(sum(r.messages), 0)::bigint from singularity.rejection as r)
$$;

comment on function singularity.status()
is 'How things stand, in one row: who this instance is, its mode, whether the authority can be reached (online), when the '
'bridge reported and the authority was heard, what waits to be confirmed and since when, open questions, cached central '
'copies, contributions that the authority refused, messages that could not be applied, versions, and what is '
'wrong now with its mend, see troubles(); the key that this instance signs with, the authority''s, and how many messages were '
'dropped since they were not authentic.';

create or replace function singularity.troubles(with_bridge boolean default true) returns text[]
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    bridge singularity.bridge_state := (select b from singularity.bridge_state b);
    central singularity.authority := (select a from singularity.authority a);
    me text := singularity.printable(singularity.instance_name());
    bridge_trouble text := singularity.bridge_trouble(
        'start the authority''s bridge, which makes the stream, and run singularity-bridge check there'
    );
    heard boolean := coalesce(central.heard_at > clock_timestamp() - interval '10 seconds', false);
    settled boolean := coalesce(bridge.connected_at < clock_timestamp() - interval '10 seconds', false);
begin
    if singularity.get_setting('mode') = 'local' then
        return array_remove(array[singularity.dead_letter_trouble(), singularity.setting_trouble()], null);
    end if;
    return array_remove(array[
        case when singularity.is_unclear() then format(
            'This database was restored or copied, and nothing is sent until you say which it is: CALL '
            'singularity.keep_identity() if %s goes on here, SELECT singularity.reidentify() if %1$s goes on '
            'elsewhere.', me
        ) end,
        case when central.twin_at is not null then format(
            'The authority hears two databases speak as %s: SELECT singularity.reidentify() in the copy, then SELECT '
            'centralcloud.dismiss_twin_alarm(%L) at the authority.', me, (singularity.present_identity()).instance_id
        ) end,
        case
            when not with_bridge then null
            when bridge_trouble is not null then bridge_trouble
            when settled and not heard then format(
                'NATS is there, but the authority was not heard since %s: look at the authority''s database and '
                'bridge.',
                coalesce(central.heard_at::timestamptz(0)::text, 'the connection began')
            )
        end,
        (
            select format('The contribution stream takes no messages (%s), so everything waits here: raise '
                'stream_max_bytes at the authority, or look why its bridge does not apply what is there.',
                singularity.printable(s.failure, 300))
            from singularity.batch s
            where s.failed_at > clock_timestamp() - interval '1 minute' and s.failure like '%exceeded%'
            order by s.failed_at desc limit 1
        ),
        (
            select 'The authority knows later states of this instance than this restored database: they are being '
                'restored, and nothing is sent meanwhile. See singularity.reconciliation.'
            from singularity.identity i where i.restoring
        ),
        (
            select format('The authority refused %s (the last: %s): learn it otherwise or forget it, or CALL '
                'singularity.reconcile() after a mend at the authority; see singularity.delivery.',
                case count(*) when 1 then 'one contribution' else count(*) || ' contributions' end,
                singularity.printable((array_agg(d.reason order by d.confirmed_at desc))[1], 500))
            from singularity.delivery d where d.verdict = 'refused'
            having count(*) > 0
        ),
        singularity.dead_letter_trouble(),
        singularity.scanner_trouble(),
        singularity.held_back_trouble(),
        singularity.setting_trouble(),
        (
            select format('What was learned at %s is not confirmed yet, though the authority is heard: look at the '
                'authority''s log and centralcloud.status().', o.queued_at::timestamptz(0))
            from (select o.queued_at from singularity.outbox o order by o.version limit 1) as o
            where heard and o.queued_at < clock_timestamp() - interval '10 minutes'
        )
    ], null) || singularity.trust_troubles();
end
$$;

comment on function singularity.troubles(boolean)
is 'What is wrong now, a sentence each with what to do, also of the bridge unless with_bridge is false; empty when all is '
'well. In mode local no bridge is needed.';
