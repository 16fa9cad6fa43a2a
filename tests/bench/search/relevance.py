"""The formula of relevance in numpy, and the parts of it that `explain_recall` shows."""

from dataclasses import asdict, dataclass

import numpy as np
import psycopg
from numpy.typing import NDArray
from tests.bench.search.corpora import QuerySet
from tests.bench.search.metrics import DEPTH, Values
from tests.bench.search.rankers import is_one_word

from singularity_lab import Database

Flags = NDArray[np.bool_]
# Further apart than by rounding, the formula here is not the one in SQL.
ROUNDING = 1e-6

_EXPLAIN = """
    select kind || ':' || name, words, name_match, similarity, relevance
    from singularity.explain_recall(%s, max_results => %s) order by artifact_id
"""
_IN_FORCE = """
    select 1 - singularity.relevance(1, 0, 0, false), singularity.relevance(0, 1, 0, true),
        singularity.relevance(0, 1, 0, false)
"""


@dataclass(frozen=True)
class Constants:
    """What the formula leaves open: the weights of similarity and of the name, by the query's words."""

    similarity: float
    name_of_one_word: float
    name_of_many_words: float

    def __str__(self) -> str:
        return ", ".join(f"{name.replace('_', ' ')} {value:.2f}" for name, value in asdict(self).items())


@dataclass(frozen=True)
class Candidates:
    """What `explain_recall` says of each query's candidates: one row a query, in the order that settles ties.

    Rows are as long as the longest; `there` says where candidates are. Without vectors similarity is not a number.
    """

    there: Flags
    right: Flags
    words: Values
    name_match: Values
    similarity: Values
    relevance: Values
    one_word: Flags

    def computed(self, constants: Constants) -> Values:
        """Return every candidate's relevance under these constants."""
        share = constants.similarity
        weight = np.where(self.one_word, constants.name_of_one_word, constants.name_of_many_words)
        both = (1 - share) * self.words + share * np.maximum(self.similarity, 0)
        text = np.where(np.isnan(self.similarity), self.words, both)
        relevance: Values = 1 - (1 - text) * (1 - weight[:, None] * self.name_match)
        return relevance

    def reciprocal_ranks(self, constants: Constants) -> Values:
        """Return MRR@10 of each query."""
        order = np.argsort(-np.where(self.there, self.computed(constants), -1), axis=1, kind="stable")
        hit = np.take_along_axis(self.right, order[:, :DEPTH], axis=1)
        return np.where(hit.any(axis=1), 1 / (hit.argmax(axis=1) + 1), 0)

    def right_best(self) -> Values:
        """Return the relevance of the best rows that are right."""
        best = np.where(self.there, self.relevance, -1).argmax(axis=1)[:, None]
        relevance: Values = np.take_along_axis(self.relevance, best, axis=1)
        return relevance[np.take_along_axis(self.right, best, axis=1)]

    def deviation(self, constants: Constants) -> float:
        """Return how far the formula is from what SQL says, at most."""
        return float(
            np.abs(np.where(self.there, self.computed(constants) - self.relevance, 0)).max(initial=0)
        )


def candidates(queries: QuerySet, number: int) -> Candidates:
    """Return the best candidates of each query, at most `number` of them."""
    with queries.corpus.database.connect() as connection:
        explained = [connection.execute(_EXPLAIN, [text, number]).fetchall() for text in queries.texts]
    shape = (len(explained), max(map(len, explained), default=0))
    there, right = np.zeros(shape, dtype=np.bool_), np.zeros(shape, dtype=np.bool_)
    parts = np.zeros((4, *shape))
    for n, (rows, answers) in enumerate(zip(explained, queries.answers, strict=True)):
        there[n, : len(rows)] = True
        right[n, : len(rows)] = [name in answers for name, *_ in rows]
        parts[:, n, : len(rows)] = np.asarray([row[1:] for row in rows], dtype=np.float64).reshape(-1, 4).T
    one_word = np.asarray([is_one_word(text) for text in queries.texts], dtype=np.bool_)
    words, name_match, similarity, relevance = parts
    return Candidates(there, right, words, name_match, similarity, relevance, one_word)


def in_force(database: Database) -> Constants:
    """Return the constants that SQL has."""
    with database.connect_superuser() as connection:
        row = connection.execute(_IN_FORCE).fetchone()
    if row is None:
        raise psycopg.DataError("singularity.relevance returned nothing")
    return Constants(*map(float, row))


def check_formula(explained: Candidates, constants: Constants) -> None:
    """Raise RuntimeError where the formula is further from SQL than by rounding."""
    deviation = explained.deviation(constants)
    if deviation > ROUNDING:
        raise RuntimeError(
            f"the formula of relevance differs from SQL by up to {deviation:.6f} ({constants})"
        )
