"""The program around the sessions: it starts them, and ends them on SIGTERM and SIGINT."""

import asyncio
import os
import signal
import sys
from typing import Any

import structlog

from singularity_bridge.database import Control
from singularity_bridge.database_session import DatabaseSession
from singularity_bridge.errors import DatabaseLost
from singularity_bridge.forever import News, forever
from singularity_bridge.settings import Settings

STOP_TIMEOUT_S = 4.5
"""A clean stop that takes longer is cut short."""

logger = structlog.get_logger("bridge")


async def run(settings: Settings) -> None:
    """Relay until SIGTERM or SIGINT. Raises FatalError for what needs a human."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    relay = asyncio.ensure_future(_relay(settings, stop))
    stopping = asyncio.ensure_future(stop.wait())
    parties: set[asyncio.Future[Any]] = {relay, stopping}
    await asyncio.wait(parties, return_when=asyncio.FIRST_COMPLETED)
    if stop.is_set():
        logger.info("stopping")
        await asyncio.wait({relay}, timeout=STOP_TIMEOUT_S)
    if not relay.done():
        # A server that does not answer would hold up an orderly end for many seconds more.
        logger.warning("stopped before everything was finished")
        sys.stderr.flush()
        os._exit(0)
    relay.result()
    logger.info("stopped")


async def _relay(settings: Settings, stop: asyncio.Event) -> None:
    conninfo = settings.conninfo()
    settings.nats_options()  # a file that cannot be used is said at once, not when NATS is needed
    news = News("the database")

    async def session() -> None:
        if stop.is_set():
            return
        async with Control.open(conninfo, settings.extension) as control:
            news.up(database=control.database)
            await DatabaseSession(settings, conninfo, control, stop).run()

    await forever(session, DatabaseLost, news, hurry=stop)
