"""Queries made of names: whole, half, and with a typing error."""

import random
import re
import string
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable

from tests.bench.search.documents import Document, Query

# a name that more documents share asks for none of them
_MOST_ANSWERS = 3
_PARTS = re.compile(r"[._]+|(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def name_queries(documents: Iterable[Document], each: int, seed: int) -> dict[str, list[Query]]:
    """Return `each` queries of every sort: "identifiers", "half names" and "typing errors"."""
    owners: dict[str, set[str]] = defaultdict(set)
    for document in documents:
        for identifier in _identifiers(document.name):
            owners[identifier.lower()].add(document.id)
    chosen = random.Random(seed)
    usable = sorted(n for n, ids in owners.items() if len(n) >= 6 and len(ids) <= _MOST_ANSWERS)
    originals = {i.lower(): i for document in documents for i in _identifiers(document.name)}
    sorts: dict[str, Callable[[str, random.Random], str | None]] = {
        "identifiers": lambda name, _: name,
        "half names": _half,
        "typing errors": _mistyped,
    }
    everything = sorted(owners)
    made: dict[str, list[Query]] = {}
    for sort, change in sorts.items():
        queries: dict[str, Query] = {}
        for name in chosen.sample(usable, len(usable)):
            changed = change(originals[name], chosen)
            if changed is None or (sort == "typing errors" and changed.lower() in owners):
                continue
            answers = owners[name] if sort != "half names" else _holders(changed.lower(), owners, everything)
            if changed not in queries and 0 < len(answers) <= _MOST_ANSWERS:
                queries[changed] = Query(changed, frozenset(answers))
            if len(queries) == each:
                break
        made[sort] = list(queries.values())
    return made


def _identifiers(name: str) -> list[str]:
    """The name, its last part, and its last two parts, as people write them."""
    parts = name.split(".")
    return list(dict.fromkeys([name, parts[-1], ".".join(parts[-2:])]))


def _half(name: str, chosen: random.Random) -> str | None:
    """The beginning of a name, cut anywhere after its middle, or some of its parts without the others."""
    if chosen.random() < 0.5:
        half = name[: chosen.randint((len(name) + 1) // 2, max((len(name) + 1) // 2, len(name) - 2))].rstrip(
            "._"
        )
        return half if len(half) >= 5 else None
    parts = [part for part in _PARTS.split(name) if part]
    if len(parts) < 3:
        return None
    start = chosen.randrange(2)
    kept = parts[start : start + len(parts) - 1]
    half = "_".join(kept)
    return half if len(half) >= 5 else None


def _holders(half: str, owners: dict[str, set[str]], everything: list[str]) -> set[str]:
    """Whose identifier begins with the half, or holds its parts in this order."""
    wanted = half.split("_")
    found: set[str] = set()
    start = bisect_left(everything, half)
    for name in everything[start : start + 200]:
        if name.startswith(half):
            found |= owners[name]
    if len(wanted) > 1:
        pattern = re.compile(r"(?:^|[._]|(?<=[a-z0-9])).*?".join(map(re.escape, wanted)))
        for name in everything:
            if wanted[0] in name and pattern.search(name):
                found |= owners[name]
    return found


def _mistyped(name: str, chosen: random.Random) -> str:
    """One letter of the name left out, doubled, exchanged with its neighbour, or another."""
    letters = [i for i, character in enumerate(name[:-1]) if character.isalpha() and name[i + 1].isalpha()]
    if not letters:
        return name
    at = chosen.choice(letters)
    before, here, after = name[:at], name[at], name[at + 1 :]
    match chosen.randrange(4):
        case 0:
            return before + after
        case 1:
            return before + here + here + after
        case 2:
            return before + after[0] + here + after[1:]
        case _:
            return before + chosen.choice([c for c in string.ascii_lowercase if c != here.lower()]) + after
