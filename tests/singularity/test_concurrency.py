"""Nobody waits for another session's open transaction, at any isolation level."""

from collections.abc import Iterator

import psycopg
import pytest
from psycopg import IsolationLevel
from tests.kit.queries import value
from tests.kit.relay import Relay

from singularity_lab import Database

LEVELS = [IsolationLevel.READ_COMMITTED, IsolationLevel.REPEATABLE_READ]
Pair = tuple[psycopg.Connection, psycopg.Connection]


@pytest.fixture(params=["local", "hybrid"])
def relay(request: pytest.FixtureRequest, instance: Database) -> Iterator[Relay]:
    """Attach a bridge to an instance of either mode that was just woken and sleeps again."""
    with instance.connect() as connection:
        connection.execute("select singularity.connect(%s)", [request.param])
    with instance.connect_superuser() as superuser:
        superuser.execute("select singularity.hear_authority('1')")
    relay = Relay.of(instance)
    relay.arm()
    yield relay
    relay.close()


@pytest.fixture(params=LEVELS, ids=lambda level: str(level.name))
def pair(request: pytest.FixtureRequest, instance: Database, relay: Relay) -> Iterator[Pair]:
    """Open two sessions that give up when they wait."""
    sessions = instance.connect(autocommit=False), instance.connect(autocommit=False)
    for session in sessions:
        session.execute("set lock_timeout = '2s'")
        session.commit()
        session.isolation_level = request.param
    yield sessions
    for session in sessions:
        session.close()


def learn(name: str, content: int) -> str:
    return f"select singularity.learn('k', '{name}', '{content}')"


OUTCOME = "select singularity.record_outcome('k', '{}', true)"
ORDERS = {
    "learn": ([learn("a", 1), learn("b", 1)], [learn("b", 2), learn("a", 2)]),
    "outcomes": ([OUTCOME.format("a"), OUTCOME.format("b")], [OUTCOME.format("b"), OUTCOME.format("a")]),
    "questions": (
        ["select singularity.ask('zzz')", "select singularity.lookup('k', 'nope')"],
        ["select singularity.lookup('k', 'nope')", "select singularity.ask('zzz')"],
    ),
    "recall": (
        ["select singularity.recall('a')", learn("a", 3)],
        [learn("a", 4), "select singularity.recall('a')"],
    ),
    "forget": (
        ["select singularity.forget('k', 'a')", learn("b", 5)],
        [learn("b", 6), "select singularity.forget('k', 'a')"],
    ),
}


@pytest.mark.parametrize("what", ORDERS)
@pytest.mark.parametrize("there_before", [False, True])
def test_two_sessions_in_opposite_order(
    pair: Pair, instance_db: psycopg.Connection, what: str, there_before: bool
) -> None:
    if there_before or what == "outcomes":
        instance_db.execute(f"{learn('a', 0)}, singularity.learn('k', 'b', '0')".encode())
    for first, second in zip(*ORDERS[what], strict=True):
        pair[0].execute(first.encode())
        pair[1].execute(second.encode())
    pair[0].commit()
    pair[1].commit()


def test_the_bridge_passes_by_an_open_transaction(
    pair: Pair, instance_db: psycopg.Connection, relay: Relay
) -> None:
    for content in (1, 2):
        instance_db.execute(learn("a", content).encode())
    session = pair[0]
    for statement in (
        learn("a", 3),
        OUTCOME.format("a"),
        "select singularity.forget('k', 'a', everywhere => true)",
    ):
        session.execute(statement.encode())
    relay.connection.execute("set statement_timeout = '2s'")
    relay.tick()
    relay.arm()
    for queue in ("contribution", "question", "sync"):
        relay.take(queue)
    session.execute(learn("b", 4).encode())
    session.commit()
    assert value(instance_db, "select count(*) from singularity.lookup('k', 'b')") == 1


def test_what_was_open_during_connect_is_queued_when_it_ends(
    instance: Database, instance_db: psycopg.Connection
) -> None:
    with instance.connect(autocommit=False) as late:
        late.execute(learn("late", 1).encode())
        instance_db.execute("select singularity.connect()")
        relay = Relay.of(instance)
        assert relay.take("contribution") == []
        late.commit()
    relay.tick()
    (message,) = relay.take("contribution")
    assert [record["name"] for record in message.body["records"]] == ["late"]
    relay.close()
