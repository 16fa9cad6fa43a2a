"""Databases and bridges of released versions."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest

import build
from singularity_lab import Bridge, Cluster, Database, Lab, NatsServer

Extension = Literal["singularity", "centralcloud"]
EXTENSIONS: tuple[Extension, ...] = ("singularity", "centralcloud")
FOLDER = Path(build.__file__).resolve().parent
RELEASES = Path(__file__).resolve().parent / "releases"
CURRENT = next(
    line.split("'")[1]
    for line in (FOLDER / "singularity.control").read_text(encoding="utf-8").splitlines()
    if line.startswith("default_version")
)
# every released version has a frozen script
RELEASED = sorted(
    version
    for version in (path.stem.split("--", 1)[1] for path in FOLDER.glob("singularity--*.sql"))
    if "--" not in version and version != CURRENT
)
PREVIOUS = RELEASED[-1]


def create(cluster: Cluster, name: str, extension: Extension, version: str) -> Database:
    """Make a database with a version of an extension, and its login roles."""
    database = Database(cluster, name, extension, roles=name)
    cluster.create_database(name)
    with database.connect_superuser() as connection:
        connection.execute(f"create extension {extension} version '{version}' cascade".encode())
    database.create_roles()
    return database


def update(database: Database) -> None:
    """Upgrade the extension to the present version."""
    with database.connect_superuser() as connection:
        connection.execute(f"alter extension {database.extension} update".encode())


class ReleasedBridge(Bridge):
    """The bridge of a released version, from its wheel."""

    packages: Path

    def start(self) -> None:
        """Start it with the released package before ours on the path."""
        program = "import sys; from singularity_bridge.cli import main; sys.exit(main())"
        command = [sys.executable, "-c", program, "run", "--dsn", self.dsn, "--nats", self.nats_url]
        self._launch(command, environment={"PYTHONPATH": str(self.packages), "PATH": os.environ["PATH"]})


StartBridge = Callable[[Database, str], Bridge]


@pytest.fixture
def start_bridge(lab: Lab, nats: NatsServer, tmp_path: Path) -> StartBridge:
    """Return a function that starts the bridge of a version for a database."""
    packages = tmp_path / "packages"

    def start(database: Database, version: str) -> Bridge:
        name = f"bridge-{database.name}-{version}"
        log = lab.logs / f"{name}.log"
        dsn = database.dsn(database.relay)
        if version == CURRENT:
            return lab.start(Bridge(dsn, nats.url, log, name=name))
        if not packages.exists():
            (wheel,) = RELEASES.glob(f"singularity-{version}-*.whl")
            options = ["--quiet", "--no-deps", "--no-index", "--target", packages, wheel]
            subprocess.run([sys.executable, "-m", "pip", "install", *map(str, options)], check=True)
        bridge = ReleasedBridge(dsn, nats.url, log, name=name)
        bridge.packages = packages
        return lab.start(bridge)

    return start


@pytest.fixture
def nats(lab: Lab) -> NatsServer:
    """Start a NATS server."""
    return lab.nats()
