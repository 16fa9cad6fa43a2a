"""Results: what became of the messages sent, told to the database in batches."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

import psycopg
import structlog

from singularity_bridge.database import Database
from singularity_bridge.errors import describe

BATCH = 500
BATCH_BYTES = 4 * 1024 * 1024

logger = structlog.get_logger("bridge.reporter")


class Reporter:
    """Takes results from the queues and reports them. It outlives NATS sessions."""

    def __init__(self, database: Database, wake: Callable[[], None]) -> None:
        self._database = database
        self._wake = wake
        self._results: deque[tuple[dict[str, Any], int]] = deque()
        self._bytes = 0
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._finishing = False

    def add(self, result: dict[str, Any], size: int = 0) -> None:
        """Take a result; `size` is about how many bytes it holds."""
        self._results.append((result, size))
        self._bytes += size
        self._changed.set()
        if self._bytes > BATCH_BYTES or len(self._results) > 4 * BATCH:
            self._room.clear()

    async def room(self) -> None:
        """Wait while too much is unreported."""
        await self._room.wait()

    def finish(self) -> None:
        """Let `run` end once everything is reported."""
        self._finishing = True
        self._changed.set()

    async def run(self) -> None:
        """Report until told to finish. Raises DatabaseLost."""
        while self._results or not self._finishing:
            if not self._results:
                await self._changed.wait()
                self._changed.clear()
                continue
            await self._report(self._batch())
            self._room.set()
            self._wake()

    def _batch(self) -> list[dict[str, Any]]:
        batch: list[dict[str, Any]] = []
        size = 0
        while self._results and len(batch) < BATCH and size < BATCH_BYTES:
            result, bytes_ = self._results.popleft()
            batch.append(result)
            size += bytes_
        self._bytes -= size
        return batch

    async def _report(self, batch: list[dict[str, Any]]) -> None:
        try:
            await self._database.result(batch)
        except psycopg.Error as error:
            if len(batch) == 1:
                logger.error("a result was refused", message_id=batch[0]["message_id"], error=describe(error))  # noqa: TRY400
                return
            # One result that is refused must not hold up the others.
            for result in batch:
                await self._report([result])
