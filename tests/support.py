"""Short ways to ask a database, and a relay that carries messages by hand, in any order and number."""

import base64
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from singularity_lab import Database

Row = dict[str, Any]


def rows(connection: psycopg.Connection, query: str, *parameters: Any) -> list[Row]:
    """Return the rows of a query."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query.encode(), parameters or None).fetchall()


def row(connection: psycopg.Connection, query: str, *parameters: Any) -> Row:
    """Return the only row of a query."""
    (found,) = rows(connection, query, *parameters)
    return found


def value(connection: psycopg.Connection, query: str, *parameters: Any) -> Any:
    """Return the only value of a query."""
    (found,) = row(connection, query, *parameters).values()
    return found


@contextmanager
def refused(sqlstate: str, message: str, *, hint: bool = True) -> Iterator[None]:
    """Expect an error with this SQLSTATE, this text in its message and a hint."""
    with pytest.raises(psycopg.Error) as caught:
        yield
    assert caught.value.sqlstate == sqlstate, caught.value
    assert message in str(caught.value.diag.message_primary)
    assert bool(caught.value.diag.message_hint) or not hint


@dataclass(frozen=True)
class Message:
    """A message between two databases."""

    message_id: str
    via: str
    subject: str
    payload: bytes

    @property
    def body(self) -> Any:
        """The JSON in it."""
        return json.loads(self.payload)


class Relay:
    """The bridge of one database, moved by hand: it is attached and says that it is connected."""

    def __init__(self, database: Database) -> None:
        self.schema = database.extension
        self.connection = database.connect(database.relay)
        attached = self._call("bridge_attach", "test", 1)
        assert attached["attached"], attached
        self.tick()

    def _call(self, function: str, *arguments: Any) -> Any:
        marks = ", ".join(["%s"] * len(arguments))
        return value(self.connection, f"select {self.schema}.{function}({marks})", *arguments)

    def tick(self, *, connected: bool = True, **state: Any) -> None:
        """Report and let the background work be done."""
        report = {"bridge_version": "test", "connected": connected, "max_payload": 1 << 20, **state}
        self._call("bridge_tick", Jsonb(report))

    def queues(self) -> list[str]:
        """Return the queues with work."""
        return list(self._call("bridge_arm"))

    def take(self, queue: str, at_most: int = 64) -> list[Message]:
        """Take messages of a queue."""
        found = rows(self.connection, f"select * from {self.schema}.bridge_outgoing(%s, %s)", queue, at_most)
        return [Message(r["message_id"], r["via"], r["subject"], r["payload"]) for r in found]

    def give(self, messages: Sequence[Message]) -> list[Message]:
        """Have messages applied in one batch; returns those to be published."""
        found = rows(
            self.connection,
            f"select * from {self.schema}.bridge_receive(%s, %s, %s)",
            [message.subject for message in messages],
            [message.payload for message in messages],
            [Jsonb({"headers": {}}) for _ in messages],
        )
        return [Message("", "publish", r["subject"], r["payload"]) for r in found]

    def serve(self, message: Message) -> bytes:
        """Answer a request."""
        return bytes(self._call("bridge_serve", message.subject, message.payload))

    def result(self, message: Message, **outcome: Any) -> None:
        """Report what became of a message."""
        self._call("bridge_result", Jsonb([{"message_id": message.message_id, **outcome}]))

    def reply(self, message: Message, reply: bytes) -> None:
        """Report the reply to a request."""
        self.result(message, ok=True, reply=base64.b64encode(reply).decode())

    def close(self) -> None:
        """Detach."""
        self._call("bridge_detach")
        self.connection.close()


def hear(instance: Relay, authority: Relay) -> None:
    """Carry a heartbeat and what the instance asks because of it."""
    beats = authority.take("heartbeat")
    if beats:
        instance.give(beats)
    exchange(instance, authority, "sync")


def exchange(instance: Relay, authority: Relay, queue: str) -> int:
    """Carry the requests of a queue and their replies; returns how many."""
    requests = instance.take(queue)
    for request in requests:
        instance.reply(request, authority.serve(request))
    return len(requests)


def contribute(instance: Relay, authority: Relay) -> list[Message]:
    """Carry contributions and their receipts; returns the contributions."""
    sent = instance.take("contribution")
    if sent:
        receipts = [
            m for m in authority.give(sent) if m.subject == sent[0].subject.replace("contribute", "receipt")
        ]
        instance.give(receipts)
    return sent


def publish(authority: Relay, *instances: Relay) -> list[Message]:
    """Carry refined knowledge to instances; returns it."""
    sent: list[Message] = []
    while pushed := authority.take("refined"):
        sent += pushed
    for instance in instances:
        if sent:
            instance.give(sent)
    return sent
