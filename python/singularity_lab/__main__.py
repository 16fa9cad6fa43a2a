"""Runs a command against a throwaway PostgreSQL server: python -m singularity_lab COMMAND [ARGUMENT…]."""

import os
import subprocess
import sys

from singularity_lab.postgres import Cluster
from singularity_lab.process import forget_foreign_servers


def main(command: list[str]) -> int:
    """Run `command` with libpq's variables set to a fresh cluster's superuser; return its exit code."""
    if not command:
        print(__doc__, file=sys.stderr)
        return 2
    forget_foreign_servers()
    with Cluster(fsync=False) as cluster:
        return subprocess.run(command, env={**os.environ, **cluster.environment()}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
