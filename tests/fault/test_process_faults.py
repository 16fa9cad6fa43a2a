"""Bridges, NATS and PostgreSQL are killed, frozen and started again: nothing is lost, doubled or invented."""

from collections.abc import Callable

import pytest
from tests.fault.stage import AUTHORITY

Survive = Callable[[str, str], None]


@pytest.mark.parametrize(
    ("fault", "target"),
    [
        ("bridge killed", AUTHORITY),
        ("bridge frozen", AUTHORITY),
        ("two bridges", "ann"),
        ("bridge vanished", AUTHORITY),
    ],
)
def test_a_bridge(survive: Survive, fault: str, target: str) -> None:
    survive(fault, target)


@pytest.mark.parametrize("fault", ["NATS killed", "NATS without its store", "NATS frozen"])
def test_nats(survive: Survive, fault: str) -> None:
    survive(fault, AUTHORITY)
