"""No number that came from outside ends learning here, or makes an instance unheard there."""

import json
from typing import Any

import psycopg
import pytest
from tests.kit.instance_relay import refined
from tests.kit.keys import meta_of
from tests.kit.message import Message
from tests.kit.pair import Authority, Instance, agree, settle
from tests.kit.queries import rows, value
from tests.kit.speaker import Speaker, request, verdicts

GREATEST = 2**63 - 1
NUMBERS = [
    str(GREATEST),
    str(GREATEST + 1),
    "9000000000000000000",
    str(2**53),
    str(2**53 - 1),
    str(2**51),
    "-1",
    f"-{GREATEST}",
    "1e18",
    "1e131071",
    "1e400000",
    "1.5",
    '"many"',
    "[]",
    "{}",
    "true",
]


UNREAD = ["1e131071", "1e400000"]


def works(here: Instance, there: Authority, name: str) -> None:
    """Learning, outcomes and forgetting work, and the authority hears of them."""
    here.learn(name, 1)
    here.learn(f"{name} gone", 1)
    here.use(name, 2)
    here.forget(f"{name} gone", everywhere=True)
    settle(there, here)
    assert there.content(name) == 1
    assert there.counters(name) == (2, 2)
    assert here.status()["outbox_entries"] == 0
    assert agree(there, here)


def say_hello(here: Instance) -> Message:
    """Take the hello that is due."""
    here.owner.execute("update singularity.authority set hello_sent_at = null, welcomed_at = null")
    here.relay.tick()
    (hello,) = (message for message in here.relay.take("sync") if message.body["type"] == "hello")
    return hello


def reply(here: Instance, message: Message, text: str) -> None:
    """Let a reply arrive that says this besides, as the authority."""
    said = {"v": 1, "request": message.body["request"], "epoch": "e"}
    here.relay.reply(message, f"{json.dumps(said)[:-1]}, {text}}}".encode())


def push(here: Instance, subject: str, text: str) -> None:
    """Let a message of the authority arrive in these words."""
    call = "select * from singularity.bridge_receive(%s, %s, %s)"
    payload = f'{{"v": 1, "epoch": "e", {text}}}'.encode()
    here.relay.connection.execute(call, [[subject], [payload], [psycopg.types.json.Jsonb(meta_of(subject))]])


def test_a_welcome_with_a_number_that_cannot_be_ends_nothing(here: Instance, there: Authority) -> None:
    works(here, there, "before")
    for number in NUMBERS:
        hello = say_hello(here)
        reply(here, hello, f'"type": "welcome", "heads": {{}}, "known_version": {number}')
        here.learn(f"meanwhile {number}", 1)
        here.use(f"meanwhile {number}")
        assert here.forget(f"meanwhile {number}")
        assert value(here.owner, "select last_value from singularity.version") < 1000, number
        assert any("could not be applied" in trouble for trouble in here.status()["troubles"]), number
        here.owner.execute("update singularity.authority set hello_sent_at = null")
        works(here, there, f"after {number}")
        assert not any("could not be applied" in trouble for trouble in here.status()["troubles"]), number


def test_a_plausible_welcome_is_taken(here: Instance, there: Authority) -> None:
    """An instance that was restored goes on above what the authority knows."""
    works(here, there, "before")
    hello = say_hello(here)
    reply(here, hello, '"type": "welcome", "heads": {}, "known_version": 1000000')
    assert value(here.owner, "select last_value from singularity.version") >= 1000000
    works(here, there, "after")


def test_heads_pushes_and_pages_with_a_number_that_cannot_be_end_nothing(
    here: Instance, there: Authority
) -> None:
    here.call("follow", kind="pattern")
    works(here, there, "before")
    topic = '"namespace": "default", "kind": "pattern"'
    subject = "singularity.refined.default.pattern"
    for number in NUMBERS:
        row = json.dumps(refined(f"forged {number}", kind="pattern") | {"revision": 0, "uses": 1})
        push(here, "singularity.heads", f'"type": "heads", "heads": {{"default/pattern": {number}}}')
        push(here, "singularity.heads", f'"type": "heads", "heads": {{}}, "stream_passed": {number}')
        for one in (
            row.replace('"revision": 0', f'"revision": {number}'),
            row.replace('"uses": 1', f'"uses": {number}'),
        ):
            push(here, subject, f'"type": "refined", {topic}, "from": 1, "to": 2, "rows": [{one}]')
        for span in (f'"from": {number}, "to": 2', f'"from": 1, "to": {number}'):
            push(here, subject, f'"type": "refined", {topic}, {span}, "rows": []')
    most = value(here.owner, "select max(greatest(head, position)) from singularity.topic")
    assert most < 2**53
    great = "select count(*) from singularity.central_copy where greatest(revision, uses) >= 2::numeric ^ 53"
    assert value(here.owner, great) == 0
    here.owner.execute("delete from singularity.dead_letter")
    works(here, there, "after")


def test_a_record_with_a_number_that_cannot_be_leaves_its_instance_heard(there: Authority) -> None:
    for place, number in enumerate([*NUMBERS, *NUMBERS]):
        ann, bob = Speaker(2 * place + 1), Speaker(2 * place + 2)
        there.relay.give([ann.says(ann.holds("first", name=f"first {place}"))])
        kind = "Not Valid" if place < len(NUMBERS) else "k"
        there.relay.give([said(ann, ann.holds("x", kind=kind, version=-77), "-77", number)])
        known = request(there.relay, ann.asks("hello", incarnation=None))["known_version"]
        assert known == 1, number
        ann.version = 1
        assert verdicts(there.relay.give([ann.says(ann.holds("next", name=f"next {place}"))])) == [
            (2, "stored", None)
        ], number
        assert verdicts(there.relay.give([bob.says(bob.holds())])) == [(1, "stored", None)], number


def test_counters_that_cannot_be_are_refused_alone(there: Authority) -> None:
    ann = Speaker(1)
    for number in NUMBERS:
        for field in ("uses", "successes", "failures", "withdrawn_up_to"):
            name = f"{field} {number}"
            good = ann.holds(name=name)
            other = (
                ann.holds("x", name=f"other {name}") if field == "withdrawn_up_to" else ann.used(1, name=name)
            )
            there.relay.give([said(ann, good, "-77", number, other | {field: -77})])
            # what would become a hundred thousand digits is not even read
            assert there.content(name) == ("a" if number not in UNREAD else None), name
    kept = """
        select e.uses from centralcloud.evidence e
        where e.uses > 2::numeric ^ 53 or e.uses < 0 or e.successes > e.uses
    """
    assert rows(there.db, kept) == []
    there.db.execute("select centralcloud.rescore()")
    last = ann.used(3)
    assert verdicts(there.relay.give([ann.says(last)])) == [(last["version"], "stored", None)]


def said(ann: Speaker, record: dict[str, Any], word: str, number: str, *more: dict[str, Any]) -> Message:
    """Return a contribution in which a number is written so."""
    message = ann.says(record, *more)
    return Message(message.subject, message.payload.replace(word.encode(), number.encode()))


def test_a_version_does_not_leap(there: Authority) -> None:
    ann = Speaker(1)
    there.relay.give([ann.says(ann.holds(version=5))])
    ((_, verdict, reason),) = verdicts(there.relay.give([ann.says(ann.holds("b", version=2**50))]))
    assert verdict == "refused"
    assert "leaps" in str(reason)
    assert verdicts(there.relay.give([ann.says(ann.holds("c", version=6))])) == [(6, "stored", None)]


@pytest.mark.parametrize(("reached", "learned_there"), [(GREATEST, True), (9 * 10**18, False), (2**53, True)])
def test_who_was_hit_before_is_mended_when_the_bridge_attaches(
    here: Instance, there: Authority, reached: int, learned_there: bool
) -> None:
    works(here, there, "before")
    here.learn("hidden", 1)
    settle(there, here)
    here.owner.execute("select setval('singularity.version', %s)", [reached - 1000])
    here.owner.execute("update singularity.identity set known_version = %s", [reached - 1000])
    if learned_there:
        here.learn("late", 1)
        here.learn("late", 2)
        here.learn("hidden", 1, shared=False)
        here.forget("before", everywhere=True)
        here.learn("before", 3)
        here.use("late", 2)
    here.owner.execute("select setval('singularity.version', %s)", [reached])
    there.db.execute("update centralcloud.instance set greatest_version = %s", [reached])
    if learned_there:
        there.db.execute("update centralcloud.holding set version = %s where version > 4", [reached - 500])
        there.db.execute("update centralcloud.holding set withdrawn_up_to = version where variant is null")
    for relay in (here.relay, there.relay):
        relay.detach()
        relay.attach()
        relay.tick()
    assert value(here.owner, "select last_value from singularity.version") < 100
    works(here, there, "after")
    if learned_there:
        assert here.known("late")["content"] == 2
        history = here.call("history", kind="pattern", name="late")
        assert [old["content"] for old in history if old["origin"] == "local"] == [2, 1]
        assert there.content("late") == 2
        assert there.content("before") == 3
        assert there.content("hidden") is None
        assert there.counters("late") == (2, 2)


def test_one_call_mends_as_well(here: Instance, there: Authority) -> None:
    works(here, there, "before")
    here.owner.execute("select setval('singularity.version', %s)", [GREATEST])
    with pytest.raises(psycopg.Error):
        here.learn("late", 1)
    assert value(here.owner, "select singularity.repair_versions()")
    assert not value(here.owner, "select singularity.repair_versions()")
    there.db.execute("update centralcloud.instance set greatest_version = %s", [GREATEST])
    assert value(there.db, "select centralcloud.repair_versions()") == 1
    assert value(there.db, "select centralcloud.repair_versions()") == 0
    works(here, there, "after")
