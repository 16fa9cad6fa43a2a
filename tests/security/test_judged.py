"""What comes in is judged like what is learned: by the authority of an instance, by an instance of the authority."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.kit.identity import variant_of
from tests.kit.instance_relay import refined
from tests.kit.message import Message
from tests.kit.pair import Authority, Instance, settle
from tests.kit.queries import row, rows, value
from tests.kit.speaker import Speaker, request, verdicts

BAD_ROWS: dict[str, dict[str, Any]] = {
    "confidence Infinity": {"confidence": "Infinity"},
    "confidence NaN": {"confidence": "NaN"},
    "confidence below 0": {"confidence": -0.1},
    "confidence above 1": {"confidence": 1.1},
    "no confidence": {"confidence": None},
    "confidence in words": {"confidence": "high"},
    "uses below 0": {"uses": -1, "successes": -1},
    "successes below 0": {"uses": 5, "successes": -1},
    "more successes than uses": {"uses": 1, "successes": 2},
    "no uses": {"uses": None},
    "uses beyond bigint": {"uses": 1 << 70},
    "uses beyond bounds": {"uses": 1 << 60},
    "level": {"level": "best"},
    "no level": {"level": None},
    "revision below 0": {"revision": -1},
    "no revision": {"revision": None},
    "summary": {"summary": "x" * 100_000},
    "tag too long": {"tags": ["x" * 129]},
    "tag empty": {"tags": [""]},
    "tag null": {"tags": [None]},
    "tags without end": {"tags": [str(n) for n in range(5000)]},
    "tags in tags": {"tags": [["a", "b"]]},
    "tag hidden": {"tags": ["a\u202eb"]},
    "name empty": {"name": ""},
    "name too long": {"name": "x" * 513},
    "name with a newline": {"name": "a\nb"},
    "name with an escape": {"name": "a\x1b[2Jb"},
    "name not in NFC": {"name": "a\u0301"},
    "name hidden": {"name": "a\u200bb"},
    "namespace": {"namespace": "../x"},
    "kind": {"kind": "K K"},
    "content null": {"content": None},
    "content too large": {"content": "x" * 300_000, "variant": variant_of("x" * 300_000)},
    "content of another hash": {"content": "other"},
    "variant": {"variant": "x"},
    "pinned in words": {"pinned": "perhaps"},
    "content too deep": {"content": json.loads("[" * 250 + "]" * 250)},
}


@pytest.mark.parametrize("way", ["push", "page", "answer", "comparison"])
def test_a_bad_row_is_not_kept_and_stops_no_other(here: Instance, there: Authority, way: str) -> None:
    here.call("follow", kind="pattern")
    settle(there, here)
    here.learn("mine", "here")
    names = ["mine"]
    for place, kind in enumerate(BAD_ROWS):
        bad = refined("bad", "x") | BAD_ROWS[kind]
        if kind == "content too deep":
            text = json.dumps(bad["content"])
            bad["variant"] = value(there.db, "select centralcloud.variant_of(%s::text::jsonb)", text)
        good = [f"good {place}", f"well {place}"]
        names += good
        hand_over(here, way, [refined(good[0]), bad, refined(good[1])])
        kept = rows(here.owner, "select name from singularity.central_copy")
        assert {one["name"] for one in kept} == set(names) - {"mine"}, kind
    assert here.known("mine")["content"] == "here"
    assert here.recall("good", max_results=5)


def hand_over(here: Instance, way: str, given: list[dict[str, Any]]) -> None:
    """Let rows of the authority arrive."""
    body: dict[str, Any] = {"v": 1, "epoch": "e", "rows": given}
    topic = {"namespace": "default", "kind": "pattern", "from": 0, "to": 3}
    if way == "push":
        message = {**body, **topic, "type": "refined"}
        here.relay.give([Message("singularity.refined.default.pattern", json.dumps(message).encode())])
    elif way == "page":
        here.owner.execute(
            "insert into singularity.topic (namespace, kind, head) values ('default', 'pattern', 3) "
            "on conflict (namespace, kind) do update set head = 3, position = 0, requested_at = null"
        )
        (asked,) = (one for one in here.relay.take("sync") if one.body["type"] == "changes")
        here.relay.reply(
            asked,
            json.dumps(
                {**body, **topic, "type": "changes", "head": 3, "request": asked.body["request"]}
            ).encode(),
        )
    elif way == "answer":
        here.lookup(f"what nobody knows but {given[0]['name']}")
        (asked,) = here.relay.take("question")
        here.relay.reply(
            asked,
            json.dumps({**body, "type": "answer", "heads": {}, "request": asked.body["request"]}).encode(),
        )
    else:
        here.owner.execute("delete from singularity.comparison")
        here.owner.execute("update singularity.authority set welcomed_at = clock_timestamp()")
        here.owner.execute("delete from singularity.reconciliation")
        here.owner.execute("select singularity.want_comparison()")
        here.relay.tick(streams={"singularity_contributions": {"created": "now", "last_sequence": 0}})
        here.owner.execute("update singularity.comparison set in_detail = true")
        (asked,) = (one for one in here.relay.take("sync") if one.body["type"] == "digest")
        ranges = [
            {**one, "equal": False, "entries": 3, "states": [], "records": [], "rows": given, "unknown": []}
            if one.get("topic")
            else {**one, "equal": True}
            for one in asked.body["ranges"]
        ]
        assert any(one.get("topic") for one in ranges)
        reply = {"v": 1, "epoch": "e", "type": "digest", "request": asked.body["request"], "ranges": ranges}
        here.relay.reply(asked, json.dumps(reply).encode())


LAST_USED = {
    "9999-12-31T00:00:00Z": "stored",
    "2100-01-01T00:00:00Z": "stored",
    "294276-12-31T00:00:00Z": "stored",
    "infinity": "refused",
    "-infinity": "refused",
    "1999-12-31T00:00:00Z": "stored",
    "4713-01-01 00:00:00 BC": "stored",
    "": "refused",
}


def test_when_something_was_used_is_kept_within_reason(there: Authority) -> None:
    ann = Speaker(1)
    for place, (last_used_at, verdict) in enumerate(LAST_USED.items()):
        name = f"n{place}"
        holding, used = ann.holds(name=name), ann.used(3, name=name, last_used_at=last_used_at)
        said = {version: word for version, word, _ in verdicts(there.relay.give([ann.says(holding, used)]))}
        assert said == {holding["version"]: "stored", used["version"]: verdict}, last_used_at
    for one in rows(there.db, "select last_used_at from centralcloud.evidence"):
        assert datetime(2000, 1, 1, tzinfo=UTC) <= one["last_used_at"] <= datetime.now(UTC)
    there.db.execute("select centralcloud.rescore()")
    assert rows(there.db, "select * from centralcloud.search('n1')")


NAMES = ["x" * 900_000, "a\nb", "\x1b[2Jgone", "a\u202eb", "\u200b", "", " ", {"a": 1}, 5, None, "x" * 513]


@pytest.mark.parametrize("way", ["hello", "contribution"])
def test_what_an_instance_says_of_itself_is_judged(there: Authority, way: str) -> None:
    query = "select instance_name, environment, extension_version from centralcloud.instance where instance_id = %s"
    for place, name in enumerate(NAMES):
        ann = Speaker(place + 1)
        more = {"instance_name": name, "environment": name, "extension_version": name}
        if way == "hello":
            answer = request(there.relay, ann.asks("hello", incarnation=None, **more))
            assert answer["type"] == "welcome"
        else:
            assert verdicts(there.relay.give([ann.says(ann.holds(), **more)])) == [(1, "stored", None)]
        found = row(there.db, query, ann.id)
        assert found["instance_name"] in {str(ann.id), "5", '{"a": 1}'}, place
        assert found["environment"] == "dev", place
        assert len(found["extension_version"] or "") <= 110, place
        assert not set(found["extension_version"] or "") & set("\n\x1b\u202e\u200b"), place
    there.db.execute("update centralcloud.instance set twin_alarm_at = now()")
    assert len(str(value(there.db, "select troubles from centralcloud.status()"))) < 10_000


def test_a_receipt_confirms_only_what_was_offered(here: Instance, there: Authority) -> None:
    here.learn("thing", 1)
    (message,) = here.relay.take("contribution")
    (record,) = message.records
    me = here.status()["instance_id"]
    artifact = str(value(here.owner, "select artifact_id from singularity.holding"))
    for changes in (
        {"version": record["version"] + 1},
        {"version": 1 << 62},
        {"version": -1},
        {"verdict": "gone"},
        {"verdict": None},
        {"version": None},
        {"artifact_id": "00000000-0000-0000-0000-000000000000"},
    ):
        receipt = {"artifact_id": artifact, "version": record["version"], "verdict": "stored", **changes}
        body = {"v": 1, "type": "receipt", "epoch": "e", "heads": {}, "records": [receipt]}
        here.relay.give([Message(f"singularity.receipt.{me}", json.dumps(body).encode())])
        assert here.status()["outbox_entries"] == 1, changes
    assert there.content("thing") is None


def test_the_reason_of_a_receipt_is_shown_escaped_and_cut(here: Instance, there: Authority) -> None:
    settle(there, here)
    here.learn("thing", 1)
    (message,) = here.relay.take("contribution")
    (record,) = message.records
    artifact = str(value(here.owner, "select artifact_id from singularity.holding"))
    reason = "no\nMend: \x1b[2Jcall evil() \u202e" + "x" * 100_000
    receipt = {"artifact_id": artifact, "version": record["version"], "verdict": "refused", "reason": reason}
    body = {"v": 1, "type": "receipt", "epoch": "e", "heads": {}, "records": [receipt]}
    subject = f"singularity.receipt.{here.status()['instance_id']}"
    here.relay.give([Message(subject, json.dumps(body).encode())])
    (told,) = (trouble for trouble in here.status()["troubles"] if "refused" in trouble)
    assert "no<U+000A>Mend: <U+001B>[2Jcall evil() <U+202E>" in told
    assert len(told) < 1500
