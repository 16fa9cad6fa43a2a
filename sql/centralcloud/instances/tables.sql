create table centralcloud.instance (
    instance_id uuid primary key,
    instance_name text not null,
    environment text not null,
    group_name text not null,
    blocked boolean not null default false,
    incarnation uuid,
    extension_version text,
    greatest_version bigint not null default 0,
    first_heard_at timestamptz not null default now(),
    last_heard_at timestamptz not null default now(),
    twin_alarm_at timestamptz,
    session_id uuid,
    session_since timestamptz,
    former_sessions uuid[] not null default '{}',
    public_key text,
    former_key text,
    enrolled_at timestamptz,
    enrolled_by text,
    retired_at timestamptz,
    retired_because text,
    credential text unique,
    next_credential text unique,
    seals boolean not null default false
);

comment on table centralcloud.instance is 'The registry of instances: those that were ever heard, and those that were enrolled.';
comment on column centralcloud.instance.instance_id is 'Id of the instance.';
comment on column centralcloud.instance.instance_name is 'Its name, for people.';
comment on column centralcloud.instance.environment is 'Its environment: dev, test, ci or prod.';
comment on column centralcloud.instance.group_name is 'The group it counts in: a group has one voice, see centralcloud.reputation for its trust.';
comment on column centralcloud.instance.blocked is 'Whether nothing of it counts.';
comment on column centralcloud.instance.incarnation is 'The incarnation that last said hello.';
comment on column centralcloud.instance.extension_version is 'Version of its extension.';
comment on column centralcloud.instance.greatest_version is 'The greatest version that was taken from it.';
comment on column centralcloud.instance.first_heard_at is 'When it was first heard.';
comment on column centralcloud.instance.last_heard_at is 'When it last contributed or said hello.';
comment on column centralcloud.instance.twin_alarm_at
is 'Since when two databases speak under this name: different states came under one version, or two bridges by turns. Null for not.';
comment on column centralcloud.instance.session_id is 'Session of the bridge that last asked something in this name.';
comment on column centralcloud.instance.session_since is 'When that session was first heard.';
comment on column centralcloud.instance.former_sessions is 'Sessions before it, the latest first: one that comes back is a twin''s.';
comment on column centralcloud.instance.public_key
is 'The key that it signs with, an nkey; null while it only ever spoke unsigned, as versions before 0.3 do.';
comment on column centralcloud.instance.former_key is 'The key before it, good until something came that the present one had signed.';
comment on column centralcloud.instance.enrolled_at is 'Since when this key is known.';
comment on column centralcloud.instance.enrolled_by is 'Who enrolled it; null when the key was taken from its first message.';
comment on column centralcloud.instance.retired_at is 'When it was retired: nothing of it is heard since, and its outcomes do not count.';
comment on column centralcloud.instance.retired_because is 'Why it was retired, for people.';
comment on column centralcloud.instance.credential
is 'Public nkey of the NATS user it speaks by, see set_credential(); null while it has none.';
comment on column centralcloud.instance.next_credential is 'A second one, valid as well while the key is changed.';
comment on column centralcloud.instance.seals is 'Whether it seals what it says: then states without a seal are wanted again.';

select pg_catalog.pg_extension_config_dump('centralcloud.instance', '');
