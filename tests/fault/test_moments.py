"""A bridge dies between any two of its steps, just when a message or an answer is about to pass."""

from collections.abc import Callable

import pytest
from tests.fault.faults import MOMENTS


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_bridge_dies_just_before(survive: Callable[[str, str], None], moment: str) -> None:
    survive(f"bridge killed before {moment}", MOMENTS[moment].targets[0])
