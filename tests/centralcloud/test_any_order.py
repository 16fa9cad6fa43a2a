"""Any order, number and split of the same messages leads to one authority, the one that a model expects."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import permutations
from random import Random
from uuid import UUID

import psycopg
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from tests.centralcloud.model import Knowledge, winner
from tests.kit.message import Message
from tests.kit.queries import row, rows, value
from tests.kit.relay import Relay
from tests.kit.speaker import Record, Speaker, speakers

from singularity_lab import Database

# What follows from what was said. Revision and version are left out: they tell how often something changed on the way.
STATE = {
    "holding": "to_jsonb(t)",
    "contribution": "to_jsonb(t)",
    "evidence": "to_jsonb(t)",
    "variant": "to_jsonb(t)",
    "artifact": "to_jsonb(t) - 'revision' - 'version'",
    "document": "to_jsonb(t) - 'document_id' - 'version'",
    "active_group": "to_jsonb(t)",
    "instance": "jsonb_build_array(t.instance_id, t.environment, t.greatest_version)",
}
Said = list[tuple[Speaker, Record]]


@dataclass(frozen=True)
class Step:
    """What one instance does with one artifact."""

    speaker: int
    action: str
    name: str
    content: str
    more: tuple[str | None, tuple[str, ...]]
    succeeded: bool


def steps(speakers: int, names: list[str], contents: str) -> st.SearchStrategy[Step]:
    """Return the steps of so many instances with these artifacts and contents."""
    return st.builds(
        Step,
        speaker=st.integers(0, speakers - 1),
        action=st.sampled_from(["learn", "learn", "use", "use", "use", "withdraw", "restore"]),
        name=st.sampled_from(names),
        content=st.sampled_from(contents),
        more=st.tuples(
            st.sampled_from([None, "short", "tiny", "a longer summary"]),
            st.sampled_from([(), ("one",), ("one", "two")]),
        ),
        succeeded=st.sampled_from([True, True, False]),
    )


HISTORIES = st.lists(steps(4, ["x", "x", "y"], "abc"), min_size=2, max_size=24)
TWINS = st.lists(steps(1, ["x"], "ab"), min_size=1, max_size=6)


class Instance:
    """One instance in the course of time: its counters start anew after a withdrawal and in each incarnation."""

    def __init__(self, speaker: Speaker) -> None:
        self.speaker = speaker
        self.incarnation = 1
        self.counters: dict[tuple[str, str, int], tuple[int, int]] = {}
        self.day = 0

    def do(self, step: Step) -> Record | None:
        """Do something and return what is said about it."""
        match step.action:
            case "learn":
                summary, tags = step.more
                return self.speaker.holds(step.content, step.name, summary=summary, tags=list(tags))
            case "withdraw":
                self.counters = {key: n for key, n in self.counters.items() if key[0] != step.name}
                return self.speaker.withdraws(step.name)
            case "restore":
                self.incarnation += 1
                return None
            case _:
                return self._use(step)

    def _use(self, step: Step) -> Record:
        key = (step.name, step.content, self.incarnation)
        successes, failures = self.counters.get(key, (0, 0))
        counted = (successes + step.succeeded, failures + (not step.succeeded))
        self.counters[key] = counted
        self.day += 1
        return self.speaker.used(
            *counted,
            step.content,
            step.name,
            incarnation=str(UUID(int=self.speaker.number << 96 | self.incarnation)),
            last_used_at=f"2026-01-{self.day:02}T00:00:00Z",
        )


def live(steps: Sequence[Step]) -> Said:
    """Return what is said in these histories, in its order."""
    environments = ["prod", "dev", "ci", "test"]
    instances = [Instance(Speaker(n, environment=name)) for n, name in enumerate(environments, start=1)]
    said = [(instances[step.speaker].speaker, instances[step.speaker].do(step)) for step in steps]
    return [(speaker, record) for speaker, record in said if record is not None]


def deliver(relay: Relay, said: Said, chance: Random) -> None:
    """Have records delivered in this order, in messages and batches of any size."""
    left = list(said)
    while left:
        batch: list[Message] = []
        for _ in range(chance.randint(1, 4)):
            size = chance.randint(1, 5)
            part, left = left[:size], left[size:]
            batch += [
                speaker.says(*(record for told_by, record in part if told_by is speaker))
                for speaker in {id(speaker): speaker for speaker, _ in part}.values()
            ]
        relay.give(batch)


def disorder(said: Said, chance: Random) -> Said:
    """Return the same records in any order, some of them more than once."""
    disordered = [*said, *(record for record in said if chance.random() < 0.4)]
    chance.shuffle(disordered)
    return disordered


def state(connection: psycopg.Connection) -> dict[str, list[str]]:
    """Return the rows of all tables that say what is known, as text, when what is queued is scored."""
    while value(connection, "select unscored from centralcloud.status()"):
        connection.execute("select centralcloud.score_queued(100)")
    return {
        table: [
            r["t"]
            for r in rows(connection, f"select ({seen})::text as t from centralcloud.{table} t order by 1")
        ]
        for table, seen in STATE.items()
    }


@contextmanager
def undone(relay: Relay) -> Iterator[None]:
    """Leave the authority as it was."""
    with relay.connection.transaction(force_rollback=True):
        yield


def check_against_model(relay: Relay, said: Said) -> None:
    """Compare what the authority knows with the model."""
    by_speaker: dict[int, list[Record]] = {}
    for speaker, record in said:
        by_speaker.setdefault(speaker.number, []).append(record)
    expected = Knowledge(by_speaker, {speaker.number: speaker for speaker, _ in said}).variants()
    found = {
        (r["name"], r["variant"]): r
        for r in rows(
            relay.connection,
            "select a.name, v.* from centralcloud.variant v join centralcloud.artifact a using (artifact_id)",
        )
    }
    assert found.keys() == expected.keys()
    for key, known in found.items():
        wanted = expected[key]
        assert (known["content"] is not None) == wanted.contributed
        assert (known["holders"], known["uses"], known["successes"], known["groups"]) == (
            wanted.holders, wanted.uses, wanted.successes, wanted.groups,
        )  # fmt: skip
        assert (known["summary"], tuple(known["tags"])) == (wanted.summary, wanted.tags)
        assert known["confidence"] == pytest.approx(wanted.score.confidence, abs=1e-9)
        assert known["weight"] == pytest.approx(wanted.score.weight, abs=1e-9)
        assert (known["level"], known["vouching"]) == (wanted.score.level, wanted.score.vouching)
    for artifact in rows(relay.connection, "select name, variant from centralcloud.artifact"):
        rivals = [known for (name, _), known in found.items() if name == artifact["name"]]
        assert artifact["variant"] == winner(rivals)


@pytest.fixture(autouse=True)
def scoring(relay: Relay, authority: Database, authority_superuser: psycopg.Connection) -> Iterator[None]:
    """Let the session of the bridge score what is queued at once, as its tick does in the background."""
    scores = "on function centralcloud.score_queued(integer)"
    authority_superuser.execute(f"grant execute {scores} to {authority.relay}".encode())
    yield
    authority_superuser.execute(f"revoke execute {scores} from {authority.relay}".encode())


@pytest.fixture
def unaged(relay: Relay, authority_db: psycopg.Connection) -> Relay:
    """Have scores computed for a day before all outcomes, so that age takes nothing from them."""
    authority_db.execute('select centralcloud.configure(\'{"scored_as_of": "2025-01-01"}\')')
    return relay


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=HISTORIES, chance=st.randoms(use_true_random=False))
def test_histories_in_any_order_number_and_split_give_one_state(
    unaged: Relay, steps: list[Step], chance: Random
) -> None:
    said = live(steps)
    with undone(unaged):
        for speaker, record in said:
            unaged.give([speaker.says(record)])
        expected = state(unaged.connection)
        check_against_model(unaged, said)
    for delivery in (disorder(said, chance), disorder(said, chance)):
        with undone(unaged):
            deliver(unaged, delivery, chance)
            assert state(unaged.connection) == expected
            assert value(unaged.connection, "select dead_letters from centralcloud.status()") == 0
    event(f"{len({speaker.number for speaker, _ in said})} instances")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    ours=TWINS,
    theirs=TWINS,
    chance=st.randoms(use_true_random=False),
)
def test_even_twins_under_one_name_give_one_state(
    unaged: Relay, ours: list[Step], theirs: list[Step], chance: Random
) -> None:
    """Two databases number their states alike: which of two is taken does not hang on the order either."""
    said = [*live(ours), *live(theirs)]
    states = []
    for delivery in (said, disorder(said, chance), disorder(said, chance)):
        with undone(unaged):
            deliver(unaged, delivery, chance)
            states.append(state(unaged.connection))
    assert states[1] == states[0]
    assert states[2] == states[0]


@pytest.mark.parametrize("summaries", [(None, "a"), ("a", "b"), ("b", "c"), ("c", "d")])
def test_twins_that_differ_in_the_summary_give_one_state(
    relay: Relay, summaries: tuple[str | None, str]
) -> None:
    messages = [Speaker(1).says(Speaker(1).holds(summary=summary)) for summary in summaries]
    states = []
    for batches in ([messages], [messages[:1], messages[1:]], [messages[1:], messages[:1]]):
        with undone(relay):
            for batch in batches:
                relay.give(batch)
            states.append(state(relay.connection))
    assert states[1] == states[0]
    assert states[2] == states[0]


def test_a_twin_undoes_no_withdrawal(relay: Relay) -> None:
    """A content that is withdrawn is blanked: no other state of any number may bring it back without it."""
    ours, theirs = Speaker(1), Speaker(1)
    said = [ours.says(ours.holds("b")), ours.says(ours.withdraws())]
    said += [theirs.says(theirs.holds("a", version=n, summary=str(n))) for n in (2, 3)]
    states = []
    for order in permutations(said):
        with undone(relay):
            for message in order:
                relay.give([message])
            states.append(state(relay.connection))
    assert all(one == states[0] for one in states)
    assert (
        sorted(variant for variant in states[0]["variant"] if '"content": "a"' in variant)
        == states[0]["variant"]
    )


@pytest.mark.parametrize("turned", [False, True])
def test_twins_raise_the_alarm_whoever_comes_first(
    relay: Relay, authority_db: psycopg.Connection, turned: bool
) -> None:
    ours, theirs = Speaker(1), Speaker(1)
    messages = [ours.says(ours.holds("a")), theirs.says(theirs.holds("b"))]
    if turned:
        messages.reverse()
    relay.give(messages[:1])
    assert value(authority_db, "select twin_alarms from centralcloud.status()") == 0
    relay.give(messages[:1])
    assert value(authority_db, "select twin_alarms from centralcloud.status()") == 0
    relay.give(messages[1:])
    assert value(authority_db, "select twin_alarms from centralcloud.status()") == 1


def test_twins_in_one_batch_raise_the_alarm(relay: Relay, authority_db: psycopg.Connection) -> None:
    ours, theirs = Speaker(1), Speaker(1)
    relay.give([ours.says(ours.used(1)), theirs.says(theirs.used(2)), Speaker(2).says(Speaker(2).holds())])
    alarmed = "select instance_name from centralcloud.instance where twin_alarm_at is not null"
    assert rows(authority_db, alarmed) == [{"instance_name": "speaker 1"}]


def test_the_last_use_is_known_in_any_order(unaged: Relay, authority_db: psycopg.Connection) -> None:
    """Where one outcome takes the place of another only the time of the last use changes."""
    ann, bob = speakers(2)
    first = ann.used(1, last_used_at="2026-01-01T00:00:00Z")
    unaged.give([bob.says(bob.holds()), ann.says(first)])
    unaged.give([ann.says(ann.withdraws()), bob.says(bob.used(1, last_used_at="2026-02-02T00:00:00Z"))])
    found = row(authority_db, "select uses, last_used_at::date::text as day from centralcloud.artifact")
    assert found == {"uses": 1, "day": "2026-02-02"}


def test_a_changed_environment_counts_in_any_order(unaged: Relay, authority_db: psycopg.Connection) -> None:
    ann = Speaker(1, environment="ci")
    early = [ann.says(ann.holds()), ann.says(ann.used(10, name="elsewhere"))]
    ann.environment = "prod"
    late = [ann.says(ann.used(10)), ann.says(ann.used(0, 1, name="a third"))]
    found = []
    for order in ([*early, *late], [*late, *early], [late[1], early[0], late[0], early[1]]):
        with undone(unaged):
            for message in order:
                unaged.give([message])
            unaged.tick()
            assert row(unaged.connection, "select environment from centralcloud.instance") == {
                "environment": "prod"
            }
            found.append(state(unaged.connection))
    assert found[1] == found[0]
    assert found[2] == found[0]
