-- functions that are gone or changed their signature
drop function if exists centralcloud.bridge_outgoing(text, integer);
drop function if exists centralcloud.check_content(jsonb);
drop function if exists centralcloud.check_name(text);
drop function if exists centralcloud.check_summary(text);
drop function if exists centralcloud.check_tags(text[]);
drop function if exists centralcloud.check_token(text, text);
drop function if exists centralcloud.compare_copies(jsonb, bigint);
drop function if exists centralcloud.compare_digest(jsonb, uuid);
drop function if exists centralcloud.compare_states(jsonb, uuid, bigint);
drop function if exists centralcloud.delete_documents(uuid[], uuid[]);
drop function if exists centralcloud.evidence_refusal(text, uuid, bigint, bigint, bigint, timestamp with time zone);
drop function if exists centralcloud.holding_refusal(bigint, bigint, text, jsonb);
drop function if exists centralcloud.index_artifacts(uuid[], boolean);
drop function if exists centralcloud.index_documents(uuid[], centralcloud.searchable[], boolean);
drop function if exists centralcloud.label_refusal(text, text[]);
drop function if exists centralcloud.lanes_with_work();
drop function if exists centralcloud.own_state(uuid, uuid, text, uuid);
drop function if exists centralcloud.published_in(text, jsonb);
drop function if exists centralcloud.read_contributions(text[], jsonb[]);
drop function if exists centralcloud.receipt_records(jsonb);
drop function if exists centralcloud.register_instances(text[], jsonb[]);
drop function if exists centralcloud.score_documents(bigint[], sparsevec, vector, text);
drop function if exists centralcloud.take_queued_messages(integer);
drop function if exists centralcloud.unapplied_trouble();
drop function if exists centralcloud.store_contributions(centralcloud.incoming[]);
drop function if exists centralcloud.verdicts(centralcloud.incoming[]);

drop type centralcloud.incoming;

-- include shared/validity/tables.sql
-- include shared/wire/tables.sql

create type centralcloud.incoming as (
    message integer,
    instance_id uuid,
    artifact_id uuid,
    record centralcloud.wire_record,
    state_hash text,
    verdict text,
    reason text,
    twin boolean
);

alter table centralcloud.holding rename column withdrawn_through to withdrawn_up_to;

-- what is withdrawn keeps no summary and tags
update centralcloud.contribution as c set summary = null, tags = '{}'
from centralcloud.holding as h
where h.artifact_id = c.artifact_id and h.instance_id = c.instance_id and c.version <= h.withdrawn_up_to;
comment on column centralcloud.contribution.summary is 'Its summary under that version; null when it is withdrawn.';
comment on column centralcloud.contribution.tags is 'Its tags under that version; empty when it is withdrawn.';

-- of several documents that of the greatest version is in force; of those that are there it is not known yet
alter table centralcloud.document add column version bigint not null default -1;
drop index centralcloud.document_artifact;
create index document_artifact on centralcloud.document (artifact_id, version, document_id);
create index document_unchecked on centralcloud.document (artifact_id) where version < 0;
comment on column centralcloud.document.document_id is 'Number of the document; of several of one version the greatest is in force.';
comment on column centralcloud.document.version
is 'Version of what was in force of the artifact when the document was made; of several documents that of the greatest one is in '
'force. 0 for a central copy alone, -1 when it is not known: then the background checks the document.';

alter table centralcloud.lexeme_change add column transaction_id xid8 not null default pg_current_xact_id();
comment on table centralcloud.lexeme_change
is 'Documents that came or went and are not counted in lexeme yet. Who changes what is known of an artifact leaves a row, and '
'the background looks at the artifact again after the commit.';
comment on column centralcloud.lexeme_change.transaction_id is 'The transaction that left it.';

alter type centralcloud.searchable add attribute version bigint;
comment on type centralcloud.searchable
is 'What a document is made from; all null but artifact_id and version for an artifact of which nothing is known any more.';
comment on column centralcloud.searchable.version is 'Version of what is in force of the artifact.';

alter table centralcloud.artifact add column version bigint not null default 0;
comment on column centralcloud.artifact.version is 'How often the winner changed: who changes it holds the row, so its documents have an order.';

-- the background looks at what lost its document to another session's reembed()
insert into centralcloud.lexeme_change (artifact_id, words, change)
select a.artifact_id, ''::tsvector, 0
from centralcloud.artifact as a
where a.variant is not null and not exists (
    select from centralcloud.document as d where d.artifact_id = a.artifact_id
);

-- words
comment on column centralcloud.artifact.tags is 'Tags of the winner.';
comment on column centralcloud.contribution.tags is 'Its tags under that version.';
comment on column centralcloud.contribution.variant is 'The variant that it contributed.';
comment on column centralcloud.contribution.version is 'The greatest version that it contributed it under.';
comment on column centralcloud.document.tags is 'Tags of the artifact.';
comment on column centralcloud.evidence.incarnation is 'The incarnation of the instance in which it was used.';
comment on column centralcloud.incoming.artifact_id is 'Id of the artifact.';
comment on column centralcloud.incoming.instance_id is 'Id of the instance that speaks.';
comment on column centralcloud.incoming.message is 'Number of the message it came in, from 0.';
comment on column centralcloud.incoming.reason is 'Why it is refused; null when it is not.';
comment on column centralcloud.incoming.record is 'The record as it came.';
comment on column centralcloud.incoming.state_hash is 'md5 of the state.';
comment on column centralcloud.incoming.twin is 'Whether another state has the same version.';
comment on column centralcloud.incoming.verdict
is 'What becomes of it: stored, superseded (a greater version is known or came with it) or refused.';
comment on column centralcloud.instance.former_sessions
is 'Sessions before it, the latest first: one that comes back is a twin''s.';
comment on column centralcloud.instance.incarnation is 'The incarnation that last said hello.';
comment on column centralcloud.instance.session_id is 'Session of the bridge that last asked something in this name.';
comment on column centralcloud.instance.session_since is 'When that session was first heard.';
comment on column centralcloud.searchable.tags is 'Its tags.';
comment on column centralcloud.variant.content is 'The content; null when nobody who contributed it still shares it.';
comment on column centralcloud.variant.summary is 'The longest summary of those who contributed it.';
comment on column centralcloud.variant.tags is 'All tags of those who contributed it.';
comment on table centralcloud.contribution
is 'Every variant that an instance ever contributed; content stays while one of them is not withdrawn.';
comment on table centralcloud.publisher is 'The publisher: one row, none before the first bridge.';
comment on type centralcloud.incoming is 'One record of a contribution, read and judged.';
comment on column centralcloud.instance.greatest_version is 'The greatest version that was taken from it.';

alter table centralcloud.bridge_state add column connection text;
comment on column centralcloud.bridge_state.connection
is 'Id of its present connection to NATS; null for none, and from a bridge before 0.3.';
