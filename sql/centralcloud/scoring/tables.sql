create table centralcloud.active_group (
    namespace text,
    group_name text,
    primary key (namespace, group_name)
);

comment on table centralcloud.active_group
is 'The groups with outcomes in a namespace that are not older than half_life: of so many some may be hostile.';
comment on column centralcloud.active_group.namespace is 'The namespace.';
comment on column centralcloud.active_group.group_name is 'The group.';

select pg_catalog.pg_extension_config_dump('centralcloud.active_group', '');

create table centralcloud.reputation (
    group_name text primary key,
    trust double precision not null check (trust between 0::double precision and 1::double precision),
    agreements bigint not null default 0,
    contradictions bigint not null default 0,
    set_by text,
    set_at timestamptz,
    reason text
);

comment on table centralcloud.reputation
is 'How far each group is trusted, and why. A group without a row has new_group_trust. See explain_reputation() and set_trust().';
comment on column centralcloud.reputation.group_name is 'The group.';
comment on column centralcloud.reputation.trust
is 'Weight of its voice, 0 to 1: it grows with agreements and falls with contradictions, unless a curator set it.';
comment on column centralcloud.reputation.agreements
is 'Variants of which the other groups know well whether they work, and this one says the same.';
comment on column centralcloud.reputation.contradictions is 'Such variants of which this one says the opposite.';
comment on column centralcloud.reputation.set_by is 'The curator who set the trust; null when it follows from the counts.';
comment on column centralcloud.reputation.set_at is 'When it was set.';
comment on column centralcloud.reputation.reason is 'Why it was set.';

select pg_catalog.pg_extension_config_dump('centralcloud.reputation', '');
