"""The authority's bridge, moved by hand."""

from collections.abc import Iterator

import pytest
from tests.support import Relay

from singularity_lab import Database


@pytest.fixture
def relay(authority: Database) -> Iterator[Relay]:
    """Attach a bridge to the authority."""
    one = Relay(authority)
    yield one
    one.close()
