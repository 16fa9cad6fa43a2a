-- Procedures that commit can pin no search_path, so they run with their caller's, in which others may have put things:
-- they contain nothing but calls of functions that pin it.

create or replace function @extschema@.try_lock(relation regclass) returns boolean
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    -- not an advisory lock: anybody can take those
    execute format('lock table %s in share update exclusive mode nowait', relation);
    return true;
exception when lock_not_available then
    return false;
end
$$;

comment on function @extschema@.try_lock(regclass)
is 'Takes the right to do a piece of background work, which a table that seldom changes stands for, until the end of the '
'transaction; false, without waiting, where another session has it.';

create or replace function @extschema@.maintain_search_batch() returns boolean
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    return @extschema@.check_documents(200) > 0 or @extschema@.fold_lexemes(1000) > 0
        or @extschema@.index_vectors(100) > 0;
end
$$;

comment on function @extschema@.maintain_search_batch()
is 'Checks some documents, or counts some lexemes, or puts some vectors into their index; false when nothing was left to do.';

create or replace procedure @extschema@.maintain_search()
language plpgsql
as $$
declare
    committed boolean;
begin
    while @extschema@.maintain_search_batch() loop
        call @extschema@.try_commit(committed);
    end loop;
end
$$;

comment on procedure @extschema@.maintain_search()
is 'Checks documents, counts lexemes and puts vectors into their index until nothing is left to do, in batches that commit.';

create or replace function @extschema@.reembed_batch(progress jsonb) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    total bigint := (progress ->> 'total')::bigint;
    done bigint := coalesce((progress ->> 'done')::bigint, 0);
    told_at timestamptz := coalesce((progress ->> 'told_at')::timestamptz, clock_timestamp());
    batch uuid[];
    last bigint;
begin
    if progress is null then
        perform @extschema@.ensure_indexes();
        select count(*) into total from @extschema@.outdated_documents(0, null);
    end if;
    select array_agg(o.artifact_id), max(o.document_id) into batch, last
    from @extschema@.outdated_documents(coalesce((progress ->> 'after')::bigint, 0), 200) as o;
    if batch is null then
        raise notice '% documents made again', done;
        return null;
    end if;
    perform @extschema@.index_artifacts(batch, true);
    done := done + cardinality(batch);
    if clock_timestamp() > told_at + interval '2 seconds' then
        told_at := clock_timestamp();
        raise notice '% of % documents', done, total;
    end if;
    return jsonb_build_object('total', total, 'done', done, 'told_at', told_at, 'after', last);
end
$$;

comment on function @extschema@.reembed_batch(jsonb)
is 'Makes 200 outdated documents anew and returns how far reembed() is, given what the call before returned (null at first); '
'null when none is left. A notice tells every two seconds.';

create or replace procedure @extschema@.reembed()
language plpgsql
as $$
declare
    committed boolean;
    progress pg_catalog.jsonb;
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
    loop
        progress := @extschema@.reembed_batch(progress);
        commit;
        exit when progress is null;
    end loop;
    call @extschema@.maintain_search();
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
