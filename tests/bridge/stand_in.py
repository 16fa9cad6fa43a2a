"""A database whose schema `stand_in` offers what a bridge calls, with handles to command and to watch it."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import nats
import psycopg
from nats.aio.client import Client
from psycopg import sql
from psycopg.types.json import Jsonb

from singularity_lab import Bridge, Cluster, Lab, NatsServer, wait_until

SCHEMA = Path(__file__).with_name("stand_in.sql")
RELAY = "stand_in_relay"
STREAM = {
    "name": "work",
    "subjects": ["work.*"],
    "create": True,
    "retention": "workqueue",
    "discard": "new",
    "max_bytes": 16 * 1024 * 1024,
    "duplicate_window_s": 120,
}
CONSUMER = {"stream": "work", "durable": "worker", "batch": 64, "ack_wait_s": 30, "max_ack_pending": 512}
SERVICE = {
    "name": "oracle",
    "version": "0.1.0",
    "description": "Answers.",
    "endpoints": [{"name": "ask", "subject": "oracle.ask.*"}],
}

T = TypeVar("T")


@dataclass
class StandIn:
    """One database and the NATS server that its bridges use."""

    cluster: Cluster
    name: str
    nats: NatsServer
    lab: Lab

    def create(self) -> None:
        """Make the database, the schema and the bridge's login role."""
        self.cluster.create_database(self.name)
        with self.connect() as connection:
            connection.execute(SCHEMA.read_text(encoding="utf-8").encode())
            known = connection.execute("select from pg_roles where rolname = %s", [RELAY]).rowcount
            if not known:
                role = sql.Identifier(RELAY)
                connection.execute(sql.SQL("create role {} login in role stand_in_bridge").format(role))

    def connect(self) -> psycopg.Connection:
        """Return a superuser's connection."""
        return self.cluster.connect(self.name)

    def dsn(self, user: str = RELAY, **parameters: Any) -> str:
        """Return the connection string that a bridge uses."""
        return self.cluster.dsn(self.name, user, **parameters)

    def rows(self, statement: str, *parameters: object) -> list[Any]:
        """Run a statement and return its rows, or the values where a row has only one."""
        with self.connect() as connection:
            cursor = connection.execute(statement.encode(), parameters)
            rows = cursor.fetchall() if cursor.description else []
        return [row[0] if len(row) == 1 else row for row in rows]

    def plan(self, **changes: Any) -> None:
        """Change fields of the plan."""
        self.rows("update stand_in.plan set document = document || %s", Jsonb(changes))

    def send(
        self,
        via: str,
        subject: str,
        payload: bytes = b"",
        *,
        queue: str = "fast",
        headers: dict[str, str] | None = None,
        timeout_ms: int = 2000,
        again: bool = False,
    ) -> str:
        """Put a message into the outbox; returns its id at the first attempt."""
        document = None if headers is None else Jsonb(headers)
        (number,) = self.rows(
            "select stand_in.send(%s, %s, %s, %s, %s, %s, %s)",
            *(queue, via, subject, payload, document, timeout_ms, again),
        )
        return f"{number}.1"

    def results(self) -> dict[str, dict[str, Any]]:
        """Return what was reported, by message id."""
        return dict(self.rows("select message_id, body from stand_in.result order by id"))

    def result(self, message_id: str, timeout: float = 15) -> dict[str, Any]:
        """Wait for the report about a message."""
        return (
            wait_until(lambda: self.results().get(message_id), timeout, f"the result of {message_id}") or {}
        )

    def received(self) -> list[bytes]:
        """Return the payloads received, in order."""
        return self.rows("select payload from stand_in.received order by id")

    def wait_received(self, count: int, timeout: float = 15) -> list[bytes]:
        """Wait until that many messages are received."""
        wait_until(
            lambda: len(self.received()) >= count, timeout, lambda: f"{count}, not {len(self.received())}"
        )
        return self.received()

    def wait_payload(self, *payloads: bytes) -> None:
        """Wait until all of these are received, in whatever order."""
        wait_until(lambda: set(payloads) <= set(self.received()), 20)

    def state(self) -> dict[str, Any]:
        """Return what the last tick told."""
        states = self.rows("select state from stand_in.tick")
        return states[0] if states else {}

    def wait_connected(self, connected: bool = True) -> dict[str, Any]:
        """Wait until a tick tells that the bridge has NATS, or has not."""
        wait_until(lambda: self.state().get("connected") == connected, 20, lambda: f"{self.state()}")
        return self.state()

    def bridge(
        self, *options: str, name: str = "bridge", dsn: str | None = None, url: str | None = None
    ) -> Bridge:
        """Return a bridge that is not started yet."""
        log = self.lab.logs / f"{self.name}-{name}.log"
        given = ["--log-format", "json", *options]
        return Bridge(dsn or self.dsn(), url or self.nats.url, log, name=name, options=given)

    def start(self, *options: str, **others: Any) -> Bridge:
        """Start a bridge, and return it when it has NATS."""
        bridge = self.lab.start(self.bridge(*options, **others))
        bridge.wait_for_log("connected to NATS")
        return bridge

    def nats_do(self, doing: Callable[[Client], Awaitable[T]]) -> T:
        """Do something with a NATS client of our own."""

        async def with_client() -> T:
            client = await nats.connect(self.nats.url)
            try:
                return await doing(client)
            finally:
                await client.close()

        return asyncio.run(with_client())

    def publish(self, subject: str, *payloads: bytes, headers: dict[str, str] | None = None) -> None:
        """Publish core messages."""

        async def publish(client: Client) -> None:
            for payload in payloads:
                await client.publish(subject, payload, headers=headers)
            await client.flush()

        self.nats_do(publish)

    def request(self, subject: str, payload: bytes, timeout: float = 5) -> tuple[bytes, dict[str, str]]:
        """Ask, and return the answer's bytes and headers, without its signature."""

        async def ask(client: Client) -> tuple[bytes, dict[str, str]]:
            answer = await client.request(subject, payload, timeout=timeout)
            return answer.data, unsigned(answer.headers)

        return self.nats_do(ask)

    def cut(self, application: str) -> None:
        """End the sessions of that name in this database, as a network or an administrator may."""
        sessions = "from pg_stat_activity where (datname, application_name) = (%s, %s)"
        assert self.rows(f"select pg_terminate_backend(pid) {sessions}", self.name, application)

    def stream_info(self) -> dict[str, Any]:
        """Return JetStream's information about the stream `work`; empty when it is missing."""
        data, _ = self.request("$JS.API.STREAM.INFO.work", b"")
        answer: dict[str, Any] = json.loads(data)
        return {} if "error" in answer else answer


def unsigned(headers: dict[str, str] | None) -> dict[str, str]:
    """Return headers without those of the signature."""
    return {key: text for key, text in (headers or {}).items() if not key.startswith("Singularity-")}


def events(bridge: Bridge) -> list[str]:
    """Return the events that a bridge has logged."""
    return [line["event"] for line in log_lines(bridge)]


def log_lines(bridge: Bridge) -> list[dict[str, Any]]:
    """Return the lines that a bridge has logged."""
    lines = bridge.log_text().splitlines()
    return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]


def plain_lines(bridge: Bridge) -> Sequence[str]:
    """Return the lines that a bridge has written which are no log lines."""
    return [line for line in bridge.log_text().splitlines() if not line.startswith("{")]
