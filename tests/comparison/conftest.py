"""An instance and an authority whose bridges are moved by hand."""

from collections.abc import Iterator

import pytest
from tests.kit.pair import Authority, Instance

from singularity_lab import Database


@pytest.fixture
def there(authority: Database) -> Iterator[Authority]:
    """Start the authority's bridge."""
    one = Authority(authority)
    yield one
    one.close()


@pytest.fixture
def here(instance: Database) -> Iterator[Instance]:
    """Connect an instance."""
    one = Instance(instance)
    one.call("configure", instance_name="ann")
    one.call("connect")
    yield one
    one.close()
