"""Answers: the artifact that a lookup named, or what fits a query, in the asker's name only."""

import json
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb
from tests.kit.identity import variant_of
from tests.kit.message import Message
from tests.kit.queries import value
from tests.kit.relay import Relay
from tests.kit.speaker import Speaker, request, speakers

CONTRIBUTED = [
    ("retry with jitter", "pattern", "default", ["network"], "retry a failing call with growing pauses"),
    ("rate limiter", "pattern", "default", ["network", "queue"], "let a bucket of tokens limit requests"),
    ("rate limiter", "template", "default", [], "limit: 10 requests"),
    ("nightly backup", "pattern", "ops", ["database"], "dump the database every night"),
]


@pytest.fixture
def ann(relay: Relay) -> Speaker:
    """An instance that has contributed something."""
    one = Speaker(1)
    records = [
        one.holds(content, name, kind=kind, namespace=namespace, tags=tags)
        for name, kind, namespace, tags, content in CONTRIBUTED
    ]
    relay.give([one.says(*records)])
    relay.take("refined")
    return one


def names(relay: Relay, asker: Speaker, **question: Any) -> list[tuple[str, str]]:
    """Return kind and name of the rows of an answer, in order."""
    answer = request(relay, asker.asks("ask", **question))
    return [(found["kind"], found["name"]) for found in answer["rows"]]


def test_an_answer_has_the_rows_as_they_are_pushed_and_their_heads(relay: Relay, ann: Speaker) -> None:
    answer = request(relay, Speaker(2).asks("ask", query="nightly backup", request="question 7"))
    assert (answer["v"], answer["type"], answer["request"]) == (1, "answer", "question 7")
    assert answer["epoch"] == value(relay.connection, "select epoch from centralcloud.status()")
    assert answer["heads"] == {"ops/pattern": 1}
    (found,) = answer["rows"]
    assert found["content"] == "dump the database every night"
    assert found["variant"] == variant_of(found["content"])
    assert found == request(relay, ann.asks("changes", namespace="ops", kind="pattern", after=0))["rows"][0]


def test_a_lookup_gets_exactly_what_it_named(relay: Relay, ann: Speaker) -> None:
    asked = {"query": "template rate limiter", "kind": "template", "namespace": "default"}
    assert names(relay, ann, name="rate limiter", **asked) == [("template", "rate limiter")]
    assert names(relay, ann, name="rate", **asked) == []
    assert names(relay, ann, name="rate limiter", **asked | {"namespace": "ops"}) == []


def test_the_best_fit_comes_first(relay: Relay, ann: Speaker) -> None:
    assert names(relay, ann, query="how to retry a failing call")[0] == ("pattern", "retry with jitter")
    assert set(names(relay, ann, query="rate limiter")) == {
        ("pattern", "rate limiter"),
        ("template", "rate limiter"),
    }


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({"kind": "template"}, {("template", "rate limiter")}),
        ({"namespace": "ops"}, set()),
        ({"tags": ["queue"]}, {("pattern", "rate limiter")}),
        ({"tags": ["queue", "network"]}, {("pattern", "rate limiter")}),
        ({"tags": ["database"]}, set()),
        (
            {"tags": None, "kind": None, "namespace": None},
            {("pattern", "rate limiter"), ("template", "rate limiter")},
        ),
    ],
)
def test_filters_narrow_an_answer(
    relay: Relay, ann: Speaker, filters: Any, found: set[tuple[str, str]]
) -> None:
    assert set(names(relay, ann, query="rate limiter", **filters)) == found


@pytest.mark.parametrize("query", ["zebra", "", "   ", "the of and", "'\\ | & !:*", "🦓"])
def test_nothing_known_is_an_answer_too(relay: Relay, ann: Speaker, query: str) -> None:
    answer = request(relay, ann.asks("ask", query=query))
    assert (answer["type"], answer["rows"], answer["heads"]) == ("answer", [], {})


def test_what_is_withdrawn_is_no_answer(relay: Relay, ann: Speaker) -> None:
    relay.give([ann.says(ann.withdraws("nightly backup", kind="pattern", namespace="ops"))])
    assert names(relay, ann, query="nightly backup") == []
    assert names(relay, ann, query="x", kind="pattern", namespace="ops", name="nightly backup") == []


def test_candidates_are_answers_and_labelled(relay: Relay, ann: Speaker) -> None:
    (found,) = request(relay, ann.asks("ask", query="nightly backup"))["rows"]
    assert (found["level"], found["confidence"], found["uses"]) == ("candidate", 0, 0)


def test_answer_relevance_says_what_belongs_into_an_answer(
    relay: Relay, authority_db: psycopg.Connection, ann: Speaker
) -> None:
    query = "retry failing requests at midnight"
    configure = "select centralcloud.configure(%s)"
    authority_db.execute(configure, [Jsonb({"answer_relevance": 0})])
    search = "select relevance from centralcloud.search(%s, min_similarity => 0)"
    relevances = [found[0] for found in authority_db.execute(search, [query]).fetchall()]
    assert len(relevances) >= 2
    assert relevances[0] > relevances[-1]
    assert len(names(relay, ann, query=query)) == len(relevances)
    authority_db.execute(configure, [Jsonb({"answer_relevance": relevances[0]})])
    assert len(names(relay, ann, query=query)) == relevances.count(relevances[0])
    authority_db.execute(configure, [Jsonb({"answer_relevance": 1})])
    assert names(relay, ann, query=query) == []


def test_answer_rows_bounds_an_answer(relay: Relay, authority_db: psycopg.Connection, ann: Speaker) -> None:
    relay.give([ann.says(*(ann.holds(n, f"zebra {n}") for n in range(30)))])
    assert len(names(relay, ann, query="zebra")) == 10
    authority_db.execute("select centralcloud.configure(%s)", [Jsonb({"answer_rows": 3})])
    assert len(names(relay, ann, query="zebra")) == 3


def test_an_answer_is_cut_by_bytes(relay: Relay, ann: Speaker) -> None:
    for n in range(8):
        relay.give([ann.says(ann.holds(f"{n}" + "x" * 200_000, f"zebra {n}"))])
    payload = relay.serve(ann.asks("ask", query="zebra"))
    assert 200_000 < len(payload) < 512 * 1024 + 210_000
    assert 1 < len(json.loads(payload)["rows"]) < 8


def test_a_query_of_any_length_is_answered(relay: Relay, ann: Speaker) -> None:
    assert names(relay, ann, query="retry failing call " + "zebra " * 40_000) is not None
    assert names(relay, ann, query="x" * 500_000) == []


def test_unknown_fields_of_a_request_are_ignored(relay: Relay, ann: Speaker) -> None:
    assert names(relay, ann, query="nightly backup", mood="curious", limit=0) == [
        ("pattern", "nightly backup")
    ]


@pytest.mark.parametrize(
    ("change", "sqlstate"),
    [
        ({"instance": str(Speaker(2).id)}, "42501"),
        ({"instance": None}, "42501"),
        ({"type": "gossip"}, "0A000"),
        ({"type": "contribution"}, "0A000"),
        ({"type": None}, "22023"),
        ({"v": 2}, "0A000"),
        ({"v": None}, "0A000"),
    ],
)
def test_a_request_that_is_not_right_is_an_error(
    relay: Relay, ann: Speaker, change: Any, sqlstate: str
) -> None:
    asked = ann.asks("ask", query="nightly backup")
    wrong = Message(asked.subject, json.dumps(asked.body | change).encode())
    with pytest.raises(psycopg.Error) as caught:
        relay.serve(wrong)
    assert caught.value.sqlstate == sqlstate
    assert "nightly" not in str(caught.value.diag.message_primary)


@pytest.mark.parametrize("endpoint", ["ask", "changes", "hello"])
def test_nobody_asks_in_another_s_name(relay: Relay, endpoint: str) -> None:
    ann, bob = speakers(2)
    asked = ann.asks(endpoint, query="x", namespace="default", kind="k", after=0)
    forged = Message(asked.subject.replace(str(ann.id), str(bob.id)), asked.payload)
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="speaks for instance"):
        relay.serve(forged)
    assert value(relay.connection, "select instances from centralcloud.status()") == 0


def test_a_request_changes_nothing(relay: Relay, ann: Speaker) -> None:
    """Answering is reading: it works where nothing can be written."""
    with relay.connection.transaction():
        relay.connection.execute("set transaction read only")
        assert names(relay, ann, query="nightly backup") == [("pattern", "nightly backup")]
        assert request(relay, ann.asks("changes", namespace="ops", kind="pattern", after=0))["head"] == 1
