"""Local, hybrid and central: one call changes the mode, nothing is lost, and local is really alone."""

import time

from tests.kit.machine import Machine
from tests.kit.queries import row, rows, value
from tests.kit.team import Team, fresh
from tests.path.wire import Wire

from singularity_lab import wait_until


def clients(team: Team) -> set[str]:
    """Return the names of the clients that the NATS server has."""
    return {client.get("name", "") for client in team.nats.monitor("connz")["connections"]}


def asked(machine: Machine, name: str) -> int:
    """Return how many questions there are about a name."""
    return int(value(machine.connection, "select count(*) from singularity.question where name = %s", name))


def test_in_local_mode_nothing_is_said_asked_or_connected(team: Team) -> None:
    private, later = fresh("alone"), fresh("alone-too")
    assert "singularity/ann" in clients(team)
    team.ann.call("disconnect")
    wait_until(lambda: "singularity/ann" not in clients(team), 20, "the bridge to leave NATS")
    with Wire(team.nats, ">") as wire:
        team.ann.learn(private, 1)
        team.ann.use(private, 2)
        assert team.ann.lookup(later) is None
        assert team.ann.ask(later) is None
        status = team.ann.status()
        assert (status["mode"], status["online"]) == ("local", False)
        assert (status["outbox_entries"], status["open_questions"]) == (0, 0)
        assert status["bridge_seen_at"] is not None
        told = fresh("told")
        team.bob.learn(told, 1)
        team.bob.until_confirmed()
        wait_until(lambda: told.encode() in wire.everything(), 20, "bob to be heard")
        assert private.encode() not in wire.everything()
        assert str(status["instance_id"]).encode() not in wire.everything()
    team.ann.call("connect")
    team.ann.until(lambda: team.authority_has(private), "what was learned alone")
    team.ann.until_confirmed()
    team.ann.until_online()
    assert asked(team.ann, later) == 0


def test_disconnecting_keeps_what_waits(team: Team) -> None:
    name = fresh("waiting")
    team.central_bridge.freeze()
    try:
        team.ann.learn(name, 1)
        assert team.ann.status()["outbox_entries"] >= 1
        team.ann.call("disconnect")
        assert team.ann.status()["outbox_entries"] >= 1
        team.ann.learn(name, 2)
    finally:
        team.central_bridge.thaw()
    team.ann.call("connect")
    content = (
        "select content from centralcloud.artifact join centralcloud.variant using (artifact_id, variant)"
    )
    team.ann.until(
        lambda: rows(team.curator, f"{content} where name = %s", name) == [{"content": 2}], "the last content"
    )
    team.ann.until_confirmed()
    team.ann.until_online()


def test_connecting_again_sends_nothing_twice(team: Team) -> None:
    team.ann.until_confirmed()
    team.ann.call("connect", mode="central")
    team.ann.call("connect", mode="hybrid")
    assert team.ann.status()["outbox_entries"] == 0


def test_in_hybrid_mode_what_is_known_is_not_asked(team: Team) -> None:
    name = fresh("known")
    team.bob.learn(name, 1)
    for _ in range(3):
        assert team.bob.lookup(name)
    assert asked(team.bob, name) == 0


def test_offline_answers_come_from_what_is_here_at_the_same_price(team: Team) -> None:
    known, unknown = fresh("cached-answer"), fresh("not-here")
    team.ann.learn(known, "text")
    team.ann.until_confirmed()
    team.bob.until_known(known)
    team.central_bridge.freeze()
    try:
        team.bob.until(lambda: not team.bob.status()["online"], "offline")
        assert (team.bob.lookup(known) or {})["content"] == "text"
        started = time.monotonic()
        for _ in range(50):
            assert team.bob.lookup(unknown) is None
        assert time.monotonic() - started < 5  # ten times a request's patience would be 250 s
        assert asked(team.bob, unknown) == 0
        assert team.bob.ask(unknown) is None
        assert team.bob.status()["open_questions"] == 0
    finally:
        team.central_bridge.thaw()
    team.bob.until_online()


def test_status_tells_online_from_offline(team: Team) -> None:
    status = team.bob.status()
    assert status["online"]
    assert (status["instance_name"], status["mode"]) == ("bob", "hybrid")
    assert status["authority_heard_at"] is not None
    assert status["extension_version"] == status["bridge_version"]
    central = row(team.curator, "select * from centralcloud.status()")
    assert (central["connected"], central["error"]) == (True, None)
    names = {
        found["instance_name"]
        for found in rows(team.curator, "select instance_name from centralcloud.instance")
    }
    assert {"ann", "bob"} <= names
