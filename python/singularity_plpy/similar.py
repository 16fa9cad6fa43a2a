"""Words that mean nearly the same, by the vectors that a model holds for whole words.

`make install` writes them into the model's folder, a line for each word: the word, then the similar ones with
their cosines.
"""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from singularity_plpy.table import Table

FILE = "similar.txt"
LEAST_COSINE = 0.45
MOST_WORDS = 8

_BLANK = "\u2581"  # how the tokenizer marks the beginning of a word
_SHORTEST = 3  # letters
_BLOCK = 512  # words whose cosines with all others are computed at once


class SimilarWords:
    """The similar words of a file."""

    def __init__(self, file: Path) -> None:
        """Read the file; OSError when that fails, ValueError when it holds something else."""
        lines = file.read_text(encoding="ascii").splitlines()
        self._entries = {word: entries for word, _, entries in (line.partition("\t") for line in lines)}
        if not all(self._entries.values()):
            raise ValueError(f"{file} is not a file of similar words")

    def of(self, words: Iterable[str]) -> Iterator[tuple[str, str, float]]:
        """Yield each word with each word that is similar to it and their cosine."""
        for word in words:
            for entry in self._entries.get(word, "").split("\t"):
                similar, _, cosine = entry.partition(" ")
                if similar:
                    yield word, similar, float(cosine)


def write_similar_words(folder: Path) -> None:
    """Write the file of a model's folder, from its tokenizer and its table of vectors."""
    import numpy  # noqa: PLC0415  not needed to look words up

    # which imports this module
    from singularity_plpy.embedding import TABLE, TOKENIZER, load_tokenizer  # noqa: PLC0415

    table = Table(folder / TABLE)
    pieces = load_tokenizer(folder / TOKENIZER).get_vocab()
    tokens = {piece[1:]: number for piece, number in sorted(pieces.items()) if _is_word(piece)}
    words = list(tokens)
    vectors = numpy.array([table.sum_of([token]) for token in tokens.values()], numpy.float32)
    vectors /= numpy.linalg.norm(vectors, axis=1, keepdims=True)
    with (folder / FILE).open("w", encoding="ascii") as file:
        for start in range(0, len(words), _BLOCK):
            block = vectors[start : start + _BLOCK] @ vectors.T
            for place, cosines in enumerate(block, start):
                cosines[place] = 0
                near = numpy.flatnonzero(cosines >= LEAST_COSINE)
                near = near[numpy.argsort(-cosines[near])][:MOST_WORDS]
                if near.size:
                    entries = "\t".join(f"{words[other]} {cosines[other]:.2f}" for other in near)
                    file.write(f"{words[place]}\t{entries}\n")


def _is_word(piece: str) -> bool:
    word = piece[1:]
    whole = piece[0] == _BLANK and len(word) >= _SHORTEST
    return whole and word.isascii() and word.isalpha() and word.islower()


if __name__ == "__main__":
    write_similar_words(Path(sys.argv[1]))
