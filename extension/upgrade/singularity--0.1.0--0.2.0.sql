-- what changed its signature or is gone
drop function singularity.status();
drop function singularity.backfill();
drop function singularity.make_withdrawn_evidence_private(uuid[]);

alter table singularity.identity
    add column past_incarnations uuid[] not null default '{}',
    add column server_start timestamptz,
    add column known_version bigint not null default 0,
    add column restoring boolean not null default false;

comment on column singularity.identity.mark is 'The database that this identity belongs to, see database_mark().';
comment on column singularity.identity.past_incarnations is 'The lives before it.';
comment on column singularity.identity.server_start
is 'Start of the server for which the authority has confirmed that this life goes on; null before the first.';
comment on column singularity.identity.known_version is 'The greatest version that the authority knew when it last said so.';
comment on column singularity.identity.restoring
is 'Whether the authority knows states of a later life that are being taken back; nothing is sent meanwhile.';

update singularity.identity as i set past_incarnations = array(
    select e.incarnation from singularity.evidence as e where e.incarnation <> i.incarnation
    union
    select o.incarnation from singularity.outcome as o where o.incarnation <> i.incarnation
);

alter table singularity.holding add column incarnation uuid;
comment on column singularity.holding.incarnation
is 'The life of this database in which it was learned; null when it was taken back from the authority.';

alter table singularity.central_copy add column unknown boolean not null default false;
comment on column singularity.central_copy.unknown
is 'Whether the authority did not know it when the topic was last compared: it is stale.';

alter table singularity.shipment add column failure text;
comment on column singularity.shipment.failure is 'What the broker said then.';

alter table singularity.delivery add column stored_version bigint not null default 0;
comment on column singularity.delivery.stored_version
is 'The greatest version that the authority has, as far as it said; 0 for none.';
update singularity.delivery set stored_version = confirmed_version where verdict in ('stored', 'superseded');

alter table singularity.authority
    add column session_id uuid not null default gen_random_uuid(),
    add column stream_awaited bigint,
    add column twin_at timestamptz;
comment on column singularity.authority.session_id
is 'Id of the present life of the bridge: by it the authority notices two databases under one name.';
comment on column singularity.authority.stream_awaited
is 'Up to which number of the stream the authority must have read before it knows all that this instance ever sent.';
comment on column singularity.authority.twin_at
is 'Since when the authority hears two databases speak as this instance; null for not.';

-- What is compared just now. It is the work of a running bridge, not data: it is not dumped.
create table singularity.comparison (
    topic text not null default '',
    prefix text not null default '',
    in_detail boolean not null default false,
    requested_at timestamptz,
    primary key (topic, prefix)
);

comment on table singularity.comparison is 'Ranges of artifact ids that are still to be compared with the authority.';
comment on column singularity.comparison.topic is 'Copies of this followed topic (namespace/kind); empty for the states of this instance.';
comment on column singularity.comparison.prefix is 'First hex digits of the artifact ids of the range.';
comment on column singularity.comparison.in_detail is 'Whether versions are compared; else digests are.';
comment on column singularity.comparison.requested_at is 'When the authority was asked; null before.';

create table singularity.reconciliation (
    only_row boolean primary key default true check (only_row),
    wanted_at timestamptz,
    started_at timestamptz,
    finished_at timestamptz,
    sent_again bigint not null default 0,
    taken_back bigint not null default 0,
    refreshed bigint not null default 0
);

comment on table singularity.reconciliation is 'The last comparison of what this instance and the authority have: one row, none before the first.';
comment on column singularity.reconciliation.only_row is 'Always true: there is one row at most.';
comment on column singularity.reconciliation.wanted_at is 'When a comparison was last asked for.';
comment on column singularity.reconciliation.started_at is 'When the last comparison began.';
comment on column singularity.reconciliation.finished_at is 'When a comparison last came to its end: both sides were equal or were made so.';
comment on column singularity.reconciliation.sent_again is 'States that the authority had lost, since the comparison began.';
comment on column singularity.reconciliation.taken_back is 'States of this instance that only the authority had.';
comment on column singularity.reconciliation.refreshed is 'Copies of followed topics that were not the authority''s.';

create type singularity.own_state as (
    artifact_id uuid,
    variant text,
    what text,
    namespace text,
    kind text,
    name text,
    version bigint,
    withdrawn_through bigint,
    content jsonb,
    summary text,
    tags text[],
    incarnation uuid,
    uses bigint,
    successes bigint,
    failures bigint,
    last_used_at timestamptz
);

comment on type singularity.own_state is 'A state of this instance as the authority gives it back; columns as in holding and evidence.';
comment on column singularity.own_state.artifact_id is 'Id of the artifact.';
comment on column singularity.own_state.variant is 'The variant; empty when withdrawn.';
comment on column singularity.own_state.what is 'holding or evidence.';
comment on column singularity.own_state.namespace is 'Namespace of the artifact.';
comment on column singularity.own_state.kind is 'Kind of the artifact.';
comment on column singularity.own_state.name is 'Name of the artifact.';
comment on column singularity.own_state.version is 'Number of the state.';
comment on column singularity.own_state.withdrawn_through is 'All up to this version is withdrawn.';
comment on column singularity.own_state.content is 'Content of the holding.';
comment on column singularity.own_state.summary is 'Summary of the holding.';
comment on column singularity.own_state.tags is 'Labels of the holding.';
comment on column singularity.own_state.incarnation is 'The life that counters belong to; zero for a holding.';
comment on column singularity.own_state.uses is 'Outcomes recorded.';
comment on column singularity.own_state.successes is 'Outcomes that were successes.';
comment on column singularity.own_state.failures is 'Outcomes that were failures.';
comment on column singularity.own_state.last_used_at is 'When the last of them was recorded.';
