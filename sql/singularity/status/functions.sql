create or replace view singularity.outbox_entries as
select
    o.artifact_id,
    case when o.variant = '' then 'holding' else 'evidence' end as what,
    nullif(o.variant, '') as variant,
    max(o.version) as version,
    min(o.queued_at) as queued_at
from singularity.outbox as o
group by o.artifact_id, o.variant, o.incarnation;

comment on view singularity.outbox_entries is 'What the authority has not confirmed: one row for each changed holding or evidence.';
comment on column singularity.outbox_entries.artifact_id is 'Id of the artifact.';
comment on column singularity.outbox_entries.what is 'holding or evidence.';
comment on column singularity.outbox_entries.variant is 'Variant of the evidence; null for a holding.';
comment on column singularity.outbox_entries.version is 'The version to be confirmed.';
comment on column singularity.outbox_entries.queued_at is 'When the oldest unconfirmed change was made.';

create or replace function singularity.status() returns table (
    instance_id uuid, instance_name text, environment text, mode text, online boolean, bridge_seen_at timestamptz,
    authority_heard_at timestamptz, outbox_entries bigint, outbox_oldest_at timestamptz, open_questions bigint,
    cached_artifacts bigint, set_aside bigint, dead_letters bigint, extension_version text, bridge_version text
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
        (select count(*) from singularity.delivery as d where d.verdict in ('set aside', 'refused')),
        (select count(*) from singularity.dead_letter),
        (select e.extversion::text from pg_extension as e where e.extname = 'singularity'),
        (select b.bridge_version from singularity.bridge_state as b)
$$;

comment on function singularity.status()
is 'How things stand, in one row: who this instance is, its mode, whether the authority can be reached (online), when the '
'bridge reported and the authority was heard, what waits to be confirmed and since when, open questions, cached central '
'copies, contributions that the authority set aside or refused, messages that could not be applied, versions.';
