"""Dead letters are bounded: the body is kept once, each sender has its share, and the oldest give way."""

import json

import psycopg
import pytest
from tests.kit.keys import meta_of
from tests.kit.message import Message
from tests.kit.pair import Authority, Instance
from tests.kit.queries import row, rows, value
from tests.kit.speaker import Speaker, speakers, verdicts

KEPT = "select count(*) as letters, coalesce(sum(octet_length(payload)), 0) as bytes from centralcloud.dead_letter"


def broken(ann: Speaker, count: int, size: int = 0) -> Message:
    """Return a contribution in which no record can be read."""
    records = [{**ann.used(1, name=f"n{n}"), "uses": "many" + "x" * size} for n in range(count)]
    return ann.says(*records)


def poisons(ann: Speaker, count: int, size: int) -> list[Message]:
    """Return messages that cannot be read."""
    return [ann.raw("contribute", b"%06d" % n + b"x" * (size - 6)) for n in range(count)]


@pytest.mark.parametrize(("count", "size"), [(2, 20_000), (1000, 0)])
def test_the_body_is_kept_once_however_much_of_it_fails(there: Authority, count: int, size: int) -> None:
    message = broken(Speaker(1), count, size)
    said = verdicts(there.relay.give([message]))
    assert sorted(version for version, _, _ in said) == list(range(1, count + 1))
    assert {verdict for _, verdict, _ in said} == {"refused"}
    found = row(there.db, KEPT)
    assert found["letters"] == 1
    assert found["bytes"] <= len(message.payload)
    assert value(there.db, "select records from centralcloud.dead_letter") == count


def test_only_what_failed_is_kept_and_the_rest_is_applied(there: Authority) -> None:
    ann = Speaker(1)
    good = [ann.holds(name=f"good {n}") for n in range(150)]
    bad = [ann.used(1, name=f"bad {n}") | {"uses": "many"} for n in range(3)]
    message = ann.says(*good[:50], bad[0], *good[50:100], bad[1], bad[2], *good[100:])
    said = verdicts(there.relay.give([message]))
    assert sum(verdict == "stored" for _, verdict, _ in said) == 150
    assert sorted(version for version, verdict, _ in said if verdict == "refused") == [151, 152, 153]
    kept = json.loads(value(there.db, "select convert_from(payload, 'UTF8') from centralcloud.dead_letter"))
    assert [record["name"] for record in kept["records"]] == ["bad 0", "bad 1", "bad 2"]
    assert value(there.db, "select count(*) from centralcloud.artifact") == 150


def test_the_work_for_one_message_is_bounded(there: Authority) -> None:
    """Counted, not timed: how often the records of one message are tried."""
    there.db.execute("create sequence public.tries")
    there.db.execute("grant usage on sequence public.tries to public")
    there.db.execute(
        "create function public.count_try() returns trigger language plpgsql as "
        "$$ begin perform nextval('public.tries'); return null; end $$"
    )
    there.db.execute(
        "create trigger count_try before insert on centralcloud.artifact for each statement "
        "execute function public.count_try()"
    )
    there.db.execute(
        "create function public.refuse() returns trigger language plpgsql as $$ begin raise 'no'; end $$"
    )
    there.db.execute(
        "create trigger refuse before insert on centralcloud.artifact for each row execute function public.refuse()"
    )
    ann = Speaker(1)
    said = verdicts(there.relay.give([ann.says(*(ann.holds(name=f"n{n}") for n in range(1000)))]))
    assert {verdict for _, verdict, _ in said} == {"refused"}
    assert len(said) == 1000
    assert value(there.db, "select last_value from public.tries") <= 110
    assert row(there.db, KEPT)["letters"] == 1


@pytest.mark.parametrize(("count", "size"), [(120, 100), (30, 100_000)])
def test_one_sender_takes_no_more_than_its_share(there: Authority, count: int, size: int) -> None:
    ann, bob = speakers(2)
    there.relay.give(poisons(bob, 1, 50))
    for at in range(0, count, 50):
        there.relay.give(poisons(ann, count, size)[at : at + 50])
    query = """
        select count(*) as letters, sum(octet_length(payload)) as bytes, max(left(encode(payload, 'escape'), 6)) as last
        from centralcloud.dead_letter where subject = %s
    """
    kept = row(there.db, query, ann.says().subject)
    assert kept["letters"] <= 100
    assert kept["bytes"] <= 2_000_000
    assert kept["last"] == f"{count - 1:06}"
    assert row(there.db, query, bob.says().subject)["letters"] == 1
    dropped = value(there.db, "select dropped from centralcloud.dropped_letter")
    assert dropped == count - kept["letters"]
    told = value(there.db, "select array_to_string(troubles, ' ') from centralcloud.status()")
    assert f"{dropped} older ones were dropped" in told


def test_all_senders_together_take_no_more_than_there_is(there: Authority) -> None:
    for ann in speakers(11):
        there.relay.give(poisons(ann, 20, 99_000))
    found = row(there.db, KEPT)
    assert found["bytes"] <= 20_000_000
    for ann in speakers(12):
        there.relay.give(poisons(ann, 99, 10))
    found = row(there.db, KEPT)
    assert found["letters"] <= 1000


def test_an_instance_keeps_no_more_either(here: Instance) -> None:
    subject = f"singularity.receipt.{here.status()['instance_id']}"
    here.relay.give([Message(subject, b"%06d" % n + b"x" * 100) for n in range(120)])
    for n in range(25):
        here.relay.give([Message(subject, b"%06d" % n + b"x" * 100_000)])
    here.relay.tick()
    found = row(here.owner, KEPT.replace("centralcloud", "singularity"))
    assert found["letters"] <= 100
    assert found["bytes"] <= 2_000_000


def test_dead_letters_are_listed_and_discarded(there: Authority) -> None:
    ann, bob = speakers(2)
    there.relay.give([*poisons(ann, 3, 40), *poisons(bob, 2, 50), broken(bob, 2)])
    listed = rows(
        there.db,
        "select sender, size, records, error_code from centralcloud.dead_letters order by dead_letter_id",
    )
    assert [one["sender"] for one in listed] == [str(ann.id)] * 3 + [str(bob.id)] * 3
    assert [one["size"] for one in listed[:5]] == [40] * 3 + [50] * 2
    assert [one["records"] for one in listed] == [None] * 5 + [2]
    discard = "select centralcloud.discard_dead_letters({})"
    assert value(there.db, discard.format("older_than => '1 hour'")) == 0
    assert value(there.db, discard.format("sender => 'nobody'")) == 0
    assert value(there.db, discard.format(f"sender => '{ann.id}'")) == 3
    there.db.execute(
        "update centralcloud.dead_letter set received_at = now() - interval '2 days' where records = 2"
    )
    assert value(there.db, discard.format("older_than => '1 day'")) == 1
    assert value(there.db, discard.format("")) == 2
    assert row(there.db, KEPT)["letters"] == 0


def test_who_may_discard(there: Authority, here: Instance) -> None:
    with there.database.connect() as curator:
        assert value(curator, "select centralcloud.discard_dead_letters()") == 0
        assert rows(curator, "select * from centralcloud.dead_letters") == []
    for connection, schema in (
        (there.relay.connection, "centralcloud"),
        (here.relay.connection, "singularity"),
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(f"select {schema}.discard_dead_letters()".encode())


def test_a_part_is_replayed_as_it_was(there: Authority) -> None:
    ann = Speaker(1)
    there.db.execute("alter table centralcloud.contribution add constraint broken check (summary <> 'rare')")
    records = [
        ann.holds(name="one"),
        ann.holds(name="two", summary="rare"),
        ann.holds(name="three", summary="rare"),
    ]
    there.relay.give([ann.says(*records)])
    assert row(there.db, KEPT)["letters"] == 1
    there.db.execute("alter table centralcloud.contribution drop constraint broken")
    assert value(there.db, "select centralcloud.replay_dead_letters()") == 1
    assert row(there.db, KEPT)["letters"] == 0
    assert value(there.db, "select count(*) from centralcloud.artifact where variant is not null") == 3


def test_what_is_not_authentic_is_no_dead_letter(there: Authority) -> None:
    ann = Speaker(1)
    there.relay.give([ann.says(ann.holds())])
    call = "select * from centralcloud.bridge_receive(%s, %s, %s)"
    message = poisons(ann, 1, 50)[0]
    meta = psycopg.types.json.Jsonb({**meta_of(message.subject), "signer": None})
    there.relay.connection.execute(call, [[message.subject], [message.payload], [meta]])
    assert row(there.db, KEPT)["letters"] == 0
