"""lookup(): the best known version of exactly one artifact."""

from typing import Any

import psycopg
import pytest
from tests.kit.identity import variant_of
from tests.kit.instance_relay import InstanceRelay, refined
from tests.kit.session import Session, refused

CENTRAL = variant_of("central")
LOCAL = variant_of("local")


def cache(db: Session, relay: InstanceRelay, **row: Any) -> None:
    """Let an answer with one row for the artifact "thing" arrive."""
    db.ask(f"thing {row}")
    relay.answer(relay.question(), refined(**{"name": "thing", "variant": CENTRAL, **row}))


def test_nothing_is_no_row(db: Session) -> None:
    assert db.lookup("nothing") is None


def test_the_key_is_matched_whole(db: Session) -> None:
    db.learn("thing", kind="pattern", namespace="one")
    assert db.lookup("thing") is None
    assert db.lookup("thing", kind="prompt", namespace="one") is None
    assert db.lookup("Thing", namespace="one") is None
    assert db.lookup("thing", namespace="one") is not None


def test_a_central_copy_is_shown_as_one(db: Session, online: InstanceRelay) -> None:
    cache(
        db,
        online,
        level="high",
        confidence=0.85,
        uses=40,
        successes=38,
        revision=7,
        summary="sum",
        tags=["t"],
    )
    row = db.known("thing")
    assert row.pop("fetched_at") is not None
    assert row == {
        "artifact_id": row["artifact_id"],
        "namespace": "default",
        "kind": "pattern",
        "name": "thing",
        "content": "central",
        "summary": "sum",
        "tags": ["t"],
        "variant": CENTRAL,
        "origin": "central",
        "level": "high",
        "confidence": 0.85,
        "uses": 40,
        "success_rate": 0.95,
        "revision": 7,
        "stale": False,
    }


@pytest.mark.parametrize(
    ("level", "confidence", "pinned", "best"),
    [
        ("candidate", 0.0, False, "local"),
        ("low", 0.9, False, "local"),
        ("medium", 0.75, False, "central"),
        ("high", 0.85, False, "central"),
        ("very_high", 0.95, False, "central"),
        ("low", 0.1, True, "central"),
        ("deprecated", 0.9, False, "local"),
        ("retracted", 0.9, False, "local"),
        ("retracted", 0.9, True, "local"),
    ],
)
def test_the_central_content_wins_when_it_is_proved_or_pinned(
    db: Session, online: InstanceRelay, level: str, confidence: float, pinned: bool, best: str
) -> None:
    db.learn("thing", "local")
    cache(db, online, level=level, confidence=confidence, pinned=pinned, uses=30, successes=28)
    row = db.known("thing")
    assert (row["content"], row["origin"]) == (best, best)
    assert {version["origin"] for version in db.history("thing")} == {"local", "central"}


@pytest.mark.parametrize(
    ("successes", "failures", "pinned", "best"),
    [
        (0, 0, False, "central"),
        (1, 0, False, "local"),
        (1, 1, False, "local"),
        (1, 2, False, "central"),
        (0, 3, False, "central"),
        (40, 9, False, "local"),
        (40, 0, True, "central"),
    ],
)
def test_what_has_worked_here_is_replaced_by_a_curator_alone(
    db: Session, online: InstanceRelay, successes: int, failures: int, pinned: bool, best: str
) -> None:
    db.learn("thing", "local")
    cache(db, online, level="very_high", confidence=0.99, uses=300, successes=300, pinned=pinned)
    assert db.known("thing")["origin"] == "central"
    for _ in range(successes):
        db.outcome("thing", True, variant=LOCAL)
    for _ in range(failures):
        db.outcome("thing", False, variant=LOCAL)
    for _ in range(2):
        row = db.known("thing")
        assert (row["origin"], row["content"]) == (best, best)
        offered = db.call("alternatives", kind="pattern", name="thing")
        assert [one["best"] for one in offered] == [True, False]
        assert {one["content"] for one in offered} == {"local", "central"}
        assert offered[0]["content"] == best
        assert db.names("thing") == ["thing"]
        db.run("call singularity.maintain()")


def test_alternatives_say_who_teaches_and_vouches(db: Session, online: InstanceRelay) -> None:
    db.learn("thing", "local")
    cache(db, online, level="candidate", confidence=0, holders=2, vouching=0)
    own, central = db.call("alternatives", kind="pattern", name="thing")
    shown = ("best", "origin", "content", "level", "holders", "vouching", "pinned")
    assert [own[key] for key in shown] == [True, "local", "local", "candidate", None, None, False]
    assert [central[key] for key in shown] == [False, "central", "central", "candidate", 2, 0, False]
    db.learn("thing", "central")
    (one,) = db.call("alternatives", kind="pattern", name="thing")
    assert (one["best"], one["origin"], one["holders"]) == (True, "local", 2)
    db.forget("thing")
    assert db.call("alternatives", kind="pattern", name="thing") == []


def test_of_one_content_the_authority_knows_more(db: Session, online: InstanceRelay) -> None:
    db.learn("thing", "central")
    db.outcome("thing", False)
    cache(db, online, level="high", confidence=0.8, uses=10, successes=9)
    row = db.known("thing")
    assert (row["origin"], row["level"], row["uses"], row["success_rate"]) == ("local", "high", 10, 0.9)


def test_outcomes_that_the_authority_has_not_counted_yet_count_here(
    db: Session, online: InstanceRelay
) -> None:
    db.learn("thing", "central")
    cache(db, online, level="low", confidence=0.2, uses=1, successes=1)
    db.outcome("thing", True)
    db.outcome("thing", True)
    row = db.known("thing")
    assert (row["uses"], row["success_rate"]) == (2, 1)


def test_a_retracted_content_that_was_learned_here_too_is_gone(db: Session, online: InstanceRelay) -> None:
    db.learn("thing", "central")
    cache(db, online, level="retracted")
    assert db.lookup("thing") is None
    assert len(db.history("thing")) == 2


def test_what_is_forgotten_here_hides_the_central_copy(db: Session, online: InstanceRelay) -> None:
    cache(db, online, level="very_high", confidence=0.95)
    assert db.forget("thing")
    assert db.lookup("thing") is None


def test_a_copy_goes_stale_and_is_refreshed(db: Session, online: InstanceRelay) -> None:
    db.call("configure", settings={"answer_ttl": "0 seconds"})
    cache(db, online)
    assert db.known("thing")["stale"]
    refresh = online.question()
    assert (refresh.body["name"], refresh.body["kind"], refresh.body["namespace"]) == (
        "thing",
        "pattern",
        "default",
    )
    online.answer(refresh, refined("thing", "news", variant=variant_of("news"), revision=2))
    assert db.known("thing")["content"] == "news"


def test_what_is_learned_here_never_goes_stale(db: Session, online: InstanceRelay) -> None:
    db.call("configure", settings={"answer_ttl": "0 seconds"})
    db.learn("mine")
    assert not db.known("mine")["stale"]
    assert online.take("question") == []


def test_a_read_only_transaction_is_answered(db: Session, online: InstanceRelay) -> None:
    db.learn("here")
    db.run("begin read only")
    assert db.known("here")["content"] == "x"
    assert db.lookup("elsewhere") is None
    assert db.recall("elsewhere") == []
    assert db.names("here") == ["here"]
    assert len(db.history("here")) == 1
    assert db.status()["online"]
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        db.learn("more")
    db.rollback()
    assert online.take("question") == []


ERRORS = [
    ({"kind": None}, "22004", "kind must not be null"),
    ({"kind": "No"}, "22023", "kind 'No' is not valid"),
    ({"namespace": None}, "22004", "namespace must not be null"),
    ({"namespace": "a.b"}, "22023", "namespace 'a.b' is not valid"),
    ({"name": None}, "22004", "name must not be null"),
    ({"name": ""}, "22023", "name '' has 0 bytes"),
    ({"name": " x"}, "22023", "name ' x' has"),
]


@pytest.mark.parametrize("function", ["lookup", "history", "forget", "outcome"])
@pytest.mark.parametrize(("wrong", "sqlstate", "message"), ERRORS)
def test_a_key_that_is_not_valid_is_refused(
    steady: Session, function: str, wrong: dict[str, Any], sqlstate: str, message: str
) -> None:
    with refused(steady, sqlstate, message, "has 1 to"):
        getattr(steady, function)(**{"name": "thing", **wrong})
