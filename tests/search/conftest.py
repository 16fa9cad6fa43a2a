"""Databases to search in: the sessions of the instance's tests, and both extensions behind the same two methods."""

from collections.abc import Iterator

import pytest
from tests.instance.conftest import db, offline, online, open_session, other, owner, relay, viewer
from tests.search.places import AuthorityPlace, InstancePlace, Place

from singularity_lab import Database

__all__ = ["db", "offline", "online", "open_session", "other", "owner", "relay", "viewer"]


@pytest.fixture(params=["instance", "authority"])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """Open the place of search that the test runs at: an instance and then an authority."""
    database: Database = request.getfixturevalue(request.param)
    made: Place
    with database.connect() as connection:
        if request.param == "instance":
            made = InstancePlace(database, connection)
            yield made
        else:
            made = AuthorityPlace(database, connection)
            yield made
            made.close()
