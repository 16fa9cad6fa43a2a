"""Texts to vectors: the sum of the vectors that a static model holds for a text's tokens, normalised.

The model's folder has the tokenizer in the format of the package tokenizers, a table with the vector of each
token (table.py), and the words that are similar to others (similar.py). Both ways to add vectors, plain.py
and arrays.py, do it in double precision.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from singularity_plpy import plain
from singularity_plpy.model_files import SIMILAR_WORDS, TABLE, load_tokenizer
from singularity_plpy.similar import SimilarWords
from singularity_plpy.table import Table

if TYPE_CHECKING:
    from singularity_plpy.arrays import Arrays

LONGEST_TEXT = 65_536  # bytes; what is behind is not looked at
# What a literal's vector is scaled to: its numbers are integers then, which are written and read fast.
LITERAL_LENGTH = 1 << 24
DOCUMENT_WEIGHTS = (1, 2, 1)  # of name, summary and content

# What a session adds without numpy: about as much as takes the time of importing it.
_PLAIN_TOKENS = 3_000
_BATCH_DOCUMENTS = 256
_BATCH_CHARACTERS = 1 << 18


class Model:
    """A static embedding model."""

    def __init__(self, folder: Path) -> None:
        """Load the model; ImportError, OSError or ValueError when a package or file is missing or damaged."""
        if find_spec("numpy") is None:
            raise ImportError("the Python package numpy is missing")
        self.table = Table(folder / TABLE)
        self.tokenizer = load_tokenizer(folder)
        self.similar_words = SimilarWords(folder / SIMILAR_WORDS)
        tokens = self.tokenizer.get_vocab_size()
        if self.table.rows != tokens:
            raise ValueError(f"{folder} has {self.table.rows} vectors for {tokens} tokens")
        self._plain_tokens_left = _PLAIN_TOKENS
        self._arrays: Arrays | None = None

    def literals(
        self, texts: Sequence[str | None], between: Callable[[], object] = lambda: None
    ) -> list[str | None]:
        """Return vectors in pgvector's notation and of length LITERAL_LENGTH: the caller normalises them.

        None stands for None and for a text without any token. `between` is called between batches.
        """
        return self._literals(((text or "",) for text in texts), (1,), between)

    def document_literals(
        self,
        names: Sequence[str | None],
        summaries: Sequence[str | None],
        contents: Sequence[str | None],
        between: Callable[[], object] = lambda: None,
    ) -> list[str | None]:
        """Return the vectors of documents, written as `literals` does; None where all texts have none.

        A document's direction is that of the sum of its texts' unit vectors, weighted by DOCUMENT_WEIGHTS.
        """
        documents = zip(names, summaries, contents, strict=True)
        return self._literals((tuple(text or "" for text in d) for d in documents), DOCUMENT_WEIGHTS, between)

    def _literals(
        self, documents: Iterable[Sequence[str]], weights: Sequence[int], between: Callable[[], object]
    ) -> list[str | None]:
        result: list[str | None] = []
        for batch in batches(documents):
            if result:
                between()
            vectors = self._directions([self._tokens(text) for text in batch], weights)
            result += [str(vector) if vector else None for vector in vectors]
        return result

    def _tokens(self, text: str) -> list[int]:
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    def _directions(
        self, tokens: Sequence[Sequence[int]], weights: Sequence[int]
    ) -> Sequence[list[int] | None]:
        if self._arrays is None:
            self._plain_tokens_left -= sum(map(len, tokens))
            if self._plain_tokens_left >= 0:
                return plain.directions(self.table, tokens, weights, LITERAL_LENGTH)
            from singularity_plpy.arrays import Arrays  # noqa: PLC0415  only where much is to be done

            self._arrays = Arrays(self.table)
        return self._arrays.directions(tokens, weights, LITERAL_LENGTH)


@cache
def load(folder: str) -> Model:
    """Return the model of a folder, loaded once a session; it raises what `Model` raises."""
    return Model(Path(folder))


def batches(documents: Iterable[Sequence[str]]) -> Iterator[list[str]]:
    """Divide documents into batches that take a fraction of a second; a batch has their texts in a row.

    Each text is cut at LONGEST_TEXT bytes.
    """
    batch: list[str] = []
    count, room = 0, _BATCH_CHARACTERS
    for document in documents:
        texts = list(map(cut, document))
        size = sum(map(len, texts))
        if batch and (count == _BATCH_DOCUMENTS or size > room):
            yield batch
            batch, count, room = [], 0, _BATCH_CHARACTERS
        batch += texts
        count += 1
        room -= size
    if batch:
        yield batch


def cut(text: str) -> str:
    """Return the text's beginning of at most LONGEST_TEXT bytes, whole characters."""
    if 4 * len(text) <= LONGEST_TEXT:
        return text
    return text[:LONGEST_TEXT].encode()[:LONGEST_TEXT].decode(errors="ignore")
