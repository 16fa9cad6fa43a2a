"""learn_many(): one statement, all or nothing, and an error says which element."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.kit.session import Session, refused

GOOD = {"kind": "pattern", "name": "good", "content": {"a": 1}}


def test_every_element_is_learned_as_learn_does(db: Session) -> None:
    learned = db.learn_many(
        [
            GOOD,
            {
                "kind": "prompt",
                "name": "full",
                "content": "c",
                "summary": "s",
                "tags": ["b", "a"],
                "namespace": "team",
                "shared": False,
            },
        ]
    )
    assert learned == 2
    assert db.known("good")["content"] == {"a": 1}
    full = db.known("full", kind="prompt", namespace="team")
    assert (full["content"], full["summary"], full["tags"]) == ("c", "s", ["a", "b"])
    (version,) = db.history("full", kind="prompt", namespace="team")
    assert version["shared"] is False


def test_it_counts_what_is_new_or_changed(db: Session) -> None:
    db.learn_many([{**GOOD, "name": name} for name in "abc"])
    again = [{**GOOD, "name": "a"}, {**GOOD, "name": "b", "content": 2}, {**GOOD, "name": "d"}]
    assert db.learn_many(again) == 2
    assert [len(db.history(name)) for name in "abcd"] == [1, 2, 1, 1]
    assert db.learn_many(again) == 0
    assert db.learn_many([]) == 0


def test_fields_that_are_null_are_as_left_out(db: Session) -> None:
    db.learn("good", 1, summary="s", tags=["t"], shared=False)
    nulls = {"summary": None, "tags": None, "namespace": None, "shared": None}
    assert db.learn_many([{**GOOD, **nulls}]) == 1
    version = db.history("good")[0]
    assert (version["content"], version["summary"], version["tags"], version["shared"]) == (
        {"a": 1},
        "s",
        ["t"],
        False,
    )


def test_of_several_elements_for_one_artifact_the_last_counts(db: Session) -> None:
    assert db.learn_many([{**GOOD, "content": n} for n in range(3)]) == 1
    assert [version["content"] for version in db.history("good")] == [2]


def test_versions_follow_the_order_of_the_elements(db: Session) -> None:
    db.learn_many([{**GOOD, "name": name} for name in "zyx"])
    assert db.column("select name from singularity.holding order by version") == ["z", "y", "x"]


@pytest.mark.usefixtures("offline")
def test_what_is_shared_is_queued_once_connected(db: Session) -> None:
    db.learn_many([GOOD, {**GOOD, "name": "private", "shared": False}])
    assert [entry["artifact_id"] for entry in db.outbox()] == [db.known("good")["artifact_id"]]
    assert db.status()["outbox_entries"] == 1


WHOLE: list[tuple[Any, str]] = [
    (None, "not null"),
    ({"kind": "pattern"}, "not object"),
    ("text", "not string"),
    (7, "not number"),
]


@pytest.mark.parametrize(("given", "message"), WHOLE)
def test_only_an_array_is_taken(steady: Session, given: Any, message: str) -> None:
    with refused(steady, "22023", f"artifacts must be a JSON array, {message}", '[{"kind": "pattern"'):
        steady.learn_many(given)


ELEMENTS: list[tuple[Any, str, str, str]] = [
    ("text", "22023", "an artifact must be a JSON object, not string", "nothing was learned"),
    (None, "22023", "an artifact must be a JSON object, not null", "nothing was learned"),
    ([GOOD], "22023", "an artifact must be a JSON object, not array", "nothing was learned"),
    (
        {**GOOD, "tag": "x"},
        "22023",
        "unknown field 'tag'",
        "kind, name, content, summary, tags, namespace, shared",
    ),
    ({**GOOD, "name": 7}, "22023", "field 'name' must be of type string, not number", "counted from 0"),
    ({**GOOD, "tags": "x"}, "22023", "field 'tags' must be of type array, not string", "counted from 0"),
    ({**GOOD, "tags": [["x"]]}, "22023", "a tag must be of type string, not array", "counted from 0"),
    ({**GOOD, "tags": [7]}, "22023", "a tag must be of type string, not number", "counted from 0"),
    ({**GOOD, "tags": [{"x": 1}]}, "22023", "a tag must be of type string, not object", "counted from 0"),
    ({**GOOD, "tags": [None]}, "22023", "tag NULL is not valid", "counted from 0"),
    (
        {**GOOD, "shared": "yes"},
        "22023",
        "field 'shared' must be of type boolean, not string",
        "counted from 0",
    ),
    (
        {**GOOD, "summary": {}},
        "22023",
        "field 'summary' must be of type string, not object",
        "counted from 0",
    ),
    ({**GOOD, "kind": "No"}, "22023", "kind 'No' is not valid", "1 to 64 characters"),
    ({**GOOD, "name": ""}, "22023", "name '' has 0 bytes", "1 to 512 bytes"),
    ({**GOOD, "content": None}, "22004", "content must not be null", "any other JSON"),
    ({"kind": "pattern", "name": "x"}, "22004", "content must not be null", "any other JSON"),
    ({"kind": "pattern", "content": 1}, "22004", "name must not be null", "1 to 512 bytes"),
    ({"name": "x", "content": 1}, "22004", "kind must not be null", "1 to 64 characters"),
    ({}, "22004", "kind must not be null", "1 to 64 characters"),
    (
        {**GOOD, "content": "x" * 262143},
        "54000",
        "content has 262145 bytes, the limit is 262144",
        "reference",
    ),
]


@pytest.mark.parametrize(("wrong", "sqlstate", "message", "hint"), ELEMENTS)
def test_a_wrong_element_is_named_and_nothing_is_learned(
    steady: Session, wrong: Any, sqlstate: str, message: str, hint: str
) -> None:
    elements = [{**GOOD, "name": f"good-{n}"} for n in range(3)]
    with refused(steady, sqlstate, f"element 2: {message}", hint):
        steady.learn_many([*elements[:2], wrong, *elements[2:], wrong])


@given(data=st.lists(st.tuples(st.sampled_from("abcde"), st.integers(0, 2)), max_size=12))
@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_it_is_learn_of_each_in_one(db: Session, data: list[tuple[str, int]]) -> None:
    """The last content of each name is in force, whatever was known before."""
    before = {name: db.lookup(name) for name in "abcde"}
    last = dict(data)
    learned = db.learn_many([{**GOOD, "name": name, "content": content} for name, content in data])
    changed = [name for name, content in last.items() if (before[name] or {}).get("content") != content]
    assert learned == len(changed)
    for name, content in last.items():
        assert db.known(name)["content"] == content


def test_the_last_of_many_elements_is_named_too(db: Session) -> None:
    elements = [{"kind": "fact", "name": f"fact {n}", "content": n} for n in range(10_000)]
    with refused(db, "22004", "element 10000: content must not be null", "nothing was learned"):
        db.learn_many([*elements, {"kind": "fact", "name": "wrong"}])
    assert db.learn_many(elements) == 10_000
    assert db.known("fact 9999", kind="fact")["content"] == 9_999
