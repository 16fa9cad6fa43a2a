"""Either PostgreSQL dies, freezes, cannot write or has another time: what was committed is there, and nothing else."""

from collections.abc import Callable

import pytest
from tests.fault.stage import AUTHORITY

Survive = Callable[[str, str], None]


@pytest.mark.parametrize(
    ("fault", "target"),
    [
        ("PostgreSQL stopped at once", AUTHORITY),
        ("postmaster killed", "ann"),
        ("bridge's backend killed", AUTHORITY),
        ("user's backend killed", "ann"),
        ("PostgreSQL frozen", AUTHORITY),
        ("disk full", "ann"),
        ("clock an hour ahead", "ann"),
        ("clock a day behind", AUTHORITY),
    ],
)
def test_a_server(survive: Survive, fault: str, target: str) -> None:
    survive(fault, target)
