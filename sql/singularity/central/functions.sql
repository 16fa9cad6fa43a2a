create or replace function singularity.connect(mode text default 'hybrid') returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    if connect.mode is null or connect.mode not in ('local', 'hybrid', 'central') then
        raise exception using errcode = 'invalid_parameter_value',
            message = format('there is no mode %L', connect.mode),
            hint = 'Modes are: local (alone), hybrid (local first, the authority on a miss), central (local first, the '
                'authority asked as well every time).';
    end if;
    perform singularity.keep_present_identity();
    perform singularity.change_settings(jsonb_build_object('mode', connect.mode));
    if connect.mode = 'local' then
        return;
    end if;
    insert into singularity.authority as a (backfill_after) values (pg_current_xact_id())
    on conflict (only_row) do update set backfill_after = excluded.backfill_after;
    perform singularity.backfill();
    perform singularity.ring_doorbell();
end
$$;

comment on function singularity.connect(text)
is 'Connects this instance to the authority, in mode hybrid (local first, the authority on a miss) or central (local '
'first, the authority asked as well every time), and queues everything shared that was learned before. It does not wait '
'for the bridge: see status(). Errors: 22023 for an unknown mode.';

create or replace function singularity.disconnect() returns void
language sql security definer
set search_path = pg_catalog, pg_temp
as $$ select singularity.connect('local') $$;

comment on function singularity.disconnect()
is 'Back to mode local: nothing is sent or asked any more, and nothing is lost; connect() takes it up again.';

create or replace function singularity.follow(kind text, namespace text default 'default') returns void
language sql security definer
set search_path = pg_catalog, pg_temp
as $$
    insert into singularity.followed_topic (namespace, kind)
    values (singularity.check_token(follow.namespace, 'namespace'), singularity.check_token(follow.kind, 'kind'))
    on conflict do nothing
$$;

comment on function singularity.follow(text, text)
is 'Keeps everything that the authority knows of a kind in a namespace here, for use offline, from now on and as it changes. '
'Errors: 22004 and 22023 for a kind or namespace that is not valid.';

create or replace function singularity.unfollow(kind text, namespace text default 'default') returns void
language sql security definer
set search_path = pg_catalog, pg_temp
as $$
    delete from singularity.followed_topic as t
    where t.namespace = singularity.check_token(unfollow.namespace, 'namespace')
        and t.kind = singularity.check_token(unfollow.kind, 'kind')
$$;

comment on function singularity.unfollow(text, text)
is 'Stops following a kind in a namespace; what is here already stays, and is still refreshed.';

create or replace function singularity.store_rows(given jsonb, epoch text, asked boolean) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    taken uuid[];
begin
    with incoming as (
        select distinct on (r.namespace, r.kind, r.name)
            singularity.artifact_id(r.namespace, r.kind, r.name) as artifact_id, r.*
        from jsonb_to_recordset(given) as r (
            namespace text, kind text, name text, variant text, content jsonb, summary text, tags text[],
            level singularity.level, confidence double precision, uses bigint, successes bigint, pinned boolean,
            revision bigint, removed boolean
        )
        order by r.namespace, r.kind, r.name, r.revision desc
    ), wanted as (
        select i.* from incoming i
        left join singularity.central_copy c using (artifact_id)
        left join lateral (
            select h.variant is null as forgotten, true as held from singularity.holding h
            where h.artifact_id = i.artifact_id order by h.version desc limit 1
        ) as h on true
        where case
            -- also one that was forgotten: it may be learned again before delete_forgotten_copies()
            when c.artifact_id is not null then c.epoch <> store_rows.epoch or c.revision <= i.revision
            when coalesce(h.forgotten, false) then false
            else asked or coalesce(h.held, false) or exists (
                select from singularity.followed_topic t where t.namespace = i.namespace and t.kind = i.kind
            )
        end
    ), removed as (
        delete from singularity.central_copy c using wanted w
        where w.removed and c.artifact_id = w.artifact_id
    ), stored as (
        insert into singularity.central_copy as c (
            artifact_id, namespace, kind, name, variant, content, summary, tags, level, confidence, uses, successes,
            pinned, revision, epoch
        )
        select
            w.artifact_id, w.namespace, w.kind, w.name, w.variant, w.content, w.summary, coalesce(w.tags, '{}'), w.level,
            w.confidence, w.uses, w.successes, coalesce(w.pinned, false), w.revision, store_rows.epoch
        from wanted w
        where not coalesce(w.removed, false)
        on conflict (artifact_id) do update set
            variant = excluded.variant, content = excluded.content, summary = excluded.summary, tags = excluded.tags,
            level = excluded.level, confidence = excluded.confidence, uses = excluded.uses,
            successes = excluded.successes, pinned = excluded.pinned, revision = excluded.revision,
            epoch = excluded.epoch, fetched_at = excluded.fetched_at, unknown = false
    )
    select array_agg(w.artifact_id) into taken from wanted w;
    if taken is not null then
        perform singularity.index_artifacts(taken);
    end if;
end
$$;

comment on function singularity.store_rows(jsonb, text, boolean)
is 'Takes in refined knowledge: of what was asked for all, else what is followed, held or cached here and not older than '
'the copy; what was forgotten here stays forgotten.';

create or replace function singularity.take_rows(given jsonb, epoch text, asked boolean) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    given_row jsonb;
begin
    begin
        perform singularity.store_rows(given, epoch, asked);
        return;
    exception when others then
        if singularity.is_transient(sqlstate) or asked and jsonb_array_length(given) = 1 then
            raise;
        end if;
    end;
    -- one of them is poison: each is tried alone
    for given_row in select r.value from jsonb_array_elements(given) as r loop
        begin
            perform singularity.store_rows(jsonb_build_array(given_row), epoch, asked);
        exception when others then
            if singularity.is_transient(sqlstate) then
                raise;
            end if;
            insert into singularity.dead_letter as d (subject, payload, meta, error_code, error)
            values (
                'refined row',
                singularity.encode_message(jsonb_build_object(
                    'type', 'refined', 'epoch', take_rows.epoch, 'namespace', given_row -> 'namespace',
                    'kind', given_row -> 'kind', 'from', (given_row ->> 'revision')::bigint - 1,
                    'to', given_row -> 'revision', 'rows', jsonb_build_array(given_row)
                )),
                '{}', sqlstate, sqlerrm
            )
            on conflict (subject, sha256(payload)) do update set received_at = now();
        end;
    end loop;
end
$$;

comment on function singularity.take_rows(jsonb, text, boolean)
is 'Takes in refined knowledge, see store_rows(); a row that cannot be stored becomes a dead letter and stops no other. An '
'answer of one such row raises its error, so that the question stays open.';

create or replace function singularity.hear_heads(heads jsonb) returns void
language sql security definer
set search_path = pg_catalog, pg_temp
as $$
    update singularity.topic as t set
        head = h.head::bigint,
        -- an authority that went back in time numbers anew: take the topic from its start
        position = case when h.head::bigint < t.position then 0 else t.position end,
        synced_at = case when h.head::bigint = t.position then now() else t.synced_at end
    from jsonb_each_text(heads) as h (topic, head)
    where t.namespace = split_part(h.topic, '/', 1) and t.kind = split_part(h.topic, '/', 2)
        and (t.head <> h.head::bigint or t.synced_at is null or t.synced_at < now() - interval '30 seconds');
$$;

comment on function singularity.hear_heads(jsonb)
is 'Notes the heads of topics, a JSON object of namespace/kind and number; a head beyond the position is a page to fetch.';

create or replace function singularity.mind_topics(heads jsonb) returns void
language sql security definer
set search_path = pg_catalog, pg_temp
as $$
    insert into singularity.topic (namespace, kind, position, head)
    select split_part(h.topic, '/', 1), split_part(h.topic, '/', 2), h.head::bigint, h.head::bigint
    from jsonb_each_text(heads) as h (topic, head)
    on conflict do nothing;
$$;

comment on function singularity.mind_topics(jsonb)
is 'Starts to watch topics that this instance now holds something of, from the heads that came with it.';

create or replace function singularity.hear_authority(epoch text) returns void
language sql security definer
set search_path = pg_catalog, pg_temp
as $$
    update singularity.authority as a set
        heard_at = clock_timestamp(),
        -- a new epoch wants a new hello
        welcomed_at = case when a.epoch = hear_authority.epoch then a.welcomed_at end,
        epoch = hear_authority.epoch;
$$;

comment on function singularity.hear_authority(text) is 'Notes that the authority was heard just now, and its epoch.';

create or replace function singularity.hear_of_twin(twin boolean) returns void
language sql security definer
set search_path = pg_catalog, pg_temp
as $$
    update singularity.authority as a set twin_at = case when hear_of_twin.twin then clock_timestamp() end
    where hear_of_twin.twin is distinct from (a.twin_at is not null) and hear_of_twin.twin is not null;
$$;

comment on function singularity.hear_of_twin(boolean) is 'Notes whether the authority hears two databases speak as this instance.';

create or replace function singularity.apply_refined(body jsonb) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    perform singularity.take_rows(body -> 'rows', body ->> 'epoch', false);
    update singularity.topic t set
        head = greatest(t.head, (body ->> 'to')::bigint),
        -- also back, to what came late: what changed since, a removal perhaps, is fetched again
        position = case when (body ->> 'from')::bigint <= t.position then (body ->> 'to')::bigint else t.position end
    where t.namespace = body ->> 'namespace' and t.kind = body ->> 'kind';
end
$$;

comment on function singularity.apply_refined(jsonb)
is 'Takes in a push or a page of changes after number "from" up to "to"; where something is missing before it, the '
'position stays and the page is asked for; after one that came late the position goes back to its end.';

create or replace function singularity.prepare_topics() returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    -- a topic that is followed from now on is wanted from its start
    insert into singularity.topic as t (namespace, kind, followed)
    select f.namespace, f.kind, true from singularity.followed_topic f
    where not exists (
        select from singularity.topic s where s.namespace = f.namespace and s.kind = f.kind and s.followed
    )
    on conflict (namespace, kind) do update set followed = true, position = 0;
    update singularity.topic t set followed = false
    where t.followed and not exists (
        select from singularity.followed_topic f where f.namespace = t.namespace and f.kind = t.kind
    );
end
$$;

comment on function singularity.prepare_topics() is 'Makes the topics that are followed, or no longer, known to the bridge.';

create or replace function singularity.delete_forgotten_copies() returns void
language sql security definer
set search_path = pg_catalog, pg_temp
as $$
    delete from singularity.central_copy as c
    using singularity.holding as h
    where h.artifact_id = c.artifact_id and h.variant is null and not exists (
        select from singularity.holding as newer
        where newer.artifact_id = h.artifact_id and newer.version > h.version
    );
$$;

comment on function singularity.delete_forgotten_copies() is 'Deletes central copies of what was forgotten here.';
