"""Databases to search in: the sessions of the instance's tests, and both extensions behind the same two methods."""

from collections.abc import Iterator

import pytest
from tests.search.places import AuthorityPlace, InstancePlace, Place
from tests.singularity.conftest import db, offline, online, open_session, other, owner, relay, viewer

from singularity_lab import Database

__all__ = ["db", "offline", "online", "open_session", "other", "owner", "relay", "viewer"]


@pytest.fixture
def instance_place(instance: Database) -> Iterator[Place]:
    """Open an instance to search in."""
    with instance.connect() as connection:
        yield InstancePlace(instance, connection)


@pytest.fixture
def authority_place(authority: Database) -> Iterator[Place]:
    """Open an authority to search in."""
    with authority.connect() as connection:
        place = AuthorityPlace(authority, connection)
        yield place
        place.close()


@pytest.fixture(params=["instance_place", "authority_place"])
def place(request: pytest.FixtureRequest) -> Place:
    """Open the place of search that the test runs at: an instance and then an authority."""
    chosen: Place = request.getfixturevalue(request.param)
    return chosen
