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
comment on column singularity.knowledge.tags is 'Tags, sorted.';
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
comment on column singularity.ranked_knowledge.tags is 'Tags, sorted.';
comment on column singularity.ranked_knowledge.variant is 'Which content: sha-256 of its jsonb text, in hex.';
comment on column singularity.ranked_knowledge.origin is 'local (learned here) or central (from the authority).';
comment on column singularity.ranked_knowledge.level is 'How far independent groups agree that it works.';
comment on column singularity.ranked_knowledge.confidence is 'Lower bound of the success rate, 0 to 1.';
comment on column singularity.ranked_knowledge.uses is 'Outcomes recorded.';
comment on column singularity.ranked_knowledge.success_rate is 'Share of the outcomes that were successes; null without any.';
comment on column singularity.ranked_knowledge.revision is 'Number of the central copy''s last change in its topic; null without a copy.';
comment on column singularity.ranked_knowledge.fetched_at is 'When the central copy was received; null without a copy.';
comment on column singularity.ranked_knowledge.stale is 'Whether the row is a central copy that may be out of date.';
comment on column singularity.ranked_knowledge.score is 'Rank in this recall, 0 to 1: relevance, moved by confidence, see score().';
comment on column singularity.ranked_knowledge.similarity is 'Cosine of query and artifact; null without vectors.';
