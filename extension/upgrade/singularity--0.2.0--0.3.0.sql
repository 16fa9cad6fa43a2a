-- functions that are gone or changed their signature
drop function if exists singularity.bridge_lock_key();
drop function if exists singularity.bridge_outgoing(text, integer);
drop function if exists singularity.check_artifact(text, text, jsonb, text, text[], text, boolean, vector, text);
drop function if exists singularity.check_content(jsonb);
drop function if exists singularity.check_name(text);
drop function if exists singularity.check_summary(text);
drop function if exists singularity.check_tags(text[]);
drop function if exists singularity.check_token(text, text);
drop function if exists singularity.copies_in(text, text);
drop function if exists singularity.delete_documents(uuid[], uuid[]);
drop function if exists singularity.evidence_may_leave(uuid, bigint);
drop function if exists singularity.forgotten_in(text, text);
drop function if exists singularity.index_artifacts(uuid[], boolean);
drop function if exists singularity.index_documents(uuid[], singularity.searchable[], boolean);
drop function if exists singularity.is_shared(uuid);
drop function if exists singularity.keep_dead_letter(text, bytea, jsonb, text, text);
drop function if exists singularity.lanes_with_work();
drop function if exists singularity.mind_topics(jsonb);
drop function if exists singularity.next_shipment();
drop function if exists singularity.note_failed_request(text);
drop function if exists singularity.receive_reply(text, bytea);
drop function if exists singularity.parts_of(bytea);
drop function if exists singularity.record_to_send(uuid, text, uuid);
drop function if exists singularity.refresh_copies(text, jsonb, text);
drop function if exists singularity.resend_lost_shipments();
drop function if exists singularity.retry_set_aside();
drop function if exists singularity.plan_filter(text, text, text[], singularity.level);
drop function if exists singularity.search_documents(
    text, text, text, text[], singularity.level, vector, text, integer
);
drop function if exists singularity.score_documents(bigint[], sparsevec, vector, text);
drop function if exists singularity.status();
drop function if exists singularity.store_rows(jsonb, text, boolean);
drop function if exists singularity.take_answer(uuid, jsonb);
drop function if exists singularity.take_back(jsonb);
drop function if exists singularity.take_back_evidence(singularity.own_state[]);
drop function if exists singularity.take_back_holdings(singularity.own_state[]);
drop function if exists singularity.take_comparison(jsonb);
drop function if exists singularity.take_entries(integer);
drop function if exists singularity.take_queued_messages(integer);
drop function if exists singularity.take_reply(text, bytea);
drop function if exists singularity.take_rows(jsonb, text, boolean);
drop function if exists singularity.take_welcome(jsonb);
drop function if exists singularity.topic_digest(text, text);
drop function if exists singularity.unapplied_trouble();

drop view singularity.outbox_entries;
drop type singularity.own_state;

-- rights are granted anew, and fewer of them
revoke all on all tables in schema singularity from singularity_reader, singularity_writer, singularity_bridge;
revoke all on all routines in schema singularity from singularity_reader, singularity_writer, singularity_bridge;

-- include singularity/roles/tables.sql
-- include shared/validity/tables.sql
-- include shared/wire/tables.sql
-- include singularity/seals/tables.sql
-- include shared/signing/tables.sql
-- include singularity/sharing/tables.sql

alter table singularity.holding rename column withdrawn_through to withdrawn_up_to;
alter table singularity.reconciliation rename column taken_back to restored;

alter table singularity.outbox rename column shipment_id to batch_id;
alter index singularity.outbox_shipment rename to outbox_batch;
alter table singularity.shipment rename to batch;
alter table singularity.batch rename column shipment_id to batch_id;
alter index singularity.shipment_pkey rename to batch_pkey;

drop index singularity.delivery_trouble;
update singularity.delivery set verdict = 'refused' where verdict = 'set aside';
create index delivery_trouble on singularity.delivery (verdict) where verdict = 'refused';

-- of several documents that of the greatest version is in force; of those that are there it is not known yet
alter table singularity.document add column version bigint not null default -1;
drop index singularity.document_artifact;
create index document_artifact on singularity.document (artifact_id, version, document_id);
create index document_unchecked on singularity.document (artifact_id) where version < 0;
comment on column singularity.document.document_id is 'Number of the document; of several of one version the greatest is in force.';
comment on column singularity.document.version
is 'Version of what was in force of the artifact when the document was made; of several documents that of the greatest one is in '
'force. 0 for a central copy alone, -1 when it is not known: then the background checks the document.';

alter table singularity.lexeme_change add column transaction_id xid8 not null default pg_current_xact_id();
comment on table singularity.lexeme_change
is 'Documents that came or went and are not counted in lexeme yet. Who changes what is known of an artifact leaves a row, and '
'the background looks at the artifact again after the commit.';
comment on column singularity.lexeme_change.transaction_id is 'The transaction that left it.';

alter type singularity.searchable add attribute version bigint;
comment on type singularity.searchable
is 'What a document is made from; all null but artifact_id and version for an artifact of which nothing is known any more.';
comment on column singularity.searchable.version is 'Version of what is in force of the artifact.';

-- the background looks at what lost its document to another session's forget()
insert into singularity.lexeme_change (artifact_id, words, change)
select distinct h.artifact_id, ''::tsvector, 0
from singularity.holding as h
where h.variant is not null and not exists (
    select from singularity.document as d where d.artifact_id = h.artifact_id
) and not exists (
    select from singularity.holding as t
    where t.artifact_id = h.artifact_id and t.version > h.version and t.variant is null
);

create table singularity.unwanted_copy (
    artifact_id uuid primary key,
    namespace text not null,
    kind text not null,
    revision bigint not null
);

create index unwanted_copy_topic on singularity.unwanted_copy (namespace, kind);

comment on table singularity.unwanted_copy
is 'What the authority told of and was not kept, since it was forgotten here: for comparisons with the authority.';
comment on column singularity.unwanted_copy.artifact_id is 'Id of the artifact.';
comment on column singularity.unwanted_copy.namespace is 'Namespace of the artifact.';
comment on column singularity.unwanted_copy.kind is 'Kind of the artifact.';
comment on column singularity.unwanted_copy.revision is 'The revision that came last.';

select pg_catalog.pg_extension_config_dump('singularity.unwanted_copy', '');

-- what was forgotten everywhere, or withdrawn, before contents took their summaries and tags with them
update singularity.holding as h set summary = null, tags = '{}', embedding = null, contract = null
where h.variant is not null and h.content is null;

alter table singularity.authority add column public_key text;
comment on column singularity.authority.public_key
is 'The key that the authority signs with, an nkey: from its first welcome, or from trust_authority(). Null before.';

alter table singularity.topic add column epoch text;
comment on column singularity.topic.epoch is 'The authority''s epoch in which its head was last asked for; of another one it is asked again.';
alter table singularity.authority add column changes bigint;
alter table singularity.authority add column changes_known bigint;
alter table singularity.authority add column heads_asked_at timestamptz;
alter table singularity.authority add column synced_at timestamptz;
alter table singularity.authority add column paused_until timestamptz;
comment on column singularity.authority.changes is 'How often the authority''s topics have changed, as the last heartbeat told it.';
comment on column singularity.authority.changes_known
is 'Up to which of these changes the heads of watched topics are known here; null before the first heartbeat of an epoch, and '
'from an authority before 0.3.';
comment on column singularity.authority.heads_asked_at is 'When heads were last asked for; null when no request is under way.';
comment on column singularity.authority.synced_at is 'When all of these changes were last known here.';
comment on column singularity.authority.paused_until
is 'Until when nothing is asked but questions, since the authority said that there were too many requests; null for no pause.';

-- words
comment on column singularity.authority.session_id
is 'Id of the present session of the bridge: by it the authority notices two databases under one name.';
comment on column singularity.central_copy.tags is 'Its tags.';
comment on column singularity.delivery.reason is 'Why it was refused.';
comment on column singularity.delivery.verdict is 'The authority''s verdict on it: stored, superseded or refused.';
comment on column singularity.document.tags is 'Tags of the artifact.';
comment on column singularity.evidence.incarnation is 'The incarnation in which it was used.';
comment on column singularity.holding.incarnation
is 'The incarnation in which it was learned; null when it was restored from the authority.';
comment on column singularity.holding.summary is 'What it is, in a sentence; null when it was forgotten everywhere.';
comment on column singularity.holding.tags is 'Tags, sorted.';
comment on column singularity.identity.incarnation
is 'One unbroken life of the database: a restored or copied one begins another.';
comment on column singularity.identity.past_incarnations is 'The incarnations before it.';
comment on column singularity.identity.restoring
is 'Whether the authority knows states of a later incarnation that are being restored; nothing is sent meanwhile.';
comment on column singularity.identity.server_start
is 'Start of the server for which the authority has confirmed that this incarnation goes on; null before the first.';
comment on column singularity.knowledge.tags is 'Tags, sorted.';
comment on column singularity.outcome.incarnation is 'The incarnation in which it was recorded.';
comment on column singularity.question.tags is 'Tags that an answer must have; null for any.';
comment on column singularity.ranked_knowledge.tags is 'Tags, sorted.';
comment on column singularity.searchable.tags is 'Its tags.';

alter table singularity.bridge_state add column connection text;
comment on column singularity.bridge_state.connection
is 'Id of its present connection to NATS; null for none, and from a bridge before 0.3.';

-- the bridge's place
alter table singularity.bridge_state
    add column pid integer, add column backend_start timestamptz, add column remote boolean;
comment on column singularity.bridge_state.pid is 'Process of the session that has the bridge''s place; null after a clean stop.';
comment on column singularity.bridge_state.backend_start is 'When that process began: no other has both.';
comment on column singularity.bridge_state.remote
is 'Whether its NATS server is beyond this machine; null from a bridge before 0.3.';

alter table singularity.question add column asked_by name not null default session_user;
comment on column singularity.question.asked_by is 'The login that asked it.';
alter table singularity.question add column findings jsonb;
comment on column singularity.question.findings
is 'Why it was not sent but closed: an array of objects with rule and place; null for what may be sent.';

-- how many groups teach a central copy and vouch for it
alter table singularity.central_copy add column holders bigint, add column vouching bigint;
comment on column singularity.central_copy.holders is 'Groups that taught it; null from an authority before 0.3.';
comment on column singularity.central_copy.vouching
is 'Groups whose outcomes were successes at least by half; null from an authority before 0.3.';
comment on column singularity.ranked_knowledge.score is 'Rank in this recall, 0 to 1: relevance, moved by confidence, see score().';

alter table singularity.dead_letter add column records integer;
comment on column singularity.dead_letter.error_code is 'SQLSTATE of the error, of the first record that failed.';
comment on column singularity.dead_letter.payload
is 'Its bytes; where only some of its records failed, the message with those alone.';
comment on column singularity.dead_letter.records
is 'How many of its records failed, where each could be tried; null when it failed whole.';

create table singularity.dropped_letter (
    only_row boolean primary key default true check (only_row),
    dropped bigint not null,
    dropped_at timestamptz not null
);
comment on table singularity.dropped_letter
is 'Dead letters that gave way to later ones, since there is a limit to how many are kept: one row, none before the first.';
comment on column singularity.dropped_letter.only_row is 'Always true: there is one row at most.';
comment on column singularity.dropped_letter.dropped is 'How many were dropped.';
comment on column singularity.dropped_letter.dropped_at is 'When the last one was.';
select pg_catalog.pg_extension_config_dump('singularity.dropped_letter', '');

alter table singularity.reconciliation add column ignored bigint not null default 0;
comment on column singularity.reconciliation.ignored
is 'States that the authority gave back and that were not restored: without a valid seal of this instance, or of what is not shared here.';
