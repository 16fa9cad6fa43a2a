"""A team on real servers: two machines with an instance each, the authority, NATS and three bridges."""

import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager

import psycopg
import pytest
from tests.kit.machine import Machine
from tests.kit.queries import value

from singularity_lab import Lab, NatsServer


def fresh(word: str) -> str:
    """Return a name that no other test uses."""
    return f"{word}-{uuid.uuid4().hex[:12]}"


class Team:
    """Two machines and what is between them."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.nats: NatsServer = lab.nats(tls=True)
        self.server = lab.cluster("server")
        self.central = lab.authority("central", cluster=self.server)
        self.central_bridge = lab.bridge(self.central, self.nats)
        self.ann = self.machine("ann", "laptop")
        self.bob = self.machine("bob", "server")
        self.curator: psycopg.Connection = self.central.connect()

    def machine(self, name: str, cluster: str) -> Machine:
        """Make an instance with its bridge, and connect it."""
        database = self.lab.instance(name, cluster=self.lab.cluster(cluster))
        machine = Machine(database, self.lab.bridge(database, self.nats))
        machine.call("configure", instance_name=name)
        machine.call("connect")
        return machine

    def authority_has(self, name: str) -> bool:
        """Say whether the authority has committed an artifact."""
        query = "select exists (select from centralcloud.artifact where name = %s and variant is not null)"
        return bool(value(self.curator, query, name))

    def close(self) -> None:
        """Close the connections of the users; the lab ends the rest."""
        for connection in (self.ann.connection, self.bob.connection, self.curator):
            connection.close()


@contextmanager
def team_of(session: pytest.Session) -> Iterator[Team]:
    """Start a team for the tests of a worker; its logs stay when one of them failed."""
    failed_before = session.testsfailed
    lab = Lab()
    with lab, closing(Team(lab)) as team:
        yield team
        lab.keep_logs = session.testsfailed > failed_before
