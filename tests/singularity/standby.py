"""A streaming standby of a laboratory cluster."""

import signal
import subprocess
from pathlib import Path

from singularity_lab import Cluster, wait_until
from singularity_lab.places import give_to
from singularity_lab.postgres import bin_folder
from singularity_lab.process import clean_environment, leash


class Standby(Cluster):
    """A server that is made with pg_basebackup from `primary` and follows it."""

    def __init__(self, primary: Cluster, folder: Path, log: Path) -> None:
        super().__init__("standby", folder=folder, log=log, fsync=False)
        self.primary = primary

    def catch_up(self) -> None:
        """Wait until everything that is committed at the primary is visible here."""
        with self.primary.connect() as connection:
            (position,) = connection.execute("select pg_current_wal_flush_lsn()").fetchone() or (None,)
        with self.connect() as connection:
            query = "select pg_last_wal_replay_lsn() >= %s::pg_lsn"
            wait_until(
                lambda: connection.execute(query, [position]).fetchone() == (True,),
                message="the standby to replay",
            )

    def _initialise(self) -> None:
        for folder in (self.folder, self.data, self.socket_folder):
            folder.mkdir(exist_ok=True)
        self.folder.chmod(0o711)
        give_to(self.data, self._user)
        give_to(self.socket_folder, self._user)
        backup = [bin_folder() / "pg_basebackup", "--pgdata", self.data, "--dbname", self.primary.dsn()]
        options = ["--write-recovery-conf", "--checkpoint=fast", "--no-sync"]
        subprocess.run(
            [*leash(signal.SIGKILL, self._user), *map(str, backup), *options],
            env=clean_environment(),
            cwd="/",
            check=True,
            capture_output=True,
        )
        self._configure()  # the later lines of postgresql.conf count
