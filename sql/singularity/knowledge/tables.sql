-- Every version ever learned is a row, and nothing is updated: learn never waits for another session, and history is
-- the table itself. The row with the greatest version of an artifact is its present state.
create table singularity.holding (
    artifact_id uuid not null,
    version bigint not null default nextval('singularity.version'),
    namespace text not null,
    kind text not null,
    name text not null,
    variant text,
    content jsonb,
    summary text,
    tags text[] not null default '{}',
    shared boolean not null,
    withdrawn_through bigint not null default 0,
    learned_at timestamptz not null default now(),
    embedding vector,
    contract text,
    incarnation uuid,
    primary key (artifact_id, version)
);

create index holding_tombstone on singularity.holding (artifact_id, version) where variant is null;

comment on table singularity.holding is 'What was learned here, every version; the greatest one of an artifact is in force.';
comment on column singularity.holding.artifact_id is 'Id of the artifact, see artifact_id().';
comment on column singularity.holding.version is 'Number of this state, from the sequence version; grows, never a clock.';
comment on column singularity.holding.namespace is 'Namespace of the artifact.';
comment on column singularity.holding.kind is 'Kind of the artifact: pattern, template, prompt, …';
comment on column singularity.holding.name is 'Name of the artifact within namespace and kind.';
comment on column singularity.holding.variant is 'Which content, see variant_of(); null in the tombstone that forget() leaves.';
comment on column singularity.holding.content is 'The content; null in a tombstone or when it was forgotten everywhere.';
comment on column singularity.holding.summary is 'What it is, in a sentence.';
comment on column singularity.holding.tags is 'Labels, sorted.';
comment on column singularity.holding.shared is 'Whether it may leave this machine.';
comment on column singularity.holding.withdrawn_through
is 'Everything that this instance sent of the artifact up to this version is withdrawn; 0 for nothing.';
comment on column singularity.holding.learned_at is 'When this version was learned or forgotten.';
comment on column singularity.holding.embedding is 'A vector that its user gave; null for none.';
comment on column singularity.holding.contract is 'Name of the contract that the vector keeps.';
comment on column singularity.holding.incarnation is 'The life of this database in which it was learned; null when it was taken back from the authority.';

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
    unknown boolean not null default false
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
comment on column singularity.central_copy.tags is 'Its labels.';
comment on column singularity.central_copy.level is 'How far independent groups agree on it.';
comment on column singularity.central_copy.confidence is 'Lower bound of its success rate, 0 to 1.';
comment on column singularity.central_copy.uses is 'Outcomes that the authority knows of.';
comment on column singularity.central_copy.successes is 'Successes among them.';
comment on column singularity.central_copy.pinned is 'Whether a curator made it the winner.';
comment on column singularity.central_copy.revision is 'Number of its last change in the topic (namespace, kind).';
comment on column singularity.central_copy.epoch is 'The authority''s epoch in which it was sent.';
comment on column singularity.central_copy.fetched_at is 'When it was last received.';
comment on column singularity.central_copy.unknown is 'Whether the authority did not know it when the topic was last compared: it is stale.';

create type singularity.knowledge as (
    artifact_id uuid,
    namespace text,
    kind text,
    name text,
    content jsonb,
    summary text,
    tags text[],
    variant text,
    origin text,
    level singularity.level,
    confidence double precision,
    uses bigint,
    success_rate double precision,
    revision bigint,
    fetched_at timestamptz,
    stale boolean
);

comment on type singularity.knowledge is 'The best known version of an artifact, as lookup() returns it.';
comment on column singularity.knowledge.artifact_id is 'Id of the artifact.';
comment on column singularity.knowledge.namespace is 'Namespace of the artifact.';
comment on column singularity.knowledge.kind is 'Kind of the artifact.';
comment on column singularity.knowledge.name is 'Name of the artifact.';
comment on column singularity.knowledge.content is 'What is known.';
comment on column singularity.knowledge.summary is 'What it is, in a sentence.';
comment on column singularity.knowledge.tags is 'Labels.';
comment on column singularity.knowledge.variant is 'Which content: sha-256 of its jsonb text, in hex.';
comment on column singularity.knowledge.origin is 'local (learned here) or central (from the authority).';
comment on column singularity.knowledge.level is 'How far independent groups agree that it works.';
comment on column singularity.knowledge.confidence is 'Lower bound of the success rate, 0 to 1.';
comment on column singularity.knowledge.uses is 'Outcomes recorded.';
comment on column singularity.knowledge.success_rate is 'Share of the outcomes that were successes; null without any.';
comment on column singularity.knowledge.revision is 'Number of the central copy''s last change in its topic; null without a copy.';
comment on column singularity.knowledge.fetched_at is 'When the central copy was received; null without a copy.';
comment on column singularity.knowledge.stale is 'Whether the row is a central copy that may be out of date.';

create type singularity.ranked_knowledge as (
    artifact_id uuid,
    namespace text,
    kind text,
    name text,
    content jsonb,
    summary text,
    tags text[],
    variant text,
    origin text,
    level singularity.level,
    confidence double precision,
    uses bigint,
    success_rate double precision,
    revision bigint,
    fetched_at timestamptz,
    stale boolean,
    score double precision,
    similarity double precision
);

comment on type singularity.ranked_knowledge is 'A row of recall(): the best known version of an artifact, and how well it fits the query.';
comment on column singularity.ranked_knowledge.artifact_id is 'Id of the artifact.';
comment on column singularity.ranked_knowledge.namespace is 'Namespace of the artifact.';
comment on column singularity.ranked_knowledge.kind is 'Kind of the artifact.';
comment on column singularity.ranked_knowledge.name is 'Name of the artifact.';
comment on column singularity.ranked_knowledge.content is 'What is known.';
comment on column singularity.ranked_knowledge.summary is 'What it is, in a sentence.';
comment on column singularity.ranked_knowledge.tags is 'Labels.';
comment on column singularity.ranked_knowledge.variant is 'Which content: sha-256 of its jsonb text, in hex.';
comment on column singularity.ranked_knowledge.origin is 'local (learned here) or central (from the authority).';
comment on column singularity.ranked_knowledge.level is 'How far independent groups agree that it works.';
comment on column singularity.ranked_knowledge.confidence is 'Lower bound of the success rate, 0 to 1.';
comment on column singularity.ranked_knowledge.uses is 'Outcomes recorded.';
comment on column singularity.ranked_knowledge.success_rate is 'Share of the outcomes that were successes; null without any.';
comment on column singularity.ranked_knowledge.revision is 'Number of the central copy''s last change in its topic; null without a copy.';
comment on column singularity.ranked_knowledge.fetched_at is 'When the central copy was received; null without a copy.';
comment on column singularity.ranked_knowledge.stale is 'Whether the row is a central copy that may be out of date.';
comment on column singularity.ranked_knowledge.score is 'Rank in this recall, 0 to 1: relevance, moved a little by confidence.';
comment on column singularity.ranked_knowledge.similarity is 'Cosine of query and artifact; null without vectors.';

select pg_catalog.pg_extension_config_dump('singularity.holding', '');
select pg_catalog.pg_extension_config_dump('singularity.central_copy', '');
