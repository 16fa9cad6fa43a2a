"""A throwaway PostgreSQL cluster."""

import os
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from singularity_lab.places import free_port, give_to, remove, scratch_folder, server_user
from singularity_lab.process import Process, clean_environment, leash

StopMode = Literal["smart", "fast", "immediate"]
_STOP_SIGNALS = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}


class Cluster(Process):
    """A PostgreSQL server with data, socket and log of its own; several may run side by side.

    Only the socket's folder, which nobody else may enter, guards it: roles log in without a password. With
    `tcp=True` it listens on a free loopback port as well, for tests of what only TCP does. `fsync=False` is
    faster where nothing crashes. `settings` go into postgresql.conf (values are quoted here). `programs` is
    the folder of the program `postgres` where it is not `bin_folder()`. For root, the server runs as the user
    `postgres`.
    """

    superuser = "postgres"

    def __init__(
        self,
        name: str = "postgres",
        *,
        folder: Path | None = None,
        log: Path | None = None,
        settings: Mapping[str, str] | None = None,
        fsync: bool = True,
        tcp: bool = False,
        programs: Path | None = None,
    ) -> None:
        self._own_folder = folder is None
        self.folder = folder or scratch_folder()
        self.data = self.folder / "data"
        self.socket_folder = self.folder / "socket"
        super().__init__(name, log or self.folder / "postgres.log")
        self.tcp = tcp
        self.port = free_port() if tcp else 5432
        self.settings = {"fsync": "on" if fsync else "off", **(settings or {})}
        self.programs = programs or bin_folder()
        self._user = server_user()

    def start(self) -> None:
        """Start the server, initialised on first use, and return when it accepts connections."""
        if not self.data.exists():
            self._initialise()
        self._launch(
            [self.programs / "postgres", "-D", self.data], user=self._user, death_signal=signal.SIGQUIT
        )
        self._wait_ready(self._accepts)

    def stop(self, timeout: float = 60.0, mode: StopMode = "fast") -> int:
        """Stop the server and return its exit code; `immediate` leaves crash recovery to the next start."""
        return self._end(_STOP_SIGNALS[mode], timeout)

    def restart(self, mode: StopMode = "fast") -> None:
        """Stop the server if it runs, and start it again."""
        self.stop(mode=mode)
        self.start()

    def close(self) -> None:
        """End the server and forget its data; the log stays unless it lies in the same scratch folder."""
        if self.running:
            self.thaw()
            with suppress(TimeoutError):
                self.stop(timeout=10, mode="immediate")
        super().close()
        remove(self.data)
        remove(self.socket_folder)
        if self._own_folder:
            remove(self.folder)

    @property
    def host(self) -> str:
        """The loopback address with `tcp`, else the socket's folder."""
        return "127.0.0.1" if self.tcp else str(self.socket_folder)

    def dsn(self, database: str = "postgres", user: str | None = None, **parameters: Any) -> str:
        """Return libpq's connection string; `parameters` are further libpq parameters."""
        return make_conninfo(
            host=self.host, port=self.port, dbname=database, user=user or self.superuser, **parameters
        )

    def connect(
        self,
        database: str = "postgres",
        user: str | None = None,
        *,
        autocommit: bool = True,
        **parameters: Any,
    ) -> psycopg.Connection:
        """Return a new connection (the superuser's by default)."""
        return psycopg.connect(self.dsn(database, user, **parameters), autocommit=autocommit)

    def create_database(self, name: str, template: str | None = None) -> None:
        """Create a database, as a copy of `template` if given."""
        statement = sql.SQL("create database {}").format(sql.Identifier(name))
        if template is not None:
            statement += sql.SQL(" template {}").format(sql.Identifier(template))
        with self.connect() as connection:
            connection.execute(statement)

    def drop_database(self, name: str) -> None:
        """Drop a database, ending the sessions in it."""
        with self.connect() as connection:
            connection.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))

    def environment(self, database: str = "postgres", user: str | None = None) -> dict[str, str]:
        """Return libpq's variables, for psql, pg_dump and the like."""
        return {
            "PGHOST": self.host,
            "PGPORT": str(self.port),
            "PGUSER": user or self.superuser,
            "PGDATABASE": database,
        }

    def tool(self, name: str, *arguments: str | Path, database: str = "postgres", stdin: str = "") -> str:
        """Run one of PostgreSQL's own programs (pg_dump, psql, …) as the superuser and return what it prints.

        Raises RuntimeError with its error output when it fails.
        """
        done = subprocess.run(
            [bin_folder() / name, *arguments],
            env=clean_environment(self.environment(database)),
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"{name} failed with exit code {done.returncode}:\n{done.stderr}")
        return done.stdout

    def _initialise(self) -> None:
        for folder in (self.folder, self.data, self.socket_folder):
            folder.mkdir(exist_ok=True)
        self.folder.chmod(0o711)
        give_to(self.data, self._user)
        give_to(self.socket_folder, self._user)
        command = [bin_folder() / "initdb", "-D", self.data, "--username", self.superuser]
        options = ["--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", "--no-instructions"]
        done = subprocess.run(
            [*leash(signal.SIGKILL, self._user), *map(str, command), *options],
            env=clean_environment(),
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"initdb failed:\n{done.stdout}{done.stderr}")
        self._configure()

    def _configure(self) -> None:
        fixed = {
            "unix_socket_directories": str(self.socket_folder),
            "listen_addresses": "127.0.0.1" if self.tcp else "",
            "port": str(self.port),
            "log_line_prefix": "%m [%p] %q%u@%d ",
        }
        lines = (f"{name} = '{_quoted(value)}'\n" for name, value in {**fixed, **self.settings}.items())
        with (self.data / "postgresql.conf").open("a", encoding="utf-8") as file:
            file.writelines(lines)

    def _accepts(self) -> bool:
        try:
            self.connect(connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True


def bin_folder() -> Path:
    """Return the folder of the server's programs: that of PG_CONFIG, or of the newest packaged server."""
    packaged = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=_major)
    if "PG_CONFIG" not in os.environ and packaged:
        return packaged[-1].parent
    pg_config = os.environ.get("PG_CONFIG", "pg_config")
    return Path(subprocess.check_output([pg_config, "--bindir"], text=True).strip())


def _major(program: Path) -> int:
    return int(program.parts[-3])


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "''")
