"""A policy for each namespace says what may leave, and connect() says how much would before anything does."""

from typing import Any

import psycopg
import pytest
from tests.kit.pair import Authority, Instance, settle
from tests.kit.queries import refused
from tests.kit.session import Session
from tests.security.tap import Tap, leaked, text_of

from singularity_lab import Database

WORD = "zqxhorseradish"


def share(user: Session, namespace: str, policy: str) -> None:
    user.call("share", namespace=namespace, policy=policy)


def use_everything(user: Session, namespace: str, word: str = WORD) -> None:
    """Learn, use, ask and forget in a namespace, with a word in every field."""
    for name in (f"{word}a", f"{word}b", f"{word}c"):
        user.learn(name, {word: word}, namespace=namespace, summary=word, tags=[word])
        user.outcome(name, namespace=namespace)
    user.forget(f"{word}b", namespace=namespace)
    user.forget(f"{word}c", namespace=namespace, everywhere=True)
    user.lookup(f"{word}x", namespace=namespace)
    user.recall(f"{word} y", namespace=namespace)
    user.ask(f"{word} z", namespace=namespace)
    user.call("follow", kind="pattern", namespace=namespace)


def test_nothing_of_a_private_namespace_leaves(there: Authority, here: Instance) -> None:
    share(here, "intern", "private")
    tap = Tap(here)
    here.learn("public", "x")
    use_everything(here, "intern")
    settle(there, here)
    here.relay.take("question")
    here.owner.execute("select singularity.want_comparison()")
    settle(there, here)
    assert there.content("public") == "x"
    ids = here.column("select distinct artifact_id from singularity.holding where namespace = 'intern'")
    variants = here.column(
        "select distinct variant from singularity.holding where namespace = 'intern' and variant is not null"
    )
    assert leaked(tap.text(), [WORD, "intern", *ids, *variants]) == []
    assert here.outbox() == []
    assert here.status()["open_questions"] == 0


def test_what_becomes_private_is_withdrawn_and_comes_back(there: Authority, here: Instance) -> None:
    here.learn("gone", {WORD: 1}, namespace="team", summary=WORD, tags=[WORD])
    here.outcome("gone", namespace="team")
    here.learn("unshared", 1, namespace="team", shared=False)
    settle(there, here)
    assert there.content("gone") == {WORD: 1}
    share(here, "team", "private")
    settle(there, here)
    here.relay.tick()
    assert there.content("gone") is None
    assert there.counters("gone") == (0, 0)
    assert here.known("gone", namespace="team")["content"] == {WORD: 1}
    here.outcome("gone", namespace="team")
    settle(there, here)
    assert there.counters("gone") == (0, 0)
    share(here, "team", "shared")
    settle(there, here)
    assert there.content("gone") == {WORD: 1}
    assert there.content("unshared") is None


@pytest.mark.parametrize("was", ["shared", "private"])
def test_review_holds_each_version_back(there: Authority, here: Instance, was: str) -> None:
    share(here, "team", was)
    here.learn("old", 1, namespace="team")
    settle(there, here)
    share(here, "team", "review")
    here.learn("new", 1, namespace="team")
    here.outcome("new", namespace="team")
    settle(there, here)
    assert there.content("new") is None
    # what was sent stays; what became visible is judged first
    assert there.content("old") == (1 if was == "shared" else None)
    held = {row["name"]: row["rule"] for row in here.rows("select name, rule from singularity.held_back")}
    assert held == {"new": "review"} | ({"old": "review"} if was == "private" else {})
    here.call("release", kind="pattern", name="new", namespace="team")
    settle(there, here)
    assert there.content("new") == 1
    assert there.counters("new") == (1, 1)
    here.learn("new", 2, namespace="team")
    settle(there, here)
    assert there.content("new") == 1
    assert here.column("select name from singularity.held_back where rule = 'review' and name = 'new'") == [
        "new"
    ]
    # no question of it is sent
    assert here.ask("anything", namespace="team") is None


def test_the_default_holds_for_what_nothing_was_said_of(there: Authority, here: Instance) -> None:
    tap = Tap(here)
    here.call("configure", settings={"default_sharing": "private"})
    share(here, "open", "shared")
    use_everything(here, "default")
    here.recall(f"{WORD} anything")
    assert here.ask(f"{WORD} anything") is None
    here.learn("public", 1, namespace="open")
    settle(there, here)
    here.relay.take("question")
    assert there.content("public") == 1
    assert leaked(tap.text(), [WORD]) == []
    here.call("configure", settings={"default_sharing": "shared"})
    settle(there, here)
    assert there.content(f"{WORD}a") == {WORD: WORD}


def test_a_policy_is_judged_again_where_a_message_is_built(there: Authority, here: Instance) -> None:
    """Another session learns under the old policy, and commits after the new one."""
    tap = Tap(here)
    other = Session(here.database.connect())
    other.begin()
    other.learn("late", {WORD: 1}, namespace="team", summary=WORD)
    question = here.ask(f"{WORD} question", namespace="team")
    share(here, "team", "private")
    other.commit()
    settle(there, here)
    here.relay.take("question")
    assert leaked(tap.text(), [WORD]) == []
    assert leaked(text_of(there.db, "centralcloud"), [WORD]) == []
    assert (
        here.rows(
            "select from singularity.question where question_id = %s and answered_at is null", [question]
        )
        == []
    )
    other.connection.close()


def test_a_question_names_nothing_that_is_kept_here(here: Instance, there: Authority) -> None:
    here.call("configure", settings={"answer_ttl": "0"})
    settle(there, here)
    tap = Tap(here)
    here.learn(f"{WORD}a", 1, shared=False)
    here.lookup(f"{WORD}a")
    here.call("connect", mode="central")
    here.lookup(f"{WORD}a")
    here.relay.take("question")
    assert leaked(tap.text(), [WORD]) == []


def test_connecting_tells_what_would_leave(instance: Database, there: Authority) -> None:
    with instance.connect() as connection:
        user = Session(connection)
        user.learn("a", "x" * 1000, namespace="one")
        user.learn("b", "x", namespace="one", shared=False)
        for number in range(3):
            user.learn(f"c{number}", "x", namespace="two")
        user.learn("d", "x", namespace="three")
        share(user, "three", "private")
        share(user, "two", "review")

        def preview() -> dict[str, tuple[Any, ...]]:
            found = user.call("sharing_preview")
            assert all(row["bytes"] >= row["artifacts"] for row in found)
            return {row["namespace"]: (row["policy"], row["artifacts"], row["held_back"]) for row in found}

        expected = {"one": ("shared", 1, 0), "two": ("review", 0, 3), "three": ("private", 0, 0)}
        assert preview() == expected
        user.begin()
        user.call("connect")
        (told,) = user.notices
        assert told.startswith(
            "1 artifacts (1003 bytes) of 1 namespaces leave this machine: one 1; what is learned"
        )
        user.rollback()
        assert user.status()["mode"] == "local"
        assert user.outbox() == []
    one = Instance(instance)
    one.call("connect")
    settle(there, one)
    assert there.content("a") == "x" * 1000
    assert there.db.execute("select count(*) from centralcloud.artifact").fetchone() == (1,)
    assert {row["namespace"]: row["artifacts"] for row in one.call("sharing_preview")} == {
        "one": 1,
        "two": 0,
        "three": 0,
    }
    one.close()


@pytest.mark.parametrize(
    ("namespace", "policy", "message"),
    [
        ("team", "public", "public"),
        ("team", None, "NULL"),
        ("No Way", "private", "No Way"),
    ],
)
def test_what_is_no_policy_is_refused(here: Instance, namespace: Any, policy: Any, message: str) -> None:
    with refused("22023", message, hint=None):
        share(here, namespace, policy)


@pytest.mark.parametrize("call", ["share('team', 'shared')", "release('pattern', 'x')"])
def test_only_an_administrator_says_what_leaves(instance: Database, call: str) -> None:
    with instance.connect(instance.viewer) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(f"select singularity.{call}".encode())
