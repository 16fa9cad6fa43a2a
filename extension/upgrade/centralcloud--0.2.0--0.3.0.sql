-- functions that are gone or changed their signature
drop function if exists centralcloud.bridge_lock_key();
drop function if exists centralcloud.answer(jsonb);
drop function if exists centralcloud.bridge_outgoing(text, integer);
drop function if exists centralcloud.changes(jsonb);
drop function if exists centralcloud.check_content(jsonb);
drop function if exists centralcloud.check_name(text);
drop function if exists centralcloud.check_scoring();
drop function if exists centralcloud.fits_scoring(text, text);
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
drop function if exists centralcloud.keep_dead_letter(text, bytea, jsonb, text, text);
drop function if exists centralcloud.lanes_with_work();
drop function if exists centralcloud.own_state(uuid, uuid, text, uuid);
drop function if exists centralcloud.parts_of(bytea);
drop function if exists centralcloud.published_in(text, jsonb);
drop function if exists centralcloud.read_contributions(text[], jsonb[]);
drop function if exists centralcloud.receipt_records(jsonb);
drop function if exists centralcloud.register_instances(text[], jsonb[]);
drop function if exists centralcloud.plan_filter(text, text, text[], centralcloud.level);
drop function if exists centralcloud.score_documents(bigint[], sparsevec, vector, text);
drop function if exists centralcloud.take_queued_messages(integer);
drop function if exists centralcloud.unapplied_trouble();
drop function if exists centralcloud.status();
drop function if exists centralcloud.search_documents(
    text, text, text, text[], centralcloud.level, vector, text, integer
);
drop function if exists centralcloud.store_contributions(centralcloud.incoming[]);
drop function if exists centralcloud.verdicts(centralcloud.incoming[]);

drop type centralcloud.incoming;

-- rights are granted anew, and fewer of them
revoke all on all tables in schema centralcloud from centralcloud_reader, centralcloud_curator, centralcloud_bridge;
revoke all on all routines in schema centralcloud from centralcloud_reader, centralcloud_curator, centralcloud_bridge;

-- include centralcloud/roles/tables.sql
-- include shared/validity/tables.sql
-- include shared/wire/tables.sql
-- include shared/signing/tables.sql

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

-- include centralcloud/access/tables.sql

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

alter table centralcloud.instance add column public_key text;
alter table centralcloud.instance add column former_key text;
alter table centralcloud.instance add column enrolled_at timestamptz;
alter table centralcloud.instance add column enrolled_by text;
alter table centralcloud.instance add column retired_at timestamptz;
alter table centralcloud.instance add column retired_because text;
comment on table centralcloud.instance is 'The registry of instances: those that were ever heard, and those that were enrolled.';
comment on column centralcloud.instance.public_key
is 'The key that it signs with, an nkey; null while it only ever spoke unsigned, as versions before 0.3 do.';
comment on column centralcloud.instance.former_key is 'The key before it, good until something came that the present one had signed.';
comment on column centralcloud.instance.enrolled_at is 'Since when this key is known.';
comment on column centralcloud.instance.enrolled_by is 'Who enrolled it; null when the key was taken from its first message.';
comment on column centralcloud.instance.retired_at is 'When it was retired: nothing of it is heard since, and its outcomes do not count.';
comment on column centralcloud.instance.retired_because is 'Why it was retired, for people.';

alter table centralcloud.instance
    add column credential text unique,
    add column next_credential text unique;
comment on column centralcloud.instance.credential
is 'Public nkey of the NATS user it speaks by, see set_credential(); null while it has none.';
comment on column centralcloud.instance.next_credential is 'A second one, valid as well while the key is changed.';

alter table centralcloud.topic add column change bigint not null default 0;
create index topic_change on centralcloud.topic (change);
comment on column centralcloud.topic.change is 'Number of its last change among the changes of all topics, see publisher.changes.';
alter table centralcloud.publisher add column changes bigint not null default 0;
alter table centralcloud.publisher add column changes_sent bigint not null default 0;
comment on column centralcloud.publisher.changes is 'How often topics have changed, over all of them: the number of the last change.';
comment on column centralcloud.publisher.changes_sent is 'That number as the last heartbeat told it.';

-- include centralcloud/quotas/tables.sql

-- what the instances take that are there already
insert into centralcloud.spoken_topic (instance_id, namespace, kind)
select distinct s.instance_id, a.namespace, a.kind
from (
    select h.instance_id, h.artifact_id from centralcloud.holding as h
    union
    select e.instance_id, e.artifact_id from centralcloud.evidence as e
) as s
inner join centralcloud.artifact as a on s.artifact_id = a.artifact_id;

insert into centralcloud.consumption (instance_id, artifacts, topics, bytes)
select
    s.instance_id,
    count(distinct s.artifact_id),
    (select count(*) from centralcloud.spoken_topic as t where t.instance_id = s.instance_id),
    sum(s.bytes)
from (
    select h.instance_id, h.artifact_id, 200 as bytes from centralcloud.holding as h
    union all
    select e.instance_id, e.artifact_id, 200 from centralcloud.evidence as e
    union all
    select
        c.instance_id,
        c.artifact_id,
        200 + case
            when c.version > coalesce(h.withdrawn_up_to, 0)
                then coalesce(octet_length(v.content::text), 0) + coalesce(octet_length(c.summary), 0)
                    + octet_length(array_to_string(c.tags, ''))
            else 0
        end
    from centralcloud.contribution as c
    left join centralcloud.holding as h on c.artifact_id = h.artifact_id and c.instance_id = h.instance_id
    left join centralcloud.variant as v on c.artifact_id = v.artifact_id and c.variant = v.variant
) as s
group by s.instance_id;

-- words
comment on column centralcloud.artifact.tags is 'Tags of the winner.';
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
comment on table centralcloud.contribution
is 'Every variant that an instance ever contributed; content stays while one of them is not withdrawn.';
comment on table centralcloud.publisher is 'The publisher: one row, none before the first bridge.';
comment on type centralcloud.incoming is 'One record of a contribution, read and judged.';
comment on column centralcloud.instance.greatest_version is 'The greatest version that was taken from it.';

alter table centralcloud.bridge_state add column connection text;
comment on column centralcloud.bridge_state.connection
is 'Id of its present connection to NATS; null for none, and from a bridge before 0.3.';

-- the bridge's place
alter table centralcloud.bridge_state
    add column pid integer, add column backend_start timestamptz, add column remote boolean;
comment on column centralcloud.bridge_state.pid is 'Process of the session that has the bridge''s place; null after a clean stop.';
comment on column centralcloud.bridge_state.backend_start is 'When that process began: no other has both.';
comment on column centralcloud.bridge_state.remote
is 'Whether its NATS server is beyond this machine; null from a bridge before 0.3.';

-- each group has one voice, and a trust
drop function if exists centralcloud.scores(uuid[]);
-- include centralcloud/scoring/tables.sql
insert into centralcloud.reputation (group_name, trust, set_by, set_at, reason)
select i.group_name, min(i.trust), current_user, now(), 'set before 0.3' from centralcloud.instance as i
where i.trust < 1 group by i.group_name;
alter table centralcloud.instance drop column trust;
comment on column centralcloud.instance.group_name
is 'The group it counts in: a group has one voice, see centralcloud.reputation for its trust.';
alter table centralcloud.variant add column weight double precision not null default 0;
alter table centralcloud.variant add column vouching bigint not null default 0;
alter table centralcloud.artifact add column vouching bigint not null default 0;
comment on column centralcloud.variant.summary
is 'The summary that most trust stands behind, of those who contributed it.';
comment on column centralcloud.variant.tags is 'The tags that came with that summary.';
comment on column centralcloud.variant.holders is 'Groups that hold it.';
comment on column centralcloud.variant.groups is 'Groups with outcomes.';
comment on column centralcloud.variant.confidence is 'Lower bound of the success rate, 0 to 1, see explain_confidence().';
comment on column centralcloud.variant.weight is 'Weight of all voices about it: how much evidence there is.';
comment on column centralcloud.variant.vouching is 'Groups whose outcomes were successes at least by half.';
comment on column centralcloud.artifact.holders is 'Groups that hold the winner.';
comment on column centralcloud.artifact.vouching is 'Groups that vouch for the winner.';
-- everything is scored by the new rules; the first tick finds the active groups, as it does for each new day
delete from centralcloud.setting where name = 'scored_as_of';
insert into centralcloud.unscored (artifact_id) select a.artifact_id from centralcloud.artifact as a on conflict do nothing;

alter table centralcloud.dead_letter add column records integer;
comment on column centralcloud.dead_letter.error_code is 'SQLSTATE of the error, of the first record that failed.';
comment on column centralcloud.dead_letter.payload
is 'Its bytes; where only some of its records failed, the message with those alone.';
comment on column centralcloud.dead_letter.records
is 'How many of its records failed, where each could be tried; null when it failed whole.';

create table centralcloud.dropped_letter (
    only_row boolean primary key default true check (only_row),
    dropped bigint not null,
    dropped_at timestamptz not null
);
comment on table centralcloud.dropped_letter
is 'Dead letters that gave way to later ones, since there is a limit to how many are kept: one row, none before the first.';
comment on column centralcloud.dropped_letter.only_row is 'Always true: there is one row at most.';
comment on column centralcloud.dropped_letter.dropped is 'How many were dropped.';
comment on column centralcloud.dropped_letter.dropped_at is 'When the last one was.';
select pg_catalog.pg_extension_config_dump('centralcloud.dropped_letter', '');

alter table centralcloud.holding add column seal text;
comment on column centralcloud.holding.seal is 'The instance''s proof of the state, for when it is given back; null of a version before 0.3.';
alter table centralcloud.evidence add column seal text;
comment on column centralcloud.evidence.seal is 'The instance''s proof of the state, for when it is given back; null of a version before 0.3.';
alter table centralcloud.instance add column seals boolean not null default false;
comment on column centralcloud.instance.seals is 'Whether it seals what it says: then states without a seal are wanted again.';
