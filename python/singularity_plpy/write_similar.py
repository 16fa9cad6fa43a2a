"""Writes the file of similar words into a model's folder, by the vectors that the model holds for whole words.

Usage: python -m singularity_plpy.write_similar FOLDER
"""

import sys
from pathlib import Path

import numpy

from singularity_plpy.model_files import SIMILAR_WORDS, TABLE, load_tokenizer
from singularity_plpy.table import Table

LEAST_COSINE = 0.45
MOST_WORDS = 8

_BLANK = "\u2581"  # how the tokenizer marks the beginning of a word
_SHORTEST = 3  # letters
_BLOCK = 512  # words whose cosines with all others are computed at once


def write_similar_words(folder: Path) -> None:
    """Write the file of a model's folder, from its tokenizer and its table of vectors."""
    table = Table(folder / TABLE)
    pieces = load_tokenizer(folder).get_vocab()
    tokens = {piece[1:]: number for piece, number in sorted(pieces.items()) if _is_word(piece)}
    words = list(tokens)
    vectors = numpy.array([table.sum_of([token]) for token in tokens.values()], numpy.float32)
    vectors /= numpy.linalg.norm(vectors, axis=1, keepdims=True)
    with (folder / SIMILAR_WORDS).open("w", encoding="ascii") as file:
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
