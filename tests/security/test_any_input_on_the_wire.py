"""Whatever is said to real bridges, signed by those who may say it: they go on, and all agree afterwards."""

from collections.abc import Iterator
from random import Random

import psutil
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tests.kit.machine import Machine
from tests.kit.queries import value
from tests.kit.team import Team, fresh, team_of
from tests.security.attacker import Attacker, me, seed_of
from tests.security.mutations import spoiled

from singularity_lab import wait_until

MESSAGES = 150
PRIVATE = "a private matter"


@pytest.fixture(scope="module")
def team(request: pytest.FixtureRequest) -> Iterator[Team]:
    """Start a team for this file."""
    with team_of(request.session) as team:
        yield team


def overheard(team: Team) -> dict[str, list[bytes]]:
    """Let the team say everything once; returns the payloads by subject."""
    heard: dict[str, list[bytes]] = {}
    with Attacker(team.nats) as listener:
        name = fresh("overheard")
        team.bob.call("follow", kind="pattern")
        team.ann.learn(name, {"a": [1, "two"]}, "pattern")
        team.ann.call("record_outcome", kind="pattern", name=name, succeeded=True)
        team.ann.until_confirmed()
        team.bob.until(lambda: team.bob.copy_of(name), "the push")
        team.bob.recall(fresh("aardvark"))
        team.bob.connection.execute("call singularity.reconcile()")
        wait_until(lambda: any(".digest." in subject for subject, _ in listener.heard), 20, "a comparison")
        wait_until(lambda: any(".ask." in subject for subject, _ in listener.heard), 20, "a question")
        for subject, payload in list(listener.heard):
            if payload.startswith(b"{") and subject.startswith("singularity.") and ".inbox." not in subject:
                heard.setdefault(subject, []).append(payload)
    return heard


def missing(team: Team, machine: Machine) -> set[tuple[object, ...]]:
    """Return the states of an instance that the authority has not: it may have more, which others said with its key."""
    columns = "artifact_id, variant, incarnation"
    said = f"select {columns}, stored_version from singularity.delivery where stored_version > 0"
    with team.central.connect_superuser() as central:
        known = central.execute(
            f"select {columns}, version from centralcloud.states_of(%s, '')", [me(machine)]
        )
        return set(machine.connection.execute(said)) - set(known)


def test_whatever_is_said_on_the_wire(team: Team) -> None:
    for machine in (team.ann, team.bob):
        machine.until_online()
    team.ann.learn("secret", PRIVATE, "pattern", shared=False)
    heard = overheard(team)
    bridges = [psutil.Process(one.pid) for one in (team.central_bridge, team.ann.bridge, team.bob.bridge)]
    seeds = {me(one): seed_of(one.database) for one in (team.ann, team.bob)}
    with Attacker(team.nats, seed_of(team.central)) as authority:
        instances = {who: Attacker(team.nats, seed) for who, seed in seeds.items()}
        with instances[me(team.ann)], instances[me(team.bob)]:

            @settings(
                max_examples=MESSAGES,
                deadline=None,
                database=None,
                derandomize=True,
                phases=[Phase.generate],
                print_blob=False,
                suppress_health_check=list(HealthCheck),
            )
            @given(subject=st.sampled_from(sorted(heard)), data=st.data())
            def say(subject: str, data: st.DataObject) -> None:
                payload = data.draw(spoiled(heard[subject]))
                if len(payload) > 900_000:
                    return
                who = subject.rpartition(".")[2]
                speaks = ".contribute." in subject or ".centralcloud." in subject
                speaker = instances[who] if speaks else authority
                reply = f"singularity.inbox.{who}.{Random(len(payload)).random()}" if speaks else ""
                speaker.speak(subject, payload, reply=reply)

            say()
    name = fresh("afterwards")
    team.ann.learn(name, "still", "pattern")
    team.ann.until_confirmed()
    team.bob.until(lambda: team.bob.copy_of(name) == "still", "the push")
    for machine in (team.ann, team.bob):
        machine.connection.execute("call singularity.reconcile()")
        assert missing(team, machine) == set()
    assert all(bridge.is_running() for bridge in bridges), "a bridge ended"
    query = "select count(*) from centralcloud.artifact where name = 'secret'"
    assert value(team.curator, query) == 0
    assert team.ann.known("secret")["content"] == PRIVATE
    assert value(team.curator, "select count(*) from centralcloud.dead_letter") <= 1_000
