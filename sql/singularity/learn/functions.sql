create or replace function singularity.learn(
    kind text, name text, content jsonb, summary text default null, tags text[] default null,
    namespace text default 'default', shared boolean default null, embedding vector default null,
    contract text default null
) returns uuid
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    given singularity.holding;
begin
    given.namespace := learn.namespace;
    given.kind := learn.kind;
    given.name := learn.name;
    given.content := learn.content;
    given.summary := learn.summary;
    given.tags := learn.tags;
    given.shared := learn.shared;
    given.embedding := learn.embedding;
    given.contract := learn.contract;
    given := singularity.check_artifact(given);
    perform singularity.store_holdings(array[given]);
    return given.artifact_id;
end
$$;

comment on function singularity.learn(text, text, jsonb, text, text[], text, boolean, vector, text)
is 'Keeps an artifact and returns its id. Changed content makes a new version, the old one stays in history(); unchanged '
'content changes nothing. summary, tags and shared that are left out stay as they were (a new artifact is shared); '
'with shared => false it never leaves this machine, and what the authority had of it is withdrawn. embedding is a vector of '
'your own for the content, under a contract that register_contract() made: it stays here, beside the one from the text. '
'Errors: 22004 for null, 22023 for a namespace, kind, name, tag or vector that is not valid, 54000 for content over 256 KiB or '
'nested deeper than 200 levels.';

create or replace function singularity.learn_many(artifacts jsonb) returns bigint
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    given singularity.holding[];
begin
    if jsonb_typeof(artifacts) is distinct from 'array' then
        raise exception using errcode = 'invalid_parameter_value',
            message = format('artifacts must be a JSON array, not %s', coalesce(jsonb_typeof(artifacts), 'null')),
            hint = 'Pass [{"kind": "pattern", "name": "retry", "content": {…}}, …].';
    end if;
    begin
        select array_agg(singularity.artifact_from(e.value) order by e.ordinality) into given
        from jsonb_array_elements(artifacts) with ordinality as e;
    exception when data_exception or program_limit_exceeded then
        perform singularity.raise_for_element(artifacts);
    end;
    return cardinality(singularity.store_holdings(coalesce(given, '{}')));
end
$$;

comment on function singularity.learn_many(jsonb)
is 'Learns an array of objects with the argument names of learn() in one statement, all or nothing, and returns how many '
'were new or changed. Of several elements for one artifact the last one counts. Errors are those of learn() and name '
'the element, counted from 0.';

create or replace function singularity.forget(
    kind text, name text, namespace text default 'default', everywhere boolean default false
) returns boolean
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    key constant record := singularity.check_key(forget.namespace, forget.kind, forget.name);
    old constant singularity.holding := (select h from singularity.present_holding(key.artifact_id) as h);
    was_known boolean;
    tombstone bigint;
begin
    was_known := old.variant is not null or (
        old.version is null
        and exists (select from singularity.central_copy c where c.artifact_id = key.artifact_id)
    );
    if not was_known and (not forget.everywhere or old.version is null or old.withdrawn_up_to = old.version) then
        return false;
    end if;
    tombstone := nextval('singularity.version');
    insert into singularity.holding (
        artifact_id, version, namespace, kind, name, shared, withdrawn_up_to, incarnation
    )
    values (
        key.artifact_id, tombstone, key.namespace, key.kind, key.name, coalesce(old.shared, true),
        case when forget.everywhere then tombstone else coalesce(old.withdrawn_up_to, 0) end,
        (singularity.present_identity()).incarnation
    );
    if forget.everywhere then
        update singularity.holding h set content = null, summary = null, tags = '{}', embedding = null, contract = null
        where h.artifact_id = key.artifact_id and h.variant is not null;
        delete from singularity.held_holding b where b.artifact_id = key.artifact_id;
        if singularity.get_setting('mode') <> 'local' then
            insert into singularity.outbox (version, artifact_id) values (tombstone, key.artifact_id);
            perform singularity.delete_replaced_entries(array[key.artifact_id]);
        end if;
    end if;
    perform singularity.index_artifacts(array[key.artifact_id]);
    perform singularity.ring_doorbell();
    return true;
end
$$;

comment on function singularity.forget(text, text, text, boolean)
is 'Forgets an artifact here: lookup() and recall() no longer return it, from wherever it came, until it is learned again; '
'a tombstone and the older versions stay in history(). With everywhere => true contents, summaries and tags are removed from '
'history too, and what this instance gave to the authority (content and outcomes) is withdrawn. Returns whether there was '
'anything to forget.';

create or replace function singularity.history(kind text, name text, namespace text default 'default')
returns table (
    version bigint, origin text, variant text, content jsonb, summary text, tags text[], shared boolean,
    forgotten boolean, learned_at timestamptz
)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    key constant record := singularity.check_key(history.namespace, history.kind, history.name);
begin
    return query
    select
        h.version, 'local', h.variant, h.content, h.summary, h.tags, h.shared, h.variant is null, h.learned_at
    from singularity.holding h
    where h.artifact_id = key.artifact_id
    union all
    select c.revision, 'central', c.variant, c.content, c.summary, c.tags, true, false, c.fetched_at
    from singularity.central_copy c
    where c.artifact_id = key.artifact_id
    order by 9 desc, 1 desc;
end
$$;

comment on function singularity.history(text, text, text)
is 'Every version of an artifact that was learned or forgotten here, newest first, and the central copy with the '
'authority''s revision as its version.';

create or replace function singularity.artifact_from(element jsonb) returns singularity.holding
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    known_fields constant jsonb := '{
        "kind": "string", "name": "string", "content": "", "summary": "string", "tags": "array", "namespace": "string",
        "shared": "boolean", "embedding": "array", "contract": "string"
    }'::jsonb;
    field record;
    wrong_tag text;
    given singularity.holding;
begin
    if jsonb_typeof(element) <> 'object' then
        raise exception using errcode = 'invalid_parameter_value',
            message = format('an artifact must be a JSON object, not %s', jsonb_typeof(element));
    end if;
    for field in select e.key, jsonb_typeof(e.value) as type, known_fields ->> e.key as expected
        from jsonb_each(element) as e loop
        if field.expected is null then
            raise exception using errcode = 'invalid_parameter_value',
                message = format('unknown field %L', singularity.printable(field.key)),
                hint = 'Fields are: kind, name, content, summary, tags, namespace, shared, embedding, contract.';
        elsif field.expected not in ('', field.type) and field.type <> 'null' then
            raise exception using errcode = 'invalid_parameter_value',
                message = format('field %L must be of type %s, not %s', field.key, field.expected, field.type);
        end if;
    end loop;
    wrong_tag := jsonb_path_query_first(
        element, 'strict $.tags[*].type() ? (@ != "string" && @ != "null")', silent => true
    ) #>> '{}';
    if wrong_tag is not null then
        raise exception using errcode = 'invalid_parameter_value',
            message = format('a tag must be of type string, not %s', wrong_tag);
    end if;
    given := jsonb_populate_record(null::singularity.holding, element - '{content,embedding}'::text[]);
    given.namespace := coalesce(given.namespace, 'default');
    given.content := element -> 'content';
    given.embedding := singularity.vector_from(element -> 'embedding');
    return singularity.check_artifact(given);
end
$$;

comment on function singularity.artifact_from(jsonb)
is 'Reads and checks one element of learn_many(). Raises 22023 for what is no object, an unknown field or a wrong type, '
'and what check_artifact() raises.';

create or replace function singularity.raise_for_element(artifacts jsonb) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    element record;
    error_code text;
    error text;
    error_hint text;
begin
    for element in select e.value, e.ordinality - 1 as index
        from jsonb_array_elements(artifacts) with ordinality as e loop
        begin
            perform singularity.artifact_from(element.value);
        exception when data_exception or program_limit_exceeded then
            get stacked diagnostics error_code = returned_sqlstate, error = message_text,
                error_hint = pg_exception_hint;
            raise exception using errcode = error_code, message = format('element %s: %s', element.index, error),
                hint = concat_ws(' ', nullif(error_hint, ''), 'Elements are counted from 0; nothing was learned.');
        end;
    end loop;
end
$$;

comment on function singularity.raise_for_element(jsonb)
is 'Raises the error of the first element of learn_many() that cannot be read, with its index.';

create or replace function singularity.check_artifact(given singularity.holding) returns singularity.holding
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    key constant record := singularity.check_key(given.namespace, given.kind, given.name);
    refusal constant singularity.refusal := coalesce(
        singularity.hidden_refusal(key.name, 'name'), singularity.content_refusal(given.content),
        singularity.summary_refusal(given.summary), singularity.tags_refusal(given.tags)
    );
begin
    perform singularity.raise_refusal(refusal);
    if given.contract = singularity.current_contract() then
        raise exception using errcode = 'invalid_parameter_value',
            message = format('vectors of contract %L are made here, from the text', given.contract),
            hint = 'Leave embedding and contract out, or register a contract of your own.';
    end if;
    perform singularity.check_vector(given.embedding, given.contract);
    given.artifact_id := key.artifact_id;
    given.name := key.name;
    given.variant := singularity.variant_of(given.content);
    if given.tags is not null then
        given.tags := array(select distinct t from unnest(given.tags) as t order by t);
    end if;
    if given.embedding is null then
        given.contract := null;
    end if;
    return given;
end
$$;

comment on function singularity.check_artifact(singularity.holding)
is 'Checks what learn() was given and returns it with id, variant and sorted tags, not stored yet; null stays null.';

create or replace function singularity.store_holdings(given singularity.holding[]) returns uuid[]
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set jit = off
set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
    connected boolean := singularity.get_setting('mode') <> 'local';
    present_incarnation uuid := (singularity.present_identity()).incarnation;
    default_sharing constant text := singularity.get_setting('default_sharing');
    stored uuid[];
    queued uuid[];
begin
    with wanted as (
        select distinct on (g.artifact_id)
            g.ordinality, g.artifact_id, g.namespace, g.kind, g.name, g.variant, g.content,
            coalesce(g.summary, old.summary) as summary,
            coalesce(g.tags, old.tags, '{}') as tags,
            coalesce(g.shared, old.shared, true) as shared,
            coalesce(old.withdrawn_up_to, 0) as withdrawn_up_to,
            coalesce(g.embedding, same.embedding) as embedding,
            case when g.embedding is not null then g.contract else same.contract end as contract,
            old.shared as was_shared, old.variant as old_variant, old.summary as old_summary, old.tags as old_tags,
            g.embedding is not null and (
                old.contract is distinct from g.contract or not singularity.is_same_vector(g.embedding, old.embedding)
            ) as has_new_vector
        from unnest(given) with ordinality as g
        left join lateral singularity.present_holding(g.artifact_id) as old on true
        left join lateral (
            select old.embedding, old.contract where old.variant = g.variant
        ) as same on true
        order by g.artifact_id, g.ordinality desc
    ), changed as (
        select w.*, nextval('singularity.version') as version
        from (select * from wanted order by ordinality) as w
        where (w.variant, w.summary, w.tags, w.shared)
            is distinct from (w.old_variant, w.old_summary, w.old_tags, w.was_shared)
            or w.has_new_vector
    ), inserted as (
        insert into singularity.holding (
            artifact_id, version, namespace, kind, name, variant, content, summary, tags, shared, withdrawn_up_to,
            embedding, contract, incarnation
        )
        select
            artifact_id, version, namespace, kind, name, variant, content, summary, tags, shared,
            case when shared and coalesce(p.policy, default_sharing) <> 'private' then withdrawn_up_to else version end,
            embedding, contract, present_incarnation
        from changed
        left join singularity.sharing_policy as p using (namespace)
    ), entries as (
        insert into singularity.outbox (version, artifact_id)
        select version, artifact_id from changed
        where connected and (shared or was_shared)
        returning artifact_id
    )
    select
        coalesce((select array_agg(artifact_id) from changed), '{}'),
        (select array_agg(artifact_id) from entries)
    into stored, queued;
    if cardinality(stored) > 0 then
        perform singularity.index_artifacts(stored);
    end if;
    if queued is not null then
        perform singularity.delete_replaced_entries(queued);
        perform singularity.ring_doorbell();
    end if;
    return stored;
end
$$;

comment on function singularity.store_holdings(singularity.holding[])
is 'Stores those of the holdings that are new or changed, indexes them, queues what is shared for the authority (unless '
'local) and returns the ids of their artifacts. Inserts only: it waits for no other session.';

create or replace function singularity.present_holding(artifact_id uuid) returns setof singularity.holding
language sql stable
begin atomic
    select h.*
    from singularity.holding as h
    where h.artifact_id = present_holding.artifact_id
    order by h.version desc
    limit 1;
end;

comment on function singularity.present_holding(uuid)
is 'The holding in force of an artifact: that of the greatest version, a tombstone when it was forgotten; no row when it was '
'never learned here. It goes into the statement that calls it, as a view would.';

create or replace function singularity.is_forgotten(artifact_id uuid) returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select exists (select from singularity.present_holding(is_forgotten.artifact_id) as h where h.variant is null)
$$;

comment on function singularity.is_forgotten(uuid)
is 'Whether an artifact was forgotten here: then an answer of the authority would not be kept.';

create or replace function singularity.heed_withdrawals(artifact_ids uuid[]) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
    connected boolean := singularity.get_setting('mode') <> 'local';
    present_incarnation uuid := (singularity.present_identity()).incarnation;
    heeded bigint;
begin
    with unaware as (
        select present.*, nextval('singularity.version') as new_version, w.withdrawn_up_to as withdrawn,
            -- a withdrawal that was restored may have been unshared only in a time that is over
            present.shared and (w.shared or w.incarnation is null) as still_shared
        from unnest(artifact_ids) as i (artifact_id)
        cross join lateral singularity.present_holding(i.artifact_id) as present
        cross join lateral (
            select h.withdrawn_up_to, h.shared, h.incarnation from singularity.holding h
            where h.artifact_id = i.artifact_id order by h.withdrawn_up_to desc, h.version desc limit 1
        ) as w
        where present.withdrawn_up_to < w.withdrawn_up_to
    ), inserted as (
        insert into singularity.holding (
            artifact_id, version, namespace, kind, name, variant, content, summary, tags, shared, withdrawn_up_to,
            embedding, contract, incarnation
        )
        select
            artifact_id, new_version, namespace, kind, name, variant, content, summary, tags, still_shared,
            case when still_shared or variant is null then withdrawn else new_version end, embedding, contract,
            present_incarnation
        from unaware
    ), entries as (
        -- of what is forgotten here alone nothing is told: the withdrawal has an entry of its own
        insert into singularity.outbox (version, artifact_id) select new_version, artifact_id from unaware
        where connected and variant is not null
    )
    select count(*) into heeded from unaware;
    if heeded > 0 and connected then
        perform singularity.delete_replaced_entries(artifact_ids), singularity.ring_doorbell();
    end if;
    -- contents that were learned while another session forgot them everywhere
    update singularity.holding h set content = null, summary = null, tags = '{}', embedding = null, contract = null
    where (h.artifact_id, h.version) in (
        select old.artifact_id, old.version
        from unnest(artifact_ids) as i (artifact_id)
        cross join lateral singularity.present_holding(i.artifact_id) as present
        join singularity.holding old on old.artifact_id = i.artifact_id and old.content is not null
        where present.variant is null and present.withdrawn_up_to = present.version
        for update of old skip locked
    );
end
$$;

comment on function singularity.heed_withdrawals(uuid[])
is 'Where one session took back what was shared, or forgot it everywhere, while another that did not see it learned a later '
'version: makes a version that knows of both, so that the authority hears of the withdrawal. What one wanted unshared is not '
'shared.';
