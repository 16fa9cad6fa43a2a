"""A withdrawal holds, whatever a session that did not see it learns at the same time."""

import pytest
from psycopg.types.json import Jsonb
from tests.kit.instance_relay import InstanceRelay
from tests.kit.queries import Row
from tests.kit.session import Session


def told(online: InstanceRelay) -> Row:
    """Let the background work be done and everything be sent; return the last state of the holding."""
    online.tick()
    records = [record for record in online.send_all() if record["record_type"] == "holding"]
    return max(records, key=lambda record: record["version"])


@pytest.fixture
def sent(online: InstanceRelay, db: Session) -> int:
    """Share something, and return the version that the authority has of it."""
    online.welcome()
    online.find_equal()
    db.learn("secret", "first")
    version: int = told(online)["version"]
    return version


@pytest.mark.parametrize("sent_meanwhile", [True, False])
def test_unshared_while_another_learns(
    online: InstanceRelay, db: Session, other: Session, sent: int, sent_meanwhile: bool
) -> None:
    db.begin()
    db.learn("secret", "first", shared=False)
    other.learn("secret", "second")
    if sent_meanwhile:
        assert told(online)["content"] == "second"
    db.commit()
    last = told(online)
    assert last["withdrawn_up_to"] == last["version"] > sent
    assert db.history("secret")[0]["shared"] is False
    assert db.known("secret")["content"] == "second"
    db.learn("secret", "third")
    assert online.send_all() == []


@pytest.mark.parametrize("sent_meanwhile", [True, False])
def test_forgotten_everywhere_while_another_learns(
    online: InstanceRelay, db: Session, other: Session, sent: int, sent_meanwhile: bool
) -> None:
    db.begin()
    db.forget("secret", everywhere=True)
    other.learn("secret", "second")
    if sent_meanwhile:
        assert told(online)["withdrawn_up_to"] == 0
    db.commit()
    last = told(online)
    assert last["content"] == "second"
    assert sent < last["withdrawn_up_to"] < last["version"]
    assert [row["content"] for row in db.history("secret")].count("first") == 0


def test_learned_while_another_forgets_everywhere(
    online: InstanceRelay, db: Session, other: Session, sent: int
) -> None:
    db.begin()
    db.learn("secret", "second")
    other.forget("secret", everywhere=True)
    db.commit()
    last = told(online)
    assert last["withdrawn_up_to"] == last["version"] > sent
    assert db.lookup("secret") is None
    assert {row["content"] for row in db.history("secret")} == {None}


def test_shared_again_stays_shared(online: InstanceRelay, db: Session, sent: int) -> None:
    db.learn("secret", "first", shared=False)
    db.learn("secret", "second", shared=True)
    last = told(online)
    assert last["content"] == "second"
    assert sent < last["withdrawn_up_to"] < last["version"]
    assert len(db.history("secret")) == 3


def test_forgotten_here_while_another_forgets_everywhere(
    online: InstanceRelay, db: Session, other: Session, sent: int
) -> None:
    db.begin()
    db.forget("secret", everywhere=True)
    other.forget("secret")
    db.commit()
    last = told(online)
    assert last["withdrawn_up_to"] == last["version"] > sent
    # and nothing is sent again and again that no receipt could end
    online.tick()
    assert "contribution" not in online.arm()
    assert online.contributions() == []


def test_what_was_learned_since_a_restore_stays_shared(
    online: InstanceRelay, db: Session, owner: Session
) -> None:
    """The authority gives back a withdrawal of a time that was lost; it withdraws nothing that came later."""
    online.welcome()
    online.find_equal()
    for name in ("one", "two", "secret"):
        db.learn(name, "later")
    lost = {"record_type": "holding", "namespace": "default", "kind": "pattern", "name": "secret"}
    state = {**lost, "version": 1, "withdrawn_up_to": 1}
    seal = owner.value(
        "select singularity.seal_of(jsonb_populate_record(null::singularity.wire_record, %s))", [Jsonb(state)]
    )
    owner.run("select singularity.restore_states(%s)", [Jsonb([{**state, "seal": seal}])])
    last = told(online)
    assert (last["name"], last["content"], last["withdrawn_up_to"]) == ("secret", "later", 1)
    assert db.history("secret")[0]["shared"] is True
