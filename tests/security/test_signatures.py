"""Who is believed: what is not signed by who it claims to be from is counted, dropped and leaves nothing else."""

import json
import os
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from nats.aio.msg import Msg
from psycopg.errors import InsufficientPrivilege
from tests.kit.identity import variant_of
from tests.kit.instance_relay import refined
from tests.kit.machine import Machine
from tests.kit.queries import row, value
from tests.kit.team import Team, fresh, team_of
from tests.security.attacker import Attacker, dropped, me, seed_of

from singularity_bridge.signing import Keyring
from singularity_lab import Database, wait_until

SEED = bytes(range(32))


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


@pytest.fixture(params=[None, SEED], ids=["unsigned", "with a key of its own"])
def attacker(request: pytest.FixtureRequest, team: Team) -> Iterator[Attacker]:
    """Connect somebody who was never asked to."""
    with Attacker(team.nats, request.param) as one:
        yield one


def subscribed(team: Team, subject: str) -> bool:
    """Whether a bridge listens to a subject."""
    connections = team.nats.monitor("connz?subs=1")["connections"]
    return any(subject in one.get("subscriptions_list", ()) for one in connections)


def until_dropped(database: Database, before: int, times: int = 1) -> None:
    """Wait until so many messages more were dropped."""
    wait_until(lambda: dropped(database) >= before + times, 20, lambda: f"{times} dropped")


def nothing_kept(*databases: Database) -> None:
    """Expect no dead letters."""
    for database in databases:
        with database.connect_superuser() as owner:
            assert value(owner, f"select count(*) from {database.extension}.dead_letter") == 0


def test_a_forged_row_replaces_nothing(team: Team, attacker: Attacker) -> None:
    kind, name, private = fresh("kind"), fresh("shared"), fresh("private")
    team.ann.learn(name, "right", kind)
    team.ann.learn(private, "mine", kind, shared=False)
    team.ann.until_confirmed()
    subject = f"singularity.refined.default.{kind}"
    wait_until(lambda: subscribed(team, subject), 20, "the bridge to listen")
    before = dropped(team.ann.database)
    with team.central.connect_superuser() as central:
        epoch = value(central, "select centralcloud.epoch()")
    for about in (name, private):
        forged = refined(about, "wrong", kind=kind, level="very_high", confidence=1, pinned=True, revision=99)
        body = {"type": "refined", "epoch": epoch, "namespace": "default", "kind": kind, "rows": [forged]}
        attacker.speak(subject, {**body, "from": 1, "to": 99})
    until_dropped(team.ann.database, before, 2)
    assert (team.ann.known(name, kind=kind)["content"], team.ann.known(private, kind=kind)["content"]) == (
        "right",
        "mine",
    )
    nothing_kept(team.ann.database)


def test_nobody_s_words_are_nobody_s(team: Team, attacker: Attacker) -> None:
    """On every subject, well-formed or not; heartbeats, receipts and contributions that were invented."""
    name = fresh("invented")
    ann, bob = me(team.ann), me(team.bob)
    said = dropped(team.bob.database), dropped(team.central)
    record = {"record_type": "holding", "namespace": "default", "kind": "k", "name": name, "version": 1 << 62}
    record |= {"withdrawn_up_to": 0, "variant": variant_of("x"), "content": "x"}
    for body in (b"", b"{", b"\xff" * 9, {"type": "no such type"}):
        attacker.speak(f"singularity.receipt.{bob}", body)
        attacker.speak("singularity.heads", body)
        attacker.speak(f"singularity.contribute.{ann}", body)
    attacker.speak("singularity.heads", {"type": "heads", "epoch": "forged", "heads": {"default/k": 1 << 62}})
    attacker.speak("singularity.heads", {"type": "key", "public_key": "U" + "A" * 55})
    attacker.speak(
        f"singularity.contribute.{ann}", {"type": "contribution", "instance": ann, "records": [record]}
    )
    until_dropped(team.bob.database, said[0], 10)
    until_dropped(team.central, said[1], 5)
    assert not team.authority_has(name)
    known = "select epoch, public_key from singularity.authority"
    assert row(team.bob.connection, known)["epoch"] != "forged"
    assert row(team.bob.connection, known)["public_key"] == value(
        team.curator, "select centralcloud.public_key()"
    )
    nothing_kept(team.bob.database, team.central)
    kept = "select count(*) from centralcloud.rejection"
    assert value(team.curator, kept) < 10
    assert any("not authentic" in trouble for trouble in team.bob.status()["troubles"]) or any(
        "Somebody else" in trouble for trouble in team.bob.status()["troubles"]
    )


def test_what_was_changed_or_moved_is_forged(team: Team) -> None:
    """The signature is over subject, message id, reply subject and payload."""
    with Attacker(team.nats) as attacker:
        heads = wait_until(lambda: heard(attacker, "singularity.heads"), 20, "a heartbeat")
        before = dropped(team.ann.database, "signature")
        headers, payload = dict(heads.headers), heads.data
        subject = f"singularity.receipt.{me(team.ann)}"
        attacker.publish(heads.subject, payload.replace(b'"heads"', b'"heeds"'), headers=headers)
        attacker.publish(heads.subject, payload, headers={**headers, "Nats-Msg-Id": "1"})
        attacker.publish(heads.subject, payload, headers=headers, reply="singularity.heads")
        attacker.publish(subject, payload, headers=headers)
        for wrong in ({"Singularity-Signature": ""}, {"Singularity-Key": "U"}, {"Singularity-Key": "é\x01"}):
            attacker.publish(heads.subject, payload, headers={**headers, **wrong})
        wait_until(
            lambda: dropped(team.ann.database, "signature") >= before + 7,
            20,
            lambda: f"{dropped(team.ann.database, 'signature') - before} dropped",
        )
    nothing_kept(team.ann.database)


def heard(attacker: Attacker, subject: str) -> Any:
    """Return a message that was heard on a subject, None when none was yet."""
    return next((message for message in attacker.messages if message.subject == subject), None)


def test_all_that_bridges_send_is_signed(team: Team) -> None:
    with Attacker(team.nats) as listener:
        kind, name = fresh("kind"), fresh("thing")
        team.bob.call("follow", kind=kind)
        team.ann.learn(name, 1, kind)
        team.ann.until_confirmed()
        team.bob.until(lambda: team.bob.copy_of(name, kind) == 1, "the push")
        team.bob.recall(fresh("aardvark"))
        wait_until(lambda: any(".ask." in subject for subject, _ in listener.heard), 20, "a question")
        team.bob.call("unfollow", kind=kind)
        messages = [one for one in list(listener.messages) if one.subject.startswith("singularity.")]
    signers = {role_of(message): signer(message) for message in messages if not acknowledgement(message)}
    authority = value(team.curator, "select centralcloud.public_key()")
    assert signers.keys() >= {"receipt", "refined", "heads", "contribute", "request ask"}
    assert {signers[role] for role in ("receipt", "refined", "heads", "inbox") if role in signers} == {
        authority
    }
    assert signers["contribute"] == team.ann.status()["public_key"]
    assert signers["request ask"] == team.bob.status()["public_key"]


def role_of(message: Msg) -> str:
    """Return what a subject is for."""
    tokens = message.subject.split(".")
    return f"request {tokens[2]}" if tokens[1] == "centralcloud" else tokens[1]


def acknowledgement(message: Msg) -> bool:
    """Whether the NATS server itself says this."""
    if message.subject.startswith(("singularity.inbox.centralcloud.", "singularity.contribute.")):
        return message.subject.startswith("singularity.inbox.centralcloud.")
    return message.subject.startswith("singularity.inbox.") and b'"v": 1' not in message.data


def signer(message: Msg) -> str | None:
    """Return who has signed a message."""
    return Keyring().signer(message)


def restarted(machine: Machine) -> None:
    """Start a bridge that was stopped."""
    if not machine.bridge.running:
        machine.bridge.start()


def test_an_instance_changes_its_key_and_loses_nothing(team: Team) -> None:
    names = [fresh("before"), fresh("meanwhile"), fresh("after")]
    old = team.ann.status()["public_key"]
    team.ann.learn(names[0], 1)
    team.ann.call("rotate_key")
    team.ann.learn(names[1], 1)
    known = "select public_key from centralcloud.instance where instance_id = %s"
    team.ann.until(lambda: value(team.curator, known, me(team.ann)) not in {None, old}, "the new key")
    new = team.ann.until(lambda: new_key(team.ann, old), "its own new key")
    assert value(team.curator, known, me(team.ann)) == new
    team.ann.learn(names[2], 1)
    team.ann.until_confirmed()
    assert all(team.authority_has(name) for name in names)
    former = "select former_key from centralcloud.instance where instance_id = %s"
    with team.ann.database.connect_superuser() as owner:
        team.ann.until(lambda: value(owner, "select count(*) from singularity.signing_key") == 1, "one key")
    team.ann.until(lambda: speaks(team, team.ann), "the new key to sign")
    assert value(team.curator, former, me(team.ann)) is None


def speaks(team: Team, machine: Machine) -> bool:
    """Learn something, and say whether the former key has ended since."""
    machine.learn(fresh("more"), 1)
    machine.until_confirmed()
    query = "select former_key is null from centralcloud.instance where instance_id = %s"
    return bool(value(team.curator, query, me(machine)))


def new_key(machine: Machine, old: str) -> Any:
    """Return the machine's key when it is another one."""
    key = machine.status()["public_key"]
    return key if key and key != old else None


def test_the_authority_changes_its_key_also_for_who_is_away(team: Team) -> None:
    old = value(team.curator, "select centralcloud.public_key()")
    team.bob.bridge.stop()
    try:
        for _ in range(2):  # who was away for two changes is told of the last
            present = value(team.curator, "select centralcloud.public_key()")
            team.curator.execute("select centralcloud.rotate_key()")
            wait_until(partial(another, team, present), 20, "the new key")
        new = value(team.curator, "select centralcloud.public_key()")
        team.ann.until(lambda: team.ann.status()["authority_key"] == new, "the new key to be known")
        assert team.bob.status()["authority_key"] == old
    finally:
        restarted(team.bob)
    team.bob.until(lambda: team.bob.status()["authority_key"] == new, "the new key to be known")
    for machine in (team.ann, team.bob):
        name = fresh("after")
        machine.until_online()
        machine.learn(name, 1)
        machine.until_confirmed()
        assert team.authority_has(name)


def another(team: Team, old: str) -> bool:
    """Whether the authority has another key than that."""
    return value(team.curator, "select centralcloud.public_key()") not in {None, old}


def test_another_authority_is_not_heard_and_people_are_told_what_to_do(team: Team) -> None:
    right = team.ann.status()["authority_key"]
    trusted = Keyring()
    trusted.take([(1, os.urandom(32))])
    (wrong,) = trusted.public_keys.values()
    name = fresh("unheard")
    team.ann.call("trust_authority", public_key=wrong)
    team.ann.learn(name, 1)
    told = team.ann.until(lambda: trouble(team.ann, right), "to be told")
    assert told.endswith(f"if the authority has a new key, SELECT singularity.trust_authority('{right}').")
    assert team.ann.status()["outbox_entries"] >= 1
    team.ann.call("trust_authority", public_key=right)
    team.ann.until_confirmed()
    assert trouble(team.ann, right) is None


def trouble(machine: Machine, key: str) -> Any:
    """Return the sentence about somebody who speaks as the authority with this key."""
    found = [one for one in machine.status()["troubles"] if one.startswith("Somebody else") and key in one]
    return found[0] if found else None


def test_who_hears_everything_and_says_it_again_changes_nothing(team: Team) -> None:
    """Each message that was ever sent, once more: requests, replies, receipts, pushes, heartbeats, contributions."""
    kind, name = fresh("kind"), fresh("thing")
    with Attacker(team.nats) as attacker:
        team.ann.learn(name, 1, kind)
        team.ann.until_confirmed()
        team.bob.until_known(name, kind)
        team.ann.learn(name, 2, kind)
        team.ann.until_confirmed()
        wait_until(lambda: len(attacker.messages) > 10, 20, "something to say again")
        recorded = [one for one in list(attacker.messages) if one.subject.startswith("singularity.")]
        for message in recorded:
            attacker.publish(message.subject, message.data, reply=message.reply, headers=message.headers)
        after = fresh("after")
        team.ann.learn(after, 3, kind)
        team.ann.until_confirmed()
        assert team.authority_has(after)
    assert team.ann.known(name, kind=kind)["content"] == 2
    content = """
        select v.content from centralcloud.artifact a join centralcloud.variant v using (artifact_id, variant)
        where a.name = %s
    """
    assert value(team.curator, content, name) == 2
    nothing_kept(team.ann.database, team.bob.database, team.central)
    team.ann.until_online()
    team.bob.until_online()


@pytest.mark.parametrize("who", ["user", "viewer", "relay", "stranger"])
def test_nobody_reads_the_secret(team: Team, who: str) -> None:
    for database in (team.ann.database, team.central):
        with database.connect(getattr(database, who)) as connection, pytest.raises(InsufficientPrivilege):
            connection.execute(f"select seed from {database.extension}.signing_key".encode())
    for bridge in (team.ann.bridge, team.central_bridge):
        for database in (team.ann.database, team.central):
            assert seed_of(database).hex() not in bridge.log_text()


def test_a_message_is_what_it_was_signed_as() -> None:
    """No two messages have the same bytes to be signed, wherever the borders of their parts are."""
    keyring = Keyring()
    keyring.take([(1, SEED)])
    parts = ["ab", "a", "b", ""]
    signatures = [
        keyring.sign(subject, payload.encode(), {"Nats-Msg-Id": number} if number else {}, reply)[
            "Singularity-Signature"
        ]
        for subject in parts
        for payload in parts
        for number, reply in [("", ""), ("a", ""), ("b", ""), ("ab", ""), ("", "a"), ("", "b"), ("", "ab")]
    ]
    assert len(set(signatures)) == len(signatures)
    assert json.dumps(keyring.public_keys)
