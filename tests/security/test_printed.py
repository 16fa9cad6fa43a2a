"""What cannot be seen is not learned in names and tags, and what others wrote is shown escaped and cut."""

import json
import unicodedata

import psycopg
import pytest
from tests.kit.identity import variant_of
from tests.kit.instance_relay import refined
from tests.kit.message import Message
from tests.kit.pair import Authority, Instance, settle
from tests.kit.queries import refused, row, rows, value
from tests.kit.speaker import Speaker, verdicts

from singularity_bridge.errors import describe, one_line, printable

HIDDEN = [
    "\u0001",
    "\u001b",
    "\u007f",
    "\u0085",
    "\u00ad",
    "\u034f",
    "\u061c",
    "\u115f",
    "\u1160",
    "\u17b4",
    "\u180e",
    "\u200b",
    "\u200c",
    "\u200d",
    "\u200e",
    "\u200f",
    "\u2028",
    "\u2029",
    "\u202a",
    "\u202e",
    "\u2060",
    "\u2064",
    "\u2066",
    "\u2069",
    "\u206f",
    "\u2800",
    "\u3164",
    "\ufe00",
    "\ufe0f",
    "\ufeff",
    "\uffa0",
    "\ufff9",
    "\U0001bca0",
    "\U0001d173",
    "\U000e0001",
    "\U000e0041",
    "\U000e007f",
    "\U000e0100",
    "\U000e01ef",
]
SEEN = [
    "café",
    "Straße",
    "日本語",
    "한국어",
    "עברית",
    "العربية",
    "हिन्दी",
    "ไทย",
    "x y",
    "a/b.c:d",
    "🙂",
    "€",
    "a\u00a0b",
]


def shown(char: str) -> str:
    """Return how a character is shown that cannot be seen."""
    return f"<U+{ord(char):0{4 if ord(char) < 1 << 16 else 6}X}>"


def is_escaped(text: str) -> bool:
    """Whether nobody sees anything else than what is there."""
    return not any(char in HIDDEN or unicodedata.category(char) in {"Cc", "Cf"} for char in text)


def test_names_and_tags_that_are_not_seen_as_they_are_are_not_learned(here: Instance) -> None:
    for char in HIDDEN:
        for call, given in (
            ("learn('k', %s, '1')", f"na{char}me"),
            ("learn('k', 'x', '1', tags => array[%s])", f"ta{char}g"),
            ("learn_many(%s::text::jsonb)", json.dumps([{"kind": "k", "name": f"na{char}me", "content": 1}])),
            (
                "learn_many(%s::text::jsonb)",
                json.dumps([{"kind": "k", "name": "x", "content": 1, "tags": [f"ta{char}g"]}]),
            ),
            ("configure(instance_name => %s)", f"an{char}n"),
        ):
            with pytest.raises(psycopg.errors.InvalidParameterValue) as caught:
                here.connection.execute(f"select singularity.{call}".encode(), [given])
            assert is_escaped(caught.value.diag.message_primary or ""), hex(ord(char))
            assert shown(char) in (caught.value.diag.message_primary or ""), hex(ord(char))
            assert caught.value.diag.message_hint, hex(ord(char))
    assert value(here.owner, "select count(*) from singularity.holding") == 0


def test_every_format_character_is_hidden(here: Instance) -> None:
    """As Unicode's own table has them, whatever a newer one adds."""
    pattern = value(here.owner, "select singularity.hidden_characters()")
    formats = [chr(code) for code in range(1, 0x110000) if unicodedata.category(chr(code)) in {"Cc", "Cf"}]
    missed = rows(here.owner, "select c from unnest(%s::text[]) as c where c !~ %s", formats, pattern)
    assert [hex(ord(one["c"])) for one in missed] == []


def test_names_in_all_scripts_are_learned(here: Instance, there: Authority) -> None:
    for name in SEEN:
        here.learn(name, name, tags=[name])
    settle(there, here)
    assert [there.content(name) for name in SEEN] == SEEN


def test_neither_side_takes_them_from_the_other(here: Instance, there: Authority) -> None:
    ann = Speaker(1)
    for char in ("\u200b", "\u202e", "\U000e0041", "\ufe0f"):
        said = verdicts(
            there.relay.give(
                [
                    ann.says(
                        ann.holds(name=f"a{char}b"), ann.holds(name="tagged", tags=[f"a{char}b"]), ann.holds()
                    )
                ]
            )
        )
        assert [verdict for _, verdict, _ in sorted(said)] == ["refused", "refused", "stored"]
        assert all(is_escaped(reason) for _, _, reason in said if reason)
    here.call("follow", kind="pattern")
    settle(there, here)
    body = {
        "v": 1,
        "type": "refined",
        "epoch": "e",
        "namespace": "default",
        "kind": "pattern",
        "from": 0,
        "to": 1,
    }
    body["rows"] = [refined("a\u202eb"), refined("tagged", tags=["\u200b"]), refined("good")]
    here.relay.give([Message("singularity.refined.default.pattern", json.dumps(body).encode())])
    assert rows(here.owner, "select name from singularity.central_copy where kind = 'pattern'") == [
        {"name": "good"}
    ]
    assert all(is_escaped(trouble) for trouble in here.status()["troubles"])


def test_what_was_learned_before_the_rule_stays(here: Instance, there: Authority) -> None:
    """It is found, used, withdrawn and forgotten by its name, refused by the authority, and told of escaped."""
    name = "in\u200bvisible"
    here.learn("other", 1)
    here.owner.execute(
        "insert into singularity.holding (artifact_id, namespace, kind, name, variant, content, shared) "
        "values (singularity.artifact_id('default', 'pattern', %s), 'default', 'pattern', %s, %s, '\"old\"', true)",
        [name, name, variant_of("old")],
    )
    here.owner.execute("select singularity.backfill()")
    settle(there, here)
    assert here.known(name)["content"] == "old"
    here.use(name)
    assert len(here.call("history", kind="pattern", name=name)) == 1
    (told,) = (trouble for trouble in here.status()["troubles"] if "refused" in trouble)
    assert "in<U+200B>visible" in told
    assert is_escaped(told)
    assert there.content("other") == 1
    assert here.forget(name, everywhere=True)
    settle(there, here)
    assert here.lookup(name) is None
    assert not [trouble for trouble in here.status()["troubles"] if "refused" in trouble]


def test_errors_show_what_was_given_escaped_and_cut(here: Instance) -> None:
    evil = "\x1b[2J\n\u202eevil" + "x" * 20_000
    for call in (
        "learn(%s, 'x', '1')",
        "learn('k', %s, '1')",
        "learn('k', 'x', '1', namespace => %s)",
        "lookup(%s, 'x')",
        "record_outcome('k', 'x', true, variant => %s)",
        "related(%s, 'x')",
        "configure(environment => %s)",
        "follow(%s)",
        "connect(%s)",
    ):
        with pytest.raises(psycopg.Error) as caught:
            here.connection.execute(f"select singularity.{call}".encode(), [evil])
        for text in (caught.value.diag.message_primary, caught.value.diag.message_hint):
            assert is_escaped(text or ""), call
            assert len(text or "") < 2000, call


def test_troubles_and_dead_letters_show_foreign_words_escaped_and_cut(
    here: Instance, there: Authority
) -> None:
    evil = "\x1b[2J\n\u202eSELECT evil();" + "x" * 20_000
    ann = Speaker(1)
    there.relay.give([Message(ann.says().subject, json.dumps({**ann.says().body, "type": evil}).encode())])
    there.relay.tick(connected=False, error=evil)
    here.relay.tick(connected=False, error=evil)
    subject = f"singularity.receipt.{here.status()['instance_id']}"
    here.relay.give([Message(subject, json.dumps({"v": evil, "type": "receipt"}).encode())])
    told = [*value(there.db, "select troubles from centralcloud.status()"), *here.status()["troubles"]]
    assert any("[2J" in trouble for trouble in told)
    for trouble in told:
        assert is_escaped(trouble)
        assert len(trouble) < 2000
    letter = row(there.db, "select error, subject from centralcloud.dead_letters")
    assert is_escaped(letter["error"])


def test_the_bridge_s_log_shows_them_escaped() -> None:
    evil = "\x1b[2J\n\u202e\u200b\U000e0041\ufe0fx"
    assert printable(evil) == "<U+001B>[2J<U+000A><U+202E><U+200B><U+0E0041><U+FE0F>x"
    assert is_escaped(one_line(evil))
    assert is_escaped(describe(ValueError(evil)))
    assert len(one_line("x" * 10_000)) < 2100
    assert printable("café 日本語 🙂") == "café 日本語 🙂"


def test_printable(here: Instance) -> None:
    shown = "select singularity.printable(%s)"
    assert value(here.owner, shown, "a\u202eb\nc") == "a<U+202E>b<U+000A>c"
    assert value(here.owner, shown, "x" * 101) == "x" * 100 + "…"
    assert value(here.owner, shown, "") == ""
    assert value(here.owner, shown, None) is None
    with refused("22023", "in<U+200B>visible", hint="Leave them out"):
        here.learn("in\u200bvisible")
