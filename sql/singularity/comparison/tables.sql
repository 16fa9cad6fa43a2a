-- What is compared just now. It is the work of a running bridge, not data: it is not dumped.
create table singularity.comparison (
    topic text not null default '',
    prefix text not null default '',
    in_detail boolean not null default false,
    requested_at timestamptz,
    primary key (topic, prefix)
);

comment on table singularity.comparison is 'Ranges of artifact ids that are still to be compared with the authority.';
comment on column singularity.comparison.topic is 'Copies of this followed topic (namespace/kind); empty for the states of this instance.';
comment on column singularity.comparison.prefix is 'First hex digits of the artifact ids of the range.';
comment on column singularity.comparison.in_detail is 'Whether versions are compared; else digests are.';
comment on column singularity.comparison.requested_at is 'When the authority was asked; null before.';

create table singularity.reconciliation (
    only_row boolean primary key default true check (only_row),
    wanted_at timestamptz,
    started_at timestamptz,
    finished_at timestamptz,
    sent_again bigint not null default 0,
    restored bigint not null default 0,
    refreshed bigint not null default 0,
    ignored bigint not null default 0
);

comment on table singularity.reconciliation is 'The last comparison of what this instance and the authority have: one row, none before the first.';
comment on column singularity.reconciliation.only_row is 'Always true: there is one row at most.';
comment on column singularity.reconciliation.wanted_at is 'When a comparison was last asked for.';
comment on column singularity.reconciliation.started_at is 'When the last comparison began.';
comment on column singularity.reconciliation.finished_at is 'When a comparison last came to its end: both sides were equal or were made so.';
comment on column singularity.reconciliation.sent_again is 'States that the authority had lost, since the comparison began.';
comment on column singularity.reconciliation.restored is 'States of this instance that only the authority had.';
comment on column singularity.reconciliation.refreshed is 'Copies of followed topics that were not the authority''s.';
comment on column singularity.reconciliation.ignored
is 'States that the authority gave back and that were not restored: without a valid seal of this instance, or of what is not shared here.';
