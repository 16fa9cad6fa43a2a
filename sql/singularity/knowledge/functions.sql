create or replace function singularity.learn(
    kind text, name text, content jsonb, summary text default null, tags text[] default null,
    namespace text default 'default', shared boolean default null, embedding vector default null,
    contract text default null
) returns uuid
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    given singularity.holding := singularity.check_artifact(
        kind, name, content, summary, tags, namespace, shared, embedding, contract
    );
begin
    perform singularity.store_holdings(array[given]);
    return given.artifact_id;
end
$$;

comment on function singularity.learn(text, text, jsonb, text, text[], text, boolean, vector, text)
is 'Keeps an artifact and returns its id. Changed content makes a new version, the old one stays in history(); unchanged '
'content changes nothing. summary, tags and shared that are left out stay as they were (a new artifact is shared); '
'with shared => false it never leaves this machine, and what the authority had of it is withdrawn. embedding is a vector of '
'your own for the content, under a contract that register_contract() made: it stays here, beside the one from the text. '
'Errors: 22004 for null, 22023 for a namespace, kind, name, tag or vector that is not valid, 54000 for content over 256 KiB.';

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

create or replace function singularity.artifact_from(element jsonb) returns singularity.holding
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    known_fields constant jsonb := jsonb_build_object('kind', 'string', 'name', 'string', 'content', '',
        'summary', 'string', 'tags', 'array', 'namespace', 'string', 'shared', 'boolean', 'embedding', 'array',
        'contract', 'string');
    field record;
    wrong_tag text;
begin
    if jsonb_typeof(element) <> 'object' then
        raise exception using errcode = 'invalid_parameter_value',
            message = format('an artifact must be a JSON object, not %s', jsonb_typeof(element));
    end if;
    for field in select e.key, jsonb_typeof(e.value) as type, known_fields ->> e.key as expected from jsonb_each(element) as e loop
        if field.expected is null then
            raise exception using errcode = 'invalid_parameter_value',
                message = format('unknown field %L', field.key),
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
    return singularity.check_artifact(
        element ->> 'kind', element ->> 'name', element -> 'content', element ->> 'summary',
        case when element -> 'tags' <> 'null' then
            array(select t.value #>> '{}' from jsonb_array_elements(element -> 'tags') as t)
        end,
        coalesce(element ->> 'namespace', 'default'), (element ->> 'shared')::boolean,
        singularity.vector_from(element -> 'embedding'), element ->> 'contract'
    );
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
    for element in select e.value, e.ordinality - 1 as index from jsonb_array_elements(artifacts) with ordinality as e loop
        begin
            perform singularity.artifact_from(element.value);
        exception when data_exception or program_limit_exceeded then
            get stacked diagnostics error_code = returned_sqlstate, error = message_text, error_hint = pg_exception_hint;
            raise exception using errcode = error_code, message = format('element %s: %s', element.index, error),
                hint = concat_ws(' ', nullif(error_hint, ''), 'Elements are counted from 0; nothing was learned.');
        end;
    end loop;
end
$$;

comment on function singularity.raise_for_element(jsonb)
is 'Raises the error of the first element of learn_many() that cannot be read, with its index.';

create or replace function singularity.check_artifact(
    kind text, name text, content jsonb, summary text, tags text[], namespace text, shared boolean, embedding vector,
    contract text
) returns singularity.holding
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    given singularity.holding;
begin
    given.namespace := singularity.check_token(namespace, 'namespace');
    given.kind := singularity.check_token(kind, 'kind');
    given.name := singularity.check_name(name);
    given.content := singularity.check_content(content);
    given.summary := singularity.check_summary(summary);
    given.tags := case when tags is not null then coalesce(singularity.check_tags(tags), '{}') end;
    given.shared := shared;
    given.artifact_id := singularity.artifact_id(given.namespace, given.kind, given.name);
    given.variant := singularity.variant_of(given.content);
    if contract = singularity.current_contract() then
        raise exception using errcode = 'invalid_parameter_value',
            message = format('vectors of contract %L are made here, from the text', contract),
            hint = 'Leave embedding and contract out, or register a contract of your own.';
    end if;
    given.embedding := singularity.check_vector(embedding, contract);
    given.contract := case when embedding is not null then contract end;
    return given;
end
$$;

comment on function singularity.check_artifact(text, text, jsonb, text, text[], text, boolean, vector, text)
is 'Checks the arguments of learn() and returns them as a holding that is not stored yet; null stays null.';

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
    stored uuid[];
    queued uuid[];
begin
    with wanted as (
        select distinct on (g.artifact_id)
            g.ordinality, g.artifact_id, g.namespace, g.kind, g.name, g.variant, g.content,
            coalesce(g.summary, old.summary) as summary,
            coalesce(g.tags, old.tags, '{}') as tags,
            coalesce(g.shared, old.shared, true) as shared,
            coalesce(old.withdrawn_through, 0) as withdrawn_through,
            coalesce(g.embedding, same.embedding) as embedding,
            case when g.embedding is not null then g.contract else same.contract end as contract,
            old.shared as was_shared, old.variant as old_variant, old.summary as old_summary, old.tags as old_tags,
            g.embedding is not null and (
                old.contract is distinct from g.contract or not singularity.is_same_vector(g.embedding, old.embedding)
            ) as has_new_vector
        from unnest(given) with ordinality as g
        left join lateral (
            select h.* from singularity.holding h where h.artifact_id = g.artifact_id order by h.version desc limit 1
        ) as old on true
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
            artifact_id, version, namespace, kind, name, variant, content, summary, tags, shared, withdrawn_through,
            embedding, contract, incarnation
        )
        select
            artifact_id, version, namespace, kind, name, variant, content, summary, tags, shared,
            case when shared then withdrawn_through else version end, embedding, contract, present_incarnation
        from changed
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

create or replace function singularity.known(artifact_ids uuid[]) returns setof singularity.knowledge
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
set jit = off
set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
    fresh_since timestamptz := now() - singularity.get_setting('answer_ttl')::interval;
begin
    return query
    select
        coalesce(h.artifact_id, c.artifact_id),
        coalesce(h.namespace, c.namespace),
        coalesce(h.kind, c.kind),
        coalesce(h.name, c.name),
        case when v.central then c.content else h.content end,
        case when v.central then c.summary else h.summary end,
        case when v.central then c.tags else h.tags end,
        b.variant,
        case when v.central then 'central' else 'local' end,
        case when s.informed then c.level when s.uses > 0 then 'low' else 'candidate' end::singularity.level,
        case when s.informed then c.confidence else s.confidence end,
        case when s.informed then c.uses else s.uses end,
        case when s.informed then c.successes::double precision / nullif(c.uses, 0)
            else s.successes::double precision / nullif(s.uses, 0) end,
        c.revision,
        c.fetched_at,
        v.central and (c.unknown or greatest(c.fetched_at, t.synced_at) < fresh_since)
    from unnest(artifact_ids) with ordinality as i (artifact_id, n)
    left join lateral (
        select h.* from singularity.holding h where h.artifact_id = i.artifact_id order by h.version desc limit 1
    ) as h on true
    left join singularity.central_copy c on c.artifact_id = i.artifact_id
    left join singularity.topic t on t.namespace = c.namespace and t.kind = c.kind
    cross join lateral (
        select
            h.variant is not null and (c.variant, c.level) is distinct from (h.variant, 'retracted') as local_fits,
            c.variant is not null and c.level <> 'retracted' as central_fits
    ) as f
    cross join lateral (
        select f.central_fits and (not f.local_fits or c.variant <> h.variant and (
            c.pinned or c.level >= 'medium'
            and c.confidence > (select l.confidence from singularity.local_score(i.artifact_id, h.variant) as l)
        )) as central
        offset 0 -- computed once, not in each column that asks for it
    ) as v
    cross join lateral (select case when v.central then c.variant else h.variant end as variant offset 0) as b
    cross join lateral (
        select l.*, f.central_fits and c.variant = b.variant and c.uses >= l.uses as informed
        from singularity.local_score(i.artifact_id, b.variant) as l
    ) as s
    -- a tombstone hides the central copy as well
    where (h.artifact_id is null or h.variant is not null) and (f.local_fits or f.central_fits)
    order by i.n;
end
$$;

comment on function singularity.known(uuid[])
is 'The best known version of each artifact, in the order given, none for what is not known: the local content, unless '
'the central one is pinned or has level medium or above and more confidence. Level, confidence and counts are the '
'authority''s, where it knows of the content, unless more outcomes of it were recorded here.';

create or replace function singularity.index_artifacts(artifact_ids uuid[], again boolean default false) returns void
language sql security definer
set search_path = pg_catalog, pg_temp
as $$
    select singularity.index_documents(index_artifacts.artifact_ids, array(
        select row(
            k.artifact_id, k.namespace, k.kind, k.name, k.summary, k.tags, k.level, k.content, h.contract, h.embedding
        )::singularity.searchable
        from singularity.known(index_artifacts.artifact_ids) as k
        left join lateral (
            select h.variant, h.contract, h.embedding from singularity.holding as h
            where h.artifact_id = k.artifact_id order by h.version desc limit 1
        ) as h on h.variant = k.variant
    ), index_artifacts.again)
$$;

comment on function singularity.index_artifacts(uuid[], boolean)
is 'Makes the documents of artifacts those of their best known version; those that have not changed only if again.';

create or replace function singularity.lookup(kind text, name text, namespace text default 'default')
returns setof singularity.knowledge
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    id uuid := singularity.artifact_id(
        singularity.check_token(lookup.namespace, 'namespace'), singularity.check_token(lookup.kind, 'kind'),
        singularity.check_name(lookup.name));
    found_row singularity.knowledge;
begin
    select k.* into found_row from singularity.known(array[id]) as k;
    if found then
        return next found_row;
    elsif singularity.is_forgotten(id) then
        return;
    end if;
    if found_row.artifact_id is null or found_row.stale or singularity.get_setting('mode') = 'central' then
        perform singularity.raise_question(
            lookup.kind || ' ' || lookup.name, lookup.kind, lookup.namespace, normalize(lookup.name, nfc), null
        );
    end if;
end
$$;

comment on function singularity.lookup(text, text, text)
is 'The best known version of exactly this artifact, local or central, or no row. It never waits for the network: while '
'online, what is not here or stale becomes a question to the authority, and its answer is here for the next call. '
'Errors: 22004 and 22023 for a namespace, kind or name that is not valid.';

create or replace function singularity.is_forgotten(artifact_id uuid) returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select coalesce((
        select h.variant is null from singularity.holding as h
        where h.artifact_id = is_forgotten.artifact_id order by h.version desc limit 1
    ), false)
$$;

comment on function singularity.is_forgotten(uuid)
is 'Whether an artifact was forgotten here: then an answer of the authority would not be kept.';

create or replace function singularity.rank_knowledge(
    query text, kind text, namespace text, tags text[], max_results integer, min_similarity double precision,
    min_level singularity.level, embedding vector, contract text
) returns table (known singularity.knowledge, score double precision, found singularity.hit)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    hits singularity.hit[];
begin
    perform singularity.check_query(rank_knowledge.query), singularity.check_max_results(rank_knowledge.max_results),
        singularity.check_filters(rank_knowledge.kind, rank_knowledge.namespace, rank_knowledge.min_similarity),
        singularity.check_vector(rank_knowledge.embedding, rank_knowledge.contract);
    hits := array(
        select s from singularity.search_documents(
            rank_knowledge.query, rank_knowledge.namespace, rank_knowledge.kind, rank_knowledge.tags,
            rank_knowledge.min_level, rank_knowledge.embedding, rank_knowledge.contract,
            2 * rank_knowledge.max_results + 10
        ) as s
        where s.relevance >= rank_knowledge.min_similarity
    );
    return query
    select k, h.relevance * (0.9 + 0.1 * k.confidence), h::singularity.hit
    from singularity.known(array(select h.artifact_id from unnest(hits) as h)) as k
    join unnest(hits) as h on h.artifact_id = k.artifact_id
    order by 2 desc, k.artifact_id
    limit rank_knowledge.max_results;
end
$$;

comment on function singularity.rank_knowledge(
    text, text, text, text[], integer, double precision, singularity.level, vector, text
)
is 'What recall() and explain_recall() return: the relevance of each row and its score, which is the relevance times '
'0.9 + 0.1 confidence.';

create or replace function singularity.recall(
    query text, kind text default null, namespace text default null, tags text[] default null,
    max_results integer default 10, min_similarity double precision default 0.1,
    min_level singularity.level default null, embedding vector default null, contract text default null
) returns setof singularity.ranked_knowledge
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    ranked record;
    best double precision := 0;
    result singularity.ranked_knowledge;
begin
    for ranked in
        select r.* from singularity.rank_knowledge(
            recall.query, recall.kind, recall.namespace, recall.tags, recall.max_results, recall.min_similarity,
            recall.min_level, recall.embedding, recall.contract
        ) as r
    loop
        best := greatest(best, (ranked.found).relevance);
        select (ranked.known).*, ranked.score, (ranked.found).similarity into result;
        return next result;
    end loop;
    if best < singularity.get_setting('good_relevance')::double precision
        or singularity.get_setting('mode') = 'central' then
        perform singularity.raise_question(recall.query, recall.kind, recall.namespace, null, recall.tags);
    end if;
end
$$;

comment on function singularity.recall(
    text, text, text, text[], integer, double precision, singularity.level, vector, text
)
is 'What is known here that fits a query (words, an identifier, half a name, a question), best first. score (0 to 1) is the '
'relevance, moved a little by confidence; similarity is the cosine, null without vectors; min_similarity leaves out what is '
'less relevant (a row below 0.2 has hardly ever to do with the query), min_level what is of a lower level (an outcome of a '
'moment ago counts for it once it is added up, by the bridge or maintain()). embedding is a vector of your own for the query, '
'under the contract of those that learn() was given. explain_recall() shows the parts of the ranking. It never waits for the network: while '
'online, a recall that finds nothing of good_relevance becomes a question, and its answer is here for the next call. '
'Errors: 22023 for an empty query, a filter or vector that is not valid, max_results not 1 to 1000 or min_similarity not '
'0 to 1; 54000 for a query over 64 KiB.';

create or replace function singularity.explain_recall(
    query text, kind text default null, namespace text default null, tags text[] default null,
    max_results integer default 10, min_similarity double precision default 0.1,
    min_level singularity.level default null, embedding vector default null, contract text default null
) returns table (
    artifact_id uuid, namespace text, kind text, name text, score double precision, relevance double precision,
    words double precision, name_match double precision, similarity double precision, confidence double precision
)
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select
        (r.found).artifact_id, (r.known).namespace, (r.known).kind, (r.known).name, r.score, (r.found).relevance,
        (r.found).words, (r.found).name_match, (r.found).similarity, (r.known).confidence
    from singularity.rank_knowledge(query, kind, namespace, tags, max_results, min_similarity, min_level, embedding, contract)
        as r
$$;

comment on function singularity.explain_recall(
    text, text, text, text[], integer, double precision, singularity.level, vector, text
)
is 'The rows of recall() with what their rank is made of: words (BM25, 0 to 1), name_match (letters of the name, 0 to 1) and '
'similarity (cosine) make the relevance, see relevance(), and confidence moves it to the score. It asks no question.';

create or replace function singularity.related(
    kind text, name text, namespace text default 'default', max_results integer default 10
) returns setof singularity.ranked_knowledge
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    id uuid := singularity.artifact_id(
        singularity.check_token(related.namespace, 'namespace'), singularity.check_token(related.kind, 'kind'),
        singularity.check_name(related.name));
    this singularity.knowledge;
begin
    select k.* into this from singularity.known(array[id]) as k;
    if not found then
        raise exception using errcode = 'no_data_found',
            message = format('%s %L is not known here', related.kind, related.name),
            hint = 'Learn it, or look it up while online; recall() finds what fits a text.';
    end if;
    return query
    select (r.known).*, r.score, (r.found).similarity
    from singularity.rank_knowledge(
        concat_ws(' ', this.name, this.summary, array_to_string(this.tags, ' ')), null, null, null,
        least(singularity.check_max_results(related.max_results) + 1, 1000), 0.1, null, singularity.vector_of(id),
        singularity.current_contract()
    ) as r
    where (r.found).artifact_id <> id
    limit related.max_results;
end
$$;

comment on function singularity.related(text, text, text, integer)
is 'What is near an artifact that is known here, of any namespace and kind, best first: by its vector and by the words of its '
'name, summary and tags. Errors: P0002 when it is not known, 22023 for what is not valid.';

create or replace function singularity.forget(
    kind text, name text, namespace text default 'default', everywhere boolean default false
) returns boolean
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    tomb singularity.holding;
    old singularity.holding;
    was_known boolean;
begin
    tomb.namespace := singularity.check_token(forget.namespace, 'namespace');
    tomb.kind := singularity.check_token(forget.kind, 'kind');
    tomb.name := singularity.check_name(forget.name);
    tomb.artifact_id := singularity.artifact_id(tomb.namespace, tomb.kind, tomb.name);
    select h.* into old from singularity.holding h
    where h.artifact_id = tomb.artifact_id order by h.version desc limit 1;
    was_known := old.variant is not null or (
        old.version is null
        and exists (select from singularity.central_copy c where c.artifact_id = tomb.artifact_id)
    );
    if not was_known and (not forget.everywhere or old.version is null or old.withdrawn_through = old.version) then
        return false;
    end if;
    tomb.version := nextval('singularity.version');
    tomb.shared := coalesce(old.shared, true);
    tomb.withdrawn_through := case when forget.everywhere then tomb.version else coalesce(old.withdrawn_through, 0) end;
    tomb.tags := '{}';
    tomb.incarnation := (singularity.present_identity()).incarnation;
    tomb.learned_at := now();
    insert into singularity.holding select tomb.*;
    if forget.everywhere then
        update singularity.holding h set content = null where h.artifact_id = tomb.artifact_id and h.content is not null;
        if singularity.get_setting('mode') <> 'local' then
            insert into singularity.outbox (version, artifact_id) values (tomb.version, tomb.artifact_id);
            perform singularity.delete_replaced_entries(array[tomb.artifact_id]);
        end if;
    end if;
    perform singularity.index_artifacts(array[tomb.artifact_id]);
    perform singularity.ring_doorbell();
    return true;
end
$$;

comment on function singularity.forget(text, text, text, boolean)
is 'Forgets an artifact here: lookup() and recall() no longer return it, from wherever it came, until it is learned again; '
'a tombstone and the older versions stay in history(). With everywhere => true the contents are removed from history '
'too, and what this instance gave to the authority (content and outcomes) is withdrawn. Returns whether there was '
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
    id uuid := singularity.artifact_id(
        singularity.check_token(history.namespace, 'namespace'), singularity.check_token(history.kind, 'kind'),
        singularity.check_name(history.name));
begin
    return query
    select
        h.version, 'local', h.variant, h.content, h.summary, h.tags, h.shared, h.variant is null, h.learned_at
    from singularity.holding h
    where h.artifact_id = id
    union all
    select c.revision, 'central', c.variant, c.content, c.summary, c.tags, true, false, c.fetched_at
    from singularity.central_copy c
    where c.artifact_id = id
    order by 9 desc, 1 desc;
end
$$;

comment on function singularity.history(text, text, text)
is 'Every version of an artifact that was learned or forgotten here, newest first, and the central copy with the '
'authority''s revision as its version.';
