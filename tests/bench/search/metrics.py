"""Measures of a ranking, and what can be said of the difference between two."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DEPTH = 10
_ROUNDS = 10_000
_SEED = 1

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Measures:
    """One number a query, 0 to 1, all at depth 10."""

    mrr: Values
    recall: Values
    ndcg: Values


@dataclass(frozen=True)
class Interval:
    """A figure with the ends of its 95 % interval."""

    value: float
    low: float
    high: float


def measure(rankings: Sequence[Sequence[str]], answers: Sequence[frozenset[str]]) -> Measures:
    """Measure rankings (best first, at least 10 deep where there is so much) against the right answers."""
    rows = [_measure_one(ranking[:DEPTH], right) for ranking, right in zip(rankings, answers, strict=True)]
    columns = np.asarray(rows, dtype=np.float64).T
    return Measures(*columns)


def interval(figure: Callable[..., Values], *columns: Values) -> Interval:
    """Return a figure of the columns' means and its bootstrap interval; the columns' rows stay together.

    `figure` is also given an array of means for each column, and then returns an array.
    """
    random = np.random.default_rng(_SEED)
    table = np.stack(columns)
    count = table.shape[1]
    drawn = (random.integers(0, count, count) for _ in range(_ROUNDS))
    means = np.stack([table[:, rows].mean(axis=1) for rows in drawn], axis=1)
    low, high = np.quantile(figure(*means), [0.025, 0.975])
    return Interval(float(figure(*table.mean(axis=1))), float(low), float(high))


def mean(values: Values) -> Interval:
    """Return the mean and its interval."""
    return interval(lambda one: one, values)


def difference(ours: Values, theirs: Values) -> Interval:
    """Return the difference of the means of two rankers, and its paired interval."""
    return mean(ours - theirs)


def ratio(ours: Values, theirs: Values) -> Interval:
    """Return the ratio of the means of two rankers, and its paired interval."""
    return interval(lambda one, other: one / other, ours, theirs)


def error_removed(ours: Values, theirs: Values) -> Interval:
    """Return the share of the other's error (1 - mean) that ours does not make, and its paired interval."""
    return interval(lambda one, other: 1 - (1 - one) / (1 - other), ours, theirs)


def _measure_one(ranking: Sequence[str], right: frozenset[str]) -> tuple[float, float, float]:
    hits = [position for position, found in enumerate(ranking, start=1) if found in right]
    possible = min(len(right), DEPTH)
    best = sum(1 / math.log2(position + 1) for position in range(1, possible + 1))
    gained = sum(1 / math.log2(position + 1) for position in hits)
    return (1 / hits[0] if hits else 0.0), len(hits) / possible, gained / best
