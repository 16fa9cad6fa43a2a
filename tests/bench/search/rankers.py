"""What is compared: recall, and the ways to search that anybody could use instead of it."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import bm25s  # type: ignore[import-untyped]
import numpy as np
import psycopg
import Stemmer  # type: ignore[import-not-found]
from numpy.typing import NDArray
from psycopg.types.json import Jsonb
from tests.bench.search.corpora import Corpus
from tests.bench.search.documents import Document
from tests.bench.search.metrics import DEPTH

Ranking = list[str]
Search = Callable[[Sequence[str]], list[Ranking]]
Ranker = Callable[[Corpus], Search]
Vectors = NDArray[np.float32]

_DIMENSIONS = 256
_AT_ONCE = 500
_UNBOUNDED = 1_000_000

_RECALL = "select kind || ':' || name from singularity.recall(%s, max_results => %s)"
_TS_TABLE = "create table searchable (id text primary key, words tsvector not null)"
_TS_INSERT = """
    insert into searchable (id, words) values (%s, setweight(to_tsvector('english', %s), 'A')
        || setweight(to_tsvector('english', %s), 'B') || setweight(to_tsvector('english', %s), 'D'))
"""
_TS_RANK_CD = """
    with asked as (
        select string_agg(quote_literal(l), ' | ')::tsquery as any_word
        from unnest(tsvector_to_array(to_tsvector('english', %s))) as l
    )
    select s.id from searchable s, asked where s.words @@ asked.any_word
    order by ts_rank_cd(s.words, asked.any_word) desc, s.id limit %s
"""
_EMBEDDED = "select v::real[] from unnest(singularity.embed_many(%s)) with ordinality as u (v, n) order by n"
# as recall embeds a query
_RECALLED = """
    select singularity.embed(singularity.plain_words(t))::real[]
    from unnest(%s::text[]) with ordinality as u (t, n) order by n
"""
_OWN_VECTORS = """
    select d.kind || ':' || d.name, v.embedding::real[]
    from singularity.document d join singularity.document_vector v using (document_id)
    order by d.document_id
"""


def recall(corpus: Corpus) -> Search:
    """Rank with `singularity.recall`, as configured."""

    def search(texts: Sequence[str]) -> list[Ranking]:
        with corpus.database.connect() as connection:
            return [_ids(connection, _RECALL, text) for text in texts]

    return search


def recall_unbounded(corpus: Corpus) -> Search:
    """Rank with `singularity.recall` that scores the words of every document that has one."""

    def search(texts: Sequence[str]) -> list[Ranking]:
        with corpus.database.connect() as connection, _candidates(connection, _UNBOUNDED):
            return [_ids(connection, _RECALL, text) for text in texts]

    return search


def ts_rank_cd(corpus: Corpus) -> Search:
    """Rank with PostgreSQL's own ranking; any word of the query will do, names and summaries weigh more."""
    with corpus.database.connect_superuser() as connection:
        connection.execute(_TS_TABLE)
        rows = [(d.id, with_parts(d.name), d.summary, d.body) for d in corpus.documents]
        connection.cursor().executemany(_TS_INSERT, rows)
        connection.execute("create index on searchable using gin (words)")
        connection.execute("analyze searchable")

    def search(texts: Sequence[str]) -> list[Ranking]:
        with corpus.database.connect_superuser() as connection:
            return [_ids(connection, _TS_RANK_CD, with_parts(text)) for text in texts]

    return search


def own_vectors(corpus: Corpus) -> Search:
    """Rank by the exact cosine of the query and the documents' vectors that recall has."""
    with corpus.database.connect_superuser() as connection:
        rows = connection.execute(_OWN_VECTORS).fetchall()
    names, vectors = [name for name, _ in rows], [vector for _, vector in rows]
    return _by_vectors(names, _matrix(vectors), lambda texts: _embed(corpus, _RECALLED, texts))


def plain_vectors(corpus: Corpus) -> Search:
    """Rank by the exact cosine of the query and each document's vector as one text."""
    names = [document.id for document in corpus.documents]
    documents = _embed(corpus, _EMBEDDED, [document.text() for document in corpus.documents])
    return _by_vectors(names, documents, lambda texts: _embed(corpus, _EMBEDDED, texts))


def bm25_plain(corpus: Corpus) -> Search:
    """Rank with bm25s, the texts as they are."""
    return _bm25(corpus, Document.text, lambda query: query)


def bm25_split(corpus: Corpus) -> Search:
    """Rank with bm25s, identifiers taken apart; those that are a name or a query also stay whole."""
    return _bm25(
        corpus,
        lambda document: f"{split(document.text())} {document.name}",
        lambda query: with_parts(query) if is_one_word(query) else split(query),
    )


BASELINES: Mapping[str, Mapping[str, Ranker]] = {
    "ts_rank_cd": {"ts_rank_cd": ts_rank_cd},
    "vectors": {"vectors, recall's own": own_vectors, "vectors, one text": plain_vectors},
    "bm25s": {"bm25s, plain": bm25_plain, "bm25s, split": bm25_split},
}


def split(text: str) -> str:
    """Take the identifiers in a text apart, and its punctuation out."""
    text = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", text)
    return re.sub(r"[!-/:-@\[-`{-~]+", " ", text)


def with_parts(text: str) -> str:
    """Return a text followed by itself with its identifiers taken apart."""
    return f"{text} {split(text)}"


def is_one_word(text: str) -> bool:
    """Say whether a query has no white space inside."""
    return len(text.split()) == 1


@contextmanager
def _candidates(connection: psycopg.Connection, number: int) -> Iterator[None]:
    """Have another bound on what is scored, for all sessions."""
    configure = "select singularity.configure(settings => %s)"
    connection.execute(configure, [Jsonb({"search_candidates": number})])
    try:
        yield
    finally:
        connection.execute(configure, [Jsonb({"search_candidates": None})])


def _ids(connection: psycopg.Connection, query: str, text: str) -> Ranking:
    return [found for (found,) in connection.execute(query.encode(), [text, DEPTH])]


def _embed(corpus: Corpus, statement: str, texts: Sequence[str]) -> Vectors:
    vectors: list[list[float] | None] = []
    with corpus.database.connect_superuser() as connection:
        for start in range(0, len(texts), _AT_ONCE):
            some = [texts[start : start + _AT_ONCE]]
            vectors += [vector for (vector,) in connection.execute(statement.encode(), some)]
    return _matrix(vectors)


def _matrix(vectors: Sequence[list[float] | None]) -> Vectors:
    """One row a vector; what has none is like nothing."""
    return np.asarray([vector or [0.0] * _DIMENSIONS for vector in vectors], dtype=np.float32)


def _by_vectors(
    names: Sequence[str], documents: Vectors, embed: Callable[[Sequence[str]], Vectors]
) -> Search:
    def search(texts: Sequence[str]) -> list[Ranking]:
        rankings = []
        for query in embed(texts):
            cosines = documents @ query
            best = np.argsort(-cosines, kind="stable")[:DEPTH]
            rankings.append([names[n] for n in best if cosines[n] > 0])
        return rankings

    return search


def _bm25(corpus: Corpus, text_of: Callable[[Document], str], asked: Callable[[str], str]) -> Search:
    stemmer = Stemmer.Stemmer("english")

    def tokens(texts: list[str]) -> object:
        return bm25s.tokenize(texts, stopwords="en", stemmer=stemmer, show_progress=False)

    index = bm25s.BM25(method="lucene", k1=1.5, b=0.75)
    index.index(tokens([text_of(document) for document in corpus.documents]), show_progress=False)

    def search(texts: Sequence[str]) -> list[Ranking]:
        queries = tokens([asked(text) for text in texts])
        found, scores = index.retrieve(queries, k=DEPTH, show_progress=False)
        return [
            [corpus.documents[n].id for n, score in zip(numbers, row, strict=True) if score > 0]
            for numbers, row in zip(found, scores, strict=True)
        ]

    return search
