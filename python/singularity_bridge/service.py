"""The micro service: requests of others, answered by the database, several at once."""

import asyncio
import contextlib
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
WAITING_REQUESTS = 512
WAITING_BYTES = 8 * 1024 * 1024

logger = structlog.get_logger("bridge.service")


class Service:
    """Serves the plan's endpoints. Requests beyond what may wait are refused with code 503."""

    def __init__(self, plan: ServicePlan, database: Database, broker: Broker) -> None:
        self._plan = plan
        self._database, self._broker = database, broker
        self._places = asyncio.Semaphore(AT_ONCE)
        self._answering: set[asyncio.Task[None]] = set()
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
            await asyncio.wait(self._answering)

    async def _take(self, request: Request) -> None:
        """Answer in a task of its own: nats-py hands over an endpoint's requests one after the other."""
        size = len(request.data)
        if len(self._answering) >= WAITING_REQUESTS or self._bytes + size > WAITING_BYTES:
            await self._refuse(request, "503", "too many requests are waiting")
            return
        self._bytes += size
        task = asyncio.ensure_future(self._answer(request))
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    async def _answer(self, request: Request) -> None:
        try:
            one = incoming(_message(request), self._broker.keyring, reply=_message(request).reply)
            if one is None:
                return
            async with self._places:
                answer = await self._database.serve(one)
            # What the database does not want answered goes nowhere: the reply subject may be anybody's.
            if answer is not None:
                await self._broker.publish_signed(_message(request).reply, answer)
        except (psycopg.Error, DatabaseLost) as error:
            logger.warning("a request failed", subject=request.subject, error=describe(error))
            await self._refuse(request, "500", describe(error))
        except SendError as error:
            logger.warning("a request cannot be answered", subject=request.subject, error=str(error))
            await self._refuse(request, "500", str(error))
        finally:
            self._bytes -= len(request.data)

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
