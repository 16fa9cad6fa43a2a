\echo Use "CREATE EXTENSION centralcloud CASCADE" to load this file. \quit

-- -------------------- sql/centralcloud/roles/tables.sql

-- Group roles belong to the cluster, not to the extension: they are made when missing and outlive it.
do $$
declare
    role_name text;
begin
    foreach role_name in array array['centralcloud_reader', 'centralcloud_curator', 'centralcloud_bridge'] loop
        if not exists (select from pg_catalog.pg_roles as r where r.rolname = role_name) then
            execute pg_catalog.format('create role %I nologin', role_name);
            execute pg_catalog.format('comment on role %I is %L', role_name, case role_name
                when 'centralcloud_reader' then 'May search and read the centralcloud database.'
                when 'centralcloud_curator' then 'May also configure and curate the centralcloud database.'
                else 'The bridge of the centralcloud database.'
            end);
        end if;
    end loop;
    grant centralcloud_reader to centralcloud_curator;
end
$$;

comment on schema centralcloud is 'What the authority knows and who taught it; call its functions, read its tables and views.';

-- -------------------- sql/shared/configuration/tables.sql

-- Settings that a user has changed; the defaults live in setting_definitions().
create table @extschema@.setting (
    name text primary key,
    value text not null,
    changed_at timestamptz not null default now()
);

comment on table @extschema@.setting is 'Settings that were changed; see the view configuration for all of them.';
comment on column @extschema@.setting.name is 'Name of the setting, one of setting_definitions().';
comment on column @extschema@.setting.value is 'Value as text, castable to the type of the setting.';
comment on column @extschema@.setting.changed_at is 'When the setting was last changed.';

select pg_catalog.pg_extension_config_dump('@extschema@.setting', '');

-- -------------------- sql/shared/knowledge/tables.sql

-- In rising order, so that levels can be compared.
create type @extschema@.level as enum (
    'retracted', 'deprecated', 'candidate', 'low', 'medium', 'high', 'very_high'
);

comment on type @extschema@.level
is 'How far independent groups agree that a variant works: candidate (no outcome yet), low, medium, high, very_high; '
'deprecated and retracted are a curator''s word.';

-- -------------------- sql/shared/embedding/tables.sql

-- The contract that the shipped model's vectors have appears when the first vector is stored (see use_contract()).
create table @extschema@.embedding_contract (
    name text primary key,
    model text not null,
    revision text not null,
    dimensions integer not null check (dimensions between 1 and 16000),
    normalised boolean not null,
    created_at timestamptz not null default now()
);

comment on table @extschema@.embedding_contract
is 'What a vector was made by. Vectors of one contract may be compared, vectors of different ones never are.';
comment on column @extschema@.embedding_contract.name is 'Name that goes with every vector, the same on every machine.';
comment on column @extschema@.embedding_contract.model is 'The model that makes the vectors.';
comment on column @extschema@.embedding_contract.revision is 'Version of the model and of how texts are prepared for it.';
comment on column @extschema@.embedding_contract.dimensions is 'Number of dimensions of the vectors.';
comment on column @extschema@.embedding_contract.normalised is 'Whether every vector has length 1.';
comment on column @extschema@.embedding_contract.created_at is 'When the contract was first used or registered here.';

select pg_catalog.pg_extension_config_dump('@extschema@.embedding_contract', '');

-- -------------------- sql/shared/search/tables.sql

-- One row for the searchable text of an artifact. A changed text is a new row and the older ones are deleted, so that
-- who learns never waits for who learns the same thing; where both are there the greatest document_id is in force.
create table @extschema@.document (
    document_id bigint generated always as identity primary key,
    artifact_id uuid not null,
    namespace text not null,
    kind text not null,
    name text not null,
    tags text[] not null,
    level @extschema@.level not null,
    configuration regconfig not null,
    source uuid not null,
    words tsvector not null,
    weights sparsevec(1048576) not null
);

create index document_artifact on @extschema@.document (artifact_id, document_id);
create index document_words on @extschema@.document using gin (words) with (fastupdate = off);
create index document_name on @extschema@.document using gin (name gin_trgm_ops) with (fastupdate = off);

comment on table @extschema@.document is 'The searchable text of the best known version of each artifact.';
comment on column @extschema@.document.document_id is 'Number of the document; of several for one artifact the greatest is in force.';
comment on column @extschema@.document.artifact_id is 'Id of the artifact.';
comment on column @extschema@.document.namespace is 'Namespace of the artifact.';
comment on column @extschema@.document.kind is 'Kind of the artifact.';
comment on column @extschema@.document.name is 'Name of the artifact.';
comment on column @extschema@.document.tags is 'Labels of the artifact.';
comment on column @extschema@.document.level is 'Level of the version that the text is of.';
comment on column @extschema@.document.configuration is 'The text search configuration that made the words, see the setting search_configuration.';
comment on column @extschema@.document.source is 'Hash of everything that the document was made from.';
comment on column @extschema@.document.words
is 'Lexemes of name, summary, tags and the text in content; whole identifiers with the prefix =; and what is filtered by, '
'with the prefixes /namespace/, /kind/, /tag/ and /level/.';
comment on column @extschema@.document.weights
is 'BM25 weight of each word, 0 to 1, without its inverse document frequency; the dimension of a lexeme is lexeme_bucket().';

-- Apart from document, so that moving a vector into the index rewrites a small row without its words.
create table @extschema@.document_vector (
    document_id bigint not null,
    contract text not null,
    embedding vector not null,
    indexed boolean not null,
    primary key (document_id, contract)
);

create index document_vector_tail on @extschema@.document_vector (contract, document_id) where not indexed;
create index document_vector_near on @extschema@.document_vector
using hnsw ((embedding::vector(256)) vector_cosine_ops)
where contract = 'wordllama-l2-supercat-256/1' and indexed;

comment on table @extschema@.document_vector is 'The vectors of documents, one for each contract.';
comment on column @extschema@.document_vector.document_id is 'The document.';
comment on column @extschema@.document_vector.contract is 'Name of the contract that the vector keeps.';
comment on column @extschema@.document_vector.embedding is 'The vector.';
comment on column @extschema@.document_vector.indexed
is 'Whether it is in the index of its contract. Those that are not yet are scanned one by one.';

-- Document frequencies. Writers only insert changes, which are added up in the background.
create table @extschema@.lexeme (
    lexeme text primary key,
    documents bigint not null
);

comment on table @extschema@.lexeme is 'How many documents have a lexeme; the empty one stands for all documents.';
comment on column @extschema@.lexeme.lexeme is 'The lexeme, as in the column words of document.';
comment on column @extschema@.lexeme.documents is 'Number of documents that have it, without what is in lexeme_change.';

create table @extschema@.lexeme_change (
    artifact_id uuid not null,
    words tsvector not null,
    change integer not null
);

comment on table @extschema@.lexeme_change is 'Documents that came or went and are not counted in lexeme yet.';
comment on column @extschema@.lexeme_change.artifact_id is 'Id of the artifact.';
comment on column @extschema@.lexeme_change.words is 'The lexemes of the document.';
comment on column @extschema@.lexeme_change.change is '1 for a document that came, -1 for one that went, 0 for an artifact to look at again.';

create type @extschema@.searchable as (
    artifact_id uuid,
    namespace text,
    kind text,
    name text,
    summary text,
    tags text[],
    level @extschema@.level,
    content jsonb,
    contract text,
    embedding vector
);

comment on type @extschema@.searchable is 'What a document is made from.';
comment on column @extschema@.searchable.artifact_id is 'Id of the artifact.';
comment on column @extschema@.searchable.namespace is 'Namespace of the artifact.';
comment on column @extschema@.searchable.kind is 'Kind of the artifact.';
comment on column @extschema@.searchable.name is 'Name of the artifact.';
comment on column @extschema@.searchable.summary is 'Its summary.';
comment on column @extschema@.searchable.tags is 'Its labels.';
comment on column @extschema@.searchable.level is 'Its level.';
comment on column @extschema@.searchable.content is 'Its content, of which the texts are searched.';
comment on column @extschema@.searchable.contract is 'Contract of the vector that its user gave.';
comment on column @extschema@.searchable.embedding is 'The vector that its user gave, beside the one that is made from the text.';

create type @extschema@.hit as (
    artifact_id uuid,
    relevance double precision,
    words double precision,
    name_match double precision,
    similarity double precision
);

comment on type @extschema@.hit is 'An artifact that was found, and how well it fits the query.';
comment on column @extschema@.hit.artifact_id is 'Id of the artifact.';
comment on column @extschema@.hit.relevance is 'How well it fits, 0 to 1, see relevance().';
comment on column @extschema@.hit.words is 'BM25 score of the words, 0 to 1.';
comment on column @extschema@.hit.name_match is 'How well the name fits, letter by letter, 0 to 1.';
comment on column @extschema@.hit.similarity is 'Cosine of query and artifact; null without vectors.';

select pg_catalog.pg_extension_config_dump('@extschema@.document', '');
select pg_catalog.pg_extension_config_dump('@extschema@.document_document_id_seq', '');
select pg_catalog.pg_extension_config_dump('@extschema@.document_vector', '');
select pg_catalog.pg_extension_config_dump('@extschema@.lexeme', '');
select pg_catalog.pg_extension_config_dump('@extschema@.lexeme_change', '');

-- -------------------- sql/shared/messaging/tables.sql

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
    consumers jsonb not null default '{}'
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

create table @extschema@.doorbell (
    only_row boolean primary key default true check (only_row),
    armed boolean not null
);

comment on table @extschema@.doorbell is 'The bridge arms it before it sleeps; the first writer disarms it with one NOTIFY.';
comment on column @extschema@.doorbell.only_row is 'Always true: there is one row at most.';
comment on column @extschema@.doorbell.armed is 'Whether the bridge sleeps and wants to be woken.';

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

-- -------------------- sql/centralcloud/instances/tables.sql

create table centralcloud.instance (
    instance_id uuid primary key,
    instance_name text not null,
    environment text not null,
    group_name text not null,
    trust double precision not null default 1 check (trust between 0 and 1),
    blocked boolean not null default false,
    incarnation uuid,
    extension_version text,
    greatest_version bigint not null default 0,
    first_heard_at timestamptz not null default now(),
    last_heard_at timestamptz not null default now(),
    twin_alarm_at timestamptz
);

comment on table centralcloud.instance is 'The instances that were ever heard.';
comment on column centralcloud.instance.instance_id is 'Id of the instance.';
comment on column centralcloud.instance.instance_name is 'Its name, for people.';
comment on column centralcloud.instance.environment is 'Its environment: dev, test, ci or prod.';
comment on column centralcloud.instance.group_name is 'The group it counts in: outcomes of one group agree with each other only.';
comment on column centralcloud.instance.trust is 'Weight of its outcomes, 0 to 1.';
comment on column centralcloud.instance.blocked is 'Whether nothing of it counts.';
comment on column centralcloud.instance.incarnation is 'The life of its database that last said hello.';
comment on column centralcloud.instance.extension_version is 'Version of its extension.';
comment on column centralcloud.instance.greatest_version is 'The greatest version that it ever sent.';
comment on column centralcloud.instance.first_heard_at is 'When it was first heard.';
comment on column centralcloud.instance.last_heard_at is 'When it last contributed or said hello.';
comment on column centralcloud.instance.twin_alarm_at
is 'When two different states came under one version: two databases speak under this name. Null for never.';

select pg_catalog.pg_extension_config_dump('centralcloud.instance', '');

-- -------------------- sql/centralcloud/evidence/tables.sql

-- What instances said, joined: the greatest version for each key, whatever the order of the messages.
create table centralcloud.holding (
    instance_id uuid not null,
    artifact_id uuid not null,
    variant text,
    version bigint not null,
    withdrawn_through bigint not null,
    state_hash text not null,
    primary key (artifact_id, instance_id)
);

comment on table centralcloud.holding is 'Which variant each instance holds of each artifact, its greatest version.';
comment on column centralcloud.holding.instance_id is 'Id of the instance.';
comment on column centralcloud.holding.artifact_id is 'Id of the artifact.';
comment on column centralcloud.holding.variant is 'The variant it holds; null when withdrawn.';
comment on column centralcloud.holding.version is 'The instance''s number of this state.';
comment on column centralcloud.holding.withdrawn_through is 'All that the instance sent of the artifact up to this version is withdrawn.';
comment on column centralcloud.holding.state_hash is 'md5 of the state, which decides where equal versions differ.';

create table centralcloud.contribution (
    instance_id uuid not null,
    artifact_id uuid not null,
    variant text not null,
    version bigint not null,
    summary text,
    tags text[] not null default '{}',
    primary key (artifact_id, variant, instance_id)
);

comment on table centralcloud.contribution is 'Every variant that an instance ever taught; content stays while one of them is not withdrawn.';
comment on column centralcloud.contribution.instance_id is 'Id of the instance.';
comment on column centralcloud.contribution.artifact_id is 'Id of the artifact.';
comment on column centralcloud.contribution.variant is 'The variant that it taught.';
comment on column centralcloud.contribution.version is 'The greatest version that it taught it under.';
comment on column centralcloud.contribution.summary is 'Its summary under that version.';
comment on column centralcloud.contribution.tags is 'Its labels under that version.';

create table centralcloud.evidence (
    instance_id uuid not null,
    artifact_id uuid not null,
    variant text not null,
    incarnation uuid not null,
    uses bigint not null,
    successes bigint not null,
    failures bigint not null,
    last_used_at timestamptz not null,
    version bigint not null,
    state_hash text not null,
    primary key (artifact_id, variant, instance_id, incarnation)
);

comment on table centralcloud.evidence is 'Each instance''s absolute counters for each variant and incarnation, its greatest version.';
comment on column centralcloud.evidence.instance_id is 'Id of the instance.';
comment on column centralcloud.evidence.artifact_id is 'Id of the artifact.';
comment on column centralcloud.evidence.variant is 'The variant that was used.';
comment on column centralcloud.evidence.incarnation is 'The life of the instance''s database in which it was used.';
comment on column centralcloud.evidence.uses is 'Outcomes recorded.';
comment on column centralcloud.evidence.successes is 'Outcomes that were successes.';
comment on column centralcloud.evidence.failures is 'Outcomes that were failures.';
comment on column centralcloud.evidence.last_used_at is 'When the last of them was recorded, by the instance''s clock.';
comment on column centralcloud.evidence.version is 'The instance''s number of this state.';
comment on column centralcloud.evidence.state_hash is 'md5 of the state, which decides where equal versions differ.';

create type centralcloud.incoming as (
    message integer,
    instance_id uuid,
    artifact_id uuid,
    what text,
    namespace text,
    kind text,
    name text,
    version bigint,
    withdrawn_through bigint,
    variant text,
    content jsonb,
    summary text,
    tags text[],
    incarnation uuid,
    uses bigint,
    successes bigint,
    failures bigint,
    last_used_at timestamptz,
    state_hash text,
    refusal text
);

comment on type centralcloud.incoming is 'One record of a contribution, read and judged.';
comment on column centralcloud.incoming.message is 'Number of the message it came in, from 0.';
comment on column centralcloud.incoming.instance_id is 'Id of the instance that speaks.';
comment on column centralcloud.incoming.artifact_id is 'Id of the artifact.';
comment on column centralcloud.incoming.what is 'holding or evidence.';
comment on column centralcloud.incoming.namespace is 'Namespace of the artifact.';
comment on column centralcloud.incoming.kind is 'Kind of the artifact.';
comment on column centralcloud.incoming.name is 'Name of the artifact.';
comment on column centralcloud.incoming.version is 'The instance''s number of this state.';
comment on column centralcloud.incoming.withdrawn_through is 'All up to this version is withdrawn.';
comment on column centralcloud.incoming.variant is 'The variant; null when withdrawn.';
comment on column centralcloud.incoming.content is 'Its content.';
comment on column centralcloud.incoming.summary is 'Its summary.';
comment on column centralcloud.incoming.tags is 'Its labels.';
comment on column centralcloud.incoming.incarnation is 'The life of the instance''s database that the counters belong to.';
comment on column centralcloud.incoming.uses is 'Outcomes recorded.';
comment on column centralcloud.incoming.successes is 'Outcomes that were successes.';
comment on column centralcloud.incoming.failures is 'Outcomes that were failures.';
comment on column centralcloud.incoming.last_used_at is 'When the last of them was recorded.';
comment on column centralcloud.incoming.state_hash is 'md5 of the state.';
comment on column centralcloud.incoming.refusal is 'Why the record is refused; null when it is not.';

select pg_catalog.pg_extension_config_dump('centralcloud.holding', '');
select pg_catalog.pg_extension_config_dump('centralcloud.contribution', '');
select pg_catalog.pg_extension_config_dump('centralcloud.evidence', '');

-- -------------------- sql/centralcloud/merge/tables.sql

-- What follows from what instances said: computed by refresh_artifacts() alone.
create table centralcloud.variant (
    artifact_id uuid not null,
    variant text not null,
    content jsonb,
    summary text,
    tags text[] not null default '{}',
    holders bigint not null default 0,
    uses bigint not null default 0,
    successes bigint not null default 0,
    failures bigint not null default 0,
    last_used_at timestamptz,
    groups bigint not null default 0,
    confidence double precision not null default 0,
    level centralcloud.level not null default 'candidate',
    pinned boolean not null default false,
    primary key (artifact_id, variant)
);

comment on table centralcloud.variant is 'The rival contents of each artifact and how well each is proved.';
comment on column centralcloud.variant.artifact_id is 'Id of the artifact.';
comment on column centralcloud.variant.variant is 'Which content: sha-256 of its jsonb text, in hex.';
comment on column centralcloud.variant.content is 'The content; null when nobody who taught it still shares it.';
comment on column centralcloud.variant.summary is 'The longest summary of those who taught it.';
comment on column centralcloud.variant.tags is 'All labels of those who taught it.';
comment on column centralcloud.variant.holders is 'Instances that hold it.';
comment on column centralcloud.variant.uses is 'Outcomes recorded by all instances.';
comment on column centralcloud.variant.successes is 'Outcomes that were successes.';
comment on column centralcloud.variant.failures is 'Outcomes that were failures.';
comment on column centralcloud.variant.last_used_at is 'When the last of them was recorded.';
comment on column centralcloud.variant.groups is 'Independent groups with outcomes.';
comment on column centralcloud.variant.confidence is 'Lower bound of the success rate, capped by group and weighted, 0 to 1.';
comment on column centralcloud.variant.level is 'How far independent groups agree that it works.';
comment on column centralcloud.variant.pinned is 'Whether a curator made it the winner.';

create table centralcloud.artifact (
    artifact_id uuid primary key,
    namespace text not null,
    kind text not null,
    name text not null,
    variant text,
    summary text,
    tags text[] not null default '{}',
    holders bigint not null default 0,
    uses bigint not null default 0,
    successes bigint not null default 0,
    failures bigint not null default 0,
    last_used_at timestamptz,
    confidence double precision not null default 0,
    level centralcloud.level not null default 'candidate',
    pinned boolean not null default false,
    revision bigint not null default 0
);

create index artifact_revision on centralcloud.artifact (namespace, kind, revision);

comment on table centralcloud.artifact is 'Every artifact that was ever contributed, with the variant that wins.';
comment on column centralcloud.artifact.artifact_id is 'Id of the artifact, see artifact_id().';
comment on column centralcloud.artifact.namespace is 'Namespace of the artifact.';
comment on column centralcloud.artifact.kind is 'Kind of the artifact.';
comment on column centralcloud.artifact.name is 'Name of the artifact.';
comment on column centralcloud.artifact.variant is 'The winning variant; null when none has content any more.';
comment on column centralcloud.artifact.summary is 'Summary of the winner.';
comment on column centralcloud.artifact.tags is 'Labels of the winner.';
comment on column centralcloud.artifact.holders is 'Instances that hold the winner.';
comment on column centralcloud.artifact.uses is 'Outcomes of the winner.';
comment on column centralcloud.artifact.successes is 'Outcomes of the winner that were successes.';
comment on column centralcloud.artifact.failures is 'Outcomes of the winner that were failures.';
comment on column centralcloud.artifact.last_used_at is 'When the last of them was recorded.';
comment on column centralcloud.artifact.confidence is 'Confidence of the winner, 0 to 1.';
comment on column centralcloud.artifact.level is 'Level of the winner.';
comment on column centralcloud.artifact.pinned is 'Whether a curator made it the winner.';
comment on column centralcloud.artifact.revision is 'Number of its last published change in its topic; 0 before the first.';

create table centralcloud.unscored (
    artifact_id uuid primary key
);

comment on table centralcloud.unscored is 'Artifacts that wait to be scored again for another day.';
comment on column centralcloud.unscored.artifact_id is 'Id of the artifact.';

select pg_catalog.pg_extension_config_dump('centralcloud.variant', '');
select pg_catalog.pg_extension_config_dump('centralcloud.artifact', '');
select pg_catalog.pg_extension_config_dump('centralcloud.unscored', '');

-- -------------------- sql/centralcloud/publishing/tables.sql

create table centralcloud.topic (
    namespace text,
    kind text,
    head bigint not null default 0,
    primary key (namespace, kind)
);

comment on table centralcloud.topic is 'The numbered sequences of changes, one for each namespace and kind.';
comment on column centralcloud.topic.namespace is 'Namespace of the topic.';
comment on column centralcloud.topic.kind is 'Kind of the topic.';
comment on column centralcloud.topic.head is 'Number of the last change; numbers have no holes.';

create table centralcloud.unpublished (
    artifact_id uuid primary key
);

comment on table centralcloud.unpublished is 'Artifacts that changed and have no number for it yet.';
comment on column centralcloud.unpublished.artifact_id is 'Id of the artifact.';

create table centralcloud.publisher (
    only_row boolean primary key default true check (only_row),
    epoch text not null,
    heads_sent_at timestamptz
);

comment on table centralcloud.publisher is 'The present life of the publisher: one row, none before the first bridge.';
comment on column centralcloud.publisher.only_row is 'Always true: there is one row at most.';
comment on column centralcloud.publisher.epoch is 'Another one after each start of the bridge or the server.';
comment on column centralcloud.publisher.heads_sent_at is 'When the last heartbeat was given to the bridge.';

select pg_catalog.pg_extension_config_dump('centralcloud.topic', '');
select pg_catalog.pg_extension_config_dump('centralcloud.unpublished', '');
select pg_catalog.pg_extension_config_dump('centralcloud.publisher', '');

-- -------------------- sql/shared/knowledge/functions.sql

create or replace function @extschema@.artifact_id(namespace text, kind text, name text) returns uuid
language plpgsql immutable strict parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    parts bytea := ''::bytea;
    part bytea;
begin
    foreach part in array array[
        convert_to(namespace, 'UTF8'), convert_to(kind, 'UTF8'), convert_to(name, 'UTF8')
    ] loop
        parts := parts || int4send(length(part)) || part;
    end loop;
    parts := substring(sha256(parts) for 16);
    -- the bits that make it a UUID of version 8 (RFC 9562)
    parts := set_byte(set_byte(parts, 6, get_byte(parts, 6) & 15 | 128), 8, get_byte(parts, 8) & 63 | 128);
    return encode(parts, 'hex')::uuid;
end
$$;

comment on function @extschema@.artifact_id(text, text, text)
is 'Id of an artifact, the same on every machine: a UUID of version 8 from a sha-256 over the length-prefixed '
'namespace, kind and name.';

create or replace function @extschema@.variant_of(content jsonb) returns text
language plpgsql immutable strict parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    return encode(sha256(convert_to(content::text, 'UTF8')), 'hex');
end
$$;

comment on function @extschema@.variant_of(jsonb) is 'Key of one content: the sha-256 of its jsonb text, in hex.';

create or replace function @extschema@.content_limit() returns integer
language sql immutable parallel safe
begin atomic
    select 262144;
end;

comment on function @extschema@.content_limit() is 'Greatest size of an artifact''s content, in bytes of its jsonb text.';

create or replace function @extschema@.check_token(value text, what text) returns text
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    if value is null then
        raise exception using errcode = 'null_value_not_allowed', message = format('%s must not be null', what),
            hint = format('A %s has 1 to 64 characters out of a to z, 0 to 9, _ and -.', what);
    end if;
    if value !~ '^[a-z0-9_-]{1,64}$' then
        raise exception using errcode = 'invalid_parameter_value',
            message = format('%s %L is not valid', what, left(value, 100)),
            hint = format('A %s has 1 to 64 characters out of a to z, 0 to 9, _ and -.', what);
    end if;
    return value;
end
$$;

comment on function @extschema@.check_token(text, text)
is 'Returns a namespace or kind that fits its grammar; raises 22004 or 22023 otherwise.';

create or replace function @extschema@.check_name(name text) returns text
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    blank constant text := '[\u0020\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]';
    result text := normalize(name, nfc);
begin
    if result is null then
        raise exception using errcode = 'null_value_not_allowed', message = 'name must not be null',
            hint = 'A name has 1 to 512 bytes.';
    end if;
    if octet_length(result) not between 1 and 512 then
        raise exception using errcode = 'invalid_parameter_value',
            message = format('name %L has %s bytes', left(result, 100), octet_length(result)),
            hint = 'A name has 1 to 512 bytes.';
    end if;
    -- The control characters of ASCII and Latin-1 and the blanks of Unicode, by number: no editor can change them, and
    -- they do not depend on the locale as \s does.
    if result ~ '[\u0001-\u001f\u007f-\u009f]' or result ~ ('^' || blank || '|' || blank || '$') then
        raise exception using errcode = 'invalid_parameter_value',
            message = format('name %L has control characters or outer blanks', left(result, 100)),
            hint = 'Trim the name and leave control characters out.';
    end if;
    return result;
end
$$;

comment on function @extschema@.check_name(text)
is 'Returns a name in Unicode form NFC; raises 22004 or 22023 when it is null, not 1 to 512 bytes, '
'or has control characters or outer blanks.';

create or replace function @extschema@.check_content(content jsonb) returns jsonb
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    size integer := octet_length(content::text);
begin
    if content is null or jsonb_typeof(content) = 'null' then
        raise exception using errcode = 'null_value_not_allowed', message = 'content must not be null',
            hint = 'Pass any other JSON: an object, an array, a string, a number or a boolean.';
    end if;
    if size > @extschema@.content_limit() then
        raise exception using errcode = 'program_limit_exceeded',
            message = format('content has %s bytes, the limit is %s', size, @extschema@.content_limit()),
            hint = 'Store the large part elsewhere and keep a reference, or divide the artifact.';
    end if;
    return content;
end
$$;

comment on function @extschema@.check_content(jsonb)
is 'Returns content that may be learned; raises 22004 when it is null and 54000 when it is larger than content_limit().';

create or replace function @extschema@.check_summary(summary text) returns text
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    if octet_length(summary) > 4096 then
        raise exception using errcode = 'program_limit_exceeded',
            message = format('summary has %s bytes, the limit is 4096', octet_length(summary)),
            hint = 'Keep the summary to a few sentences; the rest belongs into content.';
    end if;
    return summary;
end
$$;

comment on function @extschema@.check_summary(text) is 'Returns a summary of at most 4096 bytes; raises 54000 otherwise.';

create or replace function @extschema@.check_tags(tags text[]) returns text[]
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    tag text;
begin
    if cardinality(tags) > 64 then
        raise exception using errcode = 'program_limit_exceeded',
            message = format('there are %s tags, the limit is 64', cardinality(tags)),
            hint = 'Keep the tags that people search by.';
    end if;
    foreach tag in array coalesce(tags, '{}') loop
        if tag is null or octet_length(tag) not between 1 and 128 then
            raise exception using errcode = 'invalid_parameter_value',
                message = format('tag %L is not valid', left(tag, 100)),
                hint = 'A tag has 1 to 128 bytes.';
        end if;
    end loop;
    return (select array_agg(distinct t order by t) from unnest(tags) as t);
end
$$;

comment on function @extschema@.check_tags(text[])
is 'Returns tags sorted and without repetition (null for none); raises 54000 for more than 64, 22023 for a tag that is '
'null or not 1 to 128 bytes.';

create or replace function @extschema@.wilson_lower_bound(successes double precision, failures double precision)
returns double precision
language plpgsql immutable strict parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    z constant double precision := 1.96;
    n double precision := successes + failures;
    p double precision;
begin
    -- nothing, or so little that its square would underflow
    if n < 1e-9 then
        return 0;
    end if;
    p := case when successes < 1e-9 then 0 else successes / n end;
    return greatest(0, (p + z * z / (2 * n) - z * sqrt((p * (1 - p) + z * z / (4 * n)) / n)) / (1 + z * z / n));
end
$$;

comment on function @extschema@.wilson_lower_bound(double precision, double precision)
is 'Lower bound of the Wilson score interval of a success rate at 95 % (z = 1.96), 0 to 1; the counts may be weighted. '
'Source: E. B. Wilson, Probable inference, the law of succession, and statistical inference, JASA 22 (1927).';

-- -------------------- sql/shared/transactions/functions.sql

-- PL/Python, since only there a commit that is not possible can be caught
create or replace procedure @extschema@.try_commit(inout committed boolean)
language plpython3u
as $$
    try:
        plpy.commit()
    except plpy.spiexceptions.InvalidTransactionTermination:
        return (False,)
    return (True,)
$$;

comment on procedure @extschema@.try_commit(boolean)
is 'Commits and returns true, or returns false inside a transaction block, where a procedure may not.';

-- -------------------- sql/shared/embedding/functions.sql

create or replace function @extschema@.server_files() returns text
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$ select c.setting || '/singularity' from pg_config() as c where c.name = 'SHAREDIR' $$;

comment on function @extschema@.server_files()
is 'Folder of the Python packages and of the model that make install put on the database server.';

create or replace function @extschema@.load_model() returns boolean
language plpython3u stable parallel restricted
set search_path = pg_catalog, pg_temp
as $$
    if "singularity_model" not in GD:
        GD["singularity_model"] = None
        try:
            import importlib, sys
            folder = plpy.execute("select @extschema@.server_files() as folder")[0]["folder"]
            if folder + "/python" not in sys.path:
                sys.path.append(folder + "/python")
            importlib.invalidate_caches()  # the files may have been installed a moment ago
            embedding = importlib.import_module("singularity_plpy.embedding")
            GD["singularity_model"] = embedding.load(folder + "/model")
        except (ImportError, OSError, ValueError) as error:
            plpy.notice("similarity of meaning is not known here: the embedding model cannot be loaded",
                        detail=str(error), hint="Run make install of Singularity on the database server and connect again.")
    return GD["singularity_model"] is not None
$$;

comment on function @extschema@.load_model()
is 'Loads the embedding model, once a session, and says whether it is there; a notice says why it is not.';

create or replace function @extschema@.vector_literals(texts text[]) returns text[]
language plpython3u stable parallel restricted cost 10000
set search_path = pg_catalog, pg_temp
as $$
    if texts is None:
        return None
    if "singularity_model" not in GD:
        plpy.execute("select @extschema@.load_model()")
    model = GD["singularity_model"]
    return model.literals(texts, lambda: plpy.execute("select")) if model else [None] * len(texts)
$$;

comment on function @extschema@.vector_literals(text[])
is 'The vectors of texts as pgvector writes them but of another length; null for a null, for a text without any token, '
'and for all while the model cannot be loaded.';

create or replace function @extschema@.document_literals(names text[], summaries text[], contents text[]) returns text[]
language plpython3u stable parallel restricted cost 10000
set search_path = pg_catalog, pg_temp
as $$
    if "singularity_model" not in GD:
        plpy.execute("select @extschema@.load_model()")
    model = GD["singularity_model"]
    if not model:
        return [None] * len(names)
    return model.document_literals(names, summaries, contents, lambda: plpy.execute("select"))
$$;

comment on function @extschema@.document_literals(text[], text[], text[])
is 'The vectors of documents, from their names, summaries (which count twice) and contents, written as vector_literals() does.';

create or replace function @extschema@.similar_words(words text[])
returns table (word text, similar_word text, similarity double precision)
language plpython3u stable parallel restricted cost 10000 rows 20
set search_path = pg_catalog, pg_temp
as $$
    if "singularity_model" not in GD:
        plpy.execute("select @extschema@.load_model()")
    model = GD["singularity_model"]
    return list(model.similar_words.of(words)) if model else []
$$;

comment on function @extschema@.similar_words(text[])
is 'For each of some words in lower case those that mean nearly the same, with their cosine, by the embedding model; none '
'while it cannot be loaded.';

create or replace function @extschema@.to_unit_vector(literal text) returns vector
language sql immutable strict parallel safe
begin atomic
    select l2_normalize(literal::vector);
end;

comment on function @extschema@.to_unit_vector(text) is 'The vector of length 1 in the direction of one that pgvector or JSON wrote.';

create or replace function @extschema@.embed(value text) returns vector
language sql stable parallel restricted cost 10000
begin atomic
    select @extschema@.to_unit_vector((@extschema@.vector_literals(array[value]))[1]);
end;

comment on function @extschema@.embed(text)
is 'The vector of a text under current_contract(), of length 1; what is behind the first 64 KiB is not looked at. Null for '
'an empty text, and while the model cannot be loaded: one notice a session says so.';

create or replace function @extschema@.embed_many(texts text[]) returns vector[]
language sql stable parallel restricted cost 100000
begin atomic
    select
        case
            when texts is not null
                then
                    array(
                        select @extschema@.to_unit_vector(v.literal)
                        from unnest(@extschema@.vector_literals(array(select t.value from unnest(texts) as t (value))))
                            with ordinality as v (literal, place)
                        order by v.place
                    )
        end;
end;

comment on function @extschema@.embed_many(text[])
is 'The vectors of texts in their order, each as embed() makes it: faster than one by one, a few thousand at a time.';

create or replace function @extschema@.shipped_contract() returns text
language sql immutable parallel safe
begin atomic
    select 'wordllama-l2-supercat-256/1';
end;

comment on function @extschema@.shipped_contract()
is 'Name of the contract that the index document_vector_near is for, in which the name stands as a literal.';

create or replace function @extschema@.current_contract() returns text
language sql immutable parallel safe
begin atomic
    select @extschema@.shipped_contract();
end;

comment on function @extschema@.current_contract() is 'Name of the contract that the vectors of embed() keep.';

create or replace function @extschema@.contract_of(name text) returns @extschema@.embedding_contract
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    result @extschema@.embedding_contract;
begin
    select c.* into result from @extschema@.embedding_contract c where c.name = contract_of.name;
    if not found and contract_of.name = @extschema@.current_contract() then
        result := row(contract_of.name, 'wordllama l2_supercat_256', '0.4.0.post1', 256, true, now());
    end if;
    return result;
end
$$;

comment on function @extschema@.contract_of(text)
is 'A contract by its name, current_contract() even before its first use; a row of nulls when there is none.';

create or replace function @extschema@.use_contract() returns text
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    contract text := @extschema@.current_contract();
begin
    -- while another session is about to store the row, nobody waits for its commit: the next one sees it
    if not exists (select from @extschema@.embedding_contract c where c.name = contract)
        and pg_try_advisory_xact_lock('@extschema@.embedding_contract'::regclass::oid::integer, 0)
    then
        insert into @extschema@.embedding_contract select (@extschema@.contract_of(contract)).*
        on conflict (name) do nothing;
    end if;
    return contract;
end
$$;

comment on function @extschema@.use_contract()
is 'Returns current_contract() and sees to its row in embedding_contract: who stores a vector of embed() calls it.';

create or replace function @extschema@.register_contract(
    name text, model text, revision text, dimensions integer, normalised boolean
) returns text
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    known @extschema@.embedding_contract;
begin
    if num_nulls(register_contract.name, model, revision, dimensions, normalised) > 0 then
        raise exception using errcode = 'null_value_not_allowed',
            message = 'a contract needs a name, a model, a revision, dimensions and normalised',
            hint = 'Write for example register_contract(''e5-small/1'', ''intfloat/e5-small'', ''v2'', 384, true).';
    end if;
    if register_contract.name !~ '^[a-z0-9][a-z0-9._:/-]{0,99}$' then
        raise exception using errcode = 'invalid_parameter_value',
            message = format('contract name %L is not valid', left(register_contract.name, 100)),
            hint = 'It has 1 to 100 characters out of a to z, 0 to 9, . _ : / and -, and starts with a letter or digit.';
    end if;
    if greatest(octet_length(model), octet_length(revision)) > 512 then
        raise exception using errcode = 'program_limit_exceeded',
            message = format('model or revision of contract %L is longer than 512 bytes', register_contract.name);
    end if;
    if dimensions not between 1 and 2000 then
        raise exception using errcode = 'invalid_parameter_value',
            message = format('contract %L has %s dimensions', register_contract.name, dimensions),
            hint = 'A vector that can be indexed has 1 to 2000.';
    end if;
    if register_contract.name <> @extschema@.current_contract() then
        insert into @extschema@.embedding_contract (name, model, revision, dimensions, normalised)
        values (register_contract.name, model, revision, dimensions, normalised)
        on conflict (name) do nothing;
    end if;
    known := @extschema@.contract_of(register_contract.name);
    if (known.model, known.revision, known.dimensions, known.normalised)
        <> (register_contract.model, register_contract.revision, register_contract.dimensions, register_contract.normalised)
    then
        raise exception using errcode = 'unique_violation',
            message = format('contract %L is known with another meaning', register_contract.name),
            detail = format('It is model %L, revision %L, %s dimensions, %s.', known.model, known.revision,
                known.dimensions, case when known.normalised then 'normalised' else 'not normalised' end),
            hint = 'Give a changed contract a new name, for example with another number at its end.';
    end if;
    return register_contract.name;
end
$$;

comment on function @extschema@.register_contract(text, text, text, integer, boolean)
is 'Makes a contract for vectors of a model of one''s own and returns its name; nothing changes when the same is there. '
'Errors: 22004 and 22023 for a null or invalid argument, 54000 for a long one, 23505 when the name means another contract.';

create or replace function @extschema@.vector_size(embedding vector) returns integer
language sql immutable strict parallel safe
begin atomic
    select vector_dims(embedding);
end;

comment on function @extschema@.vector_size(vector) is 'Number of dimensions of a vector.';

create or replace function @extschema@.vector_length(embedding vector) returns double precision
language sql immutable strict parallel safe
begin atomic
    select vector_norm(embedding);
end;

comment on function @extschema@.vector_length(vector) is 'Euclidean length of a vector.';

create or replace function @extschema@.to_vector(literal text) returns vector
language sql immutable strict parallel safe
begin atomic
    select literal::vector;
end;

comment on function @extschema@.to_vector(text) is 'A vector from what pgvector or JSON writes.';

create or replace function @extschema@.check_vector(embedding vector, contract text) returns vector
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    kept @extschema@.embedding_contract;
    size double precision;
begin
    if embedding is null then
        return null;
    end if;
    if contract is null then
        raise exception using errcode = 'null_value_not_allowed', message = 'a vector needs its contract',
            hint = 'Pass contract => the name that register_contract() was given.';
    end if;
    kept := @extschema@.contract_of(contract);
    if kept.name is null then
        raise exception using errcode = 'invalid_parameter_value',
            message = format('there is no contract %L', left(contract, 100)),
            hint = 'Register it with register_contract(); those that are known are in the table embedding_contract.';
    end if;
    if @extschema@.vector_size(embedding) <> kept.dimensions then
        raise exception using errcode = 'invalid_parameter_value',
            message = format('a vector of contract %L has %s dimensions, this one %s',
                contract, kept.dimensions, @extschema@.vector_size(embedding)),
            hint = 'Pass the vector that the contract''s model makes, or name the contract that this one was made under.';
    end if;
    size := @extschema@.vector_length(embedding);
    if size = 0 or size = 'infinity' or size = 'nan' then
        raise exception using errcode = 'invalid_parameter_value',
            message = format('a vector of length %s has no direction', size),
            hint = 'Pass null for what has no vector.';
    end if;
    if kept.normalised and abs(size - 1) > 0.001 then
        raise exception using errcode = 'invalid_parameter_value',
            message = format('a vector of contract %L has length 1, this one %s', contract, size),
            hint = 'Pass l2_normalize() of it, or register a contract with normalised => false.';
    end if;
    return embedding;
end
$$;

comment on function @extschema@.check_vector(vector, text)
is 'Returns a vector that keeps a contract, null for null. Errors: 22004 without a contract; 22023 for an unknown contract, '
'the wrong number of dimensions, a zero vector, and one of another length than 1 where the contract says normalised.';

create or replace function @extschema@.unit_vector(embedding vector) returns vector
language sql immutable strict parallel safe
begin atomic
    select l2_normalize(embedding);
end;

comment on function @extschema@.unit_vector(vector) is 'The vector of length 1 in the same direction.';

create or replace function @extschema@.is_same_vector(one vector, other vector) returns boolean
language sql immutable parallel safe
begin atomic
    select coalesce(one = other, one is null and other is null);
end;

comment on function @extschema@.is_same_vector(vector, vector) is 'Whether two vectors are equal, or both null.';

create or replace function @extschema@.vector_from(embedding jsonb) returns vector
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    if embedding is null or jsonb_typeof(embedding) = 'null' then
        return null;
    end if;
    return @extschema@.to_vector(embedding::text);
exception when data_exception or program_limit_exceeded then
    raise exception using errcode = 'invalid_parameter_value',
        message = format('embedding is not a vector: %s', left(sqlerrm, 200)),
        hint = 'It is a JSON array of finite numbers, for example [0.6, -0.8].';
end
$$;

comment on function @extschema@.vector_from(jsonb)
is 'A vector from a JSON array of numbers, null for null; raises 22023 for anything else.';

-- -------------------- sql/shared/search/functions.sql

-- Text

create or replace function @extschema@.plain_words(value text) returns text
language sql immutable strict parallel safe
begin atomic
    select regexp_replace(
        regexp_replace(
            translate(value, '!"#$%&''()*+,-./:;<=>?@[\]^_`{|}~', repeat(' ', 32)),
            '([a-z0-9])([A-Z])', '\1 \2', 'g'
        ),
        '([A-Z])([A-Z][a-z])', '\1 \2', 'g'
    );
end;

comment on function @extschema@.plain_words(text)
is 'A text without ASCII punctuation, its identifiers (snake_case, camelCase, kebab-case, dotted) taken apart into words.';

create or replace function @extschema@.identifiers_of(value text) returns tsvector
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    return (
        select coalesce(string_agg(distinct '''=' || lower(p.part) || ''':1', ' '), '')::tsvector
        from regexp_matches(
            value,
            '[[:alnum:]_]+(?:[._:-]+[[:alnum:]_]+)+|[[:alnum:]]*_[[:alnum:]_]*'
            '|[[:alnum:]]*(?:[a-z0-9][A-Z]|[A-Z][A-Z][a-z])[[:alnum:]]*', 'g'
        ) as m
        cross join lateral (
            select btrim(m[1], '_')
            union
            select btrim(r, '_') from regexp_split_to_table(m[1], '[.:-]+') as r
        ) as p (part)
        where length(p.part) between 2 and 255 and p.part ~ '[._:-]|[a-z0-9][A-Z]|[A-Z][A-Z][a-z]'
    );
end
$$;

comment on function @extschema@.identifiers_of(text)
is 'The identifiers of a text as whole lexemes, in lower case and with the prefix =: those that plain_words() takes apart.';

create or replace function @extschema@.text_of(content jsonb) returns text
language plpgsql immutable strict parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    return (
        select left(string_agg(leaf #>> '{}', ' '), 65536)
        from jsonb_path_query(content, 'strict $.** ? (@.type() == "string")') as leaf
    );
end
$$;

comment on function @extschema@.text_of(jsonb) is 'The textual leaves of content, at most 64 Ki characters.';

create or replace function @extschema@.words_of(configuration regconfig, value text) returns tsvector
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
set client_min_messages = warning -- a word that is too long for an index is left out in silence
as $$
begin
    if value is null then
        return ''::tsvector;
    end if;
    return to_tsvector(configuration, @extschema@.plain_words(value)) || @extschema@.identifiers_of(value);
end
$$;

comment on function @extschema@.words_of(regconfig, text) is 'Lexemes of a text: its words, and its identifiers as a whole.';

create or replace function @extschema@.lexeme_bucket(lexeme text) returns integer
language sql immutable strict parallel safe
begin atomic
    select ('x' || left(md5(lexeme), 5))::bit(20)::integer + 1;
end;

comment on function @extschema@.lexeme_bucket(text) is 'Dimension of a lexeme in the weights of documents and queries, from its md5.';

create or replace function @extschema@.to_weights(entries text) returns sparsevec
language sql immutable parallel safe
begin atomic
    select ('{' || coalesce(entries, '') || '}/1048576')::sparsevec;
end;

comment on function @extschema@.to_weights(text) is 'Weights from their entries, as pgvector writes them.';

create or replace function @extschema@.weights_of(name tsvector, summary tsvector, tags tsvector, content tsvector)
returns sparsevec
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    return (
        with term as (
            select u.lexeme, sum(f.weight * cardinality(u.positions))::double precision as frequency
            from (values (6, name), (4, summary), (2, tags), (1, content)) as f (weight, words)
            cross join lateral unnest(f.words) as u
            group by u.lexeme
        ), document as (
            select coalesce(sum(t.frequency) filter (where t.lexeme not like '=%'), 0) as length from term t
        ), entry as (
            select
                @extschema@.lexeme_bucket(t.lexeme) as bucket,
                max(t.frequency / (t.frequency + 1.2 * (0.25 + 0.75 * least(d.length / 60, 4))))::real as weight
            from term t
            cross join document d
            group by 1
            order by 2 desc
            limit 15000 -- a sparsevec has at most 16,000
        )
        select @extschema@.to_weights(string_agg(e.bucket || ':' || e.weight, ',')) from entry e
    );
end
$$;

comment on function @extschema@.weights_of(tsvector, tsvector, tsvector, tsvector)
is 'BM25 weight of each lexeme of a document: f / (f + k1 (1 - b + b length / 60)) with k1 = 1.2, b = 0.75, where f counts '
'a word 6 times in the name, 4 in the summary, 2 in the tags, once in the content, 60 stands for the average length, and '
'what is longer than four times that counts as that long, so that one word of it still weighs something. '
'Source: S. Robertson, H. Zaragoza, The probabilistic relevance framework: BM25 and beyond (2009), 3.3 and 3.6 (BM25F).';

-- Arguments

create or replace function @extschema@.check_query(query text) returns text
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    if query is null or query !~ '\S' then
        raise exception using errcode = 'invalid_parameter_value', message = 'query is empty',
            hint = 'Pass the words, the name or the question to search for.';
    end if;
    if octet_length(query) > 65536 then
        raise exception using errcode = 'program_limit_exceeded',
            message = format('query has %s bytes, the limit is 65536', octet_length(query)),
            hint = 'Pass the few words that matter.';
    end if;
    return check_query.query;
end
$$;

comment on function @extschema@.check_query(text) is 'Returns a query; raises 22023 when it is empty, 54000 over 64 KiB.';

create or replace function @extschema@.check_filters(kind text, namespace text, min_similarity double precision)
returns void
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    if kind is not null then
        perform @extschema@.check_token(kind, 'kind');
    end if;
    if namespace is not null then
        perform @extschema@.check_token(namespace, 'namespace');
    end if;
    if min_similarity is null or not min_similarity between 0 and 1 then
        raise exception using errcode = 'invalid_parameter_value',
            message = format('min_similarity is %s', coalesce(min_similarity::text, 'null')),
            hint = 'It is between 0 and 1.';
    end if;
end
$$;

comment on function @extschema@.check_filters(text, text, double precision)
is 'Raises 22023 for a kind, namespace or min_similarity that is not valid; a null kind or namespace is no filter.';

create or replace function @extschema@.check_max_results(max_results integer) returns integer
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    if max_results is null or max_results not between 1 and 1000 then
        raise exception using errcode = 'invalid_parameter_value',
            message = format('max_results is %s', coalesce(max_results::text, 'null')),
            hint = 'It is between 1 and 1000.';
    end if;
    return max_results;
end
$$;

comment on function @extschema@.check_max_results(integer) is 'Returns a number of results of 1 to 1000; raises 22023 otherwise.';

-- Documents

create or replace function @extschema@.search_configuration() returns regconfig
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    return @extschema@.get_setting('search_configuration')::regconfig;
end
$$;

comment on function @extschema@.search_configuration() is 'The text search configuration in force.';

create or replace function @extschema@.source_of(given @extschema@.searchable) returns uuid
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    return md5(given::text)::uuid;
end
$$;

comment on function @extschema@.source_of(@extschema@.searchable) is 'Hash of what a document is made from.';

create or replace function @extschema@.filter_lexemes(namespace text, kind text, tags text[], level @extschema@.level)
returns text[]
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    return array['/namespace/' || namespace, '/kind/' || kind, '/level/' || level]
        || array(select '/tag/' || left(t.tag, 512) from unnest(tags) as t (tag)); -- no lexeme is longer than 2 KB
end
$$;

comment on function @extschema@.filter_lexemes(text, text, text[], @extschema@.level)
is 'The lexemes by which documents of a namespace, kind, tags and level are found.';

create or replace function @extschema@.make_document(given @extschema@.searchable, configuration regconfig)
returns @extschema@.document
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    made @extschema@.document;
    name tsvector := @extschema@.words_of(configuration, given.name);
    summary tsvector := @extschema@.words_of(configuration, given.summary);
    tags tsvector := @extschema@.words_of(configuration, array_to_string(given.tags, ' '));
    content tsvector := @extschema@.words_of(configuration, @extschema@.text_of(given.content));
begin
    made.artifact_id := given.artifact_id;
    made.namespace := given.namespace;
    made.kind := given.kind;
    made.name := given.name;
    made.tags := given.tags;
    made.level := given.level;
    made.configuration := configuration;
    made.source := @extschema@.source_of(given);
    made.words := strip(name || summary || tags || content)
        || array_to_tsvector(@extschema@.filter_lexemes(given.namespace, given.kind, given.tags, given.level));
    made.weights := @extschema@.weights_of(name, summary, tags, content);
    return made;
end
$$;

comment on function @extschema@.make_document(@extschema@.searchable, regconfig) is 'The document of an artifact, not stored yet.';

-- Background

create or replace function @extschema@.fold_lexemes(max_documents bigint) returns bigint
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    folded bigint;
    empty text[];
    doubtful uuid[];
begin
    -- one session at a time, and nobody waits for it
    if current_setting('transaction_isolation') <> 'read committed'
        or not pg_try_advisory_xact_lock('@extschema@.lexeme'::regclass::oid::integer, 0) then
        return 0;
    end if;
    with taken as (
        delete from @extschema@.lexeme_change c where c.ctid = any (array(
            select o.ctid from @extschema@.lexeme_change o limit max_documents for update skip locked
        )) returning c.artifact_id, c.words, c.change
    ), counted as (
        select u.lexeme, sum(t.change) as change from taken t cross join lateral unnest(t.words) as u group by u.lexeme
        union all
        select '', coalesce(sum(t.change), 0) from taken t
    ), stored as (
        insert into @extschema@.lexeme as l (lexeme, documents)
        select lexeme, change from counted where change <> 0
        on conflict (lexeme) do update set documents = l.documents + excluded.documents
        returning lexeme, documents
    )
    select
        (select count(*) from taken t where t.change <> 0),
        array(select s.lexeme from stored s where s.documents = 0),
        array(
            select t.artifact_id from taken t join @extschema@.document d using (artifact_id)
            group by t.artifact_id having count(distinct d.document_id) > 1 or bool_or(t.change = 0)
        )
    into folded, empty, doubtful;
    if cardinality(empty) > 0 then
        delete from @extschema@.lexeme l where l.lexeme = any (empty);
    end if;
    if cardinality(doubtful) > 0 then
        -- two sessions did not see each other's documents, or one could not delete what the other held
        perform @extschema@.index_artifacts(doubtful);
    end if;
    return folded;
end
$$;

comment on function @extschema@.fold_lexemes(bigint)
is 'Counts the lexemes of documents that came or went, sees to artifacts with several documents, and returns how many came or '
'went; 0 while another session does it.';

create or replace function @extschema@.index_vectors(max_vectors bigint) returns bigint
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    moved bigint;
begin
    with taken as (
        select v.document_id, v.contract from @extschema@.document_vector v
        where not v.indexed
        limit max_vectors for update skip locked
    ), updated as (
        update @extschema@.document_vector v set indexed = true
        from taken t where v.document_id = t.document_id and v.contract = t.contract
        returning 1
    )
    select count(*) into moved from updated;
    return moved;
end
$$;

comment on function @extschema@.index_vectors(bigint)
is 'Puts vectors into the index of their contract and returns how many: about 2 ms each. Those that another session holds are '
'left.';

-- Storing

create or replace function @extschema@.store_documents(given @extschema@.searchable[]) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    configuration regconfig := @extschema@.search_configuration();
    own_contract text := @extschema@.use_contract();
    -- the index takes longer than all the rest: where there are many, it gets them in the background
    at_once boolean := cardinality(given) <= 16;
    ids uuid[] := array(select g.artifact_id from unnest(given) as g);
    literals text[] := @extschema@.document_literals(
        array(select @extschema@.plain_words(g.name) from unnest(given) as g),
        array(select @extschema@.plain_words(g.summary) from unnest(given) as g),
        array(select @extschema@.plain_words(@extschema@.text_of(g.content)) from unnest(given) as g)
    );
    milestones bigint;
begin
    with made as (
        select m.* from unnest(given) as g cross join lateral @extschema@.make_document(g, configuration) as m
    ), stored as (
        insert into @extschema@.document (
            artifact_id, namespace, kind, name, tags, level, configuration, source, words, weights
        )
        select artifact_id, namespace, kind, name, tags, level, configuration, source, words, weights from made
        returning document_id, artifact_id, words
    ), vectors as (
        insert into @extschema@.document_vector (document_id, contract, embedding, indexed)
        select s.document_id, v.contract, v.embedding, at_once
        from stored s
        join (
            select l.artifact_id, own_contract as contract, @extschema@.to_unit_vector(l.literal) as embedding
            from unnest(ids, literals) as l (artifact_id, literal)
            where l.literal is not null
            union all
            select g.artifact_id, g.contract, @extschema@.unit_vector(g.embedding) from unnest(given) as g
            where g.embedding is not null
        ) as v using (artifact_id)
    ), changes as (
        insert into @extschema@.lexeme_change (artifact_id, words, change) select artifact_id, words, 1 from stored
    )
    select count(*) filter (where s.document_id % 128 = 0) into milestones from stored s;
    if milestones > 0 then
        perform @extschema@.fold_lexemes(1024 + 2 * cardinality(given));
    end if;
end
$$;

comment on function @extschema@.store_documents(@extschema@.searchable[])
is 'Stores documents with their vectors. Inserts only; now and then it counts lexemes, unless another session does.';

create or replace function @extschema@.delete_documents(artifact_ids uuid[], gone uuid[]) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
    old_ids bigint[] := array(
        select o.document_id
        from unnest(artifact_ids) as a (artifact_id)
        join @extschema@.document o using (artifact_id)
        where o.artifact_id = any (gone) or exists (
            select from @extschema@.document newer
            where newer.artifact_id = o.artifact_id and newer.document_id > o.document_id
        )
    );
begin
    if cardinality(old_ids) = 0 and cardinality(gone) = 0 then
        return;
    end if;
    -- above READ COMMITTED the locking clause would raise 40001 where another session was first
    if current_setting('transaction_isolation') = 'read committed' then
        perform @extschema@.delete_unlocked_documents(old_ids);
    end if;
    -- the background looks again at what is still there, or may be there as soon as another session commits
    insert into @extschema@.lexeme_change (artifact_id, words, change)
    select a.artifact_id, ''::tsvector, 0
    from (
        select d.artifact_id from @extschema@.document d where d.document_id = any (old_ids)
        union
        select unnest(gone)
    ) as a;
end
$$;

comment on function @extschema@.delete_documents(uuid[], uuid[])
is 'Deletes the documents of artifacts that are gone, and of the others all but the newest. Those that another session holds '
'are left for the background: of several the newest is in force.';

create or replace function @extschema@.delete_unlocked_documents(document_ids bigint[]) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
begin
    with old as (
        select d.document_id from @extschema@.document d where d.document_id = any (document_ids)
        for update of d skip locked
    ), locked as materialized (
        select v.document_id from @extschema@.document_vector v join old using (document_id) for update of v skip locked
    ), deleted as (
        delete from @extschema@.document d using old
        where d.document_id = old.document_id
            and (select count(*) from locked l where l.document_id = old.document_id)
                = (select count(*) from @extschema@.document_vector v where v.document_id = old.document_id)
        returning d.document_id, d.artifact_id, d.words
    ), vectors as (
        delete from @extschema@.document_vector v using deleted where v.document_id = deleted.document_id
    )
    insert into @extschema@.lexeme_change (artifact_id, words, change) select artifact_id, words, -1 from deleted;
end
$$;

comment on function @extschema@.delete_unlocked_documents(bigint[])
is 'Deletes documents with their vectors, but for those that another session holds.';

create or replace function @extschema@.index_documents(
    artifact_ids uuid[], given @extschema@.searchable[], again boolean default false
) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    changed @extschema@.searchable[] := array(
        select distinct on (g.artifact_id) g from unnest(given) as g
        where again or @extschema@.source_of(g) is distinct from (
            select d.source from @extschema@.document d
            where d.artifact_id = g.artifact_id order by d.document_id desc limit 1
        )
    );
begin
    if cardinality(changed) > 0 then
        perform @extschema@.store_documents(changed);
    end if;
    perform @extschema@.delete_documents(
        artifact_ids, array(select unnest(artifact_ids) except select g.artifact_id from unnest(given) as g)
    );
end
$$;

comment on function @extschema@.index_documents(uuid[], @extschema@.searchable[], boolean)
is 'Makes the documents of the artifacts those given, none for an artifact that has none among them. A document whose source '
'has not changed is left as it is, unless again.';

-- Queries

create or replace function @extschema@.relevance(
    words double precision, name_match double precision, similarity double precision, one_word boolean
) returns double precision
language sql immutable parallel safe
begin atomic
    select 1 - (1 - case
        when similarity is null then words
        else 0.65 * words + 0.35 * greatest(similarity, 0)
    end) * (1 - case when one_word then 0.85 else 0.2 end * name_match);
end;

comment on function @extschema@.relevance(double precision, double precision, double precision, boolean)
is 'Relevance of a document, 0 to 1: 1 - (1 - text) (1 - w name_match), where text is 0.65 words + 0.35 similarity, or words '
'alone without vectors, and w is 0.85 when the query is one word, else 0.2. The constants are fitted by '
'python -m tests.bench.search fit.';

create or replace function @extschema@.match_name(name text, query text) returns double precision
language sql immutable parallel safe
begin atomic
    select greatest(0, (0.7 * word_similarity(query, name) + 0.3 * similarity(query, name) - 0.3) / 0.7);
end;

comment on function @extschema@.match_name(text, text)
is 'How well a name fits a query, 0 to 1: of 0.7 word_similarity + 0.3 similarity by trigrams what is above 0.3.';

create or replace function @extschema@.documents_named(
    query text, word text, passes tsquery, max_compared integer, max_documents integer
) returns bigint[]
language sql stable
begin atomic
    select array_agg(m.document_id)
    from (
        select n.document_id
        from (
            select d.document_id, @extschema@.match_name(d.name, query) as name_match
            from @extschema@.document as d
            where d.name %> word and (passes is null or d.words @@ passes)
            limit max_compared -- noqa: AM09
        ) as n
        order by n.name_match desc, n.document_id desc
        limit max_documents
    ) as m;
end;

comment on function @extschema@.documents_named(text, text, tsquery, integer, integer)
is 'Documents that pass a filter and whose name has something like a word, those with the names most like the query.';

create or replace function @extschema@.lexeme_query(lexeme text) returns tsquery
language plpgsql immutable strict parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    return ('''' || replace(replace(lexeme, '\', '\\'), '''', '''''') || '''')::tsquery;
end
$$;

comment on function @extschema@.lexeme_query(text) is 'Query for documents that have a lexeme.';

create or replace function @extschema@.lexeme_frequencies(lexemes text[])
returns table (lexeme text, documents double precision)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
begin
    return query
    with recent as materialized (
        select c.words, c.change from @extschema@.lexeme_change c limit 256
    )
    select a.lexeme, greatest(0, coalesce(l.documents, 0) + (
        select coalesce(sum(r.change), 0) from recent r where a.lexeme = '' or r.words @@ @extschema@.lexeme_query(a.lexeme)
    ))::double precision
    from unnest(lexemes) as a (lexeme)
    left join @extschema@.lexeme l using (lexeme);
end
$$;

comment on function @extschema@.lexeme_frequencies(text[])
is 'How many documents have each lexeme, all documents for the empty one; the last changes are counted up to 256.';

create or replace function @extschema@.plan_filter(
    namespace text, kind text, tags text[], min_level @extschema@.level,
    out passes tsquery, out documents double precision
)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    required constant text[] := array_remove(@extschema@.filter_lexemes(namespace, kind, tags, null), null);
    levels constant text[] := array(
        select '/level/' || l from unnest(enum_range(min_level, null)) as l where min_level is not null
    );
    everything double precision;
    share double precision;
begin
    select max(f.documents) into everything from @extschema@.lexeme_frequencies(array['']) as f;
    documents := everything;
    for share in select f.documents / greatest(everything, 1) from @extschema@.lexeme_frequencies(required) as f loop
        documents := documents * least(share, 1);
    end loop;
    select string_agg(@extschema@.lexeme_query(l)::text, ' & ')::tsquery into passes from unnest(required) as l;
    if cardinality(levels) > 0 then
        select plan_filter.documents * least(sum(f.documents) / greatest(everything, 1), 1) into documents
        from @extschema@.lexeme_frequencies(levels) as f;
        select coalesce(passes && r.any_level, r.any_level) into passes
        from (select string_agg(@extschema@.lexeme_query(l)::text, ' | ')::tsquery as any_level from unnest(levels) as l) as r;
    end if;
end
$$;

comment on function @extschema@.plan_filter(text, text, text[], @extschema@.level)
is 'Query for the documents that pass a filter (null when all do) and about how many they are.';

create or replace function @extschema@.similar_lexemes(configuration regconfig, query text)
returns table (lexeme text, similar_lexeme text, similarity double precision)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    words constant text[] := array(select distinct w from regexp_split_to_table(lower(query), '\s+') as w where w <> '');
begin
    -- one word is a name, and a text that was pasted in says the same in other words itself
    if cardinality(words) not between 2 and 32 then
        return;
    end if;
    return query
    select l.lexeme, l.similar_lexeme, max(l.similarity)
    from (
        select
            (tsvector_to_array(to_tsvector(configuration, s.word)))[1] as lexeme,
            (tsvector_to_array(to_tsvector(configuration, s.similar_word)))[1] as similar_lexeme,
            s.similarity
        from @extschema@.similar_words(words) as s
    ) as l
    where l.lexeme <> l.similar_lexeme
    group by l.lexeme, l.similar_lexeme;
end
$$;

comment on function @extschema@.similar_lexemes(regconfig, text)
is 'Lexemes of words that mean nearly the same as a word of a query of 2 to 32 words, with their cosine.';

create or replace function @extschema@.query_weights(
    configuration regconfig, query text, lexemes text[], frequencies double precision[], documents double precision
) returns sparsevec
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return (
        with term as (
            select
                t.lexeme,
                case when t.lexeme like '=%' then 0.3 else 1 end
                    * ln(1 + (greatest(documents, t.frequency) - t.frequency + 0.5) / (t.frequency + 0.5)) as weight
            from unnest(lexemes, frequencies) as t (lexeme, frequency)
        ), similar_term as (
            select s.similar_lexeme as lexeme, max(0.7 * s.similarity * t.weight) as weight
            from @extschema@.similar_lexemes(configuration, query) as s
            join term t on t.lexeme = s.lexeme
            where s.similar_lexeme <> all (lexemes)
            group by s.similar_lexeme
        ), entry as (
            select @extschema@.lexeme_bucket(a.lexeme) as bucket, max(a.weight) as weight
            from (select * from term union all select * from similar_term) as a
            group by 1
        )
        select @extschema@.to_weights(
            string_agg(e.bucket || ':' || (e.weight / (select sum(t.weight) from term t))::real, ',')
        ) from entry e
    );
end
$$;

comment on function @extschema@.query_weights(regconfig, text, text[], double precision[], double precision)
is 'Weight of each lexeme of a query, in sum 1: its inverse document frequency ln(1 + (n - f + 0.5) / (f + 0.5)), and three '
'tenths of it for whole identifiers, since their parts count as well. Beside them the lexemes of similar words, with 0.7 '
'times their cosine of the weight. Source: see weights_of().';

create or replace function @extschema@.plan_query(
    query text, passes tsquery, passing double precision, bound double precision,
    out wanted tsquery, out weights sparsevec, out unknown text
)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    -- rarest first; of a text that was pasted in as a query the rarest are enough
    lexemes text[];
    frequencies double precision[];
    everything double precision;
    configuration constant regconfig := @extschema@.search_configuration();
    plain constant text := @extschema@.plain_words(query);
    room double precision;
    part tsquery;
    expected double precision;
    last integer;
begin
    select
        array_agg(f.lexeme order by f.documents, f.lexeme) filter (where f.lexeme <> ''),
        array_agg(f.documents order by f.documents, f.lexeme) filter (where f.lexeme <> ''),
        max(f.documents) filter (where f.lexeme = '')
    into lexemes, frequencies, everything
    from @extschema@.lexeme_frequencies(
        array_append(tsvector_to_array(@extschema@.words_of(configuration, query)), '')
    ) as f;
    lexemes := lexemes[:256];
    weights := @extschema@.query_weights(configuration, plain, lexemes, frequencies[:256], everything);
    select t.lexeme into unknown
    from unnest(lexemes, frequencies) as t (lexeme, frequency)
    where t.frequency = 0 and t.lexeme not like '=%'
    order by length(t.lexeme) desc, t.lexeme limit 1;
    if passes is not null and passing <= bound then
        wanted := passes;
        return;
    end if;
    room := bound * everything / greatest(passing, 1);
    for i in 1 .. coalesce(cardinality(lexemes), 0) loop
        -- a common lexeme only together with the next ones, as many as make it rare enough
        part := @extschema@.lexeme_query(lexemes[i]);
        expected := frequencies[i];
        last := i;
        while expected > room and last < cardinality(lexemes) loop
            last := last + 1;
            part := part && @extschema@.lexeme_query(lexemes[last]);
            expected := expected * frequencies[last] / greatest(everything, 1);
        end loop;
        exit when expected > room and wanted is not null;
        wanted := coalesce(wanted || part, part);
        room := room - expected;
    end loop;
    wanted := coalesce(passes && wanted, wanted);
end
$$;

comment on function @extschema@.plan_query(text, tsquery, double precision, double precision)
is 'What to look for with the words of a query: the documents whose words are scored (about as many as bound), the weights '
'of the lexemes, and the longest one that no document has.';

create or replace function @extschema@.near_documents_in_tail(
    embedding vector, contract text, passes tsquery, max_documents integer
) returns bigint[]
language sql stable
begin atomic
    select array(
        select v.document_id
        from @extschema@.document_vector as v
        where
            v.contract = near_documents_in_tail.contract and not v.indexed
            and (
                passes is null
                or (select d.words @@ passes from @extschema@.document as d where d.document_id = v.document_id)
            )
        order by v.embedding <=> near_documents_in_tail.embedding
        limit max_documents
    );
end;

comment on function @extschema@.near_documents_in_tail(vector, text, tsquery, integer)
is 'Documents that pass a filter, by the distance of those of their vectors that are not in the index yet.';

create or replace function @extschema@.nearest_documents(embedding vector) returns setof bigint
language sql stable
begin atomic
    select v.document_id
    from @extschema@.document_vector as v
    where v.contract = 'wordllama-l2-supercat-256/1' and v.indexed
    order by v.embedding::vector(256) <=> nearest_documents.embedding;
end;

comment on function @extschema@.nearest_documents(vector)
is 'Documents by the distance of their vectors of shipped_contract(), from the index: for plans that are kept.';

create or replace function @extschema@.near_documents(
    embedding vector, contract text, passes tsquery, few boolean, max_documents integer
) returns bigint[]
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
set "hnsw.ef_search" = 64
set "hnsw.iterative_scan" = 'relaxed_order'
as $$
declare
    vectors text := (select e.extnamespace::regnamespace::text from pg_extension e where e.extname = 'vector');
    result bigint[];
begin
    if few then
        execute format(
            'select array(
                select d.document_id
                from (
                    select d.document_id from @extschema@.document d where $2 is null or d.words @@ $2 limit 20000
                ) as d
                join @extschema@.document_vector v on v.document_id = d.document_id and v.contract = %2$L
                order by v.embedding operator(%1$s.<=>) $1
                limit $3
            )', vectors, contract
        ) into result using embedding, passes, max_documents;
        return result;
    end if;
    -- the planner takes the index of a contract only where the contract is a literal, and reads on in the index for as
    -- long as what it gives does not pass
    if passes is null and contract = @extschema@.shipped_contract() then
        result := array(select n from @extschema@.nearest_documents(embedding) as n limit max_documents);
    else
        execute format(
            'select array(
                select n.document_id from (
                    select v.document_id from @extschema@.document_vector v
                    where v.contract = %2$L and v.indexed
                    order by v.embedding::%1$s.vector(%3$s) operator(%1$s.<=>) $1
                ) as n
                where $2 is null or (select d.words @@ $2 from @extschema@.document d where d.document_id = n.document_id)
                limit $3
            )', vectors, contract, @extschema@.vector_size(embedding)
        ) into result using embedding, passes, max_documents;
    end if;
    return result || @extschema@.near_documents_in_tail(embedding, contract, passes, max_documents);
end
$$;

comment on function @extschema@.near_documents(vector, text, tsquery, boolean, integer)
is 'Documents that pass a filter and whose vectors of a contract are near one: from the index and from the vectors that are '
'not in it yet, or, where few pass, from all that do.';

create or replace function @extschema@.vector_of(artifact_id uuid) returns vector
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return (
        select v.embedding
        from @extschema@.document d
        join @extschema@.document_vector v using (document_id)
        where d.artifact_id = vector_of.artifact_id and v.contract = @extschema@.current_contract()
        order by d.document_id desc limit 1
    );
end
$$;

comment on function @extschema@.vector_of(uuid) is 'The vector of an artifact under current_contract(); null without one.';

create or replace function @extschema@.documents_with(
    wanted tsquery, weights sparsevec, max_scored integer, max_documents integer
) returns bigint[]
language sql stable
begin atomic
    select array_agg(b.document_id)
    from (
        select s.document_id
        from (
            select d.document_id, inner_product(d.weights, documents_with.weights) as score
            from @extschema@.document as d
            where d.words @@ wanted
            limit max_scored -- noqa: AM09
        ) as s
        order by s.score desc, s.document_id desc
        limit max_documents
    ) as b;
end;

comment on function @extschema@.documents_with(tsquery, sparsevec, integer, integer)
is 'Of the documents that fit a query for lexemes those with the greatest BM25 scores.';

create or replace function @extschema@.score_documents(
    document_ids bigint[], weights sparsevec, embedding vector, contract text
) returns table (document_id bigint, artifact_id uuid, name text, words double precision, similarity double precision)
language sql stable rows 500
begin atomic
    select
        d.document_id,
        d.artifact_id,
        d.name,
        least(coalesce(inner_product(d.weights, score_documents.weights), 0), 1),
        1 - (v.embedding <=> score_documents.embedding)
    from (select distinct i.document_id from unnest(document_ids) as i (document_id)) as i
    inner join @extschema@.document as d on i.document_id = d.document_id
    left join @extschema@.document_vector as v
        on i.document_id = v.document_id and v.contract = score_documents.contract;
end;

comment on function @extschema@.score_documents(bigint[], sparsevec, vector, text)
is 'BM25 score of the words and cosine of documents.';

create or replace function @extschema@.search_documents(
    query text, namespace text, kind text, tags text[], min_level @extschema@.level,
    embedding vector, contract text, max_results integer
) returns setof @extschema@.hit
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
set jit = off
set plan_cache_mode = force_generic_plan
set "pg_trgm.word_similarity_threshold" = 0.5
as $$
#variable_conflict use_variable
declare
    asked constant text := regexp_replace(query, '^\s+|\s+$', '', 'g');
    one_word constant boolean := asked !~ '\s';
    name constant text := left(asked, 200);
    bound constant integer := @extschema@.get_setting('search_candidates')::integer;
    filter record := @extschema@.plan_filter(namespace, kind, tags, min_level);
    words record := @extschema@.plan_query(asked, filter.passes, filter.documents, bound);
    few constant boolean := filter.passes is not null and filter.documents <= bound;
    candidates bigint[];
    named bigint[] := '{}'::bigint[];
begin
    if embedding is null then
        embedding := @extschema@.embed(@extschema@.plain_words(asked));
        contract := @extschema@.current_contract();
    else
        embedding := @extschema@.unit_vector(embedding);
    end if;
    -- where few pass all are scored, also when they have become more since the lexemes were counted
    candidates := @extschema@.documents_with(
        words.wanted, words.weights, case when few then 10 * bound else bound end, greatest(100, max_results)
    );
    if embedding is not null then
        candidates := candidates || @extschema@.near_documents(
            -- an index of vectors does not reach everything: what lies apart from many that are alike
            embedding, contract, filter.passes, filter.documents <= 5 * bound, greatest(50, max_results)
        );
    end if;
    -- a typing error or half a word
    if one_word and words.unknown is not null then
        named := @extschema@.documents_named(name, words.unknown, filter.passes, 1000, 100);
    end if;
    return query
    with scored as materialized (
        select s.*, row_number() over (
            order by @extschema@.relevance(s.words, 0, s.similarity, one_word) desc, s.document_id desc
        ) as place
        from @extschema@.score_documents(candidates || named, words.weights, embedding, contract) as s
    ), matched as materialized (
        -- to compare names takes longest: those that can make no difference are not
        select s.*, @extschema@.match_name(s.name, name) as name_match
        from scored as s
        where (s.place <= max_results + 20 or s.document_id = any (named)) and not exists (
            select from @extschema@.document as newer
            where newer.artifact_id = s.artifact_id and newer.document_id > s.document_id
        )
    )
    select
        m.artifact_id, @extschema@.relevance(m.words, m.name_match, m.similarity, one_word) as relevance, m.words,
        m.name_match, m.similarity
    from matched as m
    order by relevance desc, m.artifact_id
    limit max_results;
end
$$;

comment on function @extschema@.search_documents(
    text, text, text, text[], @extschema@.level, vector, text, integer
)
is 'Artifacts by relevance to a query. Filters that are null do not filter; embedding is the vector of the query under a '
'contract, by default that of embed().';

create or replace procedure @extschema@.maintain_search()
language plpgsql
as $$
declare
    committed boolean;
begin
    while @extschema@.fold_lexemes(1000) > 0 loop
        call @extschema@.try_commit(committed);
    end loop;
    while @extschema@.index_vectors(100) > 0 loop
        call @extschema@.try_commit(committed);
    end loop;
end
$$;

comment on procedure @extschema@.maintain_search()
is 'Counts lexemes and puts vectors into their index until nothing is left to do, in batches that commit.';

create or replace function @extschema@.ensure_indexes() returns integer
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '200ms'
as $$
#variable_conflict use_column
declare
    vectors text := (select e.extnamespace::regnamespace::text from pg_extension e where e.extname = 'vector');
    kept record;
    created integer := 0;
begin
    for kept in
        select n.name, n.dimensions, n.index_name
        from (
            select
                c.name, c.dimensions,
                case when c.name = @extschema@.shipped_contract() then 'document_vector_near'
                    else 'document_vector_near_' || left(md5(c.name), 12) end as index_name
            from (
                select * from @extschema@.embedding_contract
                union
                select * from @extschema@.contract_of(@extschema@.current_contract())
            ) as c
        ) as n
        where not exists (
            select from pg_class c
            where c.relname = n.index_name and c.relnamespace = '@extschema@'::regnamespace
        )
    loop
        update @extschema@.document_vector v set indexed = true where v.contract = kept.name and not v.indexed;
        execute format(
            'create index %1$I on @extschema@.document_vector
            using hnsw ((embedding::%2$s.vector(%3$s)) %2$s.vector_cosine_ops) where contract = %4$L and indexed',
            kept.index_name, vectors, kept.dimensions, kept.name
        );
        created := created + 1;
    end loop;
    return created;
end
$$;

comment on function @extschema@.ensure_indexes()
is 'Makes the vector index of each contract that has none, with all its vectors, and returns how many it made; writers wait '
'meanwhile. A restored database needs it for contracts of its users (the bridge and reembed() call it too), and it is the '
'fast way after a very large load: drop index document_vector_near before, ensure_indexes() after it. Error: 55P03 when '
'another session writes just then.';

create or replace function @extschema@.restore_indexes() returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform @extschema@.ensure_indexes();
exception when lock_not_available then
    raise warning 'the vector indexes are not all there: call @extschema@.ensure_indexes() when nobody writes';
end
$$;

comment on function @extschema@.restore_indexes() is 'ensure_indexes() for a bridge that takes over: a warning where it would wait.';

create or replace function @extschema@.outdated_documents(after bigint, max_documents integer)
returns table (document_id bigint, artifact_id uuid)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return query
    select d.document_id, d.artifact_id
    from @extschema@.document d
    where d.document_id > outdated_documents.after and (
        d.configuration <> @extschema@.search_configuration() or not exists (
            select from @extschema@.document_vector v
            where v.document_id = d.document_id and v.contract = @extschema@.current_contract()
        )
    )
    order by d.document_id limit max_documents;
end
$$;

comment on function @extschema@.outdated_documents(bigint, integer)
is 'Documents with a greater number that have no vector of the current contract or words of another configuration.';

create or replace procedure @extschema@.reembed()
language plpgsql
as $$
declare
    committed boolean;
    total bigint;
    done bigint := 0;
    batch uuid[];
    after bigint := 0;
    told_at timestamptz := pg_catalog.clock_timestamp();
begin
    call @extschema@.try_commit(committed);
    if not committed then
        raise exception using errcode = 'active_sql_transaction',
            message = 'reembed commits after every batch, which it cannot inside a transaction block',
            hint = 'Use autocommit, or COMMIT before the CALL.';
    end if;
    if not @extschema@.load_model() then
        raise exception using errcode = 'object_not_in_prerequisite_state',
            message = 'the embedding model cannot be loaded', hint = 'Run make install of Singularity on the database server.';
    end if;
    perform @extschema@.ensure_indexes();
    select pg_catalog.count(*) into total from @extschema@.outdated_documents(0, null);
    loop
        select pg_catalog.array_agg(o.artifact_id), pg_catalog.max(o.document_id) into batch, after
        from @extschema@.outdated_documents(after, 200) as o;
        exit when batch is null;
        perform @extschema@.index_artifacts(batch, true);
        commit;
        done := done + pg_catalog.cardinality(batch);
        if pg_catalog.clock_timestamp() > told_at + interval '2 seconds' then
            told_at := pg_catalog.clock_timestamp();
            raise notice '% of % documents', done, total;
        end if;
    end loop;
    call @extschema@.maintain_search();
    raise notice '% documents made again', done;
end
$$;

comment on procedure @extschema@.reembed()
is 'Makes the documents anew that have no vector of the current contract (the model was not there, or is another one since an '
'upgrade) or words of another search_configuration. It commits after each 200, says how far it is, can be broken off and '
'called again, and readers and writers go on meanwhile. Errors: 25001 inside a transaction block, 55000 without the model.';

-- -------------------- sql/centralcloud/configuration/functions.sql

create or replace function centralcloud.setting_definitions()
returns table (name text, type text, default_value text, allowed text, description text)
language sql immutable parallel safe
begin atomic
    select *
    from (
        values
        ('subject_prefix', 'text', 'singularity', '^[a-z0-9_-]+$', 'First token of every NATS subject and name.'),
        (
            'stream_max_bytes', 'bigint', '1073741824', '^[1-9][0-9]*$',
            'Limit of the contribution stream in bytes; a full stream reads as being offline.'
        ),
        (
            'group_cap', 'double precision', '20', null,
            'Outcomes of one group that count for a variant, so that none outvotes the others.'
        ),
        (
            'environment_weights', 'jsonb', '{"prod": 1, "dev": 1, "ci": 0.5, "test": 0.5}', null,
            'Weight of an outcome by the environment of its instance.'
        ),
        ('half_life', 'interval', '180 days', null, 'After how long without use an outcome counts half.'),
        (
            'level_thresholds', 'jsonb',
            '{"very_high": {"confidence": 0.9, "groups": 5}, "high": {"confidence": 0.8, "groups": 3}, '
            '"medium": {"confidence": 0.7, "groups": 2}}', null,
            'Confidence and number of independent groups that each level needs.'
        ),
        (
            'scored_as_of', 'timestamp with time zone', null, null,
            'The day for which scores are computed; moved on once a day by the bridge, or by rescore().'
        ),
        (
            'search_configuration', 'regconfig', 'english', null,
            'Text search configuration of the words; CALL reembed() after a change.'
        ),
        (
            'search_candidates', 'integer', '1000', '^[1-9][0-9]{2,6}$',
            'About how many documents with words of a query are scored; more costs time.'
        ),
        (
            'answer_relevance', 'double precision', '0.3', null,
            'Relevance, 0 to 1, from which a row belongs into an answer.'
        ),
        ('answer_rows', 'integer', '10', '^[1-9][0-9]{0,2}$', 'Greatest number of artifacts in an answer.')
    ) as d (name, type, default_value, allowed, description);
end;

comment on function centralcloud.setting_definitions()
is 'The settings that there are, with type, default, the pattern that a value must match and meaning.';

create or replace function centralcloud.check_scoring() returns void
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    checked text;
    fits boolean;
begin
    -- a setting that cannot be computed with would stop every contribution
    foreach checked in array array['group_cap', 'half_life', 'scored_as_of', 'environment_weights', 'level_thresholds'] loop
        begin
            fits := centralcloud.fits_scoring(checked, centralcloud.get_setting(checked));
        exception when data_exception then
            fits := false;
        end;
        if not fits then
            raise exception using errcode = 'invalid_parameter_value',
                message = format('%L does not fit the setting %s', centralcloud.get_setting(checked), checked),
                hint = 'See its default and description in centralcloud.configuration.';
        end if;
    end loop;
end
$$;

comment on function centralcloud.check_scoring() is 'Raises 22023 when scores cannot be computed with the settings.';

create or replace function centralcloud.fits_scoring(name text, value text) returns boolean
language sql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
    select case name
        when 'group_cap' then value::double precision > 0 and value::double precision <= 1e9
        when 'half_life' then value::interval >= interval '1 second'
        when 'scored_as_of' then coalesce(isfinite(value::timestamptz), true)
        when 'environment_weights' then (
            select coalesce(bool_and(coalesce(w.value::double precision between 0 and 1000, false)), true)
            from jsonb_each_text(value::jsonb) as w
        )
        when 'level_thresholds' then (
            select coalesce(bool_and(
                t.key::centralcloud.level between 'low' and 'very_high'
                and coalesce((t.value ->> 'groups')::bigint >= 1, false)
                and coalesce((t.value ->> 'confidence')::double precision between 0 and 1, false)
            ), true)
            from jsonb_each(value::jsonb) as t
        )
    end
$$;

comment on function centralcloud.fits_scoring(text, text)
is 'Whether scores can be computed with a setting; raises an error of class 22 for one that cannot even be read.';

create or replace function centralcloud.configure(settings jsonb) returns void
language sql security definer
set search_path = pg_catalog, pg_temp
as $$
    select centralcloud.change_settings(configure.settings);
    select centralcloud.check_scoring();
$$;

comment on function centralcloud.configure(jsonb)
is 'Changes settings from a JSON object of names and values; null puts one back to its default. See the view '
'centralcloud.configuration. Errors: 22023 for an unknown setting or a value that does not fit.';

-- -------------------- sql/shared/configuration/functions.sql

create or replace function @extschema@.get_setting(name text) returns text
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    result text;
begin
    select s.value into result from @extschema@.setting s where s.name = get_setting.name;
    if not found then
        select d.default_value into result from @extschema@.setting_definitions() d where d.name = get_setting.name;
    end if;
    return result;
end
$$;

comment on function @extschema@.get_setting(text)
is 'Value of a setting as text, or its default when it was not changed; null for a name that is no setting.';

create or replace function @extschema@.change_settings(settings jsonb) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    changed record;
    definition record;
begin
    if jsonb_typeof(settings) <> 'object' then
        raise exception using errcode = 'invalid_parameter_value',
            message = format('settings must be a JSON object, not %s', jsonb_typeof(settings)),
            hint = 'Write for example {"answer_ttl": "2 hours"}.';
    end if;
    for changed in select e.key, e.value from jsonb_each_text(settings) e loop
        select d.* into definition from @extschema@.setting_definitions() d where d.name = changed.key;
        if not found then
            raise exception using errcode = 'invalid_parameter_value',
                message = format('there is no setting %L', changed.key),
                hint = format('Settings are: %s.',
                    (select string_agg(d.name, ', ' order by d.name) from @extschema@.setting_definitions() d));
        end if;
        if changed.value is null then
            delete from @extschema@.setting s where s.name = changed.key;
            continue;
        end if;
        perform @extschema@.check_setting(changed.key, changed.value, definition.type, definition.allowed);
        insert into @extschema@.setting as s (name, value) values (changed.key, changed.value)
        on conflict (name) do update set value = excluded.value, changed_at = now()
        where s.value <> excluded.value;
    end loop;
end
$$;

comment on function @extschema@.change_settings(jsonb)
is 'Changes settings from a JSON object of names and values; null puts a setting back to its default. '
'Errors: 22023 for an unknown name or a value that does not fit.';

create or replace function @extschema@.check_setting(name text, value text, type text, allowed text) returns void
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    fits boolean;
begin
    begin
        execute format('select (%L::%s)::text is not null', value, type) into fits;
    exception when data_exception or undefined_object then
        fits := false;
    end;
    if fits and type = 'interval' then
        fits := value::interval >= interval '0';
    end if;
    if fits and allowed is not null then
        fits := value ~ allowed;
    end if;
    if not fits then
        raise exception using errcode = 'invalid_parameter_value',
            message = format('%L does not fit the setting %s', value, name),
            hint = format('It is of type %s%s.', type, case
                when allowed is not null then ' and must match ' || allowed
                when type = 'interval' then ' and not negative'
            end);
    end if;
end
$$;

comment on function @extschema@.check_setting(text, text, text, text)
is 'Raises 22023 when a value cannot be cast to the type of its setting, is a negative interval or does not match its '
'pattern.';

create or replace view @extschema@.configuration as
select
    d.name,
    coalesce(s.value, d.default_value) as value,
    d.default_value,
    d.type,
    d.description,
    s.changed_at
from @extschema@.setting_definitions() as d
left join @extschema@.setting as s on d.name = s.name;

comment on view @extschema@.configuration is 'Every setting with its present value, default, type and meaning.';
comment on column @extschema@.configuration.name is 'Name of the setting.';
comment on column @extschema@.configuration.value is 'The value in force.';
comment on column @extschema@.configuration.default_value is 'The value in force when it is not changed.';
comment on column @extschema@.configuration.type is 'The SQL type that the value is cast to.';
comment on column @extschema@.configuration.description is 'What the setting does, with its unit.';
comment on column @extschema@.configuration.changed_at is 'When it was changed; null when it is the default.';

-- -------------------- sql/shared/messaging/functions.sql

-- The half of the bridge's contract that is the same on both sides. What differs is in the functions that these call:
-- bridge_plan, lanes_with_work, apply_messages, answer_poison and background.

create or replace function @extschema@.bridge_lock_key() returns bigint
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$ select ('x' || left(md5('centralcloud bridge'), 16))::bit(64)::bigint $$;

comment on function @extschema@.bridge_lock_key() is 'Key of the advisory lock that the one speaking bridge holds.';

create or replace function @extschema@.bridge_attach(bridge_version text, protocol integer) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set jit = off
as $$
#variable_conflict use_column
declare
    holder integer;
begin
    if bridge_attach.protocol is distinct from 1 then
        raise exception using errcode = 'SGV01',
            message = format('bridge %s speaks protocol %s, extension centralcloud 0.1.0 speaks protocol 1',
                bridge_attach.bridge_version, bridge_attach.protocol),
            hint = 'Install the bridge and the extension of one version, then ALTER EXTENSION centralcloud UPDATE.';
    end if;
    if not pg_try_advisory_lock(@extschema@.bridge_lock_key()) then
        select l.pid into holder from pg_locks l
        where l.locktype = 'advisory' and l.granted and l.objsubid = 1
            and l.database = (select d.oid from pg_database d where d.datname = current_database())
            and (l.classid::bigint << 32 | l.objid::bigint) = @extschema@.bridge_lock_key();
        return jsonb_build_object('attached', false, 'holder', holder);
    end if;
    insert into @extschema@.doorbell (armed) values (false) on conflict do nothing;
    insert into @extschema@.bridge_state as b (bridge_version, seen_at)
    values (bridge_attach.bridge_version, now())
    on conflict (only_row) do update set
        bridge_version = excluded.bridge_version, seen_at = excluded.seen_at,
        connected = false, connected_at = null, error = null;
    perform @extschema@.bridge_attached();
    return jsonb_build_object('attached', true, 'plan', @extschema@.bridge_plan());
end
$$;

comment on function @extschema@.bridge_attach(text, integer)
is 'Makes the calling session the one bridge of this database and returns {attached, plan}, or {attached: false, holder} '
'when another session is. Raises SGV01 for a bridge of another protocol.';

create or replace function @extschema@.bridge_detach() returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    update @extschema@.bridge_state set seen_at = null, connected = false, connected_at = null, error = null;
    perform pg_advisory_unlock(@extschema@.bridge_lock_key());
end
$$;

comment on function @extschema@.bridge_detach() is 'A clean stop: notes that the bridge is gone and gives its lock back.';

create or replace function @extschema@.bridge_arm() returns text[]
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    lanes text[] := @extschema@.lanes_with_work();
begin
    if cardinality(lanes) = 0 then
        update @extschema@.doorbell set armed = true
        where only_row in (select d.only_row from @extschema@.doorbell d where not d.armed for update skip locked);
    end if;
    return lanes;
end
$$;

comment on function @extschema@.bridge_arm() is 'Names of the lanes that have something to send; arms the doorbell when there is none.';

create or replace function @extschema@.ring_doorbell() returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    asleep boolean;
begin
    -- above READ COMMITTED the locking clause would raise 40001 where another writer was first
    if current_setting('transaction_isolation') <> 'read committed' then
        asleep := exists (select from @extschema@.doorbell d where d.armed);
    else
        perform from @extschema@.doorbell d where d.armed for update skip locked;
        asleep := found;
        if asleep then
            update @extschema@.doorbell set armed = false;
        end if;
    end if;
    if asleep then
        perform pg_notify('centralcloud_bell', '');
    end if;
end
$$;

comment on function @extschema@.ring_doorbell() is 'Wakes the bridge when it sleeps, without ever waiting for another writer.';

create or replace function @extschema@.bridge_tick(state jsonb) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set jit = off
as $$
begin
    update @extschema@.bridge_state set
        seen_at = clock_timestamp(),
        bridge_version = state ->> 'bridge_version',
        connected_at = case
            when not (state ->> 'connected')::boolean then null
            when connected then connected_at
            else clock_timestamp()
        end,
        connected = (state ->> 'connected')::boolean,
        error = state ->> 'error',
        max_payload = coalesce((state ->> 'max_payload')::integer, max_payload),
        streams = coalesce(state -> 'streams', '{}'),
        consumers = coalesce(state -> 'consumers', '{}');
    perform @extschema@.background();
    return jsonb_build_object('plan_revision', @extschema@.bridge_plan() ->> 'revision');
end
$$;

comment on function @extschema@.bridge_tick(jsonb)
is 'Takes the bridge''s report, does the background work that is due and returns {plan_revision}.';

create or replace function @extschema@.with_revision(plan jsonb) returns jsonb
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$ select plan || jsonb_build_object('revision', md5(plan::text)) $$;

comment on function @extschema@.with_revision(jsonb) is 'A plan with a revision that changes when the plan does.';

create or replace function @extschema@.message_limit() returns integer
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$ select coalesce((select b.max_payload from @extschema@.bridge_state as b), 1048576) / 2 $$;

comment on function @extschema@.message_limit() is 'Size at which batches and pages are cut, in bytes: half of the broker''s payload limit.';

create or replace function @extschema@.encode_message(body jsonb) returns bytea
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$ select convert_to((body || '{"v": 1}'::jsonb)::text, 'UTF8') $$;

comment on function @extschema@.encode_message(jsonb) is 'The bytes of a message, with the schema version in it.';

create or replace function @extschema@.decode_message(payload bytea) returns jsonb
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    body jsonb := convert_from(payload, 'UTF8')::jsonb;
begin
    if jsonb_typeof(body) <> 'object' or jsonb_typeof(body -> 'type') is distinct from 'string' then
        raise exception using errcode = 'invalid_parameter_value', message = 'message is not a JSON object with a type';
    end if;
    if body -> 'v' is distinct from '1'::jsonb then
        raise exception using errcode = 'feature_not_supported',
            message = format('message of schema version %s, this side knows version 1', coalesce(body ->> 'v', 'none')),
            hint = 'Upgrade this side, then call replay_dead_letters().';
    end if;
    return body;
end
$$;

comment on function @extschema@.decode_message(bytea)
is 'The JSON object of a message; raises an error for bytes that are not one or are of an unknown schema version.';

create or replace function @extschema@.is_transient(error_code text) returns boolean
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$ select left(error_code, 2) in ('40', '53', '55', '57', '58') or error_code = '25006' $$;

comment on function @extschema@.is_transient(text)
is 'Whether an error (SQLSTATE) is the server''s trouble of the moment, so that trying again is right, not the message''s.';

create or replace function @extschema@.bridge_receive(subjects text[], payloads bytea[], meta jsonb[])
returns table (message integer, subject text, headers jsonb, payload bytea)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set jit = off
as $$
begin
    begin
        return query
        select a.subject_number, a.subject, a.headers, a.payload
        from @extschema@.apply_messages(
            subjects,
            (select array_agg(@extschema@.decode_message(p.payload) order by p.n)
                from unnest(payloads) with ordinality as p (payload, n)),
            meta
        ) as a;
        return;
    exception when others then
        if @extschema@.is_transient(sqlstate) then
            raise;
        end if;
    end;
    -- one of them is poison: each is tried alone
    for i in 1 .. cardinality(subjects) loop
        return query
        select i - 1, a.subject, a.headers, a.payload
        from @extschema@.receive_alone(subjects[i], payloads[i], meta[i]) as a;
    end loop;
end
$$;

comment on function @extschema@.bridge_receive(text[], bytea[], jsonb[])
is 'Applies messages in one transaction and returns the messages to publish after its commit. A message that cannot be '
'applied becomes a dead letter and stops no other; an error of the server is raised, to be tried again.';

create or replace function @extschema@.receive_alone(from_subject text, from_payload bytea, meta jsonb)
returns table (subject text, headers jsonb, payload bytea)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    failure text;
begin
    begin
        return query
        select a.subject, a.headers, a.payload
        from @extschema@.apply_messages(
            array[from_subject], array[@extschema@.decode_message(from_payload)], array[receive_alone.meta]
        ) as a;
        return;
    exception when others then
        if @extschema@.is_transient(sqlstate) then
            raise;
        end if;
        failure := sqlerrm;
        insert into @extschema@.dead_letter as d (subject, payload, meta, error_code, error)
        values (from_subject, from_payload, coalesce(receive_alone.meta, '{}'), sqlstate, sqlerrm)
        on conflict (subject, sha256(payload)) do update set
            received_at = now(), meta = excluded.meta, error_code = excluded.error_code, error = excluded.error;
    end;
    return query
    select a.subject, a.headers, a.payload
    from @extschema@.answer_poison(from_subject, from_payload, failure) as a;
end
$$;

comment on function @extschema@.receive_alone(text, bytea, jsonb)
is 'Applies one message, or keeps it as a dead letter with its error.';

create or replace function @extschema@.send_later(subject text, headers jsonb, payload bytea) returns void
language sql security definer
set search_path = pg_catalog, pg_temp
as $$
    insert into @extschema@.queued_message (subject, headers, payload)
    values (send_later.subject, send_later.headers, send_later.payload);
    select @extschema@.ring_doorbell();
$$;

comment on function @extschema@.send_later(text, jsonb, bytea) is 'Queues a core NATS message for the bridge.';

create or replace function @extschema@.take_queued_messages(max_messages integer)
returns table (message_id text, subject text, headers jsonb, payload bytea)
language sql security definer
set search_path = pg_catalog, pg_temp
as $$
    delete from @extschema@.queued_message as q
    where q.queued_message_id in (
        select n.queued_message_id from @extschema@.queued_message as n
        order by n.queued_message_id limit max_messages for update skip locked
    )
    returning 'queued:' || q.queued_message_id, q.subject, q.headers, q.payload;
$$;

comment on function @extschema@.take_queued_messages(integer)
is 'Takes the oldest queued messages out of the queue. They are sent once at most: who needs one asks again.';

create or replace function @extschema@.replay_dead_letters() returns bigint
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    letter record;
    replayed bigint := 0;
begin
    for letter in select d.* from @extschema@.dead_letter d order by d.dead_letter_id for update skip locked loop
        delete from @extschema@.dead_letter d where d.dead_letter_id = letter.dead_letter_id;
        perform @extschema@.send_later(a.subject, a.headers, a.payload)
        from @extschema@.receive_alone(letter.subject, letter.payload, letter.meta) as a;
        if not exists (
            select from @extschema@.dead_letter d
            where d.subject = letter.subject and sha256(d.payload) = sha256(letter.payload)
        ) then
            replayed := replayed + 1;
        end if;
    end loop;
    return replayed;
end
$$;

comment on function @extschema@.replay_dead_letters()
is 'Tries every dead letter again, after a mend, and returns how many could be applied; the others stay.';

-- -------------------- sql/centralcloud/instances/functions.sql

create or replace function centralcloud.register_instances(subjects text[], bodies jsonb[]) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    speakers centralcloud.instance[] := array(
        select distinct on (s.instance_id) row(
            s.instance_id, coalesce(b.body ->> 'instance_name', s.instance_id::text),
            coalesce(b.body ->> 'environment', 'dev'), s.instance_id::text, 1, false, null, null, v.greatest, now(), now(), null
        )::centralcloud.instance
        from unnest(subjects, bodies) as b (subject, body)
        cross join lateral (select centralcloud.check_speaker(b.subject, b.body)) as s (instance_id)
        cross join lateral (
            select coalesce(max((r.value ->> 'version')::bigint), 0)
            from jsonb_array_elements(b.body -> 'records') as r
        ) as v (greatest)
        order by s.instance_id, v.greatest desc
    );
    moved uuid[] := array(
        select i.instance_id from unnest(speakers) as s
        join centralcloud.instance i using (instance_id)
        where s.greatest_version > i.greatest_version and s.environment <> i.environment
    );
begin
    -- the message with the greatest version says who an instance is, in whatever order they come
    insert into centralcloud.instance as i
    select s.* from unnest(speakers) as s
    on conflict (instance_id) do update set
        instance_name = case when excluded.greatest_version > i.greatest_version
            then excluded.instance_name else i.instance_name end,
        environment = case when excluded.greatest_version > i.greatest_version
            then excluded.environment else i.environment end,
        greatest_version = greatest(i.greatest_version, excluded.greatest_version), last_heard_at = excluded.last_heard_at;
    if cardinality(moved) > 0 then
        perform centralcloud.queue_scores(moved);
    end if;
end
$$;

comment on function centralcloud.register_instances(text[], jsonb[])
is 'Notes the instances that contribute, the greatest version each has sent, and what each says of itself with it.';

create or replace function centralcloud.queue_scores(instance_ids uuid[]) returns void
language sql security definer
set search_path = pg_catalog, pg_temp
as $$
    insert into centralcloud.unscored
    select distinct e.artifact_id from centralcloud.evidence as e where e.instance_id = any (queue_scores.instance_ids)
    on conflict do nothing
$$;

comment on function centralcloud.queue_scores(uuid[])
is 'Queues everything that instances have outcomes of, since these have another weight now.';

create or replace function centralcloud.welcome(speaker uuid, request jsonb) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    known bigint;
    rescored boolean;
begin
    rescored := exists (
        select from centralcloud.instance i
        where i.instance_id = welcome.speaker and i.environment <> welcome.request ->> 'environment'
    );
    insert into centralcloud.instance as i (
        instance_id, instance_name, environment, group_name, incarnation, extension_version
    )
    values (
        welcome.speaker, welcome.request ->> 'instance_name', welcome.request ->> 'environment', welcome.speaker::text,
        (welcome.request ->> 'incarnation')::uuid, welcome.request ->> 'extension_version'
    )
    on conflict (instance_id) do update set
        instance_name = excluded.instance_name, environment = excluded.environment, incarnation = excluded.incarnation,
        extension_version = excluded.extension_version, last_heard_at = now()
    returning greatest_version into known;
    if rescored then
        perform centralcloud.queue_scores(array[welcome.speaker]);
    end if;
    return jsonb_build_object('type', 'welcome', 'known_version', known, 'heads', centralcloud.heads());
end
$$;

comment on function centralcloud.welcome(uuid, jsonb)
is 'Answers the hello of an instance: notes who it is and tells the greatest version known from it and the heads of all topics.';

-- -------------------- sql/centralcloud/evidence/functions.sql

create or replace function centralcloud.subject_instance(subject text) returns uuid
language sql immutable strict parallel safe
set search_path = pg_catalog, pg_temp
as $$ select (regexp_match(subject, '\.([0-9a-f-]{36})$'))[1]::uuid $$;

comment on function centralcloud.subject_instance(text)
is 'The instance in whose name a message came: the last token of its subject, which the broker''s permissions vouch for.';

create or replace function centralcloud.check_speaker(subject text, body jsonb) returns uuid
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    speaker uuid := centralcloud.subject_instance(subject);
begin
    if speaker is null or speaker::text is distinct from body ->> 'instance' then
        raise exception using errcode = 'insufficient_privilege',
            message = format('a message on %s speaks for instance %s', subject, coalesce(body ->> 'instance', 'none')),
            hint = 'An instance speaks only for itself.';
    end if;
    return speaker;
end
$$;

comment on function centralcloud.check_speaker(text, jsonb)
is 'The instance of a message; raises 42501 when subject and payload name different ones.';

create or replace function centralcloud.read_contributions(subjects text[], bodies jsonb[])
returns setof centralcloud.incoming
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return query
    select
        (b.n - 1)::integer, s.instance_id,
        case when j.refusal is null then centralcloud.artifact_id(r.namespace, r.kind, r.name) end,
        r.what, r.namespace, r.kind, r.name, r.version, coalesce(r.withdrawn_through, 0), r.variant, r.content,
        r.summary, coalesce(r.tags, '{}'), r.incarnation, r.uses, r.successes, r.failures, r.last_used_at,
        md5(concat_ws('|', r.variant, r.withdrawn_through, r.summary, r.tags, r.uses, r.successes, r.failures,
            extract(epoch from r.last_used_at))),
        j.refusal
    from unnest(subjects, bodies) with ordinality as b (subject, body, n)
    cross join lateral (select centralcloud.check_speaker(b.subject, b.body)) as s (instance_id)
    cross join lateral jsonb_to_recordset(b.body -> 'records') as r (
        what text, namespace text, kind text, name text, version bigint, withdrawn_through bigint, variant text,
        content jsonb, summary text, tags text[], incarnation uuid, uses bigint, successes bigint, failures bigint,
        last_used_at timestamptz
    )
    cross join lateral (
        select case
            when r.namespace is null or r.kind is null or r.name is null or r.version is null
                then 'namespace, kind, name or version is missing'
            when r.namespace !~ '^[a-z0-9_-]{1,64}$' or r.kind !~ '^[a-z0-9_-]{1,64}$'
                then 'namespace or kind is not valid'
            when octet_length(r.name) not between 1 and 512 or r.name <> normalize(r.name, nfc)
                or r.name ~ '[\u0001-\u001f\u007f-\u009f]' or r.name ~ '^\s|\s$'
                then 'name is not valid'
            when r.version not between 1 and 9000000000000000000 then 'version is out of range'
            when r.what = 'holding' then coalesce(
                centralcloud.holding_refusal(r.version, r.withdrawn_through, r.variant, r.content),
                centralcloud.label_refusal(r.summary, r.tags)
            )
            when r.what = 'evidence' then centralcloud.evidence_refusal(
                r.variant, r.incarnation, r.uses, r.successes, r.failures, r.last_used_at
            )
            else format('%L is neither holding nor evidence', r.what)
        end
    ) as j (refusal);
end
$$;

comment on function centralcloud.read_contributions(text[], jsonb[])
is 'Reads the records of contributions and judges each: a record that breaks the rules is refused with the reason.';

create or replace function centralcloud.holding_refusal(
    version bigint, withdrawn_through bigint, variant text, content jsonb
) returns text
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    return case
        when coalesce(withdrawn_through, 0) > version then 'it is withdrawn in its own future'
        when variant is null and withdrawn_through is distinct from version then 'it has no variant and is not withdrawn'
        when variant is null then null
        when content is null then 'content is missing'
        when octet_length(content::text) > centralcloud.content_limit() then 'content is over the limit'
        when variant <> centralcloud.variant_of(content) then 'variant is not the hash of the content'
    end;
end
$$;

comment on function centralcloud.holding_refusal(bigint, bigint, text, jsonb)
is 'Why the state of a holding is refused; null when it is not.';

create or replace function centralcloud.label_refusal(summary text, tags text[]) returns text
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
    -- an instance does not send such ones; they would swell a page beyond what the broker takes
    select case
        when octet_length(summary) > 4096 then 'summary is over the limit'
        when cardinality(tags) > 64
            or exists (select from unnest(tags) as t (tag) where t.tag is null or octet_length(t.tag) not between 1 and 128)
            then 'tags are not valid'
    end
$$;

comment on function centralcloud.label_refusal(text, text[])
is 'Why the summary or the labels of a holding are refused; null when they are not.';

create or replace function centralcloud.evidence_refusal(
    variant text, incarnation uuid, uses bigint, successes bigint, failures bigint, last_used_at timestamptz
) returns text
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    return case
        when variant is null or incarnation is null or last_used_at is null
            then 'variant, incarnation or last_used_at is missing'
        when variant !~ '^[0-9a-f]{64}$' then 'variant is not a sha-256 in hex'
        when not isfinite(last_used_at) then 'last_used_at is not finite'
        -- so that the sum over all instances stays a bigint
        when greatest(uses, successes, failures) > 1000000000000 then 'counters are out of range'
        when least(uses, successes, failures) < 0 or uses is distinct from successes + failures
            then 'counters do not add up'
    end;
end
$$;

comment on function centralcloud.evidence_refusal(text, uuid, bigint, bigint, bigint, timestamptz)
is 'Why the state of evidence is refused; null when it is not.';

create or replace function centralcloud.store_contributions(incoming centralcloud.incoming[]) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    insert into centralcloud.artifact (artifact_id, namespace, kind, name)
    select distinct r.artifact_id, r.namespace, r.kind, r.name from unnest(incoming) as r where r.refusal is null
    order by r.artifact_id
    on conflict do nothing;

    -- what is withdrawn stays withdrawn, even where two databases under one name disagree
    insert into centralcloud.holding as h (instance_id, artifact_id, variant, version, withdrawn_through, state_hash)
    select distinct on (r.artifact_id, r.instance_id)
        r.instance_id, r.artifact_id, r.variant, r.version,
        max(r.withdrawn_through) over (partition by r.artifact_id, r.instance_id), r.state_hash
    from unnest(incoming) as r
    where r.refusal is null and r.what = 'holding'
    order by r.artifact_id, r.instance_id, r.version desc, r.state_hash desc
    on conflict (artifact_id, instance_id) do update set
        (variant, version, state_hash) = (
            select n.variant, n.version, n.state_hash
            from (values
                (excluded.variant, excluded.version, excluded.state_hash), (h.variant, h.version, h.state_hash)
            ) as n (variant, version, state_hash)
            order by n.version desc, n.state_hash desc limit 1
        ),
        withdrawn_through = greatest(h.withdrawn_through, excluded.withdrawn_through)
    where (excluded.version, excluded.state_hash) > (h.version, h.state_hash)
        or excluded.withdrawn_through > h.withdrawn_through;

    insert into centralcloud.contribution as c (instance_id, artifact_id, variant, version, summary, tags)
    select distinct on (r.artifact_id, r.variant, r.instance_id)
        r.instance_id, r.artifact_id, r.variant, r.version, r.summary, r.tags
    from unnest(incoming) as r
    where r.refusal is null and r.what = 'holding' and r.variant is not null
    order by r.artifact_id, r.variant, r.instance_id, r.version desc, r.summary desc nulls last, r.tags desc
    on conflict (artifact_id, variant, instance_id) do update set
        version = excluded.version, summary = excluded.summary, tags = excluded.tags
    where (excluded.version, excluded.summary is not null, coalesce(excluded.summary, ''), excluded.tags)
        > (c.version, c.summary is not null, coalesce(c.summary, ''), c.tags);

    insert into centralcloud.evidence as e (
        instance_id, artifact_id, variant, incarnation, uses, successes, failures, last_used_at, version, state_hash
    )
    select distinct on (r.artifact_id, r.variant, r.instance_id, r.incarnation)
        r.instance_id, r.artifact_id, r.variant, r.incarnation, r.uses, r.successes, r.failures, r.last_used_at, r.version,
        r.state_hash
    from unnest(incoming) as r
    where r.refusal is null and r.what = 'evidence'
    order by r.artifact_id, r.variant, r.instance_id, r.incarnation, r.version desc, r.state_hash desc
    on conflict (artifact_id, variant, instance_id, incarnation) do update set
        uses = excluded.uses, successes = excluded.successes, failures = excluded.failures,
        last_used_at = excluded.last_used_at, version = excluded.version, state_hash = excluded.state_hash
    where (excluded.version, excluded.state_hash) > (e.version, e.state_hash);

    insert into centralcloud.variant as v (artifact_id, variant, content)
    select distinct on (r.artifact_id, r.variant) r.artifact_id, r.variant, r.content
    from unnest(incoming) as r
    where r.refusal is null and r.variant is not null
    order by r.artifact_id, r.variant, r.content nulls last
    on conflict (artifact_id, variant) do update set content = excluded.content
    where v.content is null and excluded.content is not null;
end
$$;

comment on function centralcloud.store_contributions(centralcloud.incoming[])
is 'Joins records into what is known: the greatest version of each key stays, so order and repetition do not matter.';

create or replace function centralcloud.verdicts(incoming centralcloud.incoming[])
returns table (
    message integer, instance_id uuid, artifact_id uuid, variant text, incarnation uuid, version bigint, verdict text,
    reason text, twin boolean
)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return query
    select
        r.message, r.instance_id, coalesce(r.artifact_id, centralcloud.artifact_id(r.namespace, r.kind, r.name)),
        case when r.what = 'evidence' then r.variant end, r.incarnation, r.version,
        case when r.refusal is not null then 'refused' when k.version > r.version then 'superseded' else 'stored' end,
        r.refusal,
        r.refusal is null and k.version = r.version and k.state_hash <> r.state_hash
    from unnest(incoming) as r
    left join lateral (
        select h.version, h.state_hash from centralcloud.holding h
        where r.what = 'holding' and h.artifact_id = r.artifact_id and h.instance_id = r.instance_id
        union all
        select e.version, e.state_hash from centralcloud.evidence e
        where r.what = 'evidence' and e.artifact_id = r.artifact_id and e.variant = r.variant
            and e.instance_id = r.instance_id and e.incarnation = r.incarnation
    ) as k on true;
end
$$;

comment on function centralcloud.verdicts(centralcloud.incoming[])
is 'What became of each record, after it was stored: stored, superseded by a greater version, or refused. A twin is another '
'state under the same version: two databases speak in one name.';

-- -------------------- sql/centralcloud/merge/functions.sql

create or replace function centralcloud.level_of(confidence double precision, groups bigint, thresholds jsonb)
returns centralcloud.level
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
    select coalesce(
        (
            select max(t.key::centralcloud.level)
            from jsonb_each(thresholds) as t
            where groups >= (t.value ->> 'groups')::bigint and confidence >= (t.value ->> 'confidence')::double precision
        ),
        case when groups > 0 then 'low' else 'candidate' end::centralcloud.level
    )
$$;

comment on function centralcloud.level_of(double precision, bigint, jsonb)
is 'Level of a variant from its confidence and the number of independent groups with outcomes: the greatest one whose '
'thresholds are met, else low; candidate without any outcome.';

create or replace function centralcloud.scores(artifact_ids uuid[])
returns table (
    artifact_id uuid, variant text, uses bigint, successes bigint, failures bigint, last_used_at timestamptz,
    groups bigint, confidence double precision
)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    group_cap double precision := centralcloud.get_setting('group_cap')::double precision;
    weights jsonb := centralcloud.get_setting('environment_weights')::jsonb;
    half_life double precision := extract(epoch from centralcloud.get_setting('half_life')::interval);
    as_of timestamptz := centralcloud.get_setting('scored_as_of')::timestamptz;
begin
    return query
    with live as (
        select
            e.*, i.group_name,
            i.trust * coalesce((weights ->> i.environment)::double precision, 1)
                -- after 100 half-lives nothing is left, and smaller numbers would underflow
                * power(0.5, least(coalesce(greatest(extract(epoch from as_of - e.last_used_at), 0), 0) / half_life, 100))
                as weight
        from centralcloud.evidence e
        join centralcloud.instance i using (instance_id)
        left join centralcloud.holding h using (artifact_id, instance_id)
        where e.artifact_id = any (artifact_ids) and not i.blocked and e.version > coalesce(h.withdrawn_through, 0)
    ), by_group as (
        select
            l.artifact_id, l.variant, l.group_name,
            sum(l.uses)::bigint as uses, sum(l.successes)::bigint as successes, sum(l.failures)::bigint as failures,
            max(l.last_used_at) as last_used_at,
            -- in the order of the key, so that the sum of floats is the same in any order of messages
            sum(l.successes * l.weight order by l.instance_id, l.incarnation) as weighted_successes,
            sum(l.failures * l.weight order by l.instance_id, l.incarnation) as weighted_failures,
            least(1, group_cap / greatest(sum(l.uses), 1)) as scale
        from live l
        group by l.artifact_id, l.variant, l.group_name
    )
    select
        g.artifact_id, g.variant, sum(g.uses)::bigint, sum(g.successes)::bigint, sum(g.failures)::bigint,
        max(g.last_used_at), count(*) filter (where g.uses > 0),
        centralcloud.wilson_lower_bound(
            sum(g.weighted_successes * g.scale order by g.group_name),
            sum(g.weighted_failures * g.scale order by g.group_name)
        )
    from by_group g
    group by g.artifact_id, g.variant;
end
$$;

comment on function centralcloud.scores(uuid[])
is 'Outcomes and confidence of each variant: the counts of a group are capped at group_cap and weighted by environment, '
'trust and, by half_life, how long before scored_as_of it was last used. What is withdrawn or of a blocked instance does '
'not count.';

create or replace function centralcloud.refresh_artifacts(artifact_ids uuid[]) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    -- one session at a time computes an artifact anew, and the later one sees what the earlier one stored
    perform from centralcloud.artifact as a
    where a.artifact_id = any (artifact_ids) order by a.artifact_id for no key update;
    perform centralcloud.refresh_variants(artifact_ids), centralcloud.choose_winners(artifact_ids);
end
$$;

comment on function centralcloud.refresh_artifacts(uuid[])
is 'Computes variants, scores and winners of artifacts anew from what instances said; what changed is to be published.';

create or replace function centralcloud.refresh_variants(artifact_ids uuid[]) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    thresholds jsonb := centralcloud.get_setting('level_thresholds')::jsonb;
begin
    with taught as (
        select
            c.artifact_id, c.variant,
            (array_agg(c.summary order by length(c.summary) desc, c.summary) filter (where c.summary is not null))[1]
                as summary,
            count(*) filter (where h.variant = c.variant) as holders
        from centralcloud.contribution c
        join centralcloud.holding h using (artifact_id, instance_id)
        join centralcloud.instance i using (instance_id)
        where c.artifact_id = any (artifact_ids) and c.version > h.withdrawn_through and not i.blocked
        group by c.artifact_id, c.variant
    ), labels as (
        select c.artifact_id, c.variant, array_agg(distinct t.tag order by t.tag) as tags
        from centralcloud.contribution c
        join centralcloud.holding h using (artifact_id, instance_id)
        join centralcloud.instance i using (instance_id)
        cross join lateral unnest(c.tags) as t (tag)
        where c.artifact_id = any (artifact_ids) and c.version > h.withdrawn_through and not i.blocked
        group by c.artifact_id, c.variant
    ), present as (
        select
            artifact_id, variant, t.variant is not null as taught, t.summary, coalesce(l.tags, '{}') as tags,
            coalesce(t.holders, 0) as holders, coalesce(s.uses, 0) as uses, coalesce(s.successes, 0) as successes,
            coalesce(s.failures, 0) as failures, s.last_used_at, coalesce(s.groups, 0) as groups,
            coalesce(s.confidence, 0) as confidence
        from taught t
        full join centralcloud.scores(artifact_ids) as s using (artifact_id, variant)
        left join labels l using (artifact_id, variant)
    ), updated as (
        update centralcloud.variant v set
            content = case when p.taught then v.content end,
            summary = p.summary, tags = p.tags, holders = p.holders, uses = p.uses, successes = p.successes,
            failures = p.failures, last_used_at = p.last_used_at, groups = p.groups, confidence = p.confidence,
            level = centralcloud.level_of(p.confidence, p.groups, thresholds)
        from present p
        where v.artifact_id = p.artifact_id and v.variant = p.variant
    )
    delete from centralcloud.variant v
    where v.artifact_id = any (artifact_ids)
        and not exists (select from present p where p.artifact_id = v.artifact_id and p.variant = v.variant);
end
$$;

comment on function centralcloud.refresh_variants(uuid[])
is 'Computes the variants of artifacts anew. A variant that no state refers to any more goes, and so does content that '
'nobody who taught it still shares.';

create or replace function centralcloud.choose_winners(artifact_ids uuid[]) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    changed uuid[];
begin
    with winner as (
        select distinct on (v.artifact_id) v.*
        from centralcloud.variant v
        where v.artifact_id = any (artifact_ids) and v.content is not null and v.level <> 'retracted'
        order by v.artifact_id, v.pinned desc, v.level desc, v.confidence desc, v.uses desc,
            v.last_used_at desc nulls last, v.holders desc, v.variant
    ), updated as (
        update centralcloud.artifact a set
            variant = w.variant, summary = w.summary, tags = coalesce(w.tags, '{}'), holders = coalesce(w.holders, 0),
            uses = coalesce(w.uses, 0), successes = coalesce(w.successes, 0), failures = coalesce(w.failures, 0),
            last_used_at = w.last_used_at, confidence = coalesce(w.confidence, 0),
            level = coalesce(w.level, 'candidate'), pinned = coalesce(w.pinned, false)
        from unnest(artifact_ids) as i (artifact_id)
        left join winner w using (artifact_id)
        where a.artifact_id = i.artifact_id
            and (a.variant, a.summary, a.tags, a.holders, a.uses, a.successes, a.last_used_at, a.confidence, a.level, a.pinned)
                is distinct from (w.variant, w.summary, coalesce(w.tags, '{}'), coalesce(w.holders, 0), coalesce(w.uses, 0),
                    coalesce(w.successes, 0), w.last_used_at, coalesce(w.confidence, 0), coalesce(w.level, 'candidate'),
                    coalesce(w.pinned, false))
        returning a.artifact_id
    )
    select array_agg(u.artifact_id) into changed from updated u;
    if changed is not null then
        insert into centralcloud.unpublished select unnest(changed) on conflict do nothing;
        perform centralcloud.index_artifacts(changed);
    end if;
end
$$;

comment on function centralcloud.choose_winners(uuid[])
is 'Makes the best variant of each artifact its winner: pinned, then level, confidence, uses, recency, the number of its '
'holders (so a changed content follows the old one that nobody holds any more), hash. What changed is indexed and waits '
'to be published.';

create or replace function centralcloud.index_artifacts(artifact_ids uuid[], again boolean default false) returns void
language sql security definer
set search_path = pg_catalog, pg_temp
as $$
    select centralcloud.index_documents(index_artifacts.artifact_ids, array(
        select row(
            a.artifact_id, a.namespace, a.kind, a.name, a.summary, a.tags, a.level, v.content, null, null
        )::centralcloud.searchable
        from centralcloud.artifact as a
        inner join centralcloud.variant as v using (artifact_id, variant)
        where a.artifact_id = any (index_artifacts.artifact_ids)
    ), index_artifacts.again)
$$;

comment on function centralcloud.index_artifacts(uuid[], boolean)
is 'Makes the documents of artifacts those of their winners; those that have not changed only if again.';

create or replace function centralcloud.rescore(as_of timestamptz default now()) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform centralcloud.change_settings(jsonb_build_object('scored_as_of', as_of));
    insert into centralcloud.unscored
    select distinct e.artifact_id from centralcloud.evidence as e
    on conflict do nothing;
end
$$;

comment on function centralcloud.rescore(timestamptz)
is 'Computes the decay of outcomes for another time: sets scored_as_of and queues every artifact with outcomes; the bridge '
'scores them in the background. It does this by itself once a day.';

create or replace function centralcloud.score_queued(max_artifacts integer) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    taken uuid[];
begin
    with deleted as (
        delete from centralcloud.unscored u where u.artifact_id in (
            select q.artifact_id from centralcloud.unscored q limit max_artifacts for update skip locked
        ) returning u.artifact_id
    )
    select array_agg(d.artifact_id) into taken from deleted d;
    if taken is not null then
        perform centralcloud.refresh_artifacts(taken);
    end if;
end
$$;

comment on function centralcloud.score_queued(integer) is 'Scores some of the artifacts that wait for it.';

-- -------------------- sql/centralcloud/publishing/functions.sql

create or replace function centralcloud.epoch() returns text
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$ select p.epoch from centralcloud.publisher as p $$;

comment on function centralcloud.epoch() is 'The present epoch: another one after each start of the bridge or the server.';

create or replace function centralcloud.refined_rows(artifact_ids uuid[])
returns table (artifact_id uuid, namespace text, kind text, revision bigint, refined jsonb, size bigint)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return query
    select a.artifact_id, a.namespace, a.kind, a.revision, r.refined, octet_length(r.refined::text)::bigint
    from centralcloud.artifact a
    left join centralcloud.variant v using (artifact_id, variant)
    cross join lateral (
        select jsonb_build_object(
            'namespace', a.namespace, 'kind', a.kind, 'name', a.name, 'revision', a.revision
        ) || case when a.variant is null then '{"removed": true}'::jsonb else jsonb_build_object(
            'variant', a.variant, 'content', v.content, 'summary', a.summary, 'tags', a.tags, 'level', a.level,
            'confidence', a.confidence, 'uses', a.uses, 'successes', a.successes, 'pinned', a.pinned
        ) end
    ) as r (refined)
    where a.artifact_id = any (artifact_ids);
end
$$;

comment on function centralcloud.refined_rows(uuid[])
is 'Artifacts as they are sent to instances, with their size in bytes; one without a winner is a removal.';

create or replace function centralcloud.publish(max_artifacts integer, max_bytes bigint)
returns table (message_id text, subject text, payload bytea)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    candidates uuid[];
    numbered uuid[];
begin
    -- what another session is changing just now is passed over and comes next time
    candidates := array(
        select a.artifact_id from centralcloud.artifact a
        where a.artifact_id in (select u.artifact_id from centralcloud.unpublished u limit max_artifacts)
        order by a.artifact_id for no key update skip locked
    );
    with sized as (
        select artifact_id, sum(octet_length(v.content::text)) over (order by artifact_id) as size
        from unnest(candidates) as c (artifact_id)
        join centralcloud.artifact a using (artifact_id)
        left join centralcloud.variant v using (artifact_id, variant)
    ), taken as (
        delete from centralcloud.unpublished u using sized s
        where u.artifact_id = s.artifact_id and (s.artifact_id = candidates[1] or coalesce(s.size, 0) <= max_bytes)
        returning u.artifact_id
    ), wanted as (
        -- what came and went unpublished is nobody's business
        select a.artifact_id, a.namespace, a.kind,
            row_number() over (partition by a.namespace, a.kind order by a.artifact_id)
                - count(*) over (partition by a.namespace, a.kind) as place
        from taken t
        join centralcloud.artifact a using (artifact_id)
        where a.variant is not null or a.revision > 0
    ), topics as (
        insert into centralcloud.topic as t (namespace, kind, head)
        select w.namespace, w.kind, count(*) from wanted w group by w.namespace, w.kind order by 1, 2
        on conflict (namespace, kind) do update set head = t.head + excluded.head
        returning t.*
    ), updated as (
        update centralcloud.artifact a
        set revision = t.head + w.place
        from wanted w join topics t using (namespace, kind)
        where a.artifact_id = w.artifact_id
        returning a.artifact_id
    )
    select array_agg(u.artifact_id) into numbered from updated u;
    return query
    select
        format('refined:%s/%s/%s', p.namespace, p.kind, max(p.revision)),
        format('%s.refined.%s.%s', centralcloud.get_setting('subject_prefix'), p.namespace, p.kind),
        centralcloud.encode_message(jsonb_build_object(
            'type', 'refined', 'epoch', centralcloud.epoch(), 'namespace', p.namespace, 'kind', p.kind,
            'from', min(p.revision) - 1, 'to', max(p.revision), 'rows', jsonb_agg(p.refined order by p.revision)
        ))
    from (
        select r.*, sum(r.size) over (partition by r.namespace, r.kind order by r.revision) - r.size as size_before
        from centralcloud.refined_rows(numbered) as r
    ) as p
    group by p.namespace, p.kind, div(p.size_before, centralcloud.message_limit() / 2);
end
$$;

comment on function centralcloud.publish(integer, bigint)
is 'Numbers changed artifacts in their topics, without holes, and returns the messages that push them: of at most so many '
'artifacts and about so many bytes of content, one artifact at least. They are sent once at most: an instance that misses '
'one sees the hole and asks for the page.';

create or replace function centralcloud.heads(topics text[] default null) returns jsonb
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select coalesce(jsonb_object_agg(t.namespace || '/' || t.kind, t.head), '{}')
    from centralcloud.topic as t
    where heads.topics is null or t.namespace || '/' || t.kind = any (heads.topics)
$$;

comment on function centralcloud.heads(text[]) is 'Heads of topics, of all or of those given as namespace/kind.';

create or replace function centralcloud.next_heartbeat() returns table (message_id text, subject text, payload bytea)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    update centralcloud.publisher set heads_sent_at = clock_timestamp()
    where heads_sent_at is null or heads_sent_at < clock_timestamp() - interval '900 milliseconds';
    if not found then
        return;
    end if;
    return query
    select
        'heads:' || h.n, centralcloud.get_setting('subject_prefix') || '.heads',
        centralcloud.encode_message(jsonb_build_object(
            'type', 'heads', 'epoch', centralcloud.epoch(), 'heads', h.heads,
            'stream_created', b.streams -> centralcloud.stream_name() ->> 'created',
            'stream_passed', b.consumers -> 'centralcloud' -> 'ack_floor'
        ))
    from centralcloud.bridge_state b
    cross join (
        -- a message holds 2,000 topics
        select t.n / 2000 as n, coalesce(jsonb_object_agg(t.topic, t.head) filter (where t.topic is not null), '{}') as heads
        from (
            select 0::bigint as n, null::text as topic, null::bigint as head
            union all
            select row_number() over () - 1, t.namespace || '/' || t.kind, t.head from centralcloud.topic t
        ) as t
        group by t.n / 2000
    ) as h;
end
$$;

comment on function centralcloud.next_heartbeat()
is 'The heartbeat, when one is due (each second): epoch, heads of all topics, and how far the contribution stream is applied.';

create or replace function centralcloud.changes(request jsonb) returns jsonb
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    wanted_namespace text := request ->> 'namespace';
    wanted_kind text := request ->> 'kind';
    after bigint := (request ->> 'after')::bigint;
    topic_head bigint := coalesce((
        select t.head from centralcloud.topic t where t.namespace = wanted_namespace and t.kind = wanted_kind
    ), 0);
    page jsonb;
    reached bigint;
    complete boolean;
begin
    with candidate as (
        select a.artifact_id, a.revision from centralcloud.artifact a
        where a.namespace = wanted_namespace and a.kind = wanted_kind and a.revision > after
        order by a.revision limit 500
    ), sized as (
        select r.revision, r.refined, sum(r.size) over (order by r.revision) - r.size as size_before
        from centralcloud.refined_rows(array(select c.artifact_id from candidate c)) as r
    ), chosen as (
        select s.revision, s.refined from sized s where s.size_before < centralcloud.message_limit() / 2
    )
    select
        coalesce(jsonb_agg(c.refined order by c.revision), '[]'), max(c.revision),
        count(*) = (select count(*) from candidate) and count(*) < 500
    into page, reached, complete
    from chosen c;
    return jsonb_build_object(
        'type', 'changes', 'namespace', wanted_namespace, 'kind', wanted_kind, 'from', after,
        'to', case when complete then greatest(topic_head, after) else reached end, 'head', topic_head, 'rows', page
    );
end
$$;

comment on function centralcloud.changes(jsonb)
is 'A page of a topic: the artifacts whose last change has a number after the one given, up to "to", which is the head when '
'nothing remains.';

-- -------------------- sql/centralcloud/answers/functions.sql

create or replace function centralcloud.search(
    query text, kind text default null, namespace text default null, tags text[] default null,
    max_results integer default 10, min_similarity double precision default 0.1,
    min_level centralcloud.level default null
) returns table (
    relevance double precision, words double precision, name_match double precision, similarity double precision,
    artifact centralcloud.artifact, content jsonb
)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    perform centralcloud.check_query(search.query), centralcloud.check_max_results(search.max_results),
        centralcloud.check_filters(search.kind, search.namespace, search.min_similarity);
    return query
    select s.relevance, s.words, s.name_match, s.similarity, a, v.content
    from centralcloud.search_documents(
        search.query, search.namespace, search.kind, search.tags, search.min_level, null, null, search.max_results
    ) as s
    join centralcloud.artifact a using (artifact_id)
    join centralcloud.variant v using (artifact_id, variant)
    where s.relevance >= search.min_similarity
    order by s.relevance desc, s.artifact_id;
end
$$;

comment on function centralcloud.search(text, text, text, text[], integer, double precision, centralcloud.level)
is 'What the authority knows that fits a query, best first, with the relevance (0 to 1) and what it is made of (see '
'relevance()), the row of artifact and its content; min_similarity leaves out what is less relevant. Errors: 22023 for an '
'empty query, a filter that is not valid, max_results not 1 to 1000 or min_similarity not 0 to 1; 54000 for a query over '
'64 KiB.';

create or replace function centralcloud.answer(request jsonb) returns jsonb
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    ids uuid[];
    found_rows jsonb;
    topics text[];
begin
    if request ->> 'name' is not null then
        ids := array[centralcloud.artifact_id(request ->> 'namespace', request ->> 'kind', request ->> 'name')];
    else
        ids := array(
            select s.artifact_id
            from centralcloud.search_documents(
                left(request ->> 'query', 65536), request ->> 'namespace', request ->> 'kind',
                case when jsonb_typeof(request -> 'tags') = 'array' then
                    array(select t.value #>> '{}' from jsonb_array_elements(request -> 'tags') as t)
                end,
                null, null, null, centralcloud.get_setting('answer_rows')::integer
            ) as s
            where s.relevance >= centralcloud.get_setting('answer_relevance')::double precision
            order by s.relevance desc
        );
    end if;
    select coalesce(jsonb_agg(c.refined order by c.n), '[]'), array_agg(distinct c.namespace || '/' || c.kind)
    into found_rows, topics
    from (
        select r.refined, r.namespace, r.kind, i.n, sum(r.size) over (order by i.n) - r.size as size_before
        from centralcloud.refined_rows(ids) as r
        join unnest(ids) with ordinality as i (artifact_id, n) using (artifact_id)
        where not r.refined ? 'removed'
    ) as c
    where c.size_before < centralcloud.message_limit() / 2;
    return jsonb_build_object('type', 'answer', 'rows', found_rows, 'heads', centralcloud.heads(coalesce(topics, '{}')));
end
$$;

comment on function centralcloud.answer(jsonb)
is 'Answers a question: exactly the artifact that a lookup named, or what fits a query, best first; no rows when nothing is known.';

-- -------------------- sql/centralcloud/bridge/functions.sql

-- The authority's half of the bridge's contract: what to have, what to publish, what to do with what comes.

create or replace function centralcloud.stream_name() returns text
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$ select centralcloud.get_setting('subject_prefix') || '_contributions' $$;

comment on function centralcloud.stream_name() is 'Name of the JetStream stream that takes contributions.';

create or replace function centralcloud.bridge_plan() returns jsonb
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    prefix text := centralcloud.get_setting('subject_prefix');
begin
    return centralcloud.with_revision(jsonb_build_object(
        'extension', 'centralcloud',
        'version', '0.1.0',
        'protocol', 1,
        'client_name', 'centralcloud',
        'inbox_prefix', prefix || '.inbox.centralcloud',
        'bell', 'centralcloud_bell',
        'poll_ms', 250,
        'tick_ms', 1000,
        'speaking', true,
        'lanes', '[{"name": "heartbeat", "window": 4}, {"name": "refined", "window": 64}]'::jsonb,
        'streams', jsonb_build_array(jsonb_build_object(
            'name', centralcloud.stream_name(), 'subjects', jsonb_build_array(prefix || '.contribute.*'), 'create', true,
            'retention', 'workqueue', 'discard', 'new', 'duplicate_window_s', 120,
            'max_bytes', centralcloud.get_setting('stream_max_bytes')::bigint
        )),
        'consumers', jsonb_build_array(jsonb_build_object(
            'stream', centralcloud.stream_name(), 'durable', 'centralcloud', 'batch', 16, 'ack_wait_s', 30,
            'max_ack_pending', 64
        )),
        'subscriptions', '[]'::jsonb,
        'service', jsonb_build_object(
            'name', 'centralcloud', 'version', '0.1.0', 'description', 'The knowledge authority of Singularity',
            'endpoints', (
                select jsonb_agg(jsonb_build_object('name', e.name, 'subject', prefix || '.centralcloud.' || e.name || '.*'))
                from unnest(array['hello', 'ask', 'changes']) as e (name)
            )
        )
    ));
end
$$;

comment on function centralcloud.bridge_plan() is 'What the bridge is to have, consume and serve, as a JSON object.';

create or replace function centralcloud.bridge_attached() returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    insert into centralcloud.publisher (epoch) values (gen_random_uuid()::text)
    on conflict (only_row) do update set epoch = excluded.epoch, heads_sent_at = null;
    perform centralcloud.restore_indexes();
end
$$;

comment on function centralcloud.bridge_attached() is 'What is to be done when a bridge takes over: a new epoch begins.';

create or replace function centralcloud.lanes_with_work() returns text[]
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    lanes text[] := array[]::text[];
begin
    if not exists (select from centralcloud.bridge_state b where b.connected) then
        return lanes;
    end if;
    if exists (
        select from centralcloud.publisher p
        where p.heads_sent_at is null or p.heads_sent_at < clock_timestamp() - interval '900 milliseconds'
    ) then
        lanes := array_append(lanes, 'heartbeat');
    end if;
    if exists (select from centralcloud.unpublished) or exists (select from centralcloud.queued_message) then
        lanes := array_append(lanes, 'refined');
    end if;
    return lanes;
end
$$;

comment on function centralcloud.lanes_with_work() is 'Names of the lanes that have something to send now.';

create or replace function centralcloud.bridge_outgoing(lane text, max_messages integer)
returns table (message_id text, via text, subject text, headers jsonb, payload bytea, timeout_ms integer)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set jit = off
as $$
#variable_conflict use_column
begin
    case bridge_outgoing.lane
        when 'heartbeat' then
            return query
            select h.message_id, 'publish', h.subject, null::jsonb, h.payload, 5000 from centralcloud.next_heartbeat() as h;
        when 'refined' then
            return query
            select q.message_id, 'publish', q.subject, q.headers, q.payload, 5000
            from centralcloud.take_queued_messages(max_messages) as q;
            return query
            select p.message_id, 'publish', p.subject, null::jsonb, p.payload, 5000
            from centralcloud.publish(1000, max_messages * centralcloud.message_limit()::bigint / 2) as p;
    end case;
end
$$;

comment on function centralcloud.bridge_outgoing(text, integer)
is 'Messages of a lane to send now; the transaction is committed before they are sent.';

create or replace function centralcloud.bridge_result(results jsonb) returns void
language sql immutable
set search_path = pg_catalog, pg_temp
set jit = off
as $$ select null::void where results is null $$;

comment on function centralcloud.bridge_result(jsonb)
is 'What became of messages that were sent. The authority publishes without waiting for anybody, so there is nothing to note.';

create or replace function centralcloud.receipt_records(receipts jsonb) returns jsonb
language sql immutable strict parallel safe
set search_path = pg_catalog, pg_temp
as $$ select jsonb_agg(jsonb_strip_nulls(r.value)) from jsonb_array_elements(receipts) as r $$;

comment on function centralcloud.receipt_records(jsonb) is 'Records of a receipt without the fields that are null.';

create or replace function centralcloud.apply_messages(subjects text[], bodies jsonb[], meta jsonb[])
returns table (subject_number integer, subject text, headers jsonb, payload bytea)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    incoming centralcloud.incoming[];
    twins uuid[];
    heads jsonb := centralcloud.heads();
    unknown text := (select min(b.body ->> 'type') from unnest(bodies) as b (body) where b.body ->> 'type' <> 'contribution');
begin
    if unknown is not null then
        raise exception using errcode = 'feature_not_supported', message = format('message of unknown type %L', unknown);
    end if;
    perform centralcloud.register_instances(subjects, bodies);
    incoming := array(select r from centralcloud.read_contributions(subjects, bodies) as r);
    -- before it is stored, since the greater state takes the place of the other one
    twins := array(select v.instance_id from centralcloud.verdicts(incoming) as v where v.twin);
    perform centralcloud.store_contributions(incoming);
    perform centralcloud.refresh_artifacts(
        array(select distinct r.artifact_id from unnest(incoming) as r where r.refusal is null order by 1)
    );
    update centralcloud.instance i set twin_alarm_at = now()
    where i.instance_id = any (twins)
        or i.instance_id in (select v.instance_id from centralcloud.verdicts(incoming) as v where v.twin);
    return query
    select v.message, r.subject, null::jsonb, centralcloud.receipt(
        jsonb_agg(jsonb_build_object('artifact_id', v.artifact_id, 'variant', v.variant, 'incarnation', v.incarnation,
            'version', v.version, 'verdict', v.verdict, 'reason', v.reason)),
        (
            select jsonb_object_agg(t.topic, coalesce(heads -> t.topic, '0'))
            from (
                select distinct i.namespace || '/' || i.kind as topic
                from unnest(incoming) as i where i.message = v.message and i.refusal is null
            ) as t
        )
    )
    from centralcloud.verdicts(incoming) as v
    cross join lateral (
        select format('%s.receipt.%s', centralcloud.get_setting('subject_prefix'), v.instance_id) as subject
    ) as r
    group by v.message, r.subject;
end
$$;

comment on function centralcloud.apply_messages(text[], jsonb[], jsonb[])
is 'Applies contributions and returns a receipt for each message, with a verdict for each record.';

create or replace function centralcloud.receipt(records jsonb, heads jsonb) returns bytea
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select centralcloud.encode_message(jsonb_build_object(
        'type', 'receipt', 'epoch', centralcloud.epoch(), 'records', centralcloud.receipt_records(records),
        'heads', coalesce(heads, '{}')
    ))
$$;

comment on function centralcloud.receipt(jsonb, jsonb)
is 'A receipt: records with their verdicts, and the heads of their topics as they were before.';

create or replace function centralcloud.answer_poison(from_subject text, from_payload bytea, error text)
returns table (subject text, headers jsonb, payload bytea)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return query
    select
        format('%s.receipt.%s', centralcloud.get_setting('subject_prefix'), centralcloud.subject_instance(from_subject)),
        null::jsonb,
        centralcloud.receipt(jsonb_agg(jsonb_build_object(
            'artifact_id', centralcloud.artifact_id(r.value ->> 'namespace', r.value ->> 'kind', r.value ->> 'name'),
            'variant', case when r.value ->> 'what' = 'evidence' then r.value ->> 'variant' end,
            'incarnation', r.value ->> 'incarnation', 'version', (r.value ->> 'version')::bigint,
            'verdict', 'set aside', 'reason', left(error, 500)
        )), '{}')
    from jsonb_array_elements(convert_from(from_payload, 'UTF8')::jsonb -> 'records') as r
    where centralcloud.subject_instance(from_subject) is not null
    having count(*) > 0;
exception when data_exception then
    -- not even its records can be read: the dead letter is all there is
    return;
end
$$;

comment on function centralcloud.answer_poison(text, bytea, text)
is 'A receipt that says "set aside" for every record of a message that could not be applied, as far as they can be read.';

create or replace function centralcloud.bridge_serve(subject text, payload bytea) returns bytea
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
    request jsonb := centralcloud.decode_message(bridge_serve.payload);
    speaker uuid := centralcloud.check_speaker(bridge_serve.subject, request);
    reply jsonb;
begin
    case request ->> 'type'
        when 'ask' then reply := centralcloud.answer(request);
        when 'changes' then reply := centralcloud.changes(request);
        when 'hello' then reply := centralcloud.welcome(speaker, request);
        else
            raise exception using errcode = 'feature_not_supported',
                message = format('request of unknown type %L', request ->> 'type');
    end case;
    return centralcloud.encode_message(
        reply || jsonb_build_object('request', request -> 'request', 'epoch', centralcloud.epoch())
    );
end
$$;

comment on function centralcloud.bridge_serve(text, bytea)
is 'Answers a request: ask, changes or hello. Raises 42501 when subject and payload name different instances.';

create or replace function centralcloud.background() returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    today timestamptz := date_trunc('day', now(), 'UTC');
begin
    if coalesce(centralcloud.get_setting('scored_as_of')::timestamptz < today, true) then
        perform centralcloud.rescore(today);
    end if;
    perform centralcloud.score_queued(500), centralcloud.fold_lexemes(1000), centralcloud.index_vectors(200);
end
$$;

comment on function centralcloud.background() is 'The work that the bridge''s tick does: once a day, outcomes are weighted anew by their age; '
'lexemes are counted and vectors put into their index.';

create or replace procedure centralcloud.maintain()
language plpgsql
as $$
begin
    call centralcloud.maintain_search();
end
$$;

comment on procedure centralcloud.maintain()
is 'Counts lexemes and puts vectors into their index, in batches that commit. The bridge does the same by itself.';

-- -------------------- sql/centralcloud/status/functions.sql

create or replace function centralcloud.status() returns table (
    instances bigint, artifacts bigint, variants bigint, unpublished bigint, unscored bigint, pending_messages bigint,
    connected boolean, bridge_seen_at timestamptz, error text, epoch text, twin_alarms bigint, dead_letters bigint,
    extension_version text, bridge_version text
)
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select
        (select count(*) from centralcloud.instance),
        (select count(*) from centralcloud.artifact as a where a.variant is not null),
        (select count(*) from centralcloud.variant),
        (select count(*) from centralcloud.unpublished),
        (select count(*) from centralcloud.unscored),
        (b.consumers -> 'centralcloud' ->> 'pending')::bigint,
        coalesce(b.connected and b.seen_at > clock_timestamp() - interval '10 seconds', false),
        b.seen_at,
        b.error,
        centralcloud.epoch(),
        (select count(*) from centralcloud.instance as i where i.twin_alarm_at is not null),
        (select count(*) from centralcloud.dead_letter),
        (select e.extversion::text from pg_extension as e where e.extname = 'centralcloud'),
        b.bridge_version
    from (select true as here) as one
    left join centralcloud.bridge_state as b on one.here
$$;

comment on function centralcloud.status()
is 'How things stand, in one row: how much is known, what waits to be published, scored or applied, whether the bridge is '
'connected and why not, instances that two databases speak for, messages that could not be applied, versions.';

create or replace function centralcloud.statistics() returns table (
    namespace text, kind text, artifacts bigint, variants bigint, uses bigint, candidate bigint, low bigint,
    medium bigint, high bigint, very_high bigint, head bigint
)
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select
        a.namespace, a.kind, count(*), sum(v.n)::bigint, sum(a.uses)::bigint,
        count(*) filter (where a.level = 'candidate'),
        count(*) filter (where a.level = 'low'),
        count(*) filter (where a.level = 'medium'),
        count(*) filter (where a.level = 'high'),
        count(*) filter (where a.level = 'very_high'),
        max(t.head)
    from centralcloud.artifact as a
    cross join lateral (
        select count(*) as n from centralcloud.variant as v where v.artifact_id = a.artifact_id
    ) as v
    left join centralcloud.topic as t on a.namespace = t.namespace and a.kind = t.kind
    where a.variant is not null
    group by a.namespace, a.kind
    order by a.namespace, a.kind
$$;

comment on function centralcloud.statistics()
is 'What is known, by namespace and kind: artifacts, rival variants, outcomes, how many artifacts have which level, and the '
'number of the last published change.';

-- -------------------- sql/shared/messaging/grants.sql

-- Nothing is anybody's unless it is granted below this line of the manifest.
revoke all on all routines in schema @extschema@ from public;

grant usage on schema @extschema@ to centralcloud_reader, centralcloud_bridge;
grant select on all tables in schema @extschema@ to centralcloud_reader, centralcloud_bridge;

grant execute on function @extschema@.bridge_attach(text, integer) to centralcloud_bridge;
grant execute on function @extschema@.bridge_detach() to centralcloud_bridge;
grant execute on function @extschema@.bridge_plan() to centralcloud_bridge;
grant execute on function @extschema@.bridge_arm() to centralcloud_bridge;
grant execute on function @extschema@.bridge_outgoing(text, integer) to centralcloud_bridge;
grant execute on function @extschema@.bridge_result(jsonb) to centralcloud_bridge;
grant execute on function @extschema@.bridge_receive(text[], bytea[], jsonb[]) to centralcloud_bridge;
grant execute on function @extschema@.bridge_serve(text, bytea) to centralcloud_bridge;
grant execute on function @extschema@.bridge_tick(jsonb) to centralcloud_bridge;
-- the view configuration calls it with the rights of who reads it
grant execute on function @extschema@.setting_definitions() to centralcloud_reader, centralcloud_bridge;

-- -------------------- sql/shared/transactions/grants.sql

grant execute on procedure @extschema@.try_commit(boolean) to centralcloud_reader;

-- -------------------- sql/shared/embedding/grants.sql

grant execute on function @extschema@.embed(text) to centralcloud_reader;
grant execute on function @extschema@.embed_many(text[]) to centralcloud_reader;
grant execute on function @extschema@.current_contract() to centralcloud_reader;
-- what those call with the rights of who calls them
grant execute on function @extschema@.shipped_contract() to centralcloud_reader;
grant execute on function @extschema@.load_model() to centralcloud_reader;
grant execute on function @extschema@.server_files() to centralcloud_reader;
grant execute on function @extschema@.vector_literals(text[]) to centralcloud_reader;
grant execute on function @extschema@.to_unit_vector(text) to centralcloud_reader;

-- -------------------- sql/shared/search/grants.sql

grant execute on function @extschema@.relevance(double precision, double precision, double precision, boolean)
to centralcloud_reader;

-- -------------------- sql/centralcloud/grants.sql

grant execute on function centralcloud.search(text, text, text, text[], integer, double precision, centralcloud.level)
to centralcloud_reader;
grant execute on function centralcloud.status() to centralcloud_reader, centralcloud_bridge;
grant execute on function centralcloud.statistics() to centralcloud_reader;
grant execute on function centralcloud.artifact_id(text, text, text) to centralcloud_reader;
grant execute on function centralcloud.variant_of(jsonb) to centralcloud_reader;

grant execute on function centralcloud.configure(jsonb) to centralcloud_curator;
grant execute on function centralcloud.rescore(timestamptz) to centralcloud_curator;
grant execute on function centralcloud.replay_dead_letters() to centralcloud_curator;

grant execute on function centralcloud.register_contract(text, text, text, integer, boolean) to centralcloud_curator;
grant execute on function centralcloud.ensure_indexes() to centralcloud_curator;
grant execute on procedure centralcloud.maintain() to centralcloud_curator;
grant execute on procedure centralcloud.reembed() to centralcloud_curator;
-- what the procedures call with the rights of who calls them, since they commit
grant execute on procedure centralcloud.maintain_search() to centralcloud_curator;
grant execute on function centralcloud.fold_lexemes(bigint) to centralcloud_curator;
grant execute on function centralcloud.index_vectors(bigint) to centralcloud_curator;
grant execute on function centralcloud.outdated_documents(bigint, integer) to centralcloud_curator;
grant execute on function centralcloud.index_artifacts(uuid[], boolean) to centralcloud_curator;
