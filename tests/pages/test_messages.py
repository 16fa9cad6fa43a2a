"""The page on messages says what is sent: its tables are compared with the catalog and with real messages."""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from tests.pages.conversation import Body, Conversation, wire_types

from singularity_lab import Database

PAGE = Path(__file__).parents[2] / "extension/doc/messages.md"
EVERY, REQUEST, REPLY = "envelope of every message", "envelope of a request", "envelope of a reply"
# what a message is made of besides a table of its own
PARTS = {
    "message": [EVERY],
    "request": [EVERY, REQUEST],
    "reply": [EVERY, REPLY],
    "request ask": ["type wire_question"],
    "reply to ask": ["type wire_answer"],
    "type wire_record": ["names of before 0.3"],
}


@dataclass(frozen=True)
class Field:
    """A line of a table."""

    sql_type: str
    shape: str
    always: bool
    may_be_null: bool


Table = dict[str, Field]


def tables(text: str) -> dict[str, Table]:
    """Read the tables of fields, by the heading that they stand under."""
    found: dict[str, Table] = {}
    for heading, section in re.findall(r"^### (.+?)\n(.*?)(?=^##|\Z)", text, re.MULTILINE | re.DOTALL):
        lines = re.findall(
            r"^\| `(\w+)(\??)` \| ([^|(]+?)(?: \(([^|]+)\))? \| ([^|]*)\|", section, re.MULTILINE
        )
        found[heading.replace("`", "").lower()] = {
            name: Field(sql_type, shape, not question, "or null" in bounds)
            for name, question, sql_type, shape, bounds in lines
        }
    return found


def examples(text: str) -> Iterator[tuple[str, Body]]:
    """Read the examples, with the heading that each stands under."""
    for heading, section in re.findall(r"^### (.+?)\n(.*?)(?=^##|\Z)", text, re.MULTILINE | re.DOTALL):
        for example in re.findall(r"^```json\n(.*?)^```", section, re.MULTILINE | re.DOTALL):
            yield heading.replace("`", "").lower(), json.loads(example)


@pytest.fixture(scope="module")
def page() -> dict[str, Table]:
    return tables(PAGE.read_text(encoding="utf-8"))


@pytest.fixture
def conversation(instance: Database, authority: Database) -> Iterator[Conversation]:
    one = Conversation(instance, authority)
    yield one
    one.close()


def whole(page: dict[str, Table], heading: str) -> Table:
    """Return all fields of a message or type."""
    kind = heading.split(maxsplit=1)[0]
    names = [*PARTS.get(kind, []), *PARTS.get(heading, []), heading]
    return {name: field for part in names for name, field in page[part].items()}


def faults(
    page: dict[str, Table], heading: str, bodies: Iterable[Body], seen: set[tuple[str, str]]
) -> list[str]:
    """Say what in these objects is otherwise than the page has it; what they have is added to `seen`."""
    wanted, wrong = whole(page, heading), set()
    for body in bodies:
        seen.update((heading, name) for name in body)
        wrong |= {f"{heading}: {name} is not on the page" for name in body.keys() - wanted.keys()}
        missing = [name for name, field in wanted.items() if field.always and name not in body]
        wrong |= {f"{heading}: {name} is not always there" for name in missing}
        for name in body.keys() & wanted.keys():
            field = wanted[name]
            if body[name] is None and field.may_be_null:
                continue
            if not fits(field, body[name]):
                wrong.add(f"{heading}: {name} is not {field.sql_type} {field.shape}: {body[name]!r}")
            elif field.shape.startswith("wire_"):
                wrong |= set(faults(page, f"type {field.shape.removesuffix('[]')}", body[name], seen))
    return sorted(wrong)


def fits(field: Field, value: Any) -> bool:
    """Say whether a value is of a field's type and shape."""
    return TYPES[field.sql_type](value) and SHAPES[field.shape](value)


def is_text(value: Any) -> bool:
    return isinstance(value, str)


def is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def is_uuid(value: Any) -> bool:
    return is_text(value) and str(UUID(value)) == value


TYPES: dict[str, Callable[[Any], bool]] = {
    "text": is_text,
    "level": is_text,
    "integer": is_integer,
    "bigint": is_integer,
    "uuid": is_uuid,
    "boolean": lambda value: isinstance(value, bool),
    "double precision": lambda value: is_integer(value) or isinstance(value, float),
    "timestamp with time zone": lambda value: is_text(value) and bool(datetime.fromisoformat(value)),
    "text[]": lambda value: isinstance(value, list) and all(map(is_text, value)),
    "jsonb": lambda value: value is not None,
}
SHAPES: dict[str, Callable[[Any], bool]] = {
    "": lambda value: True,
    "heads": lambda value: isinstance(value, dict) and all(map(is_integer, value.values())),
    "states": lambda value: isinstance(value, list) and all(len(state) in {2, 4} for state in value),
    "pages": lambda value: isinstance(value, list) and all("namespace" in one for one in value),
    "uuid[]": lambda value: isinstance(value, list) and all(map(is_uuid, value)),
    **{
        f"wire_{name}[]": lambda value: (
            isinstance(value, list) and all(isinstance(one, dict) for one in value)
        )
        for name in ("record", "verdict", "refined", "range", "difference")
    },
}


def test_the_types_have_exactly_the_fields_of_the_page(
    page: dict[str, Table], instance: Database, authority: Database
) -> None:
    written = {
        heading.removeprefix("type "): {name: field.sql_type for name, field in table.items()}
        for heading, table in page.items()
        if heading.startswith("type ")
    }
    for database in (instance, authority):
        with database.connect_superuser() as connection:
            assert wire_types(connection, database.extension) == written


def test_real_messages_have_exactly_the_fields_of_the_page(
    page: dict[str, Table], conversation: Conversation
) -> None:
    conversation.hold()
    messages = {
        heading for heading in page if heading.split(maxsplit=1)[0] in {"message", "request", "reply"}
    }
    assert set(conversation.said) == messages
    seen: set[tuple[str, str]] = set()
    assert [
        fault for heading, said in conversation.said.items() for fault in faults(page, heading, said, seen)
    ] == []
    told_of = {heading for heading, _ in seen}
    unseen = {(heading, name) for heading in told_of for name in whole(page, heading)} - seen
    assert not unseen, "the page has fields that no message had"


def test_the_examples_of_the_page_are_such_messages(page: dict[str, Table]) -> None:
    found = list(examples(PAGE.read_text(encoding="utf-8")))
    assert {heading for heading, _ in found} == {
        heading for heading in page if heading.split(maxsplit=1)[0] in {"message", "request", "reply"}
    }
    assert [fault for heading, body in found for fault in faults(page, heading, [body], set())] == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"added": 1}, "added is not on the page"),
        ({"epoch": None}, "epoch is not text"),
        ({"heads": {"default/pattern": "1"}}, "heads is not jsonb heads"),
        ({"v": True}, "v is not integer"),
        ({"records": [{"version": 1, "verdict": "stored"}]}, "artifact_id is not always there"),
    ],
)
def test_what_differs_is_told(page: dict[str, Table], change: Body, told: str) -> None:
    body = {"v": 1, "type": "receipt", "epoch": "a", "heads": {}, "records": []}
    assert faults(page, "message receipt", [body], set()) == []
    assert told in "".join(faults(page, "message receipt", [body | change], set()))
