-- What makes the extension give nobody a right: who its objects belong to, and what they are bound to.

create or replace function @extschema@.give_to_owner() returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    command text;
begin
    for command in
        with member as (
            select d.classid, d.objid
            from pg_depend d join pg_extension e on d.refclassid = 'pg_extension'::regclass and d.refobjid = e.oid
            where d.deptype = 'e' and e.extname = '@extension@'
        )
        select format('alter routine %s owner to @extension@_owner', m.objid::regprocedure)
        from member m where m.classid = 'pg_proc'::regclass
        union all
        -- the sequence of an identity column follows its table
        select format('alter table %s owner to @extension@_owner', c.oid::regclass)
        from member m join pg_class c on m.classid = 'pg_class'::regclass and m.objid = c.oid
        where c.relkind in ('r', 'v') or c.relkind = 'S' and not exists (
            select from pg_depend d where d.classid = m.classid and d.objid = m.objid and d.deptype = 'i'
        )
        union all
        select format('alter type %s owner to @extension@_owner', t.oid::regtype)
        from member m join pg_type t on m.classid = 'pg_type'::regclass and m.objid = t.oid
            left join pg_class c on c.oid = t.typrelid
        where t.typtype in ('e', 'd', 'r') or t.typtype = 'c' and c.relkind = 'c'
        union all
        -- its functions name things of the extensions that are needed, wherever those were put
        select format('grant usage on schema %I to @extension@_owner', n.nspname)
        from pg_extension e join pg_namespace n on n.oid = e.extnamespace
        where e.extname in ('vector', 'pg_trgm') and not has_schema_privilege('@extension@_owner', n.oid, 'usage')
    loop
        execute command;
    end loop;
    alter schema @extschema@ owner to @extension@_owner;
end
$$;

comment on function @extschema@.give_to_owner()
is 'Makes the role @extension@_owner, which is no superuser, the owner of the schema and of the extension''s objects, so that a function with '
'its owner''s rights can do no more than that role. Called at the end of installation and of each upgrade.';

create or replace function @extschema@.foreign_dependencies()
returns table (object text, depends_on text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return query
    with recursive own (classid, objid) as (
        select d.classid, d.objid
        from pg_depend d join pg_extension e on d.refclassid = 'pg_extension'::regclass and d.refobjid = e.oid
        where d.deptype = 'e' and e.extname = '@extension@'
        union
        -- rules, defaults, constraints, indexes, row types
        select d.classid, d.objid
        from own o join pg_depend d on d.refclassid = o.classid and d.refobjid = o.objid
        where d.deptype in ('a', 'i')
    ), needed (classid, objid) as (
        -- who owns one of those extensions could add a function of his own to it
        select d.classid, d.objid
        from pg_depend d join pg_extension e on d.refclassid = 'pg_extension'::regclass and d.refobjid = e.oid
        where d.deptype = 'e' and e.extname in ('vector', 'pg_trgm', 'plpython3u') and not exists (
            select from pg_shdepend s join pg_roles r on r.oid = s.refobjid
            where s.refclassid = 'pg_authid'::regclass and s.deptype = 'o' and not r.rolsuper
                and s.dbid = (select b.oid from pg_database b where b.datname = current_database())
                and s.classid = d.classid and s.objid = d.objid
        )
        union
        select d.classid, d.objid
        from needed m join pg_depend d on d.refclassid = m.classid and d.refobjid = m.objid
        where d.deptype = 'i'
    )
    select distinct pg_describe_object(d.classid, d.objid, d.objsubid),
        pg_describe_object(d.refclassid, d.refobjid, d.refobjsubid)
    from own o join pg_depend d on d.classid = o.classid and d.objid = o.objid
    -- what is numbered below came with the server
    where d.refobjid >= 16384 and d.deptype <> 'e'
        and not exists (select from own x where x.classid = d.refclassid and x.objid = d.refobjid)
        and not exists (select from needed x where x.classid = d.refclassid and x.objid = d.refobjid)
        and not (d.refclassid = 'pg_namespace'::regclass and d.refobjid = '@extschema@'::regnamespace)
        and not (d.refclassid = 'pg_extension'::regclass and d.refobjid in (
            select e.oid from pg_extension e where e.extname in ('vector', 'pg_trgm', 'plpython3u')
        ))
    union all
    -- an overload beside a function of the extension
    select 'schema @extschema@', pg_describe_object(d.classid, d.objid, d.objsubid)
    from pg_depend d
        join pg_shdepend s on s.classid = d.classid and s.objid = d.objid and s.deptype = 'o'
        join pg_roles r on r.oid = s.refobjid
    where d.refclassid = 'pg_namespace'::regclass and d.refobjid = '@extschema@'::regnamespace
        and s.dbid = (select b.oid from pg_database b where b.datname = current_database())
        and not r.rolsuper and r.rolname <> '@extension@_owner'
        and not exists (select from own x where x.classid = d.classid and x.objid = d.objid)
    union all
    -- who may drop what is needed could drop what needs it
    select 'extension @extension@', format('extension %s, whose owner is %I', e.extname, r.rolname)
    from pg_extension e join pg_namespace n on n.oid = e.extnamespace
        join pg_roles r on r.oid in (e.extowner, n.nspowner)
    where e.extname in ('vector', 'pg_trgm', 'plpython3u') and not r.rolsuper and r.rolname <> 'pg_database_owner'
        and r.oid <> (select b.datdba from pg_database b where b.datname = current_database())
    order by 1, 2;
end
$$;

comment on function @extschema@.foreign_dependencies()
is 'Objects of this extension, and what they depend on (or what lies beside them) that is neither the server''s, nor the '
'extension''s own, nor a part of vector, pg_trgm or plpython3u as a superuser installed them: what somebody planted.';
