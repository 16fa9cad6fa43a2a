-- The contract that the shipped model's vectors have appears when the first vector is stored (see use_contract()).
create table @extschema@.embedding_contract (
    name text primary key,
    model text not null,
    revision text not null,
    dimensions integer not null check (dimensions between 1 and 16000),
    normalised boolean not null,
    created_at timestamptz not null default now()
);

comment on table @extschema@.embedding_contract
is 'What a vector was made by. Vectors of one contract may be compared, vectors of different ones never are.';
comment on column @extschema@.embedding_contract.name is 'Name that goes with every vector, the same on every machine.';
comment on column @extschema@.embedding_contract.model is 'The model that makes the vectors.';
comment on column @extschema@.embedding_contract.revision is 'Version of the model and of how texts are prepared for it.';
comment on column @extschema@.embedding_contract.dimensions is 'Number of dimensions of the vectors.';
comment on column @extschema@.embedding_contract.normalised is 'Whether every vector has length 1.';
comment on column @extschema@.embedding_contract.created_at is 'When the contract was first used or registered here.';

select pg_catalog.pg_extension_config_dump('@extschema@.embedding_contract', '');
