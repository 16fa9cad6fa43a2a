create or replace function @extschema@.server_files() returns text
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$ select c.setting || '/singularity' from pg_config() as c where c.name = 'SHAREDIR' $$;

comment on function @extschema@.server_files()
is 'Folder of the Python packages and of the model that make install put on the database server.';

create or replace function @extschema@.load_model() returns boolean
language plpython3u stable parallel restricted
set search_path = pg_catalog, pg_temp
as $$
    if "singularity_model" not in GD:
        GD["singularity_model"] = None
        try:
            import importlib, sys
            folder = plpy.execute("select @extschema@.server_files() as folder")[0]["folder"]
            if folder + "/python" not in sys.path:
                sys.path.append(folder + "/python")
            importlib.invalidate_caches()  # the files may have been installed a moment ago
            embedding = importlib.import_module("singularity_plpy.embedding")
            GD["singularity_model"] = embedding.load(folder + "/model")
        except (ImportError, OSError, ValueError) as error:
            plpy.notice("similarity of meaning is not known here: the embedding model cannot be loaded",
                        detail=str(error),
                        hint="Run make install of Singularity on the database server and connect again.")
    return GD["singularity_model"] is not None
$$;

comment on function @extschema@.load_model()
is 'Loads the embedding model, once a session, and says whether it is there; a notice says why it is not.';

create or replace function @extschema@.vector_literals(texts text[]) returns text[]
language plpython3u stable parallel restricted cost 10000
set search_path = pg_catalog, pg_temp
as $$
    if texts is None:
        return None
    if "singularity_model" not in GD:
        plpy.execute("select @extschema@.load_model()")
    model = GD["singularity_model"]
    return model.literals(texts, lambda: plpy.execute("select")) if model else [None] * len(texts)
$$;

comment on function @extschema@.vector_literals(text[])
is 'The vectors of texts as pgvector writes them but of another length; null for a null, for a text without any token, '
'and for all while the model cannot be loaded.';

create or replace function @extschema@.document_literals(names text[], summaries text[], contents text[]) returns text[]
language plpython3u stable parallel restricted cost 10000
set search_path = pg_catalog, pg_temp
as $$
    if "singularity_model" not in GD:
        plpy.execute("select @extschema@.load_model()")
    model = GD["singularity_model"]
    if not model:
        return [None] * len(names)
    return model.document_literals(names, summaries, contents, lambda: plpy.execute("select"))
$$;

comment on function @extschema@.document_literals(text[], text[], text[])
is 'The vectors of documents, from their names, summaries (which count twice) and contents, written as vector_literals() does.';

create or replace function @extschema@.similar_words(words text[])
returns table (word text, similar_word text, similarity double precision)
language plpython3u stable parallel restricted cost 10000 rows 20
set search_path = pg_catalog, pg_temp
as $$
    if "singularity_model" not in GD:
        plpy.execute("select @extschema@.load_model()")
    model = GD["singularity_model"]
    return list(model.similar_words.of(words)) if model else []
$$;

comment on function @extschema@.similar_words(text[])
is 'For each of some words in lower case those that mean nearly the same, with their cosine, by the embedding model; none '
'while it cannot be loaded.';

create or replace function @extschema@.to_unit_vector(literal text) returns vector
language sql immutable strict parallel safe
begin atomic
    select l2_normalize(literal::vector);
end;

comment on function @extschema@.to_unit_vector(text) is 'The vector of length 1 in the direction of one that pgvector or JSON wrote.';

create or replace function @extschema@.embed(value text) returns vector
language sql stable parallel restricted cost 10000
begin atomic
    select @extschema@.to_unit_vector((@extschema@.vector_literals(array[value]))[1]);
end;

comment on function @extschema@.embed(text)
is 'The vector of a text under current_contract(), of length 1; what is behind the first 64 KiB is not looked at. Null for '
'an empty text, and while the model cannot be loaded: one notice a session says so.';

create or replace function @extschema@.embed_many(texts text[]) returns vector[]
language sql stable parallel restricted cost 100000
begin atomic
    select
        case
            when texts is not null
                then
                    array(
                        select @extschema@.to_unit_vector(v.literal)
                        from pg_catalog.unnest(
                                @extschema@.vector_literals(
                                    array(select t.value from pg_catalog.unnest(texts) as t (value))
                                )
                            )
                            with ordinality as v (literal, place)
                        order by v.place
                    )
        end;
end;

comment on function @extschema@.embed_many(text[])
is 'The vectors of texts in their order, each as embed() makes it: faster than one by one, a few thousand at a time.';

create or replace function @extschema@.shipped_contract() returns text
language sql immutable parallel safe
begin atomic
    select 'wordllama-l2-supercat-256/1';
end;

comment on function @extschema@.shipped_contract()
is 'Name of the contract that the index document_vector_near is for, in which the name stands as a literal.';

create or replace function @extschema@.current_contract() returns text
language sql immutable parallel safe
begin atomic
    select @extschema@.shipped_contract();
end;

comment on function @extschema@.current_contract() is 'Name of the contract that the vectors of embed() keep.';

create or replace function @extschema@.contract_of(name text) returns @extschema@.embedding_contract
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    result @extschema@.embedding_contract;
begin
    result := (select c from @extschema@.embedding_contract c where c.name = contract_of.name);
    if result.name is null and contract_of.name = @extschema@.current_contract() then
        result.name := contract_of.name;
        result.model := 'wordllama l2_supercat_256';
        result.revision := '0.4.0.post1';
        result.dimensions := 256;
        result.normalised := true;
        result.created_at := now();
    end if;
    return result;
end
$$;

comment on function @extschema@.contract_of(text)
is 'A contract by its name, current_contract() even before its first use; a row of nulls when there is none.';

create or replace function @extschema@.use_contract() returns text
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    contract text := @extschema@.current_contract();
begin
    -- while another session is about to store the row, nobody waits for its commit: the next one sees it
    if not exists (select from @extschema@.embedding_contract c where c.name = contract)
        and @extschema@.try_lock('@extschema@.embedding_contract')
    then
        insert into @extschema@.embedding_contract (name, model, revision, dimensions, normalised, created_at)
        select c.name, c.model, c.revision, c.dimensions, c.normalised, c.created_at
        from @extschema@.contract_of(contract) as c
        on conflict (name) do nothing;
    end if;
    return contract;
end
$$;

comment on function @extschema@.use_contract()
is 'Returns current_contract() and sees to its row in embedding_contract: who stores a vector of embed() calls it.';

create or replace function @extschema@.register_contract(
    name text, model text, revision text, dimensions integer, normalised boolean
) returns text
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    known @extschema@.embedding_contract;
begin
    if num_nulls(register_contract.name, model, revision, dimensions, normalised) > 0 then
        raise exception using errcode = 'null_value_not_allowed',
            message = 'a contract needs a name, a model, a revision, dimensions and normalised',
            hint = 'Write for example register_contract(''e5-small/1'', ''intfloat/e5-small'', ''v2'', 384, true).';
    end if;
    if register_contract.name !~ '^[a-z0-9][a-z0-9._:/-]{0,99}$' then
        raise exception using errcode = 'invalid_parameter_value',
            message = format('contract name %L is not valid', left(register_contract.name, 100)),
            hint = 'It has 1 to 100 characters out of a to z, 0 to 9, . _ : / and -; the first is a letter or digit.';
    end if;
    if greatest(octet_length(model), octet_length(revision)) > 512 then
        raise exception using errcode = 'program_limit_exceeded',
            message = format('model or revision of contract %L is longer than 512 bytes', register_contract.name);
    end if;
    if dimensions not between 1 and 2000 then
        raise exception using errcode = 'invalid_parameter_value',
            message = format('contract %L has %s dimensions', register_contract.name, dimensions),
            hint = 'A vector that can be indexed has 1 to 2000.';
    end if;
    if register_contract.name <> @extschema@.current_contract() then
        insert into @extschema@.embedding_contract (name, model, revision, dimensions, normalised)
        values (register_contract.name, model, revision, dimensions, normalised)
        on conflict (name) do nothing;
    end if;
    known := @extschema@.contract_of(register_contract.name);
    if (known.model, known.revision, known.dimensions, known.normalised)
        <> (register_contract.model, register_contract.revision, register_contract.dimensions,
            register_contract.normalised)
    then
        raise exception using errcode = 'unique_violation',
            message = format('contract %L is known with another meaning', register_contract.name),
            detail = format('It is model %L, revision %L, %s dimensions, %s.', known.model, known.revision,
                known.dimensions, case when known.normalised then 'normalised' else 'not normalised' end),
            hint = 'Give a changed contract a new name, for example with another number at its end.';
    end if;
    return register_contract.name;
end
$$;

comment on function @extschema@.register_contract(text, text, text, integer, boolean)
is 'Makes a contract for vectors of a model of one''s own and returns its name; nothing changes when the same is there. '
'Errors: 22004 and 22023 for a null or invalid argument, 54000 for a long one, 23505 when the name means another contract.';

create or replace function @extschema@.vector_size(embedding vector) returns integer
language sql immutable strict parallel safe
begin atomic
    select vector_dims(embedding);
end;

comment on function @extschema@.vector_size(vector) is 'Number of dimensions of a vector.';

create or replace function @extschema@.vector_length(embedding vector) returns double precision
language sql immutable strict parallel safe
begin atomic
    select vector_norm(embedding);
end;

comment on function @extschema@.vector_length(vector) is 'Euclidean length of a vector.';

create or replace function @extschema@.to_vector(literal text) returns vector
language sql immutable strict parallel safe
begin atomic
    select literal::vector;
end;

comment on function @extschema@.to_vector(text) is 'A vector from what pgvector or JSON writes.';

create or replace function @extschema@.check_vector(embedding vector, contract text) returns vector
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    kept @extschema@.embedding_contract;
    size double precision;
begin
    if embedding is null then
        return null;
    end if;
    if contract is null then
        raise exception using errcode = 'null_value_not_allowed', message = 'a vector needs its contract',
            hint = 'Pass contract => the name that register_contract() was given.';
    end if;
    kept := @extschema@.contract_of(contract);
    if kept.name is null then
        raise exception using errcode = 'invalid_parameter_value',
            message = format('there is no contract %L', left(contract, 100)),
            hint = 'Register it with register_contract(); those that are known are in the table embedding_contract.';
    end if;
    if @extschema@.vector_size(embedding) <> kept.dimensions then
        raise exception using errcode = 'invalid_parameter_value',
            message = format('a vector of contract %L has %s dimensions, this one %s',
                contract, kept.dimensions, @extschema@.vector_size(embedding)),
            hint = 'Pass the vector that the contract''s model makes, or name the contract that made this one.';
    end if;
    size := @extschema@.vector_length(embedding);
    if size = 0 or size = 'infinity' or size = 'nan' then
        raise exception using errcode = 'invalid_parameter_value',
            message = format('a vector of length %s has no direction', size),
            hint = 'Pass null for what has no vector.';
    end if;
    if kept.normalised and abs(size - 1) > 0.001 then
        raise exception using errcode = 'invalid_parameter_value',
            message = format('a vector of contract %L has length 1, this one %s', contract, size),
            hint = 'Pass l2_normalize() of it, or register a contract with normalised => false.';
    end if;
    return embedding;
end
$$;

comment on function @extschema@.check_vector(vector, text)
is 'Returns a vector that keeps a contract, null for null. Errors: 22004 without a contract; 22023 for an unknown contract, '
'the wrong number of dimensions, a zero vector, and one of another length than 1 where the contract says normalised.';

create or replace function @extschema@.unit_vector(embedding vector) returns vector
language sql immutable strict parallel safe
begin atomic
    select l2_normalize(embedding);
end;

comment on function @extschema@.unit_vector(vector) is 'The vector of length 1 in the same direction.';

create or replace function @extschema@.is_same_vector(one vector, other vector) returns boolean
language sql immutable parallel safe
begin atomic
    select coalesce(one = other, one is null and other is null);
end;

comment on function @extschema@.is_same_vector(vector, vector) is 'Whether two vectors are equal, or both null.';

create or replace function @extschema@.vector_from(embedding jsonb) returns vector
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    if embedding is null or jsonb_typeof(embedding) = 'null' then
        return null;
    end if;
    return @extschema@.to_vector(embedding::text);
exception when data_exception or program_limit_exceeded then
    raise exception using errcode = 'invalid_parameter_value',
        message = format('embedding is not a vector: %s', left(sqlerrm, 200)),
        hint = 'It is a JSON array of finite numbers, for example [0.6, -0.8].';
end
$$;

comment on function @extschema@.vector_from(jsonb)
is 'A vector from a JSON array of numbers, null for null; raises 22023 for anything else.';
