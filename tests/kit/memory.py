"""The folder for temporary files: in memory where there is room.

The throwaway servers make, sync and remove thousands of small files, which takes most of a server's system time on a
disk. No test depends on what a disk does: a killed server loses nothing that it has written, on either.
"""

import os
import tempfile
from pathlib import Path

MEMORY = Path("/dev/shm")  # noqa: S108  scratch_folder() makes a folder of its own in it
ROOM = 2 << 30  # bytes


def work_in_memory() -> None:
    """Choose the folder for us and the programs we start; TMPDIR is heeded where it is set."""
    if "TMPDIR" not in os.environ and _is_roomy(MEMORY):
        os.environ["TMPDIR"] = tempfile.tempdir = str(MEMORY)


def _is_roomy(folder: Path) -> bool:
    if not os.access(folder, os.W_OK):
        return False
    found = os.statvfs(folder)
    runs_programs = not found.f_flag & os.ST_NOEXEC  # tests/upgrade copies the server's
    return runs_programs and found.f_bavail * found.f_frsize >= ROOM
