create or replace function centralcloud.register_instances(subjects text[], bodies jsonb[]) returns void
language sql security definer
set search_path = pg_catalog, pg_temp
as $$
    insert into centralcloud.instance as i (instance_id, instance_name, environment, group_name, greatest_version)
    select distinct on (s.instance_id)
        s.instance_id, coalesce(b.body ->> 'instance_name', s.instance_id::text), coalesce(b.body ->> 'environment', 'dev'),
        s.instance_id::text, v.greatest
    from unnest(subjects, bodies) as b (subject, body)
    cross join lateral (select centralcloud.check_speaker(b.subject, b.body)) as s (instance_id)
    cross join lateral (
        select coalesce(max((r.value ->> 'version')::bigint), 0)
        from jsonb_array_elements(b.body -> 'records') as r
    ) as v (greatest)
    order by s.instance_id, v.greatest desc
    on conflict (instance_id) do update set
        greatest_version = greatest(i.greatest_version, excluded.greatest_version), last_heard_at = excluded.last_heard_at;
$$;

comment on function centralcloud.register_instances(text[], jsonb[])
is 'Notes the instances that contribute and the greatest version each has sent.';

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
        -- its outcomes have another weight now
        insert into centralcloud.unscored
        select distinct e.artifact_id from centralcloud.evidence e where e.instance_id = welcome.speaker
        on conflict do nothing;
    end if;
    return jsonb_build_object('type', 'welcome', 'known_version', known, 'heads', centralcloud.heads());
end
$$;

comment on function centralcloud.welcome(uuid, jsonb)
is 'Answers the hello of an instance: notes who it is and tells the greatest version known from it and the heads of all topics.';
