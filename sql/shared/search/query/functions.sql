create or replace function @extschema@.match_name(name text, query text) returns double precision
language sql immutable parallel safe
begin atomic
    select greatest(0::double precision, (
        0.7::double precision * word_similarity(query, name)::double precision
        + 0.3::double precision * similarity(query, name)::double precision - 0.3::double precision
    ) / 0.7::double precision);
end;

comment on function @extschema@.match_name(text, text)
is 'How well a name fits a query, 0 to 1: of 0.7 word_similarity + 0.3 similarity by trigrams what is above 0.3.';

create or replace function @extschema@.relevance(
    words double precision, name_match double precision, similarity double precision, one_word boolean
) returns double precision
language sql immutable parallel safe
begin atomic
    -- with types, so that no operator that somebody made beside vector or pg_trgm fits better
    select 1::double precision - (1::double precision - case
        when similarity is null then words
        else 0.65::double precision * words + 0.35::double precision * greatest(similarity, 0::double precision)
    end) * (
        1::double precision - case when one_word then 0.85::double precision else 0.2::double precision end * name_match
    );
end;

comment on function @extschema@.relevance(double precision, double precision, double precision, boolean)
is 'Relevance of a document, 0 to 1: 1 - (1 - text) (1 - w name_match), where text is 0.65 words + 0.35 similarity, or words '
'alone without vectors, and w is 0.85 when the query is one word, else 0.2. The constants are fitted by '
'python -m tests.bench.search fit.';

create or replace function @extschema@.score(relevance double precision, confidence double precision)
returns double precision
language sql immutable parallel safe
begin atomic
    select
        (0.9::double precision + 0.1::double precision * confidence)
        * case
            when relevance <= 0.75::double precision then relevance
            else 0.75::double precision
                + (0.1::double precision + 0.9::double precision * confidence)
                * (relevance - 0.75::double precision)
        end;
end;

comment on function @extschema@.score(double precision, double precision)
is 'Rank of a result, 0 to 1, from its relevance and confidence: 0.9 + 0.1 confidence of the relevance, of which what is above 0.75 '
'counts by 0.1 + 0.9 confidence only. Who writes the query into a name or a content makes it as relevant as he likes, so what '
'nobody vouches for comes behind what is proved and fits about as well.';

create or replace function @extschema@.least_confidence(level @extschema@.level) returns double precision
language sql immutable parallel safe
begin atomic
    select case level
        when 'very_high' then 0.9::double precision
        when 'high' then 0.8::double precision
        when 'medium' then 0.7::double precision
        else 0::double precision
    end;
end;

comment on function @extschema@.least_confidence(@extschema@.level)
is 'About the confidence that a level needs: what is known of a document before its artifact is read.';

create or replace function @extschema@.search_documents(
    query text, namespace text, kind text, tags text[], min_level @extschema@.level,
    embedding vector, contract text, max_results integer, allowed tsquery default null
) returns setof @extschema@.hit
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
set jit = off
set plan_cache_mode = force_generic_plan
set "pg_trgm.word_similarity_threshold" = 0.5
as $$
#variable_conflict use_variable
declare
    asked constant text := regexp_replace(query, '^\s+|\s+$', '', 'g');
    one_word constant boolean := asked !~ '\s';
    name constant text := left(asked, 200);
    bound constant integer := @extschema@.get_setting('search_candidates')::integer;
    filter record := @extschema@.plan_filter(
        namespace, kind, tags, min_level, allowed
    );
    words record := @extschema@.plan_query(asked, filter.passes, filter.documents, bound);
    few constant boolean := filter.passes is not null and filter.documents <= bound;
    candidates bigint[];
    named bigint[] := '{}'::bigint[];
begin
    if embedding is null then
        embedding := @extschema@.embed(@extschema@.plain_words(asked));
        contract := @extschema@.current_contract();
    else
        embedding := @extschema@.unit_vector(embedding);
    end if;
    -- where few pass all are scored, also when they have become more since the lexemes were counted
    candidates := @extschema@.documents_with(
        words.wanted, words.weights, case when few then 10 * bound else bound end, greatest(100, max_results)
    );
    if embedding is not null then
        candidates := candidates || @extschema@.near_documents(
            -- an index of vectors does not reach everything: what lies apart from many that are alike
            embedding, contract, filter.passes, filter.documents <= 5 * bound, greatest(50, max_results)
        );
    end if;
    -- a typing error or half a word
    if one_word and words.unknown is not null then
        named := @extschema@.documents_named(name, words.unknown, filter.passes, 1000, 100);
    end if;
    return query
    with scored as materialized (
        select s.*, row_number() over (
            order by @extschema@.score(
                @extschema@.relevance(s.words, 0, s.similarity, one_word), s.confidence
            ) desc, s.document_id desc
        ) as place
        from @extschema@.score_documents(candidates || named, words.weights, embedding, contract) as s
    ), matched as materialized (
        -- to compare names takes longest: those that can make no difference are not
        select s.*, @extschema@.match_name(s.name, name) as name_match
        from scored as s
        where (s.place <= max_results + 20 or s.document_id = any (named)) and not exists (
            select from @extschema@.document as newer
            where newer.artifact_id = s.artifact_id
                and (newer.version, newer.document_id) > (s.version, s.document_id)
        )
    )
    select
        m.artifact_id, @extschema@.relevance(m.words, m.name_match, m.similarity, one_word) as relevance, m.words,
        m.name_match, m.similarity
    from matched as m
    order by @extschema@.score(
        @extschema@.relevance(m.words, m.name_match, m.similarity, one_word), m.confidence
    ) desc, m.artifact_id
    limit max_results;
end
$$;

comment on function @extschema@.search_documents(
    text, text, text, text[], @extschema@.level, vector, text, integer, tsquery
)
is 'Artifacts by relevance to a query and confidence of their level, see score(): many that nobody vouches for do not crowd out what '
'is proved. Filters that are null do not filter; embedding is the vector of the query under a contract, by default that of embed(); '
'only documents that fit allowed are looked at, all when it is null.';

create or replace function @extschema@.plan_filter(
    namespace text, kind text, tags text[], min_level @extschema@.level, allowed tsquery,
    out passes tsquery, out documents double precision
)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    required constant text[] := array_remove(@extschema@.filter_lexemes(namespace, kind, tags, null), null);
    levels constant text[] := array(
        select '/level/' || l from unnest(enum_range(min_level, null)) as l where min_level is not null
    );
    everything double precision;
    share double precision;
begin
    select max(f.documents) into everything from @extschema@.lexeme_frequencies(array['']) as f;
    documents := everything;
    for share in select f.documents / greatest(everything, 1) from @extschema@.lexeme_frequencies(required) as f loop
        documents := documents * least(share, 1);
    end loop;
    select string_agg(@extschema@.lexeme_query(l)::text, ' & ')::tsquery into passes from unnest(required) as l;
    if cardinality(levels) > 0 then
        select plan_filter.documents * least(sum(f.documents) / greatest(everything, 1), 1) into documents
        from @extschema@.lexeme_frequencies(levels) as f;
        select coalesce(passes && r.any_level, r.any_level) into passes
        from (select string_agg(@extschema@.lexeme_query(l)::text, ' | ')::tsquery as any_level
            from unnest(levels) as l) as r;
    end if;
    passes := coalesce(passes && allowed, passes, allowed);
end
$$;

comment on function @extschema@.plan_filter(text, text, text[], @extschema@.level, tsquery)
is 'Query for the documents that pass a filter (null when all do) and about how many they are.';

create or replace function @extschema@.plan_query(
    query text, passes tsquery, passing double precision, bound double precision,
    out wanted tsquery, out weights sparsevec, out unknown text
)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    -- rarest first; of a text that was pasted in as a query the rarest are enough
    lexemes text[];
    frequencies double precision[];
    everything double precision;
    configuration constant regconfig := @extschema@.search_configuration();
    plain constant text := @extschema@.plain_words(query);
    room double precision;
    part tsquery;
    expected double precision;
    last integer;
begin
    select
        array_agg(f.lexeme order by f.documents, f.lexeme) filter (where f.lexeme <> ''),
        array_agg(f.documents order by f.documents, f.lexeme) filter (where f.lexeme <> ''),
        max(f.documents) filter (where f.lexeme = '')
    into lexemes, frequencies, everything
    from @extschema@.lexeme_frequencies(
        array_append(tsvector_to_array(@extschema@.words_of(configuration, query)), '')
    ) as f;
    lexemes := lexemes[:256];
    weights := @extschema@.query_weights(configuration, plain, lexemes, frequencies[:256], everything);
    select t.lexeme into unknown
    from unnest(lexemes, frequencies) as t (lexeme, frequency)
    where t.frequency = 0 and t.lexeme not like '=%'
    order by length(t.lexeme) desc, t.lexeme limit 1;
    if passes is not null and passing <= bound then
        wanted := passes;
        return;
    end if;
    room := bound * everything / greatest(passing, 1);
    for i in 1 .. coalesce(cardinality(lexemes), 0) loop
        -- a common lexeme only together with the next ones, as many as make it rare enough
        part := @extschema@.lexeme_query(lexemes[i]);
        expected := frequencies[i];
        last := i;
        while expected > room and last < cardinality(lexemes) loop
            last := last + 1;
            part := part && @extschema@.lexeme_query(lexemes[last]);
            expected := expected * frequencies[last] / greatest(everything, 1);
        end loop;
        exit when expected > room and wanted is not null;
        wanted := coalesce(wanted || part, part);
        room := room - expected;
    end loop;
    wanted := coalesce(passes && wanted, wanted);
end
$$;

comment on function @extschema@.plan_query(text, tsquery, double precision, double precision)
is 'What to look for with the words of a query: the documents whose words are scored (about as many as bound), the weights '
'of the lexemes, and the longest one that no document has.';

create or replace function @extschema@.query_weights(
    configuration regconfig, query text, lexemes text[], frequencies double precision[], documents double precision
) returns sparsevec
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return (
        with term as (
            select
                t.lexeme,
                case when t.lexeme like '=%' then 0.3 else 1 end
                    * ln(1 + (greatest(documents, t.frequency) - t.frequency + 0.5) / (t.frequency + 0.5)) as weight
            from unnest(lexemes, frequencies) as t (lexeme, frequency)
        ), similar_term as (
            select s.similar_lexeme as lexeme, max(0.7 * s.similarity * t.weight) as weight
            from @extschema@.similar_lexemes(configuration, query) as s
            join term t on t.lexeme = s.lexeme
            where s.similar_lexeme <> all (lexemes)
            group by s.similar_lexeme
        ), entry as (
            select @extschema@.lexeme_bucket(a.lexeme) as bucket, max(a.weight) as weight
            from (select * from term union all select * from similar_term) as a
            group by 1
        )
        select @extschema@.to_weights(
            string_agg(e.bucket || ':' || (e.weight / (select sum(t.weight) from term t))::real, ',')
        ) from entry e
    );
end
$$;

comment on function @extschema@.query_weights(regconfig, text, text[], double precision[], double precision)
is 'Weight of each lexeme of a query, in sum 1: its inverse document frequency ln(1 + (n - f + 0.5) / (f + 0.5)), and three '
'tenths of it for whole identifiers, since their parts count as well. Beside them the lexemes of similar words, with 0.7 '
'times their cosine of the weight. Source: see weights_of().';

create or replace function @extschema@.similar_lexemes(configuration regconfig, query text)
returns table (lexeme text, similar_lexeme text, similarity double precision)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    words constant text[] := array(
        select distinct w from regexp_split_to_table(lower(query), '\s+') as w where w <> ''
    );
begin
    -- one word is a name, and a text that was pasted in says the same in other words itself
    if cardinality(words) not between 2 and 32 then
        return;
    end if;
    return query
    select l.lexeme, l.similar_lexeme, max(l.similarity)
    from (
        select
            (tsvector_to_array(to_tsvector(configuration, s.word)))[1] as lexeme,
            (tsvector_to_array(to_tsvector(configuration, s.similar_word)))[1] as similar_lexeme,
            s.similarity
        from @extschema@.similar_words(words) as s
    ) as l
    where l.lexeme <> l.similar_lexeme
    group by l.lexeme, l.similar_lexeme;
end
$$;

comment on function @extschema@.similar_lexemes(regconfig, text)
is 'Lexemes of words that mean nearly the same as a word of a query of 2 to 32 words, with their cosine.';

create or replace function @extschema@.documents_with(
    wanted tsquery, weights sparsevec, max_scored integer, max_documents integer
) returns bigint[]
language sql stable
begin atomic
    select pg_catalog.array_agg(b.document_id)
    from (
        select s.document_id
        from (
            select
                d.document_id,
                @extschema@.score(
                    inner_product(d.weights, documents_with.weights), @extschema@.least_confidence(d.level)
                ) as score
            from @extschema@.document as d
            where d.words @@ wanted
            limit max_scored -- noqa: AM09
        ) as s
        order by s.score desc, s.document_id desc
        limit max_documents
    ) as b;
end;

comment on function @extschema@.documents_with(tsquery, sparsevec, integer, integer)
is 'Of the documents that fit a query for lexemes those with the greatest BM25 scores, see score().';

create or replace function @extschema@.documents_named(
    query text, word text, passes tsquery, max_compared integer, max_documents integer
) returns bigint[]
language sql stable
begin atomic
    select pg_catalog.array_agg(m.document_id)
    from (
        select n.document_id
        from (
            select d.document_id, @extschema@.match_name(d.name, query) as name_match
            from @extschema@.document as d
            where d.name %> word and (passes is null or d.words @@ passes)
            limit max_compared -- noqa: AM09
        ) as n
        order by n.name_match desc, n.document_id desc
        limit max_documents
    ) as m;
end;

comment on function @extschema@.documents_named(text, text, tsquery, integer, integer)
is 'Documents that pass a filter and whose name has something like a word, those with the names most like the query.';

create or replace function @extschema@.score_documents(
    document_ids bigint[], weights sparsevec, embedding vector, contract text
) returns table (
    document_id bigint, artifact_id uuid, version bigint, name text, words double precision,
    similarity double precision, confidence double precision
)
language sql stable rows 500
begin atomic
    select
        d.document_id,
        d.artifact_id,
        d.version,
        d.name,
        least(coalesce(inner_product(d.weights, score_documents.weights), 0), 1),
        1::double precision - (v.embedding <=> score_documents.embedding),
        @extschema@.least_confidence(d.level)
    from (select distinct i.document_id from pg_catalog.unnest(document_ids) as i (document_id)) as i
    inner join @extschema@.document as d on i.document_id = d.document_id
    left join @extschema@.document_vector as v
        on i.document_id = v.document_id and v.contract = score_documents.contract;
end;

comment on function @extschema@.score_documents(bigint[], sparsevec, vector, text)
is 'BM25 score of the words, cosine, and the confidence that the level of documents needs.';

create or replace function @extschema@.check_query(query text) returns text
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    if query is null or query !~ '\S' then
        raise exception using errcode = 'invalid_parameter_value', message = 'query is empty',
            hint = 'Pass the words, the name or the question to search for.';
    end if;
    if octet_length(query) > 65536 then
        raise exception using errcode = 'program_limit_exceeded',
            message = format('query has %s bytes, the limit is 65536', octet_length(query)),
            hint = 'Pass the few words that matter.';
    end if;
    return check_query.query;
end
$$;

comment on function @extschema@.check_query(text) is 'Returns a query; raises 22023 when it is empty, 54000 over 64 KiB.';

create or replace function @extschema@.check_filters(kind text, namespace text, min_similarity double precision)
returns void
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    if kind is not null then
        perform @extschema@.check_token(kind, 'kind');
    end if;
    if namespace is not null then
        perform @extschema@.check_token(namespace, 'namespace');
    end if;
    if min_similarity is null or not min_similarity between 0 and 1 then
        raise exception using errcode = 'invalid_parameter_value',
            message = format('min_similarity is %s', coalesce(min_similarity::text, 'null')),
            hint = 'It is between 0 and 1.';
    end if;
end
$$;

comment on function @extschema@.check_filters(text, text, double precision)
is 'Raises 22023 for a kind, namespace or min_similarity that is not valid; a null kind or namespace is no filter.';

create or replace function @extschema@.check_max_results(max_results integer) returns integer
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    if max_results is null or max_results not between 1 and 1000 then
        raise exception using errcode = 'invalid_parameter_value',
            message = format('max_results is %s', coalesce(max_results::text, 'null')),
            hint = 'It is between 1 and 1000.';
    end if;
    return max_results;
end
$$;

comment on function @extschema@.check_max_results(integer) is 'Returns a number of results of 1 to 1000; raises 22023 otherwise.';
