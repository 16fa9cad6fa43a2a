"""A laboratory: any number of servers, databases and bridges that end together."""

import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Literal, Self, TypeVar

import psycopg
from psycopg import sql

from singularity_lab.bridge import Bridge
from singularity_lab.credentials import Registry
from singularity_lab.nats_server import NatsServer
from singularity_lab.places import remove, scratch_folder
from singularity_lab.postgres import Cluster
from singularity_lab.process import Process

Extension = Literal["singularity", "centralcloud"]
P = TypeVar("P", bound=Process)

# Who a login role made for a database is: a member of the extension's groups of these names, as far as there are such:
# before 0.3 there was no admin, and a writer or curator could do it all.
_MEMBERSHIPS: Mapping[Extension, Mapping[str, Sequence[str]]] = {
    "singularity": {"user": ("writer", "admin"), "viewer": ("reader",), "relay": ("bridge",), "stranger": ()},
    "centralcloud": {
        "user": ("curator", "admin"),
        "viewer": ("reader",),
        "relay": ("bridge",),
        "stranger": (),
    },
}


@dataclass(frozen=True)
class Database:
    """A database with one of the extensions, and ordinary login roles to use it with.

    `user` may do all that people do (an administrator), `viewer` may only read, `relay` is the bridge's role
    and `stranger` belongs to no group. The roles are named `<roles>_user` and so on.
    """

    cluster: Cluster
    name: str
    extension: Extension
    roles: str

    @property
    def user(self) -> str:
        """The role of a person: member of singularity_admin or centralcloud_admin."""
        return f"{self.roles}_user"

    @property
    def viewer(self) -> str:
        """The role of somebody who may only read."""
        return f"{self.roles}_viewer"

    @property
    def relay(self) -> str:
        """The role that a bridge logs in with."""
        return f"{self.roles}_relay"

    @property
    def stranger(self) -> str:
        """A role without any membership."""
        return f"{self.roles}_stranger"

    def dsn(self, user: str | None = None, **parameters: Any) -> str:
        """Return libpq's connection string (as `user`, the ordinary person's role by default)."""
        return self.cluster.dsn(self.name, user or self.user, **parameters)

    def connect(self, user: str | None = None, *, autocommit: bool = True) -> psycopg.Connection:
        """Return a new connection (as `user`, the ordinary person's role by default)."""
        return self.cluster.connect(self.name, user or self.user, autocommit=autocommit)

    def connect_superuser(self, *, autocommit: bool = True) -> psycopg.Connection:
        """Return a new connection as the superuser."""
        return self.cluster.connect(self.name, autocommit=autocommit)

    def create_extension(self) -> None:
        """Create the extension, as the superuser does once in a real database."""
        with self.connect_superuser() as connection:
            connection.execute(f"create extension {self.extension} cascade")

    def create_roles(self) -> None:
        """Create the login roles that are not there yet; the group roles must be."""
        with self.connect_superuser() as connection:
            known = {name for (name,) in connection.execute("select rolname from pg_roles")}
            for suffix, groups in _MEMBERSHIPS[self.extension].items():
                role = f"{self.roles}_{suffix}"
                if role not in known:
                    connection.execute(sql.SQL("create role {} login").format(sql.Identifier(role)))
                for group in known & {f"{self.extension}_{group}" for group in groups}:
                    grant = sql.SQL("grant {} to {}").format(sql.Identifier(group), sql.Identifier(role))
                    connection.execute(grant)


class Lab:
    """Composes servers, databases and bridges; all of them are gone after the `with` block.

    When the block fails, the logs stay and their folder is printed.
    """

    def __init__(self, *, keep_logs: bool = False) -> None:
        self.keep_logs = keep_logs
        self.folder = scratch_folder()
        self.logs = self.folder / "logs"
        self._parts = ExitStack()
        self._clusters: dict[str, Cluster] = {}
        self._registries: dict[str, Registry] = {}

    def start(self, part: P) -> P:
        """Start a part and end it with the lab."""
        self._parts.enter_context(part)
        return part

    def cluster(self, name: str = "postgres", **options: Any) -> Cluster:
        """Return the cluster of that name, started on first use with Cluster's `options`."""
        if name not in self._clusters:
            cluster = Cluster(name, folder=self.folder / name, log=self._log(name), **options)
            self._clusters[name] = self.start(cluster)
        return self._clusters[name]

    def nats(
        self, name: str = "nats", *, configuration: str = "", secure: bool = True, tls: bool = False
    ) -> NatsServer:
        """Start a NATS server that lets in whom the authority's registry names, or everybody unless `secure`."""
        server = NatsServer(
            name,
            folder=self.folder / name,
            log=self._log(name),
            configuration=configuration,
            secure=secure,
            tls=tls,
        )
        self._registries[name] = Registry(server)
        return self.start(server)

    def registry(self, nats: NatsServer) -> Registry:
        """Return who is admitted to a NATS server."""
        return self._registries[nats.name]

    def nats_options(self, database: Database, nats: NatsServer) -> list[str]:
        """Return the options by which a bridge speaks for a database, which is admitted first where it must be."""
        options = nats.bridge_options()
        if nats.operator:
            options += ["--nkey", str(self.registry(nats).admit(database).seed)]
        return options

    def instance(self, name: str = "instance", *, cluster: Cluster | None = None) -> Database:
        """Create a database with the extension singularity and its login roles."""
        return self._database(name, "singularity", cluster)

    def authority(self, name: str = "authority", *, cluster: Cluster | None = None) -> Database:
        """Create a database with the extension centralcloud and its login roles."""
        return self._database(name, "centralcloud", cluster)

    def readmit(self, bridge: Bridge, database: Database, nats: NatsServer) -> None:
        """Give a database that is another instance now a NATS user of its own, and start its bridge with it."""
        bridge.options = tuple(self.nats_options(database, nats))
        bridge.restart()

    def bridge(
        self,
        database: Database,
        nats: NatsServer | str,
        *,
        name: str | None = None,
        options: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> Bridge:
        """Start a bridge for a database, as its role `relay`; `nats` is a server or an URL.

        A secured server wants the authority's bridge first.
        """
        name = name or f"bridge-{database.name}"
        url = nats if isinstance(nats, str) else nats.url
        if not isinstance(nats, str):
            options = [*self.nats_options(database, nats), *options]
        dsn = database.dsn(database.relay)
        bridge = Bridge(dsn, url, self._log(name), name=name, options=options, environment=environment)
        return self.start(bridge)

    def __enter__(self) -> Self:
        self._parts.enter_context(_ending_on_sigterm())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._parts.close()
        failed = kind is not None and not issubclass(kind, KeyboardInterrupt | SystemExit)
        if failed or self.keep_logs:
            print(f"logs: {self.logs}", file=sys.stderr)
            for folder in self.folder.iterdir() if self.folder.exists() else ():
                if folder != self.logs:
                    remove(folder)
        else:
            remove(self.folder)

    def _database(self, name: str, extension: Extension, cluster: Cluster | None) -> Database:
        database = Database(cluster or self.cluster(), name, extension, roles=name)
        database.cluster.create_database(name)
        database.create_extension()
        database.create_roles()
        return database

    def _log(self, name: str) -> Path:
        return self.logs / f"{name}.log"


class _ending_on_sigterm:  # noqa: N801
    """Turns SIGTERM into SystemExit, so that `with` blocks are left in order; in the main thread only."""

    def __enter__(self) -> None:
        self._before: Any = None
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGTERM, self._leave)

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGTERM, self._before)

    @staticmethod
    def _leave(number: int, _frame: FrameType | None) -> None:
        sys.exit(128 + number)
