create or replace procedure @extschema@.maintain_search()
language plpgsql
as $$
declare
    committed boolean;
begin
    while @extschema@.check_documents(200) operator(pg_catalog.>) 0 loop
        call @extschema@.try_commit(committed);
    end loop;
    while @extschema@.fold_lexemes(1000) operator(pg_catalog.>) 0 loop
        call @extschema@.try_commit(committed);
    end loop;
    while @extschema@.index_vectors(100) operator(pg_catalog.>) 0 loop
        call @extschema@.try_commit(committed);
    end loop;
end
$$;

comment on procedure @extschema@.maintain_search()
is 'Checks documents, counts lexemes and puts vectors into their index until nothing is left to do, in batches that commit.';

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
            message = 'the embedding model cannot be loaded',
            hint = 'Run make install of Singularity on the database server.';
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

-- PL/Python, since only there a commit that is not possible can be caught
create or replace procedure @extschema@.try_commit(inout committed boolean)
language plpython3u
as $$
    try:
        plpy.commit()
    except plpy.spiexceptions.InvalidTransactionTermination:
        return (False,)
    return (True,)
$$;

comment on procedure @extschema@.try_commit(boolean)
is 'Commits and returns true, or returns false inside a transaction block, where a procedure may not.';
