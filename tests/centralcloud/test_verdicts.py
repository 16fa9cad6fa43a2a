"""The receipt names every record with its verdict: stored, superseded, or refused with the reason."""

import re
from typing import Any
from uuid import UUID

import psycopg
import pytest
from tests.kit.queries import row, rows, value
from tests.kit.relay import Relay
from tests.kit.speaker import Record, Speaker, speakers, verdicts

LIMIT = 256 * 1024


def test_a_receipt_names_versions_and_keys_and_goes_to_who_spoke(
    relay: Relay, authority_db: psycopg.Connection
) -> None:
    ann, bob = speakers(2)
    held, used = ann.holds("b"), ann.used(4, 1, "b")
    receipts = relay.give([ann.says(held, used), bob.says(bob.holds("c"))])
    assert [receipt.subject for receipt in receipts] == [
        f"singularity.receipt.{ann.id}",
        f"singularity.receipt.{bob.id}",
    ]
    artifact_id = str(value(authority_db, "select centralcloud.artifact_id('default', 'k', 'x')"))
    assert receipts[0].body["records"] == [
        {"artifact_id": artifact_id, "version": 1, "verdict": "stored"},
        {
            "artifact_id": artifact_id,
            "variant": used["variant"],
            "incarnation": used["incarnation"],
            "version": 2,
            "verdict": "stored",
        },
    ]
    body = receipts[1].body
    assert (body["v"], body["type"], body["epoch"]) == (
        1,
        "receipt",
        value(authority_db, "select epoch from centralcloud.status()"),
    )


def test_a_message_that_comes_again_has_the_same_receipt(relay: Relay) -> None:
    ann = Speaker(1)
    message = ann.says(ann.holds(), ann.used(3))
    assert relay.give([message]) == relay.give([message])


def test_what_is_older_than_what_is_known_is_superseded(relay: Relay) -> None:
    ann = Speaker(1)
    old = [ann.holds("a"), ann.used(1, content="a")]
    new = [ann.holds("b"), ann.used(2, content="a")]
    assert verdicts(relay.give([ann.says(*new)])) == [(3, "stored", None), (4, "stored", None)]
    assert verdicts(relay.give([ann.says(*old)])) == [(1, "superseded", None), (2, "superseded", None)]


def test_of_two_versions_in_one_message_the_older_one_is_superseded(relay: Relay) -> None:
    ann = Speaker(1)
    found = verdicts(relay.give([ann.says(ann.holds("a"), ann.holds("b"))]))
    assert found == [(1, "superseded", None), (2, "stored", None)]


def test_versions_of_different_keys_do_not_meet(relay: Relay) -> None:
    """A newer version of one artifact, variant or incarnation supersedes nothing of another."""
    ann = Speaker(1)
    records = [
        ann.holds(), ann.holds(name="y"), ann.holds(kind="other"), ann.holds(namespace="other"),
        ann.used(1), ann.used(2, content="b"), ann.used(3, incarnation=str(UUID(int=9))),
    ]  # fmt: skip
    for record in reversed(records):
        assert verdicts(relay.give([ann.says(record)])) == [(record["version"], "stored", None)]
    assert value(relay.connection, "select count(*) from centralcloud.evidence") == 3
    assert value(relay.connection, "select count(*) from centralcloud.holding") == 4


def test_the_same_version_of_another_instance_is_another_record(relay: Relay) -> None:
    ann, bob = speakers(2)
    found = verdicts(relay.give([ann.says(ann.holds("a")), bob.says(bob.holds("b"))]))
    assert found == [(1, "stored", None), (1, "stored", None)]
    assert value(relay.connection, "select twin_alarms from centralcloud.status()") == 0


def test_an_empty_message_is_confirmed_by_silence(relay: Relay) -> None:
    assert relay.give([Speaker(1).says()]) == []
    assert value(relay.connection, "select dead_letters from centralcloud.status()") == 0
    assert value(relay.connection, "select instances from centralcloud.status()") == 1


HELD, USED = Speaker(1).holds(), Speaker(1).used(2, 1)
TOO_LARGE = "x" * (LIMIT - 1)


def without(record: Record, field: str) -> Record:
    return {name: found for name, found in record.items() if name != field}


def each(record: Record, field: str, *wrong: Any) -> list[Record]:
    return [record | {field: content} for content in wrong]


def pattern(reason: str) -> str:
    """Return a reason without the value that it names."""
    value = r"E?'.*'(?= (is not valid|has|is not in))|(?<=has )\d+(?= bytes)|(?<=version is )-?\d+"
    return re.sub(value, lambda found: "'…'" if "'" in found[0] else "…", reason, flags=re.DOTALL)


LONG = {"kind": "k" * 65, "name": "n" * 513, "summary": "s" * 4097, "tag": "t" * 129}
NO_TOKENS = ("", "K", "a.b", "a b", "*", ">", "ä", LONG["kind"])
NO_NAMES = (" x", "x ", "\u00a0x", "x\u2007", "x\u202f", "x\n", "a\u0001b", "a\u0085b")
MANY_TAGS = [str(n) for n in range(65)]


@pytest.mark.parametrize(
    ("reason", "records"),
    [
        ("namespace must not be null", [without(HELD, "namespace")]),
        ("kind must not be null", [without(HELD, "kind")]),
        ("name must not be null", [without(HELD, "name")]),
        ("version is missing", [without(HELD, "version")]),
        ("kind '…' is not valid", each(HELD, "kind", *NO_TOKENS)),
        ("namespace '…' is not valid", each(HELD, "namespace", *NO_TOKENS)),
        ("name '…' has … bytes", each(HELD, "name", "", LONG["name"], "ä" * 257)),
        ("name '…' is not in Unicode form NFC", each(HELD, "name", "e\u0301")),
        ("name '…' has control characters or outer blanks", each(HELD, "name", *NO_NAMES)),
        ("version is …, out of range", each(HELD, "version", 0, -1, 9 * 10**18 + 1)),
        ("it is withdrawn in its own future", each(HELD, "withdrawn_up_to", 2)),
        ("it has no variant and is not withdrawn", [without(HELD, "variant"), *each(HELD, "variant", None)]),
        ("content must not be null", [without(HELD, "content"), *each(HELD, "content", None)]),
        ("content has … bytes, the limit is 262144", [Speaker(1).holds(TOO_LARGE)]),
        (
            "variant is not the hash of the content",
            each(HELD, "content", "b") + each(HELD, "variant", "0" * 64),
        ),
        ("summary has … bytes, the limit is 4096", each(HELD, "summary", LONG["summary"], "ä" * 2049)),
        ("there are 65 tags, the limit is 64", each(HELD, "tags", MANY_TAGS)),
        ("tag '…' is not valid", each(HELD, "tags", [""], [LONG["tag"]])),
        ("tag NULL is not valid", each(HELD, "tags", ["a", None])),
        ("variant is missing", [without(USED, "variant")]),
        (
            "incarnation or last_used_at is missing",
            [without(USED, field) for field in ("incarnation", "last_used_at")],
        ),
        (
            "variant is not a sha-256 in hex",
            each(USED, "variant", "", "0" * 63, "g" * 64, USED["variant"].upper())
            + each(HELD, "variant", HELD["variant"].upper(), ""),
        ),
        ("counters are missing", [without(USED, field) for field in ("uses", "successes", "failures")]),
        (
            "counters do not add up",
            [
                *each(USED, "uses", 4),
                *each(USED, "successes", 1),
                *each(USED, "failures", 0),
                USED | {"uses": 0, "successes": -1},
                USED | {"uses": 0, "failures": -2},
                USED | {"uses": -3, "successes": -2, "failures": -1},
            ],
        ),
        ("counters are out of range", [Speaker(1).used(10**12 + 1), Speaker(1).used(0, 2**62)]),
        ("last_used_at is not finite", each(USED, "last_used_at", "infinity", "-infinity")),
        ("'rumour' is neither holding nor evidence", each(HELD, "record_type", "rumour")),
        ("NULL is neither holding nor evidence", [without(HELD, "record_type")]),
    ],
)
def test_a_record_that_breaks_a_rule_is_refused_with_the_reason(
    relay: Relay, authority_db: psycopg.Connection, reason: str, records: list[Record]
) -> None:
    ann = Speaker(1, version=10)
    good = ann.holds("good", name="good")
    (receipt,) = relay.give([ann.says(*records, good)])
    told = receipt.body["records"]
    refused = [record for record in told if record["verdict"] == "refused"]
    assert [pattern(record["reason"]) for record in refused] == [reason] * len(records)
    assert [record.get("version") for record in refused] == [record.get("version") for record in records]
    assert [record for record in told if record not in refused] == [
        {
            "artifact_id": str(
                value(authority_db, "select centralcloud.artifact_id('default', 'k', 'good')")
            ),
            "version": 11,
            "verdict": "stored",
        }
    ]
    assert [r["name"] for r in rows(authority_db, "select name from centralcloud.artifact")] == ["good"]
    for table in ("holding", "contribution", "variant"):
        assert value(authority_db, f"select count(*) from centralcloud.{table}") == 1
    assert rows(authority_db, "select from centralcloud.evidence") == []
    assert value(authority_db, "select dead_letters from centralcloud.status()") == 0


def test_what_is_just_within_the_limits_is_stored(relay: Relay, authority_db: psycopg.Connection) -> None:
    ann = Speaker(1)
    largest = ann.holds(
        TOO_LARGE[1:], "ä" * 256, kind="k" * 64, namespace="_-9", summary="ä" * 2048,
        tags=[f"{n:0128}" for n in range(64)],
    )  # fmt: skip
    record = ann.holds(version=2**43, name="last")
    found = verdicts(relay.give([ann.says(largest), ann.says(record)]))
    assert [verdict for _, verdict, _ in found] == ["stored", "stored"]
    size = "select octet_length(content::text) from centralcloud.variant order by 1 desc limit 1"
    assert value(authority_db, size) == LIMIT


def test_unknown_fields_are_ignored(relay: Relay, authority_db: psycopg.Connection) -> None:
    ann = Speaker(1)
    record = ann.holds() | {"mood": "glad", "embedding": [0.1, 0.2]}
    found = relay.give([ann.says(record, colour="blue", nested={"deep": [1, None]})])
    assert verdicts(found) == [(1, "stored", None)]
    assert value(authority_db, "select content from centralcloud.variant") == "a"


@pytest.mark.parametrize(
    "content", [0, -1.5, True, False, "", "ä\u2028'\\\"", [], {}, [1, None], {"k": None}]
)
def test_any_json_but_null_is_content(relay: Relay, authority_db: psycopg.Connection, content: Any) -> None:
    ann = Speaker(1)
    assert verdicts(relay.give([ann.says(ann.holds(content))])) == [(1, "stored", None)]
    assert row(authority_db, "select content from centralcloud.variant") == {"content": content}


def test_receipts_carry_the_heads_from_before_of_their_topics_only(relay: Relay) -> None:
    ann = Speaker(1)
    (first,) = relay.give([ann.says(ann.holds(), ann.holds(kind="other"))])
    assert first.body["heads"] == {"default/k": 0, "default/other": 0}
    relay.take("refined")
    (second,) = relay.give([ann.says(ann.holds("b"))])
    assert second.body["heads"] == {"default/k": 1}


def test_receipts_carry_no_content(relay: Relay) -> None:
    ann = Speaker(1)
    receipts = relay.give([ann.says(ann.holds("a secret"), ann.holds("a secret", version=0))])
    assert [verdict for _, verdict, _ in verdicts(receipts)] == ["stored", "refused"]
    assert not re.search(b"a secret", receipts[0].payload)
