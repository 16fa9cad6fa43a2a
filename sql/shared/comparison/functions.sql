-- Both sides compare what they have by ranges of the artifact id, the first hex digits of which are the range's prefix.

create or replace function @extschema@.state_hash(variadic parts text[]) returns bigint
language sql immutable parallel safe
begin atomic
    select ('x' || left(md5(pg_catalog.array_to_string(parts, '/', '')), 16))::bit(64)::bigint;
end;

comment on function @extschema@.state_hash(text[])
is 'A number from the md5 of the parts of a state; see digest_of().';

create or replace function @extschema@.range_start(prefix text) returns uuid
language sql immutable parallel safe
begin atomic
    select pg_catalog.rpad(prefix, 32, '0')::uuid;
end;

comment on function @extschema@.range_start(text) is 'The least artifact id of a range.';

create or replace function @extschema@.range_end(prefix text) returns uuid
language sql immutable parallel safe
begin atomic
    select pg_catalog.rpad(prefix, 32, 'f')::uuid;
end;

comment on function @extschema@.range_end(text) is 'The greatest artifact id of a range.';

create or replace aggregate @extschema@.digest_of(bigint) ( -- noqa: PRS
    sfunc = pg_catalog.int8xor, stype = bigint, initcond = '0', finalfunc = pg_catalog.to_hex
);

comment on aggregate @extschema@.digest_of(bigint) is 'Digest of states, in hex: the exclusive or of what state_hash() makes of each.';
