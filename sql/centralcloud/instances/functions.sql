create or replace function centralcloud.register_instances(subjects text[], bodies jsonb[]) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    speakers centralcloud.instance[] := array(
        select distinct on (s.instance_id) row(
            s.instance_id, coalesce(b.body ->> 'instance_name', s.instance_id::text),
            coalesce(b.body ->> 'environment', 'dev'), s.instance_id::text, 1, false, null, null, v.greatest, now(), now(),
            null, null, null, '{}'
        )::centralcloud.instance
        from unnest(subjects, bodies) as b (subject, body)
        cross join lateral (select centralcloud.check_speaker(b.subject, b.body)) as s (instance_id)
        cross join lateral (
            select coalesce(max((r.value ->> 'version')::bigint), 0)
            from jsonb_array_elements(b.body -> 'records') as r
        ) as v (greatest)
        order by s.instance_id, v.greatest desc
    );
    moved uuid[] := array(
        select i.instance_id from unnest(speakers) as s
        join centralcloud.instance i using (instance_id)
        where s.greatest_version > i.greatest_version and s.environment <> i.environment
    );
begin
    -- the message with the greatest version says who an instance is, in whatever order they come
    insert into centralcloud.instance as i
    select s.* from unnest(speakers) as s
    on conflict (instance_id) do update set
        instance_name = case when excluded.greatest_version > i.greatest_version
            then excluded.instance_name else i.instance_name end,
        environment = case when excluded.greatest_version > i.greatest_version
            then excluded.environment else i.environment end,
        greatest_version = greatest(i.greatest_version, excluded.greatest_version), last_heard_at = excluded.last_heard_at;
    if cardinality(moved) > 0 then
        perform centralcloud.queue_scores(moved);
    end if;
end
$$;

comment on function centralcloud.register_instances(text[], jsonb[])
is 'Notes the instances that contribute, the greatest version each has sent, and what each says of itself with it.';

create or replace function centralcloud.queue_scores(instance_ids uuid[]) returns void
language sql security definer
set search_path = pg_catalog, pg_temp
as $$
    insert into centralcloud.unscored
    select distinct e.artifact_id from centralcloud.evidence as e where e.instance_id = any (queue_scores.instance_ids)
    on conflict do nothing
$$;

comment on function centralcloud.queue_scores(uuid[])
is 'Queues everything that instances have outcomes of, since these have another weight now.';

create or replace function centralcloud.welcome(speaker uuid, request jsonb) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    known bigint;
    rescored boolean;
begin
    rescored := exists (
        select from centralcloud.instance i
        where i.instance_id = welcome.speaker and i.environment <> welcome.request ->> 'environment'
    );
    insert into centralcloud.instance as i (
        instance_id, instance_name, environment, group_name, incarnation, extension_version
    )
    values (
        welcome.speaker, welcome.request ->> 'instance_name', welcome.request ->> 'environment', welcome.speaker::text,
        (welcome.request ->> 'incarnation')::uuid, welcome.request ->> 'extension_version'
    )
    on conflict (instance_id) do update set
        instance_name = excluded.instance_name, environment = excluded.environment, incarnation = excluded.incarnation,
        extension_version = excluded.extension_version, last_heard_at = now()
    returning greatest_version into known;
    if rescored then
        perform centralcloud.queue_scores(array[welcome.speaker]);
    end if;
    return jsonb_build_object('type', 'welcome', 'known_version', known, 'heads', centralcloud.heads());
end
$$;

comment on function centralcloud.welcome(uuid, jsonb)
is 'Answers the hello of an instance: notes who it is and tells the greatest version known from it and the heads of all topics.';

create or replace function centralcloud.note_session(speaker uuid, session uuid) returns boolean
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    known centralcloud.instance;
begin
    select i.* into known from centralcloud.instance i where i.instance_id = speaker;
    if not found or session is null or session = known.session_id then
        return known.twin_alarm_at is not null;
    end if;
    if session = any (known.former_sessions) then
        if known.session_since > clock_timestamp() - centralcloud.get_setting('twin_grace')::interval then
            -- a late message, not a twin
            return known.twin_alarm_at is not null;
        end if;
        known.twin_alarm_at := coalesce(known.twin_alarm_at, clock_timestamp());
    end if;
    update centralcloud.instance i set
        session_id = session, session_since = clock_timestamp(), twin_alarm_at = known.twin_alarm_at,
        former_sessions = (array_remove(array_remove(i.session_id || i.former_sessions, session), null))[1:16]
    where i.instance_id = speaker;
    return known.twin_alarm_at is not null;
end
$$;

comment on function centralcloud.note_session(uuid, uuid)
is 'Notes which life of a bridge asks in the name of an instance, and returns whether two databases speak in it. A life that '
'comes back after another one was heard for twin_grace raises the alarm.';

create or replace function centralcloud.dismiss_twin_alarm(instance_id uuid) returns boolean
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    update centralcloud.instance i set twin_alarm_at = null, former_sessions = '{}'
    where i.instance_id = dismiss_twin_alarm.instance_id and i.twin_alarm_at is not null;
    return found;
end
$$;

comment on function centralcloud.dismiss_twin_alarm(uuid)
is 'Ends the alarm that two databases speak as an instance, after reidentify() in one of them; returns whether there was one.';
