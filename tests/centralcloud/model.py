"""What the authority must know after a set of records, computed a second time and in another way."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from tests.kit.speaker import Record, Speaker

WEIGHTS = {"prod": 1.0, "dev": 1.0, "ci": 0.5, "test": 0.5}
GROUP_CAP = 8
HOSTILE_SHARE = 0.2
NEW_GROUP_TRUST = 0.6
LEVELS = [("very_high", 0.9, 5), ("high", 0.8, 3), ("medium", 0.7, 2)]
ORDER = ["retracted", "deprecated", "candidate", "low", "medium", "high", "very_high"]


def wilson(successes: float, failures: float) -> float:
    """Return the lower bound of the Wilson score interval at 95 %, as the root of its defining equation.

    Of the two p that solve (p_hat - p)² = z²·p·(1 - p)/n it is the smaller one.
    """
    n, z = successes + failures, 1.96
    if n == 0:
        return 0.0
    p_hat, share = successes / n, z * z / n
    a, b, c = 1 + share, -(2 * p_hat + share), p_hat * p_hat
    return max(0.0, (-b - math.sqrt(max(0.0, b * b - 4 * a * c))) / (2 * a))


def level(confidence: float, groups: int | None) -> str:
    """Return the level that the default thresholds give."""
    for name, least_confidence, least_groups in LEVELS:
        if groups is not None and confidence >= least_confidence and groups >= least_groups:
            return name
    return "candidate" if groups is None else "low"


@dataclass(frozen=True)
class Voice:
    """What one group says of a variant."""

    rate: float
    counted: float
    group: str
    weight: float


@dataclass(frozen=True)
class Score:
    """What follows from all voices about a variant."""

    confidence: float
    level: str
    weight: float
    vouching: int


def hostile_groups(active: int, share: float = HOSTILE_SHARE) -> int:
    """Return how many of so many active groups may be hostile."""
    return math.floor(active * share + 0.5)


def voices(
    outcomes: Iterable[tuple[str, float, float, float]], trust: float = NEW_GROUP_TRUST
) -> list[Voice]:
    """Return the voices of groups, worst first, from outcomes as group, successes, failures and weight."""
    groups: dict[str, list[tuple[float, float, float]]] = {}
    for group, successes, failures, weight in outcomes:
        groups.setdefault(group, []).append((successes, failures, weight))
    found = []
    for group, told in groups.items():
        uses = sum(good + bad for good, bad, _ in told)
        weighted = sum((good + bad) * weight for good, bad, weight in told)
        if weighted > 0:
            counted = min(GROUP_CAP, uses)
            rate = sum(good * weight for good, _, weight in told) / weighted
            found.append(Voice(rate, counted, group, counted * weighted / uses * trust))
    return sorted(found, key=lambda voice: (voice.rate, voice.counted, voice.group))


def score(spoken: list[Voice], hostile: int) -> Score:
    """Return the score: the best and the worst that may be hostile are left out."""
    enough = len(spoken) > 2 * hostile
    kept = spoken[hostile : len(spoken) - hostile] if enough else spoken[: max(0, len(spoken) - hostile)]
    works = sum(voice.rate * voice.weight for voice in kept)
    fails = sum((1 - voice.rate) * voice.weight for voice in kept)
    bound = wilson(works, fails) / (1 if enough else 2)
    independent = (len(spoken) - hostile if enough else 0) if spoken else None
    return Score(
        confidence=bound,
        level=level(bound, independent),
        weight=sum(voice.weight for voice in spoken),
        vouching=sum(voice.rate >= 0.5 for voice in spoken),
    )


@dataclass(frozen=True)
class Variant:
    """What is to be known of one variant."""

    contributed: bool
    holders: int
    uses: int
    successes: int
    groups: int
    score: Score
    summary: str | None
    tags: tuple[str, ...]


class Knowledge:
    """The join of records: the greatest version for each key, less what was withdrawn."""

    def __init__(self, said: Mapping[int, Iterable[Record]], speakers: Mapping[int, Speaker]) -> None:
        self._speakers = speakers
        self._holding: dict[tuple[int, str], Record] = {}
        self._contributed: dict[tuple[int, str, str], Record] = {}
        self._evidence: dict[tuple[int, str, str, str], Record] = {}
        for number, records in said.items():
            for record in records:
                self._join(number, record)

    def _join(self, number: int, record: Record) -> None:
        key: Any = (number, record["name"])
        if record["record_type"] == "evidence":
            _keep_greatest(self._evidence, (*key, record["variant"], record["incarnation"]), record)
            return
        _keep_greatest(self._holding, key, record)
        if "variant" in record:
            _keep_greatest(self._contributed, (*key, record["variant"]), record)

    def _counts(self, number: int, record: Record) -> bool:
        """Say whether a record was said after the last withdrawal of its artifact."""
        holding = self._holding.get((number, record["name"]))
        return bool(record["version"] > (holding["withdrawn_up_to"] if holding else 0))

    def variants(self) -> dict[tuple[str, str], Variant]:
        """Return the variants by artifact and variant."""
        contributed: dict[tuple[str, str], list[tuple[int, Record]]] = {}
        for (number, name, variant), record in self._contributed.items():
            if self._counts(number, record):
                contributed.setdefault((name, variant), []).append((number, record))
        active = {number for (number, *_), record in self._evidence.items() if record["uses"] > 0}
        hostile = hostile_groups(len(active))
        outcomes: dict[tuple[str, str], list[tuple[int, Record]]] = {}
        for (number, name, variant, _), record in self._evidence.items():
            if self._counts(number, record):
                outcomes.setdefault((name, variant), []).append((number, record))
        return {
            key: self._variant(key, contributed.get(key, []), outcomes.get(key, []), hostile)
            for key in {*contributed, *outcomes}
        }

    def _variant(
        self,
        key: tuple[str, str],
        contributed: list[tuple[int, Record]],
        outcomes: list[tuple[int, Record]],
        hostile: int,
    ) -> Variant:
        spoken = voices(
            (
                str(UUID(int=number)),
                r["successes"],
                r["failures"],
                WEIGHTS[self._speakers[number].environment],
            )
            for number, r in outcomes
        )
        summary, tags = _label(contributed, spoken, hostile)
        return Variant(
            contributed=bool(contributed),
            holders=sum(self._holding[number, key[0]].get("variant") == key[1] for number, _ in contributed),
            uses=sum(r["uses"] for _, r in outcomes),
            successes=sum(r["successes"] for _, r in outcomes),
            groups=len(spoken),
            score=score(spoken, hostile),
            summary=summary,
            tags=tags,
        )


def _label(
    contributed: list[tuple[int, Record]], spoken: list[Voice], hostile: int
) -> tuple[str | None, tuple[str, ...]]:
    """Return the summary and tags that most weight stands behind, where all groups are trusted alike."""
    weights = {voice.group: voice.weight for voice in spoken}
    supporters: dict[tuple[str | None, tuple[str, ...]], list[tuple[float, str]]] = {}
    for number, record in contributed:
        group = str(UUID(int=number))
        label = (record.get("summary"), tuple(sorted(record.get("tags") or [])))
        supporters.setdefault(label, []).append((weights.get(group, 0.0), group))

    def rank(label: tuple[str | None, tuple[str, ...]]) -> tuple[float, float, str]:
        strongest_first = sorted((weight for weight, _ in supporters[label]), reverse=True)
        return (
            -sum(strongest_first[hostile:]),
            -sum(strongest_first),
            min(group for _, group in supporters[label]),
        )

    return min(supporters, key=rank, default=(None, ()))


def winner(candidates: Iterable[Mapping[str, Any]]) -> str | None:
    """Return the variant that wins among rows of centralcloud.variant, None when none has content."""
    best = sorted(
        (row for row in candidates if row["content"] is not None),
        key=lambda row: (
            -row["pinned"],
            -ORDER.index(row["level"]),
            -row["confidence"],
            -row["weight"],
            -row["uses"],
            -row["last_used_at"].timestamp() if row["last_used_at"] else math.inf,
            -row["holders"],
            row["variant"],
        ),
    )
    return best[0]["variant"] if best else None


def _keep_greatest(known: dict[Any, Record], key: Any, record: Record) -> None:
    if key not in known or record["version"] > known[key]["version"]:
        known[key] = record
