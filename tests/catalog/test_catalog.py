"""What the catalog says of both extensions, what they bring, take away, and leave to whom."""

from collections.abc import Iterator

import psycopg
import pytest
from tests.kit.queries import row, rows, value

from singularity_lab import Database, Lab

# the present state of a running bridge
NOT_DUMPED = {
    "singularity": {"bridge_state", "doorbell", "comparison", "reconciliation", "rejection"},
    "centralcloud": {"bridge_state", "doorbell", "rejection", "request_rate"},
}
GROUPS = {
    "singularity": {"singularity_reader", "singularity_writer", "singularity_admin", "singularity_bridge"},
    "centralcloud": {
        "centralcloud_reader",
        "centralcloud_curator",
        "centralcloud_admin",
        "centralcloud_bridge",
    },
}
# Everything that a database can hold, in words.
OBJECTS = """
    select pg_describe_object(classid, objid, objsubid) from (
        select 'pg_class'::regclass, oid, 0 from pg_class where oid >= 16384
        union all select 'pg_proc'::regclass, oid, 0 from pg_proc where oid >= 16384
        union all select 'pg_type'::regclass, oid, 0 from pg_type where oid >= 16384
        union all select 'pg_namespace'::regclass, oid, 0 from pg_namespace where oid >= 16384
        union all select 'pg_operator'::regclass, oid, 0 from pg_operator where oid >= 16384
        union all select 'pg_cast'::regclass, oid, 0 from pg_cast where oid >= 16384
        union all select 'pg_default_acl'::regclass, oid, 0 from pg_default_acl
        union all select 'pg_event_trigger'::regclass, oid, 0 from pg_event_trigger
        union all select 'pg_extension'::regclass, oid, 0 from pg_extension
    ) as o (classid, objid, objsubid)
    where classid <> 'pg_class'::regclass or objid::regclass::text not like 'pg_%'
"""


@pytest.fixture(params=["instance", "authority"])
def database(request: pytest.FixtureRequest) -> Database:
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Database)
    return found


@pytest.fixture
def catalog(database: Database) -> Iterator[psycopg.Connection]:
    with database.connect_superuser() as connection:
        yield connection


@pytest.fixture
def empty(database: Database) -> Iterator[psycopg.Connection]:
    """Open a superuser's connection to a database without the extension."""
    name = f"{database.name}_empty"
    database.cluster.create_database(name)
    with database.cluster.connect(name) as connection:
        yield connection
    database.cluster.drop_database(name)


def names(connection: psycopg.Connection, query: str, schema: str) -> list[str]:
    """Return the one column of a query with a schema's name as its parameter."""
    return [str(next(iter(found.values()))) for found in rows(connection, query, schema)]


def test_every_object_has_a_comment(database: Database, catalog: psycopg.Connection) -> None:
    silent = """
        with schema as (select %s::regnamespace as oid)
        select p.oid::regprocedure::text from pg_proc p, schema s
        where p.pronamespace = s.oid and obj_description(p.oid, 'pg_proc') is null
        union all
        select c.oid::regclass::text from pg_class c, schema s
        where c.relnamespace = s.oid and c.relkind in ('r', 'v', 'S')
            and obj_description(c.oid, 'pg_class') is null
            and not exists (select from pg_depend d where d.objid = c.oid and d.deptype = 'i')
        union all
        select c.oid::regclass || '.' || a.attname
        from pg_class c join pg_attribute a on a.attrelid = c.oid, schema s
        where c.relnamespace = s.oid and c.relkind in ('r', 'v', 'c') and a.attnum > 0 and not a.attisdropped
            and col_description(c.oid, a.attnum) is null
        union all
        select t.oid::regtype::text from pg_type t left join pg_class c on c.oid = t.typrelid, schema s
        where t.typnamespace = s.oid and t.typtype in ('e', 'c') and (c.oid is null or c.relkind = 'c')
            and obj_description(t.oid, 'pg_type') is null
    """
    assert names(catalog, silent, database.extension) == []


def test_schema_extension_and_roles_have_comments(database: Database, catalog: psycopg.Connection) -> None:
    assert value(catalog, "select obj_description(%s::regnamespace, 'pg_namespace')", database.extension)
    extension = "select obj_description(oid, 'pg_extension') from pg_extension where extname = %s"
    assert value(catalog, extension, database.extension)
    for group in GROUPS[database.extension] | {f"{database.extension}_owner"}:
        assert value(catalog, "select shobj_description(%s::regrole, 'pg_authid')", group)


def test_group_roles_are_only_groups(database: Database, catalog: psycopg.Connection) -> None:
    expected = [*GROUPS[database.extension], f"{database.extension}_owner"]
    groups = rows(catalog, "select * from pg_roles where rolname = any (%s)", expected)
    assert len(groups) == len(expected)
    for group in groups:
        powers = ["rolsuper", "rolcreaterole", "rolcreatedb", "rolcanlogin", "rolreplication", "rolbypassrls"]
        assert [power for power in powers if group[power]] == []


def test_every_function_says_where_it_looks(database: Database, catalog: psycopg.Connection) -> None:
    """Bodies in `begin atomic` are bound already; all others, and all that lend their rights, pin their search_path.

    What commits may not, and an aggregate has no body.
    """
    loose = r"""
        select p.oid::regprocedure::text from pg_proc as p
        where p.pronamespace = %s::regnamespace and p.prokind <> 'a'
            and not coalesce(p.proconfig @> array['search_path=pg_catalog, pg_temp'], false)
            and (
                p.prosecdef
                or p.prosqlbody is null
                and not (p.prokind = 'p' and p.prosrc ~ '\m((try_)?commit|maintain_search)\M')
            )
    """
    assert names(catalog, loose, database.extension) == []


def test_public_has_no_right_at_all(database: Database, catalog: psycopg.Connection) -> None:
    assert not value(
        catalog, "select has_schema_privilege('public', %s, 'usage, create')", database.extension
    )
    tables = """
        select c.relname from pg_class as c cross join lateral aclexplode(c.relacl) as a
        where c.relnamespace = %s::regnamespace and a.grantee = 0
    """
    assert names(catalog, tables, database.extension) == []
    functions = """
        select p.oid::regprocedure::text from pg_proc p
        where p.pronamespace = %s::regnamespace and has_function_privilege('public', p.oid, 'execute')
    """
    assert names(catalog, functions, database.extension) == []


def test_only_group_roles_have_rights_and_none_may_grant_them(
    database: Database, catalog: psycopg.Connection
) -> None:
    grants = rows(
        catalog,
        """
        select a.grantee::regrole::text as grantee, a.is_grantable
        from pg_class as c cross join lateral aclexplode(c.relacl) as a
        where c.relnamespace = %(schema)s::regnamespace and a.grantee <> c.relowner
        union all
        select a.grantee::regrole::text, a.is_grantable
        from pg_proc as p cross join lateral aclexplode(p.proacl) as a
        where p.pronamespace = %(schema)s::regnamespace and a.grantee <> p.proowner
        union all
        select a.grantee::regrole::text, a.is_grantable or a.privilege_type <> 'USAGE'
        from pg_namespace as n cross join lateral aclexplode(n.nspacl) as a
        where n.nspname = %(schema)s and a.grantee <> n.nspowner
        """.replace("%(schema)s", f"'{database.extension}'"),
    )
    assert {grant["grantee"] for grant in grants} == GROUPS[database.extension]
    assert not any(grant["is_grantable"] for grant in grants)


def test_tables_are_written_through_functions_only(database: Database, catalog: psycopg.Connection) -> None:
    writable = """
        select c.oid::regclass || ' ' || a.grantee::regrole || ' ' || a.privilege_type
        from pg_class c cross join lateral aclexplode(c.relacl) a
        where c.relnamespace = %s::regnamespace and a.grantee <> c.relowner and a.privilege_type <> 'SELECT'
    """
    assert names(catalog, writable, database.extension) == []


def test_there_are_no_triggers_and_no_rules(database: Database, catalog: psycopg.Connection) -> None:
    triggers = """
        select t.tgname from pg_trigger t join pg_class c on c.oid = t.tgrelid
        where c.relnamespace = %s::regnamespace and not t.tgisinternal
    """
    assert names(catalog, triggers, database.extension) == []
    rules = """
        select r.rulename from pg_rewrite as r join pg_class as c on c.oid = r.ev_class
        where c.relnamespace = %s::regnamespace and r.rulename <> '_RETURN'
    """
    assert names(catalog, rules, database.extension) == []
    assert rows(catalog, "select evtname from pg_event_trigger") == []


def test_every_data_table_and_sequence_is_dumped(database: Database, catalog: psycopg.Connection) -> None:
    forgotten = """
        select c.relname from pg_class c, pg_extension e
        where e.extname = %s and c.relnamespace = e.extnamespace and c.relkind in ('r', 'S')
            and not c.oid = any (e.extconfig)
    """
    assert set(names(catalog, forgotten, database.extension)) == NOT_DUMPED[database.extension]


def test_what_is_dumped_is_dumped_whole(database: Database, catalog: psycopg.Connection) -> None:
    conditions = value(
        catalog, "select extcondition from pg_extension where extname = %s", database.extension
    )
    assert set(conditions) == {""}


def test_plpgsql_check_accepts_every_function(database: Database, catalog: psycopg.Connection) -> None:
    catalog.execute("create extension plpgsql_check")
    # the contract gives some functions parameters that one side has no use for
    complaints = """
        select c.level || ': ' || p.oid::regprocedure || ' line ' || coalesce(c.lineno, 0) || ': ' || c.message
        from pg_proc as p join pg_language as l on l.oid = p.prolang and l.lanname = 'plpgsql'
        cross join lateral plpgsql_check_function_tb(
            p.oid::regprocedure, fatal_errors => false, all_warnings => true
        ) as c
        where p.pronamespace = %s::regnamespace and c.level in ('error', 'warning', 'warning extra')
            and not (c.level = 'warning extra' and c.message ~ 'unused parameter|unmodified OUT variable')
    """
    found = names(catalog, complaints, database.extension)
    assert not found, "\n".join(found)


def test_every_sql_body_can_be_made_again(database: Database, catalog: psycopg.Connection) -> None:
    """What pg_dump or an upgrade prints is accepted as it is; the install script does not check text bodies."""
    definitions = rows(
        catalog,
        """
        select p.prosqlbody is not null as bound, pg_get_functiondef(p.oid) as text
        from pg_proc as p join pg_language as l on l.oid = p.prolang
        where p.pronamespace = %s::regnamespace and l.lanname = 'sql'
        """,
        database.extension,
    )
    assert {definition["bound"] for definition in definitions} == {True, False}
    for definition in definitions:
        catalog.execute(definition["text"].encode())


def test_dropping_it_leaves_the_database_as_it_was(database: Database, empty: psycopg.Connection) -> None:
    needed = value(
        empty,
        "select string_agg(format('create extension if not exists %%I cascade', r), '; ') "
        "from (select unnest(requires) as r from pg_available_extension_versions where name = %s) as q",
        database.extension,
    )
    empty.execute(needed.encode())
    before = {found["pg_describe_object"] for found in rows(empty, OBJECTS)}
    empty.execute(f"create extension {database.extension}".encode())
    assert len({found["pg_describe_object"] for found in rows(empty, OBJECTS)} - before) > 100
    empty.execute(f"drop extension {database.extension}".encode())
    # PostgreSQL itself made the schema before the extension and keeps it, empty
    schema = {f"schema {database.extension}"}
    assert {found["pg_describe_object"] for found in rows(empty, OBJECTS)} - schema == before


def test_it_can_be_dropped_while_it_is_full(database: Database, catalog: psycopg.Connection) -> None:
    if database.extension == "singularity":
        catalog.execute("select singularity.learn('pattern', 'x', '1'), singularity.connect()")
    catalog.execute(f"drop extension {database.extension}".encode())
    catalog.execute(f"create extension {database.extension}".encode())
    assert value(catalog, f"select count(*) from {database.extension}.document") == 0


def test_both_work_side_by_side(database: Database, catalog: psycopg.Connection) -> None:
    other = {"singularity": "centralcloud", "centralcloud": "singularity"}[database.extension]
    catalog.execute(f"create extension {other}".encode())
    versions = "select extversion from pg_extension where extname = any (%s)"
    found = rows(catalog, versions, ["singularity", "centralcloud"])
    assert len(found) == 2
    assert len({one["extversion"] for one in found}) == 1
    catalog.execute("""select singularity.learn('pattern', 'zebra', '"stripes"')""")
    assert value(catalog, "select name from singularity.recall('stripes')") == "zebra"
    assert rows(catalog, "select * from centralcloud.search('stripes')") == []
    ids = row(
        catalog,
        "select singularity.artifact_id('a', 'b', 'c') as s, centralcloud.artifact_id('a', 'b', 'c') as c",
    )
    assert ids["s"] == ids["c"]
    catalog.execute(f"drop extension {other}".encode())
    survivor = "singularity.recall" if database.extension == "singularity" else "centralcloud.search"
    rows(catalog, f"select * from {survivor}('stripes')")


def test_it_replaces_nothing_that_was_there_before(database: Database, empty: psycopg.Connection) -> None:
    empty.execute(f"create schema {database.extension}".encode())
    empty.execute(
        f"create function {database.extension}.artifact_id(namespace text, kind text, name text) "
        "returns uuid language sql as $$ select null::uuid $$".encode()
    )
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="is not a member of extension"):
        empty.execute(f"create extension {database.extension} cascade".encode())
    assert value(empty, "select count(*) from pg_extension where extname = %s", database.extension) == 0


def test_it_needs_a_schema_of_its_own(database: Database, empty: psycopg.Connection) -> None:
    with pytest.raises(psycopg.errors.FeatureNotSupported, match="must be installed in schema"):
        empty.execute(f"create extension {database.extension} schema public".encode())


def test_the_script_is_not_run_by_hand(database: Database, empty: psycopg.Connection) -> None:
    cluster, version = (
        database.cluster,
        value(
            empty, "select default_version from pg_available_extensions where name = %s", database.extension
        ),
    )
    folder = value(empty, "select setting from pg_config where name = 'SHAREDIR'")
    script = f"{folder}/extension/{database.extension}--{version}.sql"
    said = cluster.tool("psql", "--no-psqlrc", "--file", script, database=empty.info.dbname)
    assert said.strip() == f'Use "CREATE EXTENSION {database.extension} CASCADE" to load this file.'
    assert value(empty, "select to_regnamespace(%s)", database.extension) is None


def test_a_fresh_server_gets_the_group_roles(lab: Lab) -> None:
    cluster = lab.cluster(fsync=False)
    with cluster.connect() as connection:
        everything = {group for groups in GROUPS.values() for group in groups}
        known = "select rolname from pg_roles where rolname = any (%s)"
        assert rows(connection, known, list(everything)) == []
        connection.execute("create extension singularity cascade")
        connection.execute("create extension centralcloud cascade")
        assert {found["rolname"] for found in rows(connection, known, list(everything))} == everything
        connection.execute("drop extension singularity, centralcloud")
        assert len(rows(connection, known, list(everything))) == len(everything)
        connection.execute("create extension singularity")
