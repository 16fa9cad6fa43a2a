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
        select coalesce(sum(r.change), 0) from recent r
        where a.lexeme = '' or r.words @@ @extschema@.lexeme_query(a.lexeme)
    ))::double precision
    from unnest(lexemes) as a (lexeme)
    left join @extschema@.lexeme l using (lexeme);
end
$$;

comment on function @extschema@.lexeme_frequencies(text[])
is 'How many documents have each lexeme, all documents for the empty one; the last changes are counted up to 256.';

create or replace function @extschema@.fold_lexemes(max_documents bigint) returns bigint
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    own_transaction xid8 := pg_current_xact_id_if_assigned();
    folded bigint;
    empty text[];
    changed uuid[];
begin
    -- one session at a time, and nobody waits for it
    if current_setting('transaction_isolation') <> 'read committed'
        or not @extschema@.try_lock('@extschema@.embedding_contract') then
        return 0;
    end if;
    with taken as (
        delete from @extschema@.lexeme_change c where c.ctid = any (array(
            select o.ctid from @extschema@.lexeme_change o
            where o.change <> 0 or o.transaction_id is distinct from own_transaction
            limit max_documents for update skip locked
        )) returning c.artifact_id, c.words, c.change, c.transaction_id is not distinct from own_transaction as own
    ), counted as (
        select u.lexeme, sum(t.change) as change from taken t cross join lateral unnest(t.words) as u group by u.lexeme
        union all
        select '', coalesce(sum(t.change), 0) from taken t
    ), stored as (
        insert into @extschema@.lexeme as l (lexeme, documents)
        select lexeme, change from counted where change <> 0
        on conflict (lexeme) do update set documents = l.documents + excluded.documents
        returning lexeme, documents
    ), kept as (
        -- others may commit before this transaction does, so what it did itself is looked at after its commit
        insert into @extschema@.lexeme_change (artifact_id, words, change)
        select distinct t.artifact_id, ''::tsvector, 0 from taken t where t.own
    )
    select
        (select count(*) from taken),
        array(select s.lexeme from stored s where s.documents = 0),
        array(select distinct t.artifact_id from taken t where not t.own)
    into folded, empty, changed;
    if cardinality(empty) > 0 then
        delete from @extschema@.lexeme l where l.lexeme = any (empty);
    end if;
    if cardinality(changed) > 0 then
        -- who changed them did not see what others committed meanwhile, or could not delete what others held
        folded := folded - @extschema@.index_artifacts(changed, changed => false);
    end if;
    return folded;
end
$$;

comment on function @extschema@.fold_lexemes(bigint)
is 'Counts the lexemes of documents that came or went, sees to it that each is that of the best known version, and returns how '
'many changes it settled; 0 while another session does it.';
