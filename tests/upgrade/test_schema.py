"""Upgrading from any released version gives the schema of a fresh install, with the data kept."""

from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb
from tests.support import Row, rows
from tests.upgrade.catalog import catalog, differences
from tests.upgrade.conftest import CURRENT, EXTENSIONS, RELEASED, Extension, create, update

from singularity_lab import Cluster, Database


@pytest.fixture
def old(cluster: Cluster, request: pytest.FixtureRequest) -> Any:
    """Make a database of a released version; it is dropped afterwards."""
    extension, version = request.param
    database = create(cluster, f"old_{extension}", extension, version)
    yield database
    cluster.drop_database(database.name)


FROM = [(extension, version) for extension in EXTENSIONS for version in RELEASED]
INSTANCE = [("singularity", version) for version in RELEASED]


def test_there_is_a_released_version() -> None:
    assert RELEASED
    assert CURRENT not in RELEASED


def fresh_catalog(cluster: Cluster, extension: Extension) -> dict[str, set[str]]:
    database = create(cluster, f"fresh_{extension}", extension, CURRENT)
    with database.connect_superuser() as connection:
        found = catalog(connection, extension)
    cluster.drop_database(database.name)
    return found


@pytest.mark.parametrize("old", FROM, indirect=True, ids="-".join)
def test_upgraded_equals_fresh(cluster: Cluster, old: Database) -> None:
    update(old)
    with old.connect_superuser() as connection:
        upgraded = catalog(connection, old.extension)
    assert differences(upgraded, fresh_catalog(cluster, old.extension)) == []
    assert {sort: len(found) > 0 for sort, found in upgraded.items() if sort != "view"} == {
        sort: True for sort in upgraded if sort != "view"
    }


@pytest.mark.parametrize("old", INSTANCE, indirect=True, ids="-".join)
@pytest.mark.parametrize(
    ("change", "sort"),
    [
        ("alter table singularity.holding add column more int", "column"),
        ("comment on column singularity.holding.summary is 'other'", "column"),
        ("grant delete on singularity.outbox to singularity_reader", "relation"),
        ("drop index singularity.outbox_waiting", "index"),
        ("alter table singularity.outbox drop constraint outbox_pkey", "constraint"),
        ("alter function singularity.status() volatile", "function"),
        ("revoke execute on function singularity.status() from singularity_reader", "function"),
        ("alter extension singularity drop function singularity.status()", "member"),
        ("alter sequence singularity.version increment 2", "sequence"),
        ("update pg_extension set extconfig = extconfig[2:] where extname = 'singularity'", "dumped"),
    ],
)
def test_a_difference_is_seen(cluster: Cluster, old: Database, change: str, sort: str) -> None:
    update(old)
    with old.connect_superuser() as connection:
        before = catalog(connection, "singularity")
        connection.execute(change.encode())
        seen = differences(catalog(connection, "singularity"), before)
    assert any(line.split()[2] == f"{sort}:" for line in seen)


def fill(connection: psycopg.Connection) -> None:
    """Put something into an instance, as its user does."""
    for call, arguments in (
        ("configure(%s, 'prod')", ["laptop"]),
        ("connect()", []),
        ("follow('prompt', 'team')", []),
        (
            "learn('pattern', 'thing', %s, summary => 'what gallops', tags => array['t'])",
            [Jsonb({"say": "zebra"})],
        ),
        ("learn('pattern', 'thing', %s)", [Jsonb({"say": "horse"})]),
        ("learn('pattern', 'hidden', %s, shared => false)", [Jsonb("secret")]),
        ("learn('pattern', 'gone', %s)", [Jsonb(1)]),
        ("forget('pattern', 'gone', everywhere => true)", []),
        ("record_outcome('pattern', 'thing', true)", []),
        ("record_outcome('pattern', 'thing', false)", []),
        ("learn_many(%s)", [Jsonb([{"kind": "k", "name": f"n {n}", "content": n} for n in range(50)])]),
    ):
        connection.execute(f"select singularity.{call}".encode(), arguments)
    connection.execute("call singularity.maintain()")
    connection.execute("select singularity.record_outcome('pattern', 'thing', true)")


SEEN = (
    "select * from singularity.lookup('pattern', 'thing')",
    "select name, content from singularity.recall('galloping zebra or horse', min_similarity => 0)",
    "select * from singularity.history('pattern', 'thing')",
    "select * from singularity.history('pattern', 'gone')",
    "select * from singularity.outbox_entries order by version",
    "select artifact_id, variant, uses, successes, version from singularity.evidence order by version",
    "select name, value from singularity.configuration order by 1",
    "select mode, instance_id, instance_name, outbox_entries, open_questions from singularity.status()",
)


def seen(connection: psycopg.Connection) -> list[list[Row]]:
    """Return what a user sees of it."""
    return [rows(connection, query) for query in SEEN]


@pytest.mark.parametrize("old", INSTANCE, indirect=True, ids="-".join)
def test_everything_in_an_instance_is_kept(old: Database) -> None:
    with old.connect() as connection:
        fill(connection)
        before = seen(connection)
        assert [query for query, found in zip(SEEN, before, strict=True) if not found] == []
    update(old)
    with old.connect() as connection:
        added = {"reconcile_every"}
        after = seen(connection)
        after[6] = [setting for setting in after[6] if setting["name"] not in added]
        assert after == before
        connection.execute("select singularity.learn('pattern', 'later', '1')")
        connection.execute("select singularity.record_outcome('pattern', 'thing', true)")
        assert rows(connection, "select uses from singularity.lookup('pattern', 'thing')") == [
            {"uses": before[0][0]["uses"] + 1}
        ]


@pytest.mark.parametrize("old", INSTANCE, indirect=True, ids="-".join)
def test_an_upgraded_database_is_dumped_and_restored(cluster: Cluster, old: Database, tmp_path: Path) -> None:
    with old.connect() as connection:
        fill(connection)
    update(old)
    with old.connect() as connection:
        before = seen(connection)
    cluster.tool("pg_dump", "--format=custom", "--file", tmp_path / "dump", database=old.name)
    cluster.create_database("restored")
    try:
        cluster.tool("pg_restore", "--exit-on-error", "--dbname", "restored", tmp_path / "dump")
        with cluster.connect("restored", old.user) as connection:
            assert seen(connection) == before
    finally:
        cluster.drop_database("restored")
