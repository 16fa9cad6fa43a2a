"""Confidence and level follow from outcomes, by rules that are written down and configurable."""

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.centralcloud.model import hostile_groups, score, voices, wilson
from tests.kit.identity import variant_of
from tests.kit.queries import row, rows, value
from tests.kit.relay import Relay
from tests.kit.speaker import Speaker, speakers

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)
KNOWN = "select confidence, level::text, uses, variant from centralcloud.artifact"


def configure(connection: psycopg.Connection, **changes: Any) -> None:
    """Change settings of the authority."""
    connection.execute("select centralcloud.configure(%s)", [psycopg.types.json.Jsonb(changes)])


@pytest.fixture(autouse=True)
def unaged(relay: Relay, authority_db: psycopg.Connection) -> None:
    """Have every outcome count alike: nothing has aged, all groups are trusted wholly and none is left out.

    What hostile groups can do is in tests/security/test_scores.py.
    """
    alike = {"hostile_share": 0, "new_group_trust": 1, "group_cap": 20}
    configure(authority_db, scored_as_of=str(NEW_YEAR), **alike)


def contribute_and_use(
    relay: Relay, counts: list[tuple[int, int]], content: str = "a", **speaker: Any
) -> None:
    """Let as many instances hold a content and have these successes and failures with it."""
    for number, (successes, failures) in enumerate(counts, start=1):
        one = Speaker(number, **speaker)
        relay.give([one.says(one.holds(content), one.used(successes, failures, content))])


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    successes=st.one_of(st.integers(0, 50), st.floats(1e-3, 1e6)),
    failures=st.one_of(st.integers(0, 50), st.floats(1e-3, 1e6)),
)
def test_the_bound_is_the_root_of_wilson_s_equation(
    authority_superuser: psycopg.Connection, successes: float, failures: float
) -> None:
    bound = value(
        authority_superuser,
        "select centralcloud.wilson_lower_bound(%s::double precision, %s::double precision)",
        successes,
        failures,
    )
    assert bound == pytest.approx(wilson(successes, failures), rel=1e-6, abs=1e-9)
    assert 0 <= bound <= 1


@pytest.mark.parametrize(
    ("successes", "failures", "bound"),
    [(0, 0, 0), (0, 9, 0), (1, 0, 0.2065), (9, 1, 0.5958), (50, 50, 0.4038), (100, 0, 0.9630)],
)
def test_the_bound_has_the_published_values(
    authority_superuser: psycopg.Connection, successes: int, failures: int, bound: float
) -> None:
    query = "select centralcloud.wilson_lower_bound(%s, %s)"
    assert value(authority_superuser, query, successes, failures) == pytest.approx(bound, abs=1e-4)


def test_more_of_the_same_is_surer(authority_superuser: psycopg.Connection) -> None:
    query = "select centralcloud.wilson_lower_bound(9 * n, n) as bound from generate_series(1, 30) as n"
    bounds = [found["bound"] for found in rows(authority_superuser, query)]
    assert bounds == sorted(set(bounds))


def test_a_group_counts_group_cap_outcomes_at_most(relay: Relay, authority_db: psycopg.Connection) -> None:
    contribute_and_use(relay, [(4000, 1000), (3, 1)])
    found = row(authority_db, KNOWN)
    assert found["confidence"] == pytest.approx(wilson(16 + 3, 4 + 1))
    assert found["uses"] == 5004


def test_nobody_outvotes_the_others_by_number(relay: Relay, authority_db: psycopg.Connection) -> None:
    contribute_and_use(relay, [(0, 100_000), (20, 0), (20, 0), (20, 0)])
    assert value(authority_db, "select confidence from centralcloud.artifact") == pytest.approx(
        wilson(60, 20)
    )


def test_instances_of_one_group_share_its_cap_and_count_once(
    relay: Relay, authority_db: psycopg.Connection, authority_superuser: psycopg.Connection
) -> None:
    contribute_and_use(relay, [(20, 0), (0, 20)])
    assert row(authority_db, "select groups from centralcloud.variant") == {"groups": 2}
    authority_superuser.execute("update centralcloud.instance set group_name = 'runners'")
    authority_db.execute("select centralcloud.rescore('2026-01-01')")
    authority_superuser.execute("select centralcloud.score_queued(10)")
    found = row(authority_db, "select groups, confidence from centralcloud.variant")
    assert found == {"groups": 1, "confidence": pytest.approx(wilson(10, 10))}


def test_the_cap_is_configurable(relay: Relay, authority_db: psycopg.Connection) -> None:
    configure(authority_db, group_cap=50)
    contribute_and_use(relay, [(80, 20)])
    assert value(authority_db, "select confidence from centralcloud.artifact") == pytest.approx(
        wilson(40, 10)
    )


@pytest.mark.parametrize(
    ("environment", "weight"), [("prod", 1), ("dev", 1), ("ci", 0.5), ("test", 0.5), ("unheard-of", 1)]
)
def test_an_environment_has_its_weight(
    relay: Relay, authority_db: psycopg.Connection, environment: str, weight: float
) -> None:
    contribute_and_use(relay, [(8, 2)], environment=environment)
    found = value(authority_db, "select confidence from centralcloud.artifact")
    assert found == pytest.approx(wilson(8 * weight, 2 * weight))


def test_the_weights_are_configurable(relay: Relay, authority_db: psycopg.Connection) -> None:
    configure(authority_db, environment_weights={"prod": 0.25})
    contribute_and_use(relay, [(8, 2)])
    assert value(authority_db, "select confidence from centralcloud.artifact") == pytest.approx(
        wilson(2, 0.5)
    )


def test_a_cap_is_of_outcomes_and_a_weight_comes_on_top(
    relay: Relay, authority_db: psycopg.Connection
) -> None:
    contribute_and_use(relay, [(90, 10)], environment="ci")
    assert value(authority_db, "select confidence from centralcloud.artifact") == pytest.approx(wilson(9, 1))


def test_trust_weighs(relay: Relay, authority_db: psycopg.Connection) -> None:
    ann, bob = speakers(2)
    relay.give([ann.says(ann.holds(), ann.used(10)), bob.says(bob.holds())])
    authority_db.execute("select centralcloud.set_trust(%s, 0.1, 'why not')", [str(ann.id)])
    relay.give([bob.says(bob.used(0, 4))])
    assert value(authority_db, "select confidence from centralcloud.artifact") == pytest.approx(wilson(1, 4))


def test_nothing_of_a_blocked_instance_counts(
    relay: Relay, authority_db: psycopg.Connection, authority_superuser: psycopg.Connection
) -> None:
    ann, bob = speakers(2)
    relay.give([ann.says(ann.holds("a", summary="s"), ann.used(10)), bob.says(bob.holds("b"))])
    assert row(authority_db, KNOWN)["variant"] == variant_of("a")
    authority_superuser.execute(
        "update centralcloud.instance set blocked = true where instance_id = %s", [ann.id]
    )
    relay.give([bob.says(bob.used(1, content="b"))])
    assert [r["variant"] for r in rows(authority_db, "select variant from centralcloud.variant")] == [
        variant_of("b")
    ]
    found = row(authority_db, KNOWN)
    assert (found["variant"], found["uses"]) == (variant_of("b"), 1)


@pytest.mark.parametrize(("days", "share"), [(0, 1), (90, 0.5**0.5), (180, 0.5), (360, 0.25), (-30, 1)])
def test_outcomes_fade_with_the_time_since_their_last_use(
    relay: Relay, authority_db: psycopg.Connection, days: int, share: float
) -> None:
    configure(authority_db, scored_as_of=str(NEW_YEAR + timedelta(days=days)))
    contribute_and_use(relay, [(16, 4)])
    found = row(authority_db, KNOWN)
    assert found["confidence"] == pytest.approx(wilson(16 * share, 4 * share))
    assert found["uses"] == 20


def test_the_half_life_is_configurable(relay: Relay, authority_db: psycopg.Connection) -> None:
    configure(authority_db, scored_as_of=str(NEW_YEAR + timedelta(days=10)), half_life="10 days")
    contribute_and_use(relay, [(16, 4)])
    assert value(authority_db, "select confidence from centralcloud.artifact") == pytest.approx(wilson(8, 2))


def test_each_instance_fades_by_its_own_last_use(relay: Relay, authority_db: psycopg.Connection) -> None:
    ann, bob = speakers(2)
    configure(authority_db, scored_as_of=str(NEW_YEAR + timedelta(days=180)))
    fresh = str(NEW_YEAR + timedelta(days=180))
    relay.give([ann.says(ann.holds(), ann.used(8)), bob.says(bob.used(0, 4, last_used_at=fresh))])
    assert value(authority_db, "select confidence from centralcloud.artifact") == pytest.approx(wilson(4, 4))


def test_incarnations_of_an_instance_add_up(relay: Relay, authority_db: psycopg.Connection) -> None:
    ann = Speaker(1)
    incarnations = [f"00000000-0000-0000-0000-{n:012}" for n in (1, 2, 3)]
    relay.give([ann.says(ann.holds(), *(ann.used(5, 1, incarnation=one) for one in incarnations))])
    found = row(authority_db, KNOWN)
    assert (found["uses"], found["level"]) == (18, "low")
    assert found["confidence"] == pytest.approx(wilson(15, 3))


def test_a_day_later_scores_are_computed_anew_in_the_background(
    relay: Relay, authority_db: psycopg.Connection
) -> None:
    contribute_and_use(relay, [(20, 0)])
    before = row(authority_db, KNOWN)["confidence"]
    while relay.take("refined"):
        pass
    relay.tick()
    today = value(authority_db, "select date_trunc('day', now(), 'UTC')")
    assert (
        value(
            authority_db,
            "select value::timestamptz from centralcloud.configuration where name = 'scored_as_of'",
        )
        == today
    )
    assert value(authority_db, "select unscored from centralcloud.status()") == 0
    share = 0.5 ** ((today - NEW_YEAR) / timedelta(days=180))
    found = row(authority_db, KNOWN)["confidence"]
    assert found == pytest.approx(wilson(20 * share, 0))
    assert found < before
    (push,) = relay.take("refined")
    assert push.body["rows"][0]["confidence"] == pytest.approx(found)


def test_a_curator_may_ask_for_any_day(relay: Relay, authority_db: psycopg.Connection) -> None:
    contribute_and_use(relay, [(20, 0)])
    authority_db.execute("select centralcloud.rescore('2286-01-01')")
    assert value(authority_db, "select unscored from centralcloud.status()") == 1
    relay.tick()
    assert value(authority_db, "select unscored from centralcloud.status()") == 0
    assert value(authority_db, "select confidence from centralcloud.artifact") == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    "last_used_at", ["0001-01-01", "1500-06-01", "1970-01-01", "2300-01-01", "290000-01-01"]
)
def test_a_wrong_clock_stops_nothing(
    relay: Relay, authority_db: psycopg.Connection, last_used_at: str
) -> None:
    """However far from now an outcome is said to be, it is scored, today and on any later day."""
    ann, bob = speakers(2)
    relay.give([ann.says(ann.holds(), ann.used(20, last_used_at=last_used_at)), bob.says(bob.used(9, 1))])
    assert value(authority_db, "select uses from centralcloud.artifact") == 30
    authority_db.execute("select centralcloud.rescore('3000-01-01')")
    relay.tick()
    assert value(authority_db, "select unscored from centralcloud.status()") == 0
    assert 0 <= value(authority_db, "select confidence from centralcloud.artifact") <= 1


def test_no_number_is_so_great_that_another_cannot_be_added(
    relay: Relay, authority_db: psycopg.Connection
) -> None:
    ann, bob = speakers(2)
    relay.give([ann.says(ann.used(2**63 - 1)), ann.says(ann.used(2**62, incarnation=str(ann.id)))])
    relay.give([bob.says(bob.holds(), bob.used(2**62 - 1, 2**62 - 1)), bob.says(bob.used(9, 1))])
    assert value(authority_db, "select dead_letters from centralcloud.status()") == 0
    assert value(authority_db, "select uses from centralcloud.artifact") == 10


def test_a_large_queue_is_scored_in_steps(relay: Relay, authority_db: psycopg.Connection) -> None:
    ann = Speaker(1)
    names = [f"n{n}" for n in range(600)]
    for part in (names[:300], names[300:]):
        relay.give([ann.says(*(ann.used(1, name=name) for name in part))])
    authority_db.execute("select centralcloud.rescore('2286-01-01')")
    left = []
    for _ in range(3):
        left.append(value(authority_db, "select unscored from centralcloud.status()"))
        relay.tick()
    assert left == [600, 100, 0]


@pytest.mark.parametrize(
    ("groups", "successes", "failures", "level"),
    [
        (1, 0, 0, "candidate"), (1, 20, 0, "low"), (1, 0, 5, "low"),
        (2, 3, 0, "low"), (2, 5, 0, "medium"), (2, 20, 0, "medium"),
        (3, 5, 0, "medium"), (3, 6, 0, "high"), (4, 20, 0, "high"),
        (5, 6, 0, "high"), (5, 8, 0, "very_high"), (5, 1, 0, "low"), (9, 20, 4, "medium"),
    ],
)  # fmt: skip
def test_a_level_needs_confidence_and_independent_groups(
    relay: Relay, authority_db: psycopg.Connection, groups: int, successes: int, failures: int, level: str
) -> None:
    contribute_and_use(relay, [(successes, failures)] * groups)
    assert value(authority_db, "select level::text from centralcloud.artifact") == level


def test_the_thresholds_are_configurable(relay: Relay, authority_db: psycopg.Connection) -> None:
    configure(authority_db, level_thresholds={"high": {"confidence": 0.5, "groups": 1}})
    contribute_and_use(relay, [(20, 0)])
    assert value(authority_db, "select level::text from centralcloud.artifact") == "high"
    configure(authority_db, level_thresholds=None)
    authority_db.execute("select centralcloud.rescore('2026-01-01')")
    relay.connection.execute("select centralcloud.bridge_tick('{\"connected\": true}')")
    assert value(authority_db, "select level::text from centralcloud.artifact") == "low"


def test_the_model_and_the_authority_agree_on_a_crowd(relay: Relay, authority_db: psycopg.Connection) -> None:
    configure(authority_db, hostile_share=None, new_group_trust=None, group_cap=None)
    environments = ["prod", "dev", "ci", "test"]
    outcomes = []
    for number in range(1, 13):
        one = Speaker(number, environment=environments[number % 4])
        successes, failures = 3 * number, number % 5
        relay.give([one.says(one.holds(), one.used(successes, failures))])
        outcomes.append((str(one.id), successes, failures, 0.5 if number % 4 > 1 else 1.0))
    assert value(authority_db, "select confidence from centralcloud.artifact") == pytest.approx(
        score(voices(outcomes), hostile_groups(len(outcomes))).confidence
    )
