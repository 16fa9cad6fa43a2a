"""An instance as its user sees it, with its bridge."""

from collections.abc import Callable
from typing import Any

from tests.kit.queries import Row, rows
from tests.kit.session import Session

from singularity_lab import Bridge, Database, wait_until


class Machine(Session):
    """The user's session in an instance, which waits for what comes over the bridge."""

    def __init__(self, database: Database, bridge: Bridge) -> None:
        super().__init__(database.connect())
        self.database, self.bridge = database, bridge

    def copy_of(self, name: str, kind: str = "pattern") -> Any:
        """Return the content of the copy of the authority's version, None when there is none here."""
        query = "select content from singularity.central_copy where name = %s and kind = %s"
        found = rows(self.connection, query, name, kind)
        return found[0]["content"] if found else None

    def reconnect(self) -> None:
        """Open the user's connection again, after its server was down."""
        self.connection.close()
        self.connection = self.database.connect()

    def until(self, condition: Callable[[], Any], message: str, timeout: float = 45) -> Any:
        """Wait for a condition; says the status when it does not come true."""
        return wait_until(condition, timeout, lambda: f"{message}; status {self.status()}")

    def until_online(self) -> None:
        """Wait until the authority is heard."""
        self.until(lambda: self.status()["online"], "online")

    def until_confirmed(self) -> None:
        """Wait until the authority has everything."""
        self.until(lambda: self.status()["outbox_entries"] == 0, "an empty outbox")

    def until_known(self, name: str, kind: str = "pattern") -> Row:
        """Wait until an artifact is known here, asking as a user would."""
        found = self.until(lambda: self.lookup(name, kind), f"{name} to be known")
        assert isinstance(found, dict)
        return found
