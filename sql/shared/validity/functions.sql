-- What is valid, once: learn() and learn_many() raise the reason, a receiving side refuses the record with it.

create or replace function @extschema@.hidden_characters() returns text
language sql immutable parallel safe
begin atomic
    -- by number: no editor can change them, and they do not depend on the locale as character classes do. Control
    -- characters of ASCII and Latin-1; the categories Cf, Zl and Zp and what is ignored by default (Unicode 14); U+2800
    select
        '[\u0001-\u001f\u007f-\u009f'
        '\u00ad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890-\u0891\u08e2\u115f-\u1160\u17b4-\u17b5\u180b-\u180f'
        '\u200b-\u200f\u2028-\u202e\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb'
        '\U000110bd\U000110cd\U00013430-\U0001345f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a'
        '\U000e0000-\U000e0fff]';
end;

comment on function @extschema@.hidden_characters()
is 'A regular expression for one character that is not seen as itself: control characters, format characters (zero-width, '
'direction-changing, tags), line separators, and what Unicode ignores by default, variation selectors among them.';

create or replace function @extschema@.printable(value text, max_length integer default 100) returns text
language plpgsql immutable parallel safe security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    shown constant text := left(value, max_length);
begin
    return case
        when shown ~ @extschema@.hidden_characters() then (
            select string_agg(case
                when c.value ~ @extschema@.hidden_characters() then format('<U+%s>',
                    lpad(upper(to_hex(ascii(c.value))), case when ascii(c.value) > 65535 then 6 else 4 end, '0'))
                else c.value
            end, '' order by c.n)
            from regexp_split_to_table(shown, '') with ordinality as c (value, n)
        )
        else shown
    end || case when length(value) > max_length then '…' else '' end;
end
$$;

comment on function @extschema@.printable(text, integer)
is 'What somebody else wrote, as it is put into a sentence for people: characters that are not seen as <U+202E>, cut after so many '
'characters.';

create or replace function @extschema@.record_refusal(given @extschema@.wire_record) returns @extschema@.refusal
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    return coalesce(
        @extschema@.key_refusal(given.namespace, given.kind, given.name),
        @extschema@.version_refusal(given.version),
        case given.record_type
            when 'holding' then @extschema@.holding_refusal(given)
            when 'evidence' then @extschema@.evidence_refusal(given)
            else @extschema@.refuse('22023',
                format('%L is neither holding nor evidence', @extschema@.printable(given.record_type)))
        end,
        -- what was learned before this rule can be withdrawn
        case when given.record_type <> 'holding' or given.variant is not null
            then @extschema@.hidden_refusal(given.name, 'name') end,
        case when given.seal !~ '^[0-9a-f]{64}$' then @extschema@.refuse('22023', 'seal is not a sha-256 in hex') end
    );
end
$$;

comment on function @extschema@.record_refusal(@extschema@.wire_record)
is 'Why a record of a contribution, or one that the authority gives back, is not valid; null when it is.';

create or replace function @extschema@.holding_refusal(given @extschema@.wire_record) returns @extschema@.refusal
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    return coalesce(
        case
            when not coalesce(given.withdrawn_up_to, 0) between 0 and given.version
                then @extschema@.refuse('22023', 'it is withdrawn in its own future')
            when given.variant is not null then coalesce(
                @extschema@.content_refusal(given.content), @extschema@.variant_refusal(given.variant, given.content)
            )
            when given.withdrawn_up_to is distinct from given.version
                then @extschema@.refuse('22023', 'it has no variant and is not withdrawn')
        end,
        @extschema@.summary_refusal(given.summary), @extschema@.tags_refusal(given.tags)
    );
end
$$;

comment on function @extschema@.holding_refusal(@extschema@.wire_record) is 'Why the state of a holding is not valid; null when it is.';

create or replace function @extschema@.evidence_refusal(given @extschema@.wire_record) returns @extschema@.refusal
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    return case
        when given.incarnation is null or given.last_used_at is null
            then @extschema@.refuse('22004', 'incarnation or last_used_at is missing')
        when not isfinite(given.last_used_at) then @extschema@.refuse('22023', 'last_used_at is not finite')
        else coalesce(
            @extschema@.variant_refusal(given.variant),
            @extschema@.counters_refusal(given.uses, given.successes, given.failures)
        )
    end;
end
$$;

comment on function @extschema@.evidence_refusal(@extschema@.wire_record) is 'Why the state of evidence is not valid; null when it is.';

create or replace function @extschema@.refined_refusal(given @extschema@.wire_refined) returns @extschema@.refusal
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    return coalesce(
        @extschema@.key_refusal(given.namespace, given.kind, given.name),
        case
            -- 0 before it is published
            when not coalesce(given.revision between 0 and @extschema@.greatest_number(), false)
                then @extschema@.refuse('22023', format('revision is %s', coalesce(given.revision::text, 'missing')))
            when given.removed then null
            when given.level is null then @extschema@.refuse('22004', 'level is missing')
            when not coalesce(given.confidence between 0 and 1, false)
                then @extschema@.refuse('22023',
                    format('confidence is %s', coalesce(given.confidence::text, 'missing')))
            else coalesce(
                @extschema@.content_refusal(given.content), @extschema@.variant_refusal(given.variant, given.content),
                -- tags and counters are those of all instances together
                @extschema@.summary_refusal(given.summary), @extschema@.tags_refusal(given.tags, max_tags => 4096),
                @extschema@.hidden_refusal(given.name, 'name'),
                case when not coalesce(
                    given.successes between 0 and given.uses and given.uses <= @extschema@.greatest_number(), false
                ) or given.holders < 0 or given.vouching < 0
                    then @extschema@.refuse('22023', 'counters do not add up') end
            )
        end
    );
end
$$;

comment on function @extschema@.refined_refusal(@extschema@.wire_refined) is 'Why an artifact that the authority sends is not valid; null when it is.';

create or replace function @extschema@.key_refusal(namespace text, kind text, name text) returns @extschema@.refusal
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    return coalesce(
        @extschema@.token_refusal(namespace, 'namespace'), @extschema@.token_refusal(kind, 'kind'),
        @extschema@.name_refusal(name)
    );
end
$$;

comment on function @extschema@.key_refusal(text, text, text) is 'Why namespace, kind and name are no key of an artifact; null when they are.';

create or replace function @extschema@.token_refusal(value text, field text) returns @extschema@.refusal
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    if value ~ '^[a-z0-9_-]{1,64}$' then
        return null;
    end if;
    return @extschema@.refuse(
        case when value is null then '22004' else '22023' end,
        case
            when value is null then field || ' must not be null'
            else format('%s %L is not valid', field, @extschema@.printable(value))
        end,
        format('A %s has 1 to 64 characters out of a to z, 0 to 9, _ and -.', field)
    );
end
$$;

comment on function @extschema@.token_refusal(text, text)
is 'Why a namespace or kind (the field says which) is not valid; null when it is.';

create or replace function @extschema@.name_refusal(name text) returns @extschema@.refusal
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    blank constant text := '[\u0020\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]';
    shown constant text := @extschema@.printable(name);
    reason constant text := case
        when name is null then 'name must not be null'
        when octet_length(name) not between 1 and 512 then format('name %L has %s bytes', shown, octet_length(name))
        when name <> normalize(name, nfc) then format('name %L is not in Unicode form NFC', shown)
        when name ~ '[\u0001-\u001f\u007f-\u009f]' or name ~ ('^' || blank || '|' || blank || '$')
            then format('name %L has control characters or outer blanks', shown)
    end;
begin
    if reason is null then
        return null;
    end if;
    return @extschema@.refuse(
        case when name is null then '22004' else '22023' end, reason,
        'A name has 1 to 512 bytes, no control characters and no outer blanks.'
    );
end
$$;

comment on function @extschema@.name_refusal(text)
is 'Why a name is not valid; null when it is. One with invisible characters, which an older version took, is: see hidden_refusal().';

create or replace function @extschema@.hidden_refusal(value text, field text) returns @extschema@.refusal
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    if value ~ @extschema@.hidden_characters() then
        return @extschema@.refuse('22023',
            format('%s %L has invisible or direction-changing characters', field, @extschema@.printable(value)),
            format('Leave them out: in a %s zero-width, format and control characters and variation selectors are not '
                'allowed.', field));
    end if;
    return null;
end
$$;

comment on function @extschema@.hidden_refusal(text, text)
is 'Why a name or tag (the field says which) is not learned: it has characters that nobody sees; null when it has none.';

create or replace function @extschema@.content_refusal(content jsonb) returns @extschema@.refusal
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    size constant integer := octet_length(content::text);
    max_depth constant integer := 200;
begin
    if content is null or jsonb_typeof(content) = 'null' then
        return @extschema@.refuse('22004', 'content must not be null',
            'Pass any other JSON: an object, an array, a string, a number or a boolean.');
    elsif size > @extschema@.content_limit() then
        return @extschema@.refuse('54000',
            format('content has %s bytes, the limit is %s', size, @extschema@.content_limit()),
            'Store the large part elsewhere and keep a reference, or divide the artifact.');
    elsif size > 2 * max_depth
        and jsonb_path_exists(content, 'strict $.**{200} ? (@.type() == "object" || @.type() == "array")') then
        return @extschema@.refuse('54000', format('content is nested deeper than %s levels', max_depth),
            'Flatten it, or keep the deep part as text.');
    end if;
    return null;
end
$$;

comment on function @extschema@.content_refusal(jsonb)
is 'Why content is not valid: null, larger than content_limit() or nested deeper than 200 levels; null when it is.';

create or replace function @extschema@.summary_refusal(summary text) returns @extschema@.refusal
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    if octet_length(summary) > 4096 then
        return @extschema@.refuse('54000', format('summary has %s bytes, the limit is 4096', octet_length(summary)),
            'Keep the summary to a few sentences; the rest belongs into content.');
    end if;
    return null;
end
$$;

comment on function @extschema@.summary_refusal(text) is 'Why a summary is not valid: over 4096 bytes; null when it is.';

create or replace function @extschema@.tags_refusal(tags text[], max_tags integer default 64)
returns @extschema@.refusal
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    tag text;
begin
    if cardinality(tags) > max_tags then
        return @extschema@.refuse('54000', format('there are %s tags, the limit is %s', cardinality(tags), max_tags),
            'Keep the tags that people search by.');
    end if;
    if array_ndims(tags) > 1 then
        return @extschema@.refuse('22023', 'tags are lists of tags', 'Pass one list of tags.');
    end if;
    foreach tag in array coalesce(tags, '{}') loop
        if tag is null or octet_length(tag) not between 1 and 128 then
            return @extschema@.refuse('22023', format('tag %L is not valid', @extschema@.printable(tag)),
                'A tag has 1 to 128 bytes.');
        end if;
        if tag ~ @extschema@.hidden_characters() then
            return @extschema@.hidden_refusal(tag, 'tag');
        end if;
    end loop;
    return null;
end
$$;

comment on function @extschema@.tags_refusal(text[], integer)
is 'Why tags are not valid: too many, or one that is null, not 1 to 128 bytes or has invisible characters; null when they are.';

create or replace function @extschema@.greatest_number() returns bigint
language sql immutable parallel safe
begin atomic
    select 9007199254740991;
end;

comment on function @extschema@.greatest_number()
is 'The greatest number that is taken from outside, 2^53 - 1: far from where bigint ends, so that counting on never fails.';

create or replace function @extschema@.is_leap(version bigint, known bigint, most bigint) returns boolean
language sql immutable parallel safe
begin atomic
    select version - known > most;
end;

comment on function @extschema@.is_leap(bigint, bigint, bigint)
is 'Whether a version is further above what is known than can have been counted meanwhile. An instance follows the authority over '
'2^40, which is a million a second for twelve days, and the authority an instance over 2^44, so that one is not left behind that '
'was led too far.';

create or replace function @extschema@.version_refusal(version bigint) returns @extschema@.refusal
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    if version between 1 and @extschema@.greatest_number() then
        return null;
    end if;
    return @extschema@.refuse('22023', format('version is %s', coalesce(version || ', out of range', 'missing')));
end
$$;

comment on function @extschema@.version_refusal(bigint) is 'Why the number of a state is not valid; null when it is.';

create or replace function @extschema@.variant_refusal(variant text, content jsonb default null)
returns @extschema@.refusal
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    return case
        when variant is null then @extschema@.refuse('22004', 'variant is missing')
        when variant !~ '^[0-9a-f]{64}$' then @extschema@.refuse('22023', 'variant is not a sha-256 in hex')
        when variant <> @extschema@.variant_of(content)
            then @extschema@.refuse('22023', 'variant is not the hash of the content')
    end;
end
$$;

comment on function @extschema@.variant_refusal(text, jsonb)
is 'Why the key of a content is not valid, or not that of the content when one is given; null when it is.';

create or replace function @extschema@.counters_refusal(uses bigint, successes bigint, failures bigint)
returns @extschema@.refusal
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    return case
        when num_nulls(uses, successes, failures) > 0 then @extschema@.refuse('22004', 'counters are missing')
        -- so that the sum over all instances stays a bigint
        when greatest(uses, successes, failures) > 1000000000000
            then @extschema@.refuse('22023', 'counters are out of range')
        when least(uses, successes, failures) < 0 or uses is distinct from successes + failures
            then @extschema@.refuse('22023', 'counters do not add up')
    end;
end
$$;

comment on function @extschema@.counters_refusal(bigint, bigint, bigint) is 'Why counters of outcomes are not valid; null when they are.';

create or replace function @extschema@.refuse(error_code text, reason text, hint text default null)
returns @extschema@.refusal
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    made @extschema@.refusal;
begin
    made.error_code := refuse.error_code;
    made.reason := refuse.reason;
    made.hint := refuse.hint;
    return made;
end
$$;

comment on function @extschema@.refuse(text, text, text) is 'A refusal of these parts.';

create or replace function @extschema@.raise_refusal(given @extschema@.refusal) returns void
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    if given.hint is not null then
        raise exception using errcode = given.error_code, message = given.reason, hint = given.hint;
    elsif given.reason is not null then
        raise exception using errcode = given.error_code, message = given.reason;
    end if;
end
$$;

comment on function @extschema@.raise_refusal(@extschema@.refusal) is 'Raises a refusal as an error; does nothing for null.';

create or replace function @extschema@.check_token(value text, field text) returns text
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    perform @extschema@.raise_refusal(@extschema@.token_refusal(value, field));
    return value;
end
$$;

comment on function @extschema@.check_token(text, text)
is 'Returns a namespace or kind that fits its grammar; raises 22004 or 22023 otherwise.';

create or replace function @extschema@.check_key(
    inout namespace text, inout kind text, inout name text, out artifact_id uuid
)
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    name := normalize(name, nfc);
    perform @extschema@.raise_refusal(@extschema@.key_refusal(namespace, kind, name));
    artifact_id := @extschema@.artifact_id(namespace, kind, name);
end
$$;

comment on function @extschema@.check_key(text, text, text)
is 'The key of an artifact, its name in Unicode form NFC, with the id; raises 22004 or 22023 for what is not valid.';
