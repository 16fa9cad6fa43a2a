"""A database was copied, or two speak as one instance. Status, log and check say who must decide what."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
from tests.kit.machine import Machine
from tests.kit.queries import value
from tests.kit.team import fresh
from tests.operator.conftest import Scene, Side

from singularity_lab import Database, wait_until

COPIED = "This database was restored or copied, and nothing is sent until you say which it is: "


@dataclass
class Copied:
    """An instance and a restored dump of it, each with its bridge; the first one's does not run."""

    original: Machine
    twin: Machine
    first: Side
    second: Side


@pytest.fixture
def copied(scene: Scene, later: Callable[..., object]) -> Copied:
    """Make an instance, and another database out of its dump."""
    original = scene.machine("carol")
    original.learn(fresh("before"), 1)
    original.until_online()
    original.until_confirmed()
    original.bridge.stop()
    cluster = original.database.cluster
    name = original.database.name + "_copy"
    dump = cluster.tool("pg_dump", database=original.database.name)
    cluster.create_database(name)
    cluster.tool("psql", "--quiet", "--set=ON_ERROR_STOP=1", database=name, stdin=dump)
    database = Database(cluster, name, "singularity", roles=original.database.roles)
    twin = Machine(database, scene.lab.bridge(database, scene.nats, name=f"bridge-{name}"))
    for machine in (original, twin):
        later(machine.connection.close)
        later(machine.bridge.close)
    second = Side(scene.lab, database, twin.bridge, scene.nats)
    second.log_start = 0
    return Copied(original, twin, scene.side(original), second)


def is_silent(scene: Scene, copied: Copied) -> str:
    """Expect a copy to say nothing to anybody and to tell why; returns what it tells."""
    told = copied.second.until_told(COPIED)
    wait_until(
        lambda: copied.second.troubles() == [told], message="the bridge to be there, and this to be all"
    )
    copied.second.until_logged("speaking to nobody")
    copied.second.until_logged(told)
    name = fresh("silent")
    copied.twin.learn(name, 1)
    assert not copied.twin.status()["online"]
    assert not scene.team.authority_has(name)
    assert copied.twin.status()["outbox_entries"] == 1
    copied.second.assert_check_tells(
        "state: This database was restored or copied", "CALL singularity.keep_identity()"
    )
    copied.second.assert_check_tells(
        "state: This database was restored or copied", "SELECT singularity.reidentify()"
    )
    return told


def test_a_restored_database_that_goes_on(scene: Scene, copied: Copied) -> None:
    told = is_silent(scene, copied)
    me = copied.original.status()
    assert f"CALL singularity.keep_identity() if {me['instance_name']} goes on here" in told
    copied.second.do("CALL singularity.keep_identity()")
    copied.second.until_well()
    copied.twin.until_confirmed()
    copied.second.until_logged("all is well again")
    copied.second.assert_check_is_right()
    assert copied.twin.status()["instance_id"] == me["instance_id"]


@contextmanager
def unable_to_compare(authority: Database) -> Iterator[None]:
    """Take a function away from the authority."""
    rename = "alter function centralcloud.{}(jsonb, uuid) rename to {}"
    with authority.connect_superuser() as superuser:
        superuser.execute(rename.format("compare", "compared").encode())
        try:
            yield
        finally:
            superuser.execute(rename.format("compared", "compare").encode())


def test_a_restored_database_takes_back_what_it_lost(scene: Scene, copied: Copied) -> None:
    """What the original sent after the dump comes back first; until then nothing is sent, and that is said."""
    copied.original.bridge.start()
    lost = fresh("lost")
    copied.original.learn(lost, 1)
    copied.original.until_confirmed()
    copied.original.bridge.stop()
    with unable_to_compare(scene.central.database):
        copied.second.do("CALL singularity.keep_identity()")
        told = copied.second.until_told("they are being restored, and nothing is sent meanwhile")
        assert told.endswith("See singularity.reconciliation.")
        copied.second.until_logged(told)
        copied.second.assert_check_tells(
            "state: The authority knows later states", "singularity.reconciliation"
        )
        scene.central.until_logged("centralcloud.compare(jsonb, uuid) does not exist")
    copied.second.until_well()
    assert copied.twin.lookup(lost)
    copied.second.assert_check_is_right()


def test_a_copy_of_an_instance_that_goes_on_elsewhere(scene: Scene, copied: Copied) -> None:
    told = is_silent(scene, copied)
    me = copied.original.status()
    assert f"SELECT singularity.reidentify() if {me['instance_name']} goes on elsewhere." in told
    copied.second.do("SELECT singularity.reidentify()")
    copied.second.readmit()
    copied.second.until_well()
    copied.twin.until_confirmed()
    copied.second.assert_check_is_right()
    copied.original.bridge.start()
    copied.first.until_well()
    assert copied.twin.status()["instance_id"] != me["instance_id"]


def test_two_databases_that_speak_as_one_instance(
    scene: Scene, copied: Copied, later: Callable[..., object]
) -> None:
    later(scene.central.do, """select centralcloud.configure('{"twin_grace": null}')""")
    scene.central.do("""select centralcloud.configure('{"twin_grace": "0 seconds"}')""")
    me = copied.original.status()
    copied.second.do("CALL singularity.keep_identity()")
    copied.original.bridge.start()
    pair = (copied.first, copied.second)

    def told_everywhere() -> bool:
        for machine in (copied.original, copied.twin):
            machine.lookup(fresh("unheard of"))
        return all(any("two databases speak" in trouble for trouble in side.troubles()) for side in pair)

    copied.original.until(told_everywhere, "the alarm in both")
    for side in pair:
        told = side.until_told(f"The authority hears two databases speak as {me['instance_name']}: ")
        assert (
            "SELECT singularity.reidentify() in the copy, then SELECT centralcloud.dismiss_twin_alarm("
            in told
        )
        side.until_logged("two databases speak")
        side.assert_check_tells(
            "state: The authority hears two databases speak", "SELECT singularity.reidentify()"
        )
    told = scene.central.until_told(f"Two databases speak as {me['instance_name']}: ")
    assert "SELECT centralcloud.dismiss_twin_alarm('" in told
    scene.central.until_logged(told)
    scene.central.assert_check_tells(
        "state: Two databases speak as", "SELECT centralcloud.dismiss_twin_alarm("
    )
    copied.second.do("SELECT singularity.reidentify()")
    copied.second.readmit()
    known = (
        "select instance_id from centralcloud.instance where instance_id = %s and twin_alarm_at is not null"
    )
    found = scene.central.ask(known, me["instance_id"])
    assert value(scene.team.curator, "SELECT centralcloud.dismiss_twin_alarm(%s)", found)
    for side in (scene.central, copied.second, copied.first):
        side.until_well(15)
        if side is not copied.second:  # its bridge was started anew, and knows of no trouble before
            side.until_logged("all is well again")
        side.assert_check_is_right()
