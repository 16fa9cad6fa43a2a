"""A hostile login, and databases in which it may create things before the administrator installs an extension."""

from collections.abc import Iterator

import psycopg
import pytest

from singularity_lab import Cluster, Database

MALLORY = "mallory"


@pytest.fixture(scope="session")
def hostile_cluster(cluster: Cluster) -> Cluster:
    """Give the server's hostile login: no membership, no attribute."""
    with cluster.connect() as connection:
        connection.execute(f"create role {MALLORY} login".encode())
    return cluster


@pytest.fixture
def prepared(hostile_cluster: Cluster) -> Iterator[Database]:
    """Make a database without the extensions in which the hostile login may create schemas."""
    database = Database(hostile_cluster, "prepared", "singularity", roles="prepared")
    hostile_cluster.create_database(database.name)
    with database.connect_superuser() as connection:
        connection.execute(f"grant create on database {database.name} to {MALLORY}".encode())
        connection.execute("create extension plpython3u; create extension vector; create extension pg_trgm")
    yield database
    hostile_cluster.drop_database(database.name)


@pytest.fixture
def mallory(prepared: Database) -> Iterator[psycopg.Connection]:
    """Open the hostile login's session in the prepared database."""
    with prepared.connect(MALLORY) as connection:
        yield connection
