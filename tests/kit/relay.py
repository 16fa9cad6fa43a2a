"""The bridge of a database, moved by hand: messages are carried in any order and number."""

import base64
from collections.abc import Sequence
from typing import Any, Self, cast

import psycopg
from psycopg.types.json import Jsonb
from tests.kit.keys import AUTHORITY_KEY, inbox_of, meta_of
from tests.kit.message import Message
from tests.kit.queries import Row, rows, value

from singularity_lab import Database

VERSION = "test"


class Relay:
    """The functions that a bridge calls, in a session of its role."""

    def __init__(self, connection: psycopg.Connection[Any], schema: str) -> None:
        self.connection = connection
        self.schema = schema

    @classmethod
    def of(cls, database: Database, *, observing: bool = False) -> Self:
        """Return the bridge of a database: it is attached and says that it is connected.

        The login of an `observing` one may also look at what its transactions make, as a bridge's own may not.
        """
        user = _observer(database) if observing else database.relay
        relay = cls(database.connect(user), database.extension)
        attached = relay.attach()
        assert attached["attached"], attached
        relay.tick()
        return relay

    def attach(self, version: str = VERSION, protocol: int = 1) -> Row:
        """Call bridge_attach()."""
        return cast(Row, self._call("bridge_attach", version, protocol))

    def detach(self) -> None:
        """Call bridge_detach()."""
        self._call("bridge_detach")

    def plan(self) -> Row:
        """Call bridge_plan()."""
        return cast(Row, self._call("bridge_plan"))

    def arm(self) -> list[str]:
        """Call bridge_arm(): return the queues with work."""
        return cast(list[str], self._call("bridge_arm"))

    def tick(self, *, connected: bool = True, **state: Any) -> Row:
        """Report as a bridge does, and let the background work be done."""
        report = {"bridge_version": VERSION, "connected": connected, "max_payload": 1 << 20, **state}
        return cast(Row, self._call("bridge_tick", Jsonb(report)))

    def take(self, queue: str, at_most: int = 64) -> list[Message]:
        """Take messages of a queue."""
        query = f"select * from {self.schema}.bridge_outgoing(%s, %s)"
        return [
            Message(**{**found, "payload": bytes(found["payload"])})
            for found in rows(self.connection, query, queue, at_most)
        ]

    def give(self, messages: Sequence[Message]) -> list[Message]:
        """Have messages applied in one batch; returns those to be published."""
        found = rows(
            self.connection,
            f"select * from {self.schema}.bridge_receive(%s, %s, %s)",
            [message.subject for message in messages],
            [message.payload for message in messages],
            [Jsonb(meta_of(message.subject)) for message in messages],
        )
        return [Message(one["subject"], one["payload"]) for one in found]

    def serve(self, message: Message) -> bytes:
        """Answer a request."""
        meta = meta_of(message.subject, reply=inbox_of(message.subject))
        answer = self._call("bridge_serve", message.subject, message.payload, Jsonb(meta))
        assert answer is not None, f"{message.subject} is not answered"
        return bytes(answer)

    def result(self, message: Message, **outcome: Any) -> None:
        """Report what became of a message."""
        self._call("bridge_result", Jsonb([{"message_id": message.message_id, **outcome}]))

    def reply(self, message: Message, payload: bytes) -> None:
        """Report the reply to a request."""
        self.result(message, ok=True, reply=base64.b64encode(payload).decode(), signer=AUTHORITY_KEY)

    def close(self) -> None:
        """Detach, and end the session."""
        self.detach()
        self.connection.close()

    def _call(self, function: str, *arguments: Any) -> Any:
        marks = ", ".join(["%s"] * len(arguments))
        return value(self.connection, f"select {self.schema}.{function}({marks})", *arguments)


def _observer(database: Database) -> str:
    name = f"{database.roles}_observer"
    with database.connect_superuser() as owner:
        if not rows(owner, "select from pg_roles where rolname = %s", name):
            groups = f"{database.relay}, {database.viewer}"
            owner.execute(f"create role {name} login in role {groups}".encode())
    return name


def hear(instance: Relay, authority: Relay) -> None:
    """Carry a heartbeat and what the instance asks because of it."""
    beats = authority.take("heartbeat")
    if beats:
        instance.give(beats)
    exchange(instance, authority, "sync")


def exchange(instance: Relay, authority: Relay, queue: str) -> list[Message]:
    """Carry the requests of a queue and their replies; returns the requests."""
    requests = instance.take(queue)
    for request in requests:
        instance.reply(request, authority.serve(request))
    return requests


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
