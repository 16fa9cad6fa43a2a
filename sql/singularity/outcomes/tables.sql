-- Outcomes are only inserted, so that nobody waits; fold_outcomes() adds them up into evidence.
create table singularity.outcome (
    version bigint primary key default nextval('singularity.version'),
    artifact_id uuid not null,
    namespace text not null,
    kind text not null,
    name text not null,
    variant text not null,
    incarnation uuid not null,
    shared boolean not null,
    succeeded boolean not null,
    recorded_at timestamptz not null default now()
);

create index outcome_artifact on singularity.outcome (artifact_id);

comment on table singularity.outcome is 'Outcomes recorded here that are not yet added up into evidence.';
comment on column singularity.outcome.version is 'Number of the outcome, from the sequence version.';
comment on column singularity.outcome.artifact_id is 'Id of the artifact that was used.';
comment on column singularity.outcome.namespace is 'Its namespace.';
comment on column singularity.outcome.kind is 'Its kind.';
comment on column singularity.outcome.name is 'Its name.';
comment on column singularity.outcome.variant is 'The variant that was used.';
comment on column singularity.outcome.incarnation is 'The incarnation in which it was recorded.';
comment on column singularity.outcome.shared is 'Whether the artifact was shared at that time; if not, it never leaves.';
comment on column singularity.outcome.succeeded is 'Whether it worked.';
comment on column singularity.outcome.recorded_at is 'When it was recorded.';

select pg_catalog.pg_extension_config_dump('singularity.outcome', '');

create table singularity.evidence (
    artifact_id uuid not null,
    variant text not null,
    incarnation uuid not null,
    shared boolean not null,
    namespace text not null,
    kind text not null,
    name text not null,
    uses bigint not null,
    successes bigint not null,
    failures bigint not null,
    last_used_at timestamptz not null,
    version bigint not null,
    primary key (artifact_id, variant, incarnation, shared)
);

comment on table singularity.evidence is 'This instance''s absolute counters for each variant in each incarnation.';
comment on column singularity.evidence.artifact_id is 'Id of the artifact.';
comment on column singularity.evidence.variant is 'The variant that was used.';
comment on column singularity.evidence.incarnation is 'The incarnation in which it was used.';
comment on column singularity.evidence.shared is 'Whether these counters may leave this machine.';
comment on column singularity.evidence.namespace is 'Namespace of the artifact.';
comment on column singularity.evidence.kind is 'Kind of the artifact.';
comment on column singularity.evidence.name is 'Name of the artifact.';
comment on column singularity.evidence.uses is 'Outcomes recorded.';
comment on column singularity.evidence.successes is 'Outcomes that were successes.';
comment on column singularity.evidence.failures is 'Outcomes that were failures.';
comment on column singularity.evidence.last_used_at is 'When the last of them was recorded.';
comment on column singularity.evidence.version is 'Number of this state, from the sequence version.';

select pg_catalog.pg_extension_config_dump('singularity.evidence', '');
