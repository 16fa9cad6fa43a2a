-- What may leave this machine, beside what each artifact says of itself.
create table singularity.sharing_policy (
    namespace text primary key,
    policy text not null check (policy in ('shared', 'private', 'review')),
    changed_at timestamptz not null default now()
);

comment on table singularity.sharing_policy is 'What share() said of namespaces; for all others the setting default_sharing holds.';
comment on column singularity.sharing_policy.namespace is 'The namespace.';
comment on column singularity.sharing_policy.policy
is 'shared: what is learned in it is sent; private: nothing of it leaves; review: each version waits for release().';
comment on column singularity.sharing_policy.changed_at is 'When that was said.';

select pg_catalog.pg_extension_config_dump('singularity.sharing_policy', '');

create table singularity.held_holding (
    artifact_id uuid not null,
    version bigint not null,
    variant text not null,
    findings jsonb not null,
    held_at timestamptz not null default clock_timestamp(),
    primary key (artifact_id, version)
);

comment on table singularity.held_holding is 'Versions that are not sent: they wait for release(), or look as if a secret was in them.';
comment on column singularity.held_holding.artifact_id is 'Id of the artifact.';
comment on column singularity.held_holding.version is 'The version of its holding.';
comment on column singularity.held_holding.variant is 'The variant of that version: its outcomes are held back too.';
comment on column singularity.held_holding.findings is 'Why: an array of objects with rule and place.';
comment on column singularity.held_holding.held_at is 'Since when.';

select pg_catalog.pg_extension_config_dump('singularity.held_holding', '');

create table singularity.released_holding (
    artifact_id uuid not null,
    fingerprint text not null,
    released_by text not null default session_user,
    released_at timestamptz not null default now(),
    primary key (artifact_id, fingerprint)
);

comment on table singularity.released_holding is 'What release() let pass: it is not held back again, also when it is learned anew.';
comment on column singularity.released_holding.artifact_id is 'Id of the artifact.';
comment on column singularity.released_holding.fingerprint is 'sha-256 of content, summary and tags, see holding_fingerprint().';
comment on column singularity.released_holding.released_by is 'Who released it.';
comment on column singularity.released_holding.released_at is 'When.';

select pg_catalog.pg_extension_config_dump('singularity.released_holding', '');

create table singularity.secret_scanner (
    only_row boolean primary key default true check (only_row),
    failed_at timestamptz not null,
    failure text not null
);

comment on table singularity.secret_scanner is 'That secrets could not be looked for, so that nothing is sent: no row while they can.';
comment on column singularity.secret_scanner.only_row is 'Always true: there is one row at most.';
comment on column singularity.secret_scanner.failed_at is 'When it was last tried.';
comment on column singularity.secret_scanner.failure is 'What went wrong.';

select pg_catalog.pg_extension_config_dump('singularity.secret_scanner', '');
