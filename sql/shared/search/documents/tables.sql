-- One row for the searchable text of an artifact. A changed text is a new row and the older ones are deleted, so that
-- who learns never waits for who learns the same thing; where both are there that of the greatest version is in force.
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
    weights sparsevec(1048576) not null,
    version bigint not null default -1
);

create index document_artifact on @extschema@.document (artifact_id, version, document_id);
create index document_unchecked on @extschema@.document (artifact_id) where version < 0;
create index document_words on @extschema@.document using gin (words) with (fastupdate = off);
create index document_name on @extschema@.document using gin (name gin_trgm_ops) with (fastupdate = off);

comment on table @extschema@.document is 'The searchable text of the best known version of each artifact.';
comment on column @extschema@.document.document_id is 'Number of the document; of several of one version the greatest is in force.';
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
comment on column @extschema@.document.version
is 'Version of what was in force of the artifact when the document was made; of several documents that of the greatest one is in '
'force. 0 for a central copy alone, -1 when it is not known: then the background checks the document.';

select pg_catalog.pg_extension_config_dump('@extschema@.document', '');
select pg_catalog.pg_extension_config_dump('@extschema@.document_document_id_seq', '');

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
    embedding vector,
    version bigint
);

comment on type @extschema@.searchable
is 'What a document is made from; all null but artifact_id and version for an artifact of which nothing is known any more.';
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
comment on column @extschema@.searchable.version is 'Version of what is in force of the artifact.';
