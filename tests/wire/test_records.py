"""Records are read and written with the words of 0.3 and of the versions before it."""

import json
import unicodedata
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb
from tests.kit.queries import rows, value
from tests.kit.relay import Relay
from tests.kit.speaker import Record, Speaker, verdicts

STATES = "select state_hash from centralcloud.holding union all select state_hash from centralcloud.evidence"
OLD_NAMES = {"record_type": "what", "withdrawn_up_to": "withdrawn_through"}


def in_old_words(record: Record) -> Record:
    return {OLD_NAMES.get(name, name): found for name, found in record.items()}


def test_an_authority_understands_the_words_of_older_instances(
    relay: Relay, authority_db: psycopg.Connection
) -> None:
    ann = Speaker(1)
    kept, gone, used = ann.holds("a"), ann.holds("b", name="gone"), ann.used(3)
    withdrawn = ann.withdraws("gone")
    receipts = relay.give([ann.says(*map(in_old_words, (kept, gone, used, withdrawn)))])
    assert [verdict for _, verdict, _ in verdicts(receipts)] == ["stored", "superseded", "stored", "stored"]
    assert rows(
        authority_db, "select withdrawn_up_to > 0 as withdrawn from centralcloud.holding order by 1"
    ) == [
        {"withdrawn": False},
        {"withdrawn": True},
    ]
    assert value(authority_db, "select uses from centralcloud.variant where uses > 0") == 3


@pytest.mark.parametrize("words", [in_old_words, dict])
def test_either_words_make_the_same_state(relay: Relay, authority_db: psycopg.Connection, words: Any) -> None:
    ann = Speaker(1)
    told = [ann.holds("a", summary="s", tags=["t"]), ann.used(2, 1)]
    relay.give([ann.says(*told)])
    before = rows(authority_db, STATES)
    assert [verdict for _, verdict, _ in verdicts(relay.give([ann.says(*map(words, told))]))] == [
        "stored"
    ] * 2
    assert rows(authority_db, STATES) == before
    assert value(authority_db, "select twin_alarms from centralcloud.status()") == 0


@pytest.mark.parametrize("content", [{"a": None, "b": [None]}, [None], {"what": None}])
def test_nulls_in_content_are_its_authors(instance_superuser: psycopg.Connection, content: Any) -> None:
    query = "select singularity.encode_record(singularity.read_record(%s))"
    record = {"record_type": "holding", "content": content, "summary": None, "tags": [], "withdrawn_up_to": 0}
    assert value(instance_superuser, query, Jsonb(record)) == {
        "record_type": "holding",
        "what": "holding",
        "content": content,
        "tags": [],
        "withdrawn_up_to": 0,
        "withdrawn_through": 0,
    }


BLANKS = [
    chr(code) for code in (0x20, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000)
]
NAMES = [
    *(f"{blank}x" for blank in BLANKS), *(f"x{blank}" for blank in BLANKS), *(f"x{blank}y" for blank in BLANKS),
    "", "x" * 512, "x" * 513, "ä" * 256, "ä" * 257, "x\u0001", "x\u007f", "x\u009f", "\u200bx", "😀", "\u0301x",
]  # fmt: skip


def test_a_name_is_judged_alike_on_both_sides(relay: Relay, instance_db: psycopg.Connection) -> None:
    """What learn() takes the authority takes, and what one refuses the other does, with the same words."""
    for name in (unicodedata.normalize("NFC", given) for given in NAMES):
        ann = Speaker(1)
        ((_, verdict, reason),) = verdicts(relay.give([ann.says(ann.holds(name=name))]))
        refused = None
        try:
            instance_db.execute("select singularity.learn('k', %s, '1')", [name])
        except psycopg.Error as error:
            refused = error.diag.message_primary
        assert (verdict == "refused", reason) == (refused is not None, refused), json.dumps(name)
