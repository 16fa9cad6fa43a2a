"""What the catalog says of both extensions: rights, comments, dumps, functions that plpgsql_check accepts."""

from collections.abc import Iterator

import psycopg
import pytest
from tests.support import rows

from singularity_lab import Database

# the present state of a running bridge
NOT_DUMPED = {
    "singularity": {"bridge_state", "doorbell", "comparison", "reconciliation"},
    "centralcloud": {"bridge_state", "doorbell"},
}


@pytest.fixture(params=["instance", "authority"])
def database(request: pytest.FixtureRequest) -> Database:
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Database)
    return found


@pytest.fixture
def catalog(database: Database) -> Iterator[psycopg.Connection]:
    with database.connect_superuser() as connection:
        yield connection


def names(connection: psycopg.Connection, query: str, schema: str) -> list[str]:
    """Return the one column of a query with a schema's name as its parameter."""
    return [str(next(iter(found.values()))) for found in rows(connection, query, schema)]


def test_definer_functions_pin_their_search_path(database: Database, catalog: psycopg.Connection) -> None:
    loose = """
        select p.oid::regprocedure::text from pg_proc p
        where p.pronamespace = %s::regnamespace and p.prosecdef
            and not coalesce(p.proconfig @> array['search_path=pg_catalog, pg_temp'], false)
    """
    assert names(catalog, loose, database.extension) == []


def test_nobody_may_call_anything_unless_it_is_granted(
    database: Database, catalog: psycopg.Connection
) -> None:
    public = """
        select p.oid::regprocedure::text from pg_proc p
        where p.pronamespace = %s::regnamespace and has_function_privilege('public', p.oid, 'execute')
    """
    assert names(catalog, public, database.extension) == []


def test_tables_are_written_through_functions_only(database: Database, catalog: psycopg.Connection) -> None:
    writable = """
        select c.oid::regclass || ' ' || a.grantee::regrole || ' ' || a.privilege_type
        from pg_class c cross join lateral aclexplode(c.relacl) a
        where c.relnamespace = %s::regnamespace and a.grantee <> c.relowner and a.privilege_type <> 'SELECT'
    """
    assert names(catalog, writable, database.extension) == []


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


def test_every_data_table_and_sequence_is_dumped(database: Database, catalog: psycopg.Connection) -> None:
    forgotten = """
        select c.relname from pg_class c, pg_extension e
        where e.extname = %s and c.relnamespace = e.extnamespace and c.relkind in ('r', 'S')
            and not c.oid = any (e.extconfig)
    """
    assert set(names(catalog, forgotten, database.extension)) == NOT_DUMPED[database.extension]


def test_there_are_no_triggers(database: Database, catalog: psycopg.Connection) -> None:
    triggers = """
        select t.tgname from pg_trigger t join pg_class c on c.oid = t.tgrelid
        where c.relnamespace = %s::regnamespace and not t.tgisinternal
    """
    assert names(catalog, triggers, database.extension) == []


def test_plpgsql_check_accepts_every_function(database: Database, catalog: psycopg.Connection) -> None:
    # the contract gives some functions parameters that one side has no use for
    idle = ("unused parameter", "unmodified OUT variable")
    catalog.execute("create extension plpgsql_check")
    complaints = """
        select p.oid::regprocedure || ' line ' || coalesce(c.lineno, 0) || ': ' || c.message
        from pg_proc p join pg_language l on l.oid = p.prolang and l.lanname = 'plpgsql'
        cross join lateral plpgsql_check_function_tb(
            p.oid::regprocedure, fatal_errors => false, extra_warnings => true
        ) c
        where p.pronamespace = %s::regnamespace
    """
    found = names(catalog, complaints, database.extension)
    assert [complaint for complaint in found if not any(words in complaint for words in idle)] == []


def test_sql_functions_are_valid(database: Database, catalog: psycopg.Connection) -> None:
    definitions = """
        select pg_get_functiondef(p.oid) from pg_proc p join pg_language l on l.oid = p.prolang
        where p.pronamespace = %s::regnamespace and l.lanname = 'sql' and p.prosqlbody is null
    """
    found = names(catalog, definitions, database.extension)
    assert found
    for definition in found:
        catalog.execute(definition.encode())  # checks the body, unlike the install script


def test_it_drops_cleanly(database: Database, catalog: psycopg.Connection) -> None:
    catalog.execute(f"drop extension {database.extension}".encode())
    assert (
        rows(
            catalog,
            "select from pg_proc p join pg_namespace n on n.oid = p.pronamespace where n.nspname = %s",
            database.extension,
        )
        == []
    )
    catalog.execute(f"create extension {database.extension}".encode())


def test_both_extensions_live_in_one_database(database: Database, catalog: psycopg.Connection) -> None:
    other = {"singularity": "centralcloud", "centralcloud": "singularity"}[database.extension]
    catalog.execute(f"create extension {other}".encode())
    found = rows(
        catalog, "select extversion from pg_extension where extname in ('singularity', 'centralcloud')"
    )
    assert len({row["extversion"] for row in found}) == 1
    assert len(found) == 2
