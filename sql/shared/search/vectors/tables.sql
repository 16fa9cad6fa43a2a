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
