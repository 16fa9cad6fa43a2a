"""Filters: they leave out what does not fit, never what does, however much else is near the query."""

from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.kit.hidden import has_hidden
from tests.kit.session import Session, refused
from tests.search.places import Place, maintain, names

NEAR = 3000
TOPIC = "retry a failing network call with growing pauses"
FAR = "the recipe for sourdough bread"
TAGS = [
    "it's",
    'say "no"',
    "back\\slash",
    "\\",
    "'",
    "''",
    "\\'",
    "a/b",
    "/kind/pattern",
    "x:y",
    "x:1A",
    ":*",
    "a & b",
    "!a",
    "(a | b)",
    " outer blanks ",
    "😀",
    "ü" * 64,
    "t" * 128,
    "%s",
    "{a,b}",
    "NULL",
    "Zebra",
    "zebra",
]


def crowd(**of_all: Any) -> list[dict[str, Any]]:
    """Return artifacts that are all near the query."""
    return [
        {"kind": "crowd", "name": f"retry call {n}", "content": f"{TOPIC}, variety {n}", **of_all}
        for n in range(NEAR)
    ]


def few(**of_all: Any) -> list[dict[str, Any]]:
    """Return five artifacts that have nothing to do with the query."""
    return [{"kind": "crowd", "name": f"loaf {n}", "content": FAR, **of_all} for n in range(5)]


class TestAFewFarOnesAmongManyNearOnes:
    """Five artifacts pass the filter, 3,000 nearer ones do not."""

    EXPECTED = tuple(f"loaf {n}" for n in range(5))

    def found(self, db: Session, **filters: Any) -> list[str]:
        return sorted(db.names(TOPIC, min_similarity=0.0, **filters))

    @pytest.mark.parametrize("maintained", [False, True])
    def test_by_kind_namespace_and_tags(self, db: Session, maintained: bool) -> None:
        db.learn_many(crowd(tags=["near", "far"]))
        db.learn_many(few(kind="rare") + few(namespace="rare") + few(kind="tagged", tags=["far", "rare"]))
        if maintained:
            db.run("call singularity.maintain()")
        for filters in (
            {"kind": "rare"},
            {"namespace": "rare"},
            {"tags": ["rare", "far"]},
            {"tags": ["rare"]},
        ):
            assert self.found(db, **filters) == [*self.EXPECTED], filters
        assert self.found(db, kind="rare", namespace="rare") == []
        assert self.found(db, kind="tagged", tags=["near", "rare"]) == []
        assert len(self.found(db, kind="crowd", namespace="default", max_results=1000)) == 1000

    def test_by_two_filters_that_each_let_many_through(self, db: Session) -> None:
        db.learn_many(
            crowd()[:1500] + [{**one, "kind": "other", "namespace": "rare"} for one in crowd()[1500:]]
        )
        db.learn_many(few(namespace="rare"))
        db.run("call singularity.maintain()")
        assert self.found(db, kind="crowd", namespace="rare") == [*self.EXPECTED]

    def test_by_a_vector_only(self, db: Session) -> None:
        db.learn_many(crowd())
        db.learn_many(few())
        db.run("call singularity.maintain()")
        near = db.value(
            "select array(select name from singularity.explain_recall("
            "'zzzz', embedding => singularity.embed(%s), contract => singularity.current_contract(), "
            "min_similarity => 0, max_results => 5) order by 1)",
            [FAR],
        )
        assert near == [*self.EXPECTED]

    def test_by_level(self, db: Session) -> None:
        db.learn_many(crowd())
        db.learn_many(few())
        for name in self.EXPECTED:
            db.outcome(name, kind="crowd")
        db.run("call singularity.maintain()")
        assert self.found(db, min_level="low") == [*self.EXPECTED]
        assert self.found(db, min_level="medium") == []

    def test_a_fitting_one_by_its_words_among_many_that_pass(self, db: Session) -> None:
        db.learn_many([*crowd(tags=["a"])[:2000], {**few()[0], "tags": ["a"]}, *crowd(tags=["a"])[2000:]])
        assert db.names("sourdough recipe", tags=["a"], kind="crowd")[0] == "loaf 0"
        assert db.names("loaf", tags=["a"], kind="crowd")[0] == "loaf 0"


def test_the_authority_does_not_starve_either(authority_place: Place) -> None:
    authority_place.teach(crowd()[:1200])
    authority_place.teach(few(kind="rare", namespace="rare", tags=["rare"]))
    maintain(authority_place)
    for filters in ({"kind": "rare"}, {"namespace": "rare"}, {"tags": ["rare"]}):
        found = authority_place.found(TOPIC, min_similarity=0.0, **filters)
        assert sorted(names(found)) == [f"loaf {n}" for n in range(5)]


def test_an_outcome_takes_an_artifact_out_of_the_candidates(db: Session) -> None:
    db.learn("proved", {"text": "zebra"})
    db.learn("unproved", {"text": "zebra"})
    assert db.names("zebra", min_level="low") == []
    db.outcome("proved")
    db.run("call singularity.maintain()")
    assert db.names("zebra", min_level="low") == ["proved"]
    assert set(db.names("zebra", min_level="candidate")) == {"proved", "unproved"}


def test_every_strange_tag_is_found_by_itself_only(place: Place) -> None:
    place.teach(
        [{"kind": "k", "name": f"zebra {n}", "content": n, "tags": [tag]} for n, tag in enumerate(TAGS)]
        + [{"kind": "k", "name": "zebra all", "content": 1, "tags": TAGS}]
    )
    for n, tag in enumerate(TAGS):
        found = place.found("zebra", tags=[tag], min_similarity=0.0)
        assert sorted(names(found)) == [f"zebra {n}", "zebra all"], tag
    assert names(place.found("zebra", tags=TAGS, min_similarity=0.0)) == ["zebra all"]


def test_no_text_passes_for_a_filter(place: Place) -> None:
    place.teach(
        [
            {
                "kind": "k",
                "name": "/kind/other /tag/x =zebra",
                "summary": "'/kind/other' /namespace/other /level/high",
                "tags": ["/kind/other", "/level/high", "tag/x", "kind/other"],
                "content": "/kind/other /tag/x /namespace/other /level/high",
            }
        ]
    )
    assert len(place.found("zebra")) == 1
    for filters in ({"kind": "other"}, {"namespace": "other"}, {"tags": ["x"]}, {"min_level": "high"}):
        assert place.found("zebra", min_similarity=0.0, **filters) == [], filters


@given(
    tag=st.text(
        st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=32
    ).filter(lambda tag: not has_hidden(tag))
)
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_tag_filters(db: Session, tag: str) -> None:
    db.begin()
    db.learn("zebra", tags=[tag])
    db.learn("zebra two", tags=[tag + "x", "y"])
    assert db.names("zebra", tags=[tag]) == ["zebra"]
    db.rollback()


def test_null_and_no_tags_do_not_filter(place: Place) -> None:
    place.teach([{"kind": "k", "name": "zebra", "content": 1}])
    for tags in (None, [], [None]):
        assert names(place.found("zebra", tags=tags)) == ["zebra"]


def test_a_tag_that_no_artifact_can_have_is_refused_or_finds_nothing(place: Place) -> None:
    place.teach([{"kind": "k", "name": "zebra", "content": 1, "tags": ["x"]}])
    assert place.found("zebra", tags=["x" * 3000]) == []


def test_an_unknown_level_is_refused(db: Session) -> None:
    with pytest.raises(psycopg.errors.InvalidTextRepresentation, match="best"):
        db.recall("zebra", min_level="best")


@pytest.mark.parametrize(
    ("filters", "message"),
    [({"kind": "No"}, "kind 'No' is not valid"), ({"namespace": "x y"}, "namespace 'x y' is not valid")],
)
def test_a_filter_that_is_not_valid_is_refused(db: Session, filters: dict[str, Any], message: str) -> None:
    with refused(db, "22023", message, "1 to 64 characters"):
        db.recall("zebra", **filters)
