"""One connection to NATS: publishing, asking, subscribing, and noticing that it is gone.

nats-py's own reconnect is off, since its subscriptions can die in it: a lost connection stays lost, and
whoever holds the broker builds another one. What nats-py leaves open is closed here: half-open links and a
dead read loop are found by a regular round trip, questions under way fail as soon as the link does, and
messages that would make the server cut the connection are refused before they are sent.
"""

import asyncio
import contextlib
import itertools
import re
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

import nats.errors
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from singularity_bridge.addresses import without_password
from singularity_bridge.errors import BrokerLost, FatalError, describe, one_line
from singularity_bridge.settings import Settings
from singularity_bridge.signing import Keyring

CONNECT_TIMEOUT_S = 5
PROBE_INTERVAL_S = 2.0
ROUND_TRIP_TIMEOUT_S = 5
CLOSE_TIMEOUT_S = 1.0
POLL_S = 0.005
BUFFERED_BYTES = 4 * 1024 * 1024
MAX_SUBJECT_BYTES = 2048
NO_RESPONDERS = "503"
OLDEST_SERVER = "2.12.0"

_REFUSALS = (
    "authorization violation",
    "authentication expired",
    "authentication revoked",
)
_DENIED_PUBLISH = re.compile(r'permissions violation for publish to "([^"]*)"')

logger = structlog.get_logger("bridge.broker")

Handler = Callable[[Msg], Awaitable[None]]


class SendError(Exception):
    """A message that was not sent, or got no answer; its text is the reason that the database is told."""


class UnsendableError(SendError):
    """A message that can never be sent as it is."""


class _Client(Client):
    """nats-py's client with two holes closed.

    It takes `tls://` for a wish: this one sends no credentials in the clear. And its read loop dies of a
    subject or header that is not UTF-8, which the server lets anybody send: this one reads what it can.
    """

    demands_tls = False

    def _build_message(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: dict[str, str] | None
    ) -> Msg:
        return self.msg_class(
            subject=subject.decode(errors="replace"),
            reply=reply.decode(errors="replace"),
            data=data,
            headers=headers,
            _client=self,
            _sid=sid,
        )

    async def _process_headers(self, headers: bytes) -> dict[str, str] | None:
        try:
            return await super()._process_headers(headers)
        except (ValueError, IndexError):
            return None

    def _connect_command(self) -> bytes:
        if self.demands_tls and not self._server_info.get("tls_required"):
            raise nats.errors.SecureConnWantedError
        return super()._connect_command()


class Broker:
    """A live connection. Once `lost` is done (its exception says why) nothing works any more."""

    def __init__(self, name: str, inbox_prefix: str, keyring: Keyring | None = None) -> None:
        self._client = _Client()
        self.keyring = keyring or Keyring()
        self._name = name
        self._inbox_prefix = inbox_prefix
        self._tokens = itertools.count(1)
        self._asked: dict[str, tuple[str, asyncio.Future[Msg]]] = {}
        self._inbox = ""
        self._said: set[str] = set()
        self._connect_error: Exception | None = None
        self.denied: list[str] = []
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def connect(self, settings: Settings) -> None:
        """Connect and prepare the inbox.

        Raises FatalError when the server refuses the credentials, BrokerLost when another try may succeed.
        """
        self._client.demands_tls = settings.demands_tls
        options = settings.nats_options()
        try:
            await self._client.connect(
                **options,
                name=self._name,
                inbox_prefix=self._inbox_prefix,
                error_cb=self._on_error,
                closed_cb=self._on_closed,
                allow_reconnect=False,
                max_reconnect_attempts=1,
                reconnect_time_wait=0,
                connect_timeout=CONNECT_TIMEOUT_S,
                pending_size=16 * BUFFERED_BYTES,
                flush_timeout=ROUND_TRIP_TIMEOUT_S,
            )
            self._inbox = self._client.new_inbox()
            await self.subscribe(f"{self._inbox}.*", self._on_answer)
        except Exception as error:  # noqa: BLE001 - nats-py lets errors of sockets, TLS and JSON through
            await self.close()
            self._raise_connecting(error)

    async def close(self) -> None:
        """Close the connection without waiting for anything; what is under way fails as disconnected."""
        self._lose("closed")
        closing = asyncio.ensure_future(self._client.close())
        await asyncio.wait({closing}, timeout=CLOSE_TIMEOUT_S)
        if not closing.done():
            closing.cancel()

    @property
    def client(self) -> Client:
        """The client of nats-py, for its micro services."""
        return self._client

    @property
    def server(self) -> str:
        """The connected server's address, for people."""
        url = self._client.connected_url
        return without_password(url.geturl()) if url else "nowhere"

    @property
    def server_version(self) -> str:
        """The connected server's version."""
        version = self._client.connected_server_version
        return f"{version.major}.{version.minor}.{version.patch}"

    @property
    def server_is_old(self) -> bool:
        """Whether the connected server is older than OLDEST_SERVER."""
        return _numbers(self.server_version) < _numbers(OLDEST_SERVER)

    @property
    def max_payload(self) -> int:
        """The most bytes that a message, with its headers, may have."""
        return self._client.max_payload

    def check(self) -> None:
        """Raise BrokerLost when the connection is known to be gone."""
        if self.lost.done():
            self.lost.result()

    async def watch(self) -> None:
        """Probe the connection for ever; raises BrokerLost when it is gone."""
        while True:
            await asyncio.wait({self.lost}, timeout=PROBE_INTERVAL_S)
            await self.flush()

    async def subscribe(
        self, subject: str, handler: Handler, max_bytes: int = 2 * BUFFERED_BYTES
    ) -> Subscription:
        """Hand messages to the handler, which must not wait; what exceeds `max_bytes` unhandled is dropped.

        Raises BrokerLost, and UnsendableError when the subject cannot be subscribed to.
        """
        self.check()
        try:
            return await self._client.subscribe(subject, cb=handler, pending_bytes_limit=max_bytes)
        except nats.errors.BadSubjectError as error:
            raise UnsendableError(describe(error)) from error
        except nats.errors.Error as error:
            raise self._lose(describe(error)) from error

    async def unsubscribe(self, subscription: Subscription) -> None:
        """End a subscription. Raises BrokerLost."""
        self.check()
        try:
            await subscription.unsubscribe()
        except nats.errors.Error as error:
            raise self._lose(describe(error)) from error

    async def inbox(self, handler: Handler) -> tuple[str, Subscription]:
        """Subscribe to a new inbox; returns its subject and the subscription."""
        subject = self._client.new_inbox()
        return subject, await self.subscribe(subject, handler)

    async def publish_signed(
        self, subject: str, payload: bytes, headers: dict[str, str] | None = None, reply: str = ""
    ) -> None:
        """Publish in the name of the database. Raises SendError like `publish`."""
        await self.publish(subject, payload, self.keyring.sign(subject, payload, headers, reply), reply)

    async def publish(
        self, subject: str, payload: bytes, headers: dict[str, str] | None = None, reply: str = ""
    ) -> None:
        """Publish. Raises SendError when the message cannot be sent, now or ever."""
        if len(payload) + _header_bytes(headers) > self.max_payload:
            raise UnsendableError(f"larger than the broker's limit of {self.max_payload} bytes")
        if len(subject.encode()) > MAX_SUBJECT_BYTES:
            raise UnsendableError("the subject is too long")
        await self.room()
        try:
            await self._client.publish(subject, payload, reply=reply, headers=headers or None)
        except nats.errors.ConnectionClosedError as error:
            raise SendError("disconnected") from error
        except (nats.errors.Error, ValueError) as error:
            raise UnsendableError(describe(error)) from error

    async def ask(
        self,
        subject: str,
        payload: bytes,
        headers: dict[str, str] | None,
        timeout_s: float,
        *,
        signed: bool = False,
    ) -> asyncio.Future[Msg]:
        """Publish with a reply subject and return the future answer, which may fail with SendError."""
        loop = asyncio.get_running_loop()
        token = str(next(self._tokens))
        answer: asyncio.Future[Msg] = loop.create_future()
        self._asked[token] = (subject, answer)
        timer = loop.call_later(timeout_s, _fail, answer, "timeout")

        def forget(_: asyncio.Future[Msg]) -> None:
            timer.cancel()
            self._asked.pop(token, None)

        answer.add_done_callback(forget)
        try:
            publish = self.publish_signed if signed else self.publish
            await publish(subject, payload, headers, reply=f"{self._inbox}.{token}")
        except SendError as error:
            answer.set_exception(error)
        return answer

    async def flush(self) -> None:
        """Wait until the server has what was published so far. Raises BrokerLost when it does not answer."""
        deadline = asyncio.get_running_loop().time() + ROUND_TRIP_TIMEOUT_S
        # nats-py's ping overtakes what it has not yet handed to the socket, so that must be empty first.
        for attempt in itertools.count():
            self.check()
            if not self._client.pending_data_size:
                break
            if asyncio.get_running_loop().time() > deadline:
                raise self._lose("the connection takes no more data")
            await asyncio.sleep(0 if attempt < 10 else POLL_S)
        # Not flush(): that one is content without an answer when the read loop is dead. And shielded, since
        # an answer to an abandoned ping kills the read loop.
        round_trip = asyncio.ensure_future(self._client.rtt(timeout=ROUND_TRIP_TIMEOUT_S))
        round_trip.add_done_callback(_consume)
        parties: set[asyncio.Future[Any]] = {round_trip, self.lost}
        await asyncio.wait(parties, return_when=asyncio.FIRST_COMPLETED)
        self.check()
        if error := round_trip.exception():
            raise self._lose(f"no answer to a ping: {describe(error)}") from error

    async def room(self) -> None:
        """Wait while too much is written faster than the network takes it."""
        while self._client.pending_data_size > BUFFERED_BYTES and not self.lost.done():  # noqa: ASYNC110
            await asyncio.sleep(POLL_S)

    async def _on_answer(self, msg: Msg) -> None:
        _, answer = self._asked.get(msg.subject.rpartition(".")[2], ("", None))
        if answer is None or answer.done():
            return
        if not msg.data and msg.headers and msg.headers.get("Status") == NO_RESPONDERS:
            _fail(answer, "no_responders")
        else:
            answer.set_result(msg)

    async def _on_closed(self) -> None:
        self._lose(describe(self._client.last_error or nats.errors.ConnectionClosedError()))

    async def _on_error(self, error: Exception) -> None:
        if not self._inbox:
            self._connect_error = error
        elif isinstance(error, (nats.errors.StaleConnectionError, nats.errors.FlushTimeoutError, OSError)):
            self._lose(describe(error))
        elif isinstance(error, nats.errors.SlowConsumerError):
            self._say(
                "messages dropped: they come faster than they can be applied", subject=error.sub.subject
            )
        else:
            self._on_denial(one_line(error))

    def _on_denial(self, text: str) -> None:
        """Fail what waits for an answer on a subject that the server lets nobody publish to."""
        self.denied.append(text)
        del self.denied[:-100]
        if match := _DENIED_PUBLISH.search(text):
            for subject, answer in list(self._asked.values()):
                if subject.lower() == match[1]:
                    _fail(answer, text.removeprefix("nats: "))
        self._say("the NATS server complains", error=text)

    def _say(self, event: str, **details: object) -> None:
        line = f"{event} {details}"
        if line not in self._said and len(self._said) < 100:
            self._said.add(line)
            logger.warning(event, **details)

    def _lose(self, reason: str) -> BrokerLost:
        error = BrokerLost(reason)
        if not self.lost.done():
            self.lost.set_exception(error)
            self.lost.exception()  # nobody has to ask for it
        for _, answer in list(self._asked.values()):
            _fail(answer, "disconnected")
        return error

    def _raise_connecting(self, error: Exception) -> NoReturn:
        if isinstance(error, nats.errors.NoServersError) and self._connect_error:
            error = self._connect_error
        if isinstance(error, FatalError):
            raise error
        text = describe(error).removeprefix("nats: ").strip("'")
        if any(refusal in text.lower() for refusal in _REFUSALS):
            raise FatalError(
                f"NATS refuses these credentials: {text}",
                "Check --creds (NATS_CREDS), --nkey or the user in the URL.",
            ) from error
        raise BrokerLost(text) from error


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in version.split("."))


def _fail(answer: asyncio.Future[Any], reason: str) -> None:
    if not answer.done():
        answer.set_exception(SendError(reason))


def _consume(future: asyncio.Future[Any]) -> None:
    with contextlib.suppress(asyncio.CancelledError):
        future.exception()


def _header_bytes(headers: dict[str, str] | None) -> int:
    if not headers:
        return 0
    return 12 + sum(len(key.encode()) + len(value.encode()) + 4 for key, value in headers.items())
