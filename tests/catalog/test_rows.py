"""No row is written or read by position: a column more would put every value into its neighbour's place at run time."""

import re

import pytest
from tests.kit.queries import rows

from singularity_lab import Database

# text without an end of statement and without a parenthesis that it does not close
INSIDE = r"(?:[^;()]|\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\))*?"
TARGET = r"\binsert\s+into\s+[\w.@]++(?:\s+as\s+\w+)?+\s*+"
# An insert names its columns and no `x.*` fills them, no row is cast to a type, no `x.*` goes into variables.
UNNAMED = re.compile(rf"{TARGET}(?!\()", re.IGNORECASE)
STARRED = re.compile(
    rf"{TARGET}\([^)]*\)\s*select\b(?:(?!\bfrom\b){INSIDE.removesuffix('*?')})*?\.\*", re.IGNORECASE
)
CAST = re.compile(r"\brow\s*\((?:[^()]|\([^()]*\))*\)\s*::(?!\s*text\b)", re.IGNORECASE)
INTO = re.compile(rf"\bselect\b{INSIDE}\.\*{INSIDE}\binto\s+(?:strict\s+)?(\w+)", re.IGNORECASE)


def faults(body: str) -> list[str]:
    """Return the places of a body that go by position."""
    plain = re.sub(r"--[^\n]*", "", body)
    plain = re.sub(r"'(?:[^']|'')*'", "''", plain)
    found = [match[0] for pattern in (UNNAMED, STARRED, CAST) for match in pattern.finditer(plain)]
    # a record takes the columns as they are named
    found += [m[0] for m in INTO.finditer(plain) if not re.search(rf"\b{m[1]}\s+record\b", plain)]
    return [re.sub(r"\s+", " ", one)[:120] for one in found]


@pytest.mark.parametrize(
    "body",
    [
        "insert into singularity.holding select h.* from old h",
        "insert into singularity.holding values (1, 2)",
        "insert into singularity.holding as h select 1",
        "insert into t (a, b) select x.* from x",
        "insert into t (a, b) select 1, (f(x)).* from x",
        "given := row(a, f(b), 'c')::singularity.holding;",
        "select k.* into found_row from known k;",
        "select (ranked.known).*, ranked.score into result;",
    ],
)
def test_a_row_by_position_is_seen(body: str) -> None:
    assert faults(body)


@pytest.mark.parametrize(
    "body",
    [
        "insert into singularity.holding (artifact_id) select h.artifact_id from (select o.* from old o) as h",
        "insert into singularity.holding as h (artifact_id) values (1) on conflict do nothing",
        "declare letter record; begin select d.* into letter from dead d; end",
        "return md5(row(a, b)::text);",
        "-- insert into t select x.* from x\nreturn 1;",
        "message = 'insert into t values (1)'",
        "with taken as (delete from t returning t.*) select count(*) into folded from taken",
    ],
)
def test_what_names_its_columns_is_left_alone(body: str) -> None:
    assert faults(body) == []


@pytest.mark.parametrize("side", ["instance", "authority"])
def test_no_function_goes_by_position(request: pytest.FixtureRequest, side: str) -> None:
    database: Database = request.getfixturevalue(side)
    bodies = """
        select p.oid::regprocedure::text as name, coalesce(pg_get_function_sqlbody(p.oid), p.prosrc) as body
        from pg_proc p join pg_language l on l.oid = p.prolang
        where p.pronamespace = %s::regnamespace and l.lanname in ('sql', 'plpgsql')
    """
    with database.connect_superuser() as connection:
        found = rows(connection, bodies, database.extension)
    assert len(found) > 100
    assert {one["name"]: faults(one["body"]) for one in found if faults(one["body"])} == {}
