"""What stories found, each told by hand: bridges are moved step by step, so that it happens every time."""

from collections.abc import Iterator

import psycopg
import pytest
from tests.kit.queries import value
from tests.kit.relay import Relay, contribute, hear, publish

from singularity_lab import Database

COPIES = "select count(*)::int from singularity.central_copy where name = 'thing'"


def beat_now(authority: Database) -> None:
    """Have the next heartbeat come at once."""
    with authority.connect_superuser() as superuser:
        superuser.execute("update centralcloud.publisher set heads_sent_at = null")


def keep_in_touch(authority: Database, here: Relay, there: Relay) -> None:
    """Carry heartbeats and what is asked because of them, the first comparison included."""
    for _ in range(4):
        here.tick()
        there.tick()
        beat_now(authority)
        hear(here, there)


@pytest.fixture
def bridges(
    instance: Database, authority: Database, instance_db: psycopg.Connection
) -> Iterator[tuple[Relay, Relay]]:
    """Connect an instance that follows the topic with the authority, and give both bridges."""
    for call in ("configure('ann')", "connect()", "follow('pattern')"):
        value(instance_db, f"select singularity.{call}")
    here, there = Relay.of(instance), Relay.of(authority)
    keep_in_touch(authority, here, there)
    yield here, there
    for relay in (here, there):
        relay.close()


@pytest.mark.parametrize("late", ["answer", "changes", "push"])
def test_what_comes_late_brings_back_nothing_that_was_removed_meanwhile(
    authority: Database, instance_db: psycopg.Connection, bridges: tuple[Relay, Relay], late: str
) -> None:
    """An answer, a page or a push is made before the removal and arrives after it."""
    here, there = bridges
    value(instance_db, "select singularity.learn('pattern', 'thing', '1')")
    contribute(here, there)
    there.tick()
    pushed = publish(there)
    beat_now(authority)
    here.give(there.take("heartbeat"))
    page = next(m for m in here.take("sync") if m.body["type"] == "changes")
    page_reply = there.serve(page)
    value(instance_db, "select singularity.ask('thing', 'pattern')")
    (question,) = here.take("question")
    answer = there.serve(question)
    if late != "push":
        here.give(pushed)
    if late != "changes":
        here.reply(page, page_reply)
    assert value(instance_db, COPIES) == 1
    value(instance_db, "select singularity.learn('pattern', 'thing', '2', shared => false)")
    contribute(here, there)
    there.tick()
    publish(there, here)
    assert value(instance_db, COPIES) == 0
    match late:
        case "answer":
            here.reply(question, answer)
        case "changes":
            here.reply(page, page_reply)
        case "push":
            here.give(pushed)
    keep_in_touch(authority, here, there)
    assert value(instance_db, COPIES) == 0


def test_outcomes_that_are_added_up_beside_an_open_withdrawal_are_withdrawn(
    authority: Database, instance_db: psycopg.Connection, bridges: tuple[Relay, Relay]
) -> None:
    """The withdrawal has the older number, and is committed after the outcomes were sent."""
    here, there = bridges
    value(instance_db, "select singularity.learn('pattern', 'thing', '1')")
    value(instance_db, "select singularity.record_outcome('pattern', 'thing', true)")
    with instance_db.transaction():
        value(instance_db, "select singularity.learn('pattern', 'thing', '2', shared => false)")
        here.tick()
        contribute(here, there)
        there.tick()
        with authority.connect_superuser() as superuser:
            assert value(superuser, "select sum(uses)::int from centralcloud.variant") == 1
    contribute(here, there)
    there.tick()
    with authority.connect_superuser() as superuser:
        assert value(superuser, "select coalesce(sum(uses), 0)::int from centralcloud.variant") == 0


def test_what_changes_between_forgetting_and_learning_again_is_heard_of(
    authority: Database, instance_db: psycopg.Connection, bridges: tuple[Relay, Relay]
) -> None:
    """The removal arrives while the artifact is forgotten, and its copy is still there when it is learned again."""
    here, there = bridges
    value(instance_db, "select singularity.learn('pattern', 'thing', '1')")
    contribute(here, there)
    there.tick()
    publish(there, here)
    assert value(instance_db, COPIES) == 1
    value(instance_db, "select singularity.forget('pattern', 'thing', everywhere => true)")
    contribute(here, there)
    there.tick()
    publish(there, here)
    value(instance_db, "select singularity.learn('pattern', 'thing', '2', shared => false)")
    keep_in_touch(authority, here, there)
    assert value(instance_db, COPIES) == 0
