"""Learning, looking up, recalling, forgetting, history."""

import hashlib
import json
import unicodedata
import uuid
from typing import Any

import psycopg
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support import row, rows, value

LEARN = "select singularity.learn(%s, %s, %s)"
LOOKUP = "select * from singularity.lookup(%s, %s)"
CONTENT = st.recursive(
    st.booleans()
    | st.integers(-(10**15), 10**15)
    | st.text(st.characters(exclude_characters="\0", codec="utf-8")),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("abcd"), inner, max_size=4),
    max_leaves=8,
)


def artifact_id(namespace: str, kind: str, name: str) -> uuid.UUID:
    """Compute what singularity.artifact_id() is defined as."""
    digest = hashlib.sha256()
    for part in (namespace, kind, unicodedata.normalize("NFC", name)):
        digest.update(len(part.encode()).to_bytes(4, "big") + part.encode())
    octets = bytearray(digest.digest()[:16])
    octets[6] = octets[6] & 0x0F | 0x80
    octets[8] = octets[8] & 0x3F | 0x80
    return uuid.UUID(bytes=bytes(octets))


def learn(connection: psycopg.Connection, name: str, content: Any, **more: Any) -> Any:
    extra = "".join(f", {key} => %({key})s" for key in more)
    query = f"select singularity.learn('pattern', %(name)s, %(content)s{extra})"
    found = connection.execute(
        query.encode(), {"name": name, "content": json.dumps(content), **more}
    ).fetchone()
    assert found is not None
    return found[0]


def test_what_was_learned_is_looked_up_and_recalled_at_once(instance_db: psycopg.Connection) -> None:
    learned = learn(
        instance_db,
        "retry-with-jitter",
        {"do": "exponential backoff"},
        summary="Retry failing calls",
        tags=["b", "a"],
    )
    found = row(instance_db, LOOKUP, "pattern", "retry-with-jitter")
    assert found == {
        "artifact_id": learned, "namespace": "default", "kind": "pattern", "name": "retry-with-jitter",
        "content": {"do": "exponential backoff"}, "summary": "Retry failing calls", "tags": ["a", "b"],
        "variant": hashlib.sha256(b'{"do": "exponential backoff"}').hexdigest(), "origin": "local",
        "level": "candidate", "confidence": 0.0, "uses": 0, "success_rate": None, "revision": None,
        "fetched_at": None, "stale": False,
    }  # fmt: skip
    for query in ("retry", "how are failing calls retried", "backoff", "retry-with-jiter", "jitter"):
        (hit,) = rows(instance_db, "select * from singularity.recall(%s)", query)
        assert hit["artifact_id"] == learned
        assert 0 < hit["score"] <= 1
    assert rows(instance_db, "select * from singularity.recall('unrelated zebra')") == []


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=60),
    content=CONTENT,
)
def test_names_and_contents_come_back_as_they_were(
    instance_db: psycopg.Connection, name: str, content: Any
) -> None:
    learned = learn(instance_db, name, content)
    assert learned == artifact_id("default", "pattern", name)
    found = row(instance_db, LOOKUP, "pattern", name)
    assert (found["content"], found["name"]) == (content, unicodedata.normalize("NFC", name))
    text = value(instance_db, "select %s::jsonb::text", json.dumps(content))
    assert found["variant"] == hashlib.sha256(text.encode()).hexdigest()


def test_changed_content_is_a_new_version_and_the_old_one_is_history(instance_db: psycopg.Connection) -> None:
    learn(instance_db, "x", 1, summary="first", tags=["t"])
    learn(instance_db, "x", 2)
    found = row(instance_db, LOOKUP, "pattern", "x")
    assert (found["content"], found["summary"], found["tags"]) == (2, "first", ["t"])
    history = rows(instance_db, "select content, forgotten from singularity.history('pattern', 'x')")
    assert history == [{"content": 2, "forgotten": False}, {"content": 1, "forgotten": False}]


def test_unchanged_content_changes_nothing(instance_db: psycopg.Connection) -> None:
    instance_db.execute("select singularity.connect()")
    first = learn(instance_db, "x", {"a": 1, "b": 2}, summary="s", tags=["t"])
    before = row(instance_db, "select * from singularity.outbox")
    assert learn(instance_db, "x", {"b": 2, "a": 1}) == first
    assert learn(instance_db, "x", {"b": 2, "a": 1}, summary="s", tags=["t", "t"], shared=True) == first
    assert row(instance_db, "select * from singularity.outbox") == before
    assert len(rows(instance_db, "select from singularity.history('pattern', 'x')")) == 1


def test_the_searchable_text_is_that_of_the_present_version(instance_db: psycopg.Connection) -> None:
    learn(instance_db, "x", "about zebras")
    learn(instance_db, "x", "about giraffes")
    assert rows(instance_db, "select from singularity.recall('zebras')") == []
    assert len(rows(instance_db, "select from singularity.recall('giraffes')")) == 1
    assert value(instance_db, "select count(*) from singularity.document") == 1


def test_recall_filters(instance_db: psycopg.Connection) -> None:
    instance_db.execute("select singularity.learn('a', 'one', '\"zebra\"', tags => '{x,y}')")
    instance_db.execute(
        "select singularity.learn('b', 'two', '\"zebra\"', tags => '{x}', namespace => 'team')"
    )

    def names(**filters: Any) -> list[str]:
        extra = "".join(f", {key} => %({key})s" for key in filters)
        query = f"select name from singularity.recall('zebra'{extra}) order by name"
        return [name for (name,) in instance_db.execute(query.encode(), filters)]

    assert names() == ["one", "two"]
    assert names(kind="a") == ["one"]
    assert names(namespace="team") == ["two"]
    assert names(tags=["x"]) == ["one", "two"]
    assert names(tags=["x", "y"]) == ["one"]
    assert len(names(max_results=1)) == 1
    assert names(min_similarity=1.0) == []


def test_a_hundred_thousand_elements(instance_db: psycopg.Connection) -> None:
    query = """
        select singularity.learn_many(jsonb_agg(
            jsonb_build_object('kind', 'k', 'name', 'n' || n, 'content', n)
        )) from generate_series(1, 100000) as n
    """
    assert value(instance_db, query) == 100_000
    assert row(instance_db, LOOKUP, "k", "n77777")["content"] == 77777
    assert value(instance_db, query) == 0


def test_of_several_elements_for_one_artifact_the_last_counts(instance_db: psycopg.Connection) -> None:
    elements = [{"kind": "pattern", "name": "x", "content": number} for number in (1, 2, 3)]
    assert value(instance_db, "select singularity.learn_many(%s)", json.dumps(elements)) == 1
    assert row(instance_db, LOOKUP, "pattern", "x")["content"] == 3
    assert value(instance_db, "select singularity.learn_many('[]')") == 0


def test_forgotten_is_not_found_until_learned_again(instance_db: psycopg.Connection) -> None:
    learn(instance_db, "x", "zebra")
    forget = "select singularity.forget('pattern', 'x')"
    assert value(instance_db, forget) is True
    assert rows(instance_db, LOOKUP, "pattern", "x") == []
    assert rows(instance_db, "select from singularity.recall('zebra')") == []
    assert value(instance_db, forget) is False
    history = rows(instance_db, "select content, forgotten from singularity.history('pattern', 'x')")
    assert history == [{"content": None, "forgotten": True}, {"content": "zebra", "forgotten": False}]
    learn(instance_db, "x", "zebra")
    assert row(instance_db, LOOKUP, "pattern", "x")["content"] == "zebra"


def test_forgotten_everywhere_leaves_no_content(instance_db: psycopg.Connection) -> None:
    learn(instance_db, "x", "zebra")
    assert value(instance_db, "select singularity.forget('pattern', 'x', everywhere => true)") is True
    contents = rows(instance_db, "select content from singularity.history('pattern', 'x')")
    assert contents == [{"content": None}, {"content": None}]


def test_a_rolled_back_learning_leaves_nothing(instance_db: psycopg.Connection) -> None:
    instance_db.execute("select singularity.connect()")
    with instance_db.transaction(force_rollback=True):
        learn(instance_db, "x", 1)
    assert rows(instance_db, LOOKUP, "pattern", "x") == []
    assert value(instance_db, "select outbox_entries from singularity.status()") == 0
