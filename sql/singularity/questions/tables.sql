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
    results integer,
    asked_by name not null default session_user,
    findings jsonb
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
comment on column singularity.question.tags is 'Tags that an answer must have; null for any.';
comment on column singularity.question.asked_at is 'When it was asked.';
comment on column singularity.question.attempts is 'How often it was sent.';
comment on column singularity.question.next_attempt_at is 'When it may be sent (again).';
comment on column singularity.question.answered_at is 'When the authority''s answer was here; null while open.';
comment on column singularity.question.results is 'How many artifacts the answer had; 0: the authority knows nothing.';
comment on column singularity.question.asked_by is 'The login that asked it.';
comment on column singularity.question.findings
is 'Why it was not sent but closed: an array of objects with rule and place; null for what may be sent.';

select pg_catalog.pg_extension_config_dump('singularity.question', '');
