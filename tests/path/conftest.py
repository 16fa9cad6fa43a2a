"""A team on real servers: two machines with an instance each, the authority, NATS and three bridges.

Starting one takes longer than most tests, so the tests of a worker share it: each uses names of its own and leaves
everything running.
"""

import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb
from tests.support import Row, row, rows, value

from singularity_lab import Bridge, Database, Lab, NatsServer, wait_until


def fresh(word: str) -> str:
    """Return a name that no other test uses."""
    return f"{word}-{uuid.uuid4().hex[:12]}"


class Machine:
    """An instance as its user sees it, with its bridge."""

    def __init__(self, database: Database, bridge: Bridge) -> None:
        self.database, self.bridge = database, bridge
        self.connection = database.connect()

    def learn(self, name: str, content: Any, kind: str = "pattern", **more: Any) -> None:
        """Learn an artifact; `more` are further arguments of learn()."""
        extra = "".join(f", {key} => %({key})s" for key in more)
        query = f"select singularity.learn(%(kind)s, %(name)s, %(content)s{extra})"
        self.connection.execute(
            query.encode(), {"kind": kind, "name": name, "content": Jsonb(content), **more}
        )

    def lookup(self, name: str, kind: str = "pattern") -> Row | None:
        """Return the row of lookup, or None."""
        found = rows(self.connection, "select * from singularity.lookup(%s, %s)", kind, name)
        return found[0] if found else None

    def record(self, name: str, times: int, succeeded: bool = True) -> None:
        """Record outcomes."""
        query = "select singularity.record_outcome('pattern', %s, %s) from generate_series(1, %s)"
        self.connection.execute(query, [name, succeeded, times])

    def call(self, call: str, *parameters: Any) -> Any:
        """Call a function of the extension and return its value."""
        return value(self.connection, f"select singularity.{call}", *parameters)

    def copy_of(self, name: str, kind: str = "pattern") -> Any:
        """Return the content of the copy of the authority's version, None when there is none here."""
        query = "select content from singularity.central_copy where name = %s and kind = %s"
        found = rows(self.connection, query, name, kind)
        return found[0]["content"] if found else None

    def status(self) -> Row:
        """Return how the instance stands."""
        return row(self.connection, "select * from singularity.status()")

    def reconnect(self) -> None:
        """Open the user's connection again, after its server was down."""
        self.connection.close()
        self.connection = self.database.connect()

    def until(self, condition: Callable[[], Any], message: str, timeout: float = 45) -> Any:
        """Wait for a condition; says the status when it does not come true."""
        return wait_until(condition, timeout, lambda: f"{message}; status {self.status()}")

    def until_online(self) -> None:
        """Wait until the authority is heard."""
        self.until(lambda: self.status()["online"], "online")

    def until_confirmed(self) -> None:
        """Wait until the authority has everything."""
        self.until(lambda: self.status()["outbox_entries"] == 0, "an empty outbox")

    def until_known(self, name: str, kind: str = "pattern") -> Row:
        """Wait until an artifact is known here, asking as a user would."""
        found = self.until(lambda: self.lookup(name, kind), f"{name} to be known")
        assert isinstance(found, dict)
        return found


class Team:
    """Two machines and what is between them."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.nats: NatsServer = lab.nats()
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
        machine.connection.execute("select singularity.configure(%s), singularity.connect()", [name])
        return machine

    def authority_has(self, name: str) -> bool:
        """Say whether the authority has committed an artifact."""
        query = "select exists (select from centralcloud.artifact where name = %s and variant is not null)"
        return bool(value(self.curator, query, name))

    def close(self) -> None:
        """Close the connections of the users; the lab ends the rest."""
        for connection in (self.ann.connection, self.bob.connection, self.curator):
            connection.close()


@pytest.fixture(scope="session")
def running_team(request: pytest.FixtureRequest) -> Iterator[Team]:
    """Start a team for the tests of a worker."""
    failed_before = request.session.testsfailed
    lab = Lab()
    with lab, ExitStack() as ending:
        team = Team(lab)
        ending.callback(team.close)
        yield team
        lab.keep_logs = request.session.testsfailed > failed_before


@pytest.fixture
def team(running_team: Team) -> Team:
    """Give a test the team when both machines are online."""
    running_team.ann.until_online()
    running_team.bob.until_online()
    return running_team
