"""Bridges, NATS and servers die and come back; everything arrives, exactly once in effect."""

import uuid

from tests.kit.queries import value
from tests.kit.team import Team


def learn_some(team: Team, count: int = 5) -> list[str]:
    """Have ann learn artifacts, with one outcome each; returns their names."""
    names = [f"n-{uuid.uuid4().hex[:12]}" for _ in range(count)]
    for name in names:
        team.ann.learn(name, name)
        team.ann.use(name, 1)
    return names


def all_arrive(team: Team, names: list[str]) -> None:
    """Wait until the authority has the artifacts, each with its one outcome, and every outbox is empty."""
    arrived = "select count(*) from centralcloud.artifact where name = any (%s) and uses = 1"
    team.ann.until(lambda: value(team.curator, arrived, names) == len(names), "everything to arrive", 60)
    team.ann.until_confirmed()


def test_nats_is_killed_and_comes_back_without_its_store(team: Team) -> None:
    known = learn_some(team, 1)
    all_arrive(team, known)
    team.bob.until_known(known[0])
    team.nats.kill9()
    team.ann.until(lambda: not team.ann.status()["online"], "offline")
    team.bob.until(lambda: not team.bob.status()["online"], "offline")
    names = learn_some(team)
    assert team.ann.status()["outbox_entries"] >= len(names)
    assert team.bob.lookup(known[0])
    assert team.bob.lookup("never-heard-of") is None
    assert value(team.bob.connection, "select singularity.ask('anything at all')") is None
    assert team.bob.status()["open_questions"] == 0
    team.nats.wipe_store()
    team.nats.start()
    all_arrive(team, names)
    team.bob.until_known(names[0])


def test_the_instance_s_bridge_is_killed(team: Team) -> None:
    names = learn_some(team)
    team.ann.bridge.kill9()
    names += learn_some(team)
    team.ann.bridge.start()
    all_arrive(team, names)


def test_the_authority_s_bridge_is_killed(team: Team) -> None:
    names = learn_some(team)
    team.central_bridge.kill9()
    names += learn_some(team)
    team.central_bridge.start()
    all_arrive(team, names)
    team.bob.until_known(names[-1])


def test_the_authority_s_server_crashes(team: Team) -> None:
    names = learn_some(team)
    team.server.stop(mode="immediate")
    names += learn_some(team)
    team.server.start()
    for broken in (team.curator, team.bob.connection):
        broken.close()
    team.curator = team.central.connect()
    team.bob.connection = team.bob.database.connect()
    all_arrive(team, names)
    team.bob.until_online()


def test_a_frozen_bridge_thaws(team: Team) -> None:
    team.ann.bridge.freeze()
    names = learn_some(team)
    team.ann.bridge.thaw()
    all_arrive(team, names)


def test_a_second_bridge_stands_by_and_takes_over(team: Team) -> None:
    second = team.lab.bridge(team.ann.database, team.nats, name="second")
    second.wait_for_log("standing by", 20)
    team.ann.bridge.kill9()
    names = learn_some(team)
    all_arrive(team, names)
    assert second.stop() == 0
    team.ann.bridge.start()
    all_arrive(team, learn_some(team))


def test_a_bridge_that_ends_in_order_says_so(team: Team) -> None:
    team.ann.until_confirmed()
    assert team.ann.bridge.stop() == 0
    status = team.ann.status()
    assert (status["online"], status["bridge_seen_at"]) == (False, None)
    team.ann.bridge.start()
    all_arrive(team, learn_some(team))
