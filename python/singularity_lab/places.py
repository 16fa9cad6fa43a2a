"""Where the throwaway parts live: folders, ports and the operating system's user."""

import os
import pwd
import random
import shutil
import socket
import tempfile
from pathlib import Path

# A Unix socket's path has room for 107 bytes.
LONGEST_FOLDER = 60


def scratch_folder() -> Path:
    """Make an empty folder that the server's user can pass through, with a path short enough for sockets."""
    folder = Path(tempfile.mkdtemp(prefix="singularity-"))
    if len(str(folder)) > LONGEST_FOLDER:
        folder.rmdir()
        folder = Path(tempfile.mkdtemp(prefix="singularity-", dir="/tmp"))
    folder.chmod(0o711)
    return folder


def server_user() -> str | None:
    """Return the user that PostgreSQL runs as: `postgres` for root, whom it refuses, else None (us)."""
    return "postgres" if os.geteuid() == 0 else None


def give_to(folder: Path, user: str | None) -> None:
    """Make `user` the only one who may enter `folder`."""
    folder.chmod(0o700)
    if user is not None:
        account = pwd.getpwnam(user)
        os.chown(folder, account.pw_uid, account.pw_gid)


def free_port() -> int:
    """Return a loopback port that nobody listens on, below the range that outgoing connections are given."""
    for port in random.sample(range(20_000, 32_000), 200):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError("no free port between 20000 and 32000")


def remove(folder: Path) -> None:
    """Remove `folder` with everything in it, if it is there."""
    shutil.rmtree(folder, ignore_errors=True)
