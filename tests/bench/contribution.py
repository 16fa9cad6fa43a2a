"""Contribution: how long after the last learn the authority has committed everything, beside plain inserts.

The baseline writes the same rows, of a table of the same columns, into the authority's server: with psycopg's
executemany, 300 a commit, as many as a message has records; and all at once with COPY.
"""

import time
from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID

import psycopg
from psycopg.types.json import Jsonb
from tests.bench import knowledge
from tests.bench.command import command
from tests.bench.report import Row, compare, progress, single
from tests.bench.team import Team, running_team, wait_settled

from singularity_lab import wait_until

NAME = "contribution"
GENERATED = 20_000
COMMIT = 300

PLAIN = """
    create table plain (
        instance_id uuid, artifact_id uuid, namespace text not null, kind text not null, name text not null,
        variant text not null, content jsonb not null, summary text, tags text[] not null,
        version bigint not null,
        primary key (artifact_id, instance_id)
    )
"""
COLUMNS = "instance_id, artifact_id, namespace, kind, name, variant, content, summary, tags, version"
LEARNED = """
    select i.instance_id, h.artifact_id, h.namespace, h.kind, h.name, h.variant, h.content, h.summary, h.tags,
        h.version
    from singularity.holding h, singularity.identity i where h.namespace = %s order by h.version
"""
# One row by its key: cheap enough to be asked all the time. Batches are applied in the order of versions.
REACHED = "select greatest_version from centralcloud.instance where instance_id = %s"
COMMITTED = """
    select count(*) from centralcloud.artifact a join centralcloud.holding h using (artifact_id)
    where a.namespace = %s
"""

Stored = tuple[Any, ...]


def measure(rounds: int = 5) -> list[Row]:
    """Learn the catalog and generated artifacts on production, in each round in another namespace."""
    with running_team(PLAIN) as team, team.production.connect() as production:
        real = knowledge.artifacts(production)
        made = knowledge.generated(real, GENERATED)
        return [
            *_measure(team, f"{len(real):,} of the catalog", "real", real, rounds),
            *_measure(team, f"{len(made):,} generated", "made", made, max(1, rounds // 2)),
        ]


def _measure(
    team: Team, title: str, namespace: str, artifacts: list[knowledge.Artifact], rounds: int
) -> Iterator[Row]:
    learning, committing, inserting, copying = [], [], [], []
    for n in range(1, rounds + 1):
        here = f"{namespace}{n}"
        learned_s, committed_s, rows = contribute(
            team, [{**one, "namespace": here} for one in artifacts], here
        )
        learning.append(learned_s)
        committing.append(committed_s)
        inserting.append(insert(team, rows))
        copying.append(copy(team, rows))
        progress(
            f"round {n} of {rounds}, {title}: learned in {learned_s:.2f} s, committed {committed_s:.2f} s"
            f" later,"
            f" {len(rows) / committed_s:,.0f} records/s; inserted in {inserting[-1]:.2f} s,"
            f" copied in {copying[-1]:.2f} s"
        )

    def rate(durations: Sequence[float]) -> list[float]:
        return [len(artifacts) / duration for duration in durations]

    yield single(NAME, f"{title}: last learn to all committed", "s", committing)
    unit = "records/s"
    yield compare(
        NAME, f"{title}: contribution", unit, rate(committing), "executemany, 300 a commit", rate(inserting)
    )
    yield compare(NAME, f"{title}: contribution", unit, rate(committing), "one COPY", rate(copying))
    yield compare(NAME, f"{title}: learn_many", unit, rate(learning), "one COPY", rate(copying))


def contribute(
    team: Team, artifacts: list[knowledge.Artifact], namespace: str
) -> tuple[float, float, list[Stored]]:
    """Learn on production; return the seconds of learning, those until all is committed, and the rows."""
    with team.production.connect() as production, team.authority.connect() as authority:
        given = Jsonb(artifacts)
        started = time.perf_counter()
        production.execute("select singularity.learn_many(%s)", [given])
        learned = time.perf_counter()
        rows = production.execute(LEARNED, [namespace]).fetchall()
        instance: UUID = rows[-1][0]
        wait_until(
            lambda: (
                _number(authority, REACHED, instance) >= rows[-1][-1]
                and _number(authority, COMMITTED, namespace) == len(rows)
            ),
            180,
            f"the authority to have {len(rows)} artifacts",
            interval=0.005,
        )
        committed = time.perf_counter()
    if len(rows) != len(artifacts):
        raise RuntimeError(f"{len(artifacts)} artifacts were learned, {len(rows)} are there")
    wait_settled(team)
    return learned - started, committed - learned, rows


def insert(team: Team, rows: list[Stored]) -> float:
    """Insert the rows, 300 a commit; return the seconds."""
    values = [(*row[:6], Jsonb(row[6]), *row[7:]) for row in rows]
    statement = f"insert into plain ({COLUMNS}) values ({', '.join(['%s'] * 10)})"
    with _emptied(team) as connection, connection.cursor() as cursor:
        started = time.perf_counter()
        for at in range(0, len(values), COMMIT):
            cursor.executemany(statement, values[at : at + COMMIT])
            connection.commit()
        return time.perf_counter() - started


def copy(team: Team, rows: list[Stored]) -> float:
    """Copy the rows in one transaction; return the seconds."""
    values = [(*row[:6], Jsonb(row[6]), *row[7:]) for row in rows]
    with _emptied(team) as connection, connection.cursor() as cursor:
        started = time.perf_counter()
        with cursor.copy(f"copy plain ({COLUMNS}) from stdin") as target:
            for row in values:
                target.write_row(row)
        connection.commit()
        return time.perf_counter() - started


def _emptied(team: Team) -> psycopg.Connection:
    connection = psycopg.connect(team.plain_dsn(team.production))
    connection.execute("truncate plain")
    connection.commit()
    return connection


def _number(connection: psycopg.Connection, query: str, about: object) -> int:
    row = connection.execute(query, [about], prepare=True).fetchone()
    return 0 if row is None else int(row[0])


if __name__ == "__main__":
    command({NAME: measure})()
