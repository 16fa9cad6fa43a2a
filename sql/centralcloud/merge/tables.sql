-- What follows from what instances said: computed by refresh_artifacts() alone.
create table centralcloud.variant (
    artifact_id uuid not null,
    variant text not null,
    content jsonb,
    summary text,
    tags text[] not null default '{}',
    holders bigint not null default 0,
    uses bigint not null default 0,
    successes bigint not null default 0,
    failures bigint not null default 0,
    last_used_at timestamptz,
    groups bigint not null default 0,
    confidence double precision not null default 0,
    level centralcloud.level not null default 'candidate',
    pinned boolean not null default false,
    weight double precision not null default 0,
    vouching bigint not null default 0,
    primary key (artifact_id, variant)
);

comment on table centralcloud.variant is 'The rival contents of each artifact and how well each is proved.';
comment on column centralcloud.variant.artifact_id is 'Id of the artifact.';
comment on column centralcloud.variant.variant is 'Which content: sha-256 of its jsonb text, in hex.';
comment on column centralcloud.variant.content is 'The content; null when nobody who contributed it still shares it.';
comment on column centralcloud.variant.summary is 'The summary that most trust stands behind, of those who contributed it.';
comment on column centralcloud.variant.tags is 'The tags that came with that summary.';
comment on column centralcloud.variant.holders is 'Groups that hold it.';
comment on column centralcloud.variant.uses is 'Outcomes recorded by all instances.';
comment on column centralcloud.variant.successes is 'Outcomes that were successes.';
comment on column centralcloud.variant.failures is 'Outcomes that were failures.';
comment on column centralcloud.variant.last_used_at is 'When the last of them was recorded.';
comment on column centralcloud.variant.groups is 'Groups with outcomes.';
comment on column centralcloud.variant.confidence is 'Lower bound of the success rate, 0 to 1, see explain_confidence().';
comment on column centralcloud.variant.level is 'How far independent groups agree that it works.';
comment on column centralcloud.variant.pinned is 'Whether a curator made it the winner.';
comment on column centralcloud.variant.weight is 'Weight of all voices about it: how much evidence there is.';
comment on column centralcloud.variant.vouching is 'Groups whose outcomes were successes at least by half.';

select pg_catalog.pg_extension_config_dump('centralcloud.variant', '');

create table centralcloud.artifact (
    artifact_id uuid primary key,
    namespace text not null,
    kind text not null,
    name text not null,
    variant text,
    summary text,
    tags text[] not null default '{}',
    holders bigint not null default 0,
    uses bigint not null default 0,
    successes bigint not null default 0,
    failures bigint not null default 0,
    last_used_at timestamptz,
    confidence double precision not null default 0,
    level centralcloud.level not null default 'candidate',
    pinned boolean not null default false,
    revision bigint not null default 0,
    version bigint not null default 0,
    vouching bigint not null default 0
);

create index artifact_revision on centralcloud.artifact (namespace, kind, revision);

comment on table centralcloud.artifact is 'Every artifact that was ever contributed, with the variant that wins.';
comment on column centralcloud.artifact.artifact_id is 'Id of the artifact, see artifact_id().';
comment on column centralcloud.artifact.namespace is 'Namespace of the artifact.';
comment on column centralcloud.artifact.kind is 'Kind of the artifact.';
comment on column centralcloud.artifact.name is 'Name of the artifact.';
comment on column centralcloud.artifact.variant is 'The winning variant; null when none has content any more.';
comment on column centralcloud.artifact.summary is 'Summary of the winner.';
comment on column centralcloud.artifact.tags is 'Tags of the winner.';
comment on column centralcloud.artifact.holders is 'Groups that hold the winner.';
comment on column centralcloud.artifact.uses is 'Outcomes of the winner.';
comment on column centralcloud.artifact.successes is 'Outcomes of the winner that were successes.';
comment on column centralcloud.artifact.failures is 'Outcomes of the winner that were failures.';
comment on column centralcloud.artifact.last_used_at is 'When the last of them was recorded.';
comment on column centralcloud.artifact.confidence is 'Confidence of the winner, 0 to 1.';
comment on column centralcloud.artifact.level is 'Level of the winner.';
comment on column centralcloud.artifact.pinned is 'Whether a curator made it the winner.';
comment on column centralcloud.artifact.revision is 'Number of its last published change in its topic; 0 before the first.';
comment on column centralcloud.artifact.version is 'How often the winner changed: who changes it holds the row, so its documents have an order.';
comment on column centralcloud.artifact.vouching is 'Groups that vouch for the winner.';

select pg_catalog.pg_extension_config_dump('centralcloud.artifact', '');

create table centralcloud.unscored (
    artifact_id uuid primary key
);

comment on table centralcloud.unscored is 'Artifacts that wait to be scored again for another day.';
comment on column centralcloud.unscored.artifact_id is 'Id of the artifact.';

select pg_catalog.pg_extension_config_dump('centralcloud.unscored', '');
