-- One row for the searchable text of an artifact. A changed text is a new row and the older ones are deleted, so that
-- who learns never waits for who learns the same thing; where both are there the greatest document_id is in force.
create table @extschema@.document (
    document_id bigint generated always as identity primary key,
    artifact_id uuid not null,
    namespace text not null,
    kind text not null,
    name text not null,
    tags text[] not null,
    words tsvector not null
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
comment on column @extschema@.document.tags is 'Labels of the artifact.';
comment on column @extschema@.document.words is 'Lexemes of name (A), summary (B), tags (C) and the text in content (D).';

select pg_catalog.pg_extension_config_dump('@extschema@.document', '');
select pg_catalog.pg_extension_config_dump('@extschema@.document_document_id_seq', '');
