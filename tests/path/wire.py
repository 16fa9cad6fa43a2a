"""Somebody else on the NATS server, who hears what there is to hear and may say anything."""

import asyncio
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg

from singularity_lab import NatsServer


class Wire:
    """A client of its own in a thread of its own; `heard` grows while the block runs.

    Who listens to ">" listens to the inboxes of bridges that were killed a moment ago too, so what they had asked the
    stream for is still delivered, to nobody: it comes again after the consumer's patience.
    """

    def __init__(self, server: NatsServer, subject: str = "singularity.contribute.*") -> None:
        self.heard: list[tuple[str, bytes]] = []
        self.messages: list[Msg] = []
        self._server, self._subject = server, subject
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._client: Client | None = None

    def everything(self) -> bytes:
        """Return all bytes heard so far, subjects and payloads."""
        return b"\n".join(subject.encode() + b" " + payload for subject, payload in list(self.heard))

    def say(self, *messages: tuple[str, bytes]) -> None:
        """Publish, and return when the server has it all."""
        self._run(self._say(messages))

    def publish(
        self, subject: str, payload: bytes, *, reply: str = "", headers: dict[str, str] | None = None
    ) -> None:
        """Publish one message with all that it may have, and return when the server has it."""
        self._run(self._publish(subject, payload, reply, headers))

    async def _publish(
        self, subject: str, payload: bytes, reply: str, headers: dict[str, str] | None
    ) -> None:
        await self._connected().publish(subject, payload, reply=reply, headers=headers)
        await self._connected().flush(timeout=30)

    async def _say(self, messages: tuple[tuple[str, bytes], ...]) -> None:
        client = self._connected()
        for subject, payload in messages:
            await client.publish(subject, payload)
        await client.flush(timeout=30)

    async def _open(self) -> None:
        self._client = await nats.connect(**self._server.client_options())
        await self._client.subscribe(self._subject, cb=self._hear)
        await self._client.flush()

    async def _hear(self, message: Msg) -> None:
        self.heard.append((message.subject, message.data))
        self.messages.append(message)

    def _connected(self) -> Client:
        assert self._client is not None
        return self._client

    def _run(self, doing: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(doing, self._loop).result(60)

    def __enter__(self) -> Self:
        self._thread.start()
        self._run(self._open())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._run(self._connected().drain())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
