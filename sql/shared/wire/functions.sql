create or replace function @extschema@.encode_message(body jsonb) returns bytea
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$ select convert_to((body || '{"v": 1}'::jsonb)::text, 'UTF8') $$;

comment on function @extschema@.encode_message(jsonb) is 'The bytes of a message, with the schema version in it.';

create or replace function @extschema@.read_message(payload bytea) returns jsonb
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    body constant text := convert_from(payload, 'UTF8');
    number constant text := '(\[|:|,|\s)-?[0-9.]+[eE][-+]?[0-9]{4}';
begin
    -- a few bytes that become a hundred thousand digits; nobody whose JSON was a jsonb writes them
    if body ~ number and regexp_replace(body, '"([^"\\]|\\.)*"', '""', 'g') ~ number then
        raise exception using errcode = 'numeric_value_out_of_range',
            message = 'message has a number with an exponent of four digits or more';
    end if;
    return body::jsonb;
end
$$;

comment on function @extschema@.read_message(bytea)
is 'The JSON of a message; raises an error for bytes that are none, or that would take a multiple of their size.';

create or replace function @extschema@.decode_message(payload bytea) returns jsonb
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    body constant jsonb := @extschema@.read_message(payload);
    max_records constant integer := 1000;
    field text;
begin
    if jsonb_typeof(body) <> 'object' or jsonb_typeof(body -> 'type') is distinct from 'string' then
        raise exception using errcode = 'invalid_parameter_value', message = 'message is not a JSON object with a type';
    end if;
    if body -> 'v' is distinct from '1'::jsonb then
        raise exception using errcode = 'feature_not_supported',
            message = format('message of schema version %s, this side knows version 1',
                coalesce(@extschema@.printable(body ->> 'v'), 'none')),
            hint = 'Upgrade this side, then call replay_dead_letters().';
    end if;
    foreach field in array array['records', 'rows'] loop
        if jsonb_typeof(body -> field) = 'array' and jsonb_array_length(body -> field) > max_records then
            raise exception using errcode = 'program_limit_exceeded',
                message = format('message has %s %s, the limit is %s',
                    jsonb_array_length(body -> field), field, max_records);
        end if;
    end loop;
    if octet_length(body ->> 'epoch') > 100 then
        raise exception using errcode = 'invalid_parameter_value',
            message = format('epoch has %s bytes, the limit is 100', octet_length(body ->> 'epoch'));
    end if;
    return body;
end
$$;

comment on function @extschema@.decode_message(bytea)
is 'The JSON object of a message; raises an error for bytes that are not one, are of an unknown schema version or break the bounds '
'of a message.';

create or replace function @extschema@.number_in(body jsonb, field text) returns bigint
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    if coalesce(body -> field, 'null') = 'null' then
        return null;
    elsif jsonb_typeof(body -> field) = 'number' and body ->> field ~ '^[0-9]{1,16}$'
        and (body -> field)::bigint <= @extschema@.greatest_number() then
        return (body -> field)::bigint;
    end if;
    raise exception using errcode = 'invalid_parameter_value',
        message = format('%s is %s', field, @extschema@.printable(body ->> field));
end
$$;

comment on function @extschema@.number_in(jsonb, text)
is 'A number that a message says, null when it says none; raises 22023 for what is not between 0 and greatest_number().';

create or replace function @extschema@.message_limit() returns integer
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$ select coalesce((select b.max_payload from @extschema@.bridge_state as b), 1048576) / 2 $$;

comment on function @extschema@.message_limit() is 'Size at which batches and pages are cut, in bytes: half of the broker''s payload limit.';

create or replace function @extschema@.without_nulls(fields jsonb) returns jsonb
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    -- at the top only: what is in content is its author's, nulls and all
    return coalesce(
        (select jsonb_object_agg(f.key, f.value) from jsonb_each(fields) as f where f.value <> 'null'),
        case when fields is not null then '{}'::jsonb end
    );
end
$$;

comment on function @extschema@.without_nulls(jsonb) is 'A JSON object as it is sent: without the fields that are null.';

create or replace function @extschema@.encode_record(given @extschema@.wire_record) returns jsonb
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    -- versions before 0.3 know two fields by other names
    return @extschema@.without_nulls(
        to_jsonb(given)
        || jsonb_build_object('what', given.record_type, 'withdrawn_through', given.withdrawn_up_to)
    );
end
$$;

comment on function @extschema@.encode_record(@extschema@.wire_record) is 'A record as JSON, also for a reader of version 0.1 or 0.2.';

create or replace function @extschema@.read_record(given jsonb) returns @extschema@.wire_record
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    if given ? 'what' and not given ? 'record_type' then
        -- of version 0.1 or 0.2
        given := given
            || jsonb_build_object('record_type', given -> 'what', 'withdrawn_up_to', given -> 'withdrawn_through');
    end if;
    return jsonb_populate_record(null::@extschema@.wire_record, given);
end
$$;

comment on function @extschema@.read_record(jsonb) is 'A record from JSON, also of a writer of version 0.1 or 0.2.';

create or replace function @extschema@.topic_name(namespace text, kind text) returns text
language sql immutable parallel safe
begin atomic
    select namespace || '/' || kind;
end;

comment on function @extschema@.topic_name(text, text) is 'Name of a topic in messages: namespace/kind.';

create or replace function @extschema@.topic_parts(topic text, out namespace text, out kind text)
language sql immutable parallel safe
begin atomic
    select pg_catalog.split_part(topic, '/', 1) as namespace, pg_catalog.split_part(topic, '/', 2) as kind;
end;

comment on function @extschema@.topic_parts(text) is 'Namespace and kind of a topic that topic_name() named.';

create or replace function @extschema@.read_heads(heads jsonb)
returns table (namespace text, kind text, head bigint)
language sql immutable parallel safe
begin atomic
    select
        t.namespace,
        t.kind,
        h.value::bigint as head
    from jsonb_each_text(heads) as h
    cross join lateral @extschema@.topic_parts(h.key) as t
    where h.key ~ '^[a-z0-9_-]{1,64}/[a-z0-9_-]{1,64}$'
        -- up to greatest_number(); a number is text here, so that none is converted that is none
        and h.value ~ '^[0-9]{1,15}$';
end;

comment on function @extschema@.read_heads(jsonb)
is 'Topics and the numbers of their last changes, from a JSON object of namespace/kind and number; what is not valid is left out.';


create or replace function @extschema@.check_length(field text, list jsonb, greatest_length integer) returns void
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    if jsonb_typeof(list) is distinct from 'array' and list is not null then
        raise exception using errcode = 'invalid_parameter_value',
            message = format('%s is %s, not a list', field, jsonb_typeof(list)),
            hint = 'Send a JSON array, see messages.md.';
    end if;
    if jsonb_array_length(list) > greatest_length then
        raise exception using errcode = 'program_limit_exceeded',
            message = format('%s has %s entries, %s at most are taken',
                field, jsonb_array_length(list), greatest_length),
            hint = 'Send them in several messages.';
    end if;
end
$$;

comment on function @extschema@.check_length(text, jsonb, integer)
is 'Raises 54000 for a list of a message that is longer than what is taken at once, and 22023 for what is no list; a missing '
'one is short enough.';
