create or replace function singularity.maintain_batch() returns boolean
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform singularity.expire_questions(), singularity.delete_forgotten_copies();
    return singularity.fold_outcomes(10000) > 0;
end
$$;

comment on function singularity.maintain_batch()
is 'Lets old questions go and adds some outcomes up into evidence; false when there were none.';

create or replace procedure singularity.maintain()
language plpgsql
as $$
declare
    committed boolean;
begin
    while singularity.maintain_batch() loop
        call singularity.try_commit(committed);
    end loop;
    call singularity.maintain_search();
end
$$;

comment on procedure singularity.maintain()
is 'The background work of a database without a bridge: adds outcomes up into evidence, lets old questions go, counts lexemes '
'and puts the vectors of learn_many() into their index, in batches that commit (not inside a transaction block). A bridge '
'does the same by itself.';

create or replace function singularity.background() returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform singularity.fold_outcomes(10000), singularity.expire_questions(), singularity.delete_forgotten_copies(),
        singularity.check_documents(200), singularity.fold_lexemes(1000), singularity.index_vectors(200);
    if singularity.get_setting('mode') <> 'local' then
        perform singularity.finish_backfill(), singularity.resend_lost_batches(), singularity.prepare_topics(),
            singularity.begin_comparison(), singularity.end_comparison();
    end if;
end
$$;

comment on function singularity.background() is 'The work that the bridge''s tick does.';
