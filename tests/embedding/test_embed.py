"""embed() and embed_many() in real sessions."""

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psycopg
import pytest
from numpy.typing import NDArray
from tests.embedding import reference

from singularity_lab import Database, Lab

QUERY = "how do I retry a failing call"


def vector_of(literal: str) -> NDArray[np.float64]:
    return np.array(literal.strip("[]").split(","), np.float64)


def embed(session: psycopg.Connection, text: str | None) -> str | None:
    row = session.execute("select singularity.embed(%s)::text", [text]).fetchone()
    assert row is not None
    literal: str | None = row[0]
    return literal


def embed_many(session: psycopg.Connection, texts: list[str | None] | None) -> list[str | None] | None:
    row = session.execute("select singularity.embed_many(%s::text[])::text[]", [texts]).fetchone()
    assert row is not None
    literals: list[str | None] | None = row[0]
    return literals


@pytest.fixture
def reader(instance: Database) -> Iterator[psycopg.Connection]:
    with instance.connect(instance.viewer) as session:
        yield session


def test_the_first_text_of_a_session(instance: Database) -> None:
    for _ in range(3):
        with instance.connect(instance.viewer) as session:
            session.execute("select 1")
            started = time.perf_counter()
            first = embed(session, QUERY)
            between = time.perf_counter()
            second = embed(session, QUERY)
            ended = time.perf_counter()
        assert first == second
        print(f"first embed {1e3 * (between - started):.1f} ms, second {1e3 * (ended - between):.1f} ms")
    assert first is not None
    np.testing.assert_allclose(vector_of(first), reference.vectors([QUERY])[0], atol=1e-6)


@pytest.mark.parametrize("text", reference.ODD_TEXTS)
def test_odd_texts(reader: psycopg.Connection, text: str) -> None:
    literal = embed(reader, text)
    assert literal is not None
    np.testing.assert_allclose(vector_of(literal), reference.vectors([text])[0], atol=1e-6)


def test_no_text_has_no_vector(reader: psycopg.Connection) -> None:
    assert embed(reader, None) is None
    assert embed(reader, "") is None
    assert embed_many(reader, None) is None
    assert embed_many(reader, []) == []
    assert embed_many(reader, ["", None]) == [None, None]


def test_thousands_of_texts_in_their_order(reader: psycopg.Connection) -> None:
    texts: list[str | None] = [f"text {number} about {QUERY[number % 20 :]}" for number in range(5000)]
    texts[17], texts[4001] = None, ""
    started = time.perf_counter()
    literals = embed_many(reader, texts)
    print(f"{(time.perf_counter() - started) / len(texts) * 1e6:.0f} us a text")
    assert literals is not None
    assert len(literals) == len(texts)
    assert [place for place, literal in enumerate(literals) if literal is None] == [17, 4001]
    for start in (0, 250, 2000, 4990):
        places = [place for place in range(start, min(start + 10, 5000)) if literals[place] is not None]
        vectors = [vector_of(literals[place] or "") for place in places]
        np.testing.assert_allclose(
            vectors, reference.vectors([texts[place] or "" for place in places]), atol=1e-6
        )
        for place in places[:2]:
            assert embed(reader, texts[place]) == literals[place]


def test_an_array_of_arrays_is_taken_as_one(reader: psycopg.Connection) -> None:
    nested = reader.execute("select singularity.embed_many('{{a,b},{c,d}}')::text[]").fetchone()
    flat = reader.execute("select singularity.embed_many('{a,b,c,d}')::text[]").fetchone()
    assert nested == flat


@pytest.mark.parametrize("unit", ["word ", "x", "語", "😀"])
def test_a_long_text_counts_to_64_kib(reader: psycopg.Connection, unit: str) -> None:
    cut = (unit * 70_000).encode()[:65_536].decode(errors="ignore")
    assert embed(reader, unit * 70_000) == embed(reader, cut)
    assert embed(reader, cut) != embed(reader, f"something else {cut}"[: len(cut)])


def test_like_texts_are_nearer_than_others(reader: psycopg.Connection) -> None:
    row = reader.execute(
        """
        select 1 - (singularity.embed(%(query)s) <=> singularity.embed('repeat a request that did not work')),
            1 - (singularity.embed(%(query)s) <=> singularity.embed('the colour of the logo is blue'))
        """,
        {"query": QUERY},
    ).fetchone()
    assert row is not None
    assert row[0] > row[1] + 0.1


def test_only_members_may_embed(instance: Database, authority: Database) -> None:
    for database in (instance, authority):
        for user in (database.user, database.viewer):
            with database.connect(user) as session:
                row = session.execute(f"select {database.extension}.embed('a') is not null").fetchone()
                assert row == (True,)
        with (
            database.connect(database.stranger) as session,
            pytest.raises(psycopg.errors.InsufficientPrivilege),
        ):
            session.execute(f"select {database.extension}.embed('a')")


def test_both_extensions_in_one_database(
    authority: Database, authority_superuser: psycopg.Connection
) -> None:
    authority_superuser.execute("create extension singularity")
    row = authority_superuser.execute(
        "select centralcloud.embed('a') = singularity.embed('a'), singularity.embed('a') is not null"
    ).fetchone()
    assert row == (True, True)


def test_the_vector_type_may_live_in_any_schema(lab: Lab) -> None:
    elsewhere = lab.cluster(fsync=False)
    elsewhere.create_database("elsewhere")
    database = Database(elsewhere, "elsewhere", "singularity", roles="elsewhere")
    with database.connect_superuser() as session:
        session.execute("create schema far_away")
        session.execute("create extension vector schema far_away")
        session.execute("create extension singularity cascade")
    database.create_roles()
    with database.connect() as session:
        literal = embed(session, QUERY)
        assert literal is not None
        np.testing.assert_allclose(vector_of(literal), reference.vectors([QUERY])[0], atol=1e-6)


def test_large_work_can_be_cancelled(reader: psycopg.Connection) -> None:
    embed_many(reader, ["word " * 3000])
    reader.execute("set statement_timeout = 300")
    started = time.perf_counter()
    with pytest.raises(psycopg.errors.QueryCanceled):
        reader.execute(
            "select singularity.embed_many(array_agg(repeat('words ', 9000))) from generate_series(1, 2000)"
        )
    assert time.perf_counter() - started < 20  # the whole would take minutes
    reader.execute("reset statement_timeout")
    assert embed(reader, QUERY) is not None


def mapping_of_table(pid: int) -> dict[str, int]:
    """Return what /proc/PID/smaps says of the model's table, in kB; nothing while it is not mapped."""
    figures: dict[str, int] = {}
    inside = False
    for line in Path(f"/proc/{pid}/smaps").read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if "-" in line.split()[0] and ":" not in line.split()[0]:
            inside = line.endswith(reference.TABLE.name)
        elif inside and value.endswith("kB"):
            figures[name] = int(value.split()[0])
    return figures


def test_sessions_share_the_table_and_start_no_thread(instance: Database) -> None:
    every_token = [" ".join(chr(0x4E00 + number) for number in range(5000))]
    with instance.connect() as first, instance.connect() as second:
        for session in (first, second):
            embed_many(session, [*every_token, *["word " * 3000] * 20])
        for session in (first, second):
            pid = session.info.backend_pid
            figures = mapping_of_table(pid)
            print(figures)
            assert figures["Rss"] > 1000
            assert figures["Anonymous"] == figures["Private_Dirty"] == 0
            assert figures["Pss"] < figures["Rss"]
            assert [task.name for task in Path(f"/proc/{pid}/task").iterdir()] == [str(pid)]
