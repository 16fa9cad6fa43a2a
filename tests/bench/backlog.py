"""Backlog: how long an outage's changes take to drain, what questions cost meanwhile, what memory the bridge needs.

Questions are asked on the machine that drains, of things that the authority knows, beside questions after the drain.
"""

import json
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import psutil
import psycopg
from psycopg.types.json import Jsonb
from tests.bench.command import command
from tests.bench.report import Row, compare, latencies, progress, single

from singularity_lab import Bridge, Database, Lab, wait_until

NAME = "backlog"
CHANGES = 100_000
ENTRIES = 1_000_000
QUESTIONS = 60
MEMORY_MB = 150

# A million entries at once: as learn() leaves them, without what only search needs.
FILL = """
    with made as (
        select n, singularity.artifact_id('default', 'bulk', 'bulk ' || n) as id, to_jsonb(n) as content
        from generate_series(1, %s) as n
    ), held as (
        insert into singularity.holding (artifact_id, namespace, kind, name, variant, content, summary, shared)
        select id, 'default', 'bulk', 'bulk ' || n, singularity.variant_of(content), content, repeat('x', 200), true
        from made returning artifact_id, version
    )
    insert into singularity.outbox (version, artifact_id) select version, artifact_id from held
"""
WAITING = "select count(*) from singularity.outbox"


def measure(rounds: int = 1) -> list[Row]:
    """Measure an outage and a slow authority; `rounds` is not used, since each takes minutes."""
    del rounds
    with _machines() as machines:
        return [*_outage(machines), *_slow_authority(machines)]


@dataclass
class Machines:
    """An instance and an authority on servers of their own, each with a bridge."""

    lab: Lab
    instance: Database
    authority: Database
    bridge: Bridge
    authority_bridge: Bridge
    known: list[str] = field(default_factory=list)


@contextmanager
def _machines() -> Iterator[Machines]:
    with Lab() as lab:
        nats = lab.nats(secure=False)
        authority = lab.authority("centralcloud", cluster=lab.cluster("authority"))
        authority_bridge = lab.bridge(authority, nats)
        contributor = lab.instance("contributor", cluster=authority.cluster)
        contributing = lab.bridge(contributor, nats)
        known = [f"question {n}" for n in range(4 * QUESTIONS)]
        artifacts = [{"kind": "known", "name": name, "content": name} for name in known]
        with contributor.connect() as connection:
            connection.execute("select singularity.connect()")
            connection.execute("select singularity.learn_many(%s)", [Jsonb(artifacts)])
            _wait_drained(connection)
        contributing.stop()
        instance = lab.instance("instance", cluster=lab.cluster("instance"))
        yield Machines(lab, instance, authority, lab.bridge(instance, nats), authority_bridge, known)


def _outage(machines: Machines) -> Iterator[Row]:
    with machines.instance.connect() as connection:
        started = time.monotonic()
        for first in range(0, CHANGES, 2000):
            _learn(connection, first, 2000)
        progress(f"{CHANGES:,} artifacts learned alone in {time.monotonic() - started:.0f} s")
        with _memory(machines.bridge) as here, _memory(machines.authority_bridge) as there:
            started = time.monotonic()
            connection.execute("select singularity.connect()")
            _wait_online(connection)
            busy = _ask(machines, QUESTIONS)
            if not _waiting(connection):
                raise RuntimeError("the outage was drained before the questions were asked")
            _wait_drained(connection)
            seconds = time.monotonic() - started
        quiet = _ask(machines, QUESTIONS)
    progress(f"{CHANGES:,} changes drained in {seconds:.0f} s")
    yield single(NAME, f"{CHANGES:,} changes: connect to all confirmed", "s", [seconds])
    yield single(NAME, f"{CHANGES:,} changes: drain", "records/s", [CHANGES / seconds])
    yield from latencies(NAME, "question to answer while it drains", [busy], "after the drain", [quiet])
    yield single(NAME, "peak memory of the instance's bridge", "MB", [max(here)])
    yield single(NAME, "peak memory of the authority's bridge", "MB", [max(there)])


def _slow_authority(machines: Machines) -> Iterator[Row]:
    """Freeze the authority's bridge for a while behind a million entries, and let it go on."""
    with machines.instance.connect_superuser() as connection, _memory(machines.bridge) as here:
        connection.execute(FILL, [ENTRIES])
        progress(f"{ENTRIES:,} entries in the outbox")
        machines.authority_bridge.freeze()
        offered = "select count(*) from singularity.batch"
        wait_until(lambda: _number(connection, offered) > 1000, 300, "the stream to fill", interval=0.5)
        frozen = len(here)
        machines.authority_bridge.thaw()
        before = _number(connection, WAITING)
        wait_until(lambda: _number(connection, WAITING) < before - 20_000, 300, "receipts", interval=0.5)
    progress(f"peak memory {max(here):.0f} MB")
    yield compare(
        NAME,
        f"{ENTRIES:,} entries, slow authority: peak memory of the bridge",
        "MB",
        [max(here)],
        f"limit ({frozen} samples while frozen)",
        [MEMORY_MB],
    )


def _learn(connection: psycopg.Connection, first: int, count: int) -> None:
    artifacts = [
        {
            "kind": "pattern",
            "name": f"change {n}",
            "content": {"n": n, "text": f"what was learned as number {n}"},
        }
        for n in range(first, first + count)
    ]
    connection.execute("select singularity.learn_many(%s)", [Jsonb(artifacts)])


def _ask(machines: Machines, count: int) -> list[float]:
    """Look up what only the authority knows, one after the other; returns the seconds until each is here."""
    taken = []
    with machines.instance.connect() as user, machines.instance.connect() as listener:
        listener.execute("listen singularity_answer")
        for _ in range(count):
            name = machines.known.pop()
            started = time.perf_counter()
            user.execute("select from singularity.lookup('known', %s)", [name])
            for notice in listener.notifies(timeout=60, stop_after=1):
                if json.loads(notice.payload)["results"] != 1:
                    raise RuntimeError(f"{name} was not answered")
            taken.append(time.perf_counter() - started)
    progress(
        f"{count} questions: median {statistics.median(taken) * 1000:.0f} ms, worst {max(taken) * 1000:.0f} ms"
    )
    return taken


@contextmanager
def _memory(bridge: Bridge) -> Iterator[list[float]]:
    """Take the resident memory of a bridge, in MB, ten times a second."""
    samples: list[float] = []
    stop = threading.Event()
    process = psutil.Process(bridge.pid)

    def watch() -> None:
        while not stop.wait(0.1):
            samples.append(process.memory_info().rss / 1e6)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield samples
    finally:
        stop.set()
        watcher.join()


def _number(connection: psycopg.Connection, query: str) -> int:
    (found,) = connection.execute(query.encode()).fetchone() or (0,)
    return int(found)


def _waiting(connection: psycopg.Connection) -> int:
    return _number(connection, WAITING)


def _wait_online(connection: psycopg.Connection) -> None:
    online = "select online from singularity.status()"
    wait_until(lambda: connection.execute(online).fetchone() == (True,), 120, "the instance to be online")


def _wait_drained(connection: psycopg.Connection) -> None:
    wait_until(lambda: _waiting(connection) == 0, 1200, "the outbox to be empty", interval=0.1)


if __name__ == "__main__":
    command({NAME: measure})()
