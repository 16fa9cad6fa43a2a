"""The vectors of a model's tokens, in a file that all sessions of a server share the pages of."""

import json
import mmap
import struct
from collections.abc import Sequence
from pathlib import Path


class Table:
    """A safetensors file of one tensor of half-precision numbers, mapped into memory.

    The package safetensors would copy the whole of it into each session, and needs numpy for that.
    """

    def __init__(self, file: Path) -> None:
        """Map the file; OSError when that fails, ValueError when it holds something else."""
        with file.open("rb") as opened:
            self.memory = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
        try:
            (header_size,) = struct.unpack_from("<Q", self.memory)
            self.start = 8 + header_size
            (tensor,) = json.loads(self.memory[8 : self.start]).values()
            self.rows, self.dimensions = map(int, tensor["shape"])
            kind = tensor["dtype"]
        except (struct.error, ValueError, KeyError, TypeError, AttributeError):
            raise ValueError(f"{file} is not a safetensors file of one table") from None
        if kind != "F16" or len(self.memory) != self.start + 2 * self.rows * self.dimensions:
            raise ValueError(f"{file} is not a whole table of half-precision numbers")
        self._row = struct.Struct(f"<{self.dimensions}e")

    def sum_of(self, tokens: Sequence[int]) -> list[float]:
        """Return the sum of the tokens' vectors, zeros for no token."""
        if not tokens:
            return [0.0] * self.dimensions
        rows = (self._row.unpack_from(self.memory, self.start + self._row.size * token) for token in tokens)
        return list(map(sum, zip(*rows, strict=True)))
