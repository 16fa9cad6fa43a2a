"""Receiving: messages of consumers and subscriptions are applied in batches, each in one transaction.

After the commit come the messages that the database wants published, a round trip to NATS, and only then the
acknowledgements: whatever dies in between, the messages come again, and applying them again changes nothing.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import psycopg
import structlog
from nats.aio.msg import Msg

from singularity_bridge.backoff import Backoff
from singularity_bridge.broker import Broker, SendError, UnsendableError
from singularity_bridge.database import Database, Incoming, Publication
from singularity_bridge.errors import BrokerLost, describe, is_of_message, printable
from singularity_bridge.jetstream import JetStreamError, Puller, keep_consumer
from singularity_bridge.plan import ConsumerPlan
from singularity_bridge.signing import ForgedError, Keyring
from singularity_bridge.streams import Streams

if TYPE_CHECKING:
    from nats.aio.subscription import Subscription

QUEUED_MESSAGES = 2000
QUEUED_BYTES = 4 * 1024 * 1024
BATCH = 256
BATCH_BYTES = 2 * 1024 * 1024
ATTEMPTS = 5
"""So often a message is tried that the database can neither apply nor keep as a dead letter by itself."""
FAILING_AT_ONCE = 2
"""When so many of a batch fail, it is the database's trouble: the rest of it is not looked through."""

logger = structlog.get_logger("bridge.receiving")


class Consumer:
    """Applies the messages of one durable consumer."""

    def __init__(
        self,
        plan: ConsumerPlan,
        database: Database,
        broker: Broker,
        streams: Streams,
        wake: Callable[[], None],
    ) -> None:
        self._plan = plan
        self._database, self._broker, self._streams, self._wake = database, broker, streams, wake
        self._puller = Puller(broker, plan)
        self._backoff = Backoff(0.5, 30.0)
        self._halted = asyncio.Event()

    def halt(self) -> None:
        """Receive nothing more."""
        self._halted.set()

    async def run(self) -> None:
        """Receive until halted; what is held then is given back. Raises DatabaseLost and BrokerLost."""
        holding = asyncio.ensure_future(self._puller.hold())
        try:
            await self._puller.open()
            while not self._halted.is_set():
                await self._turn()
        except SendError as error:
            raise BrokerLost(str(error)) from error
        finally:
            holding.cancel()
            await self._puller.close()

    async def _turn(self) -> None:
        fetching = asyncio.ensure_future(self._puller.fetch())
        halted = asyncio.ensure_future(self._halted.wait())
        try:
            await asyncio.wait({fetching, halted}, return_when=asyncio.FIRST_COMPLETED)
            if fetching.done() and (messages := fetching.result()):
                await self._apply(messages)
        except JetStreamError as error:
            await self._recover(error)
        finally:
            fetching.cancel()
            halted.cancel()

    async def _apply(self, messages: Sequence[Msg]) -> None:
        """Apply messages; halves of what fails are tried, so that one that cannot be applied stops no other."""
        parts = [messages]
        failed: list[Msg] = []
        applied = False
        while parts:
            part = parts.pop()
            try:
                await self._apply_part(part)
                applied = True
            except psycopg.Error as error:
                if len(part) > 1 and len(failed) < FAILING_AT_ONCE:
                    half = len(part) // 2
                    parts += [part[half:], part[:half]]
                elif not await self._put_aside(part, error):
                    failed += part
        if not failed:
            self._backoff.reset()
            return
        delay_s = self._backoff.next_s()
        await self._puller.nak(failed, delay_s)
        if not applied:
            await asyncio.sleep(delay_s)

    async def _apply_part(self, messages: Sequence[Msg]) -> None:
        authentic = [(msg, one) for msg in messages if (one := self._incoming(msg))]
        publications = await self._database.receive([one for _, one in authentic]) if authentic else []
        waiting: set[str] = set()
        for found in publications:
            if found.delay_s:
                msg = authentic[found.message][0]
                waiting.add(msg.reply)
                await self._puller.nak([msg], found.delay_s)
        await publish_all(self._broker, [found for found in publications if not found.delay_s])
        await self._puller.ack([msg for msg in messages if msg.reply not in waiting])
        self._wake()

    async def _put_aside(self, messages: Sequence[Msg], error: psycopg.Error) -> bool:
        """Give up a message that failed too often by itself; say whether it was.

        What the database could not do for any message, it cannot do for putting one aside.
        """
        msg = messages[0]
        deliveries = msg.metadata.num_delivered
        logger.warning(
            "received messages cannot be applied now",
            messages=len(messages),
            subject=printable(msg.subject),
            deliveries=deliveries,
            error=describe(error),
        )
        if len(messages) > 1 or deliveries < ATTEMPTS or not is_of_message(error):
            return False
        one = self._incoming(msg)
        try:
            if one and not await self._database.put_aside(one, describe(error)):
                return False
        except psycopg.Error as another:
            logger.warning("a message cannot be put aside now", error=describe(another))
            return False
        logger.error("a message was put aside", subject=printable(msg.subject), error=describe(error))
        await self._puller.ack(messages)
        return True

    def _incoming(self, msg: Msg) -> Incoming | None:
        place = msg.metadata
        state = self._streams.known.get(place.stream)
        return incoming(
            msg,
            self._broker.keyring,
            stream=place.stream,
            stream_created=state.created if state else None,
            sequence=place.sequence.stream,
            deliveries=place.num_delivered,
            may_wait=True,
        )

    async def _recover(self, error: JetStreamError) -> None:
        logger.debug("the consumer delivers nothing", consumer=self._plan.durable, error=str(error))
        try:
            await keep_consumer(self._broker, self._plan)
        except JetStreamError:
            await asyncio.sleep(0.5)


class Subscriptions:
    """Applies core messages. The queue is bounded: the database recovers from those dropped."""

    def __init__(self, database: Database, broker: Broker, wake: Callable[[], None]) -> None:
        self._database, self._broker, self._wake = database, broker, wake
        self._subscriptions: dict[str, Subscription] = {}
        self._queue: deque[Msg] = deque()
        self._bytes = 0
        self._arrived = asyncio.Event()
        self._following = asyncio.Lock()
        self._dropping = False

    async def follow(self, subjects: frozenset[str]) -> None:
        """Be subscribed to exactly these subjects. Raises BrokerLost."""
        async with self._following:
            for subject in self._subscriptions.keys() - subjects:
                await self._broker.unsubscribe(self._subscriptions.pop(subject))
            for subject in subjects - self._subscriptions.keys():
                try:
                    self._subscriptions[subject] = await self._broker.subscribe(subject, self._on_message)
                except UnsendableError as error:
                    logger.error("cannot subscribe", subject=subject, error=str(error))  # noqa: TRY400

    async def run(self) -> None:
        """Apply what comes, for ever. Raises DatabaseLost and BrokerLost."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self._queue:
                await self._apply(self._batch())
            self._dropping = False

    async def _on_message(self, msg: Msg) -> None:
        if len(self._queue) >= QUEUED_MESSAGES or self._bytes + len(msg.data) > QUEUED_BYTES:
            if not self._dropping:
                self._dropping = True
                logger.warning(
                    "messages dropped: they come faster than they can be applied", subject=msg.subject
                )
            return
        self._queue.append(msg)
        self._bytes += len(msg.data)
        self._arrived.set()

    def _batch(self) -> list[Incoming]:
        batch: list[Incoming] = []
        size = 0
        while self._queue and len(batch) < BATCH and size < BATCH_BYTES:
            msg = self._queue.popleft()
            if one := incoming(msg, self._broker.keyring):
                batch.append(one)
            size += len(msg.data)
        self._bytes -= size
        return batch

    async def _apply(self, batch: list[Incoming]) -> None:
        if not batch:
            return
        parts = [batch]
        dropped = 0
        while parts:
            part = parts.pop()
            try:
                publications = await self._database.receive(part)
            except psycopg.Error as error:
                if len(part) > 1 and dropped < FAILING_AT_ONCE:
                    half = len(part) // 2
                    parts += [part[half:], part[:half]]
                    continue
                dropped += len(part)
                logger.warning("received messages were dropped", messages=len(part), error=describe(error))
                continue
            await publish_all(self._broker, publications)
            self._wake()


def incoming(msg: Msg, keyring: Keyring, **place: Any) -> Incoming | None:
    """Return a message as the database takes it, None when it is forged.

    PostgreSQL's text and jsonb hold no zero characters.
    """
    try:
        signer = keyring.signer(msg)
    except ForgedError:
        return None
    headers = {_text(key): _text(value) for key, value in (msg.headers or {}).items()}
    return Incoming(_text(msg.subject), msg.data, {"headers": headers, "signer": signer, **place})


async def publish_all(broker: Broker, publications: Sequence[Publication]) -> None:
    """Publish and wait until the server has it; what can never be sent is logged. Raises BrokerLost."""
    for publication in publications:
        try:
            await broker.publish_signed(publication.subject, publication.payload, publication.headers)
        except UnsendableError as error:
            logger.error("a message cannot be published", subject=publication.subject, error=str(error))  # noqa: TRY400
        except SendError as error:
            raise BrokerLost(str(error)) from error
    if publications:
        await broker.flush()


def _text(value: str) -> str:
    return value.replace("\0", "�").encode(errors="replace").decode()
