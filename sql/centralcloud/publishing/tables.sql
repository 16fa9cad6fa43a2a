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

select pg_catalog.pg_extension_config_dump('centralcloud.topic', '');

create table centralcloud.unpublished (
    artifact_id uuid primary key
);

comment on table centralcloud.unpublished is 'Artifacts that changed and have no number for it yet.';
comment on column centralcloud.unpublished.artifact_id is 'Id of the artifact.';

select pg_catalog.pg_extension_config_dump('centralcloud.unpublished', '');

create table centralcloud.publisher (
    only_row boolean primary key default true check (only_row),
    epoch text not null,
    heads_sent_at timestamptz
);

comment on table centralcloud.publisher is 'The publisher: one row, none before the first bridge.';
comment on column centralcloud.publisher.only_row is 'Always true: there is one row at most.';
comment on column centralcloud.publisher.epoch is 'Another one after each start of the bridge or the server.';
comment on column centralcloud.publisher.heads_sent_at is 'When the last heartbeat was given to the bridge.';

select pg_catalog.pg_extension_config_dump('centralcloud.publisher', '');
