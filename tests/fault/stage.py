"""The stage of a story: an authority, a few instances, NATS, and a link that can be disturbed between any two."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Any, Self

import psycopg
from psycopg.conninfo import make_conninfo
from tests.fault.clock import ClockedCluster, build_library
from tests.fault.link import Link

from singularity_lab import Bridge, Database, Lab, NatsServer, wait_until

AUTHORITY = "central"
INSTANCES = ("ann", "bob", "carol")
_SETTINGS = {"shared_buffers": "32MB", "max_connections": "60"}


class Player:
    """A server with one database, its bridge, and the bridge's links to both sides."""

    def __init__(
        self, cluster: ClockedCluster, database: Database, links: tuple[Link, Link], bridge: Bridge
    ) -> None:
        self.cluster, self.database, self.bridge = cluster, database, bridge
        self.name = cluster.name
        self.nats_link, self.database_link = links

    def superuser(self) -> psycopg.Connection:
        """Connect as the superuser."""
        return self.database.connect_superuser()


class Stage:
    """Everything that plays; gone after the `with` block."""

    def __init__(self, lab: Lab, instances: Sequence[str] = INSTANCES) -> None:
        self.lab = lab
        self.names = tuple(instances)
        self._parts = ExitStack()
        self._locks: dict[str, threading.Lock] = {}
        self._guard = threading.Lock()
        self.kinds = 0

    def __enter__(self) -> Self:
        self.nats: NatsServer = self.lab.nats()
        self.authority = self._machine(AUTHORITY)
        self.instances = {name: self._machine(name) for name in self.names}
        self.machines = {AUTHORITY: self.authority, **self.instances}
        for machine in self.instances.values():
            with machine.database.connect() as user:
                user.execute("select singularity.configure(%s), singularity.connect()", [machine.name])
            with machine.superuser() as superuser:
                superuser.execute(
                    "create table public.done (id text primary key, lost boolean not null default false)"
                )
                superuser.execute("grant all on public.done to public")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._parts.close()

    def new_kind(self) -> str:
        """Return a kind for the next story, which every instance follows."""
        self.kinds += 1
        kind = f"story-{self.kinds}"
        for machine in self.instances.values():
            with machine.database.connect() as user:
                user.execute("select singularity.follow(%s)", [kind])
        return kind

    @contextmanager
    def taking(self, *parts: str) -> Iterator[None]:
        """Have parts to oneself: two faults do not break the same thing at the same time."""
        with ExitStack() as held:
            for part in sorted(parts):
                with self._guard:
                    lock = self._locks.setdefault(part, threading.Lock())
                held.enter_context(lock)
            yield

    def streams(self) -> list[dict[str, Any]]:
        """Return what NATS says of its streams, none while it has none."""
        accounts = self.nats.monitor("jsz?streams=1&config=1").get("account_details") or []
        return [stream for account in accounts for stream in account.get("stream_detail") or []]

    def mend(self) -> None:
        """See that everything runs and every link flows."""
        for machine in self.machines.values():
            for link in (machine.nats_link, machine.database_link):
                link.flow()
            machine.cluster.set_clock(0)
        for process in (self.nats, *(machine.cluster for machine in self.machines.values())):
            if process.running:
                process.thaw()
            else:
                process.start()
        for machine in self.machines.values():
            if machine.bridge.running:
                machine.bridge.thaw()
            else:
                machine.bridge.start()
            wait_until(lambda m=machine: answers(m), 60, f"{machine.name}'s database")  # type: ignore[misc]

    def _machine(self, name: str) -> Player:
        cluster = self.lab.start(
            ClockedCluster(
                name,
                self.lab.folder / name,
                build_library(self.lab.folder),
                log=self.lab.logs / f"{name}.log",
                tcp=True,
                fsync=False,
                settings=_SETTINGS,
            )
        )
        make = self.lab.authority if name == AUTHORITY else self.lab.instance
        database = make(name, cluster=cluster)
        nats_link = self._parts.enter_context(Link(self.nats.port))
        database_link = self._parts.enter_context(Link(cluster.port))
        bridge = self.lab.start(self.new_bridge(name, database, nats_link, database_link))
        return Player(cluster, database, (nats_link, database_link), bridge)

    def new_bridge(
        self, name: str, database: Database, nats_link: Link, database_link: Link, suffix: str = ""
    ) -> Bridge:
        """Return a bridge, not started, that goes through the links."""
        dsn = make_conninfo(database.dsn(database.relay), port=database_link.port)
        log = self.lab.logs / f"bridge-{name}{suffix}.log"
        return Bridge(
            dsn,
            f"nats://127.0.0.1:{nats_link.port}",
            log,
            name=f"bridge-{name}{suffix}",
            # no TLS: the links look at what passes
            options=self.lab.nats_options(database, self.nats),
        )


def answers(machine: Player) -> bool:
    """Say whether a machine's database answers."""
    try:
        with machine.cluster.connect(machine.database.name, connect_timeout=5) as connection:
            connection.execute("select 1")
    except psycopg.OperationalError:
        return False
    return True
