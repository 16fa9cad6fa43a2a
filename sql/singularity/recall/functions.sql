create or replace function singularity.lookup(kind text, name text, namespace text default 'default')
returns setof singularity.knowledge
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    key constant record := singularity.check_key(lookup.namespace, lookup.kind, lookup.name);
    best constant singularity.knowledge := (select k from singularity.known(array[key.artifact_id]) as k);
begin
    if best.artifact_id is not null then
        return next best;
    elsif singularity.is_forgotten(key.artifact_id) then
        return;
    end if;
    if (best.artifact_id is null or best.stale or singularity.get_setting('mode') = 'central')
        and not singularity.is_kept_here(key.artifact_id) then
        perform singularity.raise_question(
            lookup.kind || ' ' || lookup.name, key.kind, key.namespace, key.name, null
        );
    end if;
end
$$;

comment on function singularity.lookup(text, text, text)
is 'The best known version of exactly this artifact, local or central, or no row. It never waits for the network: while '
'online, what is not here or stale becomes a question to the authority, and its answer is here for the next call. '
'Errors: 22004 and 22023 for a namespace, kind or name that is not valid.';

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
begin
    for ranked in
        select r.* from singularity.rank_knowledge(
            recall.query, recall.kind, recall.namespace, recall.tags, recall.max_results, recall.min_similarity,
            recall.min_level, recall.embedding, recall.contract
        ) as r
    loop
        best := greatest(best, (ranked.found).relevance);
        return next singularity.ranked(ranked.known, ranked.score, (ranked.found).similarity);
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
'relevance, moved by confidence, see score(); similarity is the cosine, null without vectors; min_similarity leaves out what is '
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
    from singularity.rank_knowledge(
        query, kind, namespace, tags, max_results, min_similarity, min_level, embedding, contract
    ) as r
$$;

comment on function singularity.explain_recall(
    text, text, text, text[], integer, double precision, singularity.level, vector, text
)
is 'The rows of recall() with what their rank is made of: words (BM25, 0 to 1), name_match (letters of the name, 0 to 1) and '
'similarity (cosine) make the relevance, see relevance(), and confidence moves it to the score, see score(). It asks no question.';

create or replace function singularity.related(
    kind text, name text, namespace text default 'default', max_results integer default 10
) returns setof singularity.ranked_knowledge
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    key constant record := singularity.check_key(related.namespace, related.kind, related.name);
    this constant singularity.knowledge := (select k from singularity.known(array[key.artifact_id]) as k);
begin
    if this.artifact_id is null then
        raise exception using errcode = 'no_data_found',
            message = format('%s %L is not known here', related.kind, singularity.printable(related.name)),
            hint = 'Learn it, or look it up while online; recall() finds what fits a text.';
    end if;
    return query
    select k.*
    from singularity.rank_knowledge(
        concat_ws(' ', this.name, this.summary, array_to_string(this.tags, ' ')), null, null, null,
        least(singularity.check_max_results(related.max_results) + 1, 1000), 0.1, null,
        singularity.vector_of(key.artifact_id), singularity.current_contract()
    ) as r
    cross join lateral singularity.ranked(r.known, r.score, (r.found).similarity) as k
    where (r.found).artifact_id <> key.artifact_id
    limit related.max_results;
end
$$;

comment on function singularity.related(text, text, text, integer)
is 'What is near an artifact that is known here, of any namespace and kind, best first: by its vector and by the words of its '
'name, summary and tags. Errors: P0002 when it is not known, 22023 for what is not valid.';

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
    select k, singularity.score(h.relevance, k.confidence), h::singularity.hit
    from singularity.known(array(select h.artifact_id from unnest(hits) as h)) as k
    join unnest(hits) as h on h.artifact_id = k.artifact_id
    order by 2 desc, k.artifact_id
    limit rank_knowledge.max_results;
end
$$;

comment on function singularity.rank_knowledge(
    text, text, text, text[], integer, double precision, singularity.level, vector, text
)
is 'What recall() and explain_recall() return: the relevance of each row and its score(), which its confidence moves.';

create or replace function singularity.ranked(
    known singularity.knowledge, score double precision, similarity double precision
) returns singularity.ranked_knowledge
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    made singularity.ranked_knowledge;
begin
    made.artifact_id := known.artifact_id;
    made.namespace := known.namespace;
    made.kind := known.kind;
    made.name := known.name;
    made.content := known.content;
    made.summary := known.summary;
    made.tags := known.tags;
    made.variant := known.variant;
    made.origin := known.origin;
    made.level := known.level;
    made.confidence := known.confidence;
    made.uses := known.uses;
    made.success_rate := known.success_rate;
    made.revision := known.revision;
    made.fetched_at := known.fetched_at;
    made.stale := known.stale;
    made.score := ranked.score;
    made.similarity := ranked.similarity;
    return made;
end
$$;

comment on function singularity.ranked(singularity.knowledge, double precision, double precision)
is 'A row of recall(), from what is known of the artifact and how well it fits.';

create or replace function singularity.known(artifact_ids uuid[]) returns setof singularity.knowledge
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
set jit = off
set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
    answer_ttl constant interval := singularity.get_setting('answer_ttl')::interval;
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
        v.central and singularity.is_stale(
            c.unknown, c.fetched_at,
            case when t.position = t.head and t.epoch = u.epoch then greatest(t.synced_at, u.synced_at)
                else t.synced_at end,
            answer_ttl
        )
    from unnest(artifact_ids) with ordinality as i (artifact_id, n)
    left join lateral singularity.present_holding(i.artifact_id) as h on true
    left join singularity.central_copy c on c.artifact_id = i.artifact_id
    left join singularity.topic t on t.namespace = c.namespace and t.kind = c.kind
    left join singularity.authority u on true
    cross join lateral (
        select
            h.variant is not null and (c.variant, c.level) is distinct from (h.variant, 'retracted') as local_fits,
            c.variant is not null and c.level <> 'retracted' as central_fits
    ) as f
    cross join lateral (
        select f.central_fits and (not f.local_fits or c.variant <> h.variant and (
            -- what has worked here is not replaced by what others say
            c.pinned or c.level >= 'medium' and (
                select c.confidence > l.confidence and (l.successes = 0 or l.successes < l.uses - l.successes)
                from singularity.local_score(i.artifact_id, h.variant) as l
            )
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
'the central one is pinned, or has level medium or above and more confidence while the local one has not worked here (no '
'success, or more failures than successes). Level, confidence and counts are the '
'authority''s, where it knows of the content, unless more outcomes of it were recorded here.';

create or replace function singularity.alternatives(kind text, name text, namespace text default 'default')
returns table (
    best boolean, origin text, variant text, content jsonb, summary text, tags text[], level singularity.level,
    confidence double precision, uses bigint, success_rate double precision, pinned boolean, holders bigint,
    vouching bigint
)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    key constant record := singularity.check_key(alternatives.namespace, alternatives.kind, alternatives.name);
    chosen constant text := (select k.variant from singularity.known(array[key.artifact_id]) as k);
begin
    return query
    with own as (
        select h.* from singularity.present_holding(key.artifact_id) as h where h.variant is not null
    ), central as (
        select c.* from singularity.central_copy c
        where c.artifact_id = key.artifact_id and not singularity.is_forgotten(key.artifact_id)
    )
    select
        coalesce(o.variant, c.variant) is not distinct from chosen,
        case when o.variant is null then 'central' else 'local' end,
        coalesce(o.variant, c.variant), coalesce(o.content, c.content), coalesce(o.summary, c.summary),
        coalesce(o.tags, c.tags),
        case when i.informed then c.level when s.uses > 0 then 'low' else 'candidate' end::singularity.level,
        case when i.informed then c.confidence else s.confidence end,
        case when i.informed then c.uses else s.uses end,
        case when i.informed then c.successes::double precision / nullif(c.uses, 0)
            else s.successes::double precision / nullif(s.uses, 0) end,
        coalesce(c.pinned, false), c.holders, c.vouching
    from own o
    full join central c on c.variant = o.variant
    cross join lateral singularity.local_score(key.artifact_id, coalesce(o.variant, c.variant)) as s
    cross join lateral (
        select c.level = 'retracted' or coalesce(c.uses >= s.uses, false) as informed
    ) as i
    order by 1 desc, 2;
end
$$;

comment on function singularity.alternatives(text, text, text)
is 'The rival contents of an artifact that are known here, the one that lookup() returns first: the own one and the authority''s, '
'with level, confidence and counts as in lookup(), whether a curator pinned it, how many groups hold it and how many vouch for '
'it (null where the authority has not said). Errors: 22004 and 22023 for a namespace, kind or name that is not valid.';

create or replace function singularity.index_artifacts(
    artifact_ids uuid[], again boolean default false, changed boolean default true
) returns bigint
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    if not changed then
        perform singularity.heed_withdrawals(artifact_ids);
    end if;
    return singularity.index_documents(array(
        select singularity.to_searchable(
            artifact_id => i.artifact_id, version => coalesce(h.version, 0), namespace => k.namespace, kind => k.kind,
            name => k.name, summary => k.summary, tags => k.tags, level => k.level, content => k.content,
            contract => case when h.variant = k.variant then h.contract end,
            embedding => case when h.variant = k.variant then h.embedding end
        )
        from unnest(artifact_ids) as i (artifact_id)
        left join singularity.known(artifact_ids) as k using (artifact_id)
        left join lateral singularity.present_holding(i.artifact_id) as h on true
    ), again, changed);
end
$$;

comment on function singularity.index_artifacts(uuid[], boolean, boolean)
is 'Makes the documents of artifacts those of their best known version; those that have not changed only if again. See '
'index_documents(). Where the background looks again (not changed) withdrawals are heeded as well.';
