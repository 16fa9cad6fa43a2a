"""Looks for credentials in what is to leave the machine.

The rules are those of the package kingfisher-secret-scanner and a few of our own (secret_rules.yml). A record is read
as lines `path: value`, so that a rule sees a value beside the name that it goes by. Findings say which rule and where,
never what.
"""

import bisect
import json
import os
import pwd
import re
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kingfisher_sdk import Scanner

MAX_FINDINGS = 20
"""So many are told of a record: who mends these sees the others next."""
MAX_PLACE = 300
MAX_NAME = 200
"""So much of a name is seen before a value."""
SCANNER_FAILED = "scanner-failed"

Line = tuple[str, str, str]
"""Place, name and text of a value."""

_RULES = Path(__file__).with_name("secret_rules.yml")
# A rule needs a word before a short secret, or a long run. Without them the scanner is not even loaded.
_WORDS_BEFORE = (
    "pass", "pwd", "secret", "token", "credential", "bearer", "basic", "key", "://", "-----begin", "-u", "--user", "-p",
    "$1$", "$2", "$5$", "$6$", "$y$", "$apr1$", "_pat", "kennwort", "contrase", "senha", "mot de", "mot_de",
    "wachtwoord", "пароль", "密码", "パスワード",
)  # fmt: skip
_BY_FORM = frozenset({"singularity.form", "singularity.uri", "betterleaks.generic-credential-uri"})
_JUDGED = _BY_FORM | {"singularity.assigned", "singularity.told", "singularity.authorization"}
_PLACEHOLDER = re.compile(
    r"(?ix) change.?me | replace | example | placeholder | dummy | sample | your | insert | todo | redacted"
    r"| secret_?name | xxxx | \*\*\* | \.\.\. | \$[({] | ^\$\w+$ | \{\{ | %\( | ^<\w | ^\S*<\w[^>]*>$"
    r"| ^!vault | ^!ref | os\.environ | process\.env | getenv"
    r"| ^(?:none|null|true|false|undefined|optional|required|string|password|secret|token|pass)\d{0,4}$"
)
# what is asked for, not told: an expression of a program, a reference, a number with its unit
_REFERENCE = re.compile(
    r"(?x) [\w.]+\( | ^[a-z_]+(?:\.[A-Za-z_]+)+$ | ^= | ^/[\w./-]+$ | ^\d+(?:\.\d+)?[a-z]{0,3}\.?$ "
    r"| ^sha(?:1|256|512)[:-] | ^[0-9]{4}-[0-9]{2}-[0-9]{2} | ^arn: | ^https?://[^@]*$"
)
# what comes with a program and everybody knows
_ACCOUNT = re.compile(
    r"(?i)(?:postgres|mysql|mongo|redis|rabbitmq|guest|root|admin|user|test|dev|ci|pw|minio)\d{0,3}"
)
# what passwords and tokens are made with
_METHOD = re.compile(
    r"(?i)(?:argon2\w*|bcrypt|scrypt|pbkdf2|sha-?\d+|md5|hmac\S*|aes\S*|[hrep]s\d{3}|ed25519|oauth2?\.?0?|base64|utf-?8|jwt\S{0,3})[.,]?"
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
    return [_find_in(list(_lines(record))) for record in records]


def find_in_json(records: Sequence[str]) -> Iterator[tuple[int, str, str]]:
    """Yield number (from 1), rule and place for what is found in JSON objects, or that the scanner failed at one."""
    for number, text in enumerate(records, 1):
        try:
            record = json.loads(text, parse_int=str, parse_float=str)
            lines = list(_lines(record))
        except (RecursionError, ValueError, MemoryError) as error:
            yield number, SCANNER_FAILED, type(error).__name__
            continue
        if _is_worth_scanning(lines):
            _scanner()  # where it cannot be loaded, no record is to blame
        try:
            found = _find_in(lines)
        except (RuntimeError, ValueError, TypeError, MemoryError) as error:
            found = [Finding(SCANNER_FAILED, type(error).__name__)]
        for finding in found:
            yield number, finding.rule, finding.place


def _is_worth_scanning(lines: Sequence[Line]) -> bool:
    for _, name, value in lines:
        text = f"{name}: {value}".lower()
        if any(word in text for word in _WORDS_BEFORE) or any(len(run) >= 16 for run in text.split()):
            return True
    return False


def _find_in(lines: Sequence[Line]) -> list[Finding]:
    if not _is_worth_scanning(lines):
        return []
    starts: list[int] = []  # of each line, in bytes
    offset = 0
    parts: list[bytes] = []
    for _, name, value in lines:
        starts.append(offset)
        parts.append(f"{name}: {value}\n".encode(errors="surrogatepass"))
        offset += len(parts[-1])
    secrets: set[str] = set()
    found: dict[int, tuple[int, str]] = {}  # the first match of each line
    for match in _scanner().scan(b"".join(parts)):
        if match.visible and (
            match.rule_id not in _JUDGED
            or is_plausible(match.captures.get("password", match.secret), match.rule_id)
        ):
            start = match.location["start_offset"]
            line = bisect.bisect_right(starts, start) - 1
            secrets.add(match.secret)
            found[line] = min(found.get(line, (start, match.rule_id)), (start, match.rule_id))
    findings = []
    for line, (start, rule) in sorted(found.items())[:MAX_FINDINGS]:
        place, name, _ = lines[line]
        before = parts[line][: start - starts[line]].decode(errors="replace")
        position = max(0, len(before) - len(name) - 2) + 1
        findings.append(Finding(rule.removesuffix(".1"), f"{_without(secrets, place)}, character {position}"))
    return findings


def _without(secrets: Set[str], place: str) -> str:
    """Cut a place before the first key that is, or holds, a secret; none is longer than people read."""
    ends = [place.index(secret) for secret in secrets if secret and secret in place]
    end = min([*ends, MAX_PLACE])
    return place if end >= len(place) else f"{place[:end]}…"


def is_plausible(value: str, rule: str = "") -> bool:
    """Tell whether a value that stands where a secret would can be one, rather than a placeholder, a name or code."""
    value = value.strip()
    if _PLACEHOLDER.search(value) or _REFERENCE.search(value):
        return False
    if rule in _BY_FORM:
        return not _ACCOUNT.fullmatch(value)
    if _WORDS.fullmatch(value) or _METHOD.fullmatch(value):
        return False
    kinds = sum(bool(re.search(kind, value)) for kind in (r"[a-z]", r"[A-Z]", r"\d", r"[^\w\s]"))
    return kinds >= 2 and " " not in value and bool(re.search(r"\d", value) or kinds >= 3)


def _lines(record: Mapping[str, Any]) -> Iterator[Line]:
    """Yield place, name and text of each value in a record; the name is the end of its path, for the rules to see."""
    # not recursive: content may be as deep as it is allowed to be
    waiting: list[tuple[str, str, Any]] = [
        (field, "", value) for field, value in reversed(list(record.items()))
    ]
    while waiting:
        place, name, value = waiting.pop()
        match value:
            case {"name": str() as given, "value": str() as text} | {
                "key": str() as given,
                "value": str() as text,
            }:
                yield f"{place}.value", given, text
        match value:
            case None | bool() | {} | [] | () if not value:
                yield place, name, ""  # a key may be the secret
            case Mapping():
                yield from ((place, "", key) for key in value if len(key) > MAX_NAME)
                waiting += [
                    (_deeper(place, f".{key}"), f"{name[-MAX_NAME:]}.{key}".lstrip("."), item)
                    for key, item in reversed(list(value.items()))
                ]
            case list() | tuple():
                # the whole of a long name is seen once, or a long list beneath it would be many megabytes
                waiting += [
                    (_deeper(place, f"[{i}]"), name if i == 0 else name[-MAX_NAME:], item)
                    for i, item in reversed(list(enumerate(value)))
                ]
            case _:
                yield place, name, str(value)


def _deeper(place: str, step: str) -> str:
    return place if len(place) > MAX_PLACE else place + step


@cache
def _scanner() -> "Scanner":
    import kingfisher_sdk  # noqa: PLC0415 - it takes half a second to load, and most sessions need it never

    return kingfisher_sdk.Scanner(kingfisher_sdk.Rules([str(_RULES)], cache_dir=_cache()))


def _cache() -> str:
    """Return where compiled rules are kept, since compiling takes ten seconds; only this user may write there."""
    home = Path(pwd.getpwuid(os.getuid()).pw_dir)
    # else the working directory, which in the database server is the cluster's
    return str((home / ".cache" if os.access(home, os.W_OK) else Path.cwd()) / "singularity_rules")
