"""Words that mean nearly the same, from the file in a model's folder that write_similar.py wrote.

It has a line for each word: the word, then the similar ones with their cosines.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path


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
