"""recall(): what is known here that fits a query, best first."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.kit.identity import variant_of
from tests.kit.instance_relay import InstanceRelay, refined
from tests.kit.session import Session, refused


@pytest.mark.parametrize(
    "query",
    [
        "backoff",
        "politely",
        "network",
        "jitters",
        "retry-with-backoff",
        "retry with",
        "RETRY",
        "retrywithbackof",
    ],
)
def test_name_summary_tags_and_text_are_searched(db: Session, query: str) -> None:
    db.learn("noise", {"say": "something else"}, summary="Unrelated", tags=["noise"])
    db.learn(
        "retry-with-backoff", {"steps": ["first", {"do": "jitter"}]}, summary="Ask politely", tags=["network"]
    )
    assert db.names(query)[0] == "retry-with-backoff"


@pytest.mark.parametrize("query", ["render", "html page", "template_name", "templateName"])
def test_identifiers_are_taken_apart(db: Session, query: str) -> None:
    db.learn("views", {"code": "renderHtmlPage(template_name)"})
    assert db.names(query) == ["views"]


def test_a_row_says_what_it_is_and_how_well_it_fits(db: Session) -> None:
    db.learn("retry", {"do": "wait"}, summary="sum", tags=["t"])
    (row,) = db.recall("retry")
    known = db.known("retry")
    assert {name: row[name] for name in known} == known
    assert 0 < row["score"] <= 1
    assert 0 < row["similarity"] <= 1
    assert set(row) == {*known, "score", "similarity"}


def test_the_best_comes_first(db: Session) -> None:
    db.learn("all", {"text": "limit the rate of requests"})
    db.learn("some", {"text": "limit the size"})
    db.learn("none", {"text": "unlike"})
    rows = db.recall("limit the rate of requests")
    assert [row["name"] for row in rows] == ["all", "some"]
    assert rows[0]["score"] > rows[1]["score"]


def test_of_equals_the_proved_one_comes_first(db: Session) -> None:
    for name in ("a", "b", "c"):
        db.learn(f"cache-{name}", {"text": "evict the oldest entry"})
    for _ in range(10):
        db.outcome("cache-b", True)
    assert db.names("evict the oldest entry")[0] == "cache-b"


def test_filters_are_all_kept(db: Session) -> None:
    for namespace in ("red", "blue"):
        for kind in ("pattern", "prompt"):
            for tags in (["x"], ["x", "y"]):
                db.learn(f"zebra {len(tags)}", kind=kind, namespace=namespace, tags=tags)
    assert len(db.recall("zebra")) == 8
    assert {row["kind"] for row in db.recall("zebra", kind="prompt")} == {"prompt"}
    assert len(db.recall("zebra", tags=["y"])) == 4
    (row,) = db.recall("zebra", kind="pattern", namespace="blue", tags=["y", "x"])
    assert (row["kind"], row["namespace"], row["tags"]) == ("pattern", "blue", ["x", "y"])
    assert db.recall("zebra", tags=["x", "z"]) == []


def test_no_more_than_max_results_are_returned(db: Session) -> None:
    db.learn_many([{"kind": "fact", "name": f"zebra {n}", "content": n} for n in range(1200)])
    assert len(db.recall("zebra")) == 10
    assert len(db.recall("zebra", max_results=1)) == 1
    assert len(db.recall("zebra", max_results=1000)) == 1000


def test_min_similarity_leaves_out_what_is_less_relevant(db: Session) -> None:
    db.learn("zebra")
    db.learn("horse", {"text": "a zebra without stripes and so on"})
    assert db.names("zebra stripes", min_similarity=0.0) == ["horse", "zebra"]
    assert db.names("zebra", min_similarity=0.7) == ["zebra"]


def test_central_copies_are_found_too(db: Session, online: InstanceRelay) -> None:
    db.ask("anything")
    online.answer(online.question(), refined("zebra", {"text": "stripes"}, level="medium", confidence=0.7))
    (row,) = db.recall("stripes")
    assert (row["name"], row["origin"], row["level"]) == ("zebra", "central", "medium")


def test_the_text_of_the_best_known_version_is_searched(db: Session, online: InstanceRelay) -> None:
    db.learn("animal", {"text": "elephant"})
    db.ask("anything")
    better = {"level": "high", "confidence": 0.9, "uses": 30, "successes": 29}
    online.answer(
        online.question(),
        refined("animal", {"text": "crocodile"}, variant=variant_of({"text": "crocodile"}), **better),
    )
    assert db.names("crocodile") == ["animal"]
    assert db.names("elephant") == []


def test_what_was_forgotten_is_not_found(db: Session) -> None:
    db.learn("zebra", {"text": "stripes"})
    db.forget("zebra")
    assert db.names("zebra stripes") == []


@given(query=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1))
@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_may_be_asked_for(steady: Session, query: str) -> None:
    if any(character.isalnum() for character in query):
        assert all(0 <= row["score"] <= 1 for row in steady.recall(query))


@pytest.mark.parametrize(
    "query", ["'", "\\", "a' | 'b", "a & !b", ":*", "(", "%s", "' || pg_sleep(9) || '", "the"]
)
def test_signs_of_the_query_language_are_only_text(steady: Session, query: str) -> None:
    steady.recall(query)
    steady.recall(query, kind="pattern", tags=[query])


def test_long_texts_and_long_words_can_be_learned_and_found(db: Session) -> None:
    db.learn("long", {"words": " ".join(f"word{n}" for n in range(20_000)), "blob": "x" * 30_000})
    assert db.names("word17") == ["long"]
    db.learn("blob", {"text": "a blob " + "y" * 30_000})
    assert db.names("blob")[0] == "blob"
    assert db.recall(" ".join(f"word{n}" for n in range(5_000)))[0]["name"] == "long"


ERRORS: list[tuple[dict[str, Any], str, str, str]] = [
    ({"query": ""}, "22023", "query is empty", "Pass the words"),
    ({"query": " \t\n"}, "22023", "query is empty", "Pass the words"),
    ({"query": None}, "22023", "query is empty", "Pass the words"),
    ({"query": "\u00fc" * 32769}, "54000", "query has 65538 bytes, the limit is 65536", "words"),
    ({"kind": "No"}, "22023", "kind 'No' is not valid", "1 to 64 characters"),
    ({"namespace": ""}, "22023", "namespace '' is not valid", "1 to 64 characters"),
    ({"max_results": 0}, "22023", "max_results is 0", "between 1 and 1000"),
    ({"max_results": -1}, "22023", "max_results is -1", "between 1 and 1000"),
    ({"max_results": 1_000_000}, "22023", "max_results is 1000000", "between 1 and 1000"),
    ({"max_results": None}, "22023", "max_results is null", "between 1 and 1000"),
    ({"min_similarity": -0.5}, "22023", "min_similarity is -0.5", "between 0 and 1"),
    ({"min_similarity": 1.5}, "22023", "min_similarity is 1.5", "between 0 and 1"),
    ({"min_similarity": float("nan")}, "22023", "min_similarity is NaN", "between 0 and 1"),
    ({"min_similarity": None}, "22023", "min_similarity is null", "between 0 and 1"),
]


@pytest.mark.parametrize(("wrong", "sqlstate", "message", "hint"), ERRORS)
def test_what_cannot_be_searched_is_refused(
    steady: Session, wrong: dict[str, Any], sqlstate: str, message: str, hint: str
) -> None:
    with refused(steady, sqlstate, message, hint):
        steady.recall(**{"query": "nothing like it", **wrong})
