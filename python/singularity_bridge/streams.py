"""The plan's streams and consumers: made, watched, and made again when somebody deleted them."""

import asyncio
import math
from collections.abc import Awaitable
from dataclasses import dataclass

import structlog

from singularity_bridge import jetstream
from singularity_bridge.broker import Broker
from singularity_bridge.jetstream import JetStreamError
from singularity_bridge.plan import ConsumerPlan, NatsPlan, StreamPlan

INTERVAL_S = 1.0

logger = structlog.get_logger("bridge.streams")


@dataclass(frozen=True, slots=True)
class StreamState:
    """A stream as it was last seen. `created` is its identity: a stream made again has another one."""

    created: str
    messages: int
    bytes: int
    last_sequence: int


class Streams:
    """What is known of the streams and consumers. Missing ones are left out of `known` and `consumers`."""

    def __init__(self, plan: NatsPlan, broker: Broker) -> None:
        self._plan = plan
        self._broker = broker
        self._lock = asyncio.Lock()
        self._looked_at = -math.inf
        self.known: dict[str, StreamState] = {}
        self.consumers: dict[str, dict[str, int]] = {}
        self.trouble: str | None = None
        self._troubles: list[str] = []

    async def prepare(self) -> None:
        """Make or adjust everything; what cannot be had is in `trouble`. Raises BrokerLost."""
        for stream in self._plan.streams:
            await self._attempt(f"stream {stream.name}", jetstream.adjust_stream(self._broker, stream))
        for consumer in self._plan.consumers:
            await self._attempt(
                f"consumer {consumer.durable}", jetstream.keep_consumer(self._broker, consumer)
            )
        await self.refresh()

    async def run(self) -> None:
        """Look at everything each second, for ever."""
        while True:
            await asyncio.sleep(INTERVAL_S)
            await self.refresh()

    async def refresh(self) -> None:
        """Look at every stream and consumer now; make the missing ones that the plan wants.

        Raises BrokerLost.
        """
        asked = asyncio.get_running_loop().time()
        async with self._lock:
            if self._looked_at > asked:
                return  # somebody else has looked while this waited
            self._looked_at = asyncio.get_running_loop().time()
            self._troubles.clear()
            streams = [await self._stream(stream) for stream in self._plan.streams]
            consumers = [await self._consumer(consumer) for consumer in self._plan.consumers]
            self.known = {name: state for name, state in streams if state}
            self.consumers = {name: state for name, state in consumers if state}
            self._say(self._troubles[0] if self._troubles else None)

    async def _stream(self, plan: StreamPlan) -> tuple[str, StreamState | None]:
        try:
            info = await jetstream.keep_stream(self._broker, plan)
        except JetStreamError as error:
            self._note(f"stream {plan.name}", error)
            return plan.name, self.known.get(plan.name) if error.unanswered else None
        state = info["state"]
        return plan.name, StreamState(info["created"], state["messages"], state["bytes"], state["last_seq"])

    async def _consumer(self, plan: ConsumerPlan) -> tuple[str, dict[str, int] | None]:
        try:
            info = await jetstream.consumer_info(self._broker, plan)
        except JetStreamError as error:
            self._note(f"consumer {plan.durable}", error)
            return plan.durable, self.consumers.get(plan.durable) if error.unanswered else None
        return plan.durable, {"ack_floor": info["ack_floor"]["stream_seq"], "pending": info["num_pending"]}

    async def _attempt(self, what: str, doing: Awaitable[object]) -> None:
        try:
            await doing
        except JetStreamError as error:
            self._note(what, error)

    def _note(self, what: str, error: JetStreamError) -> None:
        self._troubles.append(f"{what}: {error}")

    def _say(self, trouble: str | None) -> None:
        if trouble == self.trouble:
            return
        self.trouble = trouble
        if trouble:
            logger.warning("JetStream is not as it should be", error=trouble)
        else:
            logger.info("JetStream is as it should be")
