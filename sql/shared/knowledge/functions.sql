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

create or replace function @extschema@.check_token(value text, what text) returns text
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    if value is null then
        raise exception using errcode = 'null_value_not_allowed', message = format('%s must not be null', what),
            hint = format('A %s has 1 to 64 characters out of a to z, 0 to 9, _ and -.', what);
    end if;
    if value !~ '^[a-z0-9_-]{1,64}$' then
        raise exception using errcode = 'invalid_parameter_value',
            message = format('%s %L is not valid', what, left(value, 100)),
            hint = format('A %s has 1 to 64 characters out of a to z, 0 to 9, _ and -.', what);
    end if;
    return value;
end
$$;

comment on function @extschema@.check_token(text, text)
is 'Returns a namespace or kind that fits its grammar; raises 22004 or 22023 otherwise.';

create or replace function @extschema@.check_name(name text) returns text
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    blank constant text := '[\u0020\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]';
    result text := normalize(name, nfc);
begin
    if result is null then
        raise exception using errcode = 'null_value_not_allowed', message = 'name must not be null',
            hint = 'A name has 1 to 512 bytes.';
    end if;
    if octet_length(result) not between 1 and 512 then
        raise exception using errcode = 'invalid_parameter_value',
            message = format('name %L has %s bytes', left(result, 100), octet_length(result)),
            hint = 'A name has 1 to 512 bytes.';
    end if;
    -- The control characters of ASCII and Latin-1 and the blanks of Unicode, by number: no editor can change them, and
    -- they do not depend on the locale as \s does.
    if result ~ '[\u0001-\u001f\u007f-\u009f]' or result ~ ('^' || blank || '|' || blank || '$') then
        raise exception using errcode = 'invalid_parameter_value',
            message = format('name %L has control characters or outer blanks', left(result, 100)),
            hint = 'Trim the name and leave control characters out.';
    end if;
    return result;
end
$$;

comment on function @extschema@.check_name(text)
is 'Returns a name in Unicode form NFC; raises 22004 or 22023 when it is null, not 1 to 512 bytes, '
'or has control characters or outer blanks.';

create or replace function @extschema@.check_content(content jsonb) returns jsonb
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    size integer := octet_length(content::text);
begin
    if content is null or jsonb_typeof(content) = 'null' then
        raise exception using errcode = 'null_value_not_allowed', message = 'content must not be null',
            hint = 'Pass any other JSON: an object, an array, a string, a number or a boolean.';
    end if;
    if size > @extschema@.content_limit() then
        raise exception using errcode = 'program_limit_exceeded',
            message = format('content has %s bytes, the limit is %s', size, @extschema@.content_limit()),
            hint = 'Store the large part elsewhere and keep a reference, or divide the artifact.';
    end if;
    return content;
end
$$;

comment on function @extschema@.check_content(jsonb)
is 'Returns content that may be learned; raises 22004 when it is null and 54000 when it is larger than content_limit().';

create or replace function @extschema@.check_summary(summary text) returns text
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    if octet_length(summary) > 4096 then
        raise exception using errcode = 'program_limit_exceeded',
            message = format('summary has %s bytes, the limit is 4096', octet_length(summary)),
            hint = 'Keep the summary to a few sentences; the rest belongs into content.';
    end if;
    return summary;
end
$$;

comment on function @extschema@.check_summary(text) is 'Returns a summary of at most 4096 bytes; raises 54000 otherwise.';

create or replace function @extschema@.check_tags(tags text[]) returns text[]
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    tag text;
begin
    if cardinality(tags) > 64 then
        raise exception using errcode = 'program_limit_exceeded',
            message = format('there are %s tags, the limit is 64', cardinality(tags)),
            hint = 'Keep the tags that people search by.';
    end if;
    foreach tag in array coalesce(tags, '{}') loop
        if tag is null or octet_length(tag) not between 1 and 128 then
            raise exception using errcode = 'invalid_parameter_value',
                message = format('tag %L is not valid', left(tag, 100)),
                hint = 'A tag has 1 to 128 bytes.';
        end if;
    end loop;
    return (select array_agg(distinct t order by t) from unnest(tags) as t);
end
$$;

comment on function @extschema@.check_tags(text[])
is 'Returns tags sorted and without repetition (null for none); raises 54000 for more than 64, 22023 for a tag that is '
'null or not 1 to 128 bytes.';

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
