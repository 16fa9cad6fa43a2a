create or replace function @extschema@.index_documents(
    given @extschema@.searchable[], again boolean default false, changed boolean default true
) returns bigint
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    made @extschema@.searchable[] := @extschema@.documents_to_make(given, again);
    undeleted uuid[];
begin
    if cardinality(made) > 0 then
        perform @extschema@.store_documents(made);
    end if;
    if cardinality(made) < cardinality(given) then
        perform @extschema@.number_documents(given);
    end if;
    undeleted := @extschema@.delete_documents(given);
    if cardinality(undeleted) > 0 or changed and cardinality(made) < cardinality(given) then
        insert into @extschema@.lexeme_change (artifact_id, words, change)
        select a.artifact_id, ''::tsvector, 0
        from (
            select unnest(undeleted)
            union
            (
                select g.artifact_id from unnest(given) as g where changed
                except
                select m.artifact_id from unnest(made) as m
            )
        ) as a (artifact_id);
    end if;
    return cardinality(undeleted);
end
$$;

comment on function @extschema@.index_documents(@extschema@.searchable[], boolean, boolean)
is 'Makes the documents of the artifacts those given. A document whose source has not changed is left as it is, unless again. '
'Where the caller changed what is known of them the background looks at all of them after the commit, otherwise at those alone '
'of which documents could not be deleted, whose number is returned.';

create or replace function @extschema@.documents_to_make(given @extschema@.searchable[], again boolean)
returns @extschema@.searchable[]
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
as $$
begin
    return array(
        select distinct on (g.artifact_id) g
        from unnest(given) as g
        left join lateral (
            select d.source, d.version from @extschema@.document d
            where d.artifact_id = g.artifact_id order by d.version desc, d.document_id desc limit 1
        ) as present on true
        where g.name is not null
            and (again or present.source is distinct from @extschema@.source_of(g))
            -- what another session stored of a later version is in force already
            and coalesce(present.version, 0) <= g.version
    );
end
$$;

comment on function @extschema@.documents_to_make(@extschema@.searchable[], boolean)
is 'Those of what is given whose document is not there yet, or all if again.';

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
            artifact_id, namespace, kind, name, tags, level, configuration, source, words, weights, version
        )
        select artifact_id, namespace, kind, name, tags, level, configuration, source, words, weights, version from made
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
    made.version := given.version;
    return made;
end
$$;

comment on function @extschema@.make_document(@extschema@.searchable, regconfig) is 'The document of an artifact, not stored yet.';

create or replace function @extschema@.source_of(given @extschema@.searchable) returns uuid
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    return md5(row(
        given.artifact_id, given.namespace, given.kind, given.name, given.summary, given.tags, given.level,
        given.content,
        given.contract, given.embedding
    )::text)::uuid;
end
$$;

comment on function @extschema@.source_of(@extschema@.searchable)
is 'Hash of what a document is made from, whatever its version.';

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

create or replace function @extschema@.number_documents(given @extschema@.searchable[]) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
    old_ids bigint[] := array(
        select present.document_id
        from unnest(given) as g
        cross join lateral (
            select d.* from @extschema@.document d
            where d.artifact_id = g.artifact_id order by d.version desc, d.document_id desc limit 1
        ) as present
        where present.version < g.version and present.source = @extschema@.source_of(g)
    );
begin
    if cardinality(old_ids) = 0 or current_setting('transaction_isolation') <> 'read committed' then
        return;
    end if;
    with locked as (
        select d.document_id from @extschema@.document d where d.document_id = any (old_ids) for update skip locked
    )
    update @extschema@.document d set version = g.version
    from locked, unnest(given) as g
    where d.document_id = locked.document_id and g.artifact_id = d.artifact_id and d.version < g.version;
end
$$;

comment on function @extschema@.number_documents(@extschema@.searchable[])
is 'Gives documents in force whose source has not changed the version of what is given, but for those that another session holds.';

create or replace function @extschema@.delete_documents(given @extschema@.searchable[]) returns uuid[]
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
    old_ids bigint[] := array(
        select o.document_id
        from unnest(given) as g
        join @extschema@.document o using (artifact_id)
        where o.version <= g.version and (g.name is null or exists (
            select from @extschema@.document newer
            where newer.artifact_id = o.artifact_id and (newer.version, newer.document_id) > (o.version, o.document_id)
        ))
    );
begin
    if cardinality(old_ids) = 0 then
        return array[]::uuid[];
    end if;
    -- above READ COMMITTED the locking clause would raise 40001 where another session was first
    if current_setting('transaction_isolation') = 'read committed' then
        perform @extschema@.delete_unlocked_documents(old_ids);
    end if;
    return array(select distinct d.artifact_id from @extschema@.document d where d.document_id = any (old_ids));
end
$$;

comment on function @extschema@.delete_documents(@extschema@.searchable[])
is 'Deletes the documents of artifacts that are gone, and of the others all but the one in force, never one of a later version '
'than is given. Returns the artifacts of which documents are left, since another session holds them.';

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

create or replace function @extschema@.check_documents(max_documents bigint) returns bigint
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    unchecked uuid[] := array(select d.artifact_id from @extschema@.document d where d.version < 0 limit max_documents);
begin
    if cardinality(unchecked) = 0 or current_setting('transaction_isolation') <> 'read committed' then
        return 0;
    end if;
    perform @extschema@.index_artifacts(array(select distinct unnest(unchecked)), changed => false);
    return cardinality(unchecked) - (
        select count(*) from @extschema@.document d where d.artifact_id = any (unchecked) and d.version < 0
    );
end
$$;

comment on function @extschema@.check_documents(bigint)
is 'Compares documents whose version is not known (of a release before 0.3) with the best known version, makes those anew that '
'differ, and returns how many were checked. Those that another session holds are left.';

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

create or replace function @extschema@.to_searchable(
    artifact_id uuid, version bigint, namespace text, kind text, name text, summary text, tags text[],
    level @extschema@.level, content jsonb, contract text default null, embedding vector default null
) returns @extschema@.searchable
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    made @extschema@.searchable;
begin
    made.artifact_id := artifact_id;
    made.version := version;
    made.namespace := namespace;
    made.kind := kind;
    made.name := name;
    made.summary := summary;
    made.tags := tags;
    made.level := level;
    made.content := content;
    made.contract := contract;
    made.embedding := embedding;
    return made;
end
$$;

comment on function @extschema@.to_searchable(
    uuid, bigint, text, text, text, text, text[], @extschema@.level, jsonb, text, vector
)
is 'What a document is made from, of these parts; without a name where nothing is known of the artifact any more.';
