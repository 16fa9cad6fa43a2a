"""Waiting for a condition."""

import itertools

import pytest

from singularity_lab import wait_until


def test_the_first_true_value_is_returned() -> None:
    values = itertools.count()
    assert wait_until(lambda: next(values), interval=0.001) == 1


def test_the_message_describes_the_state_at_the_end() -> None:
    state = {"seen": 0}

    def look() -> bool:
        state["seen"] += 1
        return False

    with pytest.raises(TimeoutError, match=r"waited 0\.05 s for 10, saw \d+"):
        wait_until(look, 0.05, lambda: f"10, saw {state['seen']}", interval=0.01)


def test_only_the_named_exceptions_mean_not_yet() -> None:
    outcomes = iter([ConnectionError("not yet"), None])

    def attempt() -> bool:
        if (error := next(outcomes)) is not None:
            raise error
        return True

    assert wait_until(attempt, interval=0.001, ignoring=(ConnectionError,))
    empty: dict[str, str] = {}
    with pytest.raises(KeyError):
        wait_until(lambda: empty["nothing"], ignoring=(ConnectionError,))


def test_the_last_exception_is_the_cause_of_the_timeout() -> None:
    def refuse() -> bool:
        raise ConnectionError("refused")

    with pytest.raises(TimeoutError) as caught:
        wait_until(refuse, 0.02, interval=0.01, ignoring=(ConnectionError,))
    assert isinstance(caught.value.__cause__, ConnectionError)
