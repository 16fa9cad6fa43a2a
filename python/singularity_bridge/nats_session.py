"""The inner session: one connection to NATS, with the flows that the plan wants."""

import asyncio
import uuid
from collections.abc import Callable, Coroutine
from dataclasses import asdict
from typing import Any

import structlog

from singularity_bridge.broker import OLDEST_SERVER, Broker
from singularity_bridge.database import Database
from singularity_bridge.plan import Plan
from singularity_bridge.queues import Queue
from singularity_bridge.receiving import Consumer, Subscriptions
from singularity_bridge.reporter import Reporter
from singularity_bridge.service import Service
from singularity_bridge.settings import Settings
from singularity_bridge.signing import Keyring
from singularity_bridge.streams import Streams

logger = structlog.get_logger("bridge")

GRACE_S = 2.0
"""How long a clean stop waits for messages under way."""


class NatsSession:
    """One connection to NATS with all the flows of a plan."""

    def __init__(
        self,
        settings: Settings,
        plan: Plan,
        database: Database,
        reporter: Reporter,
        keyring: Keyring,
        *,
        wake: Callable[[], None],
        on_connected: Callable[[str, str], None],
    ) -> None:
        self._settings = settings
        self._subjects = plan.subscriptions
        self._wake, self._on_connected = wake, on_connected
        self._broker = Broker(plan.nats.client_name, plan.nats.inbox_prefix, keyring)
        self._streams = Streams(plan.nats, self._broker)
        self._queues = {
            queue.name: Queue(
                queue, database, broker=self._broker, streams=self._streams, reporter=reporter, wake=wake
            )
            for queue in plan.nats.queues
        }
        self._consumers = [
            Consumer(consumer, database, self._broker, self._streams, wake)
            for consumer in plan.nats.consumers
        ]
        self._subscriptions = Subscriptions(database, self._broker, wake)
        self._service = Service(plan.nats.service, database, self._broker) if plan.nats.service else None
        self._halt = asyncio.Event()
        self._id = uuid.uuid4().hex
        self.running = False

    def halt(self) -> None:
        """Stop cleanly: finish what is under way within GRACE_S, report the rest as stopped."""
        self._halt.set()

    def ring(self, queues: list[str]) -> None:
        """Tell queues that they have work."""
        for name in queues:
            if queue := self._queues.get(name):
                queue.ring()

    async def follow(self, subjects: frozenset[str]) -> None:
        """Change the subscriptions. Raises BrokerLost."""
        self._subjects = subjects
        if self.running:
            await self._subscriptions.follow(subjects)

    def state(self) -> dict[str, Any]:
        """Return what the database is told about this connection at each tick."""
        return {
            "connected": self.running,
            "connection": self._id,
            "error": self._streams.trouble,
            "max_payload": self._broker.max_payload,
            "server_version": self._broker.server_version,
            "streams": {name: asdict(state) for name, state in self._streams.known.items()},
            "consumers": self._streams.consumers,
        }

    async def run(self) -> None:
        """Connect and relay until halted.

        Raises FatalError, BrokerLost or DatabaseLost, or a group of them.
        """
        try:
            connecting, halted = (
                asyncio.ensure_future(self._connect()),
                asyncio.ensure_future(self._halt.wait()),
            )
            await _first_of(connecting, halted)
            if not self._halt.is_set():
                await self._relay()
        finally:
            self.running = False
            for queue in self._queues.values():
                queue.abandon("stopped" if self._halt.is_set() else "disconnected")
            await self._broker.close()

    async def _connect(self) -> None:
        await self._broker.connect(self._settings)
        if self._broker.server_is_old:
            logger.warning(
                "the NATS server is too old", version=self._broker.server_version, oldest=OLDEST_SERVER
            )
        if cleartext := self._settings.cleartext_urls:
            logger.warning("everything goes unencrypted: use tls://", servers=cleartext)
        await self._streams.prepare()
        await self._subscriptions.follow(self._subjects)
        if self._service:
            await self._service.open()
        await self._broker.flush()
        self.running = True
        await self._subscriptions.follow(self._subjects)  # the plan may have changed meanwhile
        self._on_connected(self._broker.server, self._broker.server_version)

    async def _relay(self) -> None:
        async with asyncio.TaskGroup() as group:
            endless = [
                group.create_task(self._broker.watch()),
                group.create_task(self._streams.run()),
                group.create_task(self._subscriptions.run()),
            ]
            ending = [group.create_task(flow.run()) for flow in self._flows()]
            self._wake()
            await self._halt.wait()
            await self._wind_down(ending)
            for task in (*endless, *ending):
                task.cancel()

    def _flows(self) -> list[Queue | Consumer]:
        return [*self._queues.values(), *self._consumers]

    async def _wind_down(self, flows: list[asyncio.Task[None]]) -> None:
        """Take nothing more, and give what is under way some time."""
        for flow in self._flows():
            flow.halt()
        waiting: list[Coroutine[Any, Any, None]] = [queue.settled() for queue in self._queues.values()]
        if self._service:
            waiting += [self._service.close(), self._service.settled()]
        tasks = [asyncio.ensure_future(coroutine) for coroutine in waiting]
        _, late = await asyncio.wait([*tasks, *flows], timeout=GRACE_S)
        for task in late:
            task.cancel()
        for queue in self._queues.values():
            queue.abandon("stopped")


async def _first_of(*tasks: asyncio.Future[Any]) -> None:
    """Wait for the first task, cancel the others, and raise what it raised."""
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
