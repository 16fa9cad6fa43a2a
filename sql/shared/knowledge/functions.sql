create or replace function @extschema@.artifact_id(namespace text, kind text, name text) returns uuid
language plpgsql immutable strict parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    parts bytea := ''::bytea;
    part bytea;
begin
    foreach part in array array[
        convert_to(namespace, 'UTF8'), convert_to(kind, 'UTF8'), convert_to(name, 'UTF8')
    ] loop
        parts := parts || int4send(length(part)) || part;
    end loop;
    parts := substring(sha256(parts) for 16);
    -- the bits that make it a UUID of version 8 (RFC 9562)
    parts := set_byte(set_byte(parts, 6, get_byte(parts, 6) & 15 | 128), 8, get_byte(parts, 8) & 63 | 128);
    return encode(parts, 'hex')::uuid;
end
$$;

comment on function @extschema@.artifact_id(text, text, text)
is 'Id of an artifact, the same on every machine: a UUID of version 8 from a sha-256 over the length-prefixed '
'namespace, kind and name.';

create or replace function @extschema@.variant_of(content jsonb) returns text
language plpgsql immutable strict parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    return encode(sha256(convert_to(content::text, 'UTF8')), 'hex');
end
$$;

comment on function @extschema@.variant_of(jsonb) is 'Key of one content: the sha-256 of its jsonb text, in hex.';

create or replace function @extschema@.content_limit() returns integer
language sql immutable parallel safe
begin atomic
    select 262144;
end;

comment on function @extschema@.content_limit() is 'Greatest size of an artifact''s content, in bytes of its jsonb text.';

create or replace function @extschema@.default_group_cap() returns double precision
language sql immutable parallel safe
begin atomic
    select 8::double precision;
end;

comment on function @extschema@.default_group_cap()
is 'How many outcomes of one group count for a variant, unless the authority''s setting group_cap says otherwise.';

create or replace function @extschema@.wilson_lower_bound(successes double precision, failures double precision)
returns double precision
language plpgsql immutable strict parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    z constant double precision := 1.96;
    n double precision := successes + failures;
    p double precision;
begin
    -- nothing, or so little that its square would underflow
    if n < 1e-9 then
        return 0;
    end if;
    p := case when successes < 1e-9 then 0 else successes / n end;
    return greatest(0, (p + z * z / (2 * n) - z * sqrt((p * (1 - p) + z * z / (4 * n)) / n)) / (1 + z * z / n));
end
$$;

comment on function @extschema@.wilson_lower_bound(double precision, double precision)
is 'Lower bound of the Wilson score interval of a success rate at 95 % (z = 1.96), 0 to 1; the counts may be weighted. '
'Source: E. B. Wilson, Probable inference, the law of succession, and statistical inference, JASA 22 (1927).';
