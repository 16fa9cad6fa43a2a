"""record_outcome(): whom an outcome credits, and what cannot be recorded."""

from typing import Any

import pytest
from tests.kit.identity import variant_of
from tests.kit.instance_relay import InstanceRelay, refined
from tests.kit.session import Session, refused

OLD, NEW, CENTRAL = (variant_of(content) for content in ("old", "new", "central"))


def counted(db: Session) -> dict[str, int]:
    """Return the outcomes of each variant."""
    rows = db.rows("""
        select variant, sum(uses)::int as uses from (
            select variant, 1 as uses from singularity.outcome
            union all select variant, uses from singularity.evidence
        ) as o group by variant
    """)
    return {row["variant"]: row["uses"] for row in rows}


def test_the_best_known_version_is_credited(db: Session) -> None:
    db.learn("thing", "old")
    db.outcome("thing", True)
    db.learn("thing", "new")
    db.outcome("thing", False)
    db.outcome("thing", True)
    assert counted(db) == {OLD: 1, NEW: 2}
    row = db.known("thing")
    assert (row["uses"], row["success_rate"]) == (2, 0.5)


def test_the_central_version_is_credited_where_it_is_the_best(db: Session, online: InstanceRelay) -> None:
    db.learn("thing", "old")
    db.ask("thing")
    better = {"level": "high", "confidence": 0.8, "uses": 20, "successes": 19}
    online.answer(online.question(), refined("thing", "central", variant=CENTRAL, **better))
    db.outcome("thing")
    db.outcome("thing", variant=OLD)
    assert counted(db) == {CENTRAL: 1, OLD: 1}


def test_a_version_that_was_credited_once_can_be_credited_again(db: Session, online: InstanceRelay) -> None:
    """The central copy that was used may be another one by the time its outcome is known."""
    db.ask("thing")
    online.answer(online.question(), refined("thing", "old", variant=OLD))
    db.outcome("thing", variant=OLD)
    online.tick()
    db.ask("thing again")
    online.answer(online.question(), refined("thing", "new", variant=NEW, revision=2))
    db.outcome("thing", variant=OLD)
    assert counted(db) == {OLD: 2}


def test_names_are_matched_in_any_unicode_form(db: Session) -> None:
    db.learn("caf\u00e9")
    db.outcome("cafe\u0301")
    assert db.known("caf\u00e9")["uses"] == 1


def test_a_rolled_back_outcome_never_was(db: Session, offline: InstanceRelay) -> None:
    db.learn("thing")
    db.begin()
    db.outcome("thing")
    assert db.known("thing")["uses"] == 1
    db.rollback()
    offline.tick(connected=False)
    assert db.known("thing")["uses"] == 0
    assert [entry["record_type"] for entry in db.outbox()] == ["holding"]


def test_adding_up_changes_nothing_that_is_seen(db: Session) -> None:
    db.learn("thing", "old")
    for succeeded in (True, True, False):
        db.outcome("thing", succeeded)
    before = db.known("thing")
    db.run("call singularity.maintain()")
    assert db.known("thing") == before
    evidence = db.row("select uses, successes, failures, shared from singularity.evidence")
    assert evidence == {"uses": 3, "successes": 2, "failures": 1, "shared": True}
    db.outcome("thing")
    db.run("call singularity.maintain()")
    assert db.known("thing")["uses"] == 4
    assert db.value("select count(*) from singularity.evidence") == 1


ERRORS: list[tuple[dict[str, Any], str, str, str]] = [
    ({"name": "nothing"}, "P0002", "pattern 'nothing' is not known here", "Learn it, or look it up"),
    ({"namespace": "other"}, "P0002", "pattern 'thing' is not known here", "Learn it, or look it up"),
    ({"variant": "0" * 64}, "P0002", f"pattern 'thing' of variant {'0' * 64} is not known here", "Learn it"),
    ({"variant": ""}, "P0002", "pattern 'thing' of variant  is not known here", "Learn it"),
    ({"succeeded": None}, "22004", "succeeded must not be null", "true when it worked"),
]


@pytest.mark.parametrize(("wrong", "sqlstate", "message", "hint"), ERRORS)
def test_what_cannot_be_recorded_is_refused(
    steady: Session, wrong: dict[str, Any], sqlstate: str, message: str, hint: str
) -> None:
    with refused(steady, sqlstate, message, hint):
        steady.outcome(**{"name": "thing", "succeeded": True, **wrong})
