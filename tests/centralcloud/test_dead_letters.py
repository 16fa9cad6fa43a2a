"""A message that cannot be applied is put aside with its error, told of, replayable, and stops no other."""

import json

import psycopg
import pytest
from tests.kit.keys import meta_of
from tests.kit.message import Message
from tests.kit.queries import row, rows, value
from tests.kit.relay import Relay
from tests.kit.speaker import Speaker, speakers, verdicts

LETTERS = "select subject, error_code, error from centralcloud.dead_letter order by dead_letter_id"


def good_one(relay: Relay) -> bool:
    """Say whether the authority knows of the artifact "good" and of nothing else."""
    return rows(relay.connection, "select name from centralcloud.artifact") == [{"name": "good"}]


POISON = {
    "no UTF-8": (b"\xff\xfe", "22021"),
    "no JSON": (b"{", "22P02"),
    "nothing": (b"", "22P02"),
    "a zero character": (b'{"v": 1, "type": "contribution\\u0000"}', "22P05"),
    "no object": (b"[]", "22023"),
    "no type": (b'{"v": 1}', "22023"),
    "a type that is no string": (b'{"v": 1, "type": {}}', "22023"),
    "an unknown type": (b'{"v": 1, "type": "gossip", "instance": "ME", "records": []}', "0A000"),
    "no schema version": (b'{"type": "contribution", "instance": "ME", "records": []}', "0A000"),
    "a later schema version": (b'{"v": 2, "type": "contribution", "instance": "ME", "records": []}', "0A000"),
    "a schema version in text": (b'{"v": "1", "type": "contribution", "instance": "ME"}', "0A000"),
    "no instance": (b'{"v": 1, "type": "contribution", "records": []}', "42501"),
    "another instance": (
        b'{"v": 1, "type": "contribution", "instance": "%b", "records": []}' % str(Speaker(2).id).encode(),
        "42501",
    ),
    "records that are no array": (
        b'{"v": 1, "type": "contribution", "instance": "ME", "records": {}}',
        "22023",
    ),
    "a record that is no object": (
        b'{"v": 1, "type": "contribution", "instance": "ME", "records": [1]}',
        "22023",
    ),
}


@pytest.mark.parametrize("kind", POISON)
def test_poison_is_put_aside_with_its_error_and_stops_no_other(relay: Relay, kind: str) -> None:
    payload, error_code = POISON[kind]
    ann, bob = speakers(2)
    poison = ann.raw("contribute", payload.replace(b"ME", str(ann.id).encode()))
    good = bob.says(bob.holds("good", name="good"))
    receipts = [receipt for receipt in relay.give([poison, good, poison]) if str(bob.id) in receipt.subject]
    assert verdicts(receipts) == [(1, "stored", None)]
    (letter,) = rows(relay.connection, LETTERS)
    assert (letter["subject"], letter["error_code"]) == (poison.subject, error_code)
    assert letter["error"]
    assert good_one(relay)
    kept = "select payload, meta from centralcloud.dead_letter"
    assert row(relay.connection, kept) == {"payload": poison.payload, "meta": meta_of(poison.subject)}


def test_the_same_poison_again_is_the_same_dead_letter(relay: Relay) -> None:
    ann = Speaker(1)
    for payload in (b"one", b"one", b"two", b"one"):
        relay.give([ann.raw("contribute", payload)])
    assert value(relay.connection, "select dead_letters from centralcloud.status()") == 2


@pytest.mark.parametrize("subject", ["singularity.contribute.somebody", "singularity.contribute." + "-" * 36])
def test_a_subject_without_an_instance_is_nobody_s(relay: Relay, subject: str) -> None:
    ann = Speaker(1)
    message = ann.says(ann.holds())
    assert relay.give([Message(subject, message.payload)]) == []
    assert rows(relay.connection, LETTERS) == []
    assert row(relay.connection, "select reason, subject from centralcloud.rejection") == {
        "reason": "subject",
        "subject": subject,
    }
    assert rows(relay.connection, "select from centralcloud.instance") == []


def test_who_speaks_for_another_is_not_heard(relay: Relay) -> None:
    """The receipt goes to the subject's instance, which the broker vouches for, and nothing is applied."""
    ann, bob = speakers(2)
    forged = Message(f"singularity.contribute.{bob.id}", ann.says(ann.holds()).payload)
    receipts = relay.give([forged])
    assert [receipt.subject for receipt in receipts] == [f"singularity.receipt.{bob.id}"]
    ((version, verdict, reason),) = verdicts(receipts)
    assert (version, verdict) == (1, "refused")
    assert f"speaks for instance {ann.id}" in str(reason)
    for table in ("instance", "artifact", "holding", "contribution", "variant"):
        assert rows(relay.connection, f"select from centralcloud.{table}") == []


def test_a_later_schema_version_is_told_to_be_set_aside(relay: Relay) -> None:
    ann = Speaker(1)
    receipts = relay.give([ann.says(ann.holds(), ann.used(1), v=2)])
    told = "message of schema version 2, this side knows version 1"
    assert verdicts(receipts) == [(1, "refused", told), (2, "refused", told)]
    records = receipts[0].body["records"]
    assert [("variant" in record, "incarnation" in record) for record in records] == [
        (False, False),
        (True, True),
    ]


def test_an_unreadable_record_is_set_aside_and_no_other(relay: Relay) -> None:
    ann = Speaker(1)
    half = ann.says(ann.holds(name="half"), ann.used(1) | {"uses": "many"})
    said = sorted(verdicts(relay.give([half, ann.says(ann.holds("good", name="good"))])))
    assert [(version, verdict) for version, verdict, _ in said] == [
        (1, "stored"),
        (2, "refused"),
        (3, "stored"),
    ]
    assert value(relay.connection, "select dead_letters from centralcloud.status()") == 1
    assert value(relay.connection, "select count(*) from centralcloud.artifact") == 2


def test_many_poisoned_messages_do_not_hold_up_the_rest(relay: Relay) -> None:
    ann = Speaker(1)
    messages = [ann.raw("contribute", b"poison %d" % n) for n in range(20)]
    messages[7:7] = [ann.says(ann.holds(name="good"))]
    assert verdicts(relay.give(messages)) == [(1, "stored", None)]
    assert value(relay.connection, "select dead_letters from centralcloud.status()") == 20
    assert good_one(relay)


def test_an_error_of_the_server_is_no_poison(relay: Relay, authority_superuser: psycopg.Connection) -> None:
    """It is raised, so that the message comes again, and leaves no dead letter."""
    ann = Speaker(1)
    message = ann.says(ann.holds())
    authority_superuser.execute("set lock_timeout = '10s'; begin; lock table centralcloud.holding")
    relay.connection.execute("set lock_timeout = '10ms'")
    with pytest.raises(psycopg.errors.LockNotAvailable):
        relay.give([message])
    authority_superuser.execute("rollback")
    assert rows(relay.connection, LETTERS) == []
    assert verdicts(relay.give([message])) == [(1, "stored", None)]


def test_dead_letters_are_replayed_after_a_mend(
    relay: Relay, authority_db: psycopg.Connection, authority_superuser: psycopg.Connection
) -> None:
    ann = Speaker(1)
    authority_superuser.execute(
        "alter table centralcloud.contribution add constraint broken check (summary <> 'rare')"
    )
    try:
        hopeless, broken = ann.raw("contribute", b"hopeless"), ann.says(ann.holds(summary="rare"))
        receipts = relay.give([hopeless, broken, ann.says(ann.holds(name="y"))])
        assert [(v, verdict) for v, verdict, _ in verdicts(receipts)] == [(1, "refused"), (2, "stored")]
        assert value(authority_db, "select centralcloud.replay_dead_letters()") == 0
        assert value(authority_db, "select dead_letters from centralcloud.status()") == 2
    finally:
        authority_superuser.execute("alter table centralcloud.contribution drop constraint broken")
    while relay.take("refined"):
        pass
    assert value(authority_db, "select centralcloud.replay_dead_letters()") == 1
    assert [letter["error_code"] for letter in rows(authority_db, LETTERS)] == ["22P02"]
    assert "refined" in relay.arm()
    replayed = relay.take("refined")
    receipts = [message for message in replayed if ".receipt." in message.subject]
    assert receipts[0].subject == f"singularity.receipt.{ann.id}"
    assert verdicts(receipts)[-1] == (1, "stored", None)
    held = "select count(*) from centralcloud.artifact where variant is not null"
    assert value(authority_db, held) == 2


def test_a_replayed_letter_that_is_out_of_date_changes_nothing(
    relay: Relay, authority_db: psycopg.Connection, authority_superuser: psycopg.Connection
) -> None:
    ann = Speaker(1)
    late = ann.says(ann.holds("a"), v=2)
    relay.give([late])
    relay.give([ann.says(ann.holds("b"))])
    understood = json.dumps(late.body | {"v": 1}).encode()
    authority_superuser.execute("update centralcloud.dead_letter set payload = %s", [understood])
    assert value(authority_db, "select centralcloud.replay_dead_letters()") == 1
    known = "select content from centralcloud.artifact join centralcloud.variant using (artifact_id, variant)"
    assert row(authority_db, known) == {"content": "b"}
    assert rows(authority_db, "select variant, version from centralcloud.holding") == [
        {"variant": ann.holds("b")["variant"], "version": 2}
    ]


def test_only_a_curator_replays(relay: Relay) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        relay.connection.execute("select centralcloud.replay_dead_letters()")


def test_only_the_poisonous_record_of_a_message_is_put_aside(
    relay: Relay, authority_superuser: psycopg.Connection
) -> None:
    """What the rules do not foresee fails in the database; the records beside it are stored and confirmed."""
    authority_superuser.execute(
        "create function public.refuse() returns trigger language plpgsql as "
        "$$ begin raise exception 'no such luck'; end $$"
    )
    authority_superuser.execute(
        "create trigger refuse before insert on centralcloud.artifact for each row "
        "when (new.name = 'poison') execute function public.refuse()"
    )
    ann = Speaker(1)
    records = [ann.holds(name=name) for name in ("one", "poison", "two")]
    said = verdicts(relay.give([ann.says(*records, ann.used(2, name="two"))]))
    assert sorted(said) == [
        (1, "stored", None),
        (2, "refused", "no such luck"),
        (3, "stored", None),
        (4, "stored", None),
    ]
    assert [
        r["name"] for r in rows(relay.connection, "select name from centralcloud.artifact order by 1")
    ] == [
        "one",
        "two",
    ]
    (letter,) = rows(relay.connection, LETTERS)
    assert letter["error"] == "no such luck"
    authority_superuser.execute("drop function public.refuse() cascade")
    assert value(authority_superuser, "select centralcloud.replay_dead_letters()") == 1
    assert value(relay.connection, "select count(*) from centralcloud.artifact") == 3
    assert value(relay.connection, "select dead_letters from centralcloud.status()") == 0
