create table centralcloud.topic (
    namespace text,
    kind text,
    head bigint not null default 0,
    change bigint not null default 0,
    primary key (namespace, kind)
);

create index topic_change on centralcloud.topic (change);

comment on table centralcloud.topic is 'The numbered sequences of changes, one for each namespace and kind.';
comment on column centralcloud.topic.namespace is 'Namespace of the topic.';
comment on column centralcloud.topic.kind is 'Kind of the topic.';
comment on column centralcloud.topic.head is 'Number of the last change; numbers have no holes.';
comment on column centralcloud.topic.change is 'Number of its last change among the changes of all topics, see publisher.changes.';

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
    heads_sent_at timestamptz,
    changes bigint not null default 0,
    changes_sent bigint not null default 0
);

comment on table centralcloud.publisher is 'The publisher: one row, none before the first bridge.';
comment on column centralcloud.publisher.only_row is 'Always true: there is one row at most.';
comment on column centralcloud.publisher.epoch is 'Another one after each start of the bridge or the server.';
comment on column centralcloud.publisher.heads_sent_at is 'When the last heartbeat was given to the bridge.';
comment on column centralcloud.publisher.changes is 'How often topics have changed, over all of them: the number of the last change.';
comment on column centralcloud.publisher.changes_sent is 'That number as the last heartbeat told it.';

select pg_catalog.pg_extension_config_dump('centralcloud.publisher', '');
