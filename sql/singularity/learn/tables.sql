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
    withdrawn_up_to bigint not null default 0,
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
comment on column singularity.holding.summary is 'What it is, in a sentence; null when it was forgotten everywhere.';
comment on column singularity.holding.tags is 'Tags, sorted.';
comment on column singularity.holding.shared is 'Whether it may leave this machine.';
comment on column singularity.holding.withdrawn_up_to
is 'Everything that this instance sent of the artifact up to this version is withdrawn; 0 for nothing.';
comment on column singularity.holding.learned_at is 'When this version was learned or forgotten.';
comment on column singularity.holding.embedding is 'A vector that its user gave; null for none.';
comment on column singularity.holding.contract is 'Name of the contract that the vector keeps.';
comment on column singularity.holding.incarnation is 'The incarnation in which it was learned; null when it was restored from the authority.';

select pg_catalog.pg_extension_config_dump('singularity.holding', '');
