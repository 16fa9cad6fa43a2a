"""NATS is away or refuses us, its stream is missing or full. Status, log and check say what to do."""

from collections.abc import Callable

import psycopg
from tests.kit.queries import value
from tests.kit.team import fresh
from tests.operator.conftest import Scene, restart
from tests.path.wire import Wire

from singularity_lab import wait_until

STREAM = "singularity_contributions"
REJECTED = "The contribution stream takes no messages ("
DAMAGED = "JetStream is not as it should be ("


def streams(scene: Scene) -> dict[str, int]:
    """Return the limits of the streams that there are, in bytes."""
    page = scene.nats.monitor("jsz?streams=true&config=true")
    accounts = page.get("account_details") or []
    return {
        stream["name"]: stream["config"]["max_bytes"]
        for account in accounts
        for stream in account.get("stream_detail") or []
    }


def restart_nats(scene: Scene, configuration: str = "") -> None:
    """Start NATS anew with a configuration."""
    if scene.nats.running:
        scene.nats.stop()
    scene.nats.configuration = configuration
    scene.nats.start()


def test_without_nats(scene: Scene, later: Callable[..., object]) -> None:
    later(restart, scene.nats)
    scene.nats.kill9()
    for side in scene.sides:
        side.until_told("The bridge has no connection to NATS (", "): run singularity-bridge check.")
        side.until_logged("lost NATS")
        side.until_logged("The bridge has no connection to NATS (")
        side.assert_check_tells("NATS: ", "Start it, or check --nats (NATS_URL)")
    scene.nats.start()
    scene.until_all_is_well()
    for side in scene.sides:
        side.until_logged("all is well again")
        side.assert_check_is_right()


def test_nats_refuses_the_credentials(scene: Scene, later: Callable[..., object]) -> None:
    for side in scene.sides:
        later(restart, side)
    later(restart_nats, scene)
    restart_nats(scene, "authorization { user: me, password: secret }")
    for side in scene.sides:
        assert side.bridge.wait() == 1
        side.until_logged("NATS refuses these credentials")
        side.assert_check_tells("NATS: NATS refuses these credentials", "Check --creds")
        told = side.until_told("The bridge has not reported since ")
        assert told.endswith("or look at its log.")
    restart_nats(scene)
    for side in scene.sides:
        side.bridge.start()
    scene.until_all_is_well()


def test_nats_without_jetstream(scene: Scene, later: Callable[..., object]) -> None:
    later(restart_nats, scene)
    restart_nats(scene, "jetstream: false")
    scene.central.until_told(DAMAGED, "): run singularity-bridge check.")
    scene.ann.until_told(DAMAGED, "and run singularity-bridge check there.")
    for side in scene.sides:
        side.until_logged(DAMAGED)
        side.assert_check_tells(f"stream {STREAM}: ", "Enable JetStream")
    restart_nats(scene)
    scene.until_all_is_well()
    for side in scene.sides:
        side.until_logged("all is well again")
        side.assert_check_is_right()


def test_a_deleted_stream_is_made_again(scene: Scene) -> None:
    with Wire(scene.nats) as wire:
        wire.say((f"$JS.API.STREAM.DELETE.{STREAM}", b""))
    wait_until(lambda: STREAM in streams(scene), message="the stream to be made again")
    name = fresh("after")
    scene.team.ann.learn(name, 1)
    scene.team.ann.until(lambda: scene.team.authority_has(name), "what was learned after that")
    scene.until_all_is_well()
    scene.central.assert_check_is_right()


def test_a_stream_that_nobody_makes(scene: Scene, later: Callable[..., object]) -> None:
    later(restart, scene.central)
    assert scene.central.bridge.stop() == 0
    with Wire(scene.nats) as wire:
        wire.say((f"$JS.API.STREAM.DELETE.{STREAM}", b""))
    scene.ann.until_told(DAMAGED, STREAM, "the authority")
    scene.ann.until_logged(DAMAGED)
    scene.ann.assert_check_tells(f"stream {STREAM}: not there", "Start the bridge that makes it")
    assert scene.central.troubles() == ["No bridge runs for this database: start singularity-bridge run."]
    restart(scene.central)
    scene.until_all_is_well()
    scene.ann.until_logged("all is well again")


def limit(scene: Scene, octets: int = 1 << 30) -> None:
    """Set stream_max_bytes and wait until the stream has it."""
    scene.central.do(f"""select centralcloud.configure('{{"stream_max_bytes": {octets}}}')""")
    wait_until(lambda: streams(scene).get(STREAM) == octets, 20, lambda: f"{octets} in {streams(scene)}")


def hold_up(scene: Scene) -> psycopg.Connection:
    """Open a transaction that nothing can be applied beside."""
    session = scene.team.central.connect_superuser(autocommit=False)
    session.execute("lock table centralcloud.contribution in exclusive mode")
    return session


def waiting(scene: Scene) -> bool:
    """Say whether anything of ann's has not been offered to the stream."""
    with scene.team.ann.database.connect_superuser() as connection:
        query = "select exists (select from singularity.outbox where batch_id is null)"
        return bool(value(connection, query))


def press(scene: Scene) -> list[str]:
    """Learn one after the other until the stream takes no more, and a few more; returns the names."""
    names = [fresh("pressing") for _ in range(24)]
    for name in names:
        scene.team.ann.learn(name, "x" * 2000)
        wait_until(
            lambda: not waiting(scene) or REJECTED in " ".join(scene.ann.troubles()), message="to be sent"
        )
    return names


def test_a_full_stream(scene: Scene, later: Callable[..., object]) -> None:
    later(limit, scene)
    limit(scene, 32768)
    session = hold_up(scene)
    later(session.close)
    names = press(scene)
    told = scene.ann.until_told(REJECTED)
    assert "raise stream_max_bytes at the authority, or look why its bridge does not apply" in told
    central = scene.central.until_told("The contribution stream is full (", "of 32768 bytes)")
    assert central.endswith("raise stream_max_bytes, or look why it is not applied.")
    scene.ann.until_logged(REJECTED)
    scene.central.until_logged("The contribution stream is full (")
    scene.ann.assert_check_tells("state: The contribution stream takes no messages", "raise stream_max_bytes")
    scene.central.assert_check_tells("state: The contribution stream is full", "raise stream_max_bytes")
    limit(scene, 1_000_000)
    scene.ann.until_well()
    scene.central.until_well()
    session.rollback()
    scene.team.ann.until(lambda: all(scene.team.authority_has(name) for name in names), "everything")
    for side in (scene.ann, scene.central):
        side.until_logged("all is well again")
        side.assert_check_is_right()


def test_a_full_stream_whose_reader_hangs(scene: Scene, later: Callable[..., object]) -> None:
    later(limit, scene)
    limit(scene, 32768)
    later(scene.central.bridge.thaw)
    scene.central.bridge.freeze()
    names = press(scene)
    scene.ann.until_told(REJECTED, "look why its bridge does not apply")
    scene.ann.until_logged(REJECTED)
    scene.ann.assert_check_tells("state: The contribution stream takes no messages", "look why its bridge")
    scene.central.bridge.thaw()
    scene.team.ann.until(lambda: all(scene.team.authority_has(name) for name in names), "everything")
    scene.until_all_is_well()
