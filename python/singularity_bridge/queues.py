"""The queues of outgoing messages that the database has, each sent by its own task so that none waits."""

import asyncio
import base64
import contextlib
import json
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
import structlog
from nats.aio.msg import Msg

from singularity_bridge.backoff import Backoff, pause
from singularity_bridge.broker import Broker, SendError, UnsendableError
from singularity_bridge.database import Database, Outgoing
from singularity_bridge.errors import BrokerLost, describe
from singularity_bridge.plan import QueuePlan
from singularity_bridge.reporter import Reporter
from singularity_bridge.signing import Keyring
from singularity_bridge.streams import Streams, StreamState

QUEUE_BYTES = 4 * 1024 * 1024
"""About as much of one queue is under way at once, whatever its window."""
FIRST_BYTES = 512 * 1024.0
"""How large messages are taken to be before any was seen."""

logger = structlog.get_logger("bridge.queues")


@dataclass(frozen=True, slots=True)
class _Sent:
    message_id: str
    size: int
    stream: bool
    known: dict[str, StreamState]  # the streams when it was sent


class Queue:
    """Sends what one queue holds, with up to its window of messages under way."""

    def __init__(
        self,
        plan: QueuePlan,
        database: Database,
        *,
        broker: Broker,
        streams: Streams,
        reporter: Reporter,
        wake: Callable[[], None],
    ) -> None:
        self.name = plan.name
        self._window = plan.window
        self._database, self._broker, self._streams = database, broker, streams
        self._reporter, self._wake = reporter, wake
        self._work, self._freed, self._halted = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._under_way: dict[asyncio.Future[Msg], _Sent] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._bytes = 0
        self._usual_bytes = FIRST_BYTES
        self._backoff = Backoff(0.1, 2.0)
        self._not_before = 0.0

    def ring(self) -> None:
        """There is work."""
        self._work.set()

    async def run(self) -> None:
        """Send until halted; messages may be under way when this returns. Raises DatabaseLost."""
        while not self._halted.is_set():
            await self._work.wait()
            self._work.clear()
            await self._drain()

    def halt(self) -> None:
        """Fetch nothing more."""
        for event in (self._halted, self._work, self._freed):
            event.set()

    async def settled(self) -> None:
        """Wait until nothing is under way."""
        while self._under_way or self._tasks:
            under_way: set[asyncio.Future[Any]] = {*self._under_way, *self._tasks}
            await asyncio.wait(under_way)
            await asyncio.sleep(0)

    def abandon(self, reason: str) -> None:
        """Report what is still under way as failed for this reason."""
        for answer in list(self._under_way):
            if not answer.done():
                answer.set_exception(SendError(reason))

    async def _drain(self) -> None:
        """Fetch and send until the queue is empty, then have the bell armed again."""
        sent_any = False
        while (wanted := await self._free_places()) > 0:
            try:
                messages = await self._fetch(wanted)
            except psycopg.Error as error:
                self._slow_down()
                logger.error("cannot fetch messages to send", queue=self.name, error=describe(error))  # noqa: TRY400
                return
            await self._send(messages)
            sent_any = sent_any or bool(messages)
            if len(messages) < wanted:
                break
        if sent_any:
            self._wake()

    async def _fetch(self, wanted: int) -> Sequence[Outgoing]:
        """Fetch messages; when this is cancelled they are reported as soon as they are there."""
        fetching = asyncio.ensure_future(self._database.outgoing(self.name, wanted))
        try:
            return await asyncio.shield(fetching)
        except asyncio.CancelledError:
            fetching.add_done_callback(self._report_unsent)
            raise

    def _report_unsent(self, fetching: asyncio.Future[list[Outgoing]]) -> None:
        if not fetching.cancelled() and not fetching.exception():
            for message in fetching.result():
                self._report(message.message_id, {"ok": False, "error": "disconnected"})

    async def _free_places(self) -> int:
        """Wait for free places in the window; returns how many messages to fetch, 0 when halted."""
        await self._reporter.room()
        await pause(self._not_before - asyncio.get_running_loop().time(), self._halted)
        while not self._halted.is_set():
            free = self._window - len(self._under_way) - len(self._tasks)
            if free > 0 and self._bytes < QUEUE_BYTES:
                fitting = int((QUEUE_BYTES - self._bytes) / max(self._usual_bytes, 1.0))
                return max(1, min(free, fitting))
            self._freed.clear()
            await self._freed.wait()
        return 0

    async def _send(self, messages: Sequence[Outgoing]) -> None:
        published = [message for message in messages if message.via == "publish"]
        asked = deque(message for message in messages if message.via != "publish")
        for message in messages:
            self._usual_bytes = max(len(message.payload), self._usual_bytes * 0.95)
        if published:
            self._spawn(self._publish(published))
        try:
            while asked:
                await self._ask(asked[0])
                asked.popleft()
        finally:
            for message in asked:  # cancelled, since the connection is gone
                self._report(message.message_id, {"ok": False, "error": "disconnected"})

    async def _ask(self, message: Outgoing) -> None:
        """Send a message that is answered: by a reply, or by a stream's acknowledgement."""
        stream = message.via == "stream"
        headers = message.headers | {"Nats-Msg-Id": message.message_id} if stream else message.headers
        answer = await self._broker.ask(
            message.subject, message.payload, headers, message.timeout_s, signed=True
        )
        self._under_way[answer] = _Sent(message.message_id, len(message.payload), stream, self._streams.known)
        self._bytes += len(message.payload)
        answer.add_done_callback(self._answered)

    async def _publish(self, messages: Sequence[Outgoing]) -> None:
        """Publish; the server has it all when a round trip behind it is made."""
        results = {message.message_id: "" for message in messages}
        for message in messages:
            try:
                await self._broker.publish_signed(message.subject, message.payload, message.headers)
            except SendError as error:
                results[message.message_id] = str(error)
        try:
            await self._broker.flush()
        except BrokerLost:
            results = {message_id: error or "disconnected" for message_id, error in results.items()}
        for message_id, error_text in results.items():
            self._report(message_id, {"ok": False, "error": error_text} if error_text else {"ok": True})

    def _answered(self, answer: asyncio.Future[Msg]) -> None:
        sent = self._under_way.pop(answer)
        self._bytes -= sent.size
        self._freed.set()
        try:
            msg = answer.result()
            outcome = self._stream_ack(sent, msg) if sent.stream else _reply(msg, self._broker.keyring)
        except UnsendableError as error:
            outcome = {"ok": False, "error": str(error)}
        except Exception as error:  # noqa: BLE001 - whatever the answer is, the database must hear of it
            outcome = {"ok": False, "error": describe(error)}
            if describe(error) == "no_responders" or sent.stream:
                self._slow_down()
        if outcome is not None:
            self._report(sent.message_id, outcome)

    def _stream_ack(self, sent: _Sent, msg: Msg) -> dict[str, Any] | None:
        """Return the outcome, or None when the stream's identity must be looked up first."""
        ack = json.loads(msg.data)
        if error := ack.get("error"):
            raise SendError(str(error.get("description", "refused by the stream")))
        self._backoff.reset()
        name, sequence = str(ack["stream"]), int(ack["seq"])
        before, now = sent.known.get(name), self._streams.known.get(name)
        same = before is not None and now is not None and before.created == now.created
        if same and before and (sequence > before.last_sequence or ack.get("duplicate")):
            return _stored(name, before, sequence)
        # Another stream than a moment ago may have acknowledged this.
        self._spawn(self._look_up(sent.message_id, name, sequence))
        return None

    async def _look_up(self, message_id: str, name: str, sequence: int) -> None:
        with contextlib.suppress(BrokerLost):
            await self._streams.refresh()
        self._report(message_id, _stored(name, self._streams.known.get(name), sequence))

    def _report(self, message_id: str, outcome: dict[str, Any]) -> None:
        self._reporter.add({"message_id": message_id, **outcome}, len(outcome.get("reply", "")))

    def _slow_down(self) -> None:
        """Fetch nothing for a while: what follows would fail in the same way."""
        now = asyncio.get_running_loop().time()
        if now >= self._not_before:
            self._not_before = now + self._backoff.next_s()

    def _spawn(self, doing: Any) -> None:
        task = asyncio.ensure_future(doing)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: self._freed.set())


def _stored(name: str, state: StreamState | None, sequence: int) -> dict[str, Any]:
    return {
        "ok": True,
        "stream": name,
        "stream_created": state.created if state else None,
        "sequence": sequence,
    }


def _reply(msg: Msg, keyring: Keyring) -> dict[str, Any]:
    headers = msg.headers or {}
    signer = keyring.signer(msg)
    if "Nats-Service-Error" in headers:
        code = headers.get("Nats-Service-Error-Code", "500")
        return {"ok": False, "error": f"{code}: {headers['Nats-Service-Error']}"}
    return {"ok": True, "reply": base64.b64encode(msg.data).decode(), "signer": signer}
