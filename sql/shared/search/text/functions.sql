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

create or replace function @extschema@.plain_words(value text) returns text
language sql immutable strict parallel safe
begin atomic
    select pg_catalog.regexp_replace(
        pg_catalog.regexp_replace(
            pg_catalog.translate(value, '!"#$%&''()*+,-./:;<=>?@[\]^_`{|}~', pg_catalog.repeat(' ', 32)),
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

create or replace function @extschema@.to_weights(entries text) returns sparsevec
language sql immutable parallel safe
begin atomic
    select ('{' || coalesce(entries, '') || '}/1048576')::sparsevec;
end;

comment on function @extschema@.to_weights(text) is 'Weights from their entries, as pgvector writes them.';

create or replace function @extschema@.lexeme_bucket(lexeme text) returns integer
language sql immutable strict parallel safe
begin atomic
    select ('x' || left(md5(lexeme), 5))::bit(20)::integer + 1;
end;

comment on function @extschema@.lexeme_bucket(text) is 'Dimension of a lexeme in the weights of documents and queries, from its md5.';

create or replace function @extschema@.search_configuration() returns regconfig
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    return @extschema@.get_setting('search_configuration')::regconfig;
end
$$;

comment on function @extschema@.search_configuration() is 'The text search configuration in force.';
