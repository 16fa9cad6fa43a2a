"""Ranking: the right artifact comes first, at once, and its score is made of what explain_recall() shows."""

from itertools import pairwise, permutations
from typing import Any

import pytest
from tests.kit.instance_relay import InstanceRelay, refined
from tests.kit.session import Session, refused
from tests.search.places import Place, names, real_artifacts

PLANTED: list[dict[str, Any]] = [
    {
        "kind": "pattern",
        "name": "retry_with_backoff",
        "summary": "Repeat a failing call with growing pauses",
        "content": {"steps": ["call", "wait a while", "call again, twice as patient"]},
    },
    {
        "kind": "pattern",
        "name": "parseHttpHeader",
        "summary": "Split the lines above a web page into fields",
        "content": {"code": "for line in lines: yield line.split(':')"},
    },
    {
        "kind": "pattern",
        "name": "blue-green-deploy",
        "summary": "Switch traffic from the old release to a new one without downtime",
        "content": {"steps": ["start the other colour", "move the load balancer"]},
    },
    {
        "kind": "pattern",
        "name": "app.cache.evict",
        "summary": "Drop the entries that were not used for longest when memory is short",
        "content": {"policy": "least recently used"},
    },
]
QUESTIONS: dict[str, list[tuple[str, str]]] = {
    "in other words": [
        ("how do I try again when a request fails", "retry_with_backoff"),
        ("roll out a new version without an outage", "blue-green-deploy"),
        ("clean up stale items to save RAM", "app.cache.evict"),
    ],
    "an exact identifier": [(artifact["name"], artifact["name"]) for artifact in PLANTED],
    "its parts": [
        ("backoff", "retry_with_backoff"),
        ("retry backoff", "retry_with_backoff"),
        ("http header", "parseHttpHeader"),
        ("parse http", "parseHttpHeader"),
        ("green deploy", "blue-green-deploy"),
        ("cache evict", "app.cache.evict"),
    ],
    "in another notation": [
        ("retryWithBackoff", "retry_with_backoff"),
        ("retry-with-backoff", "retry_with_backoff"),
        ("parse_http_header", "parseHttpHeader"),
        ("blue.green.deploy", "blue-green-deploy"),
        ("APP_CACHE_EVICT", "app.cache.evict"),
    ],
    "half a name": [
        ("retry_with", "retry_with_backoff"),
        ("backo", "retry_with_backoff"),
        ("parseHttp", "parseHttpHeader"),
        ("blue-gre", "blue-green-deploy"),
        ("app.cache", "app.cache.evict"),
    ],
    "a typing error": [
        ("retry_wiht_backoff", "retry_with_backoff"),
        ("retrywithbackof", "retry_with_backoff"),
        ("parseHtpHeader", "parseHttpHeader"),
        ("blue-gren-deploy", "blue-green-deploy"),
        ("app.cahce.evict", "app.cache.evict"),
    ],
}


@pytest.fixture
def library(place: Place) -> Place:
    """Teach about 200 real artifacts, with the planted ones among them."""
    real = real_artifacts(place.connection, 200)
    assert len(real) == 200
    place.teach(real[:100] + PLANTED + real[100:])
    return place


def test_the_right_artifact_comes_first(library: Place) -> None:
    wrong = {
        (kind, query): names(library.found(query))[:3]
        for kind, questions in QUESTIONS.items()
        for query, expected in questions
        if names(library.found(query))[:1] != [expected]
    }
    assert not wrong


def test_every_real_artifact_is_found_first_by_its_name(library: Place) -> None:
    known = [artifact["name"] for artifact in real_artifacts(library.connection, 200)]
    wrong = {
        name: names(library.found(name))[:3] for name in known if names(library.found(name))[:1] != [name]
    }
    assert not wrong


def test_blanks_around_a_query_change_no_place(library: Place) -> None:
    for query in ("retrywithbackof", "backo", "blue-gren-deploy"):
        expected = library.found(query)
        assert expected
        assert names(library.found(f"  {query} "))[0] == names(expected)[0]


@pytest.mark.parametrize("blank", ["\n", "\r\n", "\t"])
def test_a_query_may_end_with_its_line(place: Place, blank: str) -> None:
    place.teach([{"kind": "k", "name": "retrywithbackoff", "content": 1}])
    assert names(place.found("retrywihtbackof")) == ["retrywithbackoff"]
    assert place.found("retrywihtbackof" + blank) == place.found("retrywihtbackof")


@pytest.mark.parametrize("query", ["xylophone zeppelin quagga", "qwrtplkjh", "recette de gâteau au chocolat"])
def test_an_unrelated_query_finds_nothing_by_default(library: Place, query: str) -> None:
    if library.schema == "singularity":
        assert library.connection.execute("select * from singularity.recall(%s)", [query]).fetchall() == []
    assert all(row["relevance"] < 0.35 for row in library.found(query))


def test_the_best_come_first_with_scores_between_0_and_1(library: Place) -> None:
    for questions in QUESTIONS.values():
        for query, _ in questions:
            found = library.found(query, min_similarity=0.0, max_results=50)
            assert len(found) >= 2
            assert len({row["artifact_id"] for row in found}) == len(found)
            for row in found:
                assert 0 <= row["words"] <= 1
                assert 0 <= row["name_match"] <= 1
                assert -1.001 <= row["similarity"] <= 1.001
                assert 0 <= row["relevance"] <= 1
            assert all(one["relevance"] >= next_["relevance"] for one, next_ in pairwise(found))


def test_relevance_is_made_of_its_parts(library: Place) -> None:
    for questions in QUESTIONS.values():
        for query, _ in questions:
            for row in library.found(query, min_similarity=0.0):
                computed = library.connection.execute(
                    f"select {library.schema}.relevance(%s, %s, %s, %s)".encode(),
                    [row["words"], row["name_match"], row["similarity"], " " not in query],
                ).fetchone()
                assert computed == (pytest.approx(row["relevance"], abs=1e-12),)


def test_a_word_weighs_most_in_the_name_then_summary_tags_and_content(place: Place) -> None:
    other = {"name": "river", "summary": "river", "tags": ["river"], "content": "river"}
    artifacts = []
    for number, field in enumerate(("name", "summary", "tags", "content")):
        artifact = {**other, field: ["quokka"] if field == "tags" else "quokka"}
        artifacts.append({"kind": f"k{number}", **artifact})
    place.teach(artifacts)
    found = {row["kind"]: row["words"] for row in place.found("quokka", min_similarity=0.0)}
    assert found["k0"] > found["k1"] > found["k2"] > found["k3"] > 0


class TestAtOnce:
    """What was learned counts from the next statement on."""

    def test_just_learned_is_found(self, db: Session, other: Session) -> None:
        db.learn("waterproof", {"text": "keeps rain out"})
        for session in (db, other):
            assert session.names("keeps rain out") == ["waterproof"]
            assert session.names("waterprof") == ["waterproof"]

    def test_it_is_found_in_the_same_transaction_and_nowhere_else(self, db: Session, other: Session) -> None:
        db.begin()
        db.learn("waterproof", {"text": "keeps rain out"})
        assert db.names("waterproof") == ["waterproof"]
        assert db.names("umbrella against showers", min_similarity=0.0) == ["waterproof"]
        assert other.names("waterproof", min_similarity=0.0) == []
        db.commit()
        assert other.names("waterproof") == ["waterproof"]

    @pytest.mark.parametrize("isolation", ["read committed", "repeatable read", "serializable"])
    def test_what_was_rolled_back_is_not_found(self, db: Session, isolation: str) -> None:
        db.learn("dry", {"text": "desert"})
        db.begin(isolation)
        db.learn("dry", {"text": "waterfall"})
        db.learn("waterproof", {"text": "waterfall"})
        assert set(db.names("waterfall")) == {"dry", "waterproof"}
        assert db.names("desert") == []
        db.rollback()
        assert db.names("waterfall", min_similarity=0.3) == []
        assert db.names("desert") == ["dry"]

    def test_a_savepoint_takes_back_what_came_after_it(self, db: Session) -> None:
        db.begin()
        db.learn("animal", {"text": "elephant"})
        db.run("savepoint s")
        db.learn("animal", {"text": "crocodile"})
        db.run("rollback to savepoint s")
        assert db.names("elephant") == ["animal"]
        assert db.names("crocodile", min_similarity=0.3) == []
        db.commit()
        assert db.names("elephant") == ["animal"]

    @pytest.mark.parametrize("isolation", ["read committed", "repeatable read", "serializable"])
    def test_changed_text_is_found_and_the_old_one_is_not(self, db: Session, isolation: str) -> None:
        db.learn("animal", {"text": "elephant"}, summary="a trunk", tags=["grey"])
        db.begin(isolation)
        db.learn("animal", {"text": "crocodile"}, summary="many teeth", tags=["green"])
        for query in ("crocodile", "teeth", "green"):
            assert db.names(query) == ["animal"]
        for query in ("elephant", "trunk", "grey"):
            assert [row["words"] for row in db.call("explain_recall", query=query, min_similarity=0.0)] == [0]
        db.commit()
        assert db.names("crocodile") == ["animal"]
        assert db.names("elephant", min_similarity=0.5) == []

    def test_many_in_one_transaction_above_read_committed(self, db: Session) -> None:
        many: list[dict[str, Any]] = [
            {"kind": "m", "name": f"thing {n}", "content": f"text number {n} about nothing"}
            for n in range(2500)
        ]
        many[700]["content"] = "the zanzibarian_walrus"
        db.begin("repeatable read")
        db.learn_many(many)
        assert db.names("zanzibarian_walrus", kind="m")[:1] == ["thing 700"]
        assert db.names("zanzibarian walrus")[:1] == ["thing 700"]
        db.commit()
        assert db.names("zanzibarian_walrus", kind="m")[:1] == ["thing 700"]


class TestConfidence:
    """Confidence decides between what fits about as well."""

    def learn_alike(self, db: Session) -> None:
        for name in "abcdef":
            db.learn(f"cache {name}", {"text": "evict the oldest entry"}, summary="of the cache")
        db.learn("unrelated", {"text": "bake bread slowly", "note": "oldest"})

    def test_a_score_is_the_relevance_moved_by_confidence(self, db: Session) -> None:
        self.learn_alike(db)
        for _ in range(20):
            db.outcome("cache d")
            db.outcome("unrelated")
        found = db.call("explain_recall", query="evict the oldest entry", min_similarity=0.0)
        assert {row["name"] for row in found} >= {"cache a", "cache d", "unrelated"}
        for row in found:
            above = max(row["relevance"] - 0.75, 0)
            counted = row["relevance"] - above + (0.1 + 0.9 * row["confidence"]) * above
            assert row["score"] == pytest.approx(counted * (0.9 + 0.1 * row["confidence"]))
        assert [row["score"] for row in found] == sorted((row["score"] for row in found), reverse=True)
        assert found[0]["name"] == "cache d"
        assert found[-1]["name"] == "unrelated"
        for above, below in permutations(found, 2):
            if above["score"] > below["score"]:
                assert min(above["relevance"], 0.75) >= 0.9 * min(below["relevance"], 0.75)

    def test_failures_do_not_put_a_fitting_row_behind_one_that_does_not_fit(self, db: Session) -> None:
        self.learn_alike(db)
        for _ in range(20):
            db.outcome("unrelated")
            for name in "abcdef":
                db.outcome(f"cache {name}", succeeded=False)
        assert db.names("evict the oldest entry", min_similarity=0.0)[-1] == "unrelated"

    def test_recall_and_explain_recall_return_the_same_rows(self, db: Session) -> None:
        self.learn_alike(db)
        db.outcome("cache b")
        for query in ("evict the oldest entry", "cache", "cachee", "bread"):
            shown = ("artifact_id", "namespace", "kind", "name", "score", "similarity", "confidence")
            recalled = [{key: row[key] for key in shown} for row in db.recall(query)]
            explained = [{key: row[key] for key in shown} for row in db.call("explain_recall", query=query)]
            assert recalled
            assert recalled == explained


class TestCentralCopies:
    """The local and the central version of one artifact are one row."""

    def test_one_artifact_is_one_row(self, db: Session, online: InstanceRelay) -> None:
        db.learn("animal", {"text": "elephant"})
        db.ask("anything")
        online.answer(
            online.question(),
            refined("animal", {"text": "crocodile"}, level="high", confidence=0.9, uses=9, successes=9),
            refined("plant", {"text": "crocodile weed"}, level="high", confidence=0.9, uses=9, successes=9),
        )
        found = db.recall("animal crocodile elephant", min_similarity=0.0)
        assert sorted(row["name"] for row in found) == ["animal", "plant"]
        (animal,) = [row for row in found if row["name"] == "animal"]
        assert animal["origin"] == "central"
        assert db.value("select count(*) from singularity.document") == 2

    def test_the_local_version_is_found_again_when_the_central_one_is_retracted(
        self, db: Session, online: InstanceRelay
    ) -> None:
        db.learn("animal", {"text": "elephant"})
        db.ask("anything")
        high = {"level": "high", "confidence": 0.9, "uses": 9, "successes": 9}
        online.answer(online.question(), refined("animal", {"text": "crocodile"}, **high))
        assert db.names("elephant", min_similarity=0.3) == []
        online.answer(
            online.take("question")[-1],
            refined("animal", {"text": "crocodile"}, **{**high, "level": "retracted", "revision": 2}),
        )
        assert db.names("elephant") == ["animal"]
        assert db.names("crocodile", min_similarity=0.3) == []


class TestRelated:
    """related(): what is near an artifact."""

    def test_the_near_one_is_found_and_not_itself(self, db: Session) -> None:
        db.learn("retry", {"text": "x"}, summary="Repeat a failing call with growing pauses")
        db.learn(
            "backoff", {"text": "y"}, summary="Wait longer before each attempt to call again", kind="prompt"
        )
        db.learn("bread", {"text": "z"}, summary="Flour, water, salt and time", namespace="kitchen")
        found = [row["name"] for row in db.call("related", kind="pattern", name="retry")]
        assert found[0] == "backoff"
        assert "retry" not in found

    @pytest.mark.parametrize(
        "max_results",
        [
            1,
            5,
            999,
            1000,
        ],
    )
    def test_it_returns_up_to_max_results(self, db: Session, max_results: int) -> None:
        db.learn_many([{"kind": "pattern", "name": f"zebra {n}", "content": n} for n in range(8)])
        found = db.call("related", kind="pattern", name="zebra 3", max_results=max_results)
        assert len(found) == min(max_results, 7)
        assert "zebra 3" not in [row["name"] for row in found]

    def test_what_is_not_known_is_refused(self, db: Session) -> None:
        db.learn("gone")
        db.forget("gone")
        for name in ("never", "gone"):
            with refused(db, "P0002", f"pattern '{name}' is not known here", "Learn it"):
                db.call("related", kind="pattern", name=name)

    def test_an_artifact_without_any_text_has_relatives(self, db: Session) -> None:
        db.learn("!!!", 1)
        db.learn("bread", {"text": "flour"})
        db.call("related", kind="pattern", name="!!!")

    def test_a_longest_name_summary_and_tags_are_no_query_too_long(self, db: Session) -> None:
        tags = [f"{n:03}" + "t" * 125 for n in range(64)]
        db.learn("n" * 512, 1, summary="s " * 2048, tags=tags)
        db.learn("other", 1, tags=tags[:1])
        db.call("related", kind="pattern", name="n" * 512)
