"""Embedding without a database: the model's own formula, both ways of computing, damaged files."""

import json
import subprocess
import sys
from functools import cache
from importlib import import_module
from pathlib import Path
from shutil import copytree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.embedding import reference

from singularity_plpy.embedding import (
    LITERAL_LENGTH,
    LONGEST_TEXT,
    Model,
    batches,
    cut,
    load,
)
from singularity_plpy.model_files import TABLE, TOKENIZER

QUERIES = ["how do I retry a failing call", "retry-with-jitter", "What is a context manager?", "a", "é"]
TEXTS = [*QUERIES, *reference.ODD_TEXTS]
LETTERS = 70_000  # of one kind: more than counts

any_text = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"])),
    st.text("abcdefghilmnorst  _.A"),
    st.lists(st.sampled_from([" ", "  ", "▁", "the", "ing", "<s>", "</s>", "<unk>", "\r\n", "語"])).map(
        "".join
    ),
)
any_part = st.one_of(st.none(), any_text)


@cache
def with_numpy() -> Model:
    loaded = Model(reference.MODEL)
    loaded.literals(["word " * 5000])
    return loaded


@pytest.fixture
def model() -> Model:
    """A model that has done nothing yet, and begins without numpy."""
    return Model(reference.MODEL)


def vector_of(literal: str | None) -> NDArray[np.float64]:
    assert literal is not None
    return np.array(json.loads(literal)) / LITERAL_LENGTH


def assert_same(literal: str | None, other: str | None) -> None:
    if literal is None or other is None:
        assert literal == other
    else:
        np.testing.assert_allclose(vector_of(literal), vector_of(other), atol=1e-6)


@pytest.mark.parametrize("text", TEXTS)
def test_a_vector_is_that_of_the_model(model: Model, text: str) -> None:
    for way in (model, with_numpy()):
        (literal,) = way.literals([text])
        np.testing.assert_allclose(vector_of(literal), reference.vectors([text])[0], atol=1e-6)


def test_a_literal_has_integers_of_the_given_length(model: Model) -> None:
    for way in (model, with_numpy()):
        numbers = json.loads(way.literals(["some query"])[0] or "")
        assert len(numbers) == 256
        assert all(isinstance(number, int) for number in numbers)
        assert np.linalg.norm(numbers) == pytest.approx(LITERAL_LENGTH, rel=1e-5)


def test_a_document_is_the_weighted_sum_of_its_texts(model: Model) -> None:
    name, summary, content = reference.vectors(["retry", "calls again after a failure", "def retry(): ..."])
    total = name + 2 * summary + content
    for way in (model, with_numpy()):
        literals = way.document_literals(["retry"], ["calls again after a failure"], ["def retry(): ..."])
        np.testing.assert_allclose(vector_of(literals[0]), total / np.linalg.norm(total), atol=1e-6)


@pytest.mark.parametrize("absent", [None, ""])
def test_absent_texts_of_a_document_add_nothing(model: Model, absent: str | None) -> None:
    for way in (model, with_numpy()):
        (alone,) = way.literals(["retry"])
        for place in range(3):
            name, summary, content = ["retry" if place == part else absent for part in range(3)]
            assert_same(way.document_literals([name], [summary], [content])[0], alone)
        assert way.document_literals([absent], [absent], [absent]) == [None]


@settings(deadline=None)  # the machine may be busy
@given(any_part, any_part, any_part)
def test_both_ways_of_computing_agree(name: str | None, summary: str | None, content: str | None) -> None:
    texts, model = [name, summary, content], load(str(reference.MODEL))
    model._arrays, model._plain_tokens_left = None, 10_000  # a session that has only begun
    plain = [*model.literals(texts), *model.document_literals([name], [summary], [content])]
    assert model._arrays is None
    model = with_numpy()
    by_numpy = [*model.literals(texts), *model.document_literals([name], [summary], [content])]
    for one, other in zip(plain, by_numpy, strict=True):
        assert_same(one, other)


def test_empty_texts_have_no_vector(model: Model) -> None:
    for way in (model, with_numpy()):
        assert way.literals(["", None, "a"])[:2] == [None, None]
        assert way.literals([]) == way.document_literals([], [], []) == []


def test_lists_of_different_lengths_are_refused(model: Model) -> None:
    with pytest.raises(ValueError, match="shorter"):
        model.document_literals(["a", "b"], [None], [None, None])


def test_vectors_keep_the_order_of_their_texts(model: Model) -> None:
    texts: list[str | None] = [f"text number {number} " * (number % 7) for number in range(3000)]
    texts[1234] = None
    literals = model.literals(texts)
    documents = model.document_literals(texts, [None] * 3000, texts[::-1])
    assert len(literals) == len(documents) == len(texts)
    for place in (0, 1, 255, 256, 257, 1234, 2048, 2999):
        assert [literals[place]] == model.literals([texts[place]])
        assert [documents[place]] == model.document_literals([texts[place]], [None], [texts[2999 - place]])


def test_between_is_called_in_long_work(model: Model) -> None:
    calls: list[None] = []
    model.literals(["short"] * 10, lambda: calls.append(None))
    assert not calls
    model.literals(["word " * 10_000] * 50, lambda: calls.append(None))
    assert len(calls) > 5
    calls.clear()
    model.document_literals(["a"] * 1000, ["b"] * 1000, ["c"] * 1000, lambda: calls.append(None))
    assert len(calls) == 3


def test_batches_have_all_documents_and_are_bounded() -> None:
    documents = [("x" * (number * 97 % 5000), str(number)) for number in range(2000)]
    divided = list(batches(documents))
    assert [text for batch in divided for text in batch] == [text for pair in documents for text in pair]
    assert all(len(batch) % 2 == 0 for batch in divided)
    assert all(sum(map(len, batch)) <= 1 << 18 for batch in divided)
    assert list(batches([])) == []


@pytest.mark.parametrize("character", ["x", "é", "語", "😀"])
def test_a_long_text_is_cut_between_characters(model: Model, character: str) -> None:
    whole = "x" + character * LETTERS
    kept = cut(whole)
    assert LONGEST_TEXT - 4 < len(kept.encode()) <= LONGEST_TEXT
    assert whole.startswith(kept)
    assert model.literals([whole]) == model.literals([kept])
    assert cut(kept) == kept


def test_a_short_text_is_not_cut() -> None:
    assert cut("x" * LONGEST_TEXT) == "x" * LONGEST_TEXT
    assert cut("語" * 21_845) == "語" * 21_845


def test_a_million_letters(model: Model) -> None:
    (literal,) = model.literals(["x" * (1 << 20)])
    np.testing.assert_allclose(vector_of(literal), reference.vectors(["x" * LONGEST_TEXT])[0], atol=1e-6)


def test_numpy_waits_until_it_pays_and_no_package_starts_a_thread() -> None:
    program = """if True:
        import os, sys
        from singularity_plpy.embedding import load
        model = load(sys.argv[1])
        model.literals(["how do I retry a failing call"])
        print("numpy" in sys.modules)
        for _ in range(1000):  # many small texts are large work in the end
            model.literals(["a few words more"])
        print("numpy" in sys.modules)
        model.document_literals(["word"] * 500, ["word " * 100] * 500, ["word " * 1000] * 500)
        print(len(os.listdir("/proc/self/task")))
    """
    command = [sys.executable, "-c", program, str(reference.MODEL)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True", "1"]


def test_texts_are_not_kept(model: Model) -> None:
    model.literals(["word " * 5000])
    before = own_memory()
    for start in range(0, 10_000, 1000):
        model.literals(
            [f"{number} words that do not come again " * 4 for number in range(start, start + 1000)]
        )
    assert own_memory() - before < 8_000


def own_memory() -> int:
    """Return this process's own memory in kB."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.split("RssAnon:")[1].split()[0])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(copytree(reference.MODEL, tmp_path / "model"))


@pytest.mark.parametrize("file", [TABLE, TOKENIZER])
def test_a_missing_file(folder: Path, file: str) -> None:
    (folder / file).unlink()
    with pytest.raises(OSError, match=file):
        Model(folder)


@pytest.mark.parametrize("kept", [0, 7, 50, 96, 10_000])
def test_a_cut_table(folder: Path, kept: int) -> None:
    whole = (folder / TABLE).read_bytes()
    (folder / TABLE).write_bytes(whole[:kept])
    with pytest.raises(ValueError, match=r"table|safetensors|empty"):
        Model(folder)


@pytest.mark.parametrize(
    "change",
    [
        {"embedding.weight": {"dtype": "F32", "shape": [32000, 256], "data_offsets": [0, 16384000]}},
        {"embedding.weight": {"dtype": "F16", "shape": [32000], "data_offsets": [0, 16384000]}},
        {"embedding.weight": {"dtype": "F16", "shape": ["a", "b"], "data_offsets": [0, 16384000]}},
        {"embedding.weight": {"shape": [32000, 256], "data_offsets": [0, 16384000]}},
        {"embedding.weight": 1},
        {},
        [],
    ],
)
def test_a_table_of_another_kind(folder: Path, change: object) -> None:
    header = json.dumps(change).encode()
    rest = bytes(32000 * 256 * 2)
    (folder / TABLE).write_bytes(len(header).to_bytes(8, "little") + header + rest)
    with pytest.raises(ValueError, match="table"):
        Model(folder)


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff\xfe", b'{"model": {"type": "BPE", "vocab": {}}}'])
def test_a_damaged_tokenizer(folder: Path, content: bytes) -> None:
    (folder / TOKENIZER).write_bytes(content)
    with pytest.raises(ValueError, match=TOKENIZER):
        Model(folder)


def test_a_cut_tokenizer(folder: Path) -> None:
    whole = (folder / TOKENIZER).read_bytes()
    (folder / TOKENIZER).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=TOKENIZER):
        Model(folder)


def test_a_tokenizer_that_does_not_fit(folder: Path) -> None:
    definition = json.loads((folder / TOKENIZER).read_bytes())
    definition["model"]["vocab"]["one more"] = 32000
    (folder / TOKENIZER).write_text(json.dumps(definition), encoding="utf-8")
    with pytest.raises(ValueError, match="32000 vectors for 32001 tokens"):
        Model(folder)


def test_a_package_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("singularity_plpy.embedding.find_spec", lambda name: None)
        with pytest.raises(ImportError, match="numpy"):
            Model(reference.MODEL)
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    for module in ("embedding", "model_files"):
        monkeypatch.delitem(sys.modules, f"singularity_plpy.{module}")
    with pytest.raises(ImportError, match="tokenizers"):
        import_module("singularity_plpy.embedding")
