-- what changed its signature
drop function centralcloud.status();

alter table centralcloud.instance
    add column session_id uuid,
    add column session_since timestamptz,
    add column former_sessions uuid[] not null default '{}';
comment on column centralcloud.instance.twin_alarm_at
is 'Since when two databases speak under this name: different states came under one version, or two bridges by turns. Null for not.';
comment on column centralcloud.instance.session_id is 'Life of the bridge that last asked something in this name.';
comment on column centralcloud.instance.session_since is 'When that life was first heard.';
comment on column centralcloud.instance.former_sessions
is 'Lives of bridges before it, the latest first: one that comes back is a twin''s.';

create index holding_instance on centralcloud.holding (instance_id, artifact_id);
create index evidence_instance on centralcloud.evidence (instance_id, artifact_id);
