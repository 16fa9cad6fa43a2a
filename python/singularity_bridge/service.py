"""The micro service: requests of others, answered by the database, several at once, in turn for each who asks.

Who asks is the last token of the subject: the broker's permissions hold users to it.
"""

import asyncio
import contextlib
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import nats.errors
import psycopg
import structlog
from nats import micro
from nats.aio.msg import Msg
from nats.micro.request import ERROR_CODE_HEADER, ERROR_HEADER, Request

from singularity_bridge.broker import Broker, SendError
from singularity_bridge.database import Database
from singularity_bridge.errors import BrokerLost, DatabaseLost, describe, one_line
from singularity_bridge.plan import ServicePlan
from singularity_bridge.receiving import incoming

if TYPE_CHECKING:
    from nats.micro.service import Service as MicroService

AT_ONCE = 8
AT_ONCE_EACH = 6
"""Two places are left for others, however much one asks."""
WAITING_REQUESTS = 1024
WAITING_EACH = 128
WAITING_BYTES = 16 * 1024 * 1024
WAITING_BYTES_EACH = 4 * 1024 * 1024
FAILURES_A_MINUTE = 60
"""What fails is rolled back, the database's count of requests too: so these are counted here."""
_CODES = {"53400": "429", "57014": "504"}

logger = structlog.get_logger("bridge.service")


@dataclass(slots=True)
class _Asker:
    waiting: deque[Request] = field(default_factory=deque)
    size: int = 0
    running: int = 0


class Service:
    """Serves the plan's endpoints. Requests beyond what may wait are refused with code 503."""

    def __init__(self, plan: ServicePlan, database: Database, broker: Broker) -> None:
        self._plan = plan
        self._database, self._broker = database, broker
        self._askers: dict[str, _Asker] = {}  # whose turn it is first
        self._answering: set[asyncio.Task[None]] = set()
        self._failures: dict[str, deque[float]] = {}  # when the last ones were, by who asked
        self._waiting = 0
        self._bytes = 0
        self._micro: MicroService | None = None

    async def open(self) -> None:
        """Be found and take requests from now on. Raises BrokerLost."""
        plan = self._plan
        try:
            self._micro = await micro.add_service(
                self._broker.client, name=plan.name, version=plan.version, description=plan.description
            )
            for name, subject in plan.endpoints:
                await self._micro.add_endpoint(name=name, subject=subject, handler=self._take)
        except nats.errors.Error as error:
            raise BrokerLost(describe(error)) from error

    async def close(self) -> None:
        """Take no more requests; those taken are still answered."""
        if self._micro:
            with contextlib.suppress(nats.errors.Error):
                await self._micro.stop()

    async def settled(self) -> None:
        """Wait until every request that was taken is answered."""
        while self._answering:
            await asyncio.wait(self._answering, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.sleep(0)

    async def _take(self, request: Request) -> None:
        """Let a request wait for its turn: nats-py hands over an endpoint's requests one after the other."""
        name, size = request.subject.rpartition(".")[2], len(request.data)
        if self._fails_too_often(name):
            await self._refuse(
                request, "429", f"more than {FAILURES_A_MINUTE} requests in a minute failed, again in 60 s"
            )
            return
        asker = self._askers.setdefault(name, _Asker())
        if (
            self._waiting >= WAITING_REQUESTS
            or self._bytes + size > WAITING_BYTES
            or len(asker.waiting) >= WAITING_EACH
            or asker.size + size > WAITING_BYTES_EACH
        ):
            self._forget(name)
            await self._refuse(request, "503", "too many requests are waiting")
            return
        asker.waiting.append(request)
        asker.size += size
        self._waiting += 1
        self._bytes += size
        self._start()

    def _fails_too_often(self, name: str) -> bool:
        failures = self._failures.get(name)
        if not failures:
            return False
        if time.monotonic() - failures[-1] > 60:
            del self._failures[name]
            return False
        return len(failures) == FAILURES_A_MINUTE and time.monotonic() - failures[0] < 60

    def _start(self) -> None:
        """Answer what may be answered now, one of each asker in turn."""
        while len(self._answering) < AT_ONCE and (name := self._next()):
            asker = self._askers.pop(name)
            self._askers[name] = asker
            asker.running += 1
            self._waiting -= 1
            task = asyncio.ensure_future(self._answer(name, asker.waiting.popleft()))
            self._answering.add(task)
            task.add_done_callback(self._answering.discard)
            task.add_done_callback(lambda _: self._start())

    def _next(self) -> str | None:
        return next(
            (name for name, asker in self._askers.items() if asker.waiting and asker.running < AT_ONCE_EACH),
            None,
        )

    def _forget(self, name: str) -> None:
        if not self._askers[name].waiting and not self._askers[name].running:
            del self._askers[name]

    async def _answer(self, name: str, request: Request) -> None:
        try:
            one = incoming(_message(request), self._broker.keyring, reply=_message(request).reply)
            if one is None:
                return
            answer = await self._database.serve(one, self._plan.timeout_s)
            # What the database does not want answered goes nowhere: the reply subject may be anybody's.
            if answer is not None:
                await self._broker.publish_signed(_message(request).reply, answer)
        except (psycopg.Error, DatabaseLost) as error:
            code = _CODES.get(error.sqlstate or "", "500") if isinstance(error, psycopg.Error) else "500"
            # who asks too much shall not fill the log as well
            log = logger.debug if code == "429" else logger.warning
            log("a request failed", subject=request.subject, error=describe(error))
            if code != "429":
                self._failures.setdefault(name, deque(maxlen=FAILURES_A_MINUTE)).append(time.monotonic())
            await self._refuse(request, code, describe(error))
        except SendError as error:
            logger.warning("a request cannot be answered", subject=request.subject, error=str(error))
            await self._refuse(request, "500", str(error))
        finally:
            asker = self._askers[name]
            asker.running -= 1
            asker.size -= len(request.data)
            self._bytes -= len(request.data)
            self._forget(name)

    async def _refuse(self, request: Request, code: str, text: str) -> None:
        reply = _message(request).reply
        if not reply or not reply.startswith(self._plan.reply_prefix):
            return
        # The connection may be gone.
        with contextlib.suppress(SendError):
            headers = {ERROR_HEADER: one_line(text)[:500], ERROR_CODE_HEADER: code}
            await self._broker.publish_signed(reply, b"", headers)


def _message(request: Request) -> Msg:
    return request._msg  # nats-py does not tell the reply subject otherwise
