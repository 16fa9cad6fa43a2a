"""What a schema consists of, as sets that can be compared: an upgraded extension must equal a fresh one."""

import psycopg

# Everything that \\d+, \\df+ and \\dx+ would show; names instead of oids.
QUERIES = {
    "column": """
        select format('%s %s.%s #%s %s%s%s default %s: %s', c.relkind, c.relname, a.attname,
            row_number() over (partition by c.oid order by a.attnum), format_type(a.atttypid, a.atttypmod),
            case when a.attnotnull then ' not null' end, a.attidentity,
            pg_get_expr(d.adbin, d.adrelid), col_description(c.oid, a.attnum))
        from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
        left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
        where c.relnamespace = :schema::regnamespace and c.relkind in ('r', 'v', 'c')
    """,
    "relation": """
        select format('%s %s of %s %s: %s', c.relkind, c.relname, c.relowner::regrole, (
            select string_agg(concat_ws(' ', a.grantee::regrole, a.privilege_type), ', ' order by 1)
            from (select e.grantee, e.privilege_type, concat(e.grantee::regrole, e.privilege_type)
                from aclexplode(c.relacl) e order by 3) as a
        ), obj_description(c.oid, 'pg_class'))
        from pg_class c where c.relnamespace = :schema::regnamespace
    """,
    "view": "select format('%s: %s', viewname, definition) from pg_views where schemaname = :schema",
    "constraint": """
        select format('%s %s: %s', conrelid::regclass, conname, pg_get_constraintdef(oid))
        from pg_constraint where connamespace = :schema::regnamespace
    """,
    "index": "select indexdef from pg_indexes where schemaname = :schema",
    "sequence": """
        select format('%s %s %s %s %s', seqrelid::regclass, seqtypid::regtype, seqstart, seqincrement, seqcycle)
        from pg_sequence join pg_class on oid = seqrelid where relnamespace = :schema::regnamespace
    """,
    "function": """
        select format('%s of %s %s: %s', pg_get_functiondef(p.oid), p.proowner::regrole, (
            select string_agg(g.grantee, ', ' order by g.grantee)
            from (select e.grantee::regrole::text as grantee from aclexplode(p.proacl) e) as g
        ), obj_description(p.oid, 'pg_proc'))
        from pg_proc p where p.pronamespace = :schema::regnamespace and p.prokind in ('f', 'p')
    """,
    "type": """
        select format('%s of %s %s %s: %s', t.typname, t.typowner::regrole, t.typtype, (
            select string_agg(e.enumlabel, ', ' order by e.enumsortorder) from pg_enum e where e.enumtypid = t.oid
        ), obj_description(t.oid, 'pg_type'))
        from pg_type t where t.typnamespace = :schema::regnamespace
    """,
    "member": """
        select pg_describe_object(d.classid, d.objid, d.objsubid) from pg_depend d
        join pg_extension e on d.refobjid = e.oid
        where d.refclassid = 'pg_extension'::regclass and d.deptype = 'e' and e.extname = :schema
    """,
    "dumped": """
        select format('%s where %s', c.relation::regclass, e.extcondition[c.n])
        from pg_extension e cross join lateral unnest(e.extconfig) with ordinality as c (relation, n)
        where e.extname = :schema
    """,
}


def catalog(connection: psycopg.Connection, schema: str) -> dict[str, set[str]]:
    """Return everything that the extension of this name consists of, by sort."""
    connection.execute("set search_path = pg_catalog, public")
    return {
        sort: {
            str(found) for (found,) in connection.execute(query.replace(":schema", f"'{schema}'").encode())
        }
        for sort, query in QUERIES.items()
    }


def differences(upgraded: dict[str, set[str]], fresh: dict[str, set[str]]) -> list[str]:
    """Say what only one of two catalogs has."""
    return [
        f"only {side} {sort}: {one}"
        for sort in fresh
        for side, here, there in (("upgraded", upgraded, fresh), ("fresh", fresh, upgraded))
        for one in sorted(here[sort] - there[sort])
    ]
