"""One authority for all tests of a worker, emptied before each of them, and its bridge played by hand."""

from collections.abc import Iterator

import psycopg
import pytest
from tests.kit.queries import rows
from tests.kit.relay import Relay

from singularity_lab import Cluster, Database

TABLES = """
    select string_agg(c.oid::regclass::text, ', ') as names from pg_class as c
    where c.relkind = 'r' and c.relnamespace = 'centralcloud'::regnamespace
"""
OTHERS = """
    select pg_terminate_backend(a.pid, 10000) from pg_stat_activity as a
    where a.datname = current_database() and a.pid <> pg_backend_pid() and a.backend_type = 'client backend'
"""


@pytest.fixture(scope="session")
def shared_authority(cluster: Cluster) -> Database:
    """Make the database that the tests of this worker share, since making one takes longer than a test."""
    database = Database(cluster, "shared_authority", "centralcloud", roles="shared_authority")
    cluster.create_database(database.name)
    database.create_extension()
    database.create_roles()
    return database


@pytest.fixture
def authority(shared_authority: Database) -> Database:
    """Give out the shared database as if it were new: nobody is connected and every table is empty."""
    with shared_authority.connect_superuser() as connection:
        connection.execute(OTHERS)
        (tables,) = rows(connection, TABLES)
        connection.execute(f"truncate {tables['names']} restart identity".encode())
    return shared_authority


@pytest.fixture
def authority_superuser(authority: Database) -> Iterator[psycopg.Connection]:
    """Open the superuser's connection, for what only a disaster or a later version does."""
    with authority.connect_superuser() as connection:
        yield connection


@pytest.fixture
def relay(authority: Database) -> Iterator[Relay]:
    """Attach as the bridge of the authority."""
    relay = Relay.of(authority, observing=True)
    yield relay
    relay.close()
