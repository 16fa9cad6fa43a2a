"""What is applied in two sessions at the same time is not lost: scores and winners see both."""

import json
import threading
from collections.abc import Callable
from typing import Any

import psycopg
from psycopg.types.json import Jsonb
from tests.kit.keys import inbox_of, meta_of
from tests.kit.message import Message
from tests.kit.queries import row, rows, value
from tests.kit.relay import Relay
from tests.kit.speaker import Speaker, speakers

from singularity_lab import Database, wait_until

RECEIVE = "select count(*) from centralcloud.bridge_receive(%s, %s, %s)"
KNOWN = "select uses, holders from centralcloud.artifact"


def begin(connection: psycopg.Connection, query: str, *parameters: Any) -> Callable[[], None]:
    """Execute a statement beside us; returns when it has ended or waits. Call the result to see it end."""
    thread = threading.Thread(target=lambda: connection.execute(query.encode(), parameters or None))
    waits = "select exists (select from pg_locks where pid = %s and not granted)"
    with psycopg.connect(connection.info.dsn, autocommit=True) as watcher:
        thread.start()
        pid = connection.info.backend_pid
        wait_until(lambda: not thread.is_alive() or value(watcher, waits, pid), 20)

    def finish() -> None:
        thread.join(20)
        assert not thread.is_alive(), query

    return finish


def batch(*messages: Message) -> tuple[list[str], list[bytes], list[Jsonb]]:
    """Return the arguments of bridge_receive()."""
    meta = [Jsonb(meta_of(m.subject)) for m in messages]
    return [m.subject for m in messages], [m.payload for m in messages], meta


def test_outcomes_of_one_variant(relay: Relay, authority: Database) -> None:
    ann, bob = speakers(2)
    relay.give([ann.says(ann.holds())])
    with authority.connect(authority.relay) as other:
        with relay.connection.transaction():
            relay.give([ann.says(ann.used(5))])
            finish = begin(other, RECEIVE, *batch(bob.says(bob.holds(), bob.used(3))))
        finish()
    assert row(relay.connection, KNOWN) == {"uses": 8, "holders": 2}


def test_outcomes_of_rival_variants(relay: Relay, authority: Database) -> None:
    ann, bob = speakers(2)
    relay.give([ann.says(ann.holds("a"), ann.used(2, 0, "a")), bob.says(bob.holds("b"))])
    with authority.connect(authority.relay) as other:
        with relay.connection.transaction():
            relay.give([ann.says(ann.used(20, 0, "a"))])
            finish = begin(other, RECEIVE, *batch(bob.says(bob.used(9, 0, "b"))))
        finish()
    assert row(relay.connection, KNOWN) == {"uses": 20, "holders": 1}
    best = "select max(confidence) = (select confidence from centralcloud.artifact) from centralcloud.variant"
    assert value(relay.connection, best)


def test_new_artifacts_in_another_order(relay: Relay, authority: Database) -> None:
    ann, bob = speakers(2)
    names = [f"n{n}" for n in range(20)]
    with authority.connect(authority.relay) as other:
        with relay.connection.transaction():
            relay.give([ann.says(*(ann.holds(name=name) for name in names))])
            finish = begin(other, RECEIVE, *batch(bob.says(*(bob.holds(name=name) for name in names[::-1]))))
        finish()
    held = "select min(holders) as least, count(*) from centralcloud.artifact"
    assert row(relay.connection, held) == {"least": 2, "count": 20}


def test_daily_scoring_beside_an_arrival(
    relay: Relay, authority: Database, authority_db: psycopg.Connection
) -> None:
    ann = Speaker(1)
    relay.give([ann.says(ann.holds(), ann.used(5))])
    authority_db.execute("select centralcloud.rescore('2026-01-01')")
    with authority.connect(authority.relay) as other:
        with relay.connection.transaction():
            relay.give([ann.says(ann.used(9))])
            finish = begin(other, "select centralcloud.bridge_tick('{\"connected\": true}')")
        finish()
    assert value(authority_db, "select unscored from centralcloud.status()") == 0
    assert row(relay.connection, KNOWN) == {"uses": 9, "holders": 1}


def test_a_replay_beside_an_arrival(
    relay: Relay, authority_db: psycopg.Connection, authority_superuser: psycopg.Connection
) -> None:
    ann, bob = speakers(2)
    mended = bob.says(bob.holds(), bob.used(3))
    relay.give([ann.says(ann.holds()), bob.says(v=2)])
    authority_superuser.execute("update centralcloud.dead_letter set payload = %s", [mended.payload])
    with relay.connection.transaction():
        relay.give([ann.says(ann.used(5))])
        finish = begin(authority_db, "select centralcloud.replay_dead_letters()")
    finish()
    assert row(relay.connection, KNOWN) == {"uses": 8, "holders": 2}
    assert value(authority_db, "select dead_letters from centralcloud.status()") == 0


def test_questions_and_reports_wait_for_no_arrival(
    relay: Relay, authority: Database, authority_db: psycopg.Connection
) -> None:
    ann = Speaker(1)
    relay.give([ann.says(ann.holds("aardvark"))])
    with relay.connection.transaction(), authority.connect(authority.relay) as other:
        relay.give([ann.says(ann.withdraws())])
        for connection in (other, authority_db):
            connection.execute("set lock_timeout = '50ms'")
        answer = ann.asks("ask", query="aardvark")
        meta = meta_of(answer.subject, reply=inbox_of(answer.subject))
        query = "select centralcloud.bridge_serve(%s, %s, %s)"
        other.execute(query, [answer.subject, answer.payload, Jsonb(meta)])
        assert value(authority_db, "select count(*) from centralcloud.search('aardvark')") == 1
        assert value(authority_db, "select artifacts from centralcloud.status()") == 1
        assert value(authority_db, "select artifacts from centralcloud.statistics()") == 1


def test_publishing_passes_over_what_is_arriving(relay: Relay, authority: Database) -> None:
    ann = Speaker(1)
    relay.give([ann.says(ann.holds("old", "busy"), ann.holds("old", "idle"))])
    outgoing = "select payload from centralcloud.bridge_outgoing('refined', 64)"

    def published(connection: psycopg.Connection) -> list[tuple[str, str, int]]:
        bodies = [json.loads(found["payload"]) for found in rows(connection, outgoing)]
        return [(r["name"], r["content"], r["revision"]) for body in bodies for r in body["rows"]]

    with authority.connect(authority.relay) as other:
        other.execute("set lock_timeout = '50ms'")
        with relay.connection.transaction():
            relay.give([ann.says(ann.holds("new", "busy"))])
            assert published(other) == [("idle", "old", 1)]
        assert published(other) == [("busy", "new", 2)]
        assert published(other) == []
