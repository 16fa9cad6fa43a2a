-- What each instance may take, and what it takes. Counted when contributions are joined, never by scanning.
create table centralcloud.quota (
    instance_id uuid primary key,
    artifacts bigint,
    topics bigint,
    bytes bigint,
    requests_per_minute bigint,
    records_per_minute bigint,
    untold boolean not null default true
);

comment on table centralcloud.quota is 'Quotas of instances that a curator changed, see set_quota().';
comment on column centralcloud.quota.instance_id is 'Id of the instance.';
comment on column centralcloud.quota.artifacts is 'Artifacts that it may speak of; null for the setting quota_artifacts.';
comment on column centralcloud.quota.topics is 'Topics that it may speak of; null for the setting quota_topics.';
comment on column centralcloud.quota.bytes is 'Bytes that its states may take; null for the setting quota_bytes.';
comment on column centralcloud.quota.requests_per_minute is 'Requests in a minute; null for the setting requests_per_minute.';
comment on column centralcloud.quota.records_per_minute is 'Records in a minute; null for the setting records_per_minute.';
comment on column centralcloud.quota.untold is 'Whether its next hello is to be answered with: send again what was refused.';

select pg_catalog.pg_extension_config_dump('centralcloud.quota', '');

create table centralcloud.consumption (
    instance_id uuid primary key,
    artifacts bigint not null default 0,
    topics bigint not null default 0,
    bytes bigint not null default 0,
    records_until timestamptz
);

comment on table centralcloud.consumption is 'What the states of each instance take.';
comment on column centralcloud.consumption.instance_id is 'Id of the instance.';
comment on column centralcloud.consumption.artifacts is 'Artifacts that it ever spoke of.';
comment on column centralcloud.consumption.topics is 'Topics of these.';
comment on column centralcloud.consumption.bytes
is 'Bytes of contents, summaries and tags that it has not withdrawn, and 200 for each row.';
comment on column centralcloud.consumption.records_until is 'Until when the records that came are paid for at its rate.';

select pg_catalog.pg_extension_config_dump('centralcloud.consumption', '');

create table centralcloud.spoken_topic (
    instance_id uuid,
    namespace text,
    kind text,
    primary key (instance_id, namespace, kind)
);

comment on table centralcloud.spoken_topic is 'The topics that each instance ever spoke of, so that they can be counted.';
comment on column centralcloud.spoken_topic.instance_id is 'Id of the instance.';
comment on column centralcloud.spoken_topic.namespace is 'Namespace of the topic.';
comment on column centralcloud.spoken_topic.kind is 'Kind of the topic.';

select pg_catalog.pg_extension_config_dump('centralcloud.spoken_topic', '');

-- apart, so that no request waits for a contribution; of the moment, so not dumped
create table centralcloud.request_rate (
    instance_id uuid primary key,
    requests_until timestamptz not null
);

comment on table centralcloud.request_rate is 'How much each instance asks.';
comment on column centralcloud.request_rate.instance_id is 'Id of the instance.';
comment on column centralcloud.request_rate.requests_until is 'Until when the requests that came are paid for at its rate.';
