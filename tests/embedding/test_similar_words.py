"""Similar words: what the model's own vectors say, and files that are not whole."""

from pathlib import Path

import numpy as np
import pytest
from tests.embedding import reference

from singularity_plpy.embedding import Model
from singularity_plpy.model_files import SIMILAR_WORDS
from singularity_plpy.similar import SimilarWords
from singularity_plpy.write_similar import LEAST_COSINE, MOST_WORDS


@pytest.fixture(scope="module")
def similar() -> SimilarWords:
    return SimilarWords(reference.MODEL / SIMILAR_WORDS)


def test_words_of_nearly_the_same_meaning_are_found(similar: SimilarWords) -> None:
    found = {(word, other) for word, other, _ in similar.of(["delete", "folder", "how"])}
    assert {("delete", "remove"), ("folder", "directory")} <= found
    assert ("delete", "delete") not in found


def test_the_cosines_are_those_of_the_model(similar: SimilarWords) -> None:
    model = Model(reference.MODEL)
    tokens = model.tokenizer.get_vocab()

    def cosine_of(word: str, other: str) -> float:
        one, two = (np.array(model.table.sum_of([tokens[f"\u2581{name}"]])) for name in (word, other))
        return float(one @ two / np.linalg.norm(one) / np.linalg.norm(two))

    entries = list(similar.of(["copy", "reverse", "list"]))
    assert len(entries) >= 3
    for word, other, cosine in entries:
        assert cosine == pytest.approx(cosine_of(word, other), abs=0.006)


def test_they_are_the_nearest_and_not_too_many(similar: SimilarWords) -> None:
    for word in ("delete", "time", "run"):
        cosines = [cosine for _, _, cosine in similar.of([word])]
        assert 0 < len(cosines) <= MOST_WORDS
        assert cosines == sorted(cosines, reverse=True)
        assert cosines[-1] >= LEAST_COSINE


@pytest.mark.parametrize(
    "word", ["", "x", "qzxqzx", "Delete", "\u00fcber", "delete folder", "delete\n", "a\tb"]
)
def test_what_is_no_word_of_the_model_has_none(similar: SimilarWords, word: str) -> None:
    assert list(similar.of([word])) == []


def test_a_model_without_the_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        SimilarWords(tmp_path / SIMILAR_WORDS)


@pytest.mark.parametrize("text", ["delete", "delete\tremove 0.68\nfolder\n", "delete\t\n"])
def test_a_damaged_file_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / SIMILAR_WORDS).write_text(text, encoding="ascii")
    with pytest.raises(ValueError, match="not a file of similar words"):
        SimilarWords(tmp_path / SIMILAR_WORDS)
