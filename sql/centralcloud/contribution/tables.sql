-- What instances said, joined: the greatest version for each key, whatever the order of the messages.
create table centralcloud.holding (
    instance_id uuid not null,
    artifact_id uuid not null,
    variant text,
    version bigint not null,
    withdrawn_up_to bigint not null,
    state_hash text not null,
    seal text,
    primary key (artifact_id, instance_id)
);

create index holding_instance on centralcloud.holding (instance_id, artifact_id);

comment on table centralcloud.holding is 'Which variant each instance holds of each artifact, its greatest version.';
comment on column centralcloud.holding.instance_id is 'Id of the instance.';
comment on column centralcloud.holding.artifact_id is 'Id of the artifact.';
comment on column centralcloud.holding.variant is 'The variant it holds; null when withdrawn.';
comment on column centralcloud.holding.version is 'The instance''s number of this state.';
comment on column centralcloud.holding.withdrawn_up_to is 'All that the instance sent of the artifact up to this version is withdrawn.';
comment on column centralcloud.holding.state_hash is 'md5 of the state, which decides where equal versions differ.';
comment on column centralcloud.holding.seal is 'The instance''s proof of the state, for when it is given back; null of a version before 0.3.';

select pg_catalog.pg_extension_config_dump('centralcloud.holding', '');

create table centralcloud.contribution (
    instance_id uuid not null,
    artifact_id uuid not null,
    variant text not null,
    version bigint not null,
    summary text,
    tags text[] not null default '{}',
    primary key (artifact_id, variant, instance_id)
);

comment on table centralcloud.contribution is 'Every variant that an instance ever contributed; content stays while one of them is not withdrawn.';
comment on column centralcloud.contribution.instance_id is 'Id of the instance.';
comment on column centralcloud.contribution.artifact_id is 'Id of the artifact.';
comment on column centralcloud.contribution.variant is 'The variant that it contributed.';
comment on column centralcloud.contribution.version is 'The greatest version that it contributed it under.';
comment on column centralcloud.contribution.summary is 'Its summary under that version; null when it is withdrawn.';
comment on column centralcloud.contribution.tags is 'Its tags under that version; empty when it is withdrawn.';

select pg_catalog.pg_extension_config_dump('centralcloud.contribution', '');

create table centralcloud.evidence (
    instance_id uuid not null,
    artifact_id uuid not null,
    variant text not null,
    incarnation uuid not null,
    uses bigint not null,
    successes bigint not null,
    failures bigint not null,
    last_used_at timestamptz not null,
    version bigint not null,
    state_hash text not null,
    seal text,
    primary key (artifact_id, variant, instance_id, incarnation)
);

create index evidence_instance on centralcloud.evidence (instance_id, artifact_id);

comment on table centralcloud.evidence is 'Each instance''s absolute counters for each variant and incarnation, its greatest version.';
comment on column centralcloud.evidence.instance_id is 'Id of the instance.';
comment on column centralcloud.evidence.artifact_id is 'Id of the artifact.';
comment on column centralcloud.evidence.variant is 'The variant that was used.';
comment on column centralcloud.evidence.incarnation is 'The incarnation of the instance in which it was used.';
comment on column centralcloud.evidence.uses is 'Outcomes recorded.';
comment on column centralcloud.evidence.successes is 'Outcomes that were successes.';
comment on column centralcloud.evidence.failures is 'Outcomes that were failures.';
comment on column centralcloud.evidence.last_used_at is 'When the last of them was recorded, by the instance''s clock.';
comment on column centralcloud.evidence.version is 'The instance''s number of this state.';
comment on column centralcloud.evidence.state_hash is 'md5 of the state, which decides where equal versions differ.';
comment on column centralcloud.evidence.seal is 'The instance''s proof of the state, for when it is given back; null of a version before 0.3.';

select pg_catalog.pg_extension_config_dump('centralcloud.evidence', '');

create type centralcloud.incoming as (
    message integer,
    instance_id uuid,
    artifact_id uuid,
    record centralcloud.wire_record,
    state_hash text,
    verdict text,
    reason text,
    twin boolean
);

comment on type centralcloud.incoming is 'One record of a contribution, read and judged.';
comment on column centralcloud.incoming.message is 'Number of the message it came in, from 0.';
comment on column centralcloud.incoming.instance_id is 'Id of the instance that speaks.';
comment on column centralcloud.incoming.artifact_id is 'Id of the artifact.';
comment on column centralcloud.incoming.record is 'The record as it came.';
comment on column centralcloud.incoming.state_hash is 'md5 of the state.';
comment on column centralcloud.incoming.verdict
is 'What becomes of it: stored, superseded (a greater version is known or came with it) or refused.';
comment on column centralcloud.incoming.reason is 'Why it is refused; null when it is not.';
comment on column centralcloud.incoming.twin is 'Whether another state has the same version.';
