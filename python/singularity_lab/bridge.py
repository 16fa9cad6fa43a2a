"""A bridge that runs as a program of its own, as users run it."""

import sysconfig
from collections.abc import Mapping, Sequence
from pathlib import Path

from singularity_lab.process import Process
from singularity_lab.waiting import wait_until


class Bridge(Process):
    """`singularity-bridge run` between one database and one NATS server.

    `options` are further command-line options, `environment` further variables. Nothing is waited for at the
    start: a bridge must cope with a database and a NATS server that are not there yet. `stop()` asks it to
    end in order and returns its exit code.
    """

    def __init__(
        self,
        dsn: str,
        nats_url: str,
        log: Path,
        *,
        name: str = "bridge",
        options: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(name, log)
        self.dsn = dsn
        self.nats_url = nats_url
        self.options = tuple(options)
        self.environment = dict(environment or {})

    def start(self) -> None:
        """Start the bridge; it connects in its own time."""
        program = Path(sysconfig.get_path("scripts")) / "singularity-bridge"
        command = [program, "run", "--dsn", self.dsn, "--nats", self.nats_url, *self.options]
        self._launch(command, environment=self.environment)

    def wait(self, timeout: float = 30.0) -> int:
        """Wait until it ends by itself and return its exit code; TimeoutError after `timeout` seconds."""
        wait_until(lambda: not self.running, timeout, lambda: f"{self.name} to end\n{self.log_tail()}")
        return self._started().wait()
