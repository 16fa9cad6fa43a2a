"""JetStream as far as a bridge needs it: streams and consumers that the plan wants, and pulling messages.

The API is spoken in its own JSON instead of through nats-py's classes: an update then keeps the settings that
an administrator made and this code does not know, and a stream's `created` stays exact to the nanosecond.
"""

import asyncio
import contextlib
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from nats.aio.msg import Msg

from singularity_bridge.broker import Broker, SendError
from singularity_bridge.errors import BrokerLost
from singularity_bridge.plan import ConsumerPlan, StreamPlan

if TYPE_CHECKING:
    from nats.aio.subscription import Subscription

API_TIMEOUT_S = 5.0
PULL_EXPIRES_S = 20.0
HEARTBEAT_S = 2.0
LINGER_S = 0.002
PULL_BYTES = 4 * 1024 * 1024
_NANOSECOND = 1_000_000_000
_SEEN_LIMIT = 2


class JetStreamError(Exception):
    """The JetStream API says no or nothing. `missing`: there is no such stream or consumer."""

    def __init__(self, text: str, code: int = 0) -> None:
        super().__init__(text)
        self.missing = code == 404
        self.unanswered = text == "timeout"


async def request(broker: Broker, command: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """Ask the JetStream API. Raises JetStreamError, and BrokerLost when the connection is gone."""
    payload = json.dumps(body).encode() if body else b""
    broker.check()
    try:
        answer = json.loads(
            (await (await broker.ask(f"$JS.API.{command}", payload, None, API_TIMEOUT_S))).data
        )
    except SendError as error:
        broker.check()
        text = "JetStream is not available" if str(error) == "no_responders" else str(error)
        raise JetStreamError(text) from error
    if refusal := answer.get("error"):
        raise JetStreamError(refusal.get("description", "unknown"), refusal.get("code", 0))
    return dict(answer)


async def keep_stream(broker: Broker, plan: StreamPlan) -> dict[str, Any]:
    """Return the information about a stream, which is made first when it is missing and the plan says so.

    Raises JetStreamError (missing) when it is not there and not to be made.
    """
    try:
        return await request(broker, f"STREAM.INFO.{plan.name}")
    except JetStreamError as error:
        if not (error.missing and plan.create):
            raise
        config = _stream_config(plan) | {"retention": plan.retention, "storage": "file"}
        return await request(broker, f"STREAM.CREATE.{plan.name}", config)


async def adjust_stream(broker: Broker, plan: StreamPlan) -> None:
    """Give an existing stream the plan's limits and subjects; other settings stay. Raises JetStreamError."""
    present = (await keep_stream(broker, plan))["config"]
    config = _stream_config(plan)
    if plan.create and any(present.get(key) != value for key, value in config.items()):
        await request(broker, f"STREAM.UPDATE.{plan.name}", present | config)


async def keep_consumer(broker: Broker, plan: ConsumerPlan) -> dict[str, Any]:
    """Make a durable consumer, or adjust it; returns the information about it. Raises JetStreamError."""
    body = {"stream_name": plan.stream, "config": _consumer_config(plan)}
    return await request(broker, f"CONSUMER.CREATE.{plan.stream}.{plan.durable}", body)


async def consumer_info(broker: Broker, plan: ConsumerPlan) -> dict[str, Any]:
    """Return the information about a consumer, made first when it is missing. Raises JetStreamError."""
    try:
        return await request(broker, f"CONSUMER.INFO.{plan.stream}.{plan.durable}")
    except JetStreamError as error:
        if not error.missing:
            raise
        return await keep_consumer(broker, plan)


def _stream_config(plan: StreamPlan) -> dict[str, Any]:
    shared = plan.max_messages_per_subject > 0
    return {
        "name": plan.name,
        "subjects": list(plan.subjects),
        "discard": plan.discard,
        **({"discard_new_per_subject": True} if shared else {}),
        "max_msgs_per_subject": plan.max_messages_per_subject,
        "max_bytes": plan.max_bytes,
        "duplicate_window": int(plan.duplicate_window_s * _NANOSECOND),
    }


def _consumer_config(plan: ConsumerPlan) -> dict[str, Any]:
    return {
        "name": plan.durable,
        "durable_name": plan.durable,
        "deliver_policy": "all",
        "ack_policy": "explicit",
        "replay_policy": "instant",
        "ack_wait": int(plan.ack_wait_s * _NANOSECOND),
        "max_ack_pending": plan.max_ack_pending,
        "max_deliver": -1,
    }


class Puller:
    """Fetches the messages of a durable consumer, bounded by count and bytes.

    One pull request is open at a time; what arrived waits here and is kept from being redelivered meanwhile.
    """

    def __init__(self, broker: Broker, plan: ConsumerPlan) -> None:
        self._broker = broker
        self._plan = plan
        self._subject = f"$JS.API.CONSUMER.MSG.NEXT.{plan.stream}.{plan.durable}"
        self._inbox = ""
        self._subscription: Subscription | None = None
        self._arrived: asyncio.Queue[Msg | None] = asyncio.Queue()  # None: the pull request is over
        self._expected = 0
        self._heard_at = 0.0
        self._failure = ""
        self._held: dict[str, Msg] = {}

    async def open(self) -> None:
        """Subscribe to the inbox that messages are delivered to."""
        self._inbox, self._subscription = await self._broker.inbox(self._on_message)

    async def fetch(self) -> list[Msg]:
        """Wait for messages; returns up to a batch of them.

        Raises JetStreamError when the consumer is gone or cannot deliver, SendError when the connection is.
        """
        await self._pull()
        messages: list[Msg] = []
        wait_s = HEARTBEAT_S
        with contextlib.suppress(TimeoutError):
            while len(messages) < self._plan.batch:
                async with asyncio.timeout(wait_s):
                    msg = await self._arrived.get()
                if msg is None:
                    break
                messages.append(msg)
                wait_s = LINGER_S
        if not messages and self._failure:
            failure, self._failure = self._failure, ""
            raise JetStreamError(failure)
        return messages

    async def ack(self, messages: Sequence[Msg]) -> None:
        """Acknowledge what was applied. Raises SendError."""
        await self._settle(messages, b"+ACK")

    async def nak(self, messages: Sequence[Msg], delay_s: float = 0) -> None:
        """Give messages back, to be delivered again after the delay. Raises SendError."""
        body = b"-NAK"
        if delay_s:
            body += b" " + json.dumps({"delay": int(delay_s * _NANOSECOND)}).encode()
        await self._settle(messages, body)

    async def hold(self) -> None:
        """Tell the server again and again, for ever, that what is held is still being worked on."""
        seen: set[str] = set()
        while True:
            await asyncio.sleep(self._plan.ack_wait_s / 3)
            for reply in seen & self._held.keys():
                await self._broker.publish(reply, b"+WPI")
            seen = set(self._held)

    async def close(self) -> None:
        """Stop delivery and give back what is held, so that it is delivered again at once."""
        if self._subscription:
            with contextlib.suppress(BrokerLost):
                await self._broker.unsubscribe(self._subscription)
        with contextlib.suppress(SendError):
            await self.nak(list(self._held.values()))

    async def _pull(self) -> None:
        """Open a pull request unless one is open."""
        now = asyncio.get_running_loop().time()
        if self._expected and now - self._heard_at < _SEEN_LIMIT * HEARTBEAT_S + 1:
            return
        max_bytes = max(PULL_BYTES, 2 * self._broker.max_payload)
        body = {
            "batch": self._plan.batch,
            "max_bytes": max_bytes,
            "expires": int(PULL_EXPIRES_S * _NANOSECOND),
            "idle_heartbeat": int(HEARTBEAT_S * _NANOSECOND),
        }
        self._expected = self._plan.batch
        self._heard_at = now
        await self._broker.publish(self._subject, json.dumps(body).encode(), reply=self._inbox)

    async def _on_message(self, msg: Msg) -> None:
        self._heard_at = asyncio.get_running_loop().time()
        status = (msg.headers or {}).get("Status")
        if status and not msg.reply.startswith("$JS.ACK."):
            self._on_status(status, (msg.headers or {}).get("Description", ""))
            return
        self._expected = max(self._expected - 1, 0)
        self._held[msg.reply] = msg
        self._arrived.put_nowait(msg)

    def _on_status(self, status: str, description: str) -> None:
        if status == "100":  # a heartbeat
            return
        self._expected = 0
        if status not in {"404", "408"} and "MaxBytes" not in description:
            self._failure = description or "the consumer is not there"
        self._arrived.put_nowait(None)

    async def _settle(self, messages: Sequence[Msg], body: bytes) -> None:
        for msg in messages:
            await self._broker.publish(msg.reply, body)
            self._held.pop(msg.reply, None)
