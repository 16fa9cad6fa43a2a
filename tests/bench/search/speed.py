"""How fast recall finds: over the size, beside bare queries on the same tables, and while others write."""

import random
import re
import statistics
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from matplotlib.figure import Figure
from psycopg.types.json import Jsonb
from tests.bench.report import Row, compare, latencies, progress, single
from tests.bench.search.generated import BLOCK, Artifact, Generator

from singularity_lab import Database, Lab

NAME = "search speed"
CLIENTS = 8
QUERIES_A_SORT = 50
FRESH_SESSIONS = 20
WRITTEN = 1_000
# A server for much data; what is measured is reading, so a crash may cost what it likes.
SETTINGS = {
    "shared_buffers": "3GB",
    "maintenance_work_mem": "3GB",
    "max_wal_size": "16GB",
    "work_mem": "32MB",
}

RECALL = "select * from singularity.recall(%s)"
OWED_MEDIAN_MS = 10  # at MIDDLE
OWED_FIRST_MS = 150
OWED_GROWTH = 3  # of the median, from the least size to LARGE
MIDDLE, LARGE = 100_000, 1_000_000

# What somebody would write by hand on the same tables. The vector and the query for words come ready-made.
VECTOR = """
    select document_id from singularity.document_vector
    where contract = 'wordllama-l2-supercat-256/1' and indexed
    order by embedding::vector(256) <=> %s::vector limit 10
"""
WORDS = """
    select document_id from singularity.document
    where words @@ %(query)s::tsquery order by ts_rank(words, %(query)s::tsquery) desc limit 10
"""
ANY_WORD = """
    select string_agg(quote_literal(l), ' | ')
    from unnest(tsvector_to_array(to_tsvector('english', singularity.plain_words(%s)))) as l
"""


@dataclass(frozen=True)
class Query:
    """A query in the three forms that are compared."""

    text: str
    vector: str
    words: str


@dataclass(frozen=True)
class Point:
    """Latencies at one size, in seconds, by rounds: recall and the two baselines."""

    size: int
    recall: list[list[float]]
    vector: list[list[float]]
    words: list[list[float]]


def measure(sizes: Sequence[int], rounds: int, plots: Path) -> list[Row]:
    """Measure at each of the sizes, in one database that grows, and write the plot."""
    generator = Generator()
    progress(f"vocabulary of n words: {generator.law.k:.1f} n^{generator.law.beta:.2f} (Heaps' law)")
    rows: list[Row] = []
    points: list[Point] = []
    with Lab() as lab:
        cluster = lab.cluster(fsync=False, settings=SETTINGS)
        database = lab.instance("speed", cluster=cluster)
        loaded = 0
        for size in sizes:
            rows.append(_load(database, generator, loaded, size))
            loaded = size
            with database.connect_superuser() as connection:
                queries = _queries(connection, generator)
                points.append(_measure_reads(connection, queries, size, rounds))
            rows += _read_rows(points[-1])
            rows += _eight_clients(database, queries, size, rounds)
            rows += _filtered(database, queries, size)
            rows += _first_recall(database, queries, size)
        rows += _writing(database, generator, loaded, rounds)
        rows.append(_while_loading(database, generator, queries, loaded))
    progress(f"plot: {_plot(plots, points)}")
    return [*rows, *_owed(points, rows)]


# Loading


def _load(database: Database, generator: Generator, first: int, end: int) -> Row:
    running, different = generator.vocabulary(0, min(end, 10 * BLOCK))
    law = generator.law.vocabulary(running)
    progress(f"{end:,} artifacts: {different:,} different words in {running:,}, by the law {law:,.0f}")
    started = time.monotonic()
    with database.connect_superuser() as connection:
        connection.execute("drop index singularity.document_vector_near")
    thousands = [(n, min(n + 1000, end)) for n in range(first, end, 1000)]
    with ThreadPoolExecutor(2) as pool:
        for done, _ in enumerate(pool.map(lambda part: _learn(database, generator, *part), thousands), 1):
            if done % 100 == 0:
                progress(f"learned {first + 1000 * done:,} after {time.monotonic() - started:.0f} s")
    rate = (end - first) / (time.monotonic() - started)
    with database.connect_superuser() as connection:
        connection.execute("call singularity.maintain_search()")
        connection.execute("select singularity.ensure_indexes()")
        connection.execute("vacuum analyze")
    progress(f"{end:,} artifacts: ready after {time.monotonic() - started:.0f} s")
    return single(
        NAME, f"{end:,}: learn_many of 1,000, two sessions, without the vector index", "rows/s", [rate]
    )


def _learn(database: Database, generator: Generator, first: int, end: int) -> None:
    with database.connect() as connection:
        _learn_many(connection, list(generator.artifacts(first, end)))


def _learn_many(connection: psycopg.Connection, artifacts: Sequence[Artifact]) -> None:
    connection.execute("select singularity.learn_many(%s)", [Jsonb(list(artifacts))])


# Reading


def _queries(connection: psycopg.Connection, generator: Generator) -> list[Query]:
    """Return queries of four sorts for artifacts of the first block, always the same."""
    chance = random.Random(1)
    artifacts = list(generator.artifacts(0, BLOCK))
    texts: list[str] = []
    for artifact in chance.sample(artifacts, QUERIES_A_SORT):
        sentence = str(artifact["content"]["text"]).split(". ")[0]
        words = re.findall(r"[A-Za-z]{4,}", sentence)
        texts += [
            " ".join(chance.sample(words, min(4, len(words)))) or artifact["name"],
            artifact["name"],
            artifact["name"][: -len(artifact["name"]) // 3],
            f"how can I {str(artifact['summary'])[:80].lower()}",
        ]
    return [_query(connection, text) for text in texts]


def _query(connection: psycopg.Connection, text: str) -> Query:
    embedded = "select singularity.embed(singularity.plain_words(%s))::text"
    (vector,) = connection.execute(embedded, [text]).fetchone() or (None,)
    (words,) = connection.execute(ANY_WORD, [text]).fetchone() or (None,)
    return Query(text, vector or "", words or "''")


def _measure_reads(connection: psycopg.Connection, queries: Sequence[Query], size: int, rounds: int) -> Point:
    """Measure the three ways one after the other for each query, once before the rounds to warm up."""
    point = Point(size, [], [], [])
    for n in range(rounds + 1):
        progress(f"{size:,} artifacts: round {n} of {rounds}" if n else f"{size:,} artifacts: warming up")
        taken = [
            (
                _time(connection, RECALL, [query.text]),
                _time(connection, VECTOR, [query.vector]),
                _time(connection, WORDS, {"query": query.words}),
            )
            for query in queries
        ]
        if n:
            for series, times in zip(
                (point.recall, point.vector, point.words), zip(*taken, strict=True), strict=True
            ):
                series.append(list(times))
    return point


def _time(
    connection: psycopg.Connection, statement: str, parameters: Sequence[str] | Mapping[str, str] | None
) -> float:
    started = time.perf_counter()
    connection.execute(statement.encode(), parameters, prepare=True).fetchall()
    return time.perf_counter() - started


def _read_rows(point: Point) -> Iterator[Row]:
    title = f"{point.size:,}: recall, 1 client"
    yield from latencies(NAME, title, point.recall, "bare pgvector top 10", point.vector)
    yield from latencies(NAME, title, point.recall, "bare GIN query, ts_rank top 10", point.words)


def _eight_clients(database: Database, queries: Sequence[Query], size: int, rounds: int) -> list[Row]:
    """Measure recall and the bare vector query by eight sessions at once, in turns."""
    recalls: list[list[float]] = []
    vectors: list[list[float]] = []
    with ThreadPoolExecutor(CLIENTS) as pool, _sessions(database) as sessions:
        for _ in range(min(rounds, 3)):
            for series, statement, form in ((recalls, RECALL, "text"), (vectors, VECTOR, "vector")):
                done = pool.map(
                    lambda n, statement=statement, form=form: [
                        _time(sessions[n], statement, [getattr(query, form)]) for query in queries[n::CLIENTS]
                    ],
                    range(CLIENTS),
                )
                series.append([seconds for part in done for seconds in part])
    title = f"{size:,}: recall, {CLIENTS} clients at once"
    return latencies(NAME, title, recalls, f"bare pgvector top 10, {CLIENTS} clients", vectors)


@contextmanager
def _sessions(database: Database) -> Iterator[list[psycopg.Connection]]:
    sessions = [database.connect_superuser() for _ in range(CLIENTS)]
    try:
        for session in sessions:
            session.execute(RECALL, ["warm up"]).fetchall()
        yield sessions
    finally:
        for session in sessions:
            session.close()


def _filtered(database: Database, queries: Sequence[Query], size: int) -> Iterator[Row]:
    with database.connect() as connection:
        for kind in ("template", "rare"):
            statement = f"select * from singularity.recall(%s, kind => '{kind}', min_similarity => 0)"
            times = []
            found = []
            for query in queries:
                started = time.perf_counter()
                rows = connection.execute(statement.encode(), [query.text]).fetchall()
                times.append((time.perf_counter() - started) * 1000)
                found.append(len(rows))
            yield single(NAME, f"{size:,}: recall of kind {kind}, median", "ms", times)
            yield single(NAME, f"{size:,}: recall of kind {kind}, rows of 10", "rows", found)


def _first_recall(database: Database, queries: Sequence[Query], size: int) -> Iterator[Row]:
    """Measure the first recall of fresh sessions, and what it spends on the model."""
    first, second, model = [], [], []
    for n in range(FRESH_SESSIONS):
        text = queries[n].text
        with closing(database.connect()) as connection:
            first.append(_time(connection, RECALL, [text]) * 1000)
            second.append(_time(connection, RECALL, [text]) * 1000)
        with closing(database.connect()) as connection:
            model.append(_time(connection, "select singularity.load_model()", None) * 1000)
    yield single(NAME, f"{size:,}: first recall of a session, median of {FRESH_SESSIONS}", "ms", first)
    yield single(NAME, f"{size:,}: of which PL/Python and the model", "ms", model)
    yield single(NAME, f"{size:,}: second recall of a session", "ms", second)


# Writing

PLAIN = """
    create table plain_holding (like singularity.holding including indexes);
    create table plain_document (like singularity.document including indexes);
    create table plain_vector (like singularity.document_vector including indexes);
"""


def _writing(database: Database, generator: Generator, first: int, rounds: int) -> Iterator[Row]:
    """Measure learning beside inserting the same rows, made before, into tables with the same indexes."""
    single_rates: list[float] = []
    many_rates: list[float] = []
    plain_rates: list[float] = []
    with database.connect() as connection, database.connect_superuser() as owner:
        connection.execute("select singularity.embed('warm up')")
        owner.execute(PLAIN.encode())
        for n in range(rounds):
            start = first + 2 * n * WRITTEN
            artifacts = list(generator.artifacts(start, start + 2 * WRITTEN))
            started = time.perf_counter()
            for artifact in artifacts[: WRITTEN // 5]:
                connection.execute(
                    "select singularity.learn(%s, %s, %s, %s, %s)",
                    [
                        artifact["kind"],
                        artifact["name"],
                        Jsonb(artifact["content"]),
                        artifact["summary"],
                        artifact["tags"],
                    ],
                )
            single_rates.append(WRITTEN / 5 / (time.perf_counter() - started))
            started = time.perf_counter()
            _learn_many(connection, artifacts[WRITTEN:])
            many_rates.append(WRITTEN / (time.perf_counter() - started))
            plain_rates.append(_insert_same(owner))
    plain = f"insert of the same {WRITTEN:,} rows, ready-made, same indexes"
    yield compare(NAME, "learn, one by one", "rows/s", single_rates, plain, plain_rates)
    yield compare(NAME, f"learn_many of {WRITTEN:,}", "rows/s", many_rates, plain, plain_rates)


def _insert_same(owner: psycopg.Connection) -> float:
    """Insert the rows that the last learn_many made into plain tables; return rows a second."""
    last = f"(select d.document_id from singularity.document d order by d.document_id desc limit {WRITTEN})"
    artifacts = f"(select d.artifact_id from singularity.document d where d.document_id in {last})"
    started = time.perf_counter()
    for table, key in (("holding", f"artifact_id in {artifacts}"), ("document", f"document_id in {last}")):
        owner.execute(f"insert into plain_{table} select * from singularity.{table} where {key}".encode())
    vectors = (
        f"insert into plain_vector select * from singularity.document_vector where document_id in {last}"
    )
    owner.execute(vectors.encode())
    return WRITTEN / (time.perf_counter() - started)


def _while_loading(database: Database, generator: Generator, queries: Sequence[Query], first: int) -> Row:
    """Measure recall while another session learns in bulk, beside without."""
    stop = threading.Event()
    start = first + 1_000_000

    def load() -> None:
        with database.connect() as connection:
            number = start
            while not stop.is_set():
                _learn_many(connection, list(generator.artifacts(number, number + 1000)))
                number += 1000

    with database.connect_superuser() as connection:
        quiet = [_time(connection, RECALL, [query.text]) * 1000 for query in queries]
        loader = threading.Thread(target=load)
        loader.start()
        try:
            busy = [_time(connection, RECALL, [query.text]) * 1000 for query in queries]
        finally:
            stop.set()
            loader.join()
    return compare(
        NAME,
        "recall while learn_many runs, median",
        "ms",
        [statistics.median(busy)],
        "without",
        [statistics.median(quiet)],
    )


# Report


def _milliseconds(rounds: Sequence[Sequence[float]]) -> float:
    return statistics.median(value for one in rounds for value in one) * 1000


def _owed(points: Sequence[Point], rows: Sequence[Row]) -> Iterator[Row]:
    medians = {point.size: _milliseconds(point.recall) for point in points}
    least = min(medians)
    if MIDDLE in medians:
        yield _verdict(f"median at {MIDDLE:,}", medians[MIDDLE], OWED_MEDIAN_MS, "ms")
    if LARGE in medians:
        yield _verdict(
            f"growth of the median to {LARGE:,}", medians[LARGE] / medians[least], OWED_GROWTH, "x"
        )
    for row in rows:
        if "first recall" in row.what:
            yield _verdict(row.what, float(row.measured.split()[0].replace(",", "")), OWED_FIRST_MS, "ms")


def _verdict(what: str, measured: float, at_most: float, unit: str) -> Row:
    met = "met" if measured <= at_most else "MISSED"
    return Row(f"owed: {what}", f"{measured:.1f} {unit}", f"at most {at_most} {unit}", met, "", NAME)


def _plot(folder: Path, points: Sequence[Point]) -> Path:
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    sizes = [point.size for point in points]
    for name, series in (("recall", "recall"), ("bare pgvector", "vector"), ("bare GIN", "words")):
        values = [[value * 1000 for one in getattr(point, series) for value in one] for point in points]
        (line,) = axes.plot(
            sizes, [statistics.median(v) for v in values], marker="o", label=f"{name}, median"
        )
        high = [statistics.quantiles(v, n=100)[98] for v in values]
        axes.plot(sizes, high, marker="o", linestyle="--", color=line.get_color(), label=f"{name}, p99")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("artifacts")
    axes.set_ylabel("ms")
    axes.legend(frameon=False)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "search_speed.png"
    figure.savefig(path, dpi=150)
    return path
