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
                where $2 is null or (select d.words @@ $2 from @extschema@.document d
                    where d.document_id = n.document_id)
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
        order by d.version desc, d.document_id desc limit 1
    );
end
$$;

comment on function @extschema@.vector_of(uuid) is 'The vector of an artifact under current_contract(); null without one.';
