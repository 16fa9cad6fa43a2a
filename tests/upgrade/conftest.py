"""Databases and bridges of released versions."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import pytest
from tests.upgrade.server import RELEASES, make_server

import build
from singularity_lab import Bridge, Cluster, Database, Lab, NatsServer
from singularity_lab.places import remove, scratch_folder

Extension = Literal["singularity", "centralcloud"]
EXTENSIONS: tuple[Extension, ...] = ("singularity", "centralcloud")
FOLDER = Path(build.__file__).resolve().parent
CURRENT = next(
    line.split("'")[1]
    for line in (FOLDER / "singularity.control").read_text(encoding="utf-8").splitlines()
    if line.startswith("default_version")
)
SCRIPTS = [
    path.name.removesuffix(".sql.xz").split("--")[1:] for path in RELEASES.glob("singularity--*.sql.xz")
]
# every released version, then every upgrade that was released
WAYS = sorted(
    SCRIPTS, key=lambda way: (len(way), [int(part) for version in way for part in version.split(".")])
)
RELEASED = [way[0] for way in WAYS if len(way) == 1]
PREVIOUS = RELEASED[-1]


def create(cluster: Cluster, name: str, extension: Extension, version: str) -> Database:
    """Make a database with a version of an extension, and its login roles."""
    database = Database(cluster, name, extension, roles=name)
    cluster.create_database(name)
    with database.connect_superuser() as connection:
        connection.execute(f"create extension {extension} version '{version}' cascade".encode())
    database.create_roles()
    return database


def update(database: Database, *versions: str) -> None:
    """Upgrade the extension to these versions, one after the other, and to the present one."""
    with database.connect_superuser() as connection:
        for version in (*versions, CURRENT):
            connection.execute(f"alter extension {database.extension} update to '{version}'".encode())


@pytest.fixture(scope="session")
def programs() -> Iterator[Path]:
    """Make a server that has the scripts of released versions."""
    folder = scratch_folder()
    yield make_server(folder)
    remove(folder)


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest, programs: Path) -> Iterator[Cluster]:
    """Start such a server for the tests of this folder; its log stays when a test failed."""
    lab = Lab()
    with lab:
        yield lab.cluster(fsync=False, programs=programs)
        lab.keep_logs = request.session.testsfailed > 0


class ReleasedBridge(Bridge):
    """The bridge of a released version, from its wheel."""

    wheel: Path

    def start(self) -> None:
        """Start it with the wheel before our own package on the path."""
        program = "import sys; from singularity_bridge.cli import main; sys.exit(main())"
        command = [sys.executable, "-c", program, "run", "--dsn", self.dsn, "--nats", self.nats_url]
        self._launch(command, environment={"PYTHONPATH": str(self.wheel), "PATH": os.environ["PATH"]})


StartBridge = Callable[[Database, str], Bridge]


@pytest.fixture
def start_bridge(lab: Lab, nats: NatsServer) -> StartBridge:
    """Return a function that starts the bridge of a version for a database."""

    def start(database: Database, version: str) -> Bridge:
        name = f"bridge-{database.name}-{version}"
        log = lab.logs / f"{name}.log"
        dsn = database.dsn(database.relay)
        if version == CURRENT:
            return lab.start(Bridge(dsn, nats.url, log, name=name))
        bridge = ReleasedBridge(dsn, nats.url, log, name=name)
        (bridge.wheel,) = RELEASES.glob(f"singularity-{version}-*.whl")
        return lab.start(bridge)

    return start


@pytest.fixture
def nats(lab: Lab) -> NatsServer:
    """Start a NATS server."""
    return lab.nats(secure=False)
