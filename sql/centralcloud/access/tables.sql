create table centralcloud.access (
    group_name text,
    namespace text,
    may_read boolean not null,
    may_contribute boolean not null,
    granted_at timestamptz not null default now(),
    primary key (group_name, namespace)
);

comment on table centralcloud.access
is 'What groups of instances may do in namespaces. Of the rows of a group that fit a namespace the most specific one counts; a group '
'without any row has what the setting default_access says, one with rows nothing else.';
comment on column centralcloud.access.group_name is 'The group, as in instance.group_name.';
comment on column centralcloud.access.namespace is 'A namespace, or with * at its end all that begin so; * alone for all.';
comment on column centralcloud.access.may_read
is 'Whether it is answered, told of changes and pushed to; what it has fetched before stays on its machines.';
comment on column centralcloud.access.may_contribute is 'Whether its holdings and outcomes are taken; what it gave before stays.';
comment on column centralcloud.access.granted_at is 'When this was last said.';

select pg_catalog.pg_extension_config_dump('centralcloud.access', '');
