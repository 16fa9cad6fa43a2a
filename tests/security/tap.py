"""What leaves a database, and what lies in it: to look for what must not be there."""

import base64
import json
from collections.abc import Iterable
from typing import Any

import psycopg
from tests.kit.message import Message
from tests.kit.pair import Instance
from tests.kit.queries import rows


class Tap:
    """All messages that an instance gives to its bridge from now on, and what it has the bridge subscribe to."""

    def __init__(self, instance: Instance) -> None:
        self.messages: list[Message] = []
        self._instance = instance
        take = instance.relay.take

        def take_and_note(queue: str, at_most: int = 64) -> list[Message]:
            taken = take(queue, at_most)
            self.messages += taken
            return taken

        instance.relay.take = take_and_note  # type: ignore[method-assign]

    def text(self) -> str:
        """Return all of it as one text."""
        said = [f"{m.subject} {m.message_id} {m.headers} {m.payload.decode()}" for m in self.messages]
        return "\n".join([*said, json.dumps(self._instance.relay.plan(), ensure_ascii=False)])


def text_of(connection: psycopg.Connection, schema: str) -> str:
    """Return all rows of all tables of an extension as one text."""
    tables = rows(
        connection,
        "select c.oid::regclass::text as name from pg_class c "
        "where c.relkind = 'r' and c.relnamespace = %s::regnamespace",
        schema,
    )
    found = [rows(connection, f"select t::text as row from {table['name']} as t") for table in tables]
    return "\n".join(
        f"{table['name']} {row['row']}" for table, rs in zip(tables, found, strict=True) for row in rs
    )


def leaked(text: str, needles: Iterable[Any]) -> list[str]:
    """Return which needles are in a text, as they are or in hex or base64."""
    flat = text.lower().replace("\n", "")
    return [needle for needle in map(str, needles) if any(form in flat for form in _forms(needle))]


def _forms(needle: str) -> list[str]:
    data = needle.encode()
    # of its three ways to lie in base64 the part that does not depend on its neighbours
    shifted = [base64.b64encode(b"\0" * pad + data).decode()[(4 if pad else 0) : -4] for pad in range(3)]
    return [needle.lower(), data.hex(), *(form.lower() for form in shifted if len(form) >= 8)]
