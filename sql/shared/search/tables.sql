-- One row for the searchable text of an artifact. A changed text is a new row and the older ones are deleted, so that
-- who learns never waits for who learns the same thing; where both are there the greatest document_id is in force.
create table @extschema@.document (
    document_id bigint generated always as identity primary key,
    artifact_id uuid not null,
    namespace text not null,
    kind text not null,
    name text not null,
    tags text[] not null,
    level @extschema@.level not null,
    configuration regconfig not null,
    source uuid not null,
    words tsvector not null,
    weights sparsevec(1048576) not null
);

create index document_artifact on @extschema@.document (artifact_id, document_id);
create index document_words on @extschema@.document using gin (words) with (fastupdate = off);
create index document_name on @extschema@.document using gin (name gin_trgm_ops) with (fastupdate = off);

comment on table @extschema@.document is 'The searchable text of the best known version of each artifact.';
comment on column @extschema@.document.document_id is 'Number of the document; of several for one artifact the greatest is in force.';
comment on column @extschema@.document.artifact_id is 'Id of the artifact.';
comment on column @extschema@.document.namespace is 'Namespace of the artifact.';
comment on column @extschema@.document.kind is 'Kind of the artifact.';
comment on column @extschema@.document.name is 'Name of the artifact.';
comment on column @extschema@.document.tags is 'Tags of the artifact.';
comment on column @extschema@.document.level is 'Level of the version that the text is of.';
comment on column @extschema@.document.configuration is 'The text search configuration that made the words, see the setting search_configuration.';
comment on column @extschema@.document.source is 'Hash of everything that the document was made from.';
comment on column @extschema@.document.words
is 'Lexemes of name, summary, tags and the text in content; whole identifiers with the prefix =; and what is filtered by, '
'with the prefixes /namespace/, /kind/, /tag/ and /level/.';
comment on column @extschema@.document.weights
is 'BM25 weight of each word, 0 to 1, without its inverse document frequency; the dimension of a lexeme is lexeme_bucket().';

select pg_catalog.pg_extension_config_dump('@extschema@.document', '');
select pg_catalog.pg_extension_config_dump('@extschema@.document_document_id_seq', '');

-- Apart from document, so that moving a vector into the index rewrites a small row without its words.
create table @extschema@.document_vector (
    document_id bigint not null,
    contract text not null,
    embedding vector not null,
    indexed boolean not null,
    primary key (document_id, contract)
);

create index document_vector_tail on @extschema@.document_vector (contract, document_id) where not indexed;
create index document_vector_near on @extschema@.document_vector
using hnsw ((embedding::vector(256)) vector_cosine_ops)
where contract = 'wordllama-l2-supercat-256/1' and indexed;

comment on table @extschema@.document_vector is 'The vectors of documents, one for each contract.';
comment on column @extschema@.document_vector.document_id is 'The document.';
comment on column @extschema@.document_vector.contract is 'Name of the contract that the vector keeps.';
comment on column @extschema@.document_vector.embedding is 'The vector.';
comment on column @extschema@.document_vector.indexed
is 'Whether it is in the index of its contract. Those that are not yet are scanned one by one.';

select pg_catalog.pg_extension_config_dump('@extschema@.document_vector', '');

-- Document frequencies. Writers only insert changes, which are added up in the background.
create table @extschema@.lexeme (
    lexeme text primary key,
    documents bigint not null
);

comment on table @extschema@.lexeme is 'How many documents have a lexeme; the empty one stands for all documents.';
comment on column @extschema@.lexeme.lexeme is 'The lexeme, as in the column words of document.';
comment on column @extschema@.lexeme.documents is 'Number of documents that have it, without what is in lexeme_change.';

select pg_catalog.pg_extension_config_dump('@extschema@.lexeme', '');

create table @extschema@.lexeme_change (
    artifact_id uuid not null,
    words tsvector not null,
    change integer not null
);

comment on table @extschema@.lexeme_change is 'Documents that came or went and are not counted in lexeme yet.';
comment on column @extschema@.lexeme_change.artifact_id is 'Id of the artifact.';
comment on column @extschema@.lexeme_change.words is 'The lexemes of the document.';
comment on column @extschema@.lexeme_change.change is '1 for a document that came, -1 for one that went, 0 for an artifact to look at again.';

select pg_catalog.pg_extension_config_dump('@extschema@.lexeme_change', '');

create type @extschema@.searchable as (
    artifact_id uuid,
    namespace text,
    kind text,
    name text,
    summary text,
    tags text[],
    level @extschema@.level,
    content jsonb,
    contract text,
    embedding vector
);

comment on type @extschema@.searchable is 'What a document is made from.';
comment on column @extschema@.searchable.artifact_id is 'Id of the artifact.';
comment on column @extschema@.searchable.namespace is 'Namespace of the artifact.';
comment on column @extschema@.searchable.kind is 'Kind of the artifact.';
comment on column @extschema@.searchable.name is 'Name of the artifact.';
comment on column @extschema@.searchable.summary is 'Its summary.';
comment on column @extschema@.searchable.tags is 'Its tags.';
comment on column @extschema@.searchable.level is 'Its level.';
comment on column @extschema@.searchable.content is 'Its content, of which the texts are searched.';
comment on column @extschema@.searchable.contract is 'Contract of the vector that its user gave.';
comment on column @extschema@.searchable.embedding is 'The vector that its user gave, beside the one that is made from the text.';

create type @extschema@.hit as (
    artifact_id uuid,
    relevance double precision,
    words double precision,
    name_match double precision,
    similarity double precision
);

comment on type @extschema@.hit is 'An artifact that was found, and how well it fits the query.';
comment on column @extschema@.hit.artifact_id is 'Id of the artifact.';
comment on column @extschema@.hit.relevance is 'How well it fits, 0 to 1, see relevance().';
comment on column @extschema@.hit.words is 'BM25 score of the words, 0 to 1.';
comment on column @extschema@.hit.name_match is 'How well the name fits, letter by letter, 0 to 1.';
comment on column @extschema@.hit.similarity is 'Cosine of query and artifact; null without vectors.';
