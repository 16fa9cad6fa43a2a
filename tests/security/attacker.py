"""Somebody who may publish and hear everything on the NATS server, and has whatever keys he made or stole."""

import json
import uuid
from typing import Any

from tests.kit.machine import Machine
from tests.kit.queries import value
from tests.path.wire import Wire

from singularity_bridge.signing import Keyring
from singularity_lab import Database, NatsServer


class Attacker(Wire):
    """A client that speaks in other names."""

    def __init__(self, server: NatsServer, seed: bytes | None = None) -> None:
        super().__init__(server, ">")
        self.keyring = Keyring()
        self.keyring.take([] if seed is None else [(1, seed)])

    def speak(self, subject: str, body: Any, *, reply: str = "") -> None:
        """Publish bytes, or a message, signed with the attacker's key if there is one."""
        payload = body if isinstance(body, bytes) else json.dumps({"v": 1, **body}).encode()
        # what goes through a stream is signed with its id
        named = {"Nats-Msg-Id": uuid.uuid4().hex} if ".contribute." in subject else None
        headers = self.keyring.sign(subject, payload, named, reply)
        self.publish(subject, payload, reply=reply, headers=headers or None)

    def send(self, subject: str, payload: bytes, reply: str) -> None:
        """Publish unsigned, without waiting for anything."""
        self._run(self._connected().publish(subject, payload, reply=reply))

    def flush(self) -> None:
        """Wait until the server has it all."""
        self._run(self._connected().flush(timeout=30))


def seed_of(database: Database) -> bytes:
    """Return the secret of a database, as only its superuser can see it."""
    with database.connect_superuser() as owner:
        query = f"select seed from {database.extension}.signing_key order by signing_key_id desc limit 1"
        return bytes(value(owner, query))


def dropped(database: Database, *reasons: str) -> int:
    """Return how many messages were dropped, for all or for some reasons."""
    with database.connect_superuser() as owner:
        query = f"""
            select coalesce(sum(messages), 0)::int from {database.extension}.rejection
            where cardinality(%s::text[]) = 0 or reason = any (%s)
        """
        return int(value(owner, query, list(reasons), list(reasons)))


def me(machine: Machine) -> str:
    """Return the id of an instance."""
    return str(machine.status()["instance_id"])
