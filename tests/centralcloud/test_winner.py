"""Among the variants of an artifact one wins, always the same, and the others stay."""

import itertools
from typing import Any

import psycopg
import pytest
from tests.kit.identity import variant_of
from tests.kit.message import Message
from tests.kit.queries import row, value
from tests.kit.relay import Relay
from tests.kit.speaker import Speaker, speakers

WINNER = "select content from centralcloud.artifact join centralcloud.variant using (artifact_id, variant)"
FIRST, SECOND = sorted("ab", key=variant_of)


@pytest.fixture(autouse=True)
def unaged(relay: Relay, authority_db: psycopg.Connection) -> None:
    """Have scores computed for a day before all outcomes, so that age takes nothing from them."""
    authority_db.execute('select centralcloud.configure(\'{"scored_as_of": "2025-01-01"}\')')


def winner(relay: Relay) -> Any:
    """Return the content of the winner."""
    return value(relay.connection, WINNER)


def proved(content: str, outcomes: list[tuple[int, int]], first: int = 1, **more: Any) -> list[Message]:
    """Return what instances say who hold a content and had these successes and failures with it."""
    said = []
    for number, (successes, failures) in enumerate(outcomes, start=first):
        one = Speaker(number)
        said.append(one.says(one.holds(content), one.used(successes, failures, content, **more)))
    return said


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(
    ("why", "better", "worse"),
    [
        ("level", proved(SECOND, [(4, 1), (4, 1), (20, 0)]), proved(FIRST, [(20, 0)], first=9)),
        ("any outcome", proved(SECOND, [(0, 1)]), proved(FIRST, [(0, 0)], first=9)),
        ("confidence", proved(SECOND, [(9, 0)]), proved(FIRST, [(19, 3)], first=9)),
        ("evidence", proved(SECOND, [(0, 3)]), proved(FIRST, [(0, 2)], first=9)),
        (
            "recency",
            proved(SECOND, [(5, 0)], last_used_at="2026-02-02"),
            proved(FIRST, [(5, 0)], first=9, last_used_at="2026-01-01"),
        ),
        ("hash", proved(FIRST, [(5, 0)]), proved(SECOND, [(5, 0)], first=9)),
    ],
)
def test_the_winner_is_decided_by(
    relay: Relay, why: str, better: list[Message], worse: list[Message], turned: bool
) -> None:
    relay.give([*worse, *better] if turned else [*better, *worse])
    assert winner(relay) == better[0].body["records"][0]["content"], why
    assert value(relay.connection, "select count(*) from centralcloud.variant where content is not null") == 2


def test_a_pinned_variant_wins_over_a_better_one(
    relay: Relay, authority_superuser: psycopg.Connection
) -> None:
    relay.give([*proved("a", [(20, 0)] * 5), *proved("b", [(0, 5)], first=9)])
    assert winner(relay) == "a"
    authority_superuser.execute("update centralcloud.variant set pinned = variant = %s", [variant_of("b")])
    relay.give(proved("b", [(0, 0)], first=10))
    assert winner(relay) == "b"
    (push,) = [m.body for m in relay.take("refined") if m.body["type"] == "refined"]
    assert push["rows"][0]["pinned"] is True


def test_a_loser_that_is_better_proved_later_wins_then(relay: Relay) -> None:
    ann, bob = speakers(2)
    relay.give([ann.says(ann.holds("a"), ann.used(3, 0, "a")), bob.says(bob.holds("b"))])
    assert winner(relay) == "a"
    relay.give([bob.says(bob.used(9, 0, "b"))])
    assert winner(relay) == "b"
    relay.give([ann.says(ann.used(20, 0, "a"))])
    assert winner(relay) == "a"


def test_what_a_sole_contributor_changed_is_the_changed_content(relay: Relay) -> None:
    """Without any outcome, what somebody holds wins over what nobody holds any more, whatever its hash."""
    for contents in itertools.permutations("abcd"):
        with relay.connection.transaction(force_rollback=True):
            ann = Speaker(1)
            for content in contents:
                relay.give([ann.says(ann.holds(content))])
            assert winner(relay) == contents[-1]


def test_what_more_instances_hold_wins_among_unproved_ones(relay: Relay) -> None:
    said = [
        one.says(one.holds(content)) for one, content in zip(speakers(3), SECOND * 2 + FIRST, strict=True)
    ]
    relay.give(said)
    assert winner(relay) == SECOND


def test_an_old_content_that_is_proved_stays_until_the_new_one_is(relay: Relay) -> None:
    ann, bob = speakers(2)
    relay.give(
        [ann.says(ann.holds("old"), ann.used(5, 0, "old"), ann.holds("new")), bob.says(bob.holds("old"))]
    )
    assert winner(relay) == "old"
    relay.give([ann.says(ann.used(9, 0, "new"))])
    assert winner(relay) == "new"


def test_the_artifact_shows_what_its_winner_has(relay: Relay) -> None:
    relay.give([*proved("a", [(9, 1), (8, 2)]), *proved("b", [(1, 1)], first=9)])
    shown = (
        "variant, summary, tags, holders, uses, successes, failures, last_used_at, confidence, level, pinned"
    )
    found = row(relay.connection, f"select {shown} from centralcloud.artifact")
    of_variant = f"select {shown} from centralcloud.variant where variant = %s"
    assert row(relay.connection, of_variant, variant_of("a")) == found
    assert (found["uses"], found["holders"], found["failures"]) == (20, 2, 3)
