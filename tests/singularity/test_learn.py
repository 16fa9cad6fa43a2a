"""learn(): an artifact is kept, a change makes a version, and what cannot be kept is refused whole."""

from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.types.json import Jsonb
from tests.kit.identity import artifact_id, variant_of, variant_of_text
from tests.kit.session import Session, refused

from singularity_lab import Cluster

LIMIT = 262144
NULL_CONTENT = Jsonb(None)
ONE_DATABASE = settings(
    deadline=None, max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

TOKENS = st.text(st.sampled_from("abcdefghijklmnopqrstuvwxyz0123456789_-"), min_size=1, max_size=64)
# Letters, marks, digits, punctuation and symbols of every script: all that a name may begin and end with.
PRINTED = st.characters(categories=["L", "M", "N", "P", "S"])
NAMES = st.text(st.one_of(PRINTED, st.just(" ")), min_size=1, max_size=120).filter(
    lambda name: name == name.strip(" ")
)
NUMBERS = st.one_of(st.integers(-(10**30), 10**30), st.floats(allow_nan=False, allow_infinity=False))
STRINGS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
CONTENTS = st.recursive(
    st.one_of(st.booleans(), NUMBERS, STRINGS),
    lambda inner: st.one_of(st.lists(st.none() | inner), st.dictionaries(STRINGS, st.none() | inner)),
    max_leaves=20,
)


def test_a_new_artifact_is_known_by_the_next_statement(db: Session) -> None:
    learned = db.learn("retry", {"do": "back off"}, summary="Retry politely", tags=["net", "calm", "net"])
    assert db.lookup("retry") == {
        "artifact_id": learned,
        "namespace": "default",
        "kind": "pattern",
        "name": "retry",
        "content": {"do": "back off"},
        "summary": "Retry politely",
        "tags": ["calm", "net"],
        "variant": variant_of({"do": "back off"}),
        "origin": "local",
        "level": "candidate",
        "confidence": 0,
        "uses": 0,
        "success_rate": None,
        "revision": None,
        "fetched_at": None,
        "stale": False,
    }
    assert db.names("politely") == ["retry"]


def test_what_is_left_out_has_its_default(db: Session) -> None:
    db.learn("plain")
    (version,) = db.history("plain")
    assert (version["summary"], version["tags"], version["shared"]) == (None, [], True)


@pytest.mark.parametrize(
    "content", [{}, [], "", "text", 0, -1.5, False, True, [None], {"a": [1, {"b": None}]}]
)
def test_content_is_any_json_but_null(db: Session, content: Any) -> None:
    db.learn("any", Jsonb(content))
    assert db.known("any")["content"] == content


@given(namespace=TOKENS, kind=TOKENS, name=NAMES)
@ONE_DATABASE
def test_the_id_follows_from_the_key_alone(db: Session, namespace: str, kind: str, name: str) -> None:
    learned = db.learn(name, namespace=namespace, kind=kind)
    stored = db.known(name, namespace=namespace, kind=kind)
    assert learned == stored["artifact_id"] == artifact_id(namespace, kind, stored["name"])
    asked = db.value("select singularity.artifact_id(%s, %s, %s)", [namespace, kind, stored["name"]])
    assert asked == learned
    assert learned.version == 8


def test_the_parts_of_the_key_are_not_run_together(db: Session) -> None:
    ids = {
        db.learn("c", kind="ab", namespace="a"),
        db.learn("c", kind="a", namespace="ab"),
        db.learn("bc", kind="a", namespace="a"),
        db.learn("abc", kind="a", namespace="a"),
    }
    assert len(ids) == 4


@given(name=NAMES, content=CONTENTS)
@ONE_DATABASE
def test_names_and_contents_come_back_as_they_were(db: Session, name: str, content: Any) -> None:
    db.learn(name, Jsonb(content))
    stored = db.known(name)
    assert db.value("select %s is nfc normalized", [stored["name"]])
    assert db.value("select %s = normalize(%s)", [stored["name"], name])
    text = db.value("select %s::jsonb::text", [Jsonb(content)])
    assert stored["variant"] == variant_of_text(text)
    assert stored["variant"] == db.value("select singularity.variant_of(%s)", [Jsonb(content)])
    assert db.value("select content = %s from singularity.lookup('pattern', %s)", [Jsonb(content), name])


def test_one_name_in_two_unicode_forms_is_one_artifact(db: Session) -> None:
    assert db.learn("cafe\u0301") == db.learn("caf\u00e9")
    assert len(db.history("caf\u00e9")) == 1
    assert db.known("cafe\u0301")["name"] == "caf\u00e9"


def test_unchanged_content_changes_nothing(db: Session) -> None:
    db.learn("same", {"a": 1, "b": [2, 3]}, summary="s", tags=["x", "y"])
    before = db.contents()
    db.learn("same", Jsonb({"b": [2, 3], "a": 1}))
    db.learn("same", {"a": 1, "b": [2, 3]}, summary="s", tags=["y", "x"], shared=True)
    assert db.contents() == before


@pytest.mark.parametrize(
    "change", [{"content": {"v": 2}}, {"summary": "new"}, {"tags": ["new"]}, {"tags": []}, {"shared": False}]
)
def test_any_change_makes_a_version(db: Session, change: dict[str, Any]) -> None:
    first: dict[str, Any] = {"content": {"v": 1}, "summary": "old", "tags": ["old"]}
    db.learn("changing", **first)
    db.learn("changing", **{"content": {"v": 1}, **change})
    new, old = db.history("changing")
    expected = {**first, "shared": True}
    assert {field: old[field] for field in expected} == expected
    assert {field: new[field] for field in expected} == {**expected, **change}
    assert new["version"] > old["version"]


def test_what_is_left_out_stays_as_it_was(db: Session) -> None:
    db.learn("kept", 1, summary="sum", tags=["tag"], shared=False)
    db.learn("kept", 2)
    assert [(v["content"], v["summary"], v["tags"], v["shared"]) for v in db.history("kept")] == [
        (2, "sum", ["tag"], False),
        (1, "sum", ["tag"], False),
    ]


def test_a_changed_text_is_found_and_the_old_one_is_not(db: Session) -> None:
    db.learn("text", {"say": "crocodile"})
    db.learn("text", {"say": "elephant"})
    assert db.names("elephant") == ["text"]
    assert db.names("crocodile") == []


def test_going_back_to_an_old_content_is_a_version_of_the_old_variant(db: Session) -> None:
    for content in ("one", "two", "one"):
        db.learn("back", content)
    variants = [version["variant"] for version in db.history("back")]
    assert variants == [variant_of("one"), variant_of("two"), variant_of("one")]


def test_a_rolled_back_learning_leaves_nothing(db: Session) -> None:
    before = db.contents()
    db.begin()
    db.learn("never")
    assert db.lookup("never") is not None
    db.rollback()
    assert db.contents() == before


def test_keys_may_be_as_long_as_they_say(db: Session) -> None:
    name, token = "\u00fc" * 256, "k" * 64
    db.learn(name, kind=token, namespace=token, summary="s" * 4096, tags=[f"{n:0128}" for n in range(64)])
    assert db.known(name, kind=token, namespace=token)["name"] == name


def test_content_may_be_as_large_as_it_says(db: Session) -> None:
    assert db.value("select octet_length(%s::jsonb::text)", [Jsonb("\u00fc" * (LIMIT // 2 - 1))]) == LIMIT
    db.learn("large", "\u00fc" * (LIMIT // 2 - 1))
    assert len(db.known("large")["content"]) == LIMIT // 2 - 1


TOKEN_HINT = "1 to 64 characters out of a to z, 0 to 9, _ and -"
ERRORS: list[tuple[dict[str, Any], str, str, str]] = [
    ({"kind": None}, "22004", "kind must not be null", "1 to 64 characters"),
    ({"namespace": None}, "22004", "namespace must not be null", "1 to 64 characters"),
    ({"name": None}, "22004", "name must not be null", "1 to 512 bytes"),
    ({"content": None}, "22004", "content must not be null", "any other JSON"),
    ({"content": NULL_CONTENT}, "22004", "content must not be null", "any other JSON"),
    ({"kind": ""}, "22023", "kind '' is not valid", TOKEN_HINT),
    ({"kind": "Pattern"}, "22023", "kind 'Pattern' is not valid", TOKEN_HINT),
    ({"kind": "a.b"}, "22023", "kind 'a.b' is not valid", TOKEN_HINT),
    ({"kind": "a*"}, "22023", "kind 'a*' is not valid", TOKEN_HINT),
    ({"kind": "a>"}, "22023", "kind 'a>' is not valid", TOKEN_HINT),
    ({"kind": "two words"}, "22023", "kind 'two words' is not valid", TOKEN_HINT),
    ({"kind": "one\n"}, "22023", "kind 'one<U+000A>' is not valid", TOKEN_HINT),
    ({"kind": "k" * 65}, "22023", f"kind '{'k' * 65}' is not valid", TOKEN_HINT),
    ({"namespace": "\u00fcber"}, "22023", "namespace '\u00fcber' is not valid", TOKEN_HINT),
    ({"name": ""}, "22023", "name '' has 0 bytes", "1 to 512 bytes"),
    ({"name": "\u00fc" * 257}, "22023", "has 514 bytes", "1 to 512 bytes"),
    ({"name": " outer"}, "22023", "name ' outer' has control characters or outer blanks", "no outer blanks"),
    ({"name": "outer\t"}, "22023", "name", "no outer blanks"),
    ({"name": "in\nside"}, "22023", "control characters", "control characters"),
    ({"name": "del\x7f-"}, "22023", "control characters", "control characters"),
    ({"name": "c1\x85-"}, "22023", "control characters", "control characters"),
    (
        {"content": "x" * (LIMIT - 1)},
        "54000",
        f"content has {LIMIT + 1} bytes, the limit is {LIMIT}",
        "reference",
    ),
    ({"summary": "s" * 4097}, "54000", "summary has 4097 bytes, the limit is 4096", "content"),
    ({"tags": ["ok", None]}, "22023", "tag NULL is not valid", "1 to 128 bytes"),
    ({"tags": [""]}, "22023", "tag '' is not valid", "1 to 128 bytes"),
    ({"tags": ["t" * 129]}, "22023", f"tag '{'t' * 100}", "1 to 128 bytes"),
    ({"tags": [str(n) for n in range(65)]}, "54000", "there are 65 tags, the limit is 64", "tags"),
]


@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_what_a_name_may_be_does_not_depend_on_the_locale(cluster: Cluster, locale: str) -> None:
    """Python's blanks are those of Unicode, and four control characters that no name may have anywhere."""
    blanks = [chr(code) for code in range(0x110000) if chr(code).isspace()]
    name = f"locale_{locale.lower().replace('.', '_').replace('-', '_')}"
    with cluster.connect() as connection:
        connection.execute(
            f"create database {name} template template0 encoding 'UTF8' locale '{locale}'".encode()
        )
    try:
        with cluster.connect(name) as connection:
            connection.execute("create extension singularity cascade")
            db = Session(connection)
            for blank in blanks:
                for wrong in (f"{blank}x", f"x{blank}"):
                    with pytest.raises(psycopg.errors.InvalidParameterValue, match="outer blanks"):
                        db.learn(wrong)
            for right in ("a b", "a\u3000b"):
                db.learn(right)
            db.learn("\u00e4pfel", "s\u00fc\u00dfe \u00c4pfel")
            assert db.names("\u00e4pfel") == ["\u00e4pfel"]
    finally:
        cluster.drop_database(name)


@pytest.mark.parametrize(("wrong", "sqlstate", "message", "hint"), ERRORS)
def test_what_cannot_be_kept_is_refused(
    steady: Session, wrong: dict[str, Any], sqlstate: str, message: str, hint: str
) -> None:
    with refused(steady, sqlstate, message, hint):
        steady.learn(**{"name": "wrong", **wrong})


def test_an_error_in_a_transaction_undoes_what_came_before_it(db: Session) -> None:
    db.begin()
    db.learn("before")
    with refused(db, "22004", "content must not be null", "any other JSON"):
        db.learn("wrong", None)
    assert db.lookup("before") is None
