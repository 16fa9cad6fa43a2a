"""Whatever server the user's environment points at, the throwaway ones are used, and as they are."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
HOSTILE = {
    "PGAPPNAME": "nobody",
    "PGCLIENTENCODING": "SQL_ASCII",
    "PGDATABASE": "nope",
    "PGHOST": "/nowhere",
    "PGHOSTADDR": "192.0.2.1",
    "PGOPTIONS": "-c search_path=nowhere -c default_transaction_read_only=on",
    "PGPASSWORD": "wrong",
    "PGPORT": "1",
    "PGSERVICE": "nowhere",
    "PGSSLMODE": "verify-full",
    "PGTARGETSESSIONATTRS": "standby",
    "PGUSER": "nobody",
    "NATS_URL": "nats://192.0.2.1",
}


def run(*module_and_arguments: str) -> str:
    """Run a module of ours in the hostile environment, and return what it prints."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    command = [sys.executable, "-m", *module_and_arguments]
    done = subprocess.run(
        command, cwd=ROOT, env={**ours, **HOSTILE}, capture_output=True, text=True, check=False, timeout=100
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_command_reaches_the_throwaway_server() -> None:
    asked = "select current_database(), current_user, current_setting('search_path')"
    told = run("singularity_lab", "psql", "--no-psqlrc", "--no-align", "--tuples-only", "--command", asked)
    assert told == 'postgres|postgres|"$user", public\n'


def test_the_tests_reach_their_own_server() -> None:
    """Those chosen connect by host and port, and by the text of another connection's parameters, less than whole."""
    chosen = ["tests/singularity/test_lookup.py", "-k", "key_that_is_not_valid"]
    assert "passed" in run("pytest", "-q", "-p", "no:cacheprovider", *chosen)
