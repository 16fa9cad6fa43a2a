"""Sessions of ordinary people, and a bridge that the test plays."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from tests.kit.instance_relay import InstanceRelay
from tests.kit.session import NO_WAITING, Open, Session

from singularity_lab import Cluster, Database, Lab


@pytest.fixture
def open_session(instance: Database) -> Iterator[Open]:
    """Return a function that opens a session, of the ordinary writer or of another role."""
    with ExitStack() as sessions:

        def open_one(user: str | None = None) -> Session:
            session = Session(sessions.enter_context(instance.connect(user)))
            session.run(NO_WAITING)
            return session

        yield open_one


@pytest.fixture
def db(open_session: Open) -> Session:
    """Open a session of an ordinary writer."""
    return open_session()


@pytest.fixture
def other(open_session: Open) -> Session:
    """Open one more session of an ordinary writer."""
    return open_session()


@pytest.fixture
def viewer(instance: Database, open_session: Open) -> Session:
    """Open a session of somebody who may only read."""
    return open_session(instance.viewer)


@pytest.fixture
def relay(instance: Database, open_session: Open) -> InstanceRelay:
    """Open a bridge's session; it is not attached yet."""
    return InstanceRelay(open_session(instance.relay))


@pytest.fixture
def offline(db: Session, relay: InstanceRelay) -> InstanceRelay:
    """Connect the instance in mode hybrid: a bridge runs, and NATS cannot be reached."""
    db.call("connect")
    db.notices.clear()  # of what leaves
    assert relay.attach()["attached"]
    relay.tick(connected=False, error="no servers available")
    return relay


@pytest.fixture
def online(offline: InstanceRelay) -> InstanceRelay:
    """Connect the instance in mode hybrid, with a bridge and an authority that is heard."""
    offline.go_online()
    return offline


@pytest.fixture
def owner(instance: Database) -> Iterator[Session]:
    """Open the superuser's session, for what only time or a disaster does."""
    with instance.connect_superuser() as connection:
        yield Session(connection)


@pytest.fixture(scope="session")
def steady_database(cluster: Cluster) -> Database:
    """Make one database for all tests of this worker that change nothing."""
    database = Database(cluster, "steady", "singularity", roles="steady")
    cluster.create_database(database.name)
    database.create_extension()
    database.create_roles()
    with database.connect() as connection:
        db = Session(connection)
        db.learn("thing", 1)
        db.call("connect")
    return database


@pytest.fixture
def steady(steady_database: Database) -> Iterator[Session]:
    """Open a writer's session for a test that changes nothing, in an instance that is online and knows "thing"."""
    with steady_database.connect(steady_database.relay) as bridge:
        relay = InstanceRelay(Session(bridge))
        relay.attach()
        relay.go_online()
        relay.take("contribution")
        with steady_database.connect() as connection:
            yield Session(connection)


@pytest.fixture
def lab_instance(lab: Lab) -> Database:
    """Make an instance on a server of the test's own."""
    return lab.instance(cluster=lab.cluster(fsync=False))
