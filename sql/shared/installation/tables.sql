-- What is there before the extension must be its administrator's: who owns the schema, or may create in it, could put
-- an overload beside a function that others call.
do $$
declare
    path constant pg_catalog.text := pg_catalog.current_setting('search_path');
    target record;
    stranger text;
begin
    perform pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
    select n.oid, r.rolname, r.rolsuper or r.rolname in (session_user, current_user, '@extension@_owner') as is_ours
    into target
    from pg_namespace n join pg_roles r on r.oid = n.nspowner
    where n.nspname = '@extschema@';
    if not target.is_ours then
        raise exception using errcode = 'insufficient_privilege',
            message = format('the schema @extschema@ is there already and belongs to %I', target.rolname),
            hint = 'Look at what is in it, then DROP SCHEMA @extschema@, or ALTER SCHEMA @extschema@ OWNER TO '
                'CURRENT_USER.';
    end if;
    select a.grantee::regrole::text into stranger
    from pg_namespace n cross join aclexplode(n.nspacl) a left join pg_roles r on r.oid = a.grantee
    where n.oid = target.oid and a.privilege_type = 'CREATE' and a.grantee <> n.nspowner
        and not coalesce(r.rolsuper, false)
    limit 1;
    if found then
        raise exception using errcode = 'insufficient_privilege',
            message = format('the schema @extschema@ is there already, and %s may create objects in it',
                case stranger when '-' then 'PUBLIC' else stranger end),
            hint = 'REVOKE CREATE ON SCHEMA @extschema@, or DROP SCHEMA @extschema@.';
    end if;
    select pg_describe_object(d.classid, d.objid, d.objsubid) into stranger
    from pg_depend d
    where d.refclassid = 'pg_namespace'::regclass and d.refobjid = target.oid and not (
        d.classid = 'pg_extension'::regclass
        and d.objid = (select e.oid from pg_extension e where e.extname = '@extension@')
    )
    limit 1;
    if found then
        raise exception using errcode = 'object_not_in_prerequisite_state',
            message = format('the schema @extschema@ is not empty: %s is not a member of extension @extension@',
                stranger),
            hint = 'Move or drop what is in it: the schema is the extension''s alone.';
    end if;
    perform pg_catalog.set_config('search_path', path, true);
end
$$;
