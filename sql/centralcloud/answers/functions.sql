create or replace function centralcloud.search(
    query text, kind text default null, namespace text default null, tags text[] default null,
    max_results integer default 10, min_similarity double precision default 0.1,
    min_level centralcloud.level default null
) returns table (
    relevance double precision, words double precision, name_match double precision, similarity double precision,
    artifact centralcloud.artifact, content jsonb
)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    perform centralcloud.check_query(search.query), centralcloud.check_max_results(search.max_results),
        centralcloud.check_filters(search.kind, search.namespace, search.min_similarity);
    return query
    select s.relevance, s.words, s.name_match, s.similarity, a, v.content
    from centralcloud.search_documents(
        search.query, search.namespace, search.kind, search.tags, search.min_level, null, null, search.max_results
    ) as s
    join centralcloud.artifact a using (artifact_id)
    join centralcloud.variant v using (artifact_id, variant)
    where s.relevance >= search.min_similarity
    order by centralcloud.score(s.relevance, a.confidence) desc, s.artifact_id;
end
$$;

comment on function centralcloud.search(text, text, text, text[], integer, double precision, centralcloud.level)
is 'What the authority knows that fits a query, best first (see score()), with the '
'relevance (0 to 1) and what it is made of (see relevance()), the row of artifact and its content; min_similarity leaves out what is less relevant. Errors: 22023 for an '
'empty query, a filter that is not valid, max_results not 1 to 1000 or min_similarity not 0 to 1; 54000 for a query over '
'64 KiB.';

create or replace function centralcloud.answer(request jsonb, speaker uuid) returns jsonb
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    asked constant centralcloud.wire_question := jsonb_populate_record(null::centralcloud.wire_question, request);
    answer centralcloud.wire_answer;
    ids uuid[];
    topics text[];
begin
    perform centralcloud.raise_refusal(centralcloud.tags_refusal(asked.tags));
    if asked.name is not null then
        ids := array[centralcloud.artifact_id(asked.namespace, asked.kind, asked.name)];
    else
        ids := array(
            select s.artifact_id
            from centralcloud.search_documents(
                left(asked.query, 65536), asked.namespace, asked.kind, asked.tags, null, null, null,
                centralcloud.get_setting('answer_rows')::integer, centralcloud.readable_documents(speaker)
            ) as s
            join centralcloud.artifact a using (artifact_id)
            where s.relevance >= centralcloud.get_setting('answer_relevance')::double precision
            order by centralcloud.score(s.relevance, a.confidence) desc, s.artifact_id
        );
    end if;
    -- the words of a document may look like the name of another namespace
    ids := centralcloud.readable_artifacts(speaker, ids);
    select
        coalesce(jsonb_agg(c.refined order by c.n), '[]'),
        coalesce(array_agg(distinct centralcloud.topic_name(c.namespace, c.kind)), '{}')
    into answer.rows, topics
    from (
        select r.refined, r.namespace, r.kind, row_number() over () as n
        from centralcloud.fitting_rows(ids, centralcloud.message_limit() / 2) as r
        where not r.refined ? 'removed'
    ) as c;
    answer.heads := centralcloud.heads(topics);
    return to_jsonb(answer) || '{"type": "answer"}';
end
$$;

comment on function centralcloud.answer(jsonb, uuid)
is 'Answers a question: exactly the artifact that a lookup named, or what fits a query, best first; no rows when nothing is known '
'that the instance may read.';
