"""Sessions are built anew for ever, with growing, jittered delays and one log line for each change."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog
from tenacity import AsyncRetrying, retry_if_exception_type
from tenacity.wait import wait_random_exponential

from singularity_bridge.backoff import pause
from singularity_bridge.errors import BrokerLost, DatabaseLost, FatalError, describe

FIRST_DELAY_S, LONGEST_DELAY_S = 0.1, 5.0
HEALTHY_S = 5.0
"""After a session that lived this long the delays begin anew."""

logger = structlog.get_logger("bridge")


class News:
    """The state of one connection, which is logged when it changes and not at every attempt."""

    def __init__(self, what: str) -> None:
        self._connected, self._lost, self._waiting = (
            f"connected to {what}",
            f"lost {what}",
            f"waiting for {what}",
        )
        self._up = False
        self._said: set[str] = set()
        self.reason: str | None = None

    def up(self, **details: str) -> None:
        """Say that the connection is there."""
        logger.info(self._connected, **details)
        self.ended()
        self._up = True

    def ended(self) -> None:
        """Note that the connection was left without trouble; nothing is said about that."""
        self._up, self.reason = False, None
        self._said.clear()

    def down(self, reason: str) -> None:
        """Say that the connection is lost, or cannot be had; each reason once."""
        event = self._lost if self._up else self._waiting
        if reason not in self._said and len(self._said) < 10:
            logger.warning(event, reason=reason)
        self._said.add(reason)
        self._up, self.reason = False, reason


async def forever(
    session: Callable[[], Awaitable[None]],
    lost: type[DatabaseLost] | type[BrokerLost],
    news: News,
    hurry: asyncio.Event,
) -> None:
    """Run a session until it returns; begin another when it is lost. Setting `hurry` ends a delay.

    Raises FatalError, and what loses more than this session.
    """

    async def delay(seconds: float) -> None:
        await pause(seconds, hurry)

    loop = asyncio.get_running_loop()
    retrying = AsyncRetrying(
        retry=retry_if_exception_type(lost),
        wait=wait_random_exponential(multiplier=FIRST_DELAY_S, max=LONGEST_DELAY_S),
        sleep=delay,
        reraise=True,
    )
    async for attempt in retrying:
        with attempt:
            started = loop.time()
            try:
                await session()
            except Exception as error:
                if loop.time() - started > HEALTHY_S:
                    attempt.retry_state.attempt_number = 1
                reason = _decisive(error, lost)
                if isinstance(reason, lost):
                    news.down(describe(reason))
                raise reason from error


def _decisive(error: Exception, lost: type[DatabaseLost] | type[BrokerLost]) -> Exception:
    """Return what decides how to go on: of several errors at once, the one that loses the most."""
    leaves = _leaves(error)
    for kind in (FatalError, DatabaseLost, BrokerLost):
        for leaf in leaves:
            if isinstance(leaf, kind):
                return leaf
    logger.error("unexpected error", exc_info=error)
    return lost(describe(leaves[0]))


def _leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for each in error.exceptions for leaf in _leaves(each)]
    return [error]
