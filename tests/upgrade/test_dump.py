"""A dump restored is the same database: schema, privileges, rows and sequences, of either extension."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from tests.kit.queries import Row, rows
from tests.kit.relay import Relay
from tests.kit.speaker import Speaker
from tests.upgrade.catalog import catalog, differences
from tests.upgrade.conftest import CURRENT, EXTENSIONS, create

from singularity_lab import Cluster, Database

RESTORED = "restored_whole"


@pytest.fixture(params=EXTENSIONS)
def database(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[Database]:
    """Make a database with something in it, and with privileges that its owner gave."""
    one = create(cluster, f"dumped_{request.param}", request.param, CURRENT)
    with one.connect() as connection:
        if one.extension == "singularity":
            connection.execute("select singularity.connect()")
            connection.execute("select singularity.learn('pattern', 'thing', '\"zebra\"')")
            connection.execute("select singularity.record_outcome('pattern', 'thing', true)")
        else:
            relay, ann = Relay.of(one), Speaker(1)
            relay.give([ann.says(ann.holds("zebra", "thing"), ann.used(3, content="zebra", name="thing"))])
            relay.take("refined")
            relay.close()
    with one.connect_superuser() as connection:
        connection.execute(f"grant select on {one.extension}.setting to {one.stranger}".encode())
        connection.execute(f"grant usage on schema {one.extension} to {one.stranger}".encode())
        connection.execute(
            f"revoke execute on function {one.extension}.status() from {one.extension}_reader".encode()
        )
    yield one
    cluster.drop_database(one.name)


def contents(connection: psycopg.Connection, extension: str) -> dict[str, list[Row]]:
    """Return the rows of every dumped table, and where sequences stand."""
    tables = rows(
        connection,
        "select c.relname, c.relkind from pg_extension e cross join lateral unnest(e.extconfig) as t (oid) "
        "join pg_class c on c.oid = t.oid where e.extname = %s order by 1",
        extension,
    )
    shown = {"r": "t::text", "S": "last_value, is_called"}
    return {
        r["relname"]: rows(
            connection, f"select {shown[r['relkind']]} from {extension}.{r['relname']} t order by 1"
        )
        for r in tables
    }


@pytest.mark.parametrize("form", ["custom", "plain"])
def test_it_is_the_same_database(cluster: Cluster, database: Database, tmp_path: Path, form: str) -> None:
    file = tmp_path / "dump"
    cluster.tool("pg_dump", f"--format={form}", "--file", file, database=database.name)
    cluster.create_database(RESTORED)
    try:
        if form == "custom":
            cluster.tool("pg_restore", "--exit-on-error", "--dbname", RESTORED, file)
        else:
            cluster.tool(
                "psql",
                "--no-psqlrc",
                "--quiet",
                "--set",
                "ON_ERROR_STOP=1",
                "--file",
                file,
                database=RESTORED,
            )
        with database.connect_superuser() as original, cluster.connect(RESTORED) as restored:
            before, after = (contents(one, database.extension) for one in (original, restored))
            assert after == before
            assert sum(map(len, before.values())) > 10
            found, wanted = (catalog(one, database.extension) for one in (restored, original))
            assert differences(found, wanted) == []
    finally:
        cluster.drop_database(RESTORED)
