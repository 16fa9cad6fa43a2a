"""Looks for credentials in what is to leave the machine.

The rules are those of the package kingfisher-secret-scanner and a few of our own (secret_rules.yml). A record is read as lines
`path: value`, so that a rule sees a value beside the name that it goes by. Findings say which rule and where, never what.
"""

import bisect
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kingfisher_sdk import Scanner

_RULES = Path(__file__).with_name("secret_rules.yml")
# A rule needs one of these: a long run with a digit, or a word before a short secret. Without them nothing is loaded.
_WORTH_SCANNING = re.compile(
    r"(?i)pass|pwd|secret|token|credential|bearer|basic |key|://|-----BEGIN|(?=\S*\d)\S{16}|\S{30}"
)
_JUDGED = frozenset({
    "singularity.assigned", "singularity.told", "singularity.uri", "singularity.authorization",
    "betterleaks.generic-credential-uri",
})  # fmt: skip
_PLACEHOLDER = re.compile(
    r"(?ix) change.?me | replace | example | placeholder | dummy | sample | your | insert | todo | redacted | secret_?name"
    r"| xxxx | \*\*\* | \.\.\. | \$[({\w] | \{\{ | %\( | <\w | >$ | ^!vault | ^!ref | os\.environ | process\.env | getenv"
    r"| ^(?:none|null|true|false|undefined|optional|required|string|password|secret|token|pass)\d{0,4}$"
)
# what is asked for, not told: an expression of a program, a reference, a number with its unit
_REFERENCE = re.compile(
    r"(?x) [\w.]+\( | ^[a-z_]+(?:\.[A-Za-z_]+)+$ | ^= | ^/[\w./-]+$ | ^\d+(?:\.\d+)?[a-z]{0,3}\.?$ | ^sha(?:1|256|512)[:-]"
    r"| ^[0-9]{4}-[0-9]{2}-[0-9]{2} | ^arn: | ^https?://[^@]*$"
)
# a word, or words joined by signs with a short number at most: my-app-secret-v2
_WORD = r"(?:[a-z]+|[A-Z][a-z]*|[A-Z]+)"
_WORDS = re.compile(rf"{_WORD}\.?|{_WORD}(?:[-_./:]{_WORD})*[-_./:](?:{_WORD}\d{{0,2}}|v?\d{{1,3}})\.?")


@dataclass(frozen=True)
class Finding:
    """What rule found something, and where: a field, a path in content, and the offset in characters."""

    rule: str
    place: str


def find(records: Sequence[Mapping[str, Any]]) -> list[list[Finding]]:
    """Return the findings of each record, a mapping of field names to text, lists or JSON values."""
    return [_find_in(record) for record in records]


def find_in_json(records: Sequence[str]) -> Iterator[tuple[int, str, str]]:
    """Yield number (from 1), rule and place for what is found in JSON objects. What the scanner fails at counts as found."""
    for number, text in enumerate(records, 1):
        record = json.loads(text)
        if _is_worth_scanning(record):
            _scanner()  # where it cannot be loaded, no record is to blame
        try:
            found = _find_in(record)
        except (RuntimeError, ValueError, TypeError, MemoryError) as error:
            found = [Finding("scanner-failed", type(error).__name__)]
        for finding in found:
            yield number, finding.rule, finding.place


def _is_worth_scanning(record: Mapping[str, Any]) -> bool:
    return any(_WORTH_SCANNING.search(f"{name}: {value}") for _, name, value in _lines(record))


def _find_in(record: Mapping[str, Any]) -> list[Finding]:
    lines = list(_lines(record))
    if not any(_WORTH_SCANNING.search(f"{name}: {value}") for _, name, value in lines):
        return []
    starts: list[int] = []  # of each line, in bytes
    offset = 0
    parts: list[bytes] = []
    for _, name, value in lines:
        starts.append(offset)
        parts.append(f"{name}: {value}\n".encode(errors="surrogatepass"))
        offset += len(parts[-1])
    found: dict[str, Finding] = {}
    for match in _scanner().scan(b"".join(parts)):
        if match.visible and (match.rule_id not in _JUDGED or is_plausible(match.captures.get("password", match.secret))):
            line = bisect.bisect_right(starts, match.location["start_offset"]) - 1
            place, name, _ = lines[line]
            before = parts[line][: match.location["start_offset"] - starts[line]].decode(errors="replace")
            position = max(0, len(before) - len(name) - 2)
            found.setdefault(place, Finding(match.rule_id.removesuffix(".1"), f"{place}, character {position + 1}"))
    return list(found.values())


def is_plausible(value: str) -> bool:
    """Tell whether a value that stands where a secret would can be one, rather than a placeholder, a name or code."""
    value = value.strip()
    if _PLACEHOLDER.search(value) or _REFERENCE.search(value) or _WORDS.fullmatch(value):
        return False
    kinds = sum(bool(re.search(kind, value)) for kind in (r"[a-z]", r"[A-Z]", r"\d", r"[^\w\s]"))
    return kinds >= 2 and " " not in value and bool(re.search(r"\d", value) or kinds >= 3)


def _lines(record: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield place, name and text of each value in a record; the name is the end of its path, for the rules to see."""
    # not recursive: content may be as deep as it is allowed to be
    waiting: list[tuple[str, str, Any]] = [(field, "", value) for field, value in reversed(record.items())]
    while waiting:
        place, name, value = waiting.pop()
        match value:
            case None | bool():
                pass
            case Mapping():
                if isinstance(value.get("name"), str) and isinstance(value.get("value"), str):
                    yield f"{place}.value", value["name"], value["value"]
                waiting += [
                    (f"{place}.{key}", f"{name}.{key}".lstrip(".")[-200:], item)
                    for key, item in reversed(value.items())
                ]
            case list() | tuple():
                waiting += [(f"{place}[{i}]", name, item) for i, item in reversed(list(enumerate(value)))]
            case _:
                yield place, name, str(value)


@cache
def _scanner() -> "Scanner":
    import kingfisher_sdk  # noqa: PLC0415 - it takes half a second to load, and most sessions need it never

    return kingfisher_sdk.Scanner(kingfisher_sdk.Rules([str(_RULES)]))
