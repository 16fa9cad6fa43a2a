"""The bridge and the authority behind it, played by the test through the functions that a bridge calls."""

import base64
import json
from dataclasses import dataclass
from typing import Any, cast
from uuid import UUID

from psycopg.types.json import Jsonb
from tests.instance.identity import artifact_id, variant_of
from tests.instance.session import Row, Session

EPOCH = "first-epoch"
STREAM = "singularity_contributions"
STREAM_CREATED = "2026-01-01T00:00:00Z"
ZERO = UUID(int=0)


@dataclass(frozen=True)
class Message:
    """A message that the database gave out to be sent."""

    message_id: str
    via: str
    subject: str
    headers: dict[str, str] | None
    body: dict[str, Any]
    size: int
    timeout_ms: int

    @property
    def records(self) -> list[Row]:
        """The records of a contribution, without the names that only older authorities read."""
        return [
            {name: found for name, found in record.items() if name not in {"what", "withdrawn_through"}}
            for record in self.body["records"]
        ]


class Relay:
    """One attached bridge, and the authority's words through it."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.stream: dict[str, Any] = {
            "created": STREAM_CREATED,
            "messages": 0,
            "bytes": 0,
            "last_sequence": 0,
        }
        self.sequence = 0

    def attach(self, version: str = "0.1.0", protocol: int = 1) -> Row:
        """Call bridge_attach()."""
        given = [version, protocol]
        return cast(Row, self.session.value("select singularity.bridge_attach(%s, %s)", given))

    def detach(self) -> None:
        """Call bridge_detach()."""
        self.session.run("select singularity.bridge_detach()")

    def plan(self) -> Row:
        """Call bridge_plan()."""
        return cast(Row, self.session.value("select singularity.bridge_plan()"))

    def arm(self) -> list[str]:
        """Call bridge_arm()."""
        return cast(list[str], self.session.value("select singularity.bridge_arm()"))

    def tick(self, *, connected: bool = True, error: str | None = None, **more: Any) -> Row:
        """Call bridge_tick() with a report as a bridge makes it."""
        state = {
            "bridge_version": "0.1.0",
            "connected": connected,
            "error": error,
            "max_payload": 1048576,
            "streams": {STREAM: self.stream} if connected else {},
            "consumers": {},
            **more,
        }
        return cast(Row, self.session.value("select singularity.bridge_tick(%s)", [Jsonb(state)]))

    def outgoing(self, queue: str, max_messages: int = 16) -> list[Message]:
        """Call bridge_outgoing()."""
        rows = self.session.call("bridge_outgoing", queue=queue, max_messages=max_messages)
        return [
            Message(
                message_id=row["message_id"],
                via=row["via"],
                subject=row["subject"],
                headers=row["headers"],
                body=json.loads(bytes(row["payload"])),
                size=len(row["payload"]),
                timeout_ms=row["timeout_ms"],
            )
            for row in rows
        ]

    def result(self, *results: dict[str, Any]) -> None:
        """Call bridge_result()."""
        self.session.run("select singularity.bridge_result(%s)", [Jsonb(list(results))])

    def receive(self, subject: str, payload: bytes | dict[str, Any]) -> list[Row]:
        """Call bridge_receive() with one message."""
        data = payload if isinstance(payload, bytes) else json.dumps({"v": 1, **payload}).encode()
        return self.session.call(
            "bridge_receive", subjects=[subject], payloads=[data], meta=[Jsonb({"headers": {}})]
        )

    def heads(self, heads: dict[str, int] | None = None, *, epoch: str = EPOCH, passed: int = 0) -> None:
        """Let the authority's heartbeat arrive."""
        body = {"type": "heads", "epoch": epoch, "heads": heads or {}, "stream_created": STREAM_CREATED}
        self.receive("singularity.heads", {**body, "stream_passed": passed})

    def go_online(self) -> None:
        """Report a connection and let the authority be heard."""
        self.tick()
        self.heads()
        assert self.session.status()["online"]

    def reply(self, message: Message, kind: str, /, *, epoch: str = EPOCH, **body: Any) -> None:
        """Let the authority's reply to a request arrive."""
        answer = {"v": 1, "type": kind, "request": message.body["request"], "epoch": epoch, **body}
        encoded = base64.b64encode(json.dumps(answer).encode()).decode()
        self.result({"message_id": message.message_id, "ok": True, "reply": encoded})

    def welcome(self, known_version: int = 0) -> None:
        """Let the authority answer the hello that is due; it knows this much of the instance."""
        (hello,) = (message for message in self.outgoing("sync") if message.body["type"] == "hello")
        self.reply(hello, "welcome", known_version=known_version, heads={})

    def find_equal(self) -> None:
        """Let the authority say that it has the same."""
        self.tick()
        (digest,) = (message for message in self.outgoing("sync") if message.body["type"] == "digest")
        ranges = [{**each, "equal": True} for each in digest.body["ranges"]]
        self.reply(digest, "digest", ranges=ranges)

    def answer(self, message: Message, *rows: Row, heads: dict[str, int] | None = None) -> None:
        """Let the answer to a question arrive."""
        self.reply(message, "answer", rows=list(rows), heads=heads or {})

    def question(self) -> Message:
        """Take the only question that waits to be sent."""
        (message,) = self.outgoing("question")
        return message

    def contributions(self) -> list[Message]:
        """Take all contributions that wait to be sent, and let the broker acknowledge them."""
        messages = self.outgoing("contribution")
        for message in messages:
            self.acknowledge(message)
        return messages

    def acknowledge(self, message: Message, *, created: str = STREAM_CREATED) -> int:
        """Let the broker's acknowledgement of a contribution arrive and return its sequence number."""
        self.sequence += 1
        self.result(
            {
                "message_id": message.message_id,
                "ok": True,
                "stream": STREAM,
                "stream_created": created,
                "sequence": self.sequence,
            }
        )
        return self.sequence

    def receipt(self, *records: Row, heads: dict[str, int] | None = None) -> None:
        """Let a receipt arrive."""
        body = {"type": "receipt", "epoch": EPOCH, "records": list(records), "heads": heads or {}}
        self.receive("singularity.receipt.me", body)

    def confirm(self, *messages: Message) -> None:
        """Let the authority confirm all records of these contributions."""
        self.receipt(*(receipt_for(record) for message in messages for record in message.records))

    def send_all(self) -> list[Row]:
        """Send whatever waits, let it be confirmed and return its records."""
        messages = self.contributions()
        self.confirm(*messages)
        return [record for message in messages for record in message.records]


def receipt_for(record: Row, verdict: str = "stored", **changes: Any) -> Row:
    """Return the receipt for a record of a contribution."""
    key = {"namespace": record["namespace"], "kind": record["kind"], "name": record["name"]}
    own = {"variant": record["variant"], "incarnation": record["incarnation"]} if is_evidence(record) else {}
    return {
        "artifact_id": str(artifact_id(**key)),
        **own,
        "version": record["version"],
        "verdict": verdict,
        **changes,
    }


def is_evidence(record: Row) -> bool:
    """Whether a record of a contribution is evidence, not a holding."""
    return bool(record["record_type"] == "evidence")


def refined(name: str, content: Any = "central", **changes: Any) -> Row:
    """Return a row of refined knowledge as the authority sends it."""
    return {
        "namespace": "default",
        "kind": "pattern",
        "name": name,
        "variant": variant_of(json.dumps(content, ensure_ascii=False)),
        "content": content,
        "summary": None,
        "tags": [],
        "level": "low",
        "confidence": 0.5,
        "uses": 0,
        "successes": 0,
        "pinned": False,
        "revision": 1,
        **changes,
    }
