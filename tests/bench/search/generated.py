"""Artifacts made from real text, as many as wanted, whose vocabulary grows as that of real text does.

The vocabulary of n running words is K n**BETA (Heaps' law): BETA is fitted on the docstrings themselves, K follows
from the first block of artifacts. A block's texts are real sentences in which every word of its own share of the
vocabulary has another ending, so each block brings as many new words as the law says, and a word that is
common in the first block is not common everywhere.
"""

import random
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tests.bench.search.documents import standard_library

Artifact = dict[str, Any]

BLOCK = 10_000
KINDS = {"pattern": 0.5, "fact": 0.3, "prompt": 0.15, "template": 0.049, "rare": 0.001}
SENTENCES = 5

_WORD = re.compile(r"[A-Za-z]{3,}")


@dataclass(frozen=True)
class Law:
    """Heaps' law: n running words have k * n**beta different ones."""

    k: float
    beta: float

    def vocabulary(self, words: float) -> float:
        """Return how many different words so many running words have."""
        return float(self.k * words**self.beta)


class Generator:
    """Makes the same artifacts for the same numbers."""

    def __init__(self) -> None:
        documents = standard_library()
        texts = [f"{document.summary} {document.body}".replace("\0", "") for document in documents]
        parts = {part for d in documents for part in re.split(r"[._]+", d.name) if part.isalpha()}
        self._parts = sorted(part for part in parts if len(part) > 2)
        self._sentences = sorted(
            {s for text in texts for s in re.split(r"(?<=[.;])\s+|\n\n", text) if 20 < len(s) < 300}
        )
        beta = _fitted_exponent(texts)
        words = [word for sentence in self._sentences for word in _WORD.findall(sentence.lower())]
        self._words_a_block = BLOCK * (SENTENCES + 1) * len(words) / len(self._sentences)
        self.law = Law(len(set(words)) / self._words_a_block**beta, beta)

    def artifacts(self, first: int, end: int) -> Iterator[Artifact]:
        """Yield the artifacts of these numbers."""
        for number in range(first, end):
            if number == first or number % BLOCK == 0:
                sentences = self._block(number // BLOCK)
            chance = random.Random(number)
            chosen = chance.choices(sentences, k=SENTENCES + 1)
            yield {
                "kind": chance.choices(list(KINDS), list(KINDS.values()))[0],
                "name": f"{'_'.join(chance.choices(self._parts, k=3))}_{_letters(number)}".lower(),
                "summary": chosen[0],
                "content": {"text": " ".join(chosen[1:])},
                "tags": [f"tag{number % 100}"],
            }

    def vocabulary(self, first: int, end: int) -> tuple[int, int]:
        """Return how many running and how many different words the texts of these artifacts have."""
        words: set[str] = set()
        running = 0
        for artifact in self.artifacts(first, end):
            found = _WORD.findall(f"{artifact['summary']} {artifact['content']['text']}".lower())
            running += len(found)
            words.update(found)
        return running, len(words)

    def _block(self, block: int) -> Sequence[str]:
        """Return the sentences of a block: those of the first one, with the words of its own."""
        if block == 0:
            return self._sentences
        first = self.law.vocabulary(self._words_a_block)
        grown = self.law.vocabulary((block + 1) * self._words_a_block) - self.law.vocabulary(
            block * self._words_a_block
        )
        limit = min(1.0, grown / first) * 2**32
        ending = _letters(block)

        def own(match: re.Match[str]) -> str:
            word = match[0]
            return word + ending if zlib.crc32(f"{block} {word.lower()}".encode()) < limit else word

        return [_WORD.sub(own, sentence) for sentence in self._sentences]


def _fitted_exponent(texts: Sequence[str]) -> float:
    """Fit the exponent to the growth of the vocabulary over the texts in any order."""
    shuffled = random.Random(1).sample(texts, len(texts))
    seen: set[str] = set()
    running: list[int] = []
    different: list[int] = []
    count = 0
    for text in shuffled:
        words = _WORD.findall(text.lower())
        count += len(words)
        seen.update(words)
        running.append(count)
        different.append(len(seen))
    half = len(running) // 2  # the beginning is noise
    beta, _ = np.polyfit(np.log(running[half:]), np.log(different[half:]), 1)
    return float(beta)


def _letters(number: int) -> str:
    """A number in letters, beginning with one that no English word has twice."""
    letters = "q"
    while True:
        number, digit = divmod(number, 20)
        letters += "bcdfghjklmnpqrstvwxz"[digit]
        if not number:
            return letters
