create table @extschema@.dead_letter (
    dead_letter_id bigint generated always as identity primary key,
    received_at timestamptz not null default now(),
    subject text not null,
    payload bytea not null,
    meta jsonb not null,
    error_code text not null,
    error text not null
);

-- the same message coming again is the same dead letter
create unique index dead_letter_message on @extschema@.dead_letter (subject, sha256(payload));

comment on table @extschema@.dead_letter is 'Messages that could not be applied, kept with their error; see replay_dead_letters().';
comment on column @extschema@.dead_letter.dead_letter_id is 'Number of the dead letter.';
comment on column @extschema@.dead_letter.received_at is 'When it was received, the last time.';
comment on column @extschema@.dead_letter.subject is 'NATS subject it came on.';
comment on column @extschema@.dead_letter.payload is 'Its bytes.';
comment on column @extschema@.dead_letter.meta is 'Headers, stream and sequence it came with.';
comment on column @extschema@.dead_letter.error_code is 'SQLSTATE of the error.';
comment on column @extschema@.dead_letter.error is 'What was wrong with it.';

select pg_catalog.pg_extension_config_dump('@extschema@.dead_letter', '');
select pg_catalog.pg_extension_config_dump('@extschema@.dead_letter_dead_letter_id_seq', '');
