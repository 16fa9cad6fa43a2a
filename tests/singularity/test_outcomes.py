"""Recording outcomes and what follows from them."""

import math

import psycopg
import pytest
from tests.kit.queries import row, value

LOOKUP = "select * from singularity.lookup('k', 'x')"


def wilson(successes: float, failures: float) -> float:
    """Compute the lower bound of the Wilson score interval, after Wikipedia's form of it."""
    n, z = successes + failures, 1.96
    if n == 0:
        return 0.0
    p = successes / n
    centre, spread = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return (centre - spread) / (1 + z * z / n)


@pytest.fixture(autouse=True)
def _learned(instance_db: psycopg.Connection) -> None:
    instance_db.execute("select singularity.learn('k', 'x', '1')")


def record(connection: psycopg.Connection, succeeded: bool, times: int) -> None:
    connection.execute(
        "select singularity.record_outcome('k', 'x', %s) from generate_series(1, %s)", [succeeded, times]
    )


def test_outcomes_count_at_once_and_after_they_are_added_up(instance_db: psycopg.Connection) -> None:
    record(instance_db, True, 7)
    record(instance_db, False, 2)
    before = row(instance_db, LOOKUP)
    assert (before["uses"], before["success_rate"], before["level"]) == (9, 7 / 9, "low")
    assert before["confidence"] == pytest.approx(wilson(7 * 8 / 9, 2 * 8 / 9))
    instance_db.execute("call singularity.maintain()")
    assert value(instance_db, "select count(*) from singularity.outcome") == 0
    assert row(instance_db, LOOKUP) == before


def test_one_instance_counts_eight_outcomes_at_most(instance_db: psycopg.Connection) -> None:
    record(instance_db, True, 400)
    found = row(instance_db, LOOKUP)
    assert found["uses"] == 400
    assert found["confidence"] == pytest.approx(wilson(8, 0))


def test_an_outcome_counts_for_the_variant_it_is_given(instance_db: psycopg.Connection) -> None:
    old = row(instance_db, LOOKUP)["variant"]
    instance_db.execute("select singularity.learn('k', 'x', '2')")
    instance_db.execute("select singularity.record_outcome('k', 'x', true, variant => %s)", [old])
    assert row(instance_db, LOOKUP)["uses"] == 0
    instance_db.execute("select singularity.learn('k', 'x', '1')")
    assert row(instance_db, LOOKUP)["uses"] == 1


def test_a_rolled_back_outcome_counts_nowhere(instance_db: psycopg.Connection) -> None:
    with instance_db.transaction(force_rollback=True):
        record(instance_db, True, 3)
    instance_db.execute("call singularity.maintain()")
    assert row(instance_db, LOOKUP)["uses"] == 0


def test_outcomes_are_added_up_in_passing_where_no_bridge_runs(instance_db: psycopg.Connection) -> None:
    record(instance_db, True, 600)
    assert value(instance_db, "select count(*) from singularity.outcome") < 300
    assert row(instance_db, LOOKUP)["uses"] == 600
