"""What a bound on relevance keeps and what it holds back."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from tests.bench.search.corpora import QuerySet
from tests.bench.search.metrics import Values
from tests.bench.search.relevance import Candidates

THRESHOLDS = tuple(round(0.1 * n, 1) for n in range(1, 9))

_BEST_OF_KIND = """
    select coalesce(max(relevance), 0) from singularity.explain_recall(%s, kind => %s, max_results => 1)
"""
_OTHER_KIND = {"python": "postgres", "postgres": "python"}


@dataclass(frozen=True)
class Calibration:
    """The relevance of the best rows: of those that are right, and of those of the kind that was not asked about."""

    right: Values
    foreign: Values

    def kept(self, threshold: float) -> float:
        """Return the share of the right best rows that reach the threshold."""
        return float(np.mean(self.right >= threshold))

    def held_back(self, threshold: float) -> float:
        """Return the share of the foreign best rows that do not reach it."""
        return float(np.mean(self.foreign < threshold))


def calibrate(queries: QuerySet, explained: Candidates) -> Calibration:
    """Take the best rows of queries that are explained, and ask each about the other kind."""
    return Calibration(explained.right_best(), np.asarray(_foreign(queries), dtype=np.float64))


def best_bound(calibrations: Sequence[Calibration]) -> float:
    """Return the bound that keeps and holds back most, both together and in the mean of the sets."""
    finer = np.arange(0.01, 1, 0.01)
    worth = [sum(one.kept(value) + one.held_back(value) for one in calibrations) for value in finer]
    return float(finer[int(np.argmax(worth))])


def _foreign(queries: QuerySet) -> list[float]:
    """The best relevance of the kind that has no right answer; a query that both kinds answer is left out."""
    found: list[float] = []
    with queries.corpus.database.connect() as connection:
        for query in queries.queries:
            kinds = {answer.partition(":")[0] for answer in query.answers}
            if len(kinds) == 1:
                row = connection.execute(_BEST_OF_KIND, [query.text, _OTHER_KIND[kinds.pop()]]).fetchone()
                found += row or ()
    return found
