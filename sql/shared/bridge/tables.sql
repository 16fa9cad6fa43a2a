-- What the bridge reports and what could not be applied. The first two tables are the present state of a running
-- bridge, not data: they are not dumped.
create table @extschema@.bridge_state (
    only_row boolean primary key default true check (only_row),
    bridge_version text,
    seen_at timestamptz,
    connected boolean not null default false,
    connected_at timestamptz,
    error text,
    max_payload integer,
    streams jsonb not null default '{}',
    consumers jsonb not null default '{}',
    connection text,
    pid integer,
    backend_start timestamptz,
    remote boolean
);

comment on table @extschema@.bridge_state is 'What the bridge of this database last reported: one row, none before the first.';
comment on column @extschema@.bridge_state.only_row is 'Always true: there is one row at most.';
comment on column @extschema@.bridge_state.bridge_version is 'Version of the bridge.';
comment on column @extschema@.bridge_state.seen_at is 'When the bridge last reported; null after a clean stop.';
comment on column @extschema@.bridge_state.connected is 'Whether the bridge is connected to NATS.';
comment on column @extschema@.bridge_state.connected_at is 'When the present connection to NATS was first reported.';
comment on column @extschema@.bridge_state.error is 'Why the bridge is not connected to NATS, in its words.';
comment on column @extschema@.bridge_state.max_payload is 'Greatest message that the NATS server takes, in bytes.';
comment on column @extschema@.bridge_state.streams is 'JetStream streams by name: created, messages, bytes, last_sequence.';
comment on column @extschema@.bridge_state.consumers is 'JetStream consumers by name: ack_floor, pending.';
comment on column @extschema@.bridge_state.connection
is 'Id of its present connection to NATS; null for none, and from a bridge before 0.3.';
comment on column @extschema@.bridge_state.pid is 'Process of the session that has the bridge''s place; null after a clean stop.';
comment on column @extschema@.bridge_state.backend_start is 'When that process began: no other has both.';
comment on column @extschema@.bridge_state.remote
is 'Whether its NATS server is beyond this machine; null from a bridge before 0.3.';

create table @extschema@.doorbell (
    only_row boolean primary key default true check (only_row),
    armed boolean not null
);

comment on table @extschema@.doorbell is 'The bridge arms it before it sleeps; the first writer disarms it with one NOTIFY.';
comment on column @extschema@.doorbell.only_row is 'Always true: there is one row at most.';
comment on column @extschema@.doorbell.armed is 'Whether the bridge sleeps and wants to be woken.';

create table @extschema@.queued_message (
    queued_message_id bigint generated always as identity primary key,
    subject text not null,
    headers jsonb,
    payload bytea not null
);

comment on table @extschema@.queued_message is 'Core NATS messages that wait for the bridge to publish them.';
comment on column @extschema@.queued_message.queued_message_id is 'Number of the message; they leave in this order.';
comment on column @extschema@.queued_message.subject is 'NATS subject it goes to.';
comment on column @extschema@.queued_message.headers is 'Its headers, a JSON object of text; null for none.';
comment on column @extschema@.queued_message.payload is 'Its bytes.';

select pg_catalog.pg_extension_config_dump('@extschema@.queued_message', '');
select pg_catalog.pg_extension_config_dump('@extschema@.queued_message_queued_message_id_seq', '');
