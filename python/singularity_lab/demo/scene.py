"""The servers, databases, bridges and people of the demonstration."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import psycopg
from psycopg.rows import dict_row

from singularity_lab.bridge import Bridge
from singularity_lab.demo.screen import Step
from singularity_lab.lab import Database, Lab
from singularity_lab.nats_server import NatsServer
from singularity_lab.postgres import Cluster

Row = dict[str, Any]


class CreateDatabase(Protocol):
    """Makes a database with one of the extensions."""

    def __call__(self, name: str, *, cluster: Cluster) -> Database:
        """Create the database `name` in `cluster`, with the extension and its login roles."""
        ...


@dataclass(frozen=True)
class Session:
    """Somebody's connection to a database, as an ordinary member of the extension's group."""

    database: Database
    connection: psycopg.Connection

    def rows(self, query: str, *parameters: object) -> list[Row]:
        """Run a query and return its rows."""
        with self.connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(query.encode(), parameters).fetchall()

    def one(self, query: str, *parameters: object) -> Row:
        """Run a query that returns one row."""
        (row,) = self.rows(query, *parameters)
        return row

    def run(self, statement: str, *parameters: object) -> float:
        """Run a statement whose result does not matter and return the seconds it took."""
        started = time.perf_counter()
        self.connection.execute(statement.encode(), parameters)
        return time.perf_counter() - started

    def status(self) -> Row:
        """Return how things stand, as the extension says."""
        return self.one(f"select * from {self.database.extension}.status()")  # noqa: S608


@dataclass
class Scene:
    """The developer's laptop, the production machine with the authority, NATS and the bridges."""

    nats: NatsServer
    developer: Session
    production: Session
    authority: Session
    authority_bridge: Bridge


@contextmanager
def open_scene(lab: Lab, step: Step) -> Iterator[Scene]:
    """Start everything and tell `step`; sessions end with the block, servers with the lab."""
    started = time.perf_counter()
    nats = lab.nats(tls=True)
    version = nats.monitor("varz")["version"]
    step.did(f"NATS {version} with JetStream", time.perf_counter() - started)
    laptop = _cluster(lab, step, "laptop")
    production = _cluster(lab, step, "production")
    with ExitStack() as sessions:
        developer = _session(lab.instance, "singularity", laptop, step, sessions)
        producer = _session(lab.instance, "singularity", production, step, sessions)
        authority = _session(lab.authority, "centralcloud", production, step, sessions)
        authority_bridge = lab.bridge(authority.database, nats, name="bridge-centralcloud")
        lab.bridge(developer.database, nats, name="bridge-laptop")
        lab.bridge(producer.database, nats, name="bridge-production")
        everybody = (developer, producer, authority)
        took = step.wait(
            lambda: all(session.status()["bridge_seen_at"] for session in everybody),
            "all three bridges to report to their databases",
            lambda: {session.database.name: session.status()["bridge_seen_at"] for session in everybody},
        )
        step.did("three bridges, each between one database and NATS", took)
        step.saw(f"2 PostgreSQL clusters, 3 databases, NATS {version}, 3 bridges")
        yield Scene(nats, developer, producer, authority, authority_bridge)


def _cluster(lab: Lab, step: Step, name: str) -> Cluster:
    started = time.perf_counter()
    cluster = lab.cluster(name)
    with cluster.connect() as connection:
        version = connection.info.server_version
    took = time.perf_counter() - started
    step.did(f"{name}: PostgreSQL {version // 10_000}.{version % 10_000}", took)
    return cluster


def _session(create: CreateDatabase, name: str, cluster: Cluster, step: Step, sessions: ExitStack) -> Session:
    started = time.perf_counter()
    database = create(name, cluster=cluster)
    connection = sessions.enter_context(database.connect())
    step.did(f"{cluster.name}: create extension {name} in a new database", time.perf_counter() - started)
    return Session(database, connection)
