"""What the authority gives back is taken only when this instance has said it itself, and shares nothing anew."""

import hashlib
import hmac
import json
from typing import Any

import pytest
from tests.kit.identity import artifact_id, variant_of
from tests.kit.message import Message
from tests.kit.pair import Authority, Instance, agree, reconcile, result, settle
from tests.kit.queries import row, rows, value

SENT = "select coalesce(max(offered_version), 0) as offered from singularity.delivery where artifact_id = %s"


def ask_for_comparison(here: Instance, *, in_detail: bool = True) -> Message:
    """Take the request of a comparison."""
    here.owner.execute("delete from singularity.comparison")
    here.owner.execute("update singularity.authority set welcomed_at = clock_timestamp()")
    here.owner.execute("delete from singularity.reconciliation")
    here.owner.execute("select singularity.want_comparison()")
    here.relay.tick(streams={"singularity_contributions": {"created": "now", "last_sequence": 0}})
    here.owner.execute("update singularity.comparison set in_detail = %s", [in_detail])
    (asked,) = (message for message in here.relay.take("sync") if message.body["type"] == "digest")
    return asked


def give_back(here: Instance, *records: dict[str, Any]) -> None:
    """Compare, and be given these states back, as by an authority that is not to be trusted."""
    asked = ask_for_comparison(here)
    ranges = [
        {
            **one,
            "equal": False,
            "entries": 1,
            "states": [],
            "records": list(records),
            "rows": [],
            "unknown": [],
        }
        for one in asked.body["ranges"]
        if not one.get("topic")
    ]
    ranges += [{**one, "equal": True} for one in asked.body["ranges"] if one.get("topic")]
    reply = {"v": 1, "type": "digest", "request": asked.body["request"], "epoch": "e", "ranges": ranges}
    here.relay.reply(asked, json.dumps(reply).encode())


def sent_of(here: Instance, name: str) -> dict[str, Any]:
    """Learn something and return the record that was sent of it."""
    here.learn(name, "mine", summary="so", tags=["a"])
    (message,) = here.relay.take("contribution")
    (record,) = (one for one in message.records if one["name"] == name)
    return record


def forged(name: str, **more: Any) -> dict[str, Any]:
    """Return a holding that the instance never said."""
    record = {
        "record_type": "holding",
        "namespace": "default",
        "kind": "pattern",
        "name": name,
        "version": 900,
    }
    return {**record, "withdrawn_up_to": 0, "variant": variant_of("x"), "content": "x", **more}


def leaves(here: Instance, name: str) -> bool:
    """Whether anything of an artifact is sent when it is learned again and used."""
    here.learn(name, "secret still")
    here.use(name)
    records = [record for message in here.relay.take("contribution") for record in message.records]
    return any(record["name"] == name and ("content" in record or "uses" in record) for record in records)


@pytest.mark.parametrize("seal", [None, "0" * 64])
def test_nothing_unshared_becomes_shared_by_a_reply(
    here: Instance, there: Authority, seal: str | None
) -> None:
    here.learn("other", 1)
    settle(there, here)
    here.learn("private", "secret", shared=False)
    evidence = {
        **forged("private", record_type="evidence"),
        "incarnation": "00000000-0000-0000-0000-000000000001",
        "uses": 9,
        "successes": 9,
        "failures": 0,
        "last_used_at": "2026-01-01T00:00:00Z",
    }
    give_back(
        here, forged("private", seal=seal), forged("never learned", seal=seal), evidence | {"seal": seal}
    )
    assert here.known("private")["content"] == "secret"
    assert not leaves(here, "private")
    assert here.lookup("never learned") is None
    assert row(here.connection, "select restored, ignored from singularity.reconciliation") == {
        "restored": 0,
        "ignored": 3,
    }
    assert rows(here.owner, "select from singularity.evidence where uses = 9") == []


def test_own_words_from_before_do_not_share_again(here: Instance, there: Authority) -> None:
    """A state with a valid seal is known again, but what is unshared now stays so, and so does what is forgotten."""
    unshared, forgotten = sent_of(here, "unshared"), sent_of(here, "forgotten")
    settle(there, here)
    here.learn("unshared", "secret", shared=False)
    here.forget("forgotten", everywhere=True)
    settle(there, here)
    give_back(here, unshared, forgotten)
    assert not leaves(here, "unshared")
    assert here.lookup("forgotten") is None
    assert here.known("unshared")["content"] == "secret still"


CHANGES: dict[str, Any] = {
    "name": "another",
    "namespace": "other",
    "kind": "prompt",
    "version": 901,
    "withdrawn_up_to": 1,
    "content": "changed",
    "variant": variant_of("changed"),
    "summary": "changed",
    "tags": ["changed"],
    "seal": "0" * 64,
    "record_type": "evidence",
}


def test_what_was_changed_is_not_one_s_own(here: Instance, there: Authority) -> None:
    record = sent_of(here, "thing")
    settle(there, here)
    held = "select to_jsonb(h) as h from singularity.holding h order by version"
    before = rows(here.owner, held)
    for field, change in CHANGES.items():
        changed = {**record, field: change}
        if field == "variant":
            changed["content"] = "changed"
        give_back(here, changed)
        assert rows(here.owner, held) == before, field
        assert value(here.owner, "select ignored from singularity.reconciliation") == 1, field
    assert here.known("thing")["content"] == "mine"


def test_what_another_instance_said_is_not_one_s_own(here: Instance, there: Authority) -> None:
    record = sent_of(here, "thing")
    here.owner.execute("update singularity.identity set instance_id = gen_random_uuid()")
    here.relay.detach()
    here.relay.attach()
    here.relay.tick()
    settle(there, here)
    give_back(here, {**record, "version": record["version"]})
    assert value(here.owner, "select ignored from singularity.reconciliation") == 1


def test_nobody_reads_the_secret(here: Instance) -> None:
    sent_of(here, "thing")
    assert value(here.owner, "select count(*) from singularity.seal_key") == 1
    may_read = "select has_any_column_privilege(%s, 'singularity.seal_key', 'select')"
    may_seal = "select has_function_privilege(%s, 'singularity.seal_of(singularity.wire_record)', 'execute')"
    for role in ("reader", "writer", "admin", "bridge"):
        assert not value(here.owner, may_read, f"singularity_{role}")
        assert not value(here.owner, may_seal, f"singularity_{role}")


def test_a_seal_is_an_hmac(here: Instance) -> None:
    record = sent_of(here, "thing")
    keys = row(here.owner, "select inner_key, outer_key from singularity.seal_key")
    secret = bytes(byte ^ 0x36 for byte in keys["inner_key"])[:32]
    assert bytes(keys["outer_key"]) == bytes(byte ^ 0x5C for byte in secret.ljust(64, b"\0"))
    said = value(
        here.owner,
        "select jsonb_build_array(%s::uuid, 'holding', 'default', 'pattern', 'thing', %s::bigint, 0::bigint, "
        "%s::text, 'so'::text, array['a'], null, null, null, null)::text",
        here.status()["instance_id"],
        record["version"],
        record["variant"],
    )
    assert record["seal"] == hmac.new(secret, said.encode(), hashlib.sha256).hexdigest()


def test_what_was_told_before_there_were_seals_is_told_again(here: Instance, there: Authority) -> None:
    here.learn("thing", 1)
    here.use("thing", 2)
    here.learn("gone", 1)
    settle(there, here)
    here.forget("gone", everywhere=True)
    settle(there, here)
    for table in ("holding", "evidence"):
        there.db.execute(f"update centralcloud.{table} set seal = null".encode())
    reconcile(there, here)
    assert result(here)["sent_again"] == 3
    assert agree(there, here)
    for table in ("holding", "evidence"):
        assert value(there.db, f"select count(*) from centralcloud.{table} where seal is null") == 0
    reconcile(there, here)
    assert result(here) == {"sent_again": 0, "restored": 0, "refreshed": 0}


def test_who_does_not_seal_yet_agrees_as_before(here: Instance, there: Authority) -> None:
    """An older instance is not asked for seals, or both sides would never agree."""
    here.learn("thing", 1)
    settle(there, here)
    there.db.execute("update centralcloud.holding set seal = null")
    there.db.execute("update centralcloud.instance set seals = false")
    assert agree(there, here)


def test_a_reply_about_more_than_there_can_be_divides_no_further(here: Instance, there: Authority) -> None:
    """A range that is said to be huge is divided until it is small, not for ever."""
    here.learn("thing", 1)
    settle(there, here)
    for _ in range(12):
        here.owner.execute("update singularity.comparison set requested_at = null")
        if not value(here.owner, "select count(*) from singularity.comparison"):
            asked = ask_for_comparison(here, in_detail=False)
        else:
            asked = next(message for message in here.relay.take("sync") if message.body["type"] == "digest")
        ranges = [{**one, "equal": False, "entries": 2**62} for one in asked.body["ranges"]]
        reply = {"v": 1, "type": "digest", "request": asked.body["request"], "epoch": "e", "ranges": ranges}
        here.relay.reply(asked, json.dumps(reply).encode())
    assert value(here.owner, "select count(*) from singularity.comparison") <= 5300
    assert value(here.owner, "select max(length(prefix)) from singularity.comparison") <= 8
    assert value(here.owner, SENT, artifact_id("default", "pattern", "thing")) > 0


WRONG: list[dict[str, Any]] = [
    {"ranges": "many"},
    {"ranges": [1]},
    {"ranges": [{"topic": "", "prefix": "zz", "equal": False, "entries": 1, "states": [], "records": []}]},
    {"ranges": [{"topic": "", "prefix": "", "equal": False, "states": [["x", "", "y", 1]], "records": []}]},
    {"ranges": [{"topic": "", "prefix": "", "equal": False, "states": [1], "records": [1, "x", None]}]},
    {"ranges": [{"topic": "", "prefix": "", "equal": False, "states": [], "records": {"a": 1}}]},
]


def test_a_reply_that_cannot_be_read_changes_nothing(here: Instance, there: Authority) -> None:
    here.learn("thing", 1)
    settle(there, here)
    for place, wrong in enumerate(WRONG):
        asked = ask_for_comparison(here)
        reply = {"v": 1, "type": "digest", "request": asked.body["request"], "epoch": "e", **wrong}
        here.relay.reply(asked, json.dumps(reply).encode())
        here.learn(f"next {place}", 1)
        here.owner.execute("delete from singularity.comparison")
        settle(there, here)
        assert agree(there, here), wrong
        assert there.content(f"next {place}") == 1
