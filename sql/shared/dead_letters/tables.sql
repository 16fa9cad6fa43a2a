create table @extschema@.dead_letter (
    dead_letter_id bigint generated always as identity primary key,
    received_at timestamptz not null default now(),
    subject text not null,
    payload bytea not null,
    meta jsonb not null,
    error_code text not null,
    error text not null,
    records integer
);

-- the same message coming again is the same dead letter
create unique index dead_letter_message on @extschema@.dead_letter (subject, sha256(payload));

comment on table @extschema@.dead_letter is 'Messages that could not be applied, kept with their error; see replay_dead_letters().';
comment on column @extschema@.dead_letter.dead_letter_id is 'Number of the dead letter.';
comment on column @extschema@.dead_letter.received_at is 'When it was received, the last time.';
comment on column @extschema@.dead_letter.subject is 'NATS subject it came on.';
comment on column @extschema@.dead_letter.payload is 'Its bytes; where only some of its records failed, the message with those alone.';
comment on column @extschema@.dead_letter.meta is 'Headers, stream and sequence it came with.';
comment on column @extschema@.dead_letter.error_code is 'SQLSTATE of the error, of the first record that failed.';
comment on column @extschema@.dead_letter.error is 'What was wrong with it.';
comment on column @extschema@.dead_letter.records is 'How many of its records failed, where each could be tried; null when it failed whole.';

select pg_catalog.pg_extension_config_dump('@extschema@.dead_letter', '');
select pg_catalog.pg_extension_config_dump('@extschema@.dead_letter_dead_letter_id_seq', '');

create table @extschema@.dropped_letter (
    only_row boolean primary key default true check (only_row),
    dropped bigint not null,
    dropped_at timestamptz not null
);

comment on table @extschema@.dropped_letter
is 'Dead letters that gave way to later ones, since there is a limit to how many are kept: one row, none before the first.';
comment on column @extschema@.dropped_letter.only_row is 'Always true: there is one row at most.';
comment on column @extschema@.dropped_letter.dropped is 'How many were dropped.';
comment on column @extschema@.dropped_letter.dropped_at is 'When the last one was.';

select pg_catalog.pg_extension_config_dump('@extschema@.dropped_letter', '');
