"""A TCP link that can be cut, held in either direction, slowed, left half open, and watched for a moment."""

import contextlib
import re
import socket
import threading
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Literal, Self

Way = Literal["up", "down"]
WAYS: tuple[Way, Way] = ("up", "down")
TOKEN = re.compile(rb"c-[0-9a-z.]+-c")
_OVERLAP = 96


@dataclass
class Trap:
    """Springs when a pattern is about to pass: what has it is held back, until the link is cut or flows again."""

    way: Way
    pattern: re.Pattern[bytes]
    sprung: threading.Event = field(default_factory=threading.Event)


class _Connection:
    """One client and its server."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.ends: dict[Way, tuple[socket.socket, socket.socket]] = {
            "up": (client, server),
            "down": (server, client),
        }
        self.closed = threading.Event()
        self.abandoned = threading.Event()

    def close(self) -> None:
        self.closed.set()
        for end in self.ends["up"]:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


class Link:
    """Forwards connections to a loopback port. Up is from the client to the server."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(0.1)
        self.port: int = self._listener.getsockname()[1]
        self.tokens: set[bytes] = set()
        self._flowing = {way: threading.Event() for way in WAYS}
        self._delay_s = 0.0
        self._trap: Trap | None = None
        self._connections: list[_Connection] = []
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._threads: list[threading.Thread] = []
        self.flow()

    def cut(self) -> None:
        """Close every connection, also those that were abandoned; new ones are welcome."""
        with self._lock:
            connections, self._connections = self._connections, []
        for connection in connections:
            connection.close()

    def hold(self, *ways: Way) -> None:
        """Forward nothing more in these directions, not even that somebody hung up."""
        for way in ways or WAYS:
            self._flowing[way].clear()

    def slow(self, delay_s: float) -> None:
        """Hold every piece back for so long."""
        self._delay_s = delay_s

    def flow(self) -> None:
        """Forward everything at once again."""
        self._trap = None
        self._delay_s = 0.0
        for flowing in self._flowing.values():
            flowing.set()

    def abandon(self) -> None:
        """Leave every connection half open: both ends keep it and nothing passes. New ones are welcome."""
        with self._lock:
            for connection in self._connections:
                connection.abandoned.set()

    def watch(self, way: Way, pattern: bytes) -> Trap:
        """Hold back in this direction what has the pattern (a regular expression), from the first time on."""
        self._trap = Trap(way, re.compile(pattern))
        return self._trap

    def __enter__(self) -> Self:
        self._start(self._accept_all)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        self.cut()
        self.flow()
        for thread in self._threads:
            thread.join()
        self.cut()
        self._listener.close()

    def _start(self, run: object, *arguments: object) -> None:
        thread = threading.Thread(target=run, args=arguments, daemon=True)  # type: ignore[arg-type]
        self._threads = [*(one for one in self._threads if one.is_alive()), thread]
        thread.start()

    def _accept_all(self) -> None:
        while not self._ending.is_set():
            try:
                client, _ = self._listener.accept()
            except TimeoutError:
                continue
            try:
                server = socket.create_connection(("127.0.0.1", self._target), timeout=5)
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            connection = _Connection(client, server)
            with self._lock:
                self._connections = [one for one in self._connections if not one.closed.is_set()]
                self._connections.append(connection)
            for way in WAYS:
                self._start(self._pump, connection, way)

    def _pump(self, connection: _Connection, way: Way) -> None:
        source, sink = connection.ends[way]
        tail = b""
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self._look(way, tail + data)
                tail = (tail + data)[-_OVERLAP:]
                self._wait(connection, way)
                if connection.closed.is_set():
                    return
                sink.sendall(data)
        self._wait(connection, way)
        connection.close()

    def _look(self, way: Way, data: bytes) -> None:
        if way == "up":
            self.tokens.update(TOKEN.findall(data))
        trap = self._trap
        if trap and trap.way == way and not trap.sprung.is_set() and trap.pattern.search(data):
            self.hold(way)
            trap.sprung.set()

    def _wait(self, connection: _Connection, way: Way) -> None:
        if self._delay_s:
            time.sleep(self._delay_s)
        while not connection.closed.is_set():
            if self._flowing[way].wait(0.05) and not connection.abandoned.is_set():
                return
            if connection.abandoned.is_set():
                connection.closed.wait(0.05)
