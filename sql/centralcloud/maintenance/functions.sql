create or replace procedure centralcloud.maintain()
language plpgsql
as $$
begin
    call centralcloud.maintain_search();
end
$$;

comment on procedure centralcloud.maintain()
is 'Counts lexemes and puts vectors into their index, in batches that commit. The bridge does the same by itself.';

create or replace function centralcloud.background() returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    today timestamptz := date_trunc('day', now(), 'UTC');
begin
    if coalesce(centralcloud.get_setting('scored_as_of')::timestamptz < today, true) then
        perform centralcloud.rescore(today);
    end if;
    perform centralcloud.score_queued(500), centralcloud.check_documents(200), centralcloud.fold_lexemes(1000),
        centralcloud.index_vectors(200);
end
$$;

comment on function centralcloud.background() is 'The work that the bridge''s tick does: once a day, outcomes are weighted anew by their age; '
'lexemes are counted and vectors put into their index.';
