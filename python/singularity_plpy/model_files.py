"""The files in a model's folder, and how its tokenizer is loaded."""

from pathlib import Path

from tokenizers import Tokenizer

TABLE = "l2_supercat_256.safetensors"
TOKENIZER = "l2_supercat_tokenizer_config.json"
SIMILAR_WORDS = "similar.txt"


def load_tokenizer(folder: Path) -> Tokenizer:
    """Load a model's tokenizer; OSError or ValueError when its file is missing or damaged."""
    file = folder / TOKENIZER
    file.stat()
    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception as error:  # noqa: BLE001  it raises no other class
        raise ValueError(f"{file} is not a tokenizer: {error}") from None
    tokenizer.no_truncation()
    tokenizer.no_padding()
    # its cache keeps 10,000 whole texts, 60 MB a session, which seldom come again
    tokenizer.model._resize_cache(0)
    return tokenizer
