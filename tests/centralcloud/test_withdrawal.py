"""Withdrawn is a state over all that was said before: content goes, and nothing late brings it back."""

import itertools
from typing import Any

import psycopg
import pytest
from tests.kit.identity import variant_of
from tests.kit.queries import row, rows, value
from tests.kit.relay import Relay
from tests.kit.speaker import Speaker, speakers, verdicts

CONTENTS = "select content from centralcloud.variant where content is not null order by 1"


def contents(relay: Relay) -> list[Any]:
    """Return the contents that the authority has."""
    return [found["content"] for found in rows(relay.connection, CONTENTS)]


def winner(relay: Relay) -> dict[str, Any]:
    """Return the artifact."""
    return row(relay.connection, "select variant, holders, uses, level::text from centralcloud.artifact")


def everywhere(relay: Relay, text: str) -> list[str]:
    """Return the tables of the authority in which a text stands once the background work is done."""
    relay.tick()
    tables = rows(
        relay.connection,
        "select c.oid::regclass::text as name from pg_class as c"
        " where c.relkind = 'r' and c.relnamespace = 'centralcloud'::regnamespace"
        " and has_table_privilege(c.oid, 'select')",
    )
    found = "select exists (select from {} as t where t::text like %s) as found"
    return [
        table["name"] for table in tables if value(relay.connection, found.format(table["name"]), f"%{text}%")
    ]


def test_a_withdrawal_covers_every_variant_and_outcome_from_before(relay: Relay) -> None:
    ann = Speaker(1)
    relay.give([ann.says(ann.holds("aardvark"), ann.used(7, content="aardvark"), ann.holds("badger"))])
    assert contents(relay) == ["aardvark", "badger"]
    assert "centralcloud.variant" in everywhere(relay, "aardvark")
    receipts = relay.give([ann.says(ann.withdraws())])
    assert verdicts(receipts) == [(4, "stored", None)]
    assert contents(relay) == []
    assert winner(relay) == {"variant": None, "holders": 0, "uses": 0, "level": "candidate"}
    assert everywhere(relay, "aardvark") == []
    assert everywhere(relay, "badger") == []
    assert value(relay.connection, "select artifacts from centralcloud.status()") == 0


def test_its_words_are_not_found_any_more(relay: Relay, authority_db: psycopg.Connection) -> None:
    ann = Speaker(1)
    search = "select count(*) from centralcloud.search('aardvark')"
    relay.give([ann.says(ann.holds("an aardvark", summary="on aardvarks"))])
    assert value(authority_db, search) == 1
    relay.give([ann.says(ann.withdraws())])
    assert value(authority_db, search) == 0


def test_late_messages_bring_nothing_back_in_whatever_order(relay: Relay) -> None:
    ann = Speaker(1)
    messages = [ann.says(record) for record in (ann.holds("a"), ann.used(3), ann.holds("b"), ann.withdraws())]
    for order in itertools.permutations(messages):
        with relay.connection.transaction(force_rollback=True):
            for message in order:
                relay.give([message])
            assert contents(relay) == []
            assert winner(relay)["uses"] == 0
            assert rows(relay.connection, "select from centralcloud.document") == []


def test_what_another_instance_contributes_stays(relay: Relay) -> None:
    ann, bob = speakers(2)
    relay.give([ann.says(ann.holds("a"), ann.used(2), summary="s"), bob.says(bob.holds("a"))])
    assert winner(relay) == {"variant": variant_of("a"), "holders": 2, "uses": 2, "level": "low"}
    relay.give([ann.says(ann.withdraws())])
    assert contents(relay) == ["a"]
    assert winner(relay) == {"variant": variant_of("a"), "holders": 1, "uses": 0, "level": "candidate"}


def test_outcomes_of_others_outlive_the_content(relay: Relay) -> None:
    """Who only used a copy does not keep its content at the authority."""
    ann, bob = speakers(2)
    relay.give([ann.says(ann.holds("aardvark")), bob.says(bob.used(4, content="aardvark"))])
    relay.give([ann.says(ann.withdraws())])
    assert everywhere(relay, "aardvark") == []
    known = row(relay.connection, "select content, uses, summary from centralcloud.variant")
    assert known == {"content": None, "uses": 4, "summary": None}
    assert winner(relay)["variant"] is None
    relay.give([ann.says(ann.holds("aardvark"))])
    assert winner(relay) == {"variant": variant_of("aardvark"), "holders": 1, "uses": 4, "level": "low"}


def test_what_is_shared_again_counts_from_then_on(relay: Relay) -> None:
    ann = Speaker(1)
    old = [ann.says(record) for record in (ann.holds("a"), ann.used(5))]
    messages = [*old, *(ann.says(record) for record in (ann.withdraws(), ann.holds("a"), ann.used(2)))]
    for order in (
        messages,
        messages[::-1],
        [*messages[2:], *old],
        [messages[3], *old, messages[2], messages[4]],
    ):
        with relay.connection.transaction(force_rollback=True):
            for message in order:
                relay.give([message])
            assert contents(relay) == ["a"]
            assert winner(relay) == {"variant": variant_of("a"), "holders": 1, "uses": 2, "level": "low"}


def test_summary_and_tags_go_with_who_gave_them(relay: Relay) -> None:
    ann, bob = speakers(2)
    relay.give([
        ann.says(ann.holds(summary="the longer summary", tags=["both", "secret"])),
        bob.says(bob.holds(summary="short", tags=["both"])),
    ])  # fmt: skip
    known = "select summary, tags from centralcloud.artifact"
    assert row(relay.connection, known) == {"summary": "the longer summary", "tags": ["both", "secret"]}
    relay.give([ann.says(ann.withdraws())])
    assert row(relay.connection, known) == {"summary": "short", "tags": ["both"]}


@pytest.mark.parametrize("after", ["published", "unpublished"])
def test_a_removal_is_told_to_who_may_have_it(relay: Relay, after: str) -> None:
    ann = Speaker(1)
    relay.give([ann.says(ann.holds())])
    if after == "published":
        relay.take("refined")
    relay.give([ann.says(ann.withdraws())])
    told = [message.body for message in relay.take("refined")]
    if after == "unpublished":
        # an answer may have told of it meanwhile
        assert [(body["from"], body["to"]) for body in told] == [(0, 1)]
        assert told[0]["rows"][0]["removed"]
        return
    assert [(body["from"], body["to"]) for body in told] == [(1, 2)]
    assert told[0]["rows"] == [
        {"namespace": "default", "kind": "k", "name": "x", "revision": 2, "removed": True}
    ]


def test_dead_letters_keep_no_content_of_what_could_be_applied(relay: Relay) -> None:
    ann = Speaker(1)
    spoiled = ann.raw("contribute", b"spoiled")
    relay.give([ann.says(ann.holds("aardvark")), spoiled])
    relay.give([ann.says(ann.withdraws())])
    assert everywhere(relay, "aardvark") == []
    assert value(relay.connection, "select dead_letters from centralcloud.status()") == 1
