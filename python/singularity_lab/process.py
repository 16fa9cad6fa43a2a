"""A program that runs beside us, is ended by its own pid and never outlives us."""

import os
import signal
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from singularity_lab.waiting import wait_until

# The kernel's "parent has died" signal is tied to the thread that started the child: one thread, which lives
# as long as we do, starts them all.
_starter = ThreadPoolExecutor(max_workers=1, thread_name_prefix="singularity-lab")

# Variables that would quietly lead a program to somebody's real server.
_FOREIGN = ("PG", "NATS_", "SINGULARITY_")


class Process(ABC):
    """A program with a log file; starts with the `with` block and is gone after it."""

    def __init__(self, name: str, log: Path) -> None:
        self.name = name
        self.log = log
        self._child: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def start(self) -> None:
        """Start the program and return when it is ready."""

    @property
    def pid(self) -> int:
        """Its process id; RuntimeError when it was never started."""
        return self._started().pid

    @property
    def running(self) -> bool:
        """Whether it is there now (a frozen one is)."""
        return self._child is not None and self._child.poll() is None

    def stop(self, timeout: float = 30.0) -> int:
        """Ask it to end (SIGTERM) and return its exit code; TimeoutError after `timeout` seconds."""
        return self._end(signal.SIGTERM, timeout)

    def kill9(self) -> None:
        """End it and its children without warning (SIGKILL), as a crash would."""
        if self.running:
            self.freeze()  # so that nothing is born while we look
            family = self._family()
            _signal_all(family, signal.SIGKILL)
            self._started().wait()
            wait_until(
                lambda: not any(map(_alive, family)), message=f"the children of {self.name} to be gone"
            )

    def restart(self) -> None:
        """Stop it if it runs, and start it again."""
        self.stop()
        self.start()

    def freeze(self) -> None:
        """Halt it and its children (SIGSTOP): connections stay open and nobody answers."""
        _signal_all([psutil.Process(self.pid)], signal.SIGSTOP)
        _signal_all(self._family(), signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen one go on (SIGCONT)."""
        _signal_all(self._family(), signal.SIGCONT)

    def close(self) -> None:
        """Make sure that it is gone, whatever state it is in."""
        self.kill9()

    def log_text(self, after: int = 0) -> str:
        """Return what it has logged, from byte `after` on."""
        if not self.log.exists():
            return ""
        with self.log.open("rb") as file:
            file.seek(after)
            return file.read().decode(errors="replace")

    def log_size(self) -> int:
        """Return the size of its log in bytes now, to be given as `after` later."""
        return self.log.stat().st_size if self.log.exists() else 0

    def wait_for_log(self, text: str, timeout: float = 15.0, after: int = 0) -> None:
        """Wait until it has logged `text` after byte `after`; TimeoutError shows the log's end."""
        wait_until(
            lambda: text in self.log_text(after),
            timeout,
            lambda: f"{text!r} in the log of {self.name}:\n{self.log_tail()}",
        )

    def log_tail(self, lines: int = 30) -> str:
        """Return the last lines of its log under the log's path."""
        return "\n".join([f"{self.log}:", *self.log_text().splitlines()[-lines:]])

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _launch(
        self,
        command: Sequence[object],
        *,
        user: str | None = None,
        environment: Mapping[str, str] | None = None,
        death_signal: signal.Signals = signal.SIGKILL,
    ) -> None:
        """Start `command` in its own session, as `user`, with its output in the log."""
        if self.running:
            raise RuntimeError(f"{self.name} is already running")
        leashed = [*leash(death_signal, user), *map(str, command)]
        clean = clean_environment(environment)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._child = _starter.submit(
                lambda: subprocess.Popen(
                    leashed,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=clean,
                    cwd="/",
                    start_new_session=True,
                )
            ).result()

    def _wait_ready(self, ready: Callable[[], bool], timeout: float = 30.0) -> None:
        """Wait for `ready`; RuntimeError with the log's end when the program ends instead."""

        def ready_or_gone() -> bool:
            return not self.running or ready()

        wait_until(ready_or_gone, timeout, lambda: f"{self.name} to be ready\n{self.log_tail()}")
        if not self.running:
            raise RuntimeError(f"{self.name} did not start\n{self.log_tail()}")

    def _end(self, with_signal: signal.Signals, timeout: float) -> int:
        child = self._started()
        if child.poll() is None:
            child.send_signal(with_signal)
        try:
            return child.wait(timeout)
        except subprocess.TimeoutExpired:
            message = f"{self.name} still ran {timeout:g} s after {with_signal.name}\n{self.log_tail()}"
            raise TimeoutError(message) from None

    def _family(self) -> list[psutil.Process]:
        parent = psutil.Process(self.pid)
        return [parent, *parent.children(recursive=True)]

    def _started(self) -> subprocess.Popen[bytes]:
        if self._child is None:
            raise RuntimeError(f"{self.name} was never started")
        return self._child


def _signal_all(family: list[psutil.Process], number: signal.Signals) -> None:
    for member in family:
        with suppress(psutil.NoSuchProcess):
            member.send_signal(number)


def _alive(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def leash(death_signal: signal.Signals, user: str | None) -> list[str]:
    """Return the command prefix that ends a program with its parent and runs it as `user` (None: us)."""
    identity = ["--reuid", user, "--regid", user, "--init-groups"] if user else []
    return ["setpriv", "--pdeathsig", death_signal.name.removeprefix("SIG"), *identity]


def forget_foreign_servers() -> None:
    """Take what points at PostgreSQL or NATS servers out of our own environment, which libpq reads too.

    A connection string leaves most of libpq's parameters out. PG_CONFIG stays: it says which programs to use.
    """
    for name in list(os.environ):
        if name.startswith(_FOREIGN) and name != "PG_CONFIG":
            del os.environ[name]


def clean_environment(additions: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return our environment without what points at PostgreSQL or NATS servers, plus `additions`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
    return {**kept, **(additions or {})}
