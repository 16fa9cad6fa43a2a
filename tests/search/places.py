"""What is searched, in an instance or at an authority, asked in the same words."""

import json
from collections.abc import Sequence
from typing import Any, Protocol

import psycopg
from psycopg.types.json import Jsonb
from tests.kit.queries import Row, rows, value
from tests.kit.relay import Relay
from tests.kit.speaker import Speaker

from singularity_lab import Database

CONTRACT = "wordllama-l2-supercat-256/1"
BATCH = 100
PARTS = ("artifact_id", "namespace", "kind", "name", "relevance", "words", "name_match", "similarity")


class Place(Protocol):
    """A database that learns and is searched."""

    schema: str
    database: Database
    connection: psycopg.Connection[Any]

    def teach(self, artifacts: Sequence[Row]) -> None:
        """Make artifacts known, objects as learn_many() takes them."""

    def configure(self, settings: Row) -> None:
        """Change settings."""

    def found(self, query: str, **filters: Any) -> list[Row]:
        """Return what a query finds, best first, with the parts of the ranking."""


class InstancePlace:
    """An instance: it learns by learn_many() and is asked by explain_recall()."""

    schema = "singularity"

    def __init__(self, database: Database, connection: psycopg.Connection[Any]) -> None:
        self.database = database
        self.connection = connection

    def teach(self, artifacts: Sequence[Row]) -> None:
        """Learn them in one statement."""
        self.connection.execute("select singularity.learn_many(%s)", [Jsonb(list(artifacts))])

    def configure(self, settings: Row) -> None:
        """Call configure()."""
        self.connection.execute("select singularity.configure(settings => %s)", [Jsonb(settings)])

    def found(self, query: str, **filters: Any) -> list[Row]:
        """Call explain_recall()."""
        call = f"singularity.explain_recall({named({'query': query, **filters})})"
        return rows(self.connection, f"select {', '.join(PARTS)} from {call}", *[query, *filters.values()])


class AuthorityPlace:
    """An authority: one instance contributes to it, and it is asked by search()."""

    schema = "centralcloud"

    def __init__(self, database: Database, connection: psycopg.Connection[Any]) -> None:
        self.database = database
        self.connection = connection
        self._relay = Relay.of(database)
        self._speaker = Speaker(1)

    def teach(self, artifacts: Sequence[Row]) -> None:
        """Contribute them."""
        for start in range(0, len(artifacts), BATCH):
            self._relay.give([self._speaker.says(*map(self._record, artifacts[start : start + BATCH]))])

    def _record(self, artifact: Row) -> Row:
        variant = value(
            self.connection,
            "select centralcloud.variant_of(%s::text::jsonb)",
            json.dumps(artifact["content"], ensure_ascii=False),
        )
        return self._speaker.holds(**{"namespace": "default", **artifact, "variant": variant})

    def configure(self, settings: Row) -> None:
        """Call configure()."""
        self.connection.execute("select centralcloud.configure(%s)", [Jsonb(settings)])

    def found(self, query: str, **filters: Any) -> list[Row]:
        """Call search()."""
        call = f"centralcloud.search({named({'query': query, **filters})})"
        return rows(
            self.connection,
            f"""
            select
                (s.artifact).artifact_id, (s.artifact).namespace, (s.artifact).kind, (s.artifact).name,
                s.relevance, s.words, s.name_match, s.similarity
            from {call} as s
            """,
            *[query, *filters.values()],
        )

    def close(self) -> None:
        """Detach the bridge that this plays."""
        self._relay.close()


def named(arguments: Row) -> str:
    """Return an argument list with a mark for each, by name."""
    return ", ".join(f"{name} => %s" for name in arguments)


def names(found: Sequence[Row]) -> list[str]:
    """Return the names of rows."""
    return [row["name"] for row in found]


def maintain(place: Place) -> None:
    """Do the background work."""
    place.connection.execute(f"call {place.schema}.maintain()".encode())


def real_artifacts(connection: psycopg.Connection[Any], count: int) -> list[Row]:
    """Return functions of PostgreSQL with what it says of them, always the same."""
    return [
        {"kind": "function", "name": row["name"], "content": row["description"]}
        for row in rows(
            connection,
            """
            select p.proname::text as name, min(d.description) as description
            from pg_proc as p join pg_description as d on d.objoid = p.oid and d.classoid = 'pg_proc'::regclass
            where p.pronamespace = 'pg_catalog'::regnamespace and length(d.description) > 15
                and not starts_with(d.description, 'implementation of')
            group by p.proname order by md5(p.proname::text collate "C") limit %s
            """,
            count,
        )
    ]
