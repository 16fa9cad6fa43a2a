-- Who may read and contribute what, and the same in words of NATS.

create or replace function centralcloud.grant_access(
    group_name text, namespace text, may_read boolean default true, may_contribute boolean default true
) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    if coalesce(grant_access.group_name, '') = '' or octet_length(grant_access.group_name) > 512 then
        raise exception using errcode = 'invalid_parameter_value',
            message = format('group_name %L is not valid', left(grant_access.group_name, 100)),
            hint = 'It has 1 to 512 bytes: a group_name of centralcloud.instance.';
    end if;
    if grant_access.namespace is null or grant_access.namespace !~ '^([a-z0-9_-]{1,64}|[a-z0-9_-]{0,63}\*)$' then
        raise exception using errcode = 'invalid_parameter_value',
            message = format('namespace %L is not valid', left(grant_access.namespace, 100)),
            hint = 'Name a namespace, its beginning with * behind it, or * for all.';
    end if;
    if grant_access.may_read is null or grant_access.may_contribute is null then
        raise exception using errcode = 'null_value_not_allowed', message = 'may_read or may_contribute is null',
            hint = 'Say true or false; revoke_access() takes back what was said.';
    end if;
    insert into centralcloud.access (group_name, namespace, may_read, may_contribute)
    values (grant_access.group_name, grant_access.namespace, grant_access.may_read, grant_access.may_contribute)
    on conflict (group_name, namespace) do update set
        may_read = excluded.may_read, may_contribute = excluded.may_contribute, granted_at = excluded.granted_at;
end
$$;

comment on function centralcloud.grant_access(text, text, boolean, boolean)
is 'Says what a group may do in a namespace, or with * at the end in all that begin so; false forbids. The most specific row '
'counts, and a group with rows has nothing beside them. It holds at once here; in NATS after nats_permissions() was loaded '
'again. Errors: 22023 for a group or namespace that is not valid, 22004 for a null.';

create or replace function centralcloud.revoke_access(group_name text, namespace text) returns boolean
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    delete from centralcloud.access a
    where a.group_name = revoke_access.group_name and a.namespace = revoke_access.namespace;
    return found;
end
$$;

comment on function centralcloud.revoke_access(text, text)
is 'Takes back what grant_access() said, and returns whether it was said. After the last row of a group default_access holds for '
'it again: to forbid, grant_access(…, false, false).';

create or replace function centralcloud.covers(pattern text, namespace text) returns boolean
language sql immutable parallel safe
begin atomic
    select case
        when pattern like '%*' then starts_with(namespace, rtrim(pattern, '*'))
        else namespace = pattern
    end;
end;

comment on function centralcloud.covers(text, text) is 'Whether a namespace is meant by one of the table access.';

create or replace function centralcloud.group_of(instance_id uuid) returns text
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select coalesce((
        select i.group_name from centralcloud.instance as i where i.instance_id = group_of.instance_id
    ), group_of.instance_id::text)
$$;

comment on function centralcloud.group_of(uuid)
is 'The group of an instance; one that was never heard is a group of its own.';

create or replace function centralcloud.access_of(instance_id uuid, namespaces text[])
returns table (namespace text, may_read boolean, may_contribute boolean)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    member_of constant text := centralcloud.group_of(access_of.instance_id);
    everything boolean;
begin
    if not exists (select from centralcloud.access a where a.group_name = member_of) then
        everything := centralcloud.get_setting('default_access') = 'all';
        return query select n.namespace, everything, everything from unnest(namespaces) as n (namespace);
        return;
    end if;
    return query
    select n.namespace, coalesce(r.may_read, false), coalesce(r.may_contribute, false)
    from unnest(namespaces) as n (namespace)
    left join lateral (
        select a.may_read, a.may_contribute from centralcloud.access a
        where a.group_name = member_of and centralcloud.covers(a.namespace, n.namespace)
        order by a.namespace = n.namespace desc, length(a.namespace) desc limit 1
    ) as r on true;
end
$$;

comment on function centralcloud.access_of(uuid, text[]) is 'What an instance may do in each of some namespaces.';

create or replace function centralcloud.access_is_restricted() returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select centralcloud.get_setting('default_access') <> 'all' or exists (select from centralcloud.access)
$$;

comment on function centralcloud.access_is_restricted() is 'Whether there is anything that somebody may not read.';

create or replace function centralcloud.may_read(instance_id uuid, namespace text) returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$ select a.may_read from centralcloud.access_of(may_read.instance_id, array[may_read.namespace]) as a $$;

comment on function centralcloud.may_read(uuid, text) is 'Whether an instance may read a namespace.';

create or replace function centralcloud.readable_artifacts(instance_id uuid, artifact_ids uuid[]) returns uuid[]
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    with named as materialized (
        select g.n, a.artifact_id, a.namespace
        from unnest(readable_artifacts.artifact_ids) with ordinality as g (artifact_id, n)
        inner join centralcloud.artifact as a on g.artifact_id = a.artifact_id
    )
    select coalesce(array_agg(d.artifact_id order by d.n), '{}')
    from named as d
    inner join centralcloud.access_of(
        readable_artifacts.instance_id, array(select distinct d.namespace from named as d)
    ) as a on d.namespace = a.namespace
    where a.may_read
$$;

comment on function centralcloud.readable_artifacts(uuid, uuid[])
is 'Of some artifacts those that are known here and that an instance may read, in the order given.';

create or replace function centralcloud.readable_heads(instance_id uuid, heads jsonb) returns jsonb
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    with named as materialized (
        select h.key, h.value, t.namespace
        from jsonb_each(readable_heads.heads) as h
        cross join lateral centralcloud.topic_parts(h.key) as t
    )
    select coalesce(jsonb_object_agg(d.key, d.value), '{}')
    from named as d
    inner join centralcloud.access_of(
        readable_heads.instance_id, array(select distinct d.namespace from named as d)
    ) as a on d.namespace = a.namespace
    where a.may_read
$$;

comment on function centralcloud.readable_heads(uuid, jsonb) is 'Of the heads of topics those of namespaces that an instance may read.';

create or replace function centralcloud.readable_documents(instance_id uuid) returns tsquery
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    member_of constant text := centralcloud.group_of(readable_documents.instance_id);
    nothing constant tsquery := centralcloud.lexeme_query('/namespace/');
begin
    if not exists (select from centralcloud.access a where a.group_name = member_of) then
        return case when centralcloud.get_setting('default_access') <> 'all' then nothing end;
    end if;
    -- what a row allows, without what is forbidden below it and more exactly
    return coalesce((
        select string_agg(concat_ws(' & ', q.query, (
            select string_agg('!' || n.query, ' & ')
            from centralcloud.access d
            cross join lateral centralcloud.namespace_query(d.namespace) as n (query)
            where d.group_name = member_of and not d.may_read and d.namespace <> a.namespace
                and a.namespace like '%*' and centralcloud.covers(a.namespace, rtrim(d.namespace, '*'))
        )), ' | ')::tsquery
        from centralcloud.access a
        cross join lateral centralcloud.namespace_query(a.namespace) as q (query)
        where a.group_name = member_of and a.may_read
    ), nothing);
end
$$;

comment on function centralcloud.readable_documents(uuid)
is 'Query for the documents of namespaces that an instance may read; null when it may read all.';

create or replace function centralcloud.namespace_query(pattern text) returns text
language sql immutable parallel safe
begin atomic
    -- a namespace has no character that would have to be quoted
    select '''/namespace/' || rtrim(pattern, '*') || '''' || case when pattern like '%*' then ':*' else '' end;
end;

comment on function centralcloud.namespace_query(text) is 'Text of a query for the documents of a namespace of the table access.';

create or replace function centralcloud.check_credential(credential text) returns text
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    bits text;
    crc integer := 0;
begin
    -- one that NATS refuses would keep it from loading anything
    if credential ~ '^U[A-Z2-7]{55}$' then
        select string_agg((strpos('ABCDEFGHIJKLMNOPQRSTUVWXYZ234567', c.letter) - 1)::bit(5)::text, '' order by c.n)
        into bits from string_to_table(credential, null) with ordinality as c (letter, n);
        for i in 0 .. 32 loop
            crc := crc # (substr(bits, 8 * i + 1, 8)::bit(8)::integer << 8);
            for bit in 1 .. 8 loop
                crc := ((crc << 1) # case when crc & 32768 <> 0 then 4129 else 0 end) & 65535;
            end loop;
        end loop;
        if crc = (substr(bits, 273, 8) || substr(bits, 265, 8))::bit(16)::integer then
            return credential;
        end if;
    end if;
    raise exception using errcode = 'invalid_parameter_value',
        message = format('credential %L is no public nkey of a user', left(credential, 60)),
        hint = 'It has 56 characters and begins with U: nk -gen user -pubout prints a new one.';
end
$$;

comment on function centralcloud.check_credential(text)
is 'Returns the public nkey of a NATS user; raises 22023 when it is none, its checksum is wrong or it is null.';

create or replace function centralcloud.set_credential(
    instance_id uuid, credential text, next_credential text default null
) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    given constant text[] := array_remove(array[credential, next_credential], null);
    taken text;
begin
    if instance_id is null or (credential is null and next_credential is not null) then
        raise exception using errcode = 'null_value_not_allowed', message = 'instance_id or credential is null',
            hint = 'Pass instance_id of singularity.status(), and null for both credentials to take them away.';
    end if;
    perform centralcloud.check_credential(g) from unnest(given) as g;
    -- two at the same time could take the same one
    lock table centralcloud.instance in share row exclusive mode;
    select k into taken from unnest(given) as k
    where k = any (string_to_array(centralcloud.get_setting('credential'), ' ')) or exists (
        select from centralcloud.instance i
        where k in (i.credential, i.next_credential) and i.instance_id <> set_credential.instance_id
    );
    if taken is not null or credential = next_credential then
        raise exception using errcode = 'unique_violation',
            message = format('credential %L is somebody''s already', coalesce(taken, credential)),
            hint = 'Each instance and the authority has a key of its own: nk -gen user -pubout makes one.';
    end if;
    insert into centralcloud.instance (instance_id, instance_name, environment, group_name, credential, next_credential)
    values (
        set_credential.instance_id, set_credential.instance_id::text, 'dev', set_credential.instance_id::text,
        set_credential.credential, set_credential.next_credential
    )
    on conflict (instance_id) do update set
        credential = excluded.credential, next_credential = excluded.next_credential;
end
$$;

comment on function centralcloud.set_credential(uuid, text, text)
is 'Says by which NATS user (its public nkey) an instance speaks, which need not have been heard yet; null for none. While a key is '
'changed a second one may be valid beside it. It holds in NATS after nats_permissions() was loaded again. Errors: 22023 for what '
'is no key of a user, 23505 for one that is somebody''s already, 22004 for a null.';

create or replace function centralcloud.nats_permissions(operator text default null) returns text
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    own constant text[] := string_to_array(centralcloud.get_setting('credential'), ' ');
    operators constant text[] := array_remove(array[operator], null);
begin
    if own is null then
        raise exception using errcode = 'object_not_in_prerequisite_state',
            message = 'it is not known which NATS user the authority is',
            hint = 'SELECT centralcloud.configure(''{"credential": "U…"}'') with its public nkey.';
    end if;
    perform centralcloud.check_credential(k) from unnest(own || operators) as k;
    if exists (
        select from unnest(own || operators) as k group by k having count(*) > 1
        union all
        select from centralcloud.instance i where array[i.credential, i.next_credential] && (own || operators)
    ) then
        raise exception using errcode = 'unique_violation', message = 'a NATS user would be somebody else''s as well',
            hint = 'The authority, the operator and each instance have keys of their own.';
    end if;
    return format(E'authorization {\n  users = [\n%s  ]\n}\n', (
        select string_agg(u.line, '' order by u.place, u.n, u.credential)
        from (
            select 1 as place, null::timestamptz as n, k as credential, centralcloud.nats_user(
                k, 'the authority', centralcloud.authority_subjects()
            ) as line from unnest(own) as k
            union all
            select 2, null, k, format(E'    { nkey: "%s" } # may do everything\n', k) from unnest(operators) as k
            union all
            select 3, i.first_heard_at, k, centralcloud.nats_user(
                k, i.instance_name || ' ' || i.instance_id, centralcloud.instance_subjects(i.instance_id)
            )
            from centralcloud.instance i
            cross join lateral unnest(array_remove(array[i.credential, i.next_credential], null)) as k
            where not i.blocked and i.retired_at is null
        ) as u
    ));
end
$$;

comment on function centralcloud.nats_permissions(text)
is 'The block authorization { … } of a NATS server''s configuration: one user for the authority (setting credential) and one for each '
'instance that has a credential and is neither blocked nor retired, each permitted what it needs and nothing else; and, if given, an operator''s '
'user (public nkey) who may do everything. Errors: 55000 while the authority has no credential, 23505 for a key used twice, 22023 '
'for what is no key.';

create or replace function centralcloud.nats_user(credential text, named text, subjects jsonb) returns text
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
    -- the name is only there for people: a comment ends with its line
    select format(
        E'    # %s\n    { nkey: "%s", permissions: {\n'
        '        publish: { allow: %s }\n        subscribe: { allow: %s }\n    } }\n',
        regexp_replace(left(named, 120), '[^[:alnum:] ._@-]', '?', 'g'), credential,
        subjects -> 'publish', subjects -> 'subscribe'
    )
$$;

comment on function centralcloud.nats_user(text, text, jsonb)
is 'A user of a NATS server''s configuration, with what it may publish and subscribe to.';

create or replace function centralcloud.authority_subjects() returns jsonb
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select jsonb_build_object(
        'publish', (
            select jsonb_agg(p.prefix || s.name order by s.n)
            from unnest(array['.receipt.*', '.refined.*.*', '.heads', '.inbox.>']) with ordinality as s (name, n)
        ) || (
            select jsonb_agg(format(s.name, p.stream) order by s.n)
            from unnest(array[
                '$JS.API.STREAM.INFO.%s', '$JS.API.STREAM.CREATE.%s', '$JS.API.STREAM.UPDATE.%s',
                '$JS.API.CONSUMER.CREATE.%s.centralcloud', '$JS.API.CONSUMER.INFO.%s.centralcloud',
                '$JS.API.CONSUMER.MSG.NEXT.%s.centralcloud', '$JS.ACK.%s.centralcloud.>'
            ]) with ordinality as s (name, n)
        ),
        'subscribe', jsonb_build_array(p.prefix || '.centralcloud.*.*', p.prefix || '.inbox.centralcloud.>', '$SRV.>')
    )
    from (select centralcloud.get_setting('subject_prefix') as prefix, centralcloud.stream_name() as stream) as p
$$;

comment on function centralcloud.authority_subjects() is 'The NATS subjects that the authority publishes and subscribes to.';

create or replace function centralcloud.instance_subjects(instance_id uuid) returns jsonb
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select jsonb_build_object(
        'publish', jsonb_build_array(
            p.prefix || '.contribute.' || instance_subjects.instance_id,
            p.prefix || '.centralcloud.*.' || instance_subjects.instance_id,
            '$JS.API.STREAM.INFO.' || centralcloud.stream_name()
        ),
        'subscribe', jsonb_build_array(
            p.prefix || '.receipt.' || instance_subjects.instance_id, p.prefix || '.heads',
            p.prefix || '.inbox.' || instance_subjects.instance_id || '.>'
        ) || case
            when centralcloud.readable_documents(instance_subjects.instance_id) is null
                then jsonb_build_array(p.prefix || '.refined.>')
            -- NATS knows no beginnings of a token: the namespaces that there are, and those that are named
            else coalesce((
                select jsonb_agg(p.prefix || '.refined.' || a.namespace || '.>' order by a.namespace)
                from centralcloud.access_of(instance_subjects.instance_id, array(
                    select t.namespace from centralcloud.topic as t
                    union
                    select a.namespace from centralcloud.access as a where a.namespace not like '%*'
                )) as a
                where a.may_read
            ), '[]')
        end
    )
    from (select centralcloud.get_setting('subject_prefix') as prefix) as p
$$;

comment on function centralcloud.instance_subjects(uuid) is 'The NATS subjects that an instance publishes and subscribes to.';
