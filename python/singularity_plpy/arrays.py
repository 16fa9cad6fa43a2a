"""Vectors of documents by numpy, for much work: importing it takes longer than a few short texts do."""

from collections.abc import Sequence

import numpy
from numpy.typing import NDArray

from singularity_plpy.table import Table


class Arrays:
    """A table in the hands of numpy."""

    def __init__(self, table: Table) -> None:
        self._vectors = numpy.frombuffer(table.memory, dtype="<f2", offset=table.start).reshape(
            table.rows, table.dimensions
        )

    def directions(
        self, tokens: Sequence[Sequence[int]], weights: Sequence[int], length: int
    ) -> list[list[int] | None]:
        """Return a vector of integers and of a length for each document, None where nothing has one.

        A document has as many texts as there are weights, one after the other in `tokens`; its direction is
        that of its texts' weighted sum.
        """
        units = _normalised(self._sums(tokens)).reshape(-1, len(weights), self._vectors.shape[1])
        totals = _normalised(numpy.einsum("dpn,p->dn", units, numpy.array(weights, float)))
        scaled = numpy.rint(totals * length).astype(numpy.int32)
        return [row.tolist() if row.any() else None for row in scaled]

    def _sums(self, tokens: Sequence[Sequence[int]]) -> NDArray[numpy.float64]:
        totals = numpy.zeros((len(tokens), self._vectors.shape[1]))
        for total, part in zip(totals, tokens, strict=True):
            numpy.add.reduce(self._vectors.take(part, axis=0), axis=0, dtype=numpy.float64, out=total)
        return totals


def _normalised(vectors: NDArray[numpy.float64]) -> NDArray[numpy.float64]:
    lengths = numpy.linalg.norm(vectors, axis=1, keepdims=True)
    numpy.divide(vectors, lengths, out=vectors, where=lengths > 0)
    return vectors
