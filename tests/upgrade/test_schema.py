"""Upgrading from any released version gives the schema of a fresh install, with the data kept."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.types.json import Jsonb
from tests.kit.queries import Row, rows, value
from tests.kit.relay import Relay
from tests.kit.speaker import Record, Speaker
from tests.upgrade.catalog import catalog, differences
from tests.upgrade.conftest import CURRENT, EXTENSIONS, RELEASED, WAYS, Extension, create, update

from singularity_lab import Cluster, Database


@pytest.fixture
def old(cluster: Cluster, extension: Extension, way: list[str]) -> Iterator[Database]:
    """Make a database of the version that a way begins with; it is dropped afterwards."""
    database = create(cluster, f"old_{extension}", extension, way[0])
    yield database
    cluster.drop_database(database.name)


def on(*extensions: Extension, ways: list[list[str]] = WAYS) -> pytest.MarkDecorator:
    """Go these ways of upgrading with these extensions."""
    cases = [(extension, way) for extension in extensions for way in ways]
    return pytest.mark.parametrize(
        ("extension", "way"), cases, ids=["-".join([extension, *way]) for extension, way in cases]
    )


def test_there_is_a_released_version() -> None:
    assert RELEASED
    assert CURRENT not in RELEASED


def fresh_catalog(cluster: Cluster, extension: Extension) -> dict[str, set[str]]:
    database = create(cluster, f"fresh_{extension}", extension, CURRENT)
    with database.connect_superuser() as connection:
        found = catalog(connection, extension)
    cluster.drop_database(database.name)
    return found


def test_an_upgrade_is_one_step(cluster: Cluster) -> None:
    query = "select path from pg_extension_update_paths(%s) where source = %s and target = %s"
    with cluster.connect() as connection:
        for extension in EXTENSIONS:
            for version in RELEASED:
                path = value(connection, query, extension, version, CURRENT)
                assert path == f"{version}--{CURRENT}"


@on(*EXTENSIONS)
def test_upgraded_equals_fresh(cluster: Cluster, old: Database, way: list[str]) -> None:
    update(old, *way[1:])
    with old.connect_superuser() as connection:
        upgraded = catalog(connection, old.extension)
    assert differences(upgraded, fresh_catalog(cluster, old.extension)) == []
    assert {sort: len(found) > 0 for sort, found in upgraded.items() if sort != "view"} == {
        sort: True for sort in upgraded if sort != "view"
    }


@on("singularity", ways=[[CURRENT]])
@pytest.mark.parametrize(
    ("change", "sort"),
    [
        ("alter table singularity.holding add column more int", "column"),
        ("comment on column singularity.holding.summary is 'other'", "column"),
        ("grant delete on singularity.outbox to singularity_reader", "relation"),
        ("alter table singularity.outbox owner to current_user", "relation"),
        ("alter function singularity.status() owner to current_user", "function"),
        ("alter type singularity.level owner to current_user", "type"),
        ("drop index singularity.outbox_waiting", "index"),
        ("alter table singularity.outbox drop constraint outbox_pkey", "constraint"),
        ("alter function singularity.status() volatile", "function"),
        ("revoke execute on function singularity.status() from singularity_reader", "function"),
        ("alter extension singularity drop function singularity.status()", "member"),
        ("alter sequence singularity.version increment 2", "sequence"),
        ("update pg_extension set extconfig = extconfig[2:] where extname = 'singularity'", "dumped"),
    ],
)
def test_a_difference_is_seen(old: Database, change: str, sort: str) -> None:
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
    "select artifact_id, variant, version, queued_at from singularity.outbox_entries order by version",
    "select artifact_id, variant, uses, successes, version from singularity.evidence order by version",
    "select name, value from singularity.configuration order by 1",
    "select mode, instance_id, instance_name, outbox_entries, open_questions from singularity.status()",
)


def seen(connection: psycopg.Connection) -> list[list[Row]]:
    """Return what a user sees of it."""
    return [rows(connection, query) for query in SEEN]


@on("singularity")
def test_everything_in_an_instance_is_kept(old: Database, way: list[str]) -> None:
    with old.connect() as connection:
        fill(connection)
        before = seen(connection)
        assert [query for query, found in zip(SEEN, before, strict=True) if not found] == []
    update(old, *way[1:])
    with old.connect() as connection:
        after = seen(connection)
        known = {setting["name"] for setting in before[6]}
        after[6] = [setting for setting in after[6] if setting["name"] in known]
        assert after == before
        connection.execute("select singularity.learn('pattern', 'later', '1')")
        connection.execute("select singularity.record_outcome('pattern', 'thing', true)")
        assert rows(connection, "select uses from singularity.lookup('pattern', 'thing')") == [
            {"uses": before[0][0]["uses"] + 1}
        ]


TOLD = (
    "select artifact_id, namespace, kind, name, variant from centralcloud.artifact order by 1",
    "select artifact_id, variant, content, summary, tags, uses, successes from centralcloud.variant order by 1, 2",
    """
        select instance_id, artifact_id, variant, version,
            coalesce(to_jsonb(h) -> 'withdrawn_up_to', to_jsonb(h) -> 'withdrawn_through') as withdrawn_up_to
        from centralcloud.holding as h order by 1, 2
    """,
    "select instance_id, artifact_id, variant, incarnation, uses, version from centralcloud.evidence order by 1, 2",
    "select instance_id, instance_name, environment from centralcloud.instance order by 1",
    "select (s.artifact).name, s.content from centralcloud.search('galloping zebra') as s order by 1",
)


def told(connection: psycopg.Connection) -> list[list[Row]]:
    """Return what an authority knows."""
    return [rows(connection, query) for query in TOLD]


def in_old_words(record: Record) -> Record:
    """Return a record as an authority before 0.3 reads it."""
    names = {"record_type": "what", "withdrawn_up_to": "withdrawn_through"}
    return {names.get(name, name): found for name, found in record.items()}


@on("centralcloud")
def test_everything_in_an_authority_is_kept(old: Database, way: list[str]) -> None:
    ann, ben = Speaker(1), Speaker(2, "dev")
    relay = Relay.of(old)
    for speaker, *records in (
        (ann, ann.holds("zebra", "thing"), ann.used(3, content="zebra", name="thing")),
        (ben, ben.holds("horse", "thing"), ben.used(1, 2, content="horse", name="thing")),
        (ben, ben.holds("gone", "gone"), ben.withdraws("gone")),
    ):
        relay.give([speaker.says(*map(in_old_words, records))])
    relay.take("refined")
    relay.close()
    with old.connect_superuser() as connection:
        before = told(connection)
        assert [query for query, found in zip(TOLD, before, strict=True) if not found] == []
        update(old, *way[1:])
    with old.connect_superuser() as connection:
        assert told(connection) == before
        relay = Relay.of(old)
        relay.give([ann.says(ann.used(4, content="zebra", name="thing"))])
        relay.close()
        uses = "select uses from centralcloud.variant where content = '\"zebra\"'"
        assert value(connection, uses) == 4


@on("singularity")
def test_an_upgraded_database_is_dumped_and_restored(
    cluster: Cluster, old: Database, way: list[str], tmp_path: Path
) -> None:
    with old.connect() as connection:
        fill(connection)
    update(old, *way[1:])
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
