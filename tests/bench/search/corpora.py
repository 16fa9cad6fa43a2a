"""The two collections that are searched, each learned in a database of its own, and the six sets of queries."""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from psycopg.types.json import Jsonb
from tests.bench.search.documents import (
    Document,
    Query,
    postgres_functions,
    standard_library,
    summary_queries,
)
from tests.bench.search.names import name_queries

from singularity_lab import Database, Lab

OTHER_WORDS = "other words"
NAME_SETS = ("identifiers", "half names", "typing errors")
SUMMARY_SETS = ("stdlib", "postgres")

_QUESTIONS = Path(__file__).with_name("data") / "questions.jsonl"
_SENTENCES = 1500
_NAMES = 300
_LEAST_WORDS_LEFT = 6
_AT_ONCE = 1000
_SEED = 7


@dataclass(frozen=True)
class Corpus:
    """Documents, and the database that has learned them."""

    name: str
    documents: tuple[Document, ...]
    database: Database


@dataclass(frozen=True)
class QuerySet:
    """Queries of one sort about one corpus."""

    name: str
    corpus: Corpus
    queries: tuple[Query, ...]

    @property
    def texts(self) -> list[str]:
        """The queries' texts."""
        return [query.text for query in self.queries]

    @property
    def answers(self) -> list[frozenset[str]]:
        """The right answers of each query."""
        return [query.answers for query in self.queries]

    def fit_half(self) -> "QuerySet":
        """Return the queries that constants may be fitted to."""
        return self._half(for_report=False)

    def report_half(self) -> "QuerySet":
        """Return the queries that are reported."""
        return self._half(for_report=True)

    def _half(self, *, for_report: bool) -> "QuerySet":
        kept = tuple(query for query in self.queries if _is_for_report(query) == for_report)
        return QuerySet(self.name, self.corpus, kept)


def query_sets(lab: Lab) -> list[QuerySet]:
    """Learn both corpora in databases of the lab and return all sets of queries."""
    lab.cluster(fsync=False)
    without, whole = lab.instance("without"), lab.instance("whole")
    with without.connect() as connection:
        postgres = postgres_functions(connection)
    python = standard_library()
    documents = [*python, *postgres]
    stripped = Corpus("without first sentences", tuple(d.without_summary() for d in documents), without)
    complete = Corpus("whole", tuple(documents), whole)
    for corpus in (stripped, complete):
        _learn(corpus)
    sentences = summary_queries(python, _LEAST_WORDS_LEFT)
    by_name = {
        "stdlib": (stripped, random.Random(_SEED).sample(sentences, min(_SENTENCES, len(sentences)))),
        "postgres": (stripped, summary_queries(postgres, 1)),
        **{name: (complete, queries) for name, queries in name_queries(documents, _NAMES, _SEED).items()},
        OTHER_WORDS: (complete, _questions(documents)),
    }
    return [QuerySet(name, corpus, tuple(queries)) for name, (corpus, queries) in by_name.items()]


def _is_for_report(query: Query) -> bool:
    """A query stays in its half whatever queries are added."""
    return blake2b(f"{_SEED} {query.text}".encode()).digest()[0] % 2 == 0


def _questions(documents: Sequence[Document]) -> list[Query]:
    known = {document.id for document in documents}
    questions = [
        Query(line["question"], frozenset(line["answers"]))
        for line in map(json.loads, _QUESTIONS.read_text(encoding="utf-8").splitlines())
    ]
    missing = sorted(answer for question in questions for answer in question.answers - known)
    if missing:
        raise RuntimeError(f"not among the documents, but answers in {_QUESTIONS.name}: {', '.join(missing)}")
    return questions


def _learn(corpus: Corpus) -> None:
    with corpus.database.connect() as connection:
        artifacts = [_artifact(document) for document in corpus.documents]
        for start in range(0, len(artifacts), _AT_ONCE):
            connection.execute(
                "select singularity.learn_many(%s)", [Jsonb(artifacts[start : start + _AT_ONCE])]
            )
        connection.execute("call singularity.maintain()")
    with corpus.database.connect_superuser() as connection:
        connection.execute("vacuum analyze")


def _artifact(document: Document) -> dict[str, object]:
    artifact: dict[str, object] = {
        "kind": document.kind,
        "name": document.name,
        "content": {"text": document.body},
    }
    return {**artifact, "summary": document.summary} if document.summary else artifact
