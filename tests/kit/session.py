"""A session in an instance: what people call, in few words."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast
from uuid import UUID

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb
from tests.kit import queries
from tests.kit.queries import Row

# Nobody waits for another session's lock: who would is told so at once, however slow the machine is.
NO_WAITING = "set lock_timeout = '50ms'; set statement_timeout = '60s'"


class Session:
    """A connection with a method for each function of the extension that people call.

    Arguments that are left out are left to the function's own defaults; `kind` is "pattern" where it is left out.
    """

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.connection = connection
        self.notices: list[str] = []
        connection.add_notice_handler(lambda notice: self.notices.append(notice.message_primary or ""))

    def run(self, query: str, parameters: Sequence[Any] = ()) -> None:
        """Execute a statement."""
        self.connection.execute(query.encode(), parameters or None)

    def rows(self, query: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """Return all rows as dictionaries."""
        return queries.rows(self.connection, query, *parameters)

    def row(self, query: str, parameters: Sequence[Any] = ()) -> Row:
        """Return the only row."""
        (row,) = self.rows(query, parameters)
        return row

    def column(self, query: str, parameters: Sequence[Any] = ()) -> list[Any]:
        """Return the only column."""
        return [next(iter(row.values())) for row in self.rows(query, parameters)]

    def value(self, query: str, parameters: Sequence[Any] = ()) -> Any:
        """Return the only value."""
        (value,) = self.column(query, parameters)
        return value

    def call(self, function: str, **arguments: Any) -> list[Row]:
        """Call a function of the extension with named arguments and return its rows."""
        named = ", ".join(f"{name} => %({name})s" for name in arguments)
        given = {
            name: Jsonb(value) if isinstance(value, dict) else value for name, value in arguments.items()
        }
        with self.connection.cursor(row_factory=dict_row) as cursor:
            cursor.execute(f"select * from singularity.{function}({named})".encode(), given)
            return cursor.fetchall()

    def _value_of(self, function: str, **arguments: Any) -> Any:
        (row,) = self.call(function, **arguments)
        return row[function]

    def learn(self, name: str | None, content: Any = "x", kind: str | None = "pattern", **more: Any) -> UUID:
        """Call learn(); `content` is any JSON value, or a Jsonb, or None for SQL's null."""
        content = content if content is None or isinstance(content, Jsonb) else Jsonb(content)
        return cast(UUID, self._value_of("learn", kind=kind, name=name, content=content, **more))

    def learn_many(self, artifacts: Any) -> int:
        """Call learn_many() with any JSON value, or None for SQL's null."""
        return cast(
            int, self._value_of("learn_many", artifacts=None if artifacts is None else Jsonb(artifacts))
        )

    def lookup(self, name: str, kind: str = "pattern", **more: Any) -> Row | None:
        """Call lookup() and return its row, or None."""
        found = self.call("lookup", kind=kind, name=name, **more)
        assert len(found) <= 1
        return found[0] if found else None

    def known(self, name: str, **more: Any) -> Row:
        """Call lookup() for what must be known."""
        row = self.lookup(name, **more)
        assert row is not None, f"{name} is not known"
        return row

    def recall(self, query: str | None, **more: Any) -> list[Row]:
        """Call recall() and return its rows."""
        return self.call("recall", query=query, **more)

    def names(self, query: str, **more: Any) -> list[str]:
        """Return the names of what recall() returns."""
        return [row["name"] for row in self.recall(query, **more)]

    def outcome(
        self, name: str, succeeded: bool | None = True, *, kind: str = "pattern", **more: Any
    ) -> None:
        """Call record_outcome()."""
        self.call("record_outcome", kind=kind, name=name, succeeded=succeeded, **more)

    def use(self, name: str, times: int = 1, succeeded: bool = True) -> None:
        """Record so many outcomes of a pattern."""
        query = "select singularity.record_outcome('pattern', %s, %s) from generate_series(1, %s)"
        self.run(query, [name, succeeded, times])

    def forget(self, name: str, *, kind: str = "pattern", **more: Any) -> bool:
        """Call forget()."""
        return cast(bool, self._value_of("forget", kind=kind, name=name, **more))

    def history(self, name: str, *, kind: str = "pattern", **more: Any) -> list[Row]:
        """Call history()."""
        return self.call("history", kind=kind, name=name, **more)

    def ask(self, query: str | None, **more: Any) -> UUID | None:
        """Call ask()."""
        return cast("UUID | None", self._value_of("ask", query=query, **more))

    def status(self) -> Row:
        """Call status()."""
        (row,) = self.call("status")
        return row

    def outbox(self) -> list[Row]:
        """Return what waits to be confirmed, by version."""
        return self.rows("select * from singularity.outbox_entries order by version")

    def begin(self, isolation: str = "read committed") -> None:
        """Open a transaction."""
        self.run(f"begin isolation level {isolation}")

    def commit(self) -> None:
        """Commit the open transaction."""
        self.run("commit")

    def rollback(self) -> None:
        """Roll the open transaction back."""
        self.run("rollback")

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        return self.connection.info.transaction_status != TransactionStatus.IDLE

    def contents(self) -> dict[str, list[str]]:
        """Return all rows of all tables of the extension, to compare before and after."""
        tables = self.column(
            "select c.relname from pg_class as c where c.relkind = 'r' "
            "and c.relnamespace = 'singularity'::regnamespace "
            "and c.relname not in ('signing_key', 'seal_key') order by 1"
        )
        return {
            table: self.column(f"select t::text from singularity.{table} as t order by 1") for table in tables
        }


@contextmanager
def refused(db: Session, sqlstate: str, message: str, hint: str) -> Iterator[None]:
    """Expect an error of this SQLSTATE whose message and hint contain these words, and nothing half-done.

    In an open transaction, which the error ends, the state before it is that of the last commit.
    """
    before = committed_contents(db)
    with queries.refused(sqlstate, message, hint=hint):
        yield
    if db.in_transaction:
        db.rollback()
    assert db.contents() == before


def committed_contents(db: Session) -> dict[str, list[str]]:
    """Return the contents as another session sees them."""
    with psycopg.connect(db.connection.info.dsn, autocommit=True) as elsewhere:
        return Session(elsewhere).contents()


Open = Callable[..., Session]
