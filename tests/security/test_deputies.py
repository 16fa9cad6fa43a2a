"""Who answers to a reply subject publishes there with rights of his own: neither the authority nor NATS is a deputy."""

import json
from collections.abc import Iterator

import pytest
from tests.kit.team import Team, fresh, team_of
from tests.security.attacker import Attacker, dropped, me, seed_of

from singularity_lab import wait_until


@pytest.fixture(scope="module")
def running_team(request: pytest.FixtureRequest) -> Iterator[Team]:
    """Start a team on an open NATS server for the tests of this file."""
    with team_of(request.session) as team:
        yield team


@pytest.fixture
def team(running_team: Team) -> Team:
    """Give a test the team when both machines are online."""
    running_team.ann.until_online()
    running_team.bob.until_online()
    return running_team


@pytest.fixture
def ann(team: Team) -> Iterator[Attacker]:
    """Speak as a machine that was broken into: with its key."""
    with Attacker(team.nats, seed_of(team.ann.database)) as one:
        yield one


def targets(team: Team) -> dict[str, str]:
    """Return subjects on which the authority, and not ann, may publish."""
    bob = me(team.bob)
    return {
        "receipt": f"singularity.receipt.{bob}",
        "heads": "singularity.heads",
        "refined": f"singularity.refined.default.{fresh('kind')}",
        "inbox": f"singularity.inbox.{bob}.x.1",
        "prefix": f"singularity.inbox.{me(team.ann)}",
        "purge": "$JS.API.STREAM.PURGE.singularity_contributions",
        "request": f"singularity.centralcloud.hello.{bob}",
        "contribution": f"singularity.contribute.{bob}",
        "anywhere": fresh("anywhere"),
    }


@pytest.mark.parametrize("endpoint", ["ask", "hello", "changes", "digest"])
def test_the_authority_answers_into_the_inbox_of_who_asks_and_nowhere_else(
    team: Team, ann: Attacker, endpoint: str
) -> None:
    """Also not with an error, and not what it cannot read."""
    before = dropped(team.central, "inbox")
    subject = f"singularity.centralcloud.{endpoint}.{me(team.ann)}"
    bodies = [
        {"type": endpoint, "instance": me(team.ann), "request": "r", "session": None, "query": "x"},
        {"type": "no such type", "instance": me(team.ann)},
        b"not JSON",
    ]
    replies = targets(team)
    for reply in replies.values():
        for body in bodies:
            ann.speak(subject, body, reply=reply)
    wait_until(
        lambda: dropped(team.central, "inbox") >= before + len(replies) * len(bodies),
        20,
        lambda: f"{dropped(team.central, 'inbox') - before} dropped",
    )
    own = f"singularity.inbox.{me(team.ann)}.attacker.1"
    ann.speak(subject, b"not JSON", reply=own)
    wait_until(lambda: own in [heard for heard, _ in ann.heard], 20, "the error in its own inbox")
    for what, reply in replies.items():
        said = [payload for heard, payload in list(ann.heard) if heard == reply]
        allowed = {"heads"} if what == "heads" else {"hello"} if what == "request" else set()
        assert {json.loads(payload)["type"] for payload in said} <= allowed, what
    for machine in (team.ann, team.bob):
        assert machine.status()["dead_letters"] == 0


@pytest.mark.parametrize("seed", [None, bytes(32)], ids=["unsigned", "with a key of its own"])
def test_who_is_not_the_asker_gets_no_answer_at_all(team: Team, seed: bytes | None) -> None:
    with Attacker(team.nats, seed) as attacker:
        before = dropped(team.central)
        ann = me(team.ann)
        reply = f"singularity.inbox.{ann}.attacker.{fresh('x')}"
        body = {"type": "ask", "instance": ann, "request": "r", "session": None, "query": "x"}
        attacker.speak(f"singularity.centralcloud.ask.{ann}", body, reply=reply)
        attacker.speak("singularity.centralcloud.ask.nobody", body, reply=reply)
        wait_until(lambda: dropped(team.central) >= before + 2, 20, "two to be dropped")
        assert reply not in [heard for heard, _ in attacker.heard]


def test_what_the_nats_server_says_in_our_name_leaves_nothing(team: Team) -> None:
    """Acknowledgements, answers of its API and of micro services go to any reply subject."""
    bob, times = me(team.bob), 200
    before = dropped(team.bob.database)
    with Attacker(team.nats) as attacker:
        for reply in (f"singularity.receipt.{bob}", "singularity.heads"):
            for _ in range(times):
                attacker.send(f"singularity.contribute.{fresh('x')}", b"", reply)
            attacker.send("$JS.API.INFO", b"", reply)
            attacker.send("$JS.API.STREAM.INFO.singularity_contributions", b"", reply)
            attacker.send("$SRV.INFO.centralcloud", b"", reply)
        attacker.flush()
        wait_until(
            lambda: dropped(team.bob.database) >= before + 2 * times + 6,
            30,
            lambda: f"{dropped(team.bob.database) - before} dropped",
        )
    assert team.bob.status()["dead_letters"] == 0
    with team.bob.database.connect_superuser() as owner:
        row = owner.execute("select count(*) from singularity.rejection").fetchone()
        assert row is not None
        assert row[0] < 10
    assert any("not authentic" in trouble for trouble in team.bob.status()["troubles"])
    name = fresh("still")
    team.bob.learn(name, 1)
    team.bob.until_confirmed()


def test_a_reply_to_another_s_question_is_none(team: Team, ann: Attacker) -> None:
    """Only the authority may answer: everything else in an inbox is dropped, and the question asked again."""
    before = dropped(team.bob.database)
    name = fresh("asked")
    team.ann.learn(name, "right")
    team.ann.until_confirmed()
    team.central_bridge.stop()
    try:
        team.bob.recall(name)
        asked = wait_until(
            lambda: [
                message
                for message in list(ann.messages)
                if message.subject == f"singularity.centralcloud.ask.{me(team.bob)}"
            ],
            20,
            "the question",
        )
        request = json.loads(asked[-1].data)["request"]
        body = {"type": "answer", "request": request, "epoch": "forged", "rows": [], "heads": {}}
        ann.speak(asked[-1].reply, body)
        wait_until(lambda: dropped(team.bob.database) > before, 20, "the answer to be dropped")
        assert team.bob.status()["open_questions"] >= 1
    finally:
        team.central_bridge.start()
    assert team.bob.until_known(name)["content"] == "right"
    assert team.bob.status()["dead_letters"] == 0
