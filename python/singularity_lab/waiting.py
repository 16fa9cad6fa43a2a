"""Waiting for a condition instead of for a length of time."""

from collections.abc import Callable
from typing import TypeVar

from tenacity import (
    RetryError,
    Retrying,
    retry_if_exception_type,
    retry_if_not_result,
    stop_after_delay,
    wait_fixed,
)

T = TypeVar("T")


def wait_until(
    condition: Callable[[], T],
    timeout: float = 15.0,
    message: str | Callable[[], str] = "the condition",
    *,
    interval: float = 0.02,
    ignoring: tuple[type[Exception], ...] = (),
) -> T:
    """Call `condition` every `interval` seconds until it returns something true, and return that.

    Exceptions of the types in `ignoring` count as "not yet". Raises TimeoutError after `timeout` seconds;
    `message` says what was waited for, and may be a function that describes the state then found.
    """
    attempts = Retrying(
        stop=stop_after_delay(timeout),
        wait=wait_fixed(interval),
        retry=retry_if_not_result(bool) | retry_if_exception_type(ignoring),
    )
    try:
        return attempts(condition)
    except RetryError as error:
        described = message if isinstance(message, str) else message()
        raise TimeoutError(f"waited {timeout:g} s for {described}") from error.last_attempt.exception()
