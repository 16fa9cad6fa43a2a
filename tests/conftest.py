"""Databases for the tests: a throwaway server for each pytest worker, a fresh database for each test.

`instance` and `authority` are databases with the extension and its ordinary login roles (see
`singularity_lab.Database`), copied from a template. `instance_db` and `authority_db` are connections as an
ordinary member, `instance_superuser` and `authority_superuser` the superuser's. `here` and `there` are the two
with bridges that are moved by hand. All of them share one server, which never crashes; tests that break things
take a `lab` of their own.
"""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from pytest_postgresql import factories
from tests.kit.memory import work_in_memory
from tests.kit.pair import Authority, Instance

from singularity_lab import Cluster, Database, Lab
from singularity_lab.process import forget_foreign_servers

forget_foreign_servers()  # before anything connects
work_in_memory()  # before anything starts


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """Start the server that this worker's tests share; its log stays when a test failed."""
    lab = Lab()
    with lab:
        yield lab.cluster(fsync=False, settings={"full_page_writes": "off", "synchronous_commit": "off"})
        lab.keep_logs = request.session.testsfailed > 0


@pytest.fixture
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """Provide servers, databases and bridges of the test's own; their logs stay when it failed."""
    failed_before = request.session.testsfailed
    lab = Lab()
    with lab:
        yield lab
        lab.keep_logs = request.session.testsfailed > failed_before


@pytest.fixture(scope="session")
def server(cluster: Cluster) -> SimpleNamespace:
    """Describe the shared server to pytest-postgresql, whose own refuses to run as root."""
    return SimpleNamespace(
        host=cluster.host,
        port=cluster.port,
        user=cluster.superuser,
        password=None,
        options="",
        maintenance_dbname="postgres",
        template_dbname=None,
    )


def _load_singularity(**connection: Any) -> None:
    _create_extension("singularity", connection)


def _load_centralcloud(**connection: Any) -> None:
    _create_extension("centralcloud", connection)


def _create_extension(extension: str, connection: dict[str, Any]) -> None:
    known = {name: connection[name] for name in ("host", "port", "user", "dbname")}
    with psycopg.connect(**known, autocommit=True) as session:
        session.execute(f"create extension {extension} cascade")


instance_template = factories.postgresql_noproc(
    depends_on="server", dbname="instance", load=[_load_singularity]
)
authority_template = factories.postgresql_noproc(
    depends_on="server", dbname="authority", load=[_load_centralcloud]
)
instance_superuser = factories.postgresql("instance_template")
authority_superuser = factories.postgresql("authority_template")


@pytest.fixture
def instance(cluster: Cluster, instance_superuser: psycopg.Connection) -> Database:
    """Make a fresh database with the extension singularity and its login roles."""
    instance_superuser.autocommit = True
    database = Database(cluster, instance_superuser.info.dbname, "singularity", roles="instance")
    database.create_roles()
    return database


@pytest.fixture
def authority(cluster: Cluster, authority_superuser: psycopg.Connection) -> Database:
    """Make a fresh database with the extension centralcloud and its login roles."""
    authority_superuser.autocommit = True
    database = Database(cluster, authority_superuser.info.dbname, "centralcloud", roles="authority")
    database.create_roles()
    return database


@pytest.fixture
def instance_db(instance: Database) -> Iterator[psycopg.Connection]:
    """Open a connection to `instance` as an ordinary writer, each statement its own transaction."""
    with instance.connect() as connection:
        yield connection


@pytest.fixture
def authority_db(authority: Database) -> Iterator[psycopg.Connection]:
    """Open a connection to `authority` as an ordinary curator, each statement its own transaction."""
    with authority.connect() as connection:
        yield connection


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
