create table singularity.central_copy (
    artifact_id uuid primary key,
    namespace text not null,
    kind text not null,
    name text not null,
    variant text not null,
    content jsonb not null,
    summary text,
    tags text[] not null default '{}',
    level singularity.level not null,
    confidence double precision not null,
    uses bigint not null,
    successes bigint not null,
    pinned boolean not null default false,
    revision bigint not null,
    epoch text not null,
    fetched_at timestamptz not null default now(),
    unknown boolean not null default false,
    holders bigint,
    vouching bigint
);

comment on table singularity.central_copy
is 'Copies of the authority''s refined knowledge: what this instance follows, holds or asked for.';
comment on column singularity.central_copy.artifact_id is 'Id of the artifact.';
comment on column singularity.central_copy.namespace is 'Namespace of the artifact.';
comment on column singularity.central_copy.kind is 'Kind of the artifact.';
comment on column singularity.central_copy.name is 'Name of the artifact.';
comment on column singularity.central_copy.variant is 'The variant that won at the authority.';
comment on column singularity.central_copy.content is 'Its content.';
comment on column singularity.central_copy.summary is 'Its summary.';
comment on column singularity.central_copy.tags is 'Its tags.';
comment on column singularity.central_copy.level is 'How far independent groups agree on it.';
comment on column singularity.central_copy.confidence is 'Lower bound of its success rate, 0 to 1.';
comment on column singularity.central_copy.uses is 'Outcomes that the authority knows of.';
comment on column singularity.central_copy.successes is 'Successes among them.';
comment on column singularity.central_copy.pinned is 'Whether a curator made it the winner.';
comment on column singularity.central_copy.revision is 'Number of its last change in the topic (namespace, kind).';
comment on column singularity.central_copy.epoch is 'The authority''s epoch in which it was sent.';
comment on column singularity.central_copy.fetched_at is 'When it was last received.';
comment on column singularity.central_copy.unknown is 'Whether the authority did not know it when the topic was last compared: it is stale.';
comment on column singularity.central_copy.holders is 'Groups that taught it; null from an authority before 0.3.';
comment on column singularity.central_copy.vouching
is 'Groups whose outcomes were successes at least by half; null from an authority before 0.3.';

select pg_catalog.pg_extension_config_dump('singularity.central_copy', '');

create table singularity.unwanted_copy (
    artifact_id uuid primary key,
    namespace text not null,
    kind text not null,
    revision bigint not null
);

create index unwanted_copy_topic on singularity.unwanted_copy (namespace, kind);

comment on table singularity.unwanted_copy
is 'What the authority told of and was not kept, since it was forgotten here: for comparisons with the authority.';
comment on column singularity.unwanted_copy.artifact_id is 'Id of the artifact.';
comment on column singularity.unwanted_copy.namespace is 'Namespace of the artifact.';
comment on column singularity.unwanted_copy.kind is 'Kind of the artifact.';
comment on column singularity.unwanted_copy.revision is 'The revision that came last.';

select pg_catalog.pg_extension_config_dump('singularity.unwanted_copy', '');

create table singularity.followed_topic (
    namespace text,
    kind text,
    followed_at timestamptz not null default now(),
    primary key (namespace, kind)
);

comment on table singularity.followed_topic is 'Topics that follow() keeps here whole.';
comment on column singularity.followed_topic.namespace is 'Namespace of the topic.';
comment on column singularity.followed_topic.kind is 'Kind of the topic.';
comment on column singularity.followed_topic.followed_at is 'Since when it is followed.';

select pg_catalog.pg_extension_config_dump('singularity.followed_topic', '');

create table singularity.topic (
    namespace text,
    kind text,
    followed boolean not null default false,
    position bigint not null default 0,
    head bigint not null default 0,
    requested_at timestamptz,
    synced_at timestamptz,
    epoch text,
    primary key (namespace, kind)
);

comment on table singularity.topic is 'How far this instance is with the topics that it follows, holds something of or has copies of.';
comment on column singularity.topic.namespace is 'Namespace of the topic.';
comment on column singularity.topic.kind is 'Kind of the topic.';
comment on column singularity.topic.followed is 'Whether position is that of a topic kept here whole.';
comment on column singularity.topic.position is 'Number of the last change that was taken in.';
comment on column singularity.topic.head is 'Number of the authority''s last change, as far as heard.';
comment on column singularity.topic.requested_at is 'When a page of changes was last asked for; null when none is under way.';
comment on column singularity.topic.synced_at is 'When position was last known to be the head.';
comment on column singularity.topic.epoch is 'The authority''s epoch in which its head was last asked for; of another one it is asked again.';

select pg_catalog.pg_extension_config_dump('singularity.topic', '');
