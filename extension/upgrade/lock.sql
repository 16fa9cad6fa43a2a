-- At the start of an upgrade: all tables at once, or none. With locks taken one by one the upgrade and a bridge that works
-- meanwhile could each wait for the other.
do $$
declare
    waited constant pg_catalog.text := pg_catalog.current_setting('lock_timeout');
    path constant pg_catalog.text := pg_catalog.current_setting('search_path');
    tables text;
begin
    perform pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
    select string_agg(c.oid::regclass::text, ', ' order by c.oid) into tables
    from pg_class c where c.relnamespace = '@extschema@'::regnamespace and c.relkind = 'r';
    loop
        begin
            perform set_config('lock_timeout', '50ms', true);
            execute format('lock table %s in access exclusive mode', tables);
            exit;
        exception when lock_not_available or deadlock_detected then
            perform pg_sleep(0.05);
        end;
    end loop;
    perform set_config('lock_timeout', waited, true);
    perform set_config('search_path', path, true);
end
$$;
