"""The model's vectors computed another way: as wordllama does it, padded, reading the files by itself."""

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

MODEL = Path(__file__).parents[2] / "build/server/model"  # made by `make build`
TABLE = MODEL / "l2_supercat_256.safetensors"
TOKENIZER = MODEL / "l2_supercat_tokenizer_config.json"

# Texts that a tokenizer may stumble over; none is empty.
ODD_TEXTS = [
    " ",
    "   two  blanks   and more    ",
    "\t\n\r\v\f\x01\x1f\x7f",
    "\u2581\u2581lower\u2581one eighth block\u2581",
    "<s>marks of the model</s><unk> <0x41> </s",
    "snake_case camelCase kebab-case dotted.name::path/to/file.py",
    "'quotes' \"double\" \\backslash\\ $$dollar$$ %s {} --comment",
    "漢字とかな混じりの文、句読点。",
    "Привет, мир! Ελληνικά עברית العربية हिन्दी ไทย 한국어",
    "😀👍🏽 👩‍👩‍👧 e\u0301 a\u030a \u00a0\u200b\u202e\ufeff",
    "\U0001d11e\U00010348\U000e0041 never seen",
    "x" * 300,
    "antidisestablishmentarianism" * 20,
]


@cache
def tokenizer() -> Tokenizer:
    loaded = Tokenizer.from_file(str(TOKENIZER))
    loaded.enable_padding()
    loaded.no_truncation()
    return loaded


@cache
def table() -> NDArray[np.float64]:
    raw = TABLE.read_bytes()
    header_size = int.from_bytes(raw[:8], "little")
    shape = json.loads(raw[8 : 8 + header_size])["embedding.weight"]["shape"]
    return np.frombuffer(raw, np.float16, offset=8 + header_size).reshape(shape).astype(np.float64)


def vectors(texts: Sequence[str]) -> NDArray[np.float64]:
    """Return a unit vector for each text, none of which may be empty."""
    encodings = tokenizer().encode_batch(list(texts), add_special_tokens=False)
    ids = np.array([encoding.ids for encoding in encodings])
    mask = np.array([encoding.attention_mask for encoding in encodings], np.float64)
    means = (table()[ids] * mask[..., None]).sum(axis=1) / mask.sum(axis=1, keepdims=True)
    unit: NDArray[np.float64] = means / np.linalg.norm(means, axis=1, keepdims=True)
    return unit
