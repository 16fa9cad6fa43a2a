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
