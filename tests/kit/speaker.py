"""An instance as the authority hears it: it numbers its states and speaks in messages."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from tests.kit.identity import variant_of
from tests.kit.message import Message
from tests.kit.relay import Relay

Record = dict[str, Any]

SUBJECTS = "singularity"
FIRST_INCARNATION = UUID(int=1 << 64)


@dataclass
class Speaker:
    """An instance that contributes, withdraws and records outcomes; every state gets the next version.

    `name`, `kind` and `namespace` say of which artifact; a keyword that a record has (version, summary, …)
    replaces what it would say by itself.
    """

    number: int
    environment: str = "prod"
    version: int = 0
    withdrawn: dict[tuple[str, str, str], int] = field(default_factory=dict)

    @property
    def id(self) -> UUID:
        """Id of the instance."""
        return UUID(int=self.number)

    def holds(self, content: Any = "a", name: str = "x", **more: Any) -> Record:
        """Hold a content."""
        record = self._record("holding", name, more)
        key = (record["namespace"], record["kind"], record["name"])
        return {
            **record,
            "withdrawn_up_to": self.withdrawn.get(key, 0),
            "variant": variant_of(content),
            "content": content,
            **more,
        }

    def withdraws(self, name: str = "x", **more: Any) -> Record:
        """Withdraw everything that was said of an artifact."""
        record = self._record("holding", name, more)
        key = (record["namespace"], record["kind"], record["name"])
        self.withdrawn[key] = record["version"]
        return {**record, "withdrawn_up_to": record["version"], **more}

    def used(
        self, successes: int, failures: int = 0, content: Any = "a", name: str = "x", **more: Any
    ) -> Record:
        """Have these absolute counters for a content."""
        return {
            **self._record("evidence", name, more),
            "variant": variant_of(content),
            "incarnation": str(FIRST_INCARNATION),
            "uses": successes + failures,
            "successes": successes,
            "failures": failures,
            "last_used_at": "2026-01-01T00:00:00Z",
            **more,
        }

    def says(self, *records: Record, **more: Any) -> Message:
        """Return a contribution with these records."""
        return self.message("contribute", "contribution", records=list(records), **more)

    def asks(self, endpoint: str, /, **fields: Any) -> Message:
        """Return a request to this endpoint: ask, changes or hello."""
        return self.message(f"centralcloud.{endpoint}", endpoint, **{"request": "r", **fields})

    def message(self, to: str, message_type: str, /, **fields: Any) -> Message:
        """Return a message in this instance's name."""
        body = {
            "v": 1,
            "type": message_type,
            "instance": str(self.id),
            "instance_name": f"speaker {self.number}",
            "environment": self.environment,
            **fields,
        }
        return self.raw(to, json.dumps(body, ensure_ascii=False).encode())

    def raw(self, to: str, payload: bytes) -> Message:
        """Return bytes sent in this instance's name."""
        return Message(f"{SUBJECTS}.{to}.{self.id}", payload)

    def _record(self, record_type: str, name: str, more: Record) -> Record:
        self.version += 1
        fixed: Record = {"record_type": record_type, "namespace": "default", "kind": "k", "name": name}
        fixed["version"] = self.version
        return {**fixed, **{key: more[key] for key in fixed if key in more}}


def speakers(count: int, **more: Any) -> list[Speaker]:
    """Return instances that are told apart."""
    return [Speaker(number, **more) for number in range(1, count + 1)]


def verdicts(receipts: Iterable[Message]) -> list[tuple[int, str, str | None]]:
    """Return version, verdict and reason of every record that receipts name."""
    return [
        (record["version"], record["verdict"], record.get("reason"))
        for receipt in receipts
        for record in receipt.body["records"]
    ]


def request(relay: Relay, message: Message) -> Any:
    """Return the body of the answer to a request."""
    return json.loads(relay.serve(message))
