-- In rising order, so that levels can be compared.
create type @extschema@.level as enum (
    'retracted', 'deprecated', 'candidate', 'low', 'medium', 'high', 'very_high'
);

comment on type @extschema@.level
is 'How far independent groups agree that a variant works: candidate (no outcome yet), low, medium, high, very_high; '
'deprecated and retracted are a curator''s word.';
