"""A bridge or the authority is not there. Status, log and check say what to start."""

from collections.abc import Callable

from psycopg.types.json import Jsonb
from tests.kit.team import fresh
from tests.operator.conftest import Scene, Side, restart

NEVER_STARTED = "No bridge runs for this database: start singularity-bridge run."
NOT_HEARD = "NATS is there, but the authority was not heard since "


def assert_place(side: Side, place: str) -> None:
    """Expect the check to find nothing wrong and to say who has the bridge's place."""
    code, text = side.check()
    assert (code, f"ok      bridge's place: {place}" in text) == (0, True), text


def test_an_instance_whose_bridge_was_never_started(scene: Scene) -> None:
    name = fresh("new").replace("-", "_")
    database = scene.lab.instance(name, cluster=scene.lab.cluster("laptop"))
    side = Side(scene.lab, database, None, scene.nats)
    assert side.troubles() == []
    with database.connect() as connection:
        connection.execute("select singularity.connect()")
    assert side.troubles() == [NEVER_STARTED]
    assert_place(side, "free")
    side.start_bridge()
    side.until_well()
    side.until_logged("connected to NATS")
    side.bridge.stop()
    assert side.troubles() == [NEVER_STARTED]


def test_an_authority_whose_bridge_was_never_started(scene: Scene) -> None:
    database = scene.lab.authority(fresh("other").replace("-", "_"), cluster=scene.lab.cluster("laptop"))
    side = Side(scene.lab, database, None, scene.lab.nats("another"))
    assert side.troubles() == [NEVER_STARTED]
    assert_place(side, "free")
    side.start_bridge()
    side.until_well()
    side.assert_check_is_right()
    side.bridge.stop()


def test_a_bridge_that_is_started_anew_warns_of_nothing(scene: Scene) -> None:
    for side in (scene.bob, scene.central):
        assert side.bridge.stop() == 0
        side.bridge.start()
        side.until_well()
        side.until_logged("connected to NATS")
    scene.until_all_is_well()
    assert scene.bob.warnings("") + scene.central.warnings("") == 0, scene.bob.bridge.log_tail()


def test_bridges_that_died_and_one_that_hangs(scene: Scene, later: Callable[..., object]) -> None:
    """What hangs still holds its place; the logs have nothing, so status and check say where to look."""
    dead, hanging = (scene.ann, scene.central), scene.bob
    later(hanging.bridge.thaw)
    hanging.bridge.freeze()
    for side in dead:
        later(restart, side)
        side.bridge.kill9()
    for side in scene.sides:
        told = side.until_told("The bridge has not reported since ")
        assert told.endswith(": start singularity-bridge run, or look at its log.")
        assert ("though it has its place (process " in told) is (side is hanging)
    for side in dead:
        assert_place(side, "free")
        side.bridge.start()
    hanging.assert_check_tells("state: The bridge has not reported since ", "or look at its log")
    hanging.bridge.thaw()
    scene.until_all_is_well()
    for side in scene.sides:
        assert_place(side, "taken (process ")


def test_the_authority_s_database_is_down(scene: Scene, later: Callable[..., object]) -> None:
    server = scene.team.server
    later(restart, server)
    server.stop(mode="immediate")
    scene.central.until_logged("lost the database")
    scene.central.assert_check_tells("database: ", "Start it, or check --dsn")
    told = scene.ann.until_told(NOT_HEARD)
    assert told.endswith(": look at the authority's database and bridge.")
    scene.ann.until_logged(told)
    server.start()
    scene.team.curator.close()
    scene.team.curator = scene.team.central.connect()
    scene.team.bob.reconnect()
    scene.until_all_is_well()
    scene.ann.until_logged("all is well again")
    scene.central.assert_check_is_right()


def test_the_authority_s_bridge_is_down(scene: Scene, later: Callable[..., object]) -> None:
    later(restart, scene.central)
    assert scene.central.bridge.stop() == 0
    assert scene.central.troubles() == [NEVER_STARTED]
    told = scene.ann.until_told(NOT_HEARD)
    assert told.endswith(": look at the authority's database and bridge.")
    scene.ann.until_logged(told)
    assert scene.ann.warnings("the authority was not heard") == 1
    scene.ann.assert_check_tells(
        "state: NATS is there, but the authority was not heard", "look at the authority's"
    )
    restart(scene.central)
    scene.until_all_is_well()
    scene.ann.until_logged("all is well again")


def test_the_authority_is_there_but_confirms_nothing(scene: Scene) -> None:
    """Somebody's lock holds it up."""
    name = fresh("held up")
    with scene.central.database.connect_superuser() as holding, holding.transaction():
        holding.execute("lock table centralcloud.holding in access exclusive mode")
        scene.team.ann.learn(name, 1)
        with scene.ann.database.connect_superuser() as superuser:
            superuser.execute("update singularity.outbox set queued_at = queued_at - interval '11 minutes'")
        told = scene.ann.until_told("is not confirmed yet, though the authority is heard")
        assert told.endswith(": look at the authority's log and centralcloud.status().")
        scene.ann.until_logged(told)
        scene.ann.assert_check_tells("state: What was learned at ", "look at the authority's log")
    scene.until_all_is_well()
    assert scene.team.authority_has(name)
    scene.ann.until_logged("all is well again")


def test_in_local_mode_nothing_need_be_there(scene: Scene, later: Callable[..., object]) -> None:
    later(scene.team.ann.call, "connect")
    scene.team.ann.call("disconnect")
    scene.ann.until_logged("speaking to nobody")
    scene.ann.bridge.kill9()
    later(restart, scene.ann)
    assert scene.ann.troubles() == []
    scene.ann.assert_check_is_right()
    assert scene.ann.ask("select singularity.learn('pattern', %s, %s) is not null", fresh("alone"), Jsonb(1))
