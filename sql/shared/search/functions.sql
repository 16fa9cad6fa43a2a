create or replace function @extschema@.split_identifiers(value text) returns text
language sql immutable strict parallel safe
begin atomic
    select regexp_replace(
        regexp_replace(value, '([a-z0-9])([A-Z])', '\1 \2', 'g'), '[_./:-]+', ' ', 'g'
    );
end;

comment on function @extschema@.split_identifiers(text)
is 'A text with its identifiers (snake_case, camelCase, kebab-case, dotted) taken apart into words.';

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

create or replace function @extschema@.words_of(name text, summary text, tags text[], content jsonb) returns tsvector
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    leaves text := @extschema@.text_of(content);
begin
    return setweight(to_tsvector('english', name || ' ' || @extschema@.split_identifiers(name)), 'A')
        || setweight(to_tsvector('english', coalesce(summary, '')), 'B')
        || setweight(to_tsvector('english', array_to_string(tags, ' ')), 'C')
        || setweight(to_tsvector('english', coalesce(leaves || ' ' || @extschema@.split_identifiers(leaves), '')), 'D');
end
$$;

comment on function @extschema@.words_of(text, text, text[], jsonb)
is 'Lexemes of an artifact: name (A), summary (B), tags (C) and the text in content (D).';

create or replace function @extschema@.name_similarity(name text, query text) returns real
language sql immutable strict parallel safe
begin atomic
    select similarity(lower(name), lower(query));
end;

comment on function @extschema@.name_similarity(text, text) is 'Trigram similarity of a name and a query, 0 to 1.';

create or replace function @extschema@.documents_named(query text) returns setof bigint
language sql stable strict
begin atomic
    select d.document_id from @extschema@.document as d where d.name % query;
end;

comment on function @extschema@.documents_named(text) is 'Documents whose name is like the query.';

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

create or replace function @extschema@.search_documents(
    query text, namespace text, kind text, tags text[], max_results integer
) returns table (artifact_id uuid, relevance double precision)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
set jit = off
as $$
#variable_conflict use_column
declare
    asked tsvector := to_tsvector('english', query || ' ' || @extschema@.split_identifiers(query));
    lexemes text[] := tsvector_to_array(asked);
    any_of tsquery := (
        select string_agg('''' || replace(replace(l, '\', '\\'), '''', '''''') || '''', ' | ')::tsquery
        from unnest(lexemes) as l
    );
begin
    return query
    with candidate as (
        select d.document_id from @extschema@.document d where d.words @@ any_of
        union
        select n from @extschema@.documents_named(query) as n
    ), ranked as (
        select d.artifact_id, d.name, d.words, ts_rank_cd(d.words, any_of, 32) as rank
        from candidate c
        join @extschema@.document d using (document_id)
        where (search_documents.namespace is null or d.namespace = search_documents.namespace)
            and (search_documents.kind is null or d.kind = search_documents.kind)
            and (search_documents.tags is null or d.tags @> search_documents.tags)
            and not exists (
                select from @extschema@.document newer
                where newer.artifact_id = d.artifact_id and newer.document_id > d.document_id
            )
        order by @extschema@.name_similarity(d.name, query) + coalesce(ts_rank_cd(d.words, any_of, 32), 0) desc, d.document_id
        limit 4 * max_results + 50
    ), scored as (
        select r.artifact_id, greatest(
            @extschema@.name_similarity(r.name, query),
            0.75 * (select count(*) from unnest(tsvector_to_array(r.words)) as w where w = any (lexemes))
                / greatest(cardinality(lexemes), 1) + 0.25 * coalesce(r.rank, 0)
        )::double precision as relevance
        from ranked r
    )
    select s.artifact_id, s.relevance from scored s order by s.relevance desc, s.artifact_id limit max_results;
end
$$;

comment on function @extschema@.search_documents(text, text, text, text[], integer)
is 'Artifacts by relevance to a query, 0 to 1: the trigram similarity of the name, or the share of the query''s words '
'that the text has, whichever is greater. Filters that are null do not filter.';

create or replace function @extschema@.replace_documents(artifact_ids uuid[], documents @extschema@.document[])
returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    gone uuid[];
begin
    insert into @extschema@.document (artifact_id, namespace, kind, name, tags, words)
    select n.artifact_id, n.namespace, n.kind, n.name, n.tags, n.words
    from unnest(documents) as n
    where not exists (
        select from (
            select d.tags, d.words from @extschema@.document d
            where d.artifact_id = n.artifact_id order by d.document_id desc limit 1
        ) as d
        where d.tags = n.tags and d.words = n.words
    );
    -- above READ COMMITTED the locking clause would raise 40001 where another session was first
    if current_setting('transaction_isolation') <> 'read committed' then
        return;
    end if;
    delete from @extschema@.document d
    where d.document_id in (
        select o.document_id from unnest(documents) as n
        join @extschema@.document o using (artifact_id)
        where exists (
            select from @extschema@.document newer
            where newer.artifact_id = o.artifact_id and newer.document_id > o.document_id
        )
        for update of o skip locked
    );
    gone := array(select unnest(artifact_ids) except select n.artifact_id from unnest(documents) as n);
    delete from @extschema@.document d
    where d.document_id in (
        select o.document_id from @extschema@.document o where o.artifact_id = any (gone) for update skip locked
    );
end
$$;

comment on function @extschema@.replace_documents(uuid[], @extschema@.document[])
is 'Makes the documents of the artifacts those given, none for an artifact that has none among them. Documents that '
'another session holds are left: of several the newest is in force.';
