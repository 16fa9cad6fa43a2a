"""The authority's bridge, moved by hand."""

from collections.abc import Iterator

import pytest
from tests.kit.relay import Relay

from singularity_lab import Database


@pytest.fixture
def relay(authority: Database) -> Iterator[Relay]:
    """Attach a bridge to the authority."""
    one = Relay.of(authority)
    yield one
    one.close()
