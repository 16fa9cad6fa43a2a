"""Servers whose wall clock can be set, each by itself, while they run."""

import signal
import struct
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from singularity_lab import Cluster

SOURCE = Path(__file__).with_name("clock.c")


def build_library(folder: Path) -> Path:
    """Compile the library that is preloaded, unless it is there; any user may read it."""
    library = folder / "clock.so"
    if not library.exists():
        subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-Wall", "-o", library, SOURCE], check=True)
        library.chmod(0o755)
    return library


class ClockedCluster(Cluster):
    """A PostgreSQL server with a clock of its own."""

    def __init__(self, name: str, folder: Path, library: Path, **options: Any) -> None:
        super().__init__(name, folder=folder, **options)
        self._clock = folder.with_suffix(".clock")
        self._library = library
        self.set_clock(0)

    def set_clock(self, seconds: float) -> None:
        """Have its clock go so many seconds ahead, from now on."""
        if not self._clock.exists():
            self._clock.touch(mode=0o644)
        with self._clock.open("r+b") as file:
            file.write(struct.pack("d", seconds))

    def _launch(
        self,
        command: Sequence[object],
        *,
        user: str | None = None,
        environment: Mapping[str, str] | None = None,
        death_signal: signal.Signals = signal.SIGKILL,
    ) -> None:
        clock = {"LD_PRELOAD": str(self._library), "FAULT_CLOCK": str(self._clock)}
        super()._launch(
            command, user=user, environment={**(environment or {}), **clock}, death_signal=death_signal
        )
