-- A stand-in for an extension: the functions that a bridge calls, over simple tables and without any domain.
-- What runs against this proves that the bridge knows nothing of knowledge. Tests change the plan's row, fill the
-- outbox with `send`, and read what was received, reported and ticked.

create schema stand_in;

do $$
begin
    create role stand_in_bridge nologin;
exception when duplicate_object or unique_violation then null;
end
$$;

create table stand_in.plan (document jsonb not null);
create table stand_in.refusal (reason text not null);
create table stand_in.bell (armed boolean not null);
create table stand_in.outbox (
    id bigint generated always as identity primary key,
    queue text not null,
    via text not null,
    subject text not null,
    headers jsonb,
    payload bytea not null,
    timeout_ms integer not null,
    again boolean not null,
    attempt integer not null default 1,
    offered boolean not null default false
);
create index on stand_in.outbox (queue, id) where not offered;
create table stand_in.result (id bigint generated always as identity primary key, message_id text, body jsonb);
create index on stand_in.result (message_id);
create table stand_in.received (
    id bigint generated always as identity primary key,
    subject text, payload bytea, meta jsonb, batch integer
);
create table stand_in.tick (id bigint generated always as identity primary key, state jsonb);
create table stand_in.detached (at timestamptz default clock_timestamp());

insert into stand_in.bell values (false);
insert into stand_in.plan values (jsonb_build_object(
    'extension', 'stand_in', 'version', '0.1.0', 'protocol', 1,
    'client_name', 'stand_in/test', 'inbox_prefix', '_INBOX_test', 'bell', 'stand_in_bell',
    'poll_ms', 250, 'tick_ms', 200, 'speaking', true,
    'queues', '[{"name": "fast", "window": 8}, {"name": "slow", "window": 2}]'::jsonb
));

create function stand_in.send(
    queue text, via text, subject text, payload bytea,
    headers jsonb default null, timeout_ms integer default 2000, again boolean default false
) returns bigint language plpgsql as $$
declare new_id bigint;
begin
    insert into stand_in.outbox (queue, via, subject, headers, payload, timeout_ms, again)
    values (queue, via, subject, headers, payload, timeout_ms, again) returning id into new_id;
    update stand_in.bell set armed = false where armed;
    if found then
        perform pg_notify('stand_in_bell', '');
    end if;
    return new_id;
end
$$;

create function stand_in.bridge_plan() returns jsonb language sql security definer as $$
    select document || jsonb_build_object('revision', md5(document::text)) from stand_in.plan
$$;

create function stand_in.bridge_attach(bridge_version text, protocol integer) returns jsonb
language plpgsql security definer as $$
declare key constant integer := 731;
begin
    if protocol <> (select (document ->> 'protocol')::integer from stand_in.plan) then
        raise exception 'protocol % is not supported', protocol using errcode = 'SGV01', hint = 'Update the bridge.';
    end if;
    if exists (select from stand_in.refusal) then
        raise exception '%', (select reason from stand_in.refusal) using errcode = 'SGV02', hint = 'Decide it.';
    end if;
    if pg_try_advisory_lock(key, 1) then
        return jsonb_build_object('attached', true, 'plan', stand_in.bridge_plan());
    end if;
    return jsonb_build_object('attached', false, 'holder',
        (select pid from pg_locks where locktype = 'advisory' and classid = key
            and database = (select oid from pg_database where datname = current_database())));
end
$$;

create function stand_in.bridge_holder() returns table (pid integer, who text) language sql security definer as $$
    select pid, 'process ' || pid from pg_locks where locktype = 'advisory' and classid = 731 and granted
        and database = (select oid from pg_database where datname = current_database())
$$;

create function stand_in.bridge_arm() returns text[] language plpgsql security definer as $$
declare queues text[];
begin
    update stand_in.bell set armed = true where not armed;
    select array_agg(l ->> 'name') into queues
      from stand_in.plan, jsonb_array_elements(document -> 'queues') as l
     where exists (select from stand_in.outbox as o where o.queue = l ->> 'name' and not o.offered);
    if queues is not null then
        update stand_in.bell set armed = false;
    end if;
    return coalesce(queues, '{}');
end
$$;

create function stand_in.bridge_outgoing(queue text, max_messages integer)
returns table (message_id text, via text, subject text, headers jsonb, payload bytea, timeout_ms integer)
language sql security definer as $$
    update stand_in.outbox as o set offered = true
     where o.id in (select id from stand_in.outbox as i where i.queue = bridge_outgoing.queue and not i.offered
                     order by id limit max_messages for update skip locked)
    returning o.id || '.' || o.attempt, o.via, o.subject, o.headers, o.payload, o.timeout_ms
$$;

create function stand_in.bridge_result(results jsonb) returns void language plpgsql security definer as $$
begin
    insert into stand_in.result (message_id, body)
    select r ->> 'message_id', r - 'message_id' from jsonb_array_elements(results) as r;
    update stand_in.outbox as o set offered = false, attempt = attempt + 1
      from jsonb_array_elements(results) as r
     where o.again and not (r ->> 'ok')::boolean and o.id = split_part(r ->> 'message_id', '.', 1)::bigint;
    delete from stand_in.outbox as o using jsonb_array_elements(results) as r
     where (r ->> 'ok')::boolean and o.id = split_part(r ->> 'message_id', '.', 1)::bigint;
end
$$;

-- A payload tells what becomes of it: `fail:<deliveries>`, `slow:<ms>` and `reply:<subject>:<text>` are commands.
create function stand_in.bridge_receive(subjects text[], payloads bytea[], meta jsonb[])
returns table (message integer, subject text, headers jsonb, payload bytea)
language plpgsql security definer as $$
declare word text;
begin
    for i in 1 .. cardinality(subjects) loop
        word := encode(payloads[i], 'escape');
        if word like 'fail:%' and coalesce((meta[i] ->> 'deliveries')::integer, 1) <= substr(word, 6)::integer then
            raise exception 'not now';
        elsif word like 'slow:%' then
            perform pg_sleep(split_part(word, ':', 2)::numeric / 1000);
        elsif word like 'reply:%' then
            message := i; subject := split_part(word, ':', 2); headers := '{"Of": "stand_in"}';
            payload := split_part(word, ':', 3)::bytea;
            return next;
        end if;
        insert into stand_in.received (subject, payload, meta, batch)
        values (subjects[i], payloads[i], bridge_receive.meta[i], cardinality(subjects));
    end loop;
end
$$;

create function stand_in.bridge_serve(subject text, payload bytea) returns bytea language plpgsql security definer as $$
declare word text := encode(payload, 'escape');
begin
    if word = 'fail' then
        raise exception 'nothing to say';
    elsif word like 'slow:%' then
        perform pg_sleep(split_part(word, ':', 2)::numeric / 1000);
    elsif word like 'size:%' then
        return decode(repeat('78', split_part(word, ':', 2)::integer), 'hex');
    end if;
    return convert_to(subject || ' said ' || word, 'UTF8');
end
$$;

create function stand_in.bridge_serve(subject text, payload bytea, meta jsonb) returns bytea
language sql security definer as $$
    -- who names the reply subject of somebody else gets no answer
    select case when meta ->> 'reply' not like 'work.%' then stand_in.bridge_serve(subject, payload) end
$$;

create table stand_in.aside (subject text, payload bytea, meta jsonb, error text);

create function stand_in.bridge_put_aside(subject text, payload bytea, meta jsonb, error text) returns void
language sql security definer as $$
    insert into stand_in.aside (subject, payload, meta, error) values ($1, $2, $3, $4)
$$;

create table stand_in.signing_key (signing_key_id bigint, seed bytea);
insert into stand_in.signing_key values (1, sha256('a secret'));

create function stand_in.bridge_signing_keys() returns table (signing_key_id bigint, seed bytea)
language sql security definer as $$ select k.signing_key_id, k.seed from stand_in.signing_key as k order by 1 $$;

create function stand_in.bridge_tick(state jsonb) returns jsonb language plpgsql security definer as $$
begin
    delete from stand_in.tick;
    insert into stand_in.tick (state) values (bridge_tick.state);
    return jsonb_build_object('plan_revision', stand_in.bridge_plan() ->> 'revision');
end
$$;

create function stand_in.bridge_detach() returns void language plpgsql security definer as $$
begin
    insert into stand_in.detached default values;
    perform pg_advisory_unlock(731, 1);
end
$$;

revoke all on all functions in schema stand_in from public;
grant usage on schema stand_in to stand_in_bridge;
grant execute on function
    stand_in.bridge_attach(text, integer), stand_in.bridge_plan(), stand_in.bridge_arm(),
    stand_in.bridge_outgoing(text, integer), stand_in.bridge_result(jsonb),
    stand_in.bridge_receive(text[], bytea[], jsonb[]), stand_in.bridge_serve(text, bytea),
    stand_in.bridge_serve(text, bytea, jsonb), stand_in.bridge_signing_keys(),
    stand_in.bridge_put_aside(text, bytea, jsonb, text),
    stand_in.bridge_tick(jsonb), stand_in.bridge_detach(), stand_in.bridge_holder()
to stand_in_bridge;
