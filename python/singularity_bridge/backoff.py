"""How long to wait before trying again, and a wait that can be cut short."""

import asyncio
import contextlib
import random


class Backoff:
    """Delays that double from `first_s` to `most_s`, with full jitter, until something works again."""

    def __init__(self, first_s: float, most_s: float) -> None:
        self._first_s, self._most_s = first_s, most_s
        self._failures = 0

    def next_s(self) -> float:
        """Count a failure and return how many seconds to wait now."""
        ceiling = min(self._most_s, self._first_s * 2 ** min(self._failures, 30))
        self._failures += 1
        return random.uniform(0, ceiling)  # noqa: S311 - jitter is no secret

    def reset(self) -> None:
        """Begin anew: it works."""
        self._failures = 0


async def pause(seconds: float, event: asyncio.Event) -> None:
    """Sleep, but no longer than until the event is set."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(max(seconds, 0)):
            await event.wait()
