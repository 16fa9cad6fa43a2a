"""The micro service: requests of others, answered by the database, several at once."""

import asyncio
import contextlib
from typing import TYPE_CHECKING

import nats.errors
import psycopg
import structlog
from nats import micro
from nats.micro.request import Request

from singularity_bridge.broker import Broker
from singularity_bridge.database import Database
from singularity_bridge.errors import BrokerLost, DatabaseLost, describe
from singularity_bridge.plan import ServicePlan

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
            await _refuse(request, "503", "too many requests are waiting")
            return
        self._bytes += size
        task = asyncio.ensure_future(self._answer(request))
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    async def _answer(self, request: Request) -> None:
        try:
            async with self._places:
                answer = await self._database.serve(request.subject, request.data)
            await self._broker.room()
            await request.respond(answer)
        except (psycopg.Error, DatabaseLost) as error:
            logger.warning("a request failed", subject=request.subject, error=describe(error))
            await _refuse(request, "500", describe(error))
        except (nats.errors.Error, ValueError) as error:
            logger.warning("a request cannot be answered", subject=request.subject, error=describe(error))
            await _refuse(request, "500", describe(error))
        finally:
            self._bytes -= len(request.data)


async def _refuse(request: Request, code: str, text: str) -> None:
    # It may want no answer, or the connection may be gone.
    with contextlib.suppress(nats.errors.Error, ValueError):
        await request.respond_error(code, text[:500])
