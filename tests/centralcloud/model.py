"""What the authority must know after a set of records, computed a second time and in another way."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.kit.speaker import Record, Speaker

WEIGHTS = {"prod": 1.0, "dev": 1.0, "ci": 0.5, "test": 0.5}
GROUP_CAP = 20
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


def level(confidence: float, groups: int) -> str:
    """Return the level that the default thresholds give."""
    for name, least_confidence, least_groups in LEVELS:
        if confidence >= least_confidence and groups >= least_groups:
            return name
    return "low" if groups else "candidate"


def confidence(outcomes: Iterable[tuple[str, float, float, float]]) -> float:
    """Return the confidence for outcomes given as group, successes, failures and weight."""
    groups: dict[str, list[tuple[float, float, float]]] = {}
    for group, *counts in outcomes:
        groups.setdefault(group, []).append((counts[0], counts[1], counts[2]))
    good = bad = 0.0
    for counted in groups.values():
        scale = min(1.0, GROUP_CAP / max(1.0, sum(s + f for s, f, _ in counted)))
        good += sum(s * w for s, _, w in counted) * scale
        bad += sum(f * w for _, f, w in counted) * scale
    return wilson(good, bad)


@dataclass(frozen=True)
class Variant:
    """What is to be known of one variant."""

    contributed: bool
    holders: int
    uses: int
    successes: int
    groups: int
    confidence: float
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
        outcomes: dict[tuple[str, str], list[tuple[int, Record]]] = {}
        for (number, name, variant, _), record in self._evidence.items():
            if self._counts(number, record):
                outcomes.setdefault((name, variant), []).append((number, record))
        return {
            key: self._variant(key, contributed.get(key, []), outcomes.get(key, []))
            for key in {*contributed, *outcomes}
        }

    def _variant(
        self, key: tuple[str, str], contributed: list[tuple[int, Record]], outcomes: list[tuple[int, Record]]
    ) -> Variant:
        summaries = [record["summary"] for _, record in contributed if record.get("summary") is not None]
        weighted = [
            (str(number), r["successes"], r["failures"], WEIGHTS[self._speakers[number].environment])
            for number, r in outcomes
        ]
        return Variant(
            contributed=bool(contributed),
            holders=sum(self._holding[number, key[0]].get("variant") == key[1] for number, _ in contributed),
            uses=sum(r["uses"] for _, r in outcomes),
            successes=sum(r["successes"] for _, r in outcomes),
            groups=len({number for number, r in outcomes if r["uses"] > 0}),
            confidence=confidence(weighted),
            summary=min(summaries, key=lambda s: (-len(s), s), default=None),
            tags=tuple(sorted({tag for _, record in contributed for tag in record.get("tags") or []})),
        )


def winner(candidates: Iterable[Mapping[str, Any]]) -> str | None:
    """Return the variant that wins among rows of centralcloud.variant, None when none has content."""
    best = sorted(
        (row for row in candidates if row["content"] is not None),
        key=lambda row: (
            -row["pinned"],
            -ORDER.index(row["level"]),
            -row["confidence"],
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
