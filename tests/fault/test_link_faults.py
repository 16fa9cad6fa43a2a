"""Links are cut, silent, deaf, slow or half open, and the stream is full: all is made good."""

from collections.abc import Callable

import pytest
from tests.fault.stage import AUTHORITY

Survive = Callable[[str, str], None]


@pytest.mark.parametrize(
    ("fault", "target"),
    [
        ("cut", "ann"),
        ("silent", AUTHORITY),
        ("sends nothing", "ann"),
        ("half open", AUTHORITY),
    ],
)
def test_a_link_to_nats(survive: Survive, fault: str, target: str) -> None:
    survive(f"link to NATS: {fault}", target)


@pytest.mark.parametrize(
    ("fault", "target"),
    [
        ("cut", AUTHORITY),
        ("hears nothing", "ann"),
        ("slow", AUTHORITY),
    ],
)
def test_a_link_to_a_database(survive: Survive, fault: str, target: str) -> None:
    survive(f"link to PostgreSQL: {fault}", target)


def test_a_full_stream(survive: Survive) -> None:
    survive("stream full", AUTHORITY)
