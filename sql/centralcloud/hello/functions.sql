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
        where i.instance_id = welcome.speaker
            and i.environment <> centralcloud.environment_in(welcome.request)
    );
    insert into centralcloud.instance as i (
        instance_id, instance_name, environment, group_name, incarnation, extension_version, seals
    )
    values (
        welcome.speaker, centralcloud.name_in(welcome.request, welcome.speaker),
        centralcloud.environment_in(welcome.request), welcome.speaker::text, (welcome.request ->> 'incarnation')::uuid,
        centralcloud.printable(welcome.request ->> 'extension_version'),
        coalesce(welcome.request -> 'seals' = 'true', false)
    )
    on conflict (instance_id) do update set
        instance_name = excluded.instance_name, environment = excluded.environment, incarnation = excluded.incarnation,
        extension_version = excluded.extension_version, seals = i.seals or excluded.seals, last_heard_at = now()
    returning greatest_version into known;
    if rescored then
        perform centralcloud.queue_scores(array[welcome.speaker]);
    end if;
    return jsonb_build_object(
        'type', 'welcome', 'known_version', known,
        'heads', centralcloud.readable_heads(welcome.speaker, centralcloud.heads()),
        'retry_refused', centralcloud.tell_quota(welcome.speaker)
    );
end
$$;

comment on function centralcloud.welcome(uuid, jsonb)
is 'Answers the hello of an instance: notes who it is and tells the greatest version known from it, and for instances before 0.3 '
'the heads of the topics that changed last, as far as it may read them.';

create or replace function centralcloud.note_session(speaker uuid, session uuid) returns boolean
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    known centralcloud.instance := (select i from centralcloud.instance i where i.instance_id = speaker);
begin
    if known.instance_id is null or session is null or session = known.session_id then
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
is 'Notes which session of a bridge asks in the name of an instance, and returns whether two databases speak in it. One that '
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
