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
    change integer not null,
    transaction_id xid8 not null default pg_current_xact_id()
);

comment on table @extschema@.lexeme_change
is 'Documents that came or went and are not counted in lexeme yet. Who changes what is known of an artifact leaves a row, and '
'the background looks at the artifact again after the commit.';
comment on column @extschema@.lexeme_change.artifact_id is 'Id of the artifact.';
comment on column @extschema@.lexeme_change.words is 'The lexemes of the document.';
comment on column @extschema@.lexeme_change.change is '1 for a document that came, -1 for one that went, 0 for an artifact to look at again.';
comment on column @extschema@.lexeme_change.transaction_id is 'The transaction that left it.';

select pg_catalog.pg_extension_config_dump('@extschema@.lexeme_change', '');
