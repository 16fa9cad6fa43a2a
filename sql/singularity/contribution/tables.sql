-- The outbox says what changed. Sessions only add to it and tidy up what nobody holds; all else is the bridge's, so
-- that no session ever waits for the bridge nor the bridge for a session.
create table singularity.outbox (
    version bigint primary key,
    artifact_id uuid not null,
    variant text not null default '',
    incarnation uuid not null default '00000000-0000-0000-0000-000000000000',
    queued_at timestamptz not null default now(),
    batch_id uuid
);

create index outbox_key on singularity.outbox (artifact_id, variant, incarnation, version);
create index outbox_waiting on singularity.outbox (version) where batch_id is null;
create index outbox_batch on singularity.outbox (batch_id) where batch_id is not null;

comment on table singularity.outbox is 'Changed holdings and evidence that the authority has not confirmed: a set, see outbox_entries.';
comment on column singularity.outbox.version is 'The version that is to be confirmed.';
comment on column singularity.outbox.artifact_id is 'Id of the artifact.';
comment on column singularity.outbox.variant is 'Variant of the evidence; empty for the holding.';
comment on column singularity.outbox.incarnation is 'Incarnation of the evidence; zero for the holding.';
comment on column singularity.outbox.queued_at is 'When it changed.';
comment on column singularity.outbox.batch_id is 'The message it is under way in; null while it waits to be sent.';

select pg_catalog.pg_extension_config_dump('singularity.outbox', '');

create table singularity.batch (
    batch_id uuid primary key default gen_random_uuid(),
    offered_at timestamptz not null default clock_timestamp(),
    attempt integer not null,
    stream_created text,
    stream_sequence bigint,
    failed_at timestamptz,
    failure text
);

comment on table singularity.batch is 'Messages with contributions that were offered to the broker and have no receipt yet.';
comment on column singularity.batch.batch_id is 'Id of the message; a message that is sent again has another one.';
comment on column singularity.batch.offered_at is 'When it was given to the bridge.';
comment on column singularity.batch.attempt is 'The how many-th time its records are offered, at the most.';
comment on column singularity.batch.stream_created is 'Which stream took it: when that stream was created; null without an acknowledgement.';
comment on column singularity.batch.stream_sequence is 'Its number in that stream.';
comment on column singularity.batch.failed_at is 'When the broker refused it or did not answer.';
comment on column singularity.batch.failure is 'What the broker said then.';

select pg_catalog.pg_extension_config_dump('singularity.batch', '');

create table singularity.delivery (
    artifact_id uuid not null,
    variant text not null default '',
    incarnation uuid not null default '00000000-0000-0000-0000-000000000000',
    offered_version bigint not null,
    attempts integer not null default 1,
    confirmed_version bigint not null default 0,
    verdict text,
    reason text,
    confirmed_at timestamptz,
    stored_version bigint not null default 0,
    primary key (artifact_id, variant, incarnation)
);

create index delivery_trouble on singularity.delivery (verdict) where verdict = 'refused';

comment on table singularity.delivery is 'How far each holding and evidence has come: offered to the broker, confirmed by the authority.';
comment on column singularity.delivery.artifact_id is 'Id of the artifact.';
comment on column singularity.delivery.variant is 'Variant of the evidence; empty for the holding.';
comment on column singularity.delivery.incarnation is 'Incarnation of the evidence; zero for the holding.';
comment on column singularity.delivery.offered_version is 'The greatest version that was ever given to the bridge.';
comment on column singularity.delivery.attempts is 'How often that version was offered.';
comment on column singularity.delivery.confirmed_version is 'The greatest version that a receipt named; 0 for none.';
comment on column singularity.delivery.stored_version is 'The greatest version that the authority has, as far as it said; 0 for none.';
comment on column singularity.delivery.verdict is 'The authority''s verdict on it: stored, superseded or refused.';
comment on column singularity.delivery.reason is 'Why it was refused.';
comment on column singularity.delivery.confirmed_at is 'When the receipt came.';

select pg_catalog.pg_extension_config_dump('singularity.delivery', '');
