"""Nobody waits for a stranger's open transaction, and nobody fails because of one.

Sessions give up at once when they have to wait for a lock (see NO_WAITING), so that what passes here never waited.
"""

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
import pytest
from tests.kit.instance_relay import InstanceRelay, refined
from tests.kit.session import Open, Session

Operation = Callable[[Session, str], object]
_numbers = itertools.count()

READING: dict[str, Operation] = {
    "lookup": lambda session, name: session.lookup(name),
    "lookup a miss": lambda session, name: session.lookup(f"no {name}"),
    "recall": lambda session, name: session.recall(name),
    "recall a miss": lambda session, name: session.recall(f"zebra {name}"),
    "ask": lambda session, name: session.ask(f"what is {name}"),
    "history": lambda session, name: session.history(name),
    "status": lambda session, _: session.status(),
}
WRITING: dict[str, Operation] = {
    "learn": lambda session, name: session.learn(
        name, {"number": next(_numbers)}, tags=[str(next(_numbers))]
    ),
    "learn unchanged": lambda session, name: session.learn(name),
    "learn many": lambda session, name: session.learn_many(
        [{"kind": "pattern", "name": name, "content": next(_numbers)} for name in (name, "many")]
    ),
    "outcome": lambda session, name: session.outcome(name),
    "forget": lambda session, name: (
        session.learn(f"gone {name}", next(_numbers)),
        session.forget(f"gone {name}"),
    ),
}
ALL = {**READING, **WRITING}


@pytest.fixture(params=["local", "hybrid"])
def bridge(request: pytest.FixtureRequest, db: Session, relay: InstanceRelay) -> InstanceRelay:
    """Know a few things, in either mode, with a bridge that sleeps."""
    db.call("connect", mode=request.param)
    relay.attach()
    relay.tick()
    for name in ("same", "other", "gone same", "gone other", "many"):
        db.learn(name)
        db.outcome(name)
    if request.param == "hybrid":
        relay.go_online()
        db.ask("cached")
        relay.answer(relay.question(), refined("same"), refined("cached"))
        relay.send_all()
        (hello,) = relay.take("sync")
        relay.respond(hello, "welcome", known_version=0, heads={})
        assert relay.arm() == []
    return relay


@contextmanager
def beside(held: str, then: str, *sessions: Session) -> Iterator[None]:
    """Say which two operations met when one of them fails, and end what is open."""
    try:
        yield
    except psycopg.Error as error:
        for session in sessions:
            if session.in_transaction:
                session.rollback()
        pytest.fail(f"{then}, while another session did {held}: {error}")


@pytest.mark.parametrize("isolation", ["read committed", "repeatable read"])
def test_nobody_waits_or_fails(db: Session, other: Session, bridge: InstanceRelay, isolation: str) -> None:
    for held, then, key in itertools.product(ALL, ALL, ["same", "other"]):
        bridge.heads()
        with beside(held, f"{then} of {key}", db, other):
            db.begin(isolation)
            ALL[held](db, "same")
            other.begin(isolation)
            ALL[then](other, key)
            other.commit()
            ALL[held](db, "same")
            ALL[then](db, key)
            db.commit()


@pytest.mark.parametrize("isolation", ["read committed", "repeatable read"])
def test_opposite_order_is_no_deadlock(
    db: Session, other: Session, bridge: InstanceRelay, isolation: str
) -> None:
    for name, operation in ALL.items():
        bridge.heads()
        with beside(name, name, db, other):
            db.begin(isolation)
            other.begin(isolation)
            operation(db, "same")
            operation(other, "other")
            operation(db, "other")
            operation(other, "same")
            db.commit()
            other.commit()


def test_serializable_readers_and_askers_never_fail(
    db: Session, other: Session, bridge: InstanceRelay
) -> None:
    """Except by status(), which counts what the others ask."""
    asking = [name for name in READING if name != "status"]
    for held, then in itertools.product(asking, asking):
        bridge.heads()
        with beside(held, then, db, other):
            db.begin("serializable")
            READING[held](db, "same")
            other.begin("serializable")
            READING[then](other, "same")
            READING[held](other, "same")
            other.commit()
            READING[then](db, "same")
            db.commit()


def test_serializable_writers_never_wait_and_may_try_again(
    db: Session, other: Session, bridge: InstanceRelay
) -> None:
    """What each of two transactions reads and the other writes is theirs to be serialized; nothing else fails."""
    for held, then, key in itertools.product(WRITING, ALL, ["same", "other"]):
        bridge.heads()
        with beside(held, f"{then} of {key}", db, other):
            db.begin("serializable")
            WRITING[held](db, "same")
            other.begin("serializable")
            for session, operation in ((other, ALL[then]), (db, WRITING[held])):
                try:
                    operation(session, key)
                    session.commit()
                except psycopg.errors.SerializationFailure:
                    if session.in_transaction:
                        session.rollback()
                    session.begin("serializable")
                    operation(session, key)
                    session.commit()


@pytest.mark.parametrize("isolation", ["repeatable read", "serializable"])
def test_a_mixture_of_isolation_levels_does_not_wait_either(
    db: Session, other: Session, bridge: InstanceRelay, isolation: str
) -> None:
    for first, second in ((isolation, "read committed"), ("read committed", isolation)):
        for name, operation in ALL.items():
            bridge.heads()
            with beside(name, name, db, other):
                db.begin(first)
                operation(db, "same")
                other.begin(second)
                operation(other, "same")
                other.commit()
                db.commit()


def test_of_two_who_learned_the_same_the_later_version_is_in_force(
    db: Session, other: Session, bridge: InstanceRelay
) -> None:
    db.begin()
    other.begin()
    db.learn("same", {"say": "violin"})
    other.learn("same", {"say": "harbour"})
    other.commit()
    assert other.known("same")["content"] == {"say": "harbour"}
    db.commit()
    assert db.known("same")["content"] == other.known("same")["content"] == {"say": "harbour"}
    assert [version["content"] for version in db.history("same")[:2]] == [
        {"say": "harbour"},
        {"say": "violin"},
    ]
    assert db.names("harbour", kind="pattern") == ["same"]
    words = "select words from singularity.explain_recall('violin', min_similarity => 0) where name = 'same'"
    assert db.value(words) == 0


def test_outcomes_of_all_sessions_count(db: Session, open_session: Open, bridge: InstanceRelay) -> None:
    before = db.known("other")["uses"]
    sessions = [open_session() for _ in range(4)]
    for session in sessions:
        session.begin()
        session.outcome("other", True)
        session.outcome("other", False)
    bridge.tick()
    for session in sessions:
        session.commit()
    bridge.tick()
    assert db.value("select count(*) from singularity.outcome") == 0
    assert db.known("other")["uses"] == before + 8


FORGET_EVERYWHERE: Operation = lambda session, name: session.forget(name, everywhere=True)  # noqa: E731
MAINTAIN: Operation = lambda session, _: session.run("call singularity.maintain()")  # noqa: E731


@pytest.mark.parametrize("held", ["forget everywhere", "maintain", *WRITING])
def test_the_bridge_waits_for_nobody(
    db: Session, other: Session, open_session: Open, bridge: InstanceRelay, owner: Session, held: str
) -> None:
    db.ask("over")
    owner.run("update singularity.question set asked_at = asked_at - interval '1 day'")
    other.outcome("same")
    other.outcome("other")
    db.begin()
    {**WRITING, "forget everywhere": FORGET_EVERYWHERE, "maintain": MAINTAIN}[held](db, "same")
    other.learn("same", "taken back", shared=False)
    other.forget("other", everywhere=True)
    other.ask("zebra")
    bridge.heads()
    bridge.tick()
    bridge.arm()
    for question in bridge.take("question"):
        bridge.answer(question, refined("same"), refined("zebra"))
    bridge.take("sync")
    bridge.send_all()
    bridge.tick()
    db.commit()
    bridge.tick()
    bridge.send_all()
    assert db.outbox() == []


def answer_all(bridge: InstanceRelay) -> None:
    """Let an answer to every question that waits arrive."""
    for question in bridge.take("question"):
        bridge.answer(question, refined("same", "new"))


def test_nobody_waits_for_the_bridge(db: Session, other: Session, bridge: InstanceRelay) -> None:
    """Each of the bridge's transactions is left open while others work."""
    steps: dict[str, Callable[[], object]] = {
        "tick": bridge.tick,
        "arm": bridge.arm,
        "heads": bridge.heads,
        "sending": bridge.contributions,
        "receipts": bridge.send_all,
        "answers": lambda: answer_all(bridge),
    }
    operations = {**ALL, "forget everywhere": FORGET_EVERYWHERE}
    for step, name in itertools.product(steps, operations):
        bridge.heads()
        for key in ("same", "other"):
            db.learn(key, {"number": next(_numbers)})
            db.outcome(key)
        db.ask(f"question {next(_numbers)}")
        bridge.session.begin()
        steps[step]()
        with beside(f"the bridge's {step}", name, other, db):
            operations[name](other, "same")
            operations[name](db, "other")
        bridge.session.commit()


def test_the_searchable_text_is_that_of_the_version_in_force_when_an_answer_comes_between(
    db: Session, other: Session, online: InstanceRelay
) -> None:
    db.begin()
    db.learn("between", {"say": "elephant"})
    other.ask("between")
    online.answer(online.question(), refined("between", {"say": "crocodile"}))
    db.commit()
    assert db.known("between")["content"] == {"say": "elephant"}
    db.run("call singularity.maintain()")
    assert db.names("elephant") == ["between"]
    words = "select words from singularity.explain_recall('crocodile', min_similarity => 0) where name = 'between'"
    assert db.value(words) == 0
    assert db.value("select count(*) from singularity.document where name = 'between'") == 1
