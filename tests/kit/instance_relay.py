"""The bridge of an instance, and the authority behind it, played by the test."""

import json
from typing import Any
from uuid import UUID

import psycopg
from psycopg.types.json import Jsonb
from tests.kit.identity import artifact_id, variant_of
from tests.kit.keys import AUTHORITY_KEY, meta_of
from tests.kit.message import Message
from tests.kit.queries import Row
from tests.kit.relay import VERSION, Relay
from tests.kit.session import Session

from singularity_lab import Cluster

EPOCH = "first-epoch"
STREAM = "singularity_contributions"
STREAM_CREATED = "2026-01-01T00:00:00Z"
ZERO = UUID(int=0)


class InstanceRelay(Relay):
    """One bridge, and the authority's words through it."""

    def __init__(self, session: Session) -> None:
        super().__init__(session.connection, "singularity")
        self.session = session
        self.stream: dict[str, Any] = {
            "created": STREAM_CREATED,
            "messages": 0,
            "bytes": 0,
            "last_sequence": 0,
        }
        self.sequence = 0

    def attach(self, version: str = VERSION, protocol: int = 1) -> Row:
        """Call bridge_attach(), where the authority's key is known."""
        attached = super().attach(version, protocol)
        info = self.connection.info
        with psycopg.connect(
            host=info.host, port=info.port, dbname=info.dbname, user=Cluster.superuser
        ) as owner:
            owner.execute("select singularity.trust_authority(%s)", [AUTHORITY_KEY])
        return attached

    def tick(self, *, connected: bool = True, **state: Any) -> Row:
        """Report with the stream as it is, where NATS can be reached."""
        streams = {STREAM: self.stream} if connected else {}
        return super().tick(
            connected=connected, **{"error": None, "streams": streams, "consumers": {}, **state}
        )

    def receive(self, subject: str, payload: bytes | dict[str, Any]) -> list[Row]:
        """Call bridge_receive() with one message."""
        data = payload if isinstance(payload, bytes) else json.dumps({"v": 1, **payload}).encode()
        return self.session.call(
            "bridge_receive", subjects=[subject], payloads=[data], meta=[Jsonb(meta_of(subject))]
        )

    def heads(self, heads: dict[str, int] | None = None, *, epoch: str = EPOCH, passed: int = 0) -> None:
        """Let the authority's heartbeat arrive."""
        body = {"type": "heads", "epoch": epoch, "heads": heads or {}, "stream_created": STREAM_CREATED}
        _, heads_subject, *_ = self.plan()["subscriptions"]
        self.receive(heads_subject, {**body, "stream_passed": passed})

    def go_online(self) -> None:
        """Report a connection and let the authority be heard."""
        self.tick()
        self.heads()

    def respond(self, message: Message, kind: str, /, *, epoch: str = EPOCH, **body: Any) -> None:
        """Let the authority's reply to a request arrive."""
        answer = {"v": 1, "type": kind, "request": message.body["request"], "epoch": epoch, **body}
        self.reply(message, json.dumps(answer).encode())

    def welcome(self, known_version: int = 0) -> None:
        """Let the authority answer the hello that is due; it knows this much of the instance."""
        (hello,) = (message for message in self.take("sync") if message.body["type"] == "hello")
        self.respond(hello, "welcome", known_version=known_version, heads={})

    def find_equal(self) -> None:
        """Let the authority say that it has the same."""
        self.tick()
        (digest,) = (message for message in self.take("sync") if message.body["type"] == "digest")
        ranges = [{**each, "equal": True} for each in digest.body["ranges"]]
        self.respond(digest, "digest", ranges=ranges)

    def answer(self, message: Message, *rows: Row, heads: dict[str, int] | None = None) -> None:
        """Let the answer to a question arrive."""
        self.respond(message, "answer", rows=list(rows), heads=heads or {})

    def question(self) -> Message:
        """Take the only question that waits to be sent."""
        (message,) = self.take("question")
        return message

    def contributions(self) -> list[Message]:
        """Take all contributions that wait to be sent, and let the broker acknowledge them."""
        messages = self.take("contribution")
        for message in messages:
            self.acknowledge(message)
        return messages

    def acknowledge(self, message: Message, *, created: str = STREAM_CREATED) -> int:
        """Let the broker's acknowledgement of a contribution arrive and return its sequence number."""
        self.sequence += 1
        self.result(message, ok=True, stream=STREAM, stream_created=created, sequence=self.sequence)
        return self.sequence

    def receipt(self, *records: Row, heads: dict[str, int] | None = None) -> None:
        """Let a receipt arrive."""
        body = {"type": "receipt", "epoch": EPOCH, "records": list(records), "heads": heads or {}}
        receipt_subject, *_ = self.plan()["subscriptions"]
        self.receive(receipt_subject, body)

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
        "variant": variant_of(content),
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
