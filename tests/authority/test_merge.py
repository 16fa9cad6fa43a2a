"""Any order, number and split of messages gives the same authority; scores and winners follow from it."""

import hashlib
import json
import math
import random
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support import Message, Relay, row, rows, value

from singularity_lab import Database

STATE = {
    "holding": "select artifact_id, instance_id, variant, version, withdrawn_through, state_hash",
    "contribution": "select *",
    "evidence": "select *",
    "variant": "select *",
    "artifact": "select artifact_id, namespace, kind, name, variant, summary, tags, holders, uses, successes,"
    " failures, last_used_at, confidence, level, pinned",
}
INSTANCES = [uuid.UUID(int=number + 1) for number in range(3)]
NOW = datetime.now(UTC).isoformat()
Record = dict[str, Any]


@pytest.fixture
def relay(authority: Database) -> Iterator[Relay]:
    relay = Relay(authority)
    yield relay
    relay.close()


def variant_of(content: Any) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def holding(number: int, content: Any, **more: Any) -> Record:
    return {
        "what": "holding", "namespace": "default", "kind": "k", "name": "x", "version": number,
        "withdrawn_through": 0, "variant": variant_of(content), "content": content, **more,
    }  # fmt: skip


def withdrawal(number: int) -> Record:
    return {
        "what": "holding", "namespace": "default", "kind": "k", "name": "x", "version": number,
        "withdrawn_through": number,
    }  # fmt: skip


def evidence(number: int, content: Any, successes: int, failures: int = 0, **more: Any) -> Record:
    return {
        "what": "evidence", "namespace": "default", "kind": "k", "name": "x", "version": number,
        "variant": variant_of(content), "incarnation": str(uuid.UUID(int=7)), "uses": successes + failures,
        "successes": successes, "failures": failures, "last_used_at": NOW, **more,
    }  # fmt: skip


def message(instance: uuid.UUID, *records: Record, **more: Any) -> Message:
    body = {
        "v": 1, "type": "contribution", "instance": str(instance), "instance_name": f"i{instance.int}",
        "environment": "prod", "records": records, **more,
    }  # fmt: skip
    return Message("", "stream", f"singularity.contribute.{instance}", json.dumps(body).encode())


def verdicts(receipts: list[Message]) -> list[tuple[str, str | None]]:
    return [(r["verdict"], r.get("reason")) for receipt in receipts for r in receipt.body["records"]]


def state(connection: psycopg.Connection) -> dict[str, list[str]]:
    return {
        table: sorted(repr(found) for found in rows(connection, f"{columns} from centralcloud.{table}"))
        for table, columns in STATE.items()
    }


def wilson(successes: float, failures: float) -> float:
    n, z = successes + failures, 1.96
    if n == 0:
        return 0.0
    p = successes / n
    return (p + z * z / (2 * n) - z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))) / (1 + z * z / n)


# What one instance does to one artifact, in order: its versions follow from the place in the list.
STEP = st.one_of(
    st.tuples(st.just("hold"), st.integers(1, 3)),
    st.tuples(st.just("withdraw"), st.just(0)),
    st.tuples(st.just("use"), st.integers(1, 3)),
)
HISTORIES = st.lists(st.lists(STEP, max_size=6), min_size=1, max_size=3)


def records_of(history: list[tuple[str, int]]) -> list[Record]:
    found: list[Record] = []
    withdrawn, used = 0, 0
    for version, (step, content) in enumerate(history, start=1):
        if step == "withdraw":
            withdrawn = version
            found.append(withdrawal(version))
        elif step == "hold":
            found.append(
                holding(
                    version, content, withdrawn_through=withdrawn, summary=f"s{version}", tags=[f"t{version}"]
                )
            )
        else:
            used += 1
            found.append(evidence(version, content, used))
    return found


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(histories=HISTORIES, seed=st.integers(0, 2**32))
def test_any_delivery_gives_the_same_state(
    relay: Relay, authority_superuser: psycopg.Connection, histories: list[list[tuple[str, int]]], seed: int
) -> None:
    messages = [
        message(instance, record)
        for instance, history in zip(INSTANCES, histories, strict=False)
        for record in records_of(history)
    ]
    chance = random.Random(seed)
    deliveries = [messages, messages * 2, [*messages, *messages]]
    for delivery in deliveries[1:]:
        chance.shuffle(delivery)
    states = []
    for delivery in deliveries:
        authority_superuser.execute(
            "truncate centralcloud.holding, centralcloud.contribution, centralcloud.evidence,"
            " centralcloud.variant, centralcloud.artifact, centralcloud.document, centralcloud.unpublished,"
            " centralcloud.instance"
        )
        left = list(delivery)
        while left:
            size = chance.randint(1, 4)
            relay.give(left[:size])
            left = left[size:]
        states.append(state(authority_superuser))
    assert states[1] == states[0]
    assert states[2] == states[0]
    assert value(authority_superuser, "select count(*) from centralcloud.dead_letter") == 0


def test_the_receipt_names_each_record_with_its_verdict(relay: Relay) -> None:
    me = INSTANCES[0]
    (receipt,) = relay.give([message(me, holding(2, "b"), evidence(3, "b", 4, 1))])
    assert receipt.subject == f"singularity.receipt.{me}"
    assert [(r["version"], r["verdict"]) for r in receipt.body["records"]] == [(2, "stored"), (3, "stored")]
    assert verdicts(relay.give([message(me, holding(2, "b"))])) == [("stored", None)]
    assert verdicts(relay.give([message(me, holding(1, "a"))])) == [("superseded", None)]


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (holding(1, "a", kind="K"), "namespace or kind is not valid"),
        (holding(1, "a", name=""), "name is not valid"),
        (holding(0, "a"), "version is out of range"),
        (holding(1, "a", variant="0" * 64), "variant is not the hash of the content"),
        (holding(1, "x" * 300_000), "content is over the limit"),
        (holding(1, "a", withdrawn_through=2), "it is withdrawn in its own future"),
        (evidence(1, "a", 3, uses=9), "counters do not add up"),
        (evidence(1, "a", -1), "counters do not add up"),
        (evidence(1, "a", 1, variant="x"), "variant is not a sha-256 in hex"),
        (evidence(1, "a", 1, incarnation=None), "variant, incarnation or last_used_at is missing"),
        (evidence(1, "a", 1, what="rumour"), "'rumour' is neither holding nor evidence"),
    ],
)
def test_a_record_that_breaks_the_rules_is_refused_with_the_reason(
    relay: Relay, authority_db: psycopg.Connection, record: Record, reason: str
) -> None:
    receipts = relay.give([message(INSTANCES[0], record, holding(5, "good", name="good"))])
    assert verdicts(receipts) == [("refused", reason), ("stored", None)]
    assert [r["name"] for r in rows(authority_db, "select name from centralcloud.artifact")] == ["good"]


def test_poison_is_put_aside_and_stops_no_other(relay: Relay, authority_db: psycopg.Connection) -> None:
    me = INSTANCES[0]
    poison = [
        Message("", "stream", f"singularity.contribute.{me}", b"\xff not json"),
        Message("", "stream", f"singularity.contribute.{me}", b"[]"),
        message(me, holding(1, "a", version="one")),
        message(me, holding(2, "a"), v=99),
        message(me, holding(2, "a"), type="gossip"),
        Message("", "stream", f"singularity.contribute.{INSTANCES[1]}", message(me, holding(3, "a")).payload),
    ]
    receipts = relay.give([*poison[:3], message(me, holding(9, "good", name="good")), *poison[3:]])
    assert ("stored", None) in verdicts(receipts)
    assert [r["name"] for r in rows(authority_db, "select name from centralcloud.artifact")] == ["good"]
    letters = rows(authority_db, "select error from centralcloud.dead_letter")
    assert len(letters) == len(poison)
    assert any("speaks for instance" in letter["error"] for letter in letters)
    assert any("schema version 99" in letter["error"] for letter in letters)
    set_aside = [r for r in receipts for record in r.body["records"] if record["verdict"] == "set aside"]
    assert set_aside
    assert all(str(me) in receipt.subject for receipt in set_aside if "speaks" not in str(receipt.body))
    relay.give(poison)
    assert value(authority_db, "select dead_letters from centralcloud.status()") == len(poison)


def test_dead_letters_are_replayed_after_a_mend(
    relay: Relay, authority_db: psycopg.Connection, authority_superuser: psycopg.Connection
) -> None:
    authority_superuser.execute(
        "alter table centralcloud.contribution add constraint broken check (variant is null)"
    )
    receipts = relay.give([message(INSTANCES[0], holding(1, "a"))])
    assert [verdict for verdict, _ in verdicts(receipts)] == ["set aside"]
    assert value(authority_db, "select centralcloud.replay_dead_letters()") == 0
    authority_superuser.execute("alter table centralcloud.contribution drop constraint broken")
    assert value(authority_db, "select centralcloud.replay_dead_letters()") == 1
    assert value(authority_db, "select dead_letters from centralcloud.status()") == 0
    (receipt, *_) = [m for m in relay.take("refined") if "receipt" in m.subject][-1:]
    assert [r["verdict"] for r in receipt.body["records"]] == ["stored"]


def test_a_withdrawal_takes_every_variant_back_and_a_late_message_brings_none(
    relay: Relay, authority_db: psycopg.Connection
) -> None:
    me = INSTANCES[0]
    relay.give([message(me, holding(1, "a")), message(me, holding(2, "b")), message(me, evidence(3, "b", 5))])
    relay.give([message(me, withdrawal(4))])
    assert rows(authority_db, "select from centralcloud.variant") == []
    assert verdicts(relay.give([message(me, holding(1, "a"), evidence(3, "b", 5))])) == [
        ("superseded", None),
        ("stored", None),
    ]
    assert rows(authority_db, "select from centralcloud.variant where content is not null") == []
    relay.give([message(me, holding(5, "c", withdrawn_through=4))])
    assert row(authority_db, "select content, uses from centralcloud.variant") == {"content": "c", "uses": 0}


def test_two_states_under_one_version_raise_the_alarm(relay: Relay, authority_db: psycopg.Connection) -> None:
    relay.give([message(INSTANCES[0], holding(1, "a"))])
    assert value(authority_db, "select twin_alarms from centralcloud.status()") == 0
    relay.give([message(INSTANCES[0], holding(1, "b"))])
    assert value(authority_db, "select twin_alarms from centralcloud.status()") == 1


def use(
    relay: Relay, counts: dict[int, tuple[int, int]], content: str = "a", environment: str = "prod"
) -> None:
    for number, (successes, failures) in counts.items():
        instance = uuid.UUID(int=number)
        relay.give([message(instance, holding(1, content), environment=environment)])
        relay.give([message(instance, evidence(2, content, successes, failures))])


def test_confidence_caps_what_one_instance_says(relay: Relay, authority_db: psycopg.Connection) -> None:
    use(relay, {1: (400, 100), 2: (3, 1)})
    found = row(authority_db, "select confidence, level, uses from centralcloud.artifact")
    assert found["confidence"] == pytest.approx(wilson(16 + 3, 4 + 1))
    assert (found["level"], found["uses"]) == ("low", 504)


def test_an_environment_has_its_weight(relay: Relay, authority_db: psycopg.Connection) -> None:
    use(relay, {1: (10, 0)}, environment="ci")
    confidence = value(authority_db, "select confidence from centralcloud.artifact")
    assert confidence == pytest.approx(wilson(5, 0))


def test_outcomes_of_long_ago_count_less(relay: Relay, authority_db: psycopg.Connection) -> None:
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    long_ago = (today - timedelta(days=180)).isoformat()
    me = INSTANCES[0]
    relay.give([message(me, holding(1, "a"), evidence(2, "a", 10, last_used_at=long_ago))])
    relay.tick()
    confidence = value(authority_db, "select confidence from centralcloud.artifact")
    assert confidence == pytest.approx(wilson(5, 0))


@pytest.mark.parametrize(
    ("groups", "successes", "level"),
    [(1, 20, "low"), (2, 5, "medium"), (3, 10, "high"), (5, 10, "very_high"), (5, 1, "low"), (4, 20, "high")],
)
def test_a_level_wants_confidence_and_independent_groups(
    relay: Relay, authority_db: psycopg.Connection, groups: int, successes: int, level: str
) -> None:
    use(relay, dict.fromkeys(range(1, groups + 1), (successes, 0)))
    assert value(authority_db, "select level from centralcloud.artifact") == level


def test_the_better_proved_variant_wins(relay: Relay, authority_db: psycopg.Connection) -> None:
    use(relay, {1: (5, 5)}, "a")
    use(relay, {2: (9, 1)}, "b")
    assert value(authority_db, "select variant from centralcloud.artifact") == variant_of("b")
    assert value(authority_db, "select count(*) from centralcloud.variant") == 2


def test_changes_are_numbered_without_holes_and_paged(relay: Relay, authority_db: psycopg.Connection) -> None:
    me = INSTANCES[0]
    relay.give([message(me, *(holding(n, n, name=f"n{n}") for n in range(1, 1201)))])
    pushed: list[Message] = []
    while more := relay.take("refined"):
        pushed += more
    reached = 0
    for push in sorted(pushed, key=lambda m: int(m.body["from"])):
        assert push.body["from"] == reached
        assert [r["revision"] for r in push.body["rows"]] == list(range(reached + 1, push.body["to"] + 1))
        reached = push.body["to"]
    assert reached == 1200
    seen: list[int] = []
    after = 0
    while after < 1200:
        request = {
            "v": 1, "type": "changes", "instance": str(me), "request": "r", "namespace": "default",
            "kind": "k", "after": after,
        }  # fmt: skip
        page = json.loads(
            relay.serve(
                Message("", "", f"singularity.centralcloud.changes.{me}", json.dumps(request).encode())
            )
        )
        assert (page["from"], page["head"]) == (after, 1200)
        seen += [r["revision"] for r in page["rows"]]
        after = page["to"]
    assert seen == list(range(1, 1201))
    assert value(authority_db, "select head from centralcloud.statistics()") == 1200


def test_a_request_in_anothers_name_is_refused(relay: Relay) -> None:
    request = {"v": 1, "type": "ask", "instance": str(INSTANCES[0]), "query": "x"}
    forged = Message("", "", f"singularity.centralcloud.ask.{INSTANCES[1]}", json.dumps(request).encode())
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        relay.serve(forged)
