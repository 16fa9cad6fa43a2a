-- Before the other grants, which the owner makes. Beyond what it owns it reads pg_config() and who is connected.
select @extschema@.give_to_owner();
grant execute on function pg_catalog.pg_config() to @extension@_owner;
grant pg_read_all_stats to @extension@_owner;

do $$
declare
    path constant pg_catalog.text := pg_catalog.current_setting('search_path');
    found_one record;
begin
    perform pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
    select f.object, f.depends_on into found_one from @extschema@.foreign_dependencies() f limit 1;
    if found then
        raise exception using errcode = 'insufficient_privilege',
            message = format('%s would depend on %s, which is not an administrator''s',
                found_one.object, found_one.depends_on),
            hint = 'Somebody may have put it there to be run by others: drop it, and try again.';
    end if;
    perform pg_catalog.set_config('search_path', path, true);
end
$$;
