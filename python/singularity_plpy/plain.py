"""Vectors of documents in plain Python: slower than arrays.py, but ready at once."""

import math
from collections.abc import Sequence

from singularity_plpy.table import Table


def directions(
    table: Table, tokens: Sequence[Sequence[int]], weights: Sequence[int], length: int
) -> list[list[int] | None]:
    """Return a vector for each document, None where nothing has one: what arrays.Arrays.directions returns."""
    parts = len(weights)
    return [
        _direction([table.sum_of(part) for part in tokens[start : start + parts]], weights, length)
        for start in range(0, len(tokens), parts)
    ]


def _direction(sums: Sequence[Sequence[float]], weights: Sequence[int], length: int) -> list[int] | None:
    total = [0.0] * len(sums[0])
    for vector, weight in zip(sums, weights, strict=True):
        total = [number + added for number, added in zip(total, _scaled(vector, weight), strict=True)]
    return list(map(round, _scaled(total, length))) if any(total) else None


def _scaled(vector: Sequence[float], length: int) -> Sequence[float]:
    own_length = math.hypot(*vector)
    return [number * length / own_length for number in vector] if own_length else vector
