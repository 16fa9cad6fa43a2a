"""A team whose faults are told: every test breaks something, reads what is said of it, and mends it as it is said."""

import subprocess
import sysconfig
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

import pytest
from psycopg import Connection
from tests.kit.machine import Machine
from tests.kit.queries import value
from tests.kit.team import Team, fresh, team_of

from singularity_lab import Bridge, Database, Lab, NatsServer, Process, wait_until
from singularity_lab.process import clean_environment

PROGRAM = Path(sysconfig.get_path("scripts")) / "singularity-bridge"


class Side:
    """A database and its bridge, as the operator sees them."""

    def __init__(self, lab: Lab, database: Database, bridge: Bridge | None, nats: NatsServer) -> None:
        self.lab, self.database, self.nats = lab, database, nats
        self._bridge = bridge
        self.log_start = bridge.log_size() if bridge else 0

    @property
    def bridge(self) -> Bridge:
        """The bridge, which must have been started."""
        assert self._bridge
        return self._bridge

    def start_bridge(self) -> None:
        """Start the first bridge of this database."""
        self._bridge = self.lab.bridge(self.database, self.nats)

    def readmit(self) -> None:
        """Let its bridge speak for the instance that the database is now."""
        self.lab.readmit(self.bridge, self.database, self.nats)

    def ask(self, query: str, *parameters: object) -> object:
        """Return a value that the database knows, as the person who operates it sees it."""
        with self.database.connect() as connection:
            return value(connection, query, *parameters)

    def do(self, statement: str) -> None:
        """Run a statement as that person does."""
        with self.database.connect() as connection:
            connection.execute(statement.encode())

    def troubles(self) -> list[str]:
        """Return what status() says is wrong."""
        with self.database.connect() as connection:
            return self._troubles(connection)

    def _troubles(self, connection: Connection) -> list[str]:
        found = value(connection, f"select troubles from {self.database.extension}.status()")
        assert isinstance(found, list)
        return found

    def until_told(self, *words: str, timeout: float = 30) -> str:
        """Wait for a sentence in status() with all these words, and return it."""
        with self.database.connect() as connection:  # one session: a new one plans everything anew

            def told() -> list[str]:
                return [
                    trouble
                    for trouble in self._troubles(connection)
                    if all(word in trouble for word in words)
                ]

            found = wait_until(
                told, timeout, lambda: f"{words} in the status: {self.troubles()}", interval=0.1
            )
        return found[0]

    def until_well(self, timeout: float = 30) -> None:
        """Wait until status() has nothing to complain of."""
        with self.database.connect() as connection:
            wait_until(
                lambda: not self._troubles(connection),
                timeout,
                lambda: f"an end of the troubles of {self.database.name}: {self.troubles()}",
                interval=0.1,
            )

    def until_logged(self, text: str) -> None:
        """Wait until the bridge has logged a text since the test began."""
        self.bridge.wait_for_log(text, 20, self.log_start)

    def warnings(self, text: str) -> int:
        """Return how many warnings with this text the bridge has logged since the test began."""
        return sum(
            text in line for line in self.bridge.log_text(self.log_start).splitlines() if "[warning" in line
        )

    def check(self) -> tuple[int, str]:
        """Run `singularity-bridge check`; returns its exit code and what it prints."""
        dsn = self.database.dsn(self.database.relay)
        options = self._bridge.options if self._bridge else self.lab.nats_options(self.database, self.nats)
        command = [str(PROGRAM), "check", "--dsn", dsn, "--nats", self.nats.url, *options]
        done = subprocess.run(
            command, env=clean_environment(), capture_output=True, text=True, check=False, timeout=60
        )
        assert not done.stderr
        return done.returncode, done.stdout

    def assert_check_is_right(self) -> None:
        """Expect the check to find nothing wrong."""
        code, text = self.check()
        assert (code, "FAILED" in text) == (0, False), text

    def assert_check_tells(self, finding: str, mend: str) -> None:
        """Expect a failed finding that starts with one text and whose mend holds the other."""
        code, text = self.check()
        assert code == 1, text
        lines = text.splitlines()
        mends = [
            following.removeprefix("        -> ")
            for line, following in pairwise(lines)
            if line.startswith(f"FAILED  {finding}")
        ]
        assert any(mend in told for told in mends), text


def restart(part: Side | Process) -> None:
    """Make sure that a server, or the bridge of a side, runs."""
    process = part.bridge if isinstance(part, Side) else part
    if not process.running:
        process.start()


class Scene:
    """A team that is well, and the three sides of it."""

    def __init__(self, team: Team) -> None:
        self.team = team
        self.lab, self.nats = team.lab, team.nats
        self.ann = self.side(team.ann)
        self.bob = self.side(team.bob)
        self.central = Side(team.lab, team.central, team.central_bridge, team.nats)
        self.sides = (self.ann, self.bob, self.central)

    def machine(self, word: str) -> Machine:
        """Add an instance of the test's own."""
        return self.team.machine(fresh(word).replace("-", "_"), "laptop")

    def side(self, machine: Machine) -> Side:
        """Return the operator's view of a machine."""
        return Side(self.lab, machine.database, machine.bridge, self.nats)

    def until_all_is_well(self) -> None:
        """Wait until nothing is wrong anywhere."""
        for side in self.sides:
            side.until_well()
        for machine in (self.team.ann, self.team.bob):
            machine.until_online()


@pytest.fixture(scope="session")
def running_team(request: pytest.FixtureRequest) -> Iterator[Team]:
    """Start a team for the tests of a worker."""
    with team_of(request.session) as team:
        yield team


@pytest.fixture
def scene(running_team: Team) -> Scene:
    """Give a test the team when nothing is wrong with it."""
    scene = Scene(running_team)
    scene.until_all_is_well()
    return scene


@pytest.fixture
def later() -> Iterator[Callable[..., object]]:
    """Give a test a way to have something undone at its end, whatever becomes of it."""
    with ExitStack() as ending:
        yield ending.callback
