"""Stand-ins: databases of the contract that know nothing of knowledge, on real servers."""

import itertools
import os
from collections.abc import Iterator

import pytest
from tests.bridge.stand_in import CONSUMER, SERVICE, STREAM, StandIn

from singularity_lab import Cluster, Lab

_numbers = itertools.count(1)


@pytest.fixture
def stand_in(cluster: Cluster, lab: Lab) -> Iterator[StandIn]:
    """Make a database on the shared server, and a NATS server of the test's own."""
    name = f"stand_in_{os.getpid()}_{next(_numbers)}"
    database = StandIn(cluster, name, lab.nats(secure=False), lab)
    database.create()
    yield database
    cluster.drop_database(name)


@pytest.fixture
def worker(stand_in: StandIn) -> StandIn:
    """Make a stand-in whose plan has a stream, its consumer, a subscription and a service."""
    stand_in.plan(streams=[STREAM], consumers=[CONSUMER], subscriptions=["news.a"], service=SERVICE)
    return stand_in


@pytest.fixture
def own_servers(lab: Lab) -> StandIn:
    """Make a stand-in on a PostgreSQL server of its own, for tests that break it."""
    database = StandIn(lab.cluster(tcp=True), "stand_in", lab.nats(secure=False), lab)
    database.create()
    database.plan(streams=[STREAM], consumers=[CONSUMER], subscriptions=["news.a"], service=SERVICE)
    return database
