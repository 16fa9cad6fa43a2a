"""Versions side by side: old and new bridges and extensions work together, and an upgrade in steps loses nothing."""

from collections.abc import Iterator
from contextlib import ExitStack

import psycopg
import pytest
from psycopg.types.json import Jsonb
from tests.kit.queries import row, value
from tests.upgrade.conftest import CURRENT, PREVIOUS, RELEASED, StartBridge, create

from singularity_lab import Bridge, Cluster, Database, wait_until

CONFIGURE = {
    "singularity": "select singularity.configure(settings => %s)",
    "centralcloud": "select centralcloud.configure(%s)",
}
UNITED = """
    select count(*)::int as artifacts, coalesce(sum(v.uses), 0)::int as uses
    from centralcloud.artifact a join centralcloud.variant v using (artifact_id, variant)
"""


class Pair:
    """An instance and the authority, each of some version, with their users' sessions."""

    def __init__(self, cluster: Cluster, version: str, start_bridge: StartBridge) -> None:
        self.version = version
        self.start_bridge = start_bridge
        self.instance = create(cluster, "instance", "singularity", version)
        self.authority = create(cluster, "authority", "centralcloud", version)
        self.bridges: dict[str, Bridge] = {}
        self.db = self.instance.connect()
        self.central = self.authority.connect_superuser()
        self.learned = self.used = 0

    def configure(self, settings: Jsonb) -> None:
        """Change settings on both sides, as far as their versions know them."""
        for database in (self.instance, self.authority):
            with database.connect_superuser() as connection:
                connection.execute(CONFIGURE[database.extension].encode(), [settings])

    def run(self, database: Database, version: str) -> None:
        """Run the bridge of a version for a database, in place of the one there is."""
        if database.name in self.bridges:
            self.bridges.pop(database.name).stop()
        self.bridges[database.name] = self.start_bridge(database, version)

    def close(self) -> None:
        """End bridges and sessions."""
        for bridge in self.bridges.values():
            bridge.stop()
        self.db.close()
        self.central.close()

    def work(self, count: int = 5) -> None:
        """Learn and use some more."""
        for _ in range(count):
            self.learned += 1
            self.db.execute(
                "select singularity.learn('pattern', %s, %s)", [f"thing {self.learned}", Jsonb(self.learned)]
            )
            for succeeded in (True, False, True):
                self.used += 1
                query = "select singularity.record_outcome('pattern', %s, %s)"
                self.db.execute(query, [f"thing {1 + self.used % self.learned}", succeeded])

    def until_all_is_there(self) -> None:
        """Wait until the authority has everything, once, and every receipt is back."""
        wanted = {"artifacts": self.learned, "uses": self.used}
        waiting = (
            "select (select count(*) from singularity.outbox) + (select count(*) from singularity.outcome)"
        )

        def there() -> bool:
            found = row(self.central, UNITED)
            return {name: found[name] for name in wanted} == wanted and value(self.db, waiting) == 0

        wait_until(
            there, 45, lambda: f"{wanted}; {row(self.central, UNITED)}, {value(self.db, waiting)} wait"
        )


@pytest.fixture
def pair(cluster: Cluster, start_bridge: StartBridge, version: str) -> Iterator[Pair]:
    """Make an instance and an authority of a version."""
    with ExitStack() as ending:
        one = Pair(cluster, version, start_bridge)
        for database in (one.instance, one.authority):
            ending.callback(cluster.drop_database, database.name)
        ending.callback(one.close)
        yield one


# what bridges before 0.3 carry is not signed
UNSIGNED = Jsonb({"unsigned_messages": "accept"})
SIGNED = Jsonb({"unsigned_messages": "refuse"})


def work_together(pair: Pair, bridge: str) -> None:
    """Have both sides work through bridges of this version."""
    for database in (pair.authority, pair.instance):
        pair.run(database, bridge)
    pair.db.execute("select singularity.connect()")
    pair.work()
    pair.until_all_is_there()
    assert value(pair.db, "select bridge_version from singularity.status()") == bridge


@pytest.mark.parametrize("version", [CURRENT])
@pytest.mark.parametrize("bridge", RELEASED)
def test_a_bridge_older_than_the_extensions(pair: Pair, bridge: str) -> None:
    pair.configure(UNSIGNED)
    work_together(pair, bridge)


@pytest.mark.parametrize("version", RELEASED)
def test_a_bridge_newer_than_the_extensions(pair: Pair) -> None:
    work_together(pair, CURRENT)


def upgrade(pair: Pair, database: Database) -> None:
    """Upgrade one side while the other works: files are there, the extension first, the bridge after it."""
    pair.work()
    # in one transaction, or what an older bridge carries meanwhile is dropped
    with database.connect_superuser(autocommit=False) as connection:
        connection.execute(f"alter extension {database.extension} update".encode())
        connection.execute(CONFIGURE[database.extension].encode(), [UNSIGNED])
    pair.work()
    pair.run(database, CURRENT)
    pair.work()


# from an older version only the order in which the authority, whom all the instances need, is the last
@pytest.mark.parametrize(
    ("version", "authority_first"),
    [(PREVIOUS, True), *((version, False) for version in RELEASED)],
)
def test_a_rolling_upgrade_loses_nothing(pair: Pair, authority_first: bool) -> None:
    for database in (pair.authority, pair.instance):
        pair.run(database, pair.version)
    pair.db.execute("select singularity.connect()")
    pair.work()
    order = [pair.authority, pair.instance]
    for database in order if authority_first else reversed(order):
        upgrade(pair, database)
        pair.until_all_is_there()
    pair.configure(SIGNED)
    pair.work()
    pair.until_all_is_there()
    me = value(pair.db, "select instance_id from singularity.status()")
    here, there = (
        "select entries, digest from singularity.digest()",
        "select entries, digest from centralcloud.digest(%s)",
    )
    with psycopg.connect(pair.instance.dsn(), autocommit=True) as connection:
        # the first time what the authority got before it kept seals is sent once more
        for _ in range(2):
            connection.execute("call singularity.reconcile()")
            pair.until_all_is_there()
        assert row(connection, here) == row(pair.central, there, me)
        found = row(connection, "select sent_again, restored from singularity.reconciliation")
    assert found == {"sent_again": 0, "restored": 0}
    assert value(pair.db, "select troubles from singularity.status()") == []
