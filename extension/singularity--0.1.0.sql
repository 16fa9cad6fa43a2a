\echo Use "CREATE EXTENSION singularity CASCADE" to load this file. \quit

-- -------------------- sql/singularity/roles/tables.sql

-- Group roles belong to the cluster, not to the extension: they are made when missing and outlive it.
do $$
declare
    role_name text;
begin
    foreach role_name in array array['singularity_reader', 'singularity_writer', 'singularity_bridge'] loop
        if not exists (select from pg_catalog.pg_roles as r where r.rolname = role_name) then
            execute pg_catalog.format('create role %I nologin', role_name);
            execute pg_catalog.format('comment on role %I is %L', role_name, case role_name
                when 'singularity_reader' then 'May look up, recall and ask in singularity databases.'
                when 'singularity_writer' then 'May also learn, record outcomes, forget, follow, connect and configure.'
                else 'The bridge of a singularity database.'
            end);
        end if;
    end loop;
    grant singularity_reader to singularity_writer;
end
$$;

comment on schema singularity is 'What this machine knows and how it shares it; call its functions, read its tables and views.';

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

-- -------------------- sql/singularity/identity/tables.sql

create sequence singularity.version;

comment on sequence singularity.version
is 'The one counter of this instance: numbers every state of a holding or of evidence and every outcome.';

create table singularity.identity (
    only_row boolean primary key default true check (only_row),
    instance_id uuid not null,
    mark text not null,
    incarnation uuid not null,
    created_at timestamptz not null default now()
);

comment on table singularity.identity
is 'Who this database is, written at the first connect; before, it follows from the mark of the database.';
comment on column singularity.identity.only_row is 'Always true: there is one row at most.';
comment on column singularity.identity.instance_id is 'Stable id of the instance; restored with a dump.';
comment on column singularity.identity.mark is 'The database that the incarnation belongs to, see database_mark().';
comment on column singularity.identity.incarnation is 'One unbroken life of the instance''s database.';
comment on column singularity.identity.created_at is 'When the row was written.';

select pg_catalog.pg_extension_config_dump('singularity.version', '');
select pg_catalog.pg_extension_config_dump('singularity.identity', '');

-- -------------------- sql/singularity/knowledge/tables.sql

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
    withdrawn_through bigint not null default 0,
    learned_at timestamptz not null default now(),
    embedding vector,
    contract text,
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
comment on column singularity.holding.summary is 'What it is, in a sentence.';
comment on column singularity.holding.tags is 'Labels, sorted.';
comment on column singularity.holding.shared is 'Whether it may leave this machine.';
comment on column singularity.holding.withdrawn_through
is 'Everything that this instance sent of the artifact up to this version is withdrawn; 0 for nothing.';
comment on column singularity.holding.learned_at is 'When this version was learned or forgotten.';
comment on column singularity.holding.embedding is 'A vector that its user gave; null for none.';
comment on column singularity.holding.contract is 'Name of the contract that the vector keeps.';

create table singularity.central_copy (
    artifact_id uuid primary key,
    namespace text not null,
    kind text not null,
    name text not null,
    variant text not null,
    content jsonb not null,
    summary text,
    tags text[] not null default '{}',
    level singularity.level not null,
    confidence double precision not null,
    uses bigint not null,
    successes bigint not null,
    pinned boolean not null default false,
    revision bigint not null,
    epoch text not null,
    fetched_at timestamptz not null default now()
);

comment on table singularity.central_copy
is 'Copies of the authority''s refined knowledge: what this instance follows, holds or asked for.';
comment on column singularity.central_copy.artifact_id is 'Id of the artifact.';
comment on column singularity.central_copy.namespace is 'Namespace of the artifact.';
comment on column singularity.central_copy.kind is 'Kind of the artifact.';
comment on column singularity.central_copy.name is 'Name of the artifact.';
comment on column singularity.central_copy.variant is 'The variant that won at the authority.';
comment on column singularity.central_copy.content is 'Its content.';
comment on column singularity.central_copy.summary is 'Its summary.';
comment on column singularity.central_copy.tags is 'Its labels.';
comment on column singularity.central_copy.level is 'How far independent groups agree on it.';
comment on column singularity.central_copy.confidence is 'Lower bound of its success rate, 0 to 1.';
comment on column singularity.central_copy.uses is 'Outcomes that the authority knows of.';
comment on column singularity.central_copy.successes is 'Successes among them.';
comment on column singularity.central_copy.pinned is 'Whether a curator made it the winner.';
comment on column singularity.central_copy.revision is 'Number of its last change in the topic (namespace, kind).';
comment on column singularity.central_copy.epoch is 'The authority''s epoch in which it was sent.';
comment on column singularity.central_copy.fetched_at is 'When it was last received.';

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
comment on column singularity.knowledge.tags is 'Labels.';
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
comment on column singularity.ranked_knowledge.tags is 'Labels.';
comment on column singularity.ranked_knowledge.variant is 'Which content: sha-256 of its jsonb text, in hex.';
comment on column singularity.ranked_knowledge.origin is 'local (learned here) or central (from the authority).';
comment on column singularity.ranked_knowledge.level is 'How far independent groups agree that it works.';
comment on column singularity.ranked_knowledge.confidence is 'Lower bound of the success rate, 0 to 1.';
comment on column singularity.ranked_knowledge.uses is 'Outcomes recorded.';
comment on column singularity.ranked_knowledge.success_rate is 'Share of the outcomes that were successes; null without any.';
comment on column singularity.ranked_knowledge.revision is 'Number of the central copy''s last change in its topic; null without a copy.';
comment on column singularity.ranked_knowledge.fetched_at is 'When the central copy was received; null without a copy.';
comment on column singularity.ranked_knowledge.stale is 'Whether the row is a central copy that may be out of date.';
comment on column singularity.ranked_knowledge.score is 'Rank in this recall, 0 to 1: relevance, moved a little by confidence.';
comment on column singularity.ranked_knowledge.similarity is 'Cosine of query and artifact; null without vectors.';

select pg_catalog.pg_extension_config_dump('singularity.holding', '');
select pg_catalog.pg_extension_config_dump('singularity.central_copy', '');

-- -------------------- sql/singularity/outcomes/tables.sql

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
comment on column singularity.outcome.incarnation is 'The life of this database in which it was recorded.';
comment on column singularity.outcome.shared is 'Whether the artifact was shared at that time; if not, it never leaves.';
comment on column singularity.outcome.succeeded is 'Whether it worked.';
comment on column singularity.outcome.recorded_at is 'When it was recorded.';

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
comment on column singularity.evidence.incarnation is 'The life of this database in which it was used.';
comment on column singularity.evidence.shared is 'Whether these counters may leave this machine.';
comment on column singularity.evidence.namespace is 'Namespace of the artifact.';
comment on column singularity.evidence.kind is 'Kind of the artifact.';
comment on column singularity.evidence.name is 'Name of the artifact.';
comment on column singularity.evidence.uses is 'Outcomes recorded.';
comment on column singularity.evidence.successes is 'Outcomes that were successes.';
comment on column singularity.evidence.failures is 'Outcomes that were failures.';
comment on column singularity.evidence.last_used_at is 'When the last of them was recorded.';
comment on column singularity.evidence.version is 'Number of this state, from the sequence version.';

select pg_catalog.pg_extension_config_dump('singularity.outcome', '');
select pg_catalog.pg_extension_config_dump('singularity.evidence', '');

-- -------------------- sql/singularity/contribution/tables.sql

-- The outbox says what changed. Sessions only add to it and tidy up what nobody holds; all else is the bridge's, so
-- that no session ever waits for the bridge nor the bridge for a session.
create table singularity.outbox (
    version bigint primary key,
    artifact_id uuid not null,
    variant text not null default '',
    incarnation uuid not null default '00000000-0000-0000-0000-000000000000',
    queued_at timestamptz not null default now(),
    shipment_id uuid
);

create index outbox_key on singularity.outbox (artifact_id, variant, incarnation, version);
create index outbox_waiting on singularity.outbox (version) where shipment_id is null;
create index outbox_shipment on singularity.outbox (shipment_id) where shipment_id is not null;

comment on table singularity.outbox is 'Changed holdings and evidence that the authority has not confirmed: a set, see outbox_entries.';
comment on column singularity.outbox.version is 'The version that is to be confirmed.';
comment on column singularity.outbox.artifact_id is 'Id of the artifact.';
comment on column singularity.outbox.variant is 'Variant of the evidence; empty for the holding.';
comment on column singularity.outbox.incarnation is 'Incarnation of the evidence; zero for the holding.';
comment on column singularity.outbox.queued_at is 'When it changed.';
comment on column singularity.outbox.shipment_id is 'The message it is under way in; null while it waits to be sent.';

create table singularity.shipment (
    shipment_id uuid primary key default gen_random_uuid(),
    offered_at timestamptz not null default clock_timestamp(),
    attempt integer not null,
    stream_created text,
    stream_sequence bigint,
    failed_at timestamptz
);

comment on table singularity.shipment is 'Messages with contributions that were offered to the broker and have no receipt yet.';
comment on column singularity.shipment.shipment_id is 'Id of the message; a message that is sent again has another one.';
comment on column singularity.shipment.offered_at is 'When it was given to the bridge.';
comment on column singularity.shipment.attempt is 'The how many-th time its records are offered, at the most.';
comment on column singularity.shipment.stream_created is 'Which stream took it: when that stream was created; null without an acknowledgement.';
comment on column singularity.shipment.stream_sequence is 'Its number in that stream.';
comment on column singularity.shipment.failed_at is 'When the broker refused it or did not answer.';

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
    primary key (artifact_id, variant, incarnation)
);

create index delivery_trouble on singularity.delivery (verdict) where verdict in ('set aside', 'refused');

comment on table singularity.delivery is 'How far each holding and evidence has come: offered to the broker, confirmed by the authority.';
comment on column singularity.delivery.artifact_id is 'Id of the artifact.';
comment on column singularity.delivery.variant is 'Variant of the evidence; empty for the holding.';
comment on column singularity.delivery.incarnation is 'Incarnation of the evidence; zero for the holding.';
comment on column singularity.delivery.offered_version is 'The greatest version that was ever given to the bridge.';
comment on column singularity.delivery.attempts is 'How often that version was offered.';
comment on column singularity.delivery.confirmed_version is 'The greatest version that a receipt named; 0 for none.';
comment on column singularity.delivery.verdict is 'The authority''s verdict on it: stored, superseded, set aside or refused.';
comment on column singularity.delivery.reason is 'Why it was set aside or refused.';
comment on column singularity.delivery.confirmed_at is 'When the receipt came.';

select pg_catalog.pg_extension_config_dump('singularity.outbox', '');
select pg_catalog.pg_extension_config_dump('singularity.shipment', '');
select pg_catalog.pg_extension_config_dump('singularity.delivery', '');

-- -------------------- sql/singularity/questions/tables.sql

create table singularity.question (
    question_id uuid primary key default gen_random_uuid(),
    question_key text not null,
    query text not null,
    namespace text,
    kind text,
    name text,
    tags text[],
    asked_at timestamptz not null default now(),
    attempts integer not null default 0,
    next_attempt_at timestamptz not null default now(),
    answered_at timestamptz,
    results integer
);

create index question_open on singularity.question (next_attempt_at) where answered_at is null;
create index question_same on singularity.question (question_key, asked_at);

comment on table singularity.question is 'What was asked of the authority; sessions only insert, the bridge does the rest.';
comment on column singularity.question.question_id is 'Id of the question.';
comment on column singularity.question.question_key is 'The same for equal questions: a sha-256 of what is asked.';
comment on column singularity.question.query is 'The words of the question.';
comment on column singularity.question.namespace is 'Namespace asked for; null for any.';
comment on column singularity.question.kind is 'Kind asked for; null for any.';
comment on column singularity.question.name is 'Name asked for by a lookup; null for a search.';
comment on column singularity.question.tags is 'Labels that an answer must have; null for any.';
comment on column singularity.question.asked_at is 'When it was asked.';
comment on column singularity.question.attempts is 'How often it was sent.';
comment on column singularity.question.next_attempt_at is 'When it may be sent (again).';
comment on column singularity.question.answered_at is 'When the authority''s answer was here; null while open.';
comment on column singularity.question.results is 'How many artifacts the answer had; 0: the authority knows nothing.';

select pg_catalog.pg_extension_config_dump('singularity.question', '');

-- -------------------- sql/singularity/central/tables.sql

create table singularity.authority (
    only_row boolean primary key default true check (only_row),
    heard_at timestamptz,
    epoch text,
    stream_created text,
    stream_passed bigint,
    hello_sent_at timestamptz,
    welcomed_at timestamptz,
    backfill_after xid8
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

create table singularity.followed_topic (
    namespace text,
    kind text,
    followed_at timestamptz not null default now(),
    primary key (namespace, kind)
);

comment on table singularity.followed_topic is 'Topics that follow() keeps here whole.';
comment on column singularity.followed_topic.namespace is 'Namespace of the topic.';
comment on column singularity.followed_topic.kind is 'Kind of the topic.';
comment on column singularity.followed_topic.followed_at is 'Since when it is followed.';

create table singularity.topic (
    namespace text,
    kind text,
    followed boolean not null default false,
    position bigint not null default 0,
    head bigint not null default 0,
    requested_at timestamptz,
    synced_at timestamptz,
    primary key (namespace, kind)
);

comment on table singularity.topic is 'How far this instance is with the topics that it follows, holds something of or has copies of.';
comment on column singularity.topic.namespace is 'Namespace of the topic.';
comment on column singularity.topic.kind is 'Kind of the topic.';
comment on column singularity.topic.followed is 'Whether position is that of a topic kept here whole.';
comment on column singularity.topic.position is 'Number of the last change that was taken in.';
comment on column singularity.topic.head is 'Number of the authority''s last change, as far as heard.';
comment on column singularity.topic.requested_at is 'When a page of changes was last asked for; null when none is under way.';
comment on column singularity.topic.synced_at is 'When position was last known to be the head.';

select pg_catalog.pg_extension_config_dump('singularity.authority', '');
select pg_catalog.pg_extension_config_dump('singularity.followed_topic', '');
select pg_catalog.pg_extension_config_dump('singularity.topic', '');

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

-- -------------------- sql/singularity/identity/functions.sql

create or replace function singularity.setting_definitions()
returns table (name text, type text, default_value text, allowed text, description text)
language sql immutable parallel safe
begin atomic
    select *
    from (
        values
        ('mode', 'text', 'local', '^(local|hybrid|central)$', 'Changed by connect() and disconnect().'),
        ('instance_name', 'text', null, '^\S(.{0,98}\S)?$', 'Name of this instance, for people; default: from its id.'),
        (
            'environment', 'text', 'dev', '^(dev|test|ci|prod)$',
            'Environment of this instance; the authority weights by it.'
        ),
        ('subject_prefix', 'text', 'singularity', '^[a-z0-9_-]+$', 'First token of every NATS subject and name.'),
        ('answer_ttl', 'interval', '1 hour', null, 'How long a central copy or an answer is fresh.'),
        ('negative_ttl', 'interval', '5 minutes', null, 'How long "the authority knows nothing" is remembered.'),
        ('question_ttl', 'interval', '1 hour', null, 'How long a question without an answer stays open.'),
        (
            'search_configuration', 'regconfig', 'english', null,
            'Text search configuration of the words; CALL reembed() after a change.'
        ),
        (
            'search_candidates', 'integer', '1000', '^[1-9][0-9]{2,6}$',
            'About how many documents with words of a query are scored; more costs time.'
        ),
        (
            'good_relevance', 'double precision', '0.4', '^(0?\.[0-9]+|[01](\.0*)?)$',
            'Relevance, 0 to 1, from which a row is a good answer; a recall without one makes a question.'
        )
    ) as d (name, type, default_value, allowed, description);
end;

comment on function singularity.setting_definitions()
is 'The settings that there are, with type, default, the pattern that a value must match and meaning.';

create or replace function singularity.database_mark() returns text
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select concat_ws('/', c.system_identifier, d.oid, e.oid)
    from pg_control_system() as c, pg_database as d, pg_extension as e
    where d.datname = current_database() and e.extname = 'singularity'
$$;

comment on function singularity.database_mark()
is 'What tells this database from its copies: system identifier, oid of the database, oid of the extension in it.';

create or replace function singularity.uuid_from(value text) returns uuid
language sql immutable strict parallel safe
set search_path = pg_catalog, pg_temp
as $$ select left(encode(sha256(convert_to(value, 'UTF8')), 'hex'), 32)::uuid $$;

comment on function singularity.uuid_from(text) is 'A UUID from the sha-256 of a text.';

create or replace function singularity.present_identity() returns singularity.identity
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    known singularity.identity;
    mark text := singularity.database_mark();
begin
    select i.* into known from singularity.identity i;
    if not found then
        known.instance_id := singularity.uuid_from('instance ' || mark);
    end if;
    -- a restored dump has another mark: its next outcomes count in an incarnation of their own
    if known.mark is distinct from mark then
        known.incarnation := singularity.uuid_from('incarnation ' || mark);
    end if;
    known.mark := mark;
    return known;
end
$$;

comment on function singularity.present_identity()
is 'Instance and incarnation of this database. Both follow from its mark until connect() writes them down, so that no '
'session ever waits for another one to do so.';

create or replace function singularity.keep_present_identity() returns void
language sql security definer
set search_path = pg_catalog, pg_temp
as $$
    insert into singularity.identity as i (instance_id, mark, incarnation)
    select p.instance_id, p.mark, p.incarnation from singularity.present_identity() as p
    on conflict (only_row) do update set mark = excluded.mark, incarnation = excluded.incarnation
    where i.mark <> excluded.mark;
$$;

comment on function singularity.keep_present_identity() is 'Writes the identity of this database down.';

create or replace function singularity.instance_name() returns text
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select coalesce(
        singularity.get_setting('instance_name'),
        'instance-' || left((singularity.present_identity()).instance_id::text, 8)
    )
$$;

comment on function singularity.instance_name() is 'Name of this instance: the setting, or one made from its id.';

create or replace function singularity.configure(
    instance_name text default null, environment text default null, settings jsonb default '{}'
) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    changes jsonb := coalesce(configure.settings, '{}') || jsonb_strip_nulls(jsonb_build_object(
        'instance_name', configure.instance_name, 'environment', configure.environment));
begin
    if changes ? 'mode' then
        raise exception using errcode = 'invalid_parameter_value',
            message = 'the mode is not changed by configure()',
            hint = 'Call singularity.connect(mode) or singularity.disconnect().';
    end if;
    perform singularity.change_settings(changes);
end
$$;

comment on function singularity.configure(text, text, jsonb)
is 'Changes the name of this instance, its environment (dev, test, ci, prod) or other settings, given as a JSON object; '
'arguments left out stay as they are. See the view singularity.configuration. Errors: 22023 for an unknown setting or '
'a value that does not fit.';

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
as $$ select ('x' || left(md5('singularity bridge'), 16))::bit(64)::bigint $$;

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
            message = format('bridge %s speaks protocol %s, extension singularity 0.1.0 speaks protocol 1',
                bridge_attach.bridge_version, bridge_attach.protocol),
            hint = 'Install the bridge and the extension of one version, then ALTER EXTENSION singularity UPDATE.';
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
        perform pg_notify('singularity_bell', '');
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

-- -------------------- sql/singularity/outcomes/functions.sql

create or replace function singularity.local_score(artifact_id uuid, variant text)
returns table (uses bigint, successes bigint, confidence double precision)
language sql stable rows 1
begin atomic
    select
        s.uses,
        s.successes,
        -- one instance is one group, and a group's outcomes are capped at 20, as at the authority
        singularity.wilson_lower_bound(
            s.successes * least(1, 20.0 / greatest(s.uses, 1)),
            (s.uses - s.successes) * least(1, 20.0 / greatest(s.uses, 1))
        )
    from (
        select
            coalesce(sum(c.uses), 0)::bigint as uses,
            coalesce(sum(c.successes), 0)::bigint as successes
        from (
            select e.uses, e.successes from singularity.evidence as e
            where e.artifact_id = local_score.artifact_id and e.variant = local_score.variant
            union all
            select 1, o.succeeded::integer from singularity.outcome as o
            where o.artifact_id = local_score.artifact_id and o.variant = local_score.variant
        ) as c
    ) as s;
end;

comment on function singularity.local_score(uuid, text)
is 'Outcomes recorded here for a variant, folded or not, and the confidence that follows from them alone.';

create or replace function singularity.record_outcome(
    kind text, name text, succeeded boolean, namespace text default 'default', variant text default null
) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    id uuid := singularity.artifact_id(
        singularity.check_token(record_outcome.namespace, 'namespace'),
        singularity.check_token(record_outcome.kind, 'kind'), singularity.check_name(record_outcome.name));
    credited text := singularity.credited_variant(id, record_outcome.variant);
begin
    if record_outcome.succeeded is null then
        raise exception using errcode = 'null_value_not_allowed', message = 'succeeded must not be null',
            hint = 'Say true when it worked and false when it did not.';
    end if;
    if credited is null then
        raise exception using errcode = 'no_data_found',
            message = format('%s %L%s is not known here', record_outcome.kind, record_outcome.name,
                coalesce(' of variant ' || record_outcome.variant, '')),
            hint = 'Learn it, or look it up while online, before its outcomes are recorded.';
    end if;
    insert into singularity.outcome (artifact_id, namespace, kind, name, variant, incarnation, shared, succeeded)
    values (
        id, record_outcome.namespace, record_outcome.kind, normalize(record_outcome.name, nfc), credited,
        (singularity.present_identity()).incarnation, singularity.is_shared(id), record_outcome.succeeded
    );
    if singularity.get_setting('mode') <> 'local' then
        perform singularity.ring_doorbell();
    elsif currval('singularity.version') % 256 = 0 then
        perform singularity.fold_outcomes(1024);
    end if;
end
$$;

comment on function singularity.record_outcome(text, text, boolean, text, text)
is 'Records that an artifact was used and whether it worked, for the variant given or else the one that lookup() returns '
'now. Errors: P0002 when the artifact or variant is not known here, 22004 when succeeded is null.';

create or replace function singularity.credited_variant(artifact_id uuid, variant text) returns text
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    if credited_variant.variant is null then
        return (select k.variant from singularity.known(array[credited_variant.artifact_id]) as k);
    end if;
    return (
        select h.variant from singularity.holding h
        where h.artifact_id = credited_variant.artifact_id and h.variant = credited_variant.variant
        union
        select c.variant from singularity.central_copy c
        where c.artifact_id = credited_variant.artifact_id and c.variant = credited_variant.variant
        union
        select e.variant from singularity.evidence e
        where e.artifact_id = credited_variant.artifact_id and e.variant = credited_variant.variant
    );
end
$$;

comment on function singularity.credited_variant(uuid, text)
is 'The variant that an outcome counts for: the one given when it is known here, or else the best known one; null when '
'there is none.';

create or replace function singularity.is_shared(artifact_id uuid) returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select coalesce((
        select h.shared and (h.variant is not null or h.withdrawn_through < h.version)
        from singularity.holding as h where h.artifact_id = is_shared.artifact_id order by h.version desc limit 1
    ), true)
$$;

comment on function singularity.is_shared(uuid)
is 'Whether outcomes of an artifact may leave this machine: not while it is held unshared or forgotten everywhere.';

create or replace function singularity.fold_outcomes(max_outcomes integer) returns bigint
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    folded bigint;
    changed uuid[];
begin
    -- one at a time, and only where a row that another session changed is no error
    if current_setting('transaction_isolation') <> 'read committed'
        or not pg_try_advisory_xact_lock(singularity.bridge_lock_key() + 1) then
        return 0;
    end if;
    perform singularity.make_withdrawn_evidence_private(
        array(select distinct t.artifact_id from (
            select o.artifact_id from singularity.outcome o order by o.version limit max_outcomes
        ) as t)
    );
    with taken as (
        delete from singularity.outcome o where o.version in (
            select t.version from singularity.outcome t order by t.version limit max_outcomes for update skip locked
        ) returning o.*
    ), added as (
        select
            t.artifact_id, t.variant, t.incarnation, t.shared and t.version > coalesce(h.withdrawn_through, 0) as shared,
            t.namespace, t.kind, t.name,
            count(*) as uses,
            count(*) filter (where t.succeeded) as successes,
            max(t.recorded_at) as last_used_at
        from taken t
        left join lateral (
            select h.withdrawn_through from singularity.holding h
            where h.artifact_id = t.artifact_id order by h.version desc limit 1
        ) as h on true
        group by 1, 2, 3, 4, 5, 6, 7
    ), stored as (
        insert into singularity.evidence as e (
            artifact_id, variant, incarnation, shared, namespace, kind, name,
            uses, successes, failures, last_used_at, version
        )
        select
            artifact_id, variant, incarnation, shared, namespace, kind, name,
            uses, successes, uses - successes, last_used_at, nextval('singularity.version')
        from added
        on conflict (artifact_id, variant, incarnation, shared) do update set
            uses = e.uses + excluded.uses, successes = e.successes + excluded.successes,
            failures = e.failures + excluded.failures,
            last_used_at = greatest(e.last_used_at, excluded.last_used_at), version = excluded.version
        returning e.*
    ), entries as (
        insert into singularity.outbox (version, artifact_id, variant, incarnation)
        select version, artifact_id, variant, incarnation from stored
        where shared and singularity.get_setting('mode') <> 'local'
        returning 1
    )
    select count(*), array_agg(distinct t.artifact_id) into folded, changed from taken t;
    perform singularity.delete_replaced_entries(changed);
    -- with its first outcome an artifact is no candidate any more
    perform singularity.index_artifacts(array(
        select distinct d.artifact_id from singularity.document d
        where d.artifact_id = any (changed) and d.level = 'candidate'
    ));
    return folded;
end
$$;

comment on function singularity.fold_outcomes(integer)
is 'Adds the oldest outcomes up into evidence, queues what changed for the authority and returns how many were folded.';

create or replace function singularity.make_withdrawn_evidence_private(artifact_ids uuid[]) returns void
language sql security definer
set search_path = pg_catalog, pg_temp
as $$
    with withdrawn as (
        delete from singularity.evidence as e
        using unnest(artifact_ids) as a (artifact_id)
        cross join lateral (
            select h.withdrawn_through from singularity.holding as h
            where h.artifact_id = a.artifact_id order by h.version desc limit 1
        ) as h
        where e.artifact_id = a.artifact_id and e.shared and e.version <= h.withdrawn_through
        returning e.*
    )
    insert into singularity.evidence as e (
        artifact_id, variant, incarnation, shared, namespace, kind, name, uses, successes, failures, last_used_at, version
    )
    select
        artifact_id, variant, incarnation, false, namespace, kind, name, uses, successes, failures, last_used_at, version
    from withdrawn
    on conflict (artifact_id, variant, incarnation, shared) do update set
        uses = e.uses + excluded.uses, successes = e.successes + excluded.successes,
        failures = e.failures + excluded.failures,
        last_used_at = greatest(e.last_used_at, excluded.last_used_at);
$$;

comment on function singularity.make_withdrawn_evidence_private(uuid[])
is 'Turns counters that were withdrawn into private ones, so that what is shared afterwards starts at zero.';

-- -------------------- sql/singularity/knowledge/functions.sql

create or replace function singularity.learn(
    kind text, name text, content jsonb, summary text default null, tags text[] default null,
    namespace text default 'default', shared boolean default null, embedding vector default null,
    contract text default null
) returns uuid
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    given singularity.holding := singularity.check_artifact(
        kind, name, content, summary, tags, namespace, shared, embedding, contract
    );
begin
    perform singularity.store_holdings(array[given]);
    return given.artifact_id;
end
$$;

comment on function singularity.learn(text, text, jsonb, text, text[], text, boolean, vector, text)
is 'Keeps an artifact and returns its id. Changed content makes a new version, the old one stays in history(); unchanged '
'content changes nothing. summary, tags and shared that are left out stay as they were (a new artifact is shared); '
'with shared => false it never leaves this machine, and what the authority had of it is withdrawn. embedding is a vector of '
'your own for the content, under a contract that register_contract() made: it stays here, beside the one from the text. '
'Errors: 22004 for null, 22023 for a namespace, kind, name, tag or vector that is not valid, 54000 for content over 256 KiB.';

create or replace function singularity.learn_many(artifacts jsonb) returns bigint
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    given singularity.holding[];
begin
    if jsonb_typeof(artifacts) is distinct from 'array' then
        raise exception using errcode = 'invalid_parameter_value',
            message = format('artifacts must be a JSON array, not %s', coalesce(jsonb_typeof(artifacts), 'null')),
            hint = 'Pass [{"kind": "pattern", "name": "retry", "content": {…}}, …].';
    end if;
    begin
        select array_agg(singularity.artifact_from(e.value) order by e.ordinality) into given
        from jsonb_array_elements(artifacts) with ordinality as e;
    exception when data_exception or program_limit_exceeded then
        perform singularity.raise_for_element(artifacts);
    end;
    return cardinality(singularity.store_holdings(coalesce(given, '{}')));
end
$$;

comment on function singularity.learn_many(jsonb)
is 'Learns an array of objects with the argument names of learn() in one statement, all or nothing, and returns how many '
'were new or changed. Of several elements for one artifact the last one counts. Errors are those of learn() and name '
'the element, counted from 0.';

create or replace function singularity.artifact_from(element jsonb) returns singularity.holding
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    known_fields constant jsonb := jsonb_build_object('kind', 'string', 'name', 'string', 'content', '',
        'summary', 'string', 'tags', 'array', 'namespace', 'string', 'shared', 'boolean', 'embedding', 'array',
        'contract', 'string');
    field record;
    wrong_tag text;
begin
    if jsonb_typeof(element) <> 'object' then
        raise exception using errcode = 'invalid_parameter_value',
            message = format('an artifact must be a JSON object, not %s', jsonb_typeof(element));
    end if;
    for field in select e.key, jsonb_typeof(e.value) as type, known_fields ->> e.key as expected from jsonb_each(element) as e loop
        if field.expected is null then
            raise exception using errcode = 'invalid_parameter_value',
                message = format('unknown field %L', field.key),
                hint = 'Fields are: kind, name, content, summary, tags, namespace, shared, embedding, contract.';
        elsif field.expected not in ('', field.type) and field.type <> 'null' then
            raise exception using errcode = 'invalid_parameter_value',
                message = format('field %L must be of type %s, not %s', field.key, field.expected, field.type);
        end if;
    end loop;
    wrong_tag := jsonb_path_query_first(
        element, 'strict $.tags[*].type() ? (@ != "string" && @ != "null")', silent => true
    ) #>> '{}';
    if wrong_tag is not null then
        raise exception using errcode = 'invalid_parameter_value',
            message = format('a tag must be of type string, not %s', wrong_tag);
    end if;
    return singularity.check_artifact(
        element ->> 'kind', element ->> 'name', element -> 'content', element ->> 'summary',
        case when element -> 'tags' <> 'null' then
            array(select t.value #>> '{}' from jsonb_array_elements(element -> 'tags') as t)
        end,
        coalesce(element ->> 'namespace', 'default'), (element ->> 'shared')::boolean,
        singularity.vector_from(element -> 'embedding'), element ->> 'contract'
    );
end
$$;

comment on function singularity.artifact_from(jsonb)
is 'Reads and checks one element of learn_many(). Raises 22023 for what is no object, an unknown field or a wrong type, '
'and what check_artifact() raises.';

create or replace function singularity.raise_for_element(artifacts jsonb) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    element record;
    error_code text;
    error text;
    error_hint text;
begin
    for element in select e.value, e.ordinality - 1 as index from jsonb_array_elements(artifacts) with ordinality as e loop
        begin
            perform singularity.artifact_from(element.value);
        exception when data_exception or program_limit_exceeded then
            get stacked diagnostics error_code = returned_sqlstate, error = message_text, error_hint = pg_exception_hint;
            raise exception using errcode = error_code, message = format('element %s: %s', element.index, error),
                hint = concat_ws(' ', nullif(error_hint, ''), 'Elements are counted from 0; nothing was learned.');
        end;
    end loop;
end
$$;

comment on function singularity.raise_for_element(jsonb)
is 'Raises the error of the first element of learn_many() that cannot be read, with its index.';

create or replace function singularity.check_artifact(
    kind text, name text, content jsonb, summary text, tags text[], namespace text, shared boolean, embedding vector,
    contract text
) returns singularity.holding
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    given singularity.holding;
begin
    given.namespace := singularity.check_token(namespace, 'namespace');
    given.kind := singularity.check_token(kind, 'kind');
    given.name := singularity.check_name(name);
    given.content := singularity.check_content(content);
    given.summary := singularity.check_summary(summary);
    given.tags := case when tags is not null then coalesce(singularity.check_tags(tags), '{}') end;
    given.shared := shared;
    given.artifact_id := singularity.artifact_id(given.namespace, given.kind, given.name);
    given.variant := singularity.variant_of(given.content);
    if contract = singularity.current_contract() then
        raise exception using errcode = 'invalid_parameter_value',
            message = format('vectors of contract %L are made here, from the text', contract),
            hint = 'Leave embedding and contract out, or register a contract of your own.';
    end if;
    given.embedding := singularity.check_vector(embedding, contract);
    given.contract := case when embedding is not null then contract end;
    return given;
end
$$;

comment on function singularity.check_artifact(text, text, jsonb, text, text[], text, boolean, vector, text)
is 'Checks the arguments of learn() and returns them as a holding that is not stored yet; null stays null.';

create or replace function singularity.store_holdings(given singularity.holding[]) returns uuid[]
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set jit = off
set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
    connected boolean := singularity.get_setting('mode') <> 'local';
    stored uuid[];
    queued uuid[];
begin
    with wanted as (
        select distinct on (g.artifact_id)
            g.ordinality, g.artifact_id, g.namespace, g.kind, g.name, g.variant, g.content,
            coalesce(g.summary, old.summary) as summary,
            coalesce(g.tags, old.tags, '{}') as tags,
            coalesce(g.shared, old.shared, true) as shared,
            coalesce(old.withdrawn_through, 0) as withdrawn_through,
            coalesce(g.embedding, same.embedding) as embedding,
            case when g.embedding is not null then g.contract else same.contract end as contract,
            old.shared as was_shared, old.variant as old_variant, old.summary as old_summary, old.tags as old_tags,
            g.embedding is not null and (
                old.contract is distinct from g.contract or not singularity.is_same_vector(g.embedding, old.embedding)
            ) as has_new_vector
        from unnest(given) with ordinality as g
        left join lateral (
            select h.* from singularity.holding h where h.artifact_id = g.artifact_id order by h.version desc limit 1
        ) as old on true
        left join lateral (
            select old.embedding, old.contract where old.variant = g.variant
        ) as same on true
        order by g.artifact_id, g.ordinality desc
    ), changed as (
        select w.*, nextval('singularity.version') as version
        from (select * from wanted order by ordinality) as w
        where (w.variant, w.summary, w.tags, w.shared)
            is distinct from (w.old_variant, w.old_summary, w.old_tags, w.was_shared)
            or w.has_new_vector
    ), inserted as (
        insert into singularity.holding (
            artifact_id, version, namespace, kind, name, variant, content, summary, tags, shared, withdrawn_through,
            embedding, contract
        )
        select
            artifact_id, version, namespace, kind, name, variant, content, summary, tags, shared,
            case when shared then withdrawn_through else version end, embedding, contract
        from changed
    ), entries as (
        insert into singularity.outbox (version, artifact_id)
        select version, artifact_id from changed
        where connected and (shared or was_shared)
        returning artifact_id
    )
    select
        coalesce((select array_agg(artifact_id) from changed), '{}'),
        (select array_agg(artifact_id) from entries)
    into stored, queued;
    if cardinality(stored) > 0 then
        perform singularity.index_artifacts(stored);
    end if;
    if queued is not null then
        perform singularity.delete_replaced_entries(queued);
        perform singularity.ring_doorbell();
    end if;
    return stored;
end
$$;

comment on function singularity.store_holdings(singularity.holding[])
is 'Stores those of the holdings that are new or changed, indexes them, queues what is shared for the authority (unless '
'local) and returns the ids of their artifacts. Inserts only: it waits for no other session.';

create or replace function singularity.known(artifact_ids uuid[]) returns setof singularity.knowledge
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
set jit = off
set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
    fresh_since timestamptz := now() - singularity.get_setting('answer_ttl')::interval;
begin
    return query
    select
        coalesce(h.artifact_id, c.artifact_id),
        coalesce(h.namespace, c.namespace),
        coalesce(h.kind, c.kind),
        coalesce(h.name, c.name),
        case when v.central then c.content else h.content end,
        case when v.central then c.summary else h.summary end,
        case when v.central then c.tags else h.tags end,
        b.variant,
        case when v.central then 'central' else 'local' end,
        case when s.informed then c.level when s.uses > 0 then 'low' else 'candidate' end::singularity.level,
        case when s.informed then c.confidence else s.confidence end,
        case when s.informed then c.uses else s.uses end,
        case when s.informed then c.successes::double precision / nullif(c.uses, 0)
            else s.successes::double precision / nullif(s.uses, 0) end,
        c.revision,
        c.fetched_at,
        v.central and greatest(c.fetched_at, t.synced_at) < fresh_since
    from unnest(artifact_ids) with ordinality as i (artifact_id, n)
    left join lateral (
        select h.* from singularity.holding h where h.artifact_id = i.artifact_id order by h.version desc limit 1
    ) as h on true
    left join singularity.central_copy c on c.artifact_id = i.artifact_id
    left join singularity.topic t on t.namespace = c.namespace and t.kind = c.kind
    cross join lateral (
        select
            h.variant is not null and (c.variant, c.level) is distinct from (h.variant, 'retracted') as local_fits,
            c.variant is not null and c.level <> 'retracted' as central_fits
    ) as f
    cross join lateral (
        select f.central_fits and (not f.local_fits or c.variant <> h.variant and (
            c.pinned or c.level >= 'medium'
            and c.confidence > (select l.confidence from singularity.local_score(i.artifact_id, h.variant) as l)
        )) as central
        offset 0 -- computed once, not in each column that asks for it
    ) as v
    cross join lateral (select case when v.central then c.variant else h.variant end as variant offset 0) as b
    cross join lateral (
        select l.*, f.central_fits and c.variant = b.variant and c.uses >= l.uses as informed
        from singularity.local_score(i.artifact_id, b.variant) as l
    ) as s
    -- a tombstone hides the central copy as well
    where (h.artifact_id is null or h.variant is not null) and (f.local_fits or f.central_fits)
    order by i.n;
end
$$;

comment on function singularity.known(uuid[])
is 'The best known version of each artifact, in the order given, none for what is not known: the local content, unless '
'the central one is pinned or has level medium or above and more confidence. Level, confidence and counts are the '
'authority''s, where it knows of the content, unless more outcomes of it were recorded here.';

create or replace function singularity.index_artifacts(artifact_ids uuid[], again boolean default false) returns void
language sql security definer
set search_path = pg_catalog, pg_temp
as $$
    select singularity.index_documents(index_artifacts.artifact_ids, array(
        select row(
            k.artifact_id, k.namespace, k.kind, k.name, k.summary, k.tags, k.level, k.content, h.contract, h.embedding
        )::singularity.searchable
        from singularity.known(index_artifacts.artifact_ids) as k
        left join lateral (
            select h.variant, h.contract, h.embedding from singularity.holding as h
            where h.artifact_id = k.artifact_id order by h.version desc limit 1
        ) as h on h.variant = k.variant
    ), index_artifacts.again)
$$;

comment on function singularity.index_artifacts(uuid[], boolean)
is 'Makes the documents of artifacts those of their best known version; those that have not changed only if again.';

create or replace function singularity.lookup(kind text, name text, namespace text default 'default')
returns setof singularity.knowledge
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    id uuid := singularity.artifact_id(
        singularity.check_token(lookup.namespace, 'namespace'), singularity.check_token(lookup.kind, 'kind'),
        singularity.check_name(lookup.name));
    found_row singularity.knowledge;
begin
    select k.* into found_row from singularity.known(array[id]) as k;
    if found then
        return next found_row;
    elsif singularity.is_forgotten(id) then
        return;
    end if;
    if found_row.artifact_id is null or found_row.stale or singularity.get_setting('mode') = 'central' then
        perform singularity.raise_question(
            lookup.kind || ' ' || lookup.name, lookup.kind, lookup.namespace, normalize(lookup.name, nfc), null
        );
    end if;
end
$$;

comment on function singularity.lookup(text, text, text)
is 'The best known version of exactly this artifact, local or central, or no row. It never waits for the network: while '
'online, what is not here or stale becomes a question to the authority, and its answer is here for the next call. '
'Errors: 22004 and 22023 for a namespace, kind or name that is not valid.';

create or replace function singularity.is_forgotten(artifact_id uuid) returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select coalesce((
        select h.variant is null from singularity.holding as h
        where h.artifact_id = is_forgotten.artifact_id order by h.version desc limit 1
    ), false)
$$;

comment on function singularity.is_forgotten(uuid)
is 'Whether an artifact was forgotten here: then an answer of the authority would not be kept.';

create or replace function singularity.rank_knowledge(
    query text, kind text, namespace text, tags text[], max_results integer, min_similarity double precision,
    min_level singularity.level, embedding vector, contract text
) returns table (known singularity.knowledge, score double precision, found singularity.hit)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    hits singularity.hit[];
begin
    perform singularity.check_query(rank_knowledge.query), singularity.check_max_results(rank_knowledge.max_results),
        singularity.check_filters(rank_knowledge.kind, rank_knowledge.namespace, rank_knowledge.min_similarity),
        singularity.check_vector(rank_knowledge.embedding, rank_knowledge.contract);
    hits := array(
        select s from singularity.search_documents(
            rank_knowledge.query, rank_knowledge.namespace, rank_knowledge.kind, rank_knowledge.tags,
            rank_knowledge.min_level, rank_knowledge.embedding, rank_knowledge.contract,
            2 * rank_knowledge.max_results + 10
        ) as s
        where s.relevance >= rank_knowledge.min_similarity
    );
    return query
    select k, h.relevance * (0.9 + 0.1 * k.confidence), h::singularity.hit
    from singularity.known(array(select h.artifact_id from unnest(hits) as h)) as k
    join unnest(hits) as h on h.artifact_id = k.artifact_id
    order by 2 desc, k.artifact_id
    limit rank_knowledge.max_results;
end
$$;

comment on function singularity.rank_knowledge(
    text, text, text, text[], integer, double precision, singularity.level, vector, text
)
is 'What recall() and explain_recall() return: the relevance of each row and its score, which is the relevance times '
'0.9 + 0.1 confidence.';

create or replace function singularity.recall(
    query text, kind text default null, namespace text default null, tags text[] default null,
    max_results integer default 10, min_similarity double precision default 0.1,
    min_level singularity.level default null, embedding vector default null, contract text default null
) returns setof singularity.ranked_knowledge
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    ranked record;
    best double precision := 0;
    result singularity.ranked_knowledge;
begin
    for ranked in
        select r.* from singularity.rank_knowledge(
            recall.query, recall.kind, recall.namespace, recall.tags, recall.max_results, recall.min_similarity,
            recall.min_level, recall.embedding, recall.contract
        ) as r
    loop
        best := greatest(best, (ranked.found).relevance);
        select (ranked.known).*, ranked.score, (ranked.found).similarity into result;
        return next result;
    end loop;
    if best < singularity.get_setting('good_relevance')::double precision
        or singularity.get_setting('mode') = 'central' then
        perform singularity.raise_question(recall.query, recall.kind, recall.namespace, null, recall.tags);
    end if;
end
$$;

comment on function singularity.recall(
    text, text, text, text[], integer, double precision, singularity.level, vector, text
)
is 'What is known here that fits a query (words, an identifier, half a name, a question), best first. score (0 to 1) is the '
'relevance, moved a little by confidence; similarity is the cosine, null without vectors; min_similarity leaves out what is '
'less relevant (a row below 0.2 has hardly ever to do with the query), min_level what is of a lower level. embedding is a vector of your own for the query, under the contract of '
'those that learn() was given. explain_recall() shows the parts of the ranking. It never waits for the network: while '
'online, a recall that finds nothing of good_relevance becomes a question, and its answer is here for the next call. '
'Errors: 22023 for an empty query, a filter or vector that is not valid, max_results not 1 to 1000 or min_similarity not '
'0 to 1; 54000 for a query over 64 KiB.';

create or replace function singularity.explain_recall(
    query text, kind text default null, namespace text default null, tags text[] default null,
    max_results integer default 10, min_similarity double precision default 0.1,
    min_level singularity.level default null, embedding vector default null, contract text default null
) returns table (
    artifact_id uuid, namespace text, kind text, name text, score double precision, relevance double precision,
    words double precision, name_match double precision, similarity double precision, confidence double precision
)
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select
        (r.found).artifact_id, (r.known).namespace, (r.known).kind, (r.known).name, r.score, (r.found).relevance,
        (r.found).words, (r.found).name_match, (r.found).similarity, (r.known).confidence
    from singularity.rank_knowledge(query, kind, namespace, tags, max_results, min_similarity, min_level, embedding, contract)
        as r
$$;

comment on function singularity.explain_recall(
    text, text, text, text[], integer, double precision, singularity.level, vector, text
)
is 'The rows of recall() with what their rank is made of: words (BM25, 0 to 1), name_match (letters of the name, 0 to 1) and '
'similarity (cosine) make the relevance, see relevance(), and confidence moves it to the score. It asks no question.';

create or replace function singularity.related(
    kind text, name text, namespace text default 'default', max_results integer default 10
) returns setof singularity.ranked_knowledge
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    id uuid := singularity.artifact_id(
        singularity.check_token(related.namespace, 'namespace'), singularity.check_token(related.kind, 'kind'),
        singularity.check_name(related.name));
    this singularity.knowledge;
begin
    select k.* into this from singularity.known(array[id]) as k;
    if not found then
        raise exception using errcode = 'no_data_found',
            message = format('%s %L is not known here', related.kind, related.name),
            hint = 'Learn it, or look it up while online; recall() finds what fits a text.';
    end if;
    return query
    select (r.known).*, r.score, (r.found).similarity
    from singularity.rank_knowledge(
        concat_ws(' ', this.name, this.summary, array_to_string(this.tags, ' ')), null, null, null,
        least(singularity.check_max_results(related.max_results) + 1, 1000), 0.1, null, singularity.vector_of(id),
        singularity.current_contract()
    ) as r
    where (r.found).artifact_id <> id
    limit related.max_results;
end
$$;

comment on function singularity.related(text, text, text, integer)
is 'What is near an artifact that is known here, of any namespace and kind, best first: by its vector and by the words of its '
'name, summary and tags. Errors: P0002 when it is not known, 22023 for what is not valid.';

create or replace function singularity.forget(
    kind text, name text, namespace text default 'default', everywhere boolean default false
) returns boolean
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    tomb singularity.holding;
    old singularity.holding;
    was_known boolean;
begin
    tomb.namespace := singularity.check_token(forget.namespace, 'namespace');
    tomb.kind := singularity.check_token(forget.kind, 'kind');
    tomb.name := singularity.check_name(forget.name);
    tomb.artifact_id := singularity.artifact_id(tomb.namespace, tomb.kind, tomb.name);
    select h.* into old from singularity.holding h
    where h.artifact_id = tomb.artifact_id order by h.version desc limit 1;
    was_known := old.variant is not null or (
        old.version is null
        and exists (select from singularity.central_copy c where c.artifact_id = tomb.artifact_id)
    );
    if not was_known and (not forget.everywhere or old.version is null or old.withdrawn_through = old.version) then
        return false;
    end if;
    tomb.version := nextval('singularity.version');
    tomb.shared := coalesce(old.shared, true);
    tomb.withdrawn_through := case when forget.everywhere then tomb.version else coalesce(old.withdrawn_through, 0) end;
    tomb.tags := '{}';
    tomb.learned_at := now();
    insert into singularity.holding select tomb.*;
    if forget.everywhere then
        update singularity.holding h set content = null where h.artifact_id = tomb.artifact_id and h.content is not null;
        if singularity.get_setting('mode') <> 'local' then
            insert into singularity.outbox (version, artifact_id) values (tomb.version, tomb.artifact_id);
            perform singularity.delete_replaced_entries(array[tomb.artifact_id]);
        end if;
    end if;
    perform singularity.index_artifacts(array[tomb.artifact_id]);
    perform singularity.ring_doorbell();
    return true;
end
$$;

comment on function singularity.forget(text, text, text, boolean)
is 'Forgets an artifact here: lookup() and recall() no longer return it, from wherever it came, until it is learned again; '
'a tombstone and the older versions stay in history(). With everywhere => true the contents are removed from history '
'too, and what this instance gave to the authority (content and outcomes) is withdrawn. Returns whether there was '
'anything to forget.';

create or replace function singularity.history(kind text, name text, namespace text default 'default')
returns table (
    version bigint, origin text, variant text, content jsonb, summary text, tags text[], shared boolean,
    forgotten boolean, learned_at timestamptz
)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    id uuid := singularity.artifact_id(
        singularity.check_token(history.namespace, 'namespace'), singularity.check_token(history.kind, 'kind'),
        singularity.check_name(history.name));
begin
    return query
    select
        h.version, 'local', h.variant, h.content, h.summary, h.tags, h.shared, h.variant is null, h.learned_at
    from singularity.holding h
    where h.artifact_id = id
    union all
    select c.revision, 'central', c.variant, c.content, c.summary, c.tags, true, false, c.fetched_at
    from singularity.central_copy c
    where c.artifact_id = id
    order by 9 desc, 1 desc;
end
$$;

comment on function singularity.history(text, text, text)
is 'Every version of an artifact that was learned or forgotten here, newest first, and the central copy with the '
'authority''s revision as its version.';

-- -------------------- sql/singularity/questions/functions.sql

create or replace function singularity.is_online() returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select coalesce((
        select b.connected and b.seen_at > clock_timestamp() - interval '10 seconds'
            and a.heard_at > clock_timestamp() - interval '10 seconds'
        from singularity.bridge_state as b, singularity.authority as a
        where singularity.get_setting('mode') <> 'local'
    ), false)
$$;

comment on function singularity.is_online()
is 'Whether the bridge is running and connected and the authority was heard within the last 10 seconds.';

create or replace function singularity.raise_question(query text, kind text, namespace text, name text, tags text[])
returns uuid
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    key text := encode(sha256(convert_to(jsonb_build_array(
        case when raise_question.name is null then raise_question.query end,
        raise_question.kind, raise_question.namespace, raise_question.name, raise_question.tags
    )::text, 'UTF8')), 'hex');
    id uuid;
begin
    if current_setting('transaction_read_only')::boolean or not singularity.is_online() then
        return null;
    end if;
    -- what is open, or was answered a short while ago, is not asked again; a SERIALIZABLE transaction does not look, since
    -- two that look and ask would fail with 40001
    select q.question_id into id from singularity.question q
    where current_setting('transaction_isolation') <> 'serializable' and q.question_key = key and case
        when q.answered_at is null then q.asked_at > now() - singularity.get_setting('question_ttl')::interval
        when singularity.get_setting('mode') = 'central' then false
        when q.results > 0 then q.answered_at > now() - singularity.get_setting('answer_ttl')::interval
        else q.answered_at > now() - singularity.get_setting('negative_ttl')::interval
    end
    order by q.asked_at desc limit 1;
    if not found then
        insert into singularity.question (question_key, query, kind, namespace, name, tags)
        values (key, raise_question.query, raise_question.kind, raise_question.namespace, raise_question.name,
            raise_question.tags)
        returning question_id into id;
        perform singularity.ring_doorbell();
    end if;
    return id;
end
$$;

comment on function singularity.raise_question(text, text, text, text, text[])
is 'Queues a question to the authority, unless offline or in a read-only transaction (then null) or the same one is open '
'or freshly answered (then that one''s id). Inserts only: it waits for no other session.';

create or replace function singularity.ask(query text, kind text default null, namespace text default null) returns uuid
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    id uuid;
begin
    perform singularity.check_query(ask.query), singularity.check_filters(ask.kind, ask.namespace, 0);
    id := singularity.raise_question(ask.query, ask.kind, ask.namespace, null, null);
    if id is null then
        raise notice using message = 'the question was not queued: this instance is not online',
            hint = 'See singularity.status(); recall() answers from what is here.';
    end if;
    return id;
end
$$;

comment on function singularity.ask(text, text, text)
is 'Asks the authority and returns the id of the question at once; null, with a notice, while not online. The answer is '
'kept here for recall() and lookup() and announced on the channel singularity_answer with the payload '
'{"question_id": …, "results": n}; await_answer() waits for it. Errors: 22023 for an empty query or a filter that is not '
'valid.';

create or replace function singularity.question_state(question_id uuid)
returns table (asked_at timestamptz, answered_at timestamptz, results integer)
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select q.asked_at, q.answered_at, q.results
    from singularity.question as q where q.question_id = question_state.question_id
$$;

comment on function singularity.question_state(uuid) is 'How a question stands; no row for an unknown one.';

create or replace procedure singularity.await_answer(question_id uuid, timeout interval default '10 seconds')
language plpgsql
as $$
declare
    deadline timestamptz := clock_timestamp() + timeout;
    pause double precision := 0.005;
    committed boolean;
    answered boolean;
begin
    if timeout is null or timeout < interval '0' then
        raise exception using errcode = 'invalid_parameter_value',
            message = pg_catalog.format('timeout is %s', coalesce(timeout::text, 'null')),
            hint = 'Pass an interval of 0 or more, for example ''10 seconds''.';
    end if;
    call singularity.try_commit(committed);
    if not committed then
        raise exception using errcode = 'active_sql_transaction',
            message = 'await_answer cannot wait inside a transaction block',
            hint = 'The question is sent when its transaction commits: use autocommit, or COMMIT before the CALL.';
    end if;
    loop
        select s.answered_at is not null into answered from singularity.question_state(question_id) as s;
        if answered is null then
            raise exception using errcode = 'no_data_found',
                message = pg_catalog.format('there is no question %s', coalesce(question_id::text, 'null')),
                hint = 'Pass an id that ask() returned; ask() returns null while not online, and old questions are let go.';
        end if;
        exit when answered;
        if clock_timestamp() >= deadline then
            raise notice 'no answer to question % within %', question_id, timeout;
            exit;
        end if;
        -- no transaction stays open while waiting
        commit;
        perform pg_catalog.pg_sleep(pause);
        pause := least(pause * 1.5, 0.1);
    end loop;
end
$$;

comment on procedure singularity.await_answer(uuid, interval)
is 'Waits until a question is answered or the timeout is over (a notice says so); lookup() and recall() then say what is '
'known. It holds no transaction open meanwhile. Errors: P0002 for an unknown question, 22023 for a negative timeout, '
'25001 inside a transaction block (the question is not committed, so no answer can come: use autocommit).';

create or replace function singularity.expire_questions() returns void
language sql security definer
set search_path = pg_catalog, pg_temp
as $$
    delete from singularity.question as q
    where q.question_id in (
        select o.question_id from singularity.question as o
        where o.asked_at < now() - greatest(
            singularity.get_setting('question_ttl')::interval, singularity.get_setting('answer_ttl')::interval,
            singularity.get_setting('negative_ttl')::interval
        )
        for update skip locked
    );
$$;

comment on function singularity.expire_questions() is 'Deletes questions that are over, answered or not.';

-- -------------------- sql/singularity/central/functions.sql

create or replace function singularity.connect(mode text default 'hybrid') returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    if connect.mode is null or connect.mode not in ('local', 'hybrid', 'central') then
        raise exception using errcode = 'invalid_parameter_value',
            message = format('there is no mode %L', connect.mode),
            hint = 'Modes are: local (alone), hybrid (local first, the authority on a miss), central (local first, the '
                'authority asked as well every time).';
    end if;
    perform singularity.keep_present_identity();
    perform singularity.change_settings(jsonb_build_object('mode', connect.mode));
    if connect.mode = 'local' then
        return;
    end if;
    insert into singularity.authority as a (backfill_after) values (pg_current_xact_id())
    on conflict (only_row) do update set backfill_after = excluded.backfill_after;
    perform singularity.backfill();
    perform singularity.ring_doorbell();
end
$$;

comment on function singularity.connect(text)
is 'Connects this instance to the authority, in mode hybrid (local first, the authority on a miss) or central (local '
'first, the authority asked as well every time), and queues everything shared that was learned before. It does not wait '
'for the bridge: see status(). Errors: 22023 for an unknown mode.';

create or replace function singularity.disconnect() returns void
language sql security definer
set search_path = pg_catalog, pg_temp
as $$ select singularity.connect('local') $$;

comment on function singularity.disconnect()
is 'Back to mode local: nothing is sent or asked any more, and nothing is lost; connect() takes it up again.';

create or replace function singularity.follow(kind text, namespace text default 'default') returns void
language sql security definer
set search_path = pg_catalog, pg_temp
as $$
    insert into singularity.followed_topic (namespace, kind)
    values (singularity.check_token(follow.namespace, 'namespace'), singularity.check_token(follow.kind, 'kind'))
    on conflict do nothing
$$;

comment on function singularity.follow(text, text)
is 'Keeps everything that the authority knows of a kind in a namespace here, for use offline, from now on and as it changes. '
'Errors: 22004 and 22023 for a kind or namespace that is not valid.';

create or replace function singularity.unfollow(kind text, namespace text default 'default') returns void
language sql security definer
set search_path = pg_catalog, pg_temp
as $$
    delete from singularity.followed_topic as t
    where t.namespace = singularity.check_token(unfollow.namespace, 'namespace')
        and t.kind = singularity.check_token(unfollow.kind, 'kind')
$$;

comment on function singularity.unfollow(text, text)
is 'Stops following a kind in a namespace; what is here already stays, and is still refreshed.';

create or replace function singularity.take_rows(given jsonb, epoch text, asked boolean) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    taken uuid[];
begin
    with incoming as (
        select distinct on (r.namespace, r.kind, r.name)
            singularity.artifact_id(r.namespace, r.kind, r.name) as artifact_id, r.*
        from jsonb_to_recordset(given) as r (
            namespace text, kind text, name text, variant text, content jsonb, summary text, tags text[],
            level singularity.level, confidence double precision, uses bigint, successes bigint, pinned boolean,
            revision bigint, removed boolean
        )
        order by r.namespace, r.kind, r.name, r.revision desc
    ), wanted as (
        select i.* from incoming i
        left join singularity.central_copy c using (artifact_id)
        left join lateral (
            select h.variant is null as forgotten, true as held from singularity.holding h
            where h.artifact_id = i.artifact_id order by h.version desc limit 1
        ) as h on true
        where not coalesce(h.forgotten, false)
            and (
                asked or c.artifact_id is not null or coalesce(h.held, false)
                or exists (
                    select from singularity.followed_topic t where t.namespace = i.namespace and t.kind = i.kind
                )
            )
            and (c.artifact_id is null or c.epoch <> take_rows.epoch or c.revision <= i.revision)
    ), removed as (
        delete from singularity.central_copy c using wanted w
        where w.removed and c.artifact_id = w.artifact_id
    ), stored as (
        insert into singularity.central_copy as c (
            artifact_id, namespace, kind, name, variant, content, summary, tags, level, confidence, uses, successes,
            pinned, revision, epoch
        )
        select
            w.artifact_id, w.namespace, w.kind, w.name, w.variant, w.content, w.summary, coalesce(w.tags, '{}'), w.level,
            w.confidence, w.uses, w.successes, coalesce(w.pinned, false), w.revision, take_rows.epoch
        from wanted w
        where not coalesce(w.removed, false)
        on conflict (artifact_id) do update set
            variant = excluded.variant, content = excluded.content, summary = excluded.summary, tags = excluded.tags,
            level = excluded.level, confidence = excluded.confidence, uses = excluded.uses,
            successes = excluded.successes, pinned = excluded.pinned, revision = excluded.revision,
            epoch = excluded.epoch, fetched_at = excluded.fetched_at
    )
    select array_agg(w.artifact_id) into taken from wanted w;
    if taken is not null then
        perform singularity.index_artifacts(taken);
    end if;
end
$$;

comment on function singularity.take_rows(jsonb, text, boolean)
is 'Takes in refined knowledge: of what was asked for all, else what is followed, held or cached here and not older than '
'the copy; what was forgotten here stays forgotten.';

create or replace function singularity.hear_heads(heads jsonb) returns void
language sql security definer
set search_path = pg_catalog, pg_temp
as $$
    update singularity.topic as t set
        head = h.head::bigint,
        -- an authority that went back in time numbers anew: take the topic from its start
        position = case when h.head::bigint < t.position then 0 else t.position end,
        synced_at = case when h.head::bigint = t.position then now() else t.synced_at end
    from jsonb_each_text(heads) as h (topic, head)
    where t.namespace = split_part(h.topic, '/', 1) and t.kind = split_part(h.topic, '/', 2)
        and (t.head <> h.head::bigint or t.synced_at is null or t.synced_at < now() - interval '30 seconds');
$$;

comment on function singularity.hear_heads(jsonb)
is 'Notes the heads of topics, a JSON object of namespace/kind and number; a head beyond the position is a page to fetch.';

create or replace function singularity.mind_topics(heads jsonb) returns void
language sql security definer
set search_path = pg_catalog, pg_temp
as $$
    insert into singularity.topic (namespace, kind, position, head)
    select split_part(h.topic, '/', 1), split_part(h.topic, '/', 2), h.head::bigint, h.head::bigint
    from jsonb_each_text(heads) as h (topic, head)
    on conflict do nothing;
$$;

comment on function singularity.mind_topics(jsonb)
is 'Starts to watch topics that this instance now holds something of, from the heads that came with it.';

create or replace function singularity.hear_authority(epoch text) returns void
language sql security definer
set search_path = pg_catalog, pg_temp
as $$
    update singularity.authority as a set
        heard_at = clock_timestamp(),
        -- a new epoch wants a new hello
        welcomed_at = case when a.epoch = hear_authority.epoch then a.welcomed_at end,
        epoch = hear_authority.epoch;
$$;

comment on function singularity.hear_authority(text) is 'Notes that the authority was heard just now, and its epoch.';

create or replace function singularity.apply_refined(body jsonb) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    perform singularity.take_rows(body -> 'rows', body ->> 'epoch', false);
    update singularity.topic t set
        head = greatest(t.head, (body ->> 'to')::bigint),
        position = case
            when (body ->> 'from')::bigint <= t.position then greatest(t.position, (body ->> 'to')::bigint)
            else t.position
        end
    where t.namespace = body ->> 'namespace' and t.kind = body ->> 'kind';
end
$$;

comment on function singularity.apply_refined(jsonb)
is 'Takes in a push or a page of changes after number "from" up to "to"; where something is missing before it, the '
'position stays and the page is asked for.';

create or replace function singularity.prepare_topics() returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    -- a topic that is followed from now on is wanted from its start
    insert into singularity.topic as t (namespace, kind, followed)
    select f.namespace, f.kind, true from singularity.followed_topic f
    where not exists (
        select from singularity.topic s where s.namespace = f.namespace and s.kind = f.kind and s.followed
    )
    on conflict (namespace, kind) do update set followed = true, position = 0;
    update singularity.topic t set followed = false
    where t.followed and not exists (
        select from singularity.followed_topic f where f.namespace = t.namespace and f.kind = t.kind
    );
end
$$;

comment on function singularity.prepare_topics() is 'Makes the topics that are followed, or no longer, known to the bridge.';

create or replace function singularity.delete_forgotten_copies() returns void
language sql security definer
set search_path = pg_catalog, pg_temp
as $$
    delete from singularity.central_copy as c
    using singularity.holding as h
    where h.artifact_id = c.artifact_id and h.variant is null and not exists (
        select from singularity.holding as newer
        where newer.artifact_id = h.artifact_id and newer.version > h.version
    );
$$;

comment on function singularity.delete_forgotten_copies() is 'Deletes central copies of what was forgotten here.';

-- -------------------- sql/singularity/contribution/functions.sql

create or replace function singularity.holding_to_send(artifact_id uuid) returns setof singularity.holding
language sql stable
begin atomic
    -- forgetting here alone is nobody else's business: what was said before stays said
    select h.*
    from singularity.holding as h
    where h.artifact_id = holding_to_send.artifact_id
        and (h.variant is not null or h.withdrawn_through = h.version)
    order by h.version desc
    limit 1;
end;

comment on function singularity.holding_to_send(uuid) is 'The state of a holding that the authority is to know.';

create or replace function singularity.is_for_authority(artifact_id uuid) returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select h.shared and h.variant is not null
        or exists (
            select from singularity.delivery as d
            where d.artifact_id = is_for_authority.artifact_id
        )
    from singularity.holding as h
    where h.artifact_id = is_for_authority.artifact_id
    order by h.version desc
    limit 1
$$;

comment on function singularity.is_for_authority(uuid)
is 'Whether the authority is to hear of a holding: it is shared, or something of it was offered to the broker before (then '
'its withdrawal is told). What was never offered is dropped instead of withdrawn.';

create or replace function singularity.evidence_may_leave(artifact_id uuid, version bigint) returns boolean
language sql stable
begin atomic
    select coalesce((
        select
            h.shared and (h.variant is not null or h.withdrawn_through < h.version)
            and h.withdrawn_through < evidence_may_leave.version
        from singularity.holding as h
        where h.artifact_id = evidence_may_leave.artifact_id
        order by h.version desc
        limit 1
    ), true);
end;

comment on function singularity.evidence_may_leave(uuid, bigint)
is 'Whether counters of that version may be told to the authority: not while their artifact is unshared or forgotten '
'everywhere, and never again those from before that.';

create or replace function singularity.delete_replaced_entries(artifact_ids uuid[]) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    -- above READ COMMITTED the locking clause would raise 40001; the bridge passes over what stays
    if current_setting('transaction_isolation') <> 'read committed' then
        return;
    end if;
    delete from singularity.outbox o
    where o.version in (
        select e.version from singularity.outbox e
        where e.artifact_id = any (artifact_ids) and exists (
            select from singularity.outbox newer
            where newer.artifact_id = e.artifact_id and newer.variant = e.variant
                and newer.incarnation = e.incarnation and newer.version > e.version
        )
        for update skip locked
    );
end
$$;

comment on function singularity.delete_replaced_entries(uuid[])
is 'Keeps the outbox a set: deletes entries that a newer one of the same holding or evidence has replaced.';

create or replace function singularity.backfill() returns bigint
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set jit = off
as $$
#variable_conflict use_column
declare
    queued bigint;
begin
    insert into singularity.outbox (version, artifact_id, variant, incarnation)
    select s.version, s.artifact_id, s.variant, s.incarnation
    from (
        select h.version, h.artifact_id, '' as variant, '00000000-0000-0000-0000-000000000000'::uuid as incarnation
        from (select distinct artifact_id from singularity.holding) as a
        cross join lateral singularity.holding_to_send(a.artifact_id) as h
        where singularity.is_for_authority(a.artifact_id)
        union all
        select e.version, e.artifact_id, e.variant, e.incarnation from singularity.evidence e
        where e.shared and singularity.evidence_may_leave(e.artifact_id, e.version)
    ) as s
    left join singularity.delivery d using (artifact_id, variant, incarnation)
    where s.version > coalesce(d.confirmed_version, 0)
        and not exists (
            select from singularity.outbox o
            where o.artifact_id = s.artifact_id and o.variant = s.variant and o.incarnation = s.incarnation
                and o.version >= s.version
        )
    on conflict do nothing;
    get diagnostics queued = row_count;
    return queued;
end
$$;

comment on function singularity.backfill()
is 'Queues everything shared that the authority has not confirmed and that is not queued, in one statement; returns how '
'many entries that were.';

create or replace function singularity.finish_backfill() returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    -- a transaction that was open during connect() may have learned in local mode; wait for them all, without waiting
    if exists (
        select from singularity.authority as c
        where c.backfill_after is not null and not exists (
            select from pg_stat_activity as a
            where a.datname = current_database() and a.pid <> pg_backend_pid()
                and greatest(age(a.backend_xid), age(a.backend_xmin)) >= age(c.backfill_after::xid)
        )
        and not exists (
            select from pg_prepared_xacts as p
            where p.database = current_database() and age(p.transaction) >= age(c.backfill_after::xid)
        )
    ) then
        perform singularity.backfill();
        update singularity.authority set backfill_after = null;
    end if;
end
$$;

comment on function singularity.finish_backfill()
is 'Queues what transactions learned that were open during connect(), once the last of them has ended.';

create or replace function singularity.take_entries(max_entries integer)
returns table (artifact_id uuid, variant text, incarnation uuid)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return query
    select distinct o.artifact_id, o.variant, o.incarnation
    from (
        select e.artifact_id, e.variant, e.incarnation from singularity.outbox e
        where e.shipment_id is null order by e.version limit max_entries for update skip locked
    ) as o;
end
$$;

comment on function singularity.take_entries(integer) is 'The holdings and evidence of the oldest entries that wait to be sent.';

create or replace function singularity.record_to_send(artifact_id uuid, variant text, incarnation uuid)
returns table (version bigint, record jsonb)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    if record_to_send.variant = '' then
        return query
        select h.version, jsonb_build_object(
            'what', 'holding', 'namespace', h.namespace, 'kind', h.kind, 'name', h.name, 'version', h.version,
            'withdrawn_through', h.withdrawn_through
        ) || case when h.withdrawn_through < h.version then jsonb_build_object(
            'variant', h.variant, 'content', h.content, 'summary', h.summary, 'tags', to_jsonb(h.tags)
        ) else '{}' end
        from singularity.holding_to_send(record_to_send.artifact_id) as h
        where singularity.is_for_authority(record_to_send.artifact_id);
    else
        return query
        select e.version, jsonb_build_object(
            'what', 'evidence', 'namespace', e.namespace, 'kind', e.kind, 'name', e.name, 'version', e.version,
            'variant', e.variant, 'incarnation', e.incarnation, 'uses', e.uses, 'successes', e.successes,
            'failures', e.failures, 'last_used_at', e.last_used_at
        )
        from singularity.evidence e
        where e.artifact_id = record_to_send.artifact_id and e.variant = record_to_send.variant
            and e.incarnation = record_to_send.incarnation and e.shared
            and singularity.evidence_may_leave(e.artifact_id, e.version);
    end if;
end
$$;

comment on function singularity.record_to_send(uuid, text, uuid)
is 'The present state of a holding (empty variant) or of evidence as a record of a message, with its version; no row when '
'the authority is not to hear of it.';

create or replace function singularity.next_shipment()
returns table (message_id text, payload bytea)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    max_records constant integer := 300;
    shipment uuid := gen_random_uuid();
    taken record;
begin
    with entry as (
        select t.*, r.version, r.record, coalesce(d.attempts, 0) as attempts, coalesce(d.offered_version, 0) as offered_version,
            sum(octet_length(r.record::text) + 2) over (order by r.version) as size,
            row_number() over (order by r.version) as n
        from singularity.take_entries(max_records) as t
        left join singularity.delivery d using (artifact_id, variant, incarnation)
        left join lateral singularity.record_to_send(t.artifact_id, t.variant, t.incarnation) as r
            on r.version > coalesce(d.confirmed_version, 0)
    ), sent as (
        select * from entry e
        where e.version is not null and (e.n = 1 or e.size < singularity.message_limit() - 1024)
    ), offered as (
        insert into singularity.delivery as d (artifact_id, variant, incarnation, offered_version)
        select s.artifact_id, s.variant, s.incarnation, s.version from sent s
        on conflict (artifact_id, variant, incarnation) do update set
            offered_version = excluded.offered_version,
            attempts = case when d.offered_version = excluded.offered_version then d.attempts + 1 else 1 end
    ), marked as (
        update singularity.outbox o set shipment_id = shipment
        where o.version in (
            select x.version from sent s
            join singularity.outbox x using (artifact_id, variant, incarnation)
            where x.version <= s.version
            for update of x skip locked
        )
    ), dropped as (
        delete from singularity.outbox o
        where o.version in (
            select x.version from entry e
            join singularity.outbox x using (artifact_id, variant, incarnation)
            where e.version is null
            for update of x skip locked
        )
    )
    select
        jsonb_agg(s.record order by s.version) as records,
        max(case when s.offered_version = s.version then s.attempts + 1 else 1 end) as attempt
    into taken
    from sent s;
    if taken.records is null then
        return;
    end if;
    insert into singularity.shipment (shipment_id, attempt) values (shipment, taken.attempt);
    return query
    select 'contribution:' || shipment, singularity.encode_message(jsonb_build_object(
        'type', 'contribution',
        'instance', i.instance_id,
        'instance_name', singularity.instance_name(),
        'environment', singularity.get_setting('environment'),
        'records', taken.records
    ))
    from singularity.present_identity() as i;
end
$$;

comment on function singularity.next_shipment()
is 'Builds one message from the oldest entries that wait, at most 300 records and message_limit() bytes, and marks them '
'as offered; entries that the authority is not to hear of, or has confirmed already, are dropped.';

create or replace function singularity.resend_lost_shipments() returns void
language sql security definer
set search_path = pg_catalog, pg_temp
as $$
    -- the pauses double with each attempt, up to five minutes
    update singularity.outbox as o set shipment_id = null
    where o.version in (
        select w.version
        from singularity.shipment as s
        cross join lateral (select least(power(2, s.attempt), 300) * interval '1 second' as pause) as p
        left join singularity.authority as a on singularity.is_online()
        left join singularity.bridge_state as b on b.connected
        inner join singularity.outbox as w on s.shipment_id = w.shipment_id
        where case
            when s.failed_at is not null then s.failed_at + p.pause / 4 < clock_timestamp()
            when s.stream_created is null then s.offered_at + interval '10 seconds' < clock_timestamp()
            -- another stream than the one that took it: the broker has lost it
            when s.stream_created <> b.streams -> singularity.stream_name() ->> 'created' then true
            -- the authority has passed it and sent no receipt, or the receipt was lost
            else s.stream_created = a.stream_created and s.stream_sequence <= a.stream_passed
                and s.offered_at + p.pause < clock_timestamp()
        end
        for update of w skip locked
    );
    delete from singularity.shipment as s
    where not exists (select from singularity.outbox as o where o.shipment_id = s.shipment_id)
        and s.offered_at < clock_timestamp() - interval '10 seconds';
$$;

comment on function singularity.resend_lost_shipments()
is 'Puts entries back into the waiting part of the outbox whose message the broker refused or lost, or that the authority '
'has passed without a receipt.';

create or replace function singularity.apply_receipts(records jsonb) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    with receipt as (
        select distinct on (r.artifact_id, r.variant, r.incarnation)
            r.artifact_id, coalesce(r.variant, '') as variant,
            coalesce(r.incarnation, '00000000-0000-0000-0000-000000000000') as incarnation, r.version, r.verdict, r.reason
        from jsonb_to_recordset(records) as r (
            artifact_id uuid, variant text, incarnation uuid, version bigint, verdict text, reason text
        )
        order by r.artifact_id, r.variant, r.incarnation, r.version desc
    ), confirmed as (
        update singularity.delivery d set
            confirmed_version = r.version, verdict = r.verdict, reason = r.reason, confirmed_at = clock_timestamp()
        from receipt r
        where d.artifact_id = r.artifact_id and d.variant = r.variant and d.incarnation = r.incarnation
            -- only what was offered can be confirmed
            and r.version between d.confirmed_version and d.offered_version
        returning d.artifact_id, d.variant, d.incarnation, d.confirmed_version
    )
    delete from singularity.outbox o
    where o.version in (
        select e.version from confirmed c
        join singularity.outbox e using (artifact_id, variant, incarnation)
        where e.version <= c.confirmed_version
        for update of e skip locked
    );
end
$$;

comment on function singularity.apply_receipts(jsonb)
is 'Notes what the authority has committed: an outbox entry leaves only when a receipt names its version or a later one.';

-- -------------------- sql/singularity/bridge/functions.sql

-- The instance's half of the bridge's contract: what to have, what to send, what to do with what comes.

create or replace function singularity.stream_name() returns text
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$ select singularity.get_setting('subject_prefix') || '_contributions' $$;

comment on function singularity.stream_name() is 'Name of the JetStream stream that takes contributions.';

create or replace function singularity.bridge_plan() returns jsonb
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    prefix text := singularity.get_setting('subject_prefix');
    me uuid := (singularity.present_identity()).instance_id;
begin
    return singularity.with_revision(jsonb_build_object(
        'extension', 'singularity',
        'version', '0.1.0',
        'protocol', 1,
        'client_name', 'singularity/' || singularity.instance_name(),
        'inbox_prefix', prefix || '.inbox.' || me,
        'bell', 'singularity_bell',
        'poll_ms', 250,
        'tick_ms', 1000,
        'speaking', singularity.get_setting('mode') <> 'local',
        'lanes', '[{"name": "question", "window": 32}, {"name": "sync", "window": 4}, {"name": "contribution", "window": 16}]'::jsonb,
        'streams', jsonb_build_array(jsonb_build_object('name', singularity.stream_name(), 'create', false)),
        'consumers', '[]'::jsonb,
        'subscriptions', jsonb_build_array(prefix || '.receipt.' || me, prefix || '.heads') || coalesce((
            select jsonb_agg(prefix || '.refined.' || t.namespace || '.' || t.kind order by t.namespace, t.kind)
            from singularity.topic t
        ), '[]'),
        'service', null
    ));
end
$$;

comment on function singularity.bridge_plan() is 'What the bridge is to have, consume and serve, as a JSON object.';

create or replace function singularity.bridge_attached() returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    update singularity.authority set welcomed_at = null, hello_sent_at = null;
    update singularity.topic set requested_at = null;
    perform singularity.restore_indexes();
    if singularity.get_setting('mode') <> 'local' then
        -- what a restored dump or a crash has left unqueued
        perform singularity.backfill();
    end if;
end
$$;

comment on function singularity.bridge_attached() is 'What is to be done when a bridge takes over.';

create or replace function singularity.lanes_with_work() returns text[]
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    lanes text[] := array[]::text[];
begin
    if not exists (select from singularity.bridge_state b where b.connected)
        or singularity.get_setting('mode') = 'local' then
        return lanes;
    end if;
    if exists (select from singularity.question q where q.answered_at is null and q.next_attempt_at <= now()) then
        lanes := array_append(lanes, 'question');
    end if;
    if singularity.hello_is_due() or exists (select from singularity.topics_to_fetch()) then
        lanes := array_append(lanes, 'sync');
    end if;
    if exists (select from singularity.outbox o where o.shipment_id is null) or exists (select from singularity.outcome) then
        lanes := array_append(lanes, 'contribution');
    end if;
    return lanes;
end
$$;

comment on function singularity.lanes_with_work() is 'Names of the lanes that have something to send now.';

create or replace function singularity.hello_is_due() returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select exists (
        select from singularity.authority as a, singularity.bridge_state as b
        where (a.welcomed_at is null or a.welcomed_at < b.connected_at)
            and (a.hello_sent_at is null or a.hello_sent_at < greatest(
                b.connected_at, clock_timestamp() - interval '2 seconds'
            ))
    )
$$;

comment on function singularity.hello_is_due() is 'Whether a hello is to be said: to a new connection or a new epoch, and again until it is answered.';

create or replace function singularity.topics_to_fetch() returns setof singularity.topic
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select t.* from singularity.topic as t
    where t.position < t.head and (t.requested_at is null or t.requested_at < clock_timestamp() - interval '10 seconds')
        and singularity.is_online()
$$;

comment on function singularity.topics_to_fetch() is 'Topics that lag behind the authority and have no page under way.';

create or replace function singularity.bridge_outgoing(lane text, max_messages integer)
returns table (message_id text, via text, subject text, headers jsonb, payload bytea, timeout_ms integer)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set jit = off
as $$
#variable_conflict use_column
declare
    prefix text := singularity.get_setting('subject_prefix');
    me uuid := (singularity.present_identity()).instance_id;
    service text := prefix || '.centralcloud.';
begin
    case bridge_outgoing.lane
        when 'question' then
            return query
            select q.message_id, 'request', service || 'ask.' || me, null::jsonb, q.payload, 5000
            from singularity.next_questions(max_messages) as q;
        when 'sync' then
            return query
            select h.message_id, 'request', service || 'hello.' || me, null::jsonb, h.payload, 5000
            from singularity.next_hello() as h;
            return query
            select c.message_id, 'request', service || 'changes.' || me, null::jsonb, c.payload, 10000
            from singularity.next_change_requests(max_messages) as c;
        when 'contribution' then
            perform singularity.fold_outcomes(10000);
            for i in 1 .. max_messages loop
                return query
                select s.message_id, 'stream', prefix || '.contribute.' || me, null::jsonb, s.payload, 5000
                from singularity.next_shipment() as s;
                exit when not found;
            end loop;
    end case;
end
$$;

comment on function singularity.bridge_outgoing(text, integer)
is 'Messages of a lane to send now; they are marked as offered, so the transaction is committed before they are sent.';

create or replace function singularity.next_questions(max_questions integer)
returns table (message_id text, payload bytea)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return query
    with due as (
        select q.question_id from singularity.question q
        where q.answered_at is null and q.next_attempt_at <= now()
            and q.asked_at > now() - singularity.get_setting('question_ttl')::interval
        order by q.next_attempt_at limit max_questions for update skip locked
    ), sent as (
        update singularity.question q set
            attempts = q.attempts + 1,
            -- beyond the time that the answer may take, and ever longer
            next_attempt_at = clock_timestamp() + least(6 + power(2, q.attempts), 60) * interval '1 second'
        from due where q.question_id = due.question_id
        returning q.*
    )
    select 'question:' || s.question_id, singularity.encode_message(jsonb_build_object(
        'type', 'ask', 'instance', (singularity.present_identity()).instance_id, 'request', s.question_id,
        'query', s.query, 'namespace', s.namespace, 'kind', s.kind, 'name', s.name, 'tags', s.tags
    ))
    from sent s;
end
$$;

comment on function singularity.next_questions(integer) is 'Questions to send now, as requests to the authority.';

create or replace function singularity.next_hello() returns table (message_id text, payload bytea)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    if not singularity.hello_is_due() then
        return;
    end if;
    update singularity.authority set hello_sent_at = clock_timestamp();
    return query
    select 'hello:' || i.instance_id, singularity.encode_message(jsonb_build_object(
        'type', 'hello', 'instance', i.instance_id, 'request', 'hello', 'instance_name', singularity.instance_name(),
        'environment', singularity.get_setting('environment'), 'incarnation', i.incarnation,
        'extension_version', '0.1.0', 'greatest_version', s.last_value
    ))
    from singularity.present_identity() as i, singularity.version as s;
end
$$;

comment on function singularity.next_hello() is 'A hello to the authority when one is due.';

create or replace function singularity.next_change_requests(max_requests integer)
returns table (message_id text, payload bytea)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return query
    with due as (
        select t.namespace, t.kind from singularity.topics_to_fetch() as t limit max_requests
    ), asked as (
        update singularity.topic t set requested_at = clock_timestamp()
        from due where t.namespace = due.namespace and t.kind = due.kind
        returning t.*
    )
    select 'changes:' || a.namespace || '/' || a.kind, singularity.encode_message(jsonb_build_object(
        'type', 'changes', 'instance', (singularity.present_identity()).instance_id,
        'request', a.namespace || '/' || a.kind, 'namespace', a.namespace, 'kind', a.kind, 'after', a.position
    ))
    from asked a;
end
$$;

comment on function singularity.next_change_requests(integer) is 'Requests for pages of changes of topics that lag behind.';

create or replace function singularity.bridge_result(results jsonb) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set jit = off
as $$
#variable_conflict use_column
declare
    result record;
begin
    update singularity.shipment s set
        stream_created = r.stream_created, stream_sequence = r.sequence,
        failed_at = case when not r.ok then clock_timestamp() end
    from jsonb_to_recordset(results) as r (message_id text, ok boolean, stream_created text, sequence bigint)
    where r.message_id = 'contribution:' || s.shipment_id;
    for result in
        select r.message_id, r.ok, decode(r.reply, 'base64') as reply
        from jsonb_to_recordset(results) as r (message_id text, ok boolean, reply text)
        where r.message_id not like 'contribution:%'
    loop
        if result.ok then
            perform singularity.take_reply(result.message_id, result.reply);
        else
            perform singularity.note_failed_request(result.message_id);
        end if;
    end loop;
end
$$;

comment on function singularity.bridge_result(jsonb) is 'Takes what became of messages that were sent: acknowledgements, replies and failures.';

create or replace function singularity.note_failed_request(message_id text) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    if split_part(message_id, ':', 1) = 'question' then
        update singularity.question q set
            next_attempt_at = clock_timestamp() + least(power(2, q.attempts - 1), 30) * interval '1 second'
        where q.question_id = split_part(note_failed_request.message_id, ':', 2)::uuid;
    elsif split_part(message_id, ':', 1) = 'changes' then
        -- not at once: topics_to_fetch() tries again after a pause
        update singularity.topic t set requested_at = clock_timestamp() - interval '8 seconds'
        where t.namespace || '/' || t.kind = split_part(note_failed_request.message_id, ':', 2);
    end if;
end
$$;

comment on function singularity.note_failed_request(text) is 'A request without an answer is tried again after a pause that grows.';

create or replace function singularity.take_reply(message_id text, payload bytea) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    about text := split_part(message_id, ':', 1);
    body jsonb;
begin
    body := singularity.decode_message(payload);
    if body ->> 'request' is distinct from (case about when 'hello' then 'hello' else split_part(message_id, ':', 2) end) then
        raise exception using errcode = 'invalid_parameter_value',
            message = format('reply to request %L came for %L', body ->> 'request', message_id);
    end if;
    perform singularity.hear_authority(body ->> 'epoch');
    case about || ' ' || (body ->> 'type')
        when 'question answer' then
            perform singularity.take_answer(split_part(message_id, ':', 2)::uuid, body);
        when 'changes changes' then
            perform singularity.apply_refined(body);
            update singularity.topic t set requested_at = null, head = greatest(t.head, (body ->> 'head')::bigint)
            where t.namespace = body ->> 'namespace' and t.kind = body ->> 'kind';
        when 'hello welcome' then
            perform singularity.take_welcome(body);
        else
            raise exception using errcode = 'feature_not_supported',
                message = format('reply of type %L came for %L', body ->> 'type', message_id);
    end case;
exception when others then
    if singularity.is_transient(sqlstate) then
        raise;
    end if;
    insert into singularity.dead_letter as d (subject, payload, meta, error_code, error)
    values ('reply to ' || take_reply.message_id, take_reply.payload, '{}', sqlstate, sqlerrm)
    on conflict (subject, sha256(payload)) do update set received_at = now();
    perform singularity.note_failed_request(take_reply.message_id);
end
$$;

comment on function singularity.take_reply(text, bytea)
is 'Applies the authority''s reply to a request; one that cannot be applied becomes a dead letter and the request is tried again.';

create or replace function singularity.take_answer(question_id uuid, body jsonb) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    rows_found integer := jsonb_array_length(body -> 'rows');
    answered uuid;
begin
    perform singularity.take_rows(body -> 'rows', body ->> 'epoch', true);
    perform singularity.mind_topics(body -> 'heads');
    for answered in
        update singularity.question q set answered_at = clock_timestamp(), results = rows_found
        from singularity.question asked
        where asked.question_id = take_answer.question_id
            and q.question_key = asked.question_key and q.answered_at is null
        returning q.question_id
    loop
        perform pg_notify(
            'singularity_answer', json_build_object('question_id', answered, 'results', rows_found)::text
        );
    end loop;
end
$$;

comment on function singularity.take_answer(uuid, jsonb)
is 'Keeps the rows of an answer, closes every open question that asked the same and announces each on singularity_answer.';

create or replace function singularity.take_welcome(body jsonb) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    mine bigint := (select s.last_value from singularity.version as s);
begin
    -- go on above what the authority knows of this instance
    if (body ->> 'known_version')::bigint > mine then
        perform setval('singularity.version', (body ->> 'known_version')::bigint);
    end if;
    update singularity.authority set welcomed_at = clock_timestamp();
    perform singularity.hear_heads(body -> 'heads');
end
$$;

comment on function singularity.take_welcome(jsonb) is 'Takes the authority''s answer to a hello: the greatest version it knows, and heads.';

create or replace function singularity.apply_messages(subjects text[], bodies jsonb[], meta jsonb[])
returns table (subject_number integer, subject text, headers jsonb, payload bytea)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    records jsonb;
    body jsonb;
begin
    select jsonb_agg(r.value) into records
    from unnest(bodies) as b (body)
    cross join lateral jsonb_array_elements(b.body -> 'records') as r
    where b.body ->> 'type' = 'receipt';
    if records is not null then
        perform singularity.apply_receipts(records);
    end if;
    foreach body in array bodies loop
        perform singularity.hear_authority(body ->> 'epoch');
        case body ->> 'type'
            when 'receipt' then
                perform singularity.mind_topics(body -> 'heads');
            when 'refined' then
                perform singularity.apply_refined(body);
            when 'heads' then
                perform singularity.hear_heads(body -> 'heads');
                update singularity.authority set
                    stream_created = body ->> 'stream_created', stream_passed = (body ->> 'stream_passed')::bigint;
            else
                raise exception using errcode = 'feature_not_supported',
                    message = format('message of unknown type %L', body ->> 'type');
        end case;
    end loop;
    return;
end
$$;

comment on function singularity.apply_messages(text[], jsonb[], jsonb[])
is 'Applies receipts, refined knowledge and heartbeats; an instance publishes nothing in reply.';

create or replace function singularity.answer_poison(from_subject text, from_payload bytea, error text)
returns table (subject text, headers jsonb, payload bytea)
language sql immutable
set search_path = pg_catalog, pg_temp
as $$ select null::text, null::jsonb, null::bytea where false $$;

comment on function singularity.answer_poison(text, bytea, text) is 'An instance answers nothing to a message that it cannot apply.';

create or replace function singularity.bridge_serve(subject text, payload bytea) returns bytea
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set jit = off
as $$
begin
    raise exception using errcode = 'feature_not_supported',
        message = format('an instance serves no requests, one came on %s', bridge_serve.subject);
end
$$;

comment on function singularity.bridge_serve(text, bytea) is 'An instance serves no requests: always raises 0A000.';

create or replace function singularity.background() returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform singularity.fold_outcomes(10000), singularity.expire_questions(), singularity.delete_forgotten_copies(),
        singularity.fold_lexemes(1000), singularity.index_vectors(200);
    if singularity.get_setting('mode') <> 'local' then
        perform singularity.finish_backfill(), singularity.resend_lost_shipments(), singularity.prepare_topics();
    end if;
end
$$;

comment on function singularity.background() is 'The work that the bridge''s tick does.';

create or replace procedure singularity.maintain()
language plpgsql
as $$
declare
    committed boolean;
begin
    while singularity.fold_outcomes(10000) > 0 loop
        call singularity.try_commit(committed);
    end loop;
    perform singularity.expire_questions();
    call singularity.maintain_search();
end
$$;

comment on procedure singularity.maintain()
is 'The background work of a database without a bridge: adds outcomes up into evidence, lets old questions go, counts lexemes '
'and puts the vectors of learn_many() into their index, in batches that commit (not inside a transaction block). A bridge '
'does the same by itself.';

-- -------------------- sql/singularity/status/functions.sql

create or replace view singularity.outbox_entries as
select
    o.artifact_id,
    case when o.variant = '' then 'holding' else 'evidence' end as what,
    nullif(o.variant, '') as variant,
    max(o.version) as version,
    min(o.queued_at) as queued_at
from singularity.outbox as o
group by o.artifact_id, o.variant, o.incarnation;

comment on view singularity.outbox_entries is 'What the authority has not confirmed: one row for each changed holding or evidence.';
comment on column singularity.outbox_entries.artifact_id is 'Id of the artifact.';
comment on column singularity.outbox_entries.what is 'holding or evidence.';
comment on column singularity.outbox_entries.variant is 'Variant of the evidence; null for a holding.';
comment on column singularity.outbox_entries.version is 'The version to be confirmed.';
comment on column singularity.outbox_entries.queued_at is 'When the oldest unconfirmed change was made.';

create or replace function singularity.status() returns table (
    instance_id uuid, instance_name text, environment text, mode text, online boolean, bridge_seen_at timestamptz,
    authority_heard_at timestamptz, outbox_entries bigint, outbox_oldest_at timestamptz, open_questions bigint,
    cached_artifacts bigint, set_aside bigint, dead_letters bigint, extension_version text, bridge_version text
)
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select
        (singularity.present_identity()).instance_id,
        singularity.instance_name(),
        singularity.get_setting('environment'),
        singularity.get_setting('mode'),
        singularity.is_online(),
        (select b.seen_at from singularity.bridge_state as b),
        (select a.heard_at from singularity.authority as a),
        (select count(*) from singularity.outbox_entries),
        (select min(o.queued_at) from singularity.outbox as o),
        (
            select count(*) from singularity.question as q
            where q.answered_at is null
                and q.asked_at > now() - singularity.get_setting('question_ttl')::interval
        ),
        (select count(*) from singularity.central_copy),
        (select count(*) from singularity.delivery as d where d.verdict in ('set aside', 'refused')),
        (select count(*) from singularity.dead_letter),
        (select e.extversion::text from pg_extension as e where e.extname = 'singularity'),
        (select b.bridge_version from singularity.bridge_state as b)
$$;

comment on function singularity.status()
is 'How things stand, in one row: who this instance is, its mode, whether the authority can be reached (online), when the '
'bridge reported and the authority was heard, what waits to be confirmed and since when, open questions, cached central '
'copies, contributions that the authority set aside or refused, messages that could not be applied, versions.';

-- -------------------- sql/shared/messaging/grants.sql

-- Nothing is anybody's unless it is granted below this line of the manifest.
revoke all on all routines in schema @extschema@ from public;

grant usage on schema @extschema@ to singularity_reader, singularity_bridge;
grant select on all tables in schema @extschema@ to singularity_reader, singularity_bridge;

grant execute on function @extschema@.bridge_attach(text, integer) to singularity_bridge;
grant execute on function @extschema@.bridge_detach() to singularity_bridge;
grant execute on function @extschema@.bridge_plan() to singularity_bridge;
grant execute on function @extschema@.bridge_arm() to singularity_bridge;
grant execute on function @extschema@.bridge_outgoing(text, integer) to singularity_bridge;
grant execute on function @extschema@.bridge_result(jsonb) to singularity_bridge;
grant execute on function @extschema@.bridge_receive(text[], bytea[], jsonb[]) to singularity_bridge;
grant execute on function @extschema@.bridge_serve(text, bytea) to singularity_bridge;
grant execute on function @extschema@.bridge_tick(jsonb) to singularity_bridge;
-- the view configuration calls it with the rights of who reads it
grant execute on function @extschema@.setting_definitions() to singularity_reader, singularity_bridge;

-- -------------------- sql/shared/transactions/grants.sql

grant execute on procedure @extschema@.try_commit(boolean) to singularity_reader;

-- -------------------- sql/shared/embedding/grants.sql

grant execute on function @extschema@.embed(text) to singularity_reader;
grant execute on function @extschema@.embed_many(text[]) to singularity_reader;
grant execute on function @extschema@.current_contract() to singularity_reader;
-- what those call with the rights of who calls them
grant execute on function @extschema@.shipped_contract() to singularity_reader;
grant execute on function @extschema@.load_model() to singularity_reader;
grant execute on function @extschema@.server_files() to singularity_reader;
grant execute on function @extschema@.vector_literals(text[]) to singularity_reader;
grant execute on function @extschema@.to_unit_vector(text) to singularity_reader;

-- -------------------- sql/shared/search/grants.sql

grant execute on function @extschema@.relevance(double precision, double precision, double precision, boolean)
to singularity_reader;

-- -------------------- sql/singularity/grants.sql

grant execute on function singularity.lookup(text, text, text) to singularity_reader;
grant execute on function singularity.recall(
    text, text, text, text[], integer, double precision, singularity.level, vector, text
) to singularity_reader;
grant execute on function singularity.explain_recall(
    text, text, text, text[], integer, double precision, singularity.level, vector, text
) to singularity_reader;
grant execute on function singularity.related(text, text, text, integer) to singularity_reader;
grant execute on function singularity.history(text, text, text) to singularity_reader;
grant execute on function singularity.ask(text, text, text) to singularity_reader;
grant execute on function singularity.question_state(uuid) to singularity_reader;
grant execute on procedure singularity.await_answer(uuid, interval) to singularity_reader;
grant execute on function singularity.status() to singularity_reader, singularity_bridge;
grant execute on function singularity.artifact_id(text, text, text) to singularity_reader;
grant execute on function singularity.variant_of(jsonb) to singularity_reader;

grant execute on function singularity.learn(text, text, jsonb, text, text[], text, boolean, vector, text)
to singularity_writer;
grant execute on function singularity.learn_many(jsonb) to singularity_writer;
grant execute on function singularity.record_outcome(text, text, boolean, text, text) to singularity_writer;
grant execute on function singularity.forget(text, text, text, boolean) to singularity_writer;
grant execute on function singularity.follow(text, text) to singularity_writer;
grant execute on function singularity.unfollow(text, text) to singularity_writer;
grant execute on function singularity.connect(text) to singularity_writer;
grant execute on function singularity.disconnect() to singularity_writer;
grant execute on function singularity.configure(text, text, jsonb) to singularity_writer;
grant execute on function singularity.replay_dead_letters() to singularity_writer;

grant execute on function singularity.register_contract(text, text, text, integer, boolean) to singularity_writer;
grant execute on function singularity.ensure_indexes() to singularity_writer;
grant execute on procedure singularity.maintain() to singularity_writer;
grant execute on procedure singularity.reembed() to singularity_writer;
-- what the procedures call with the rights of who calls them, since they commit
grant execute on procedure singularity.maintain_search() to singularity_writer;
grant execute on function singularity.fold_lexemes(bigint) to singularity_writer;
grant execute on function singularity.index_vectors(bigint) to singularity_writer;
grant execute on function singularity.outdated_documents(bigint, integer) to singularity_writer;
grant execute on function singularity.index_artifacts(uuid[], boolean) to singularity_writer;
grant execute on function singularity.fold_outcomes(integer) to singularity_writer;
grant execute on function singularity.expire_questions() to singularity_writer;
