"""A message between two databases."""

import json
from dataclasses import dataclass
from typing import Any

from tests.kit.queries import Row


@dataclass(frozen=True)
class Message:
    """A message that a database gave out to be sent, or that a test sends; then most of it is left out."""

    subject: str
    payload: bytes
    message_id: str = ""
    via: str = "publish"
    headers: dict[str, str] | None = None
    timeout_ms: int = 0

    @property
    def body(self) -> Any:
        """The JSON in it."""
        return json.loads(self.payload)

    @property
    def records(self) -> list[Row]:
        """The records of a contribution, without the names that only older authorities read."""
        return [
            {name: found for name, found in record.items() if name not in {"what", "withdrawn_through"}}
            for record in self.body["records"]
        ]
