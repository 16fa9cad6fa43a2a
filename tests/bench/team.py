"""The team that is measured: a developer's machine, and production with the authority, joined by NATS."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg

from singularity_lab import Database, Lab, NatsServer, wait_until

ONLINE = "select online from singularity.status()"


@dataclass(frozen=True)
class Team:
    """Two servers, three databases with a bridge each; `plain` databases, one a server, have no extension."""

    lab: Lab
    nats: NatsServer
    developer: Database
    production: Database
    authority: Database

    def plain_dsn(self, server: Database) -> str:
        """Return where a baseline's plain tables are, on the server of a database."""
        return server.cluster.dsn("plain", server.user)


@contextmanager
def running_team(plain_tables: str = "") -> Iterator[Team]:
    """Start the team and wait until both instances are online; `plain_tables` are made on both servers."""
    with Lab() as lab:
        production = lab.instance("production", cluster=lab.cluster("production"))
        authority = lab.authority("centralcloud", cluster=production.cluster)
        developer = lab.instance("developer", cluster=lab.cluster("developer"))
        nats = lab.nats(secure=False)
        for database in (authority, production, developer):
            lab.bridge(database, nats)
        for database in (production, developer):
            _make_plain(database, plain_tables)
            with database.connect() as connection:
                connection.execute("select singularity.connect('hybrid')")
        for database in (production, developer):
            wait_online(database)
        yield Team(lab, nats, developer, production, authority)


def wait_online(database: Database) -> None:
    """Wait until an instance hears the authority."""
    with database.connect() as connection:
        wait_until(
            lambda: connection.execute(ONLINE).fetchone() == (True,), 60, f"{database.name} to be online"
        )


def wait_settled(team: Team, timeout: float = 120) -> None:
    """Wait until nothing is under way: outboxes empty, everything published and taken in."""
    with (
        team.authority.connect() as authority,
        team.production.connect() as production,
        team.developer.connect() as developer,
    ):
        wait_until(
            lambda: (
                all(_nothing_waits(instance) for instance in (production, developer))
                and authority.execute("select exists (select from centralcloud.unpublished)").fetchone()
                == (False,)
            ),
            timeout,
            "the team to settle",
        )


def _nothing_waits(instance: psycopg.Connection) -> bool:
    waiting = """
        select exists (select from singularity.outbox) or exists (select from singularity.outcome)
            or exists (select from singularity.topic t where t.position < t.head)
    """
    return instance.execute(waiting).fetchone() == (False,)


def _make_plain(database: Database, tables: str) -> None:
    database.cluster.create_database("plain")
    with database.cluster.connect("plain") as connection:
        connection.execute(tables.encode())
        connection.execute("grant all on all tables in schema public to public")
        connection.execute("grant execute on all routines in schema public to public")
