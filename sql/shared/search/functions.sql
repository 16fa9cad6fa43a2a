create or replace function @extschema@.plain_words(value text) returns text
language sql immutable strict parallel safe
begin atomic
    select regexp_replace(
        regexp_replace(
            translate(value, '!"#$%&''()*+,-./:;<=>?@[\]^_`{|}~', repeat(' ', 32)),
            '([a-z0-9])([A-Z])', '\1 \2', 'g'
        ),
        '([A-Z])([A-Z][a-z])', '\1 \2', 'g'
    );
end;

comment on function @extschema@.plain_words(text)
is 'A text without ASCII punctuation, its identifiers (snake_case, camelCase, kebab-case, dotted) taken apart into words.';

create or replace function @extschema@.identifiers_of(value text) returns tsvector
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    return (
        select coalesce(string_agg(distinct '''=' || lower(p.part) || ''':1', ' '), '')::tsvector
        from regexp_matches(
            value,
            '[[:alnum:]_]+(?:[._:-]+[[:alnum:]_]+)+|[[:alnum:]]*_[[:alnum:]_]*'
            '|[[:alnum:]]*(?:[a-z0-9][A-Z]|[A-Z][A-Z][a-z])[[:alnum:]]*', 'g'
        ) as m
        cross join lateral (
            select btrim(m[1], '_')
            union
            select btrim(r, '_') from regexp_split_to_table(m[1], '[.:-]+') as r
        ) as p (part)
        where length(p.part) between 2 and 255 and p.part ~ '[._:-]|[a-z0-9][A-Z]|[A-Z][A-Z][a-z]'
    );
end
$$;

comment on function @extschema@.identifiers_of(text)
is 'The identifiers of a text as whole lexemes, in lower case and with the prefix =: those that plain_words() takes apart.';

create or replace function @extschema@.text_of(content jsonb) returns text
language plpgsql immutable strict parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    return (
        select left(string_agg(leaf #>> '{}', ' '), 65536)
        from jsonb_path_query(content, 'strict $.** ? (@.type() == "string")') as leaf
    );
end
$$;

comment on function @extschema@.text_of(jsonb) is 'The textual leaves of content, at most 64 Ki characters.';

create or replace function @extschema@.words_of(configuration regconfig, value text) returns tsvector
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
set client_min_messages = warning -- a word that is too long for an index is left out in silence
as $$
begin
    if value is null then
        return ''::tsvector;
    end if;
    return to_tsvector(configuration, @extschema@.plain_words(value)) || @extschema@.identifiers_of(value);
end
$$;

comment on function @extschema@.words_of(regconfig, text) is 'Lexemes of a text: its words, and its identifiers as a whole.';

create or replace function @extschema@.lexeme_bucket(lexeme text) returns integer
language sql immutable strict parallel safe
begin atomic
    select ('x' || left(md5(lexeme), 5))::bit(20)::integer + 1;
end;

comment on function @extschema@.lexeme_bucket(text) is 'Dimension of a lexeme in the weights of documents and queries, from its md5.';

create or replace function @extschema@.to_weights(entries text) returns sparsevec
language sql immutable parallel safe
begin atomic
    select ('{' || coalesce(entries, '') || '}/1048576')::sparsevec;
end;

comment on function @extschema@.to_weights(text) is 'Weights from their entries, as pgvector writes them.';

create or replace function @extschema@.weights_of(name tsvector, summary tsvector, tags tsvector, content tsvector)
returns sparsevec
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    return (
        with term as (
            select u.lexeme, sum(f.weight * cardinality(u.positions))::double precision as frequency
            from (values (6, name), (4, summary), (2, tags), (1, content)) as f (weight, words)
            cross join lateral unnest(f.words) as u
            group by u.lexeme
        ), document as (
            select coalesce(sum(t.frequency) filter (where t.lexeme not like '=%'), 0) as length from term t
        ), entry as (
            select
                @extschema@.lexeme_bucket(t.lexeme) as bucket,
                max(t.frequency / (t.frequency + 1.2 * (0.25 + 0.75 * least(d.length / 60, 4))))::real as weight
            from term t
            cross join document d
            group by 1
            order by 2 desc
            limit 15000 -- a sparsevec has at most 16,000
        )
        select @extschema@.to_weights(string_agg(e.bucket || ':' || e.weight, ',')) from entry e
    );
end
$$;

comment on function @extschema@.weights_of(tsvector, tsvector, tsvector, tsvector)
is 'BM25 weight of each lexeme of a document: f / (f + k1 (1 - b + b length / 60)) with k1 = 1.2, b = 0.75, where f counts '
'a word 6 times in the name, 4 in the summary, 2 in the tags, once in the content, 60 stands for the average length, and '
'what is longer than four times that counts as that long, so that one word of it still weighs something. '
'Source: S. Robertson, H. Zaragoza, The probabilistic relevance framework: BM25 and beyond (2009), 3.3 and 3.6 (BM25F).';

-- Arguments

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

-- Documents

create or replace function @extschema@.search_configuration() returns regconfig
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    return @extschema@.get_setting('search_configuration')::regconfig;
end
$$;

comment on function @extschema@.search_configuration() is 'The text search configuration in force.';

create or replace function @extschema@.source_of(given @extschema@.searchable) returns uuid
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    return md5(given::text)::uuid;
end
$$;

comment on function @extschema@.source_of(@extschema@.searchable) is 'Hash of what a document is made from.';

create or replace function @extschema@.filter_lexemes(namespace text, kind text, tags text[], level @extschema@.level)
returns text[]
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    return array['/namespace/' || namespace, '/kind/' || kind, '/level/' || level]
        || array(select '/tag/' || left(t.tag, 512) from unnest(tags) as t (tag)); -- no lexeme is longer than 2 KB
end
$$;

comment on function @extschema@.filter_lexemes(text, text, text[], @extschema@.level)
is 'The lexemes by which documents of a namespace, kind, tags and level are found.';

create or replace function @extschema@.make_document(given @extschema@.searchable, configuration regconfig)
returns @extschema@.document
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    made @extschema@.document;
    name tsvector := @extschema@.words_of(configuration, given.name);
    summary tsvector := @extschema@.words_of(configuration, given.summary);
    tags tsvector := @extschema@.words_of(configuration, array_to_string(given.tags, ' '));
    content tsvector := @extschema@.words_of(configuration, @extschema@.text_of(given.content));
begin
    made.artifact_id := given.artifact_id;
    made.namespace := given.namespace;
    made.kind := given.kind;
    made.name := given.name;
    made.tags := given.tags;
    made.level := given.level;
    made.configuration := configuration;
    made.source := @extschema@.source_of(given);
    made.words := strip(name || summary || tags || content)
        || array_to_tsvector(@extschema@.filter_lexemes(given.namespace, given.kind, given.tags, given.level));
    made.weights := @extschema@.weights_of(name, summary, tags, content);
    return made;
end
$$;

comment on function @extschema@.make_document(@extschema@.searchable, regconfig) is 'The document of an artifact, not stored yet.';

-- Background

create or replace function @extschema@.fold_lexemes(max_documents bigint) returns bigint
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    folded bigint;
    empty text[];
    doubtful uuid[];
begin
    -- one session at a time, and nobody waits for it
    if current_setting('transaction_isolation') <> 'read committed'
        or not pg_try_advisory_xact_lock('@extschema@.lexeme'::regclass::oid::integer, 0) then
        return 0;
    end if;
    with taken as (
        delete from @extschema@.lexeme_change c where c.ctid = any (array(
            select o.ctid from @extschema@.lexeme_change o limit max_documents for update skip locked
        )) returning c.artifact_id, c.words, c.change
    ), counted as (
        select u.lexeme, sum(t.change) as change from taken t cross join lateral unnest(t.words) as u group by u.lexeme
        union all
        select '', coalesce(sum(t.change), 0) from taken t
    ), stored as (
        insert into @extschema@.lexeme as l (lexeme, documents)
        select lexeme, change from counted where change <> 0
        on conflict (lexeme) do update set documents = l.documents + excluded.documents
        returning lexeme, documents
    )
    select
        (select count(*) from taken t where t.change <> 0),
        array(select s.lexeme from stored s where s.documents = 0),
        array(
            select t.artifact_id from taken t join @extschema@.document d using (artifact_id)
            group by t.artifact_id having count(distinct d.document_id) > 1 or bool_or(t.change = 0)
        )
    into folded, empty, doubtful;
    if cardinality(empty) > 0 then
        delete from @extschema@.lexeme l where l.lexeme = any (empty);
    end if;
    if cardinality(doubtful) > 0 then
        -- two sessions did not see each other's documents, or one could not delete what the other held
        perform @extschema@.index_artifacts(doubtful);
    end if;
    return folded;
end
$$;

comment on function @extschema@.fold_lexemes(bigint)
is 'Counts the lexemes of documents that came or went, sees to artifacts with several documents, and returns how many came or '
'went; 0 while another session does it.';

create or replace function @extschema@.index_vectors(max_vectors bigint) returns bigint
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    moved bigint;
begin
    with taken as (
        select v.document_id, v.contract from @extschema@.document_vector v
        where not v.indexed
        limit max_vectors for update skip locked
    ), updated as (
        update @extschema@.document_vector v set indexed = true
        from taken t where v.document_id = t.document_id and v.contract = t.contract
        returning 1
    )
    select count(*) into moved from updated;
    return moved;
end
$$;

comment on function @extschema@.index_vectors(bigint)
is 'Puts vectors into the index of their contract and returns how many: about 2 ms each. Those that another session holds are '
'left.';

-- Storing

create or replace function @extschema@.store_documents(given @extschema@.searchable[]) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    configuration regconfig := @extschema@.search_configuration();
    own_contract text := @extschema@.use_contract();
    -- the index takes longer than all the rest: where there are many, it gets them in the background
    at_once boolean := cardinality(given) <= 16;
    ids uuid[] := array(select g.artifact_id from unnest(given) as g);
    literals text[] := @extschema@.document_literals(
        array(select @extschema@.plain_words(g.name) from unnest(given) as g),
        array(select @extschema@.plain_words(g.summary) from unnest(given) as g),
        array(select @extschema@.plain_words(@extschema@.text_of(g.content)) from unnest(given) as g)
    );
    milestones bigint;
begin
    with made as (
        select m.* from unnest(given) as g cross join lateral @extschema@.make_document(g, configuration) as m
    ), stored as (
        insert into @extschema@.document (
            artifact_id, namespace, kind, name, tags, level, configuration, source, words, weights
        )
        select artifact_id, namespace, kind, name, tags, level, configuration, source, words, weights from made
        returning document_id, artifact_id, words
    ), vectors as (
        insert into @extschema@.document_vector (document_id, contract, embedding, indexed)
        select s.document_id, v.contract, v.embedding, at_once
        from stored s
        join (
            select l.artifact_id, own_contract as contract, @extschema@.to_unit_vector(l.literal) as embedding
            from unnest(ids, literals) as l (artifact_id, literal)
            where l.literal is not null
            union all
            select g.artifact_id, g.contract, @extschema@.unit_vector(g.embedding) from unnest(given) as g
            where g.embedding is not null
        ) as v using (artifact_id)
    ), changes as (
        insert into @extschema@.lexeme_change (artifact_id, words, change) select artifact_id, words, 1 from stored
    )
    select count(*) filter (where s.document_id % 128 = 0) into milestones from stored s;
    if milestones > 0 then
        perform @extschema@.fold_lexemes(1024 + 2 * cardinality(given));
    end if;
end
$$;

comment on function @extschema@.store_documents(@extschema@.searchable[])
is 'Stores documents with their vectors. Inserts only; now and then it counts lexemes, unless another session does.';

create or replace function @extschema@.delete_documents(artifact_ids uuid[], gone uuid[]) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
    old_ids bigint[] := array(
        select o.document_id
        from unnest(artifact_ids) as a (artifact_id)
        join @extschema@.document o using (artifact_id)
        where o.artifact_id = any (gone) or exists (
            select from @extschema@.document newer
            where newer.artifact_id = o.artifact_id and newer.document_id > o.document_id
        )
    );
begin
    if cardinality(old_ids) = 0 and cardinality(gone) = 0 then
        return;
    end if;
    -- above READ COMMITTED the locking clause would raise 40001 where another session was first
    if current_setting('transaction_isolation') = 'read committed' then
        perform @extschema@.delete_unlocked_documents(old_ids);
    end if;
    -- the background looks again at what is still there, or may be there as soon as another session commits
    insert into @extschema@.lexeme_change (artifact_id, words, change)
    select a.artifact_id, ''::tsvector, 0
    from (
        select d.artifact_id from @extschema@.document d where d.document_id = any (old_ids)
        union
        select unnest(gone)
    ) as a;
end
$$;

comment on function @extschema@.delete_documents(uuid[], uuid[])
is 'Deletes the documents of artifacts that are gone, and of the others all but the newest. Those that another session holds '
'are left for the background: of several the newest is in force.';

create or replace function @extschema@.delete_unlocked_documents(document_ids bigint[]) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
begin
    with old as (
        select d.document_id from @extschema@.document d where d.document_id = any (document_ids)
        for update of d skip locked
    ), locked as materialized (
        select v.document_id from @extschema@.document_vector v join old using (document_id) for update of v skip locked
    ), deleted as (
        delete from @extschema@.document d using old
        where d.document_id = old.document_id
            and (select count(*) from locked l where l.document_id = old.document_id)
                = (select count(*) from @extschema@.document_vector v where v.document_id = old.document_id)
        returning d.document_id, d.artifact_id, d.words
    ), vectors as (
        delete from @extschema@.document_vector v using deleted where v.document_id = deleted.document_id
    )
    insert into @extschema@.lexeme_change (artifact_id, words, change) select artifact_id, words, -1 from deleted;
end
$$;

comment on function @extschema@.delete_unlocked_documents(bigint[])
is 'Deletes documents with their vectors, but for those that another session holds.';

create or replace function @extschema@.index_documents(
    artifact_ids uuid[], given @extschema@.searchable[], again boolean default false
) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    changed @extschema@.searchable[] := array(
        select distinct on (g.artifact_id) g from unnest(given) as g
        where again or @extschema@.source_of(g) is distinct from (
            select d.source from @extschema@.document d
            where d.artifact_id = g.artifact_id order by d.document_id desc limit 1
        )
    );
begin
    if cardinality(changed) > 0 then
        perform @extschema@.store_documents(changed);
    end if;
    perform @extschema@.delete_documents(
        artifact_ids, array(select unnest(artifact_ids) except select g.artifact_id from unnest(given) as g)
    );
end
$$;

comment on function @extschema@.index_documents(uuid[], @extschema@.searchable[], boolean)
is 'Makes the documents of the artifacts those given, none for an artifact that has none among them. A document whose source '
'has not changed is left as it is, unless again.';

-- Queries

create or replace function @extschema@.relevance(
    words double precision, name_match double precision, similarity double precision, one_word boolean
) returns double precision
language sql immutable parallel safe
begin atomic
    select 1 - (1 - case
        when similarity is null then words
        else 0.65 * words + 0.35 * greatest(similarity, 0)
    end) * (1 - case when one_word then 0.85 else 0.2 end * name_match);
end;

comment on function @extschema@.relevance(double precision, double precision, double precision, boolean)
is 'Relevance of a document, 0 to 1: 1 - (1 - text) (1 - w name_match), where text is 0.65 words + 0.35 similarity, or words '
'alone without vectors, and w is 0.85 when the query is one word, else 0.2. The constants are fitted by '
'python -m tests.bench.search fit.';

create or replace function @extschema@.match_name(name text, query text) returns double precision
language sql immutable parallel safe
begin atomic
    select greatest(0, (0.7 * word_similarity(query, name) + 0.3 * similarity(query, name) - 0.3) / 0.7);
end;

comment on function @extschema@.match_name(text, text)
is 'How well a name fits a query, 0 to 1: of 0.7 word_similarity + 0.3 similarity by trigrams what is above 0.3.';

create or replace function @extschema@.documents_named(
    query text, word text, passes tsquery, max_compared integer, max_documents integer
) returns bigint[]
language sql stable
begin atomic
    select array_agg(m.document_id)
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

create or replace function @extschema@.lexeme_query(lexeme text) returns tsquery
language plpgsql immutable strict parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    return ('''' || replace(replace(lexeme, '\', '\\'), '''', '''''') || '''')::tsquery;
end
$$;

comment on function @extschema@.lexeme_query(text) is 'Query for documents that have a lexeme.';

create or replace function @extschema@.lexeme_frequencies(lexemes text[])
returns table (lexeme text, documents double precision)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
begin
    return query
    with recent as materialized (
        select c.words, c.change from @extschema@.lexeme_change c limit 256
    )
    select a.lexeme, greatest(0, coalesce(l.documents, 0) + (
        select coalesce(sum(r.change), 0) from recent r where a.lexeme = '' or r.words @@ @extschema@.lexeme_query(a.lexeme)
    ))::double precision
    from unnest(lexemes) as a (lexeme)
    left join @extschema@.lexeme l using (lexeme);
end
$$;

comment on function @extschema@.lexeme_frequencies(text[])
is 'How many documents have each lexeme, all documents for the empty one; the last changes are counted up to 256.';

create or replace function @extschema@.plan_filter(
    namespace text, kind text, tags text[], min_level @extschema@.level,
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
        from (select string_agg(@extschema@.lexeme_query(l)::text, ' | ')::tsquery as any_level from unnest(levels) as l) as r;
    end if;
end
$$;

comment on function @extschema@.plan_filter(text, text, text[], @extschema@.level)
is 'Query for the documents that pass a filter (null when all do) and about how many they are.';

create or replace function @extschema@.similar_lexemes(configuration regconfig, query text)
returns table (lexeme text, similar_lexeme text, similarity double precision)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    words constant text[] := array(select distinct w from regexp_split_to_table(lower(query), '\s+') as w where w <> '');
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

create or replace function @extschema@.near_documents_in_tail(
    embedding vector, contract text, passes tsquery, max_documents integer
) returns bigint[]
language sql stable
begin atomic
    select array(
        select v.document_id
        from @extschema@.document_vector as v
        where
            v.contract = near_documents_in_tail.contract and not v.indexed
            and (
                passes is null
                or (select d.words @@ passes from @extschema@.document as d where d.document_id = v.document_id)
            )
        order by v.embedding <=> near_documents_in_tail.embedding
        limit max_documents
    );
end;

comment on function @extschema@.near_documents_in_tail(vector, text, tsquery, integer)
is 'Documents that pass a filter, by the distance of those of their vectors that are not in the index yet.';

create or replace function @extschema@.nearest_documents(embedding vector) returns setof bigint
language sql stable
begin atomic
    select v.document_id
    from @extschema@.document_vector as v
    where v.contract = 'wordllama-l2-supercat-256/1' and v.indexed
    order by v.embedding::vector(256) <=> nearest_documents.embedding;
end;

comment on function @extschema@.nearest_documents(vector)
is 'Documents by the distance of their vectors of shipped_contract(), from the index: for plans that are kept.';

create or replace function @extschema@.near_documents(
    embedding vector, contract text, passes tsquery, few boolean, max_documents integer
) returns bigint[]
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
set "hnsw.ef_search" = 64
set "hnsw.iterative_scan" = 'relaxed_order'
as $$
declare
    vectors text := (select e.extnamespace::regnamespace::text from pg_extension e where e.extname = 'vector');
    result bigint[];
begin
    if few then
        execute format(
            'select array(
                select d.document_id
                from (
                    select d.document_id from @extschema@.document d where $2 is null or d.words @@ $2 limit 20000
                ) as d
                join @extschema@.document_vector v on v.document_id = d.document_id and v.contract = %2$L
                order by v.embedding operator(%1$s.<=>) $1
                limit $3
            )', vectors, contract
        ) into result using embedding, passes, max_documents;
        return result;
    end if;
    -- the planner takes the index of a contract only where the contract is a literal, and reads on in the index for as
    -- long as what it gives does not pass
    if passes is null and contract = @extschema@.shipped_contract() then
        result := array(select n from @extschema@.nearest_documents(embedding) as n limit max_documents);
    else
        execute format(
            'select array(
                select n.document_id from (
                    select v.document_id from @extschema@.document_vector v
                    where v.contract = %2$L and v.indexed
                    order by v.embedding::%1$s.vector(%3$s) operator(%1$s.<=>) $1
                ) as n
                where $2 is null or (select d.words @@ $2 from @extschema@.document d where d.document_id = n.document_id)
                limit $3
            )', vectors, contract, @extschema@.vector_size(embedding)
        ) into result using embedding, passes, max_documents;
    end if;
    return result || @extschema@.near_documents_in_tail(embedding, contract, passes, max_documents);
end
$$;

comment on function @extschema@.near_documents(vector, text, tsquery, boolean, integer)
is 'Documents that pass a filter and whose vectors of a contract are near one: from the index and from the vectors that are '
'not in it yet, or, where few pass, from all that do.';

create or replace function @extschema@.vector_of(artifact_id uuid) returns vector
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return (
        select v.embedding
        from @extschema@.document d
        join @extschema@.document_vector v using (document_id)
        where d.artifact_id = vector_of.artifact_id and v.contract = @extschema@.current_contract()
        order by d.document_id desc limit 1
    );
end
$$;

comment on function @extschema@.vector_of(uuid) is 'The vector of an artifact under current_contract(); null without one.';

create or replace function @extschema@.documents_with(
    wanted tsquery, weights sparsevec, max_scored integer, max_documents integer
) returns bigint[]
language sql stable
begin atomic
    select array_agg(b.document_id)
    from (
        select s.document_id
        from (
            select d.document_id, inner_product(d.weights, documents_with.weights) as score
            from @extschema@.document as d
            where d.words @@ wanted
            limit max_scored -- noqa: AM09
        ) as s
        order by s.score desc, s.document_id desc
        limit max_documents
    ) as b;
end;

comment on function @extschema@.documents_with(tsquery, sparsevec, integer, integer)
is 'Of the documents that fit a query for lexemes those with the greatest BM25 scores.';

create or replace function @extschema@.score_documents(
    document_ids bigint[], weights sparsevec, embedding vector, contract text
) returns table (document_id bigint, artifact_id uuid, name text, words double precision, similarity double precision)
language sql stable rows 500
begin atomic
    select
        d.document_id,
        d.artifact_id,
        d.name,
        least(coalesce(inner_product(d.weights, score_documents.weights), 0), 1),
        1 - (v.embedding <=> score_documents.embedding)
    from (select distinct i.document_id from unnest(document_ids) as i (document_id)) as i
    inner join @extschema@.document as d on i.document_id = d.document_id
    left join @extschema@.document_vector as v
        on i.document_id = v.document_id and v.contract = score_documents.contract;
end;

comment on function @extschema@.score_documents(bigint[], sparsevec, vector, text)
is 'BM25 score of the words and cosine of documents.';

create or replace function @extschema@.search_documents(
    query text, namespace text, kind text, tags text[], min_level @extschema@.level,
    embedding vector, contract text, max_results integer
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
    filter record := @extschema@.plan_filter(namespace, kind, tags, min_level);
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
            order by @extschema@.relevance(s.words, 0, s.similarity, one_word) desc, s.document_id desc
        ) as place
        from @extschema@.score_documents(candidates || named, words.weights, embedding, contract) as s
    ), matched as materialized (
        -- to compare names takes longest: those that can make no difference are not
        select s.*, @extschema@.match_name(s.name, name) as name_match
        from scored as s
        where (s.place <= max_results + 20 or s.document_id = any (named)) and not exists (
            select from @extschema@.document as newer
            where newer.artifact_id = s.artifact_id and newer.document_id > s.document_id
        )
    )
    select
        m.artifact_id, @extschema@.relevance(m.words, m.name_match, m.similarity, one_word) as relevance, m.words,
        m.name_match, m.similarity
    from matched as m
    order by relevance desc, m.artifact_id
    limit max_results;
end
$$;

comment on function @extschema@.search_documents(
    text, text, text, text[], @extschema@.level, vector, text, integer
)
is 'Artifacts by relevance to a query. Filters that are null do not filter; embedding is the vector of the query under a '
'contract, by default that of embed().';

create or replace procedure @extschema@.maintain_search()
language plpgsql
as $$
declare
    committed boolean;
begin
    while @extschema@.fold_lexemes(1000) operator(pg_catalog.>) 0 loop
        call @extschema@.try_commit(committed);
    end loop;
    while @extschema@.index_vectors(100) operator(pg_catalog.>) 0 loop
        call @extschema@.try_commit(committed);
    end loop;
end
$$;

comment on procedure @extschema@.maintain_search()
is 'Counts lexemes and puts vectors into their index until nothing is left to do, in batches that commit.';

create or replace function @extschema@.ensure_indexes() returns integer
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '200ms'
as $$
#variable_conflict use_column
declare
    vectors text := (select e.extnamespace::regnamespace::text from pg_extension e where e.extname = 'vector');
    kept record;
    created integer := 0;
begin
    for kept in
        select n.name, n.dimensions, n.index_name
        from (
            select
                c.name, c.dimensions,
                case when c.name = @extschema@.shipped_contract() then 'document_vector_near'
                    else 'document_vector_near_' || left(md5(c.name), 12) end as index_name
            from (
                select * from @extschema@.embedding_contract
                union
                select * from @extschema@.contract_of(@extschema@.current_contract())
            ) as c
        ) as n
        where not exists (
            select from pg_class c
            where c.relname = n.index_name and c.relnamespace = '@extschema@'::regnamespace
        )
    loop
        update @extschema@.document_vector v set indexed = true where v.contract = kept.name and not v.indexed;
        execute format(
            'create index %1$I on @extschema@.document_vector
            using hnsw ((embedding::%2$s.vector(%3$s)) %2$s.vector_cosine_ops) where contract = %4$L and indexed',
            kept.index_name, vectors, kept.dimensions, kept.name
        );
        created := created + 1;
    end loop;
    return created;
end
$$;

comment on function @extschema@.ensure_indexes()
is 'Makes the vector index of each contract that has none, with all its vectors, and returns how many it made; writers wait '
'meanwhile. A restored database needs it for contracts of its users (the bridge and reembed() call it too), and it is the '
'fast way after a very large load: drop index document_vector_near before, ensure_indexes() after it. Error: 55P03 when '
'another session writes just then.';

create or replace function @extschema@.restore_indexes() returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform @extschema@.ensure_indexes();
exception when lock_not_available then
    raise warning 'the vector indexes are not all there: call @extschema@.ensure_indexes() when nobody writes';
end
$$;

comment on function @extschema@.restore_indexes() is 'ensure_indexes() for a bridge that takes over: a warning where it would wait.';

create or replace function @extschema@.outdated_documents(after bigint, max_documents integer)
returns table (document_id bigint, artifact_id uuid)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return query
    select d.document_id, d.artifact_id
    from @extschema@.document d
    where d.document_id > outdated_documents.after and (
        d.configuration <> @extschema@.search_configuration() or not exists (
            select from @extschema@.document_vector v
            where v.document_id = d.document_id and v.contract = @extschema@.current_contract()
        )
    )
    order by d.document_id limit max_documents;
end
$$;

comment on function @extschema@.outdated_documents(bigint, integer)
is 'Documents with a greater number that have no vector of the current contract or words of another configuration.';

create or replace procedure @extschema@.reembed()
language plpgsql
as $$
declare
    committed boolean;
    total bigint;
    done bigint := 0;
    batch pg_catalog.uuid[];
    after bigint := 0;
    tell_at pg_catalog.timestamptz := pg_catalog.clock_timestamp() operator(pg_catalog.+) interval '2 seconds';
begin
    call @extschema@.try_commit(committed);
    if not committed then
        raise exception using errcode = 'active_sql_transaction',
            message = 'reembed commits after every batch, which it cannot inside a transaction block',
            hint = 'Use autocommit, or COMMIT before the CALL.';
    end if;
    if not @extschema@.load_model() then
        raise exception using errcode = 'object_not_in_prerequisite_state',
            message = 'the embedding model cannot be loaded', hint = 'Run make install of Singularity on the database server.';
    end if;
    perform @extschema@.ensure_indexes();
    select pg_catalog.count(*) into total from @extschema@.outdated_documents(0, null);
    loop
        select pg_catalog.array_agg(o.artifact_id), pg_catalog.max(o.document_id) into batch, after
        from @extschema@.outdated_documents(after, 200) as o;
        exit when batch is null;
        perform @extschema@.index_artifacts(batch, true);
        commit;
        done := done operator(pg_catalog.+) pg_catalog.cardinality(batch);
        if pg_catalog.clock_timestamp() operator(pg_catalog.>) tell_at then
            tell_at := pg_catalog.clock_timestamp() operator(pg_catalog.+) interval '2 seconds';
            raise notice '% of % documents', done, total;
        end if;
    end loop;
    call @extschema@.maintain_search();
    raise notice '% documents made again', done;
end
$$;

comment on procedure @extschema@.reembed()
is 'Makes the documents anew that have no vector of the current contract (the model was not there, or is another one since an '
'upgrade) or words of another search_configuration. It commits after each 200, says how far it is, can be broken off and '
'called again, and readers and writers go on meanwhile. Errors: 25001 inside a transaction block, 55000 without the model.';
