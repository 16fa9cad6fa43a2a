create table singularity.authority (
    only_row boolean primary key default true check (only_row),
    heard_at timestamptz,
    epoch text,
    stream_created text,
    stream_passed bigint,
    hello_sent_at timestamptz,
    welcomed_at timestamptz,
    backfill_after xid8,
    session_id uuid not null default gen_random_uuid(),
    stream_awaited bigint,
    twin_at timestamptz,
    public_key text,
    changes bigint,
    changes_known bigint,
    heads_asked_at timestamptz,
    synced_at timestamptz,
    paused_until timestamptz
);

comment on table singularity.authority is 'What this instance knows of the authority: one row, none before the first connect.';
comment on column singularity.authority.only_row is 'Always true: there is one row at most.';
comment on column singularity.authority.heard_at is 'When any message of the authority last came.';
comment on column singularity.authority.epoch is 'The authority''s epoch: another one after each start of it.';
comment on column singularity.authority.stream_created is 'Which contribution stream the authority reads: when it was created.';
comment on column singularity.authority.stream_passed is 'Up to which number of that stream the authority has applied everything.';
comment on column singularity.authority.hello_sent_at is 'When this instance last said hello.';
comment on column singularity.authority.welcomed_at is 'When the authority last answered a hello; null for a new connection.';
comment on column singularity.authority.backfill_after
is 'The transaction of a connect: when all that were open then have ended, what they learned is queued too.';
comment on column singularity.authority.session_id is 'Id of the present session of the bridge: by it the authority notices two databases under one name.';
comment on column singularity.authority.stream_awaited
is 'Up to which number of the stream the authority must have read before it knows all that this instance ever sent.';
comment on column singularity.authority.twin_at is 'Since when the authority hears two databases speak as this instance; null for not.';
comment on column singularity.authority.public_key
is 'The key that the authority signs with, an nkey: from its first welcome, or from trust_authority(). Null before.';
comment on column singularity.authority.changes is 'How often the authority''s topics have changed, as the last heartbeat told it.';
comment on column singularity.authority.changes_known
is 'Up to which of these changes the heads of watched topics are known here; null before the first heartbeat of an epoch, and '
'from an authority before 0.3.';
comment on column singularity.authority.heads_asked_at is 'When heads were last asked for; null when no request is under way.';
comment on column singularity.authority.synced_at is 'When all of these changes were last known here.';
comment on column singularity.authority.paused_until
is 'Until when nothing is asked but questions, since the authority said that there were too many requests; null for no pause.';

select pg_catalog.pg_extension_config_dump('singularity.authority', '');
