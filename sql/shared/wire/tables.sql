-- What instance and authority say to each other: both sides fill and read these types, so a field is named once. A
-- field that is null is left out of the JSON; unknown ones are ignored. The messages are in extension/doc/messages.md.

create type @extschema@.wire_record as (
    record_type text,
    namespace text,
    kind text,
    name text,
    version bigint,
    withdrawn_up_to bigint,
    variant text,
    content jsonb,
    summary text,
    tags text[],
    incarnation uuid,
    uses bigint,
    successes bigint,
    failures bigint,
    last_used_at timestamptz,
    seal text
);

comment on type @extschema@.wire_record is 'A record of a contribution, and of what the authority gives back: the state of a holding or of evidence.';
comment on column @extschema@.wire_record.record_type is 'holding or evidence.';
comment on column @extschema@.wire_record.namespace is 'Namespace of the artifact.';
comment on column @extschema@.wire_record.kind is 'Kind of the artifact.';
comment on column @extschema@.wire_record.name is 'Name of the artifact.';
comment on column @extschema@.wire_record.version is 'The instance''s number of this state.';
comment on column @extschema@.wire_record.withdrawn_up_to is 'All that the instance sent of the artifact up to this version is withdrawn.';
comment on column @extschema@.wire_record.variant is 'Which content, see variant_of(); null when withdrawn.';
comment on column @extschema@.wire_record.content is 'The content of a holding.';
comment on column @extschema@.wire_record.summary is 'The summary of a holding.';
comment on column @extschema@.wire_record.tags is 'The tags of a holding.';
comment on column @extschema@.wire_record.incarnation is 'The incarnation of the instance that counters belong to.';
comment on column @extschema@.wire_record.uses is 'Outcomes recorded.';
comment on column @extschema@.wire_record.successes is 'Outcomes that were successes.';
comment on column @extschema@.wire_record.failures is 'Outcomes that were failures.';
comment on column @extschema@.wire_record.last_used_at is 'When the last of them was recorded.';
comment on column @extschema@.wire_record.seal is 'The instance''s proof that it said so itself; null of a version before 0.3.';

create type @extschema@.wire_verdict as (
    artifact_id uuid,
    variant text,
    incarnation uuid,
    version bigint,
    verdict text,
    reason text
);

comment on type @extschema@.wire_verdict is 'A record of a receipt: what became of a record of a contribution.';
comment on column @extschema@.wire_verdict.artifact_id is 'Id of the artifact.';
comment on column @extschema@.wire_verdict.variant is 'Variant of the evidence; null for a holding.';
comment on column @extschema@.wire_verdict.incarnation is 'Incarnation of the evidence; null for a holding.';
comment on column @extschema@.wire_verdict.version is 'The version that is confirmed.';
comment on column @extschema@.wire_verdict.verdict is 'stored, superseded (a later version is known) or refused.';
comment on column @extschema@.wire_verdict.reason is 'Why it was refused.';

create type @extschema@.wire_refined as (
    namespace text,
    kind text,
    name text,
    revision bigint,
    removed boolean,
    variant text,
    content jsonb,
    summary text,
    tags text[],
    level @extschema@.level,
    confidence double precision,
    uses bigint,
    successes bigint,
    pinned boolean,
    holders bigint,
    vouching bigint
);

comment on type @extschema@.wire_refined is 'An artifact as the authority sends it: in pushes, pages of changes, answers and comparisons.';
comment on column @extschema@.wire_refined.namespace is 'Namespace of the artifact.';
comment on column @extschema@.wire_refined.kind is 'Kind of the artifact.';
comment on column @extschema@.wire_refined.name is 'Name of the artifact.';
comment on column @extschema@.wire_refined.revision is 'Number of its last change in its topic.';
comment on column @extschema@.wire_refined.removed is 'Whether the authority has no version of it any more; then the rest is null.';
comment on column @extschema@.wire_refined.variant is 'The variant that won.';
comment on column @extschema@.wire_refined.content is 'Its content.';
comment on column @extschema@.wire_refined.summary is 'Its summary.';
comment on column @extschema@.wire_refined.tags is 'Its tags.';
comment on column @extschema@.wire_refined.level is 'How far independent groups agree that it works.';
comment on column @extschema@.wire_refined.confidence is 'Lower bound of its success rate, 0 to 1.';
comment on column @extschema@.wire_refined.uses is 'Outcomes that the authority knows of.';
comment on column @extschema@.wire_refined.successes is 'Successes among them.';
comment on column @extschema@.wire_refined.pinned is 'Whether a curator made it the winner.';
comment on column @extschema@.wire_refined.holders is 'Groups that hold it: who taught it.';
comment on column @extschema@.wire_refined.vouching is 'Groups whose outcomes were successes at least by half.';

create type @extschema@.wire_question as (
    query text,
    namespace text,
    kind text,
    name text,
    tags text[]
);

comment on type @extschema@.wire_question is 'What the request ask asks.';
comment on column @extschema@.wire_question.query is 'The words of the question.';
comment on column @extschema@.wire_question.namespace is 'Namespace asked for; null for any.';
comment on column @extschema@.wire_question.kind is 'Kind asked for; null for any.';
comment on column @extschema@.wire_question.name is 'Name asked for by a lookup; null for a search.';
comment on column @extschema@.wire_question.tags is 'Tags that an answer must have; null for any.';

create type @extschema@.wire_answer as (
    rows jsonb,
    heads jsonb
);

comment on type @extschema@.wire_answer is 'What the reply answer says.';
comment on column @extschema@.wire_answer.rows is 'What fits, best first: an array of wire_refined.';
comment on column @extschema@.wire_answer.heads is 'Heads of the topics of the rows: an object of namespace/kind and number.';

create type @extschema@.wire_range as (
    topic text,
    prefix text,
    entries bigint,
    digest text,
    forgotten jsonb,
    states jsonb
);

comment on type @extschema@.wire_range is 'A range of a comparison, in the request digest.';
comment on column @extschema@.wire_range.topic is 'Copies of this topic (namespace/kind); empty for the states of the instance that asks.';
comment on column @extschema@.wire_range.prefix is 'First hex digits of the artifact ids of the range.';
comment on column @extschema@.wire_range.entries is 'Number of states that the instance has in it.';
comment on column @extschema@.wire_range.digest is 'Their digest.';
comment on column @extschema@.wire_range.forgotten is 'Of a topic, from an instance before 0.3: array of artifact ids that were forgotten there.';
comment on column @extschema@.wire_range.states
is 'Where versions are compared: an array of [artifact id, variant, incarnation, version], of a topic of [artifact id, revision].';

create type @extschema@.wire_difference as (
    topic text,
    prefix text,
    entries bigint,
    equal boolean,
    states jsonb,
    records jsonb,
    rows jsonb,
    unknown jsonb,
    more boolean
);

comment on type @extschema@.wire_difference is 'What the authority says of a range, in the reply digest.';
comment on column @extschema@.wire_difference.topic is 'The topic, as it was asked.';
comment on column @extschema@.wire_difference.prefix is 'The prefix, as it was asked.';
comment on column @extschema@.wire_difference.entries is 'Of compared digests: number of states that the authority has.';
comment on column @extschema@.wire_difference.equal is 'Of compared digests: whether both are equal.';
comment on column @extschema@.wire_difference.states is 'Of compared versions: the authority''s, as in wire_range.';
comment on column @extschema@.wire_difference.records is 'States of the instance that it does not know: an array of wire_record.';
comment on column @extschema@.wire_difference.rows is 'Of a topic: what the instance has otherwise or not, an array of wire_refined.';
comment on column @extschema@.wire_difference.unknown is 'Of a topic: array of artifact ids that the authority does not know.';
comment on column @extschema@.wire_difference.more is 'Whether not all records or rows went into this reply.';
