"""What stories found, each told by hand: bridges are moved step by step, so that it happens every time."""

import psycopg
import pytest
from tests.support import Relay, contribute, hear, publish, value

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


@pytest.mark.parametrize("late", ["answer", "changes", "push"])
def test_what_comes_late_brings_back_nothing_that_was_removed_meanwhile(
    instance: Database, authority: Database, instance_db: psycopg.Connection, late: str
) -> None:
    """An answer, a page or a push is made before the removal and arrives after it."""
    for call in ("configure('ann')", "connect()", "follow('pattern')"):
        value(instance_db, f"select singularity.{call}")
    here, there = Relay(instance), Relay(authority)
    keep_in_touch(authority, here, there)
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
    for relay in (here, there):
        relay.close()


def test_outcomes_that_are_added_up_beside_an_open_withdrawal_are_withdrawn(
    instance: Database, authority: Database, instance_db: psycopg.Connection
) -> None:
    """The withdrawal has the older number, and is committed after the outcomes were sent."""
    for call in ("configure('ann')", "connect()"):
        value(instance_db, f"select singularity.{call}")
    here, there = Relay(instance), Relay(authority)
    keep_in_touch(authority, here, there)
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
    for relay in (here, there):
        relay.close()
