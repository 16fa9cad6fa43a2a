"""Whatever one message holds, it stops no other: it is applied, refused alone, or kept as a dead letter unread."""

import json
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb
from tests.kit.identity import variant_of
from tests.kit.instance_relay import refined
from tests.kit.message import Message
from tests.kit.pair import Authority, Instance, agree, settle
from tests.kit.queries import refused, row, value
from tests.kit.speaker import Speaker, verdicts

LETTERS = "select count(*) from {}.dead_letter"


def nested(depth: int, text: str = "1") -> str:
    """Return JSON of arrays in arrays."""
    return "[" * depth + text + "]" * depth


def objects(depth: int) -> str:
    """Return JSON of objects in objects."""
    return '{"a":' * depth + "1" + "}" * depth


CONTENTS = {
    "arrays, 20,000 deep": nested(20_000),
    "arrays, 5,000 deep": nested(5_000),
    "arrays, 300 deep": nested(300),
    "objects, 40,000 deep": objects(40_000),
    "objects, 1,000 deep": objects(1_000),
    "deep beside much": json.dumps({str(n): n for n in range(5000)})[:-1] + f', "d": {nested(2_000)}}}',
    "30,000 keys": json.dumps({str(n): 0 for n in range(30_000)}),
    "100,000 elements": json.dumps([1] * 100_000),
    "one long word": json.dumps("x" * 250_000),
    "many long words": json.dumps(" ".join(f"{n}" + "y" * 3000 for n in range(80))),
    "many words": json.dumps(" ".join(f"w{n}" for n in range(40_000))),
    "one word many times": json.dumps("word " * 50_000),
    "no blanks": json.dumps("漢" * 80_000, ensure_ascii=False),
    "combining marks": json.dumps("a" + "\u0301" * 100_000, ensure_ascii=False),
    "operators of searches": json.dumps("& | ! <-> :* ( ) ' \\ \" " * 9_000),
    "1e400000": "1e400000",
    "1e131071": "1e131071",
    "1e-400000": "1e-400000",
    "1e-16383": "[" + ",".join(["1e-16383"] * 2000) + "]",
    "many great numbers": "[" + ",".join(["1e131071"] * 2000) + "]",
    "great numbers after blanks": "[" + ", ".join(["\n 1E+131071"] * 500) + "]",
    "digits": "9" * 200_000,
    "a lone surrogate": '"\\ud800"',
    "a surrogate the wrong way": '"\\udc00\\ud800"',
    "a zero character": '"a\\u0000b"',
    "no UTF-8": '"\udcff\udcfe"',
    "a key twice": '{"a": 1, "a": 2}',
    "a key without end": '{"' + "k" * 250_000 + '": 1}',
    "not closed": nested(10)[:-3],
    "NaN": "NaN",
    "more than is allowed": json.dumps("x" * 300_000),
    "words of XML": json.dumps("<!DOCTYPE a [<!ENTITY b 'c'>]>" * 5000),
    "addresses": json.dumps(" ".join(f"http://a{n}.example/{'p' * 900}?q" for n in range(250))),
}


def raw_of(text: str) -> bytes:
    """Return the bytes of a JSON text; lone surrogates stand for bytes that are no UTF-8."""
    return text.encode(errors="surrogateescape")


def contribution(ann: Speaker, content: str) -> Message:
    """Return a contribution of this content, beside a good record."""
    try:
        variant = variant_of(json.loads(content)) if len(content) < 1000 else variant_of(content)
    except (ValueError, RecursionError):
        variant = variant_of("x")
    record = ann.holds("WORD", name="poison", variant=variant)
    message = ann.says(record)
    return Message(message.subject, message.payload.replace(b'"WORD"', raw_of(content)))


def test_no_content_stops_the_authority(there: Authority) -> None:
    there.relay.connection.execute("set statement_timeout = '20s'")
    for place, kind in enumerate(CONTENTS):
        ann, bob = Speaker(2 * place + 1), Speaker(2 * place + 2)
        poison = contribution(ann, CONTENTS[kind])
        good = bob.says(bob.holds("good", name=f"good {place}"))
        there.relay.give([poison])
        receipts = there.relay.give([poison, good, poison])
        said = [word for one in receipts if str(bob.id) in one.subject for word in verdicts([one])]
        assert said == [(1, "stored", None)], kind
        later = ann.says(ann.holds("later", name=f"later {place}"))
        assert [verdict for _, verdict, _ in verdicts(there.relay.give([later]))] == ["stored"], kind
        there.relay.tick()
        while there.relay.take("refined"):
            pass
        assert there.content(f"good {place}") == "good", kind
    assert value(there.db, "select count(*) from centralcloud.search('good')") > 0
    assert value(there.db, LETTERS.format("centralcloud")) <= len(CONTENTS)


def test_every_content_with_its_true_hash_is_stored_or_refused_alone(there: Authority) -> None:
    """As an instance sends what it has learned: beside other records, which are stored whatever comes of it."""
    for place, kind in enumerate(CONTENTS):
        ann = Speaker(place + 1)
        try:
            variant = value(there.db, "select centralcloud.variant_of(%s::text::jsonb)", CONTENTS[kind])
            content = value(there.db, "select %s::text::jsonb::text", CONTENTS[kind])
        except (psycopg.Error, UnicodeEncodeError):
            continue  # nobody has learned it
        if len(content) > 1 << 18:
            continue
        message = ann.says(ann.holds("WORD", name="true", variant=variant), ann.holds(name=f"other {place}"))
        message = Message(message.subject, message.payload.replace(b'"WORD"', raw_of(content)))
        said = {
            version: (verdict, reason) for version, verdict, reason in verdicts(there.relay.give([message]))
        }
        assert said[2] == ("stored", None), kind
        there.relay.tick()
    there.db.execute("select centralcloud.rescore()")


def test_no_content_stops_an_instance(here: Instance, there: Authority) -> None:
    """As a push, a receipt, a heartbeat and an answer."""
    here.call("follow", kind="k")
    settle(there, here)
    topic = '"namespace": "default", "kind": "k"'
    me = here.status()["instance_id"]
    for place, kind in enumerate(CONTENTS):
        content = raw_of(CONTENTS[kind])
        rows = json.dumps([refined("poison", "WORD", kind="k"), refined("good", kind="k")])
        bodies = {
            "singularity.refined.default.k": f'"type": "refined", {topic}, "from": 0, "to": 2, "rows": {rows}',
            f"singularity.receipt.{me}": '"type": "receipt", "heads": {}, "records": ["WORD"]',
            "singularity.heads": '"type": "heads", "heads": "WORD"',
        }
        for subject, body in bodies.items():
            payload = f'{{"v": 1, "epoch": "e", {body}}}'.encode().replace(b'"WORD"', content)
            here.relay.give([Message(subject, payload), Message(subject, payload)])
        assert here.lookup(f"unknown to all {place}") is None
        for message in here.relay.take("question"):
            said = f'"type": "answer", "request": "{message.body["request"]}", "heads": {{}}, "rows": {rows}'
            payload = f'{{"v": 1, "epoch": "e", {said}}}'.encode().replace(b'"WORD"', content)
            here.relay.reply(message, payload)
        good = {
            "type": "refined",
            "v": 1,
            "epoch": "e",
            "namespace": "default",
            "kind": "k",
            "from": 2,
            "to": 3,
        }
        good["rows"] = [refined(f"next {place}", kind="k", revision=3)]
        here.relay.give([Message("singularity.refined.default.k", json.dumps(good).encode())])
        assert here.known(f"next {place}", kind="k")["content"] == "central", kind
    here.owner.execute("delete from singularity.question")
    here.learn("mine", 1)
    settle(there, here)
    assert agree(there, here)
    assert value(here.owner, LETTERS.format("singularity")) <= 100


def test_what_is_nested_too_deep_is_not_learned(here: Instance) -> None:
    for text in (nested(201), objects(201), nested(5000), f'{{"a": {nested(200)}}}'):
        for call, given in (
            ("learn('k', 'x', %s::text::jsonb)", text),
            ("learn_many(%s::text::jsonb)", f'[{{"kind": "k", "name": "x", "content": {text}}}]'),
        ):
            with refused("54000", "content is nested deeper than 200 levels", hint=""):
                here.connection.execute(f"select singularity.{call}".encode(), [given])
    assert value(here.owner, "select count(*) from singularity.holding") == 0


def test_what_is_nested_to_the_bound_travels(here: Instance, there: Authority) -> None:
    for name, text in (("a", nested(200)), ("b", objects(200))):
        here.connection.execute("select singularity.learn('k', %s, %s::text::jsonb)", [name, text])
        settle(there, here)
        assert there.content(name) == json.loads(text)


def test_what_was_learned_deeper_before_the_rule_keeps_nothing_else_back(
    here: Instance, there: Authority
) -> None:
    here.learn("before", 1)
    here.owner.execute(
        "insert into singularity.holding (artifact_id, namespace, kind, name, variant, content, shared) "
        "select singularity.artifact_id('default', 'k', 'deep'), 'default', 'k', 'deep', singularity.variant_of(c), "
        "c, true from (select %s::text::jsonb as c) as d",
        [nested(5_000)],
    )
    here.owner.execute("select singularity.backfill()")
    here.learn("after", 1)
    settle(there, here)
    assert (there.content("before"), there.content("after")) == (1, 1)
    assert there.content("deep") is None
    assert value(here.owner, "select count(*) from singularity.lookup('k', 'deep')") == 1


def test_a_deep_record_is_refused_alone(there: Authority) -> None:
    ann = Speaker(1)
    deep = json.loads(nested(250))
    said = verdicts(there.relay.give([ann.says(ann.holds(deep, name="deep"), ann.holds(name="other"))]))
    assert sorted(said) == [
        (1, "refused", "content is nested deeper than 200 levels"),
        (2, "stored", None),
    ]


def test_a_message_is_put_aside_unread(there: Authority) -> None:
    """What the bridge could neither have applied nor kept: nobody looks into it, but it is seen whose it is."""
    ann = Speaker(1)
    message = ann.raw("contribute", b"\xff" + nested(20_000).encode())
    there.relay.connection.execute(
        "select centralcloud.bridge_put_aside(%s, %s, %s, %s)",
        [message.subject, message.payload, Jsonb({}), "canceling statement\n\x1b[2J due to \u202etimeout"],
    )
    assert row(there.db, "select sender, size, error_code, error from centralcloud.dead_letters") == {
        "sender": str(ann.id),
        "size": len(message.payload),
        "error_code": "SGV03",
        "error": "canceling statement<U+000A><U+001B>[2J due to <U+202E>timeout",
    }
    told = value(there.db, "select array_to_string(troubles, ' ') from centralcloud.status()")
    assert str(ann.id) in told
    assert "timeout" in told
    assert value(there.db, "select centralcloud.replay_dead_letters()") == 0
    assert value(there.db, "select count(*) from centralcloud.dead_letters") == 1


def test_only_the_bridge_puts_aside(here: Instance, there: Authority) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        here.connection.execute("select singularity.bridge_put_aside('a', '', '{}', 'b')")


BODIES: list[Any] = [
    [],
    {"records": [{}] * 1001},
    {"records": [{"name": "x" * 500_000}]},
    {"records": {"a": []}},
    {"records": [[[]]]},
    {"records": [None]},
    {"records": None},
    {"records": [{"record_type": "holding", "tags": [["a"]], "version": 1}]},
    {"records": [{"record_type": "holding", "tags": "x", "version": {"a": 1}}]},
    {"records": [{"record_type": "evidence", "last_used_at": "infinity", "incarnation": "x", "version": 1}]},
    {"records": [{"record_type": 5}]},
    {"records": [], "instance_name": {"a": "b"}, "environment": []},
    {"type": "x" * 100_000},
    {"v": nested(100)},
    {"instance": {"a": 1}, "records": []},
]


def test_no_shape_stops_the_authority(there: Authority) -> None:
    for place, body in enumerate(BODIES):
        ann, bob = Speaker(2 * place + 1), Speaker(2 * place + 2)
        whole = {**ann.says().body, **body} if isinstance(body, dict) else body
        poison = Message(ann.says().subject, json.dumps(whole).encode())
        good = bob.says(bob.holds("good", name="good"))
        said = [one for one in there.relay.give([poison, good]) if str(bob.id) in one.subject]
        assert verdicts(said) == [(1, "stored", None)], place
        assert all(len(one.payload) < 100_000 for one in said), place
    there.relay.tick()
    assert value(there.db, "select max(length(error)) < 3000 from centralcloud.dead_letter")
