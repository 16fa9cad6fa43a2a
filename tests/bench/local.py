"""Local costs: learn, lookup and record_outcome a second, by pgbench, beside plain prepared statements.

`hybrid` is an outage: connected, with a bridge that runs and a NATS server that cannot be reached.
"""

import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from psycopg.types.json import Jsonb
from tests.bench import knowledge
from tests.bench.command import command
from tests.bench.report import Row, compare, progress

from singularity_lab import Database, Lab, wait_until
from singularity_lab.places import free_port
from singularity_lab.postgres import bin_folder
from singularity_lab.process import clean_environment

NAME = "local"
KNOWN = 20_000
SECONDS = 1
CLIENTS = (1, 8)

# Tables as somebody would make them by hand, with nothing of the product.
PLAIN = """
    create schema plain;
    create table plain.sample (n serial primary key, content jsonb not null, summary text);
    create table plain.artifact (
        namespace text, kind text, name text, content jsonb not null, summary text,
        tags text[] not null default '{}', learned_at timestamptz not null default now(),
        primary key (namespace, kind, name)
    );
    create table plain.searchable (like plain.artifact including all, words tsvector not null);
    create index on plain.searchable using gin (words);
    create index on plain.searchable using gin (name gin_trgm_ops);
    create table plain.counter (
        namespace text, kind text, name text, uses bigint not null, successes bigint not null,
        last_used_at timestamptz not null default now(), primary key (namespace, kind, name)
    );
    grant usage on schema plain to public;
    grant select, insert, update on all tables in schema plain to public;
    grant usage on all sequences in schema plain to public;
"""

COPY = """
    insert into plain.sample (content, summary)
    select content, summary from singularity.holding where kind <> 'pattern';
    insert into plain.artifact (namespace, kind, name, content, summary)
    select namespace, kind, name, content, summary from singularity.holding;
    insert into plain.searchable (namespace, kind, name, content, summary, words)
    select namespace, kind, name, content, summary,
        to_tsvector('english', concat_ws(' ', name, summary, content))
    from singularity.holding;
"""

RANDOM_NEW = "\\set id random(1, 1000000000)\n\\set n random(1, :samples)\n"
RANDOM_KNOWN = f"\\set id random(1, {KNOWN})\n"

# The scripts of pgbench, which ends a statement at each semicolon.
SCRIPTS: Mapping[str, str] = {
    "learn": f"""{RANDOM_NEW}
        select singularity.learn('pattern', 'new ' || :id, s.content, s.summary)
        from plain.sample s where s.n = :n;
    """,
    "upsert": f"""{RANDOM_NEW}
        insert into plain.artifact (namespace, kind, name, content, summary)
        select 'default', 'pattern', 'new ' || :id, s.content, s.summary
        from plain.sample s where s.n = :n
        on conflict (namespace, kind, name) do update set
            content = excluded.content, summary = excluded.summary;
    """,
    "upsert with search indexes": f"""{RANDOM_NEW}
        insert into plain.searchable (namespace, kind, name, content, summary, words)
        select 'default', 'pattern', 'new ' || :id, s.content, s.summary,
            to_tsvector('english', concat_ws(' ', 'new ' || :id, s.summary, s.content))
        from plain.sample s where s.n = :n
        on conflict (namespace, kind, name) do update set
            content = excluded.content, summary = excluded.summary, words = excluded.words;
    """,
    "lookup": f"""{RANDOM_KNOWN}
        select * from singularity.lookup('pattern', 'generated ' || :id);
    """,
    "select": f"""{RANDOM_KNOWN}
        select * from plain.artifact
        where namespace = 'default' and kind = 'pattern' and name = 'generated ' || :id;
    """,
    "record_outcome": f"""{RANDOM_KNOWN}
        select singularity.record_outcome('pattern', 'generated ' || :id, mod(:id, 4) > 0);
    """,
    "counter upsert": f"""{RANDOM_KNOWN}
        insert into plain.counter as c (namespace, kind, name, uses, successes)
        values ('default', 'pattern', 'generated ' || :id, 1, (mod(:id, 4) > 0)::integer)
        on conflict (namespace, kind, name) do update set
            uses = c.uses + 1, successes = c.successes + excluded.successes, last_used_at = now();
    """,
}
BASELINES: Mapping[str, tuple[str, ...]] = {
    "learn": ("upsert", "upsert with search indexes"),
    "lookup": ("select",),
    "record_outcome": ("counter upsert",),
}


@dataclass(frozen=True)
class Bench:
    """The databases, both with the same knowledge, and the folder of pgbench's scripts."""

    local: Database
    hybrid: Database
    scripts: Path
    samples: int


def measure(rounds: int = 5) -> list[Row]:
    """Measure every operation in both modes beside its baselines, one after the other in each round."""
    rates: dict[tuple[str, str, int], list[float]] = {}
    with databases() as bench:
        for n in range(1, rounds + 1):
            for clients in CLIENTS:
                progress(f"round {n} of {rounds}, {clients} client{'s' if clients > 1 else ''}")
                for operation, baselines in BASELINES.items():
                    for script in baselines:
                        rates.setdefault((script, "", clients), []).append(
                            pgbench(bench, bench.local, script, clients)
                        )
                    for mode, database in (("local", bench.local), ("hybrid", bench.hybrid)):
                        rates.setdefault((operation, mode, clients), []).append(
                            pgbench(bench, database, operation, clients)
                        )
    return list(_rows(rates))


def _rows(rates: Mapping[tuple[str, str, int], list[float]]) -> Iterator[Row]:
    for operation, baselines in BASELINES.items():
        for clients in CLIENTS:
            who = f"{clients} client{'s' if clients > 1 else ''}"
            for mode in ("local", "hybrid"):
                for baseline in baselines:
                    yield compare(
                        NAME,
                        f"{operation}, {mode}, {who}",
                        "rows/s",
                        rates[operation, mode, clients],
                        f"prepared {baseline}",
                        rates[baseline, "", clients],
                    )


def pgbench(bench: Bench, database: Database, script: str, clients: int) -> float:
    """Run one script for a second and return its transactions a second."""
    done = subprocess.run(
        [
            bin_folder() / "pgbench",
            *("--no-vacuum", "--protocol=prepared", f"--time={SECONDS}"),
            *(f"--client={clients}", f"--jobs={min(clients, 2)}", f"--define=samples={bench.samples}"),
            f"--file={bench.scripts / _file_name(script)}",
            database.dsn(),
        ],
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    found = re.search(r"^tps = ([0-9.]+)", done.stdout, re.MULTILINE)
    if done.returncode != 0 or found is None or "failed transactions: 0 " not in done.stdout:
        raise RuntimeError(f"pgbench failed with {script}:\n{done.stdout}{done.stderr}")
    return float(found[1])


def _file_name(script: str) -> str:
    return f"{script.replace(' ', '_')}.sql"


@contextmanager
def databases() -> Iterator[Bench]:
    """Make the databases: the same knowledge in one of mode local, and in one connected to nobody's NATS."""
    with Lab() as lab:
        local = lab.instance("local")
        samples = _fill(local)
        local.cluster.create_database("hybrid", template="local")
        hybrid = replace(local, name="hybrid")
        lab.bridge(hybrid, f"nats://127.0.0.1:{free_port()}")
        with hybrid.connect() as connection:
            connection.execute("select singularity.connect('hybrid')")
            seen = "select bridge_seen_at is not null from singularity.status()"
            wait_until(lambda: connection.execute(seen).fetchone() == (True,), message="the bridge to report")
        scripts = lab.folder / "scripts"
        scripts.mkdir()
        for name, text in SCRIPTS.items():
            (scripts / _file_name(name)).write_text(text, encoding="utf-8")
        yield Bench(local, hybrid, scripts, samples)


def _fill(database: Database) -> int:
    """Learn the catalog and `KNOWN` generated artifacts, keep them in plain tables too; count the samples."""
    with database.connect_superuser() as connection:
        connection.execute(PLAIN.encode())
    with database.connect() as connection:
        real = knowledge.artifacts(connection)
        progress(f"learning {len(real):,} artifacts of the catalog and {KNOWN:,} generated ones")
        for artifacts in (real, knowledge.generated(real, KNOWN)):
            connection.execute("select singularity.learn_many(%s)", [Jsonb(artifacts)])
        connection.execute(COPY)
    with database.connect_superuser() as connection:
        connection.execute("vacuum analyze")
    return len(real)


if __name__ == "__main__":
    command({NAME: measure})()
