"""Sessions that carry out a plan's transactions, again and again until each has ended as it should.

Whether a transaction is committed is not known when its server died in COMMIT. Each therefore inserts a row of its own
into a table of ours, and afterwards somebody inserts the same row: when that works, the transaction never was committed
and never will be; when the row is there, it was.
"""

import threading
import time
from collections.abc import Callable

import psycopg
from psycopg import IsolationLevel
from tests.fault.oracle import Fact, Oracle
from tests.fault.plan import COMMON, Operation, Transaction
from tests.fault.stage import Player
from tests.kit.identity import variant_of
from tests.kit.queries import value

from singularity_lab import wait_until

PATIENCE_S = 90.0
LIMITS = "set lock_timeout = '2s'; set statement_timeout = '30s'"
_GONE = ("08", "57P")
_OUT_OF_SPACE = ("53", "58")
_LEVELS = {
    "read committed": IsolationLevel.READ_COMMITTED,
    "repeatable read": IsolationLevel.REPEATABLE_READ,
    "serializable": IsolationLevel.SERIALIZABLE,
}


class _LostInCommitError(Exception):
    """The connection was lost while the commit was under way."""


class Session(threading.Thread):
    """A user's session."""

    def __init__(
        self,
        machine: Player,
        number: int,
        transactions: tuple[Transaction, ...],
        oracle: Oracle,
        ended: Callable[[], None],
    ) -> None:
        super().__init__(name=f"{machine.name}-{number}", daemon=True)
        self.error: str | None = None
        self.reached = 0
        self._machine, self._transactions = machine, transactions
        self._label = f"{machine.name}.{number}"
        self._oracle, self._ended = oracle, ended
        self._connection: psycopg.Connection | None = None
        self._tokens: dict[str, str] = {name: first_token(machine, name, oracle) for name in COMMON}
        self._calm = threading.Event()

    def run(self) -> None:
        """Carry out everything; what should never happen is in `error` then."""
        one: Transaction | None = None
        try:
            for one in self._transactions:
                self._calm.wait(one.pause_s)
                self.reached += 1
                self._carry_out(one)
                self._ended()
        except Exception as error:  # noqa: BLE001 - the story tells it
            self.error = f"{self._label} in transaction {one and one.number}: {type(error).__name__}: {error}"
        finally:
            if self._connection:
                self._connection.close()

    def _carry_out(self, one: Transaction) -> None:
        deadline = time.monotonic() + PATIENCE_S
        attempt = 0
        while not self._attempt(one, attempt):
            attempt += 1
            if time.monotonic() > deadline:
                raise TimeoutError(f"not carried out in {PATIENCE_S:g} s")
            self._calm.wait(0.1)

    def _attempt(self, one: Transaction, attempt: int) -> bool:
        """Try a transaction; returns whether it has ended as planned."""
        mark = f"{self._oracle.kind}.{self._label}.{one.number}.{attempt}"
        tokens = dict(self._tokens)
        facts: list[Fact] = []
        try:
            connection = self._connect(one)
            connection.execute("insert into public.done values (%s)", [mark])
            for number, operation in enumerate(one.operations):
                token = f"c-{self._oracle.kind.removeprefix('story-')}.{self._label}.{one.number}.{attempt}.{number}-c"
                self._do(connection, operation, token, tokens, facts)
            self._calm.wait(one.open_s)
            if one.commits:
                self._commit(connection)
            else:
                connection.rollback()
        except _LostInCommitError:
            committed = not self._claim(mark)
        except psycopg.Error as error:
            self._forgive(error, one)
            self._disconnect()
            committed = False
        else:
            committed = one.commits
        if committed:
            self._tokens = tokens
            self._oracle.commit(self._machine.name, mark, facts)
            return True
        self._oracle.drop(facts)
        return not one.commits

    def _do(
        self,
        connection: psycopg.Connection,
        operation: Operation,
        token: str,
        tokens: dict[str, str],
        facts: list[Fact],
    ) -> None:
        kind, name, good = self._oracle.kind, operation.name, operation.good
        version = 0
        match operation.what:
            case "learn" | "learn common" | "learn privately":
                shared = operation.what != "learn privately"
                facts.append(Fact(operation.what, name, token))
                connection.execute(_LEARN, [kind, name, token, shared])
                if operation.what == "learn common":
                    version = value(connection, _VERSION, kind, name, token)
                    facts[-1] = Fact(operation.what, name, token, good, version)
                else:
                    tokens[name] = token
            case "take back":
                connection.execute(_LEARN, [kind, name, tokens[name], False])
                facts.append(Fact("take back", name, tokens[name]))
            case "outcome" | "outcome common":
                connection.execute(_RECORD, [kind, name, good, variant_of(tokens[name])])
                facts.append(Fact(operation.what, name, tokens[name], good))
            case "forget" | "withdraw":
                everywhere = operation.what == "withdraw"
                connection.execute(
                    "select singularity.forget(%s, %s, everywhere => %s)", [kind, name, everywhere]
                )
                facts.append(Fact(operation.what, name))
            case reading:
                connection.execute(_READING[reading], {"kind": kind, "name": name})

    def _connect(self, one: Transaction) -> psycopg.Connection:
        if self._connection is None or self._connection.closed:
            self._connection = open_session(self._machine)
        self._connection.isolation_level = _LEVELS[one.isolation]
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @staticmethod
    def _commit(connection: psycopg.Connection) -> None:
        try:
            connection.commit()
        except psycopg.OperationalError as error:
            if connection.broken or error.sqlstate is None or error.sqlstate.startswith(_GONE):
                raise _LostInCommitError from error
            raise

    def _claim(self, mark: str) -> bool:
        """Insert a transaction's row in its stead, marked as lost; returns False when it is there already."""
        self._disconnect()

        def claimed() -> tuple[bool]:
            with open_session(self._machine) as session:
                session.execute("insert into public.done values (%s, true) on conflict do nothing", [mark])
                session.commit()
                return (value(session, "select lost from public.done where id = %s", mark),)

        (lost,) = wait_until(
            claimed, PATIENCE_S, f"an answer about {mark}", ignoring=(psycopg.OperationalError,)
        )
        return bool(lost)

    @staticmethod
    def _forgive(error: psycopg.Error, one: Transaction) -> None:
        """Raise what is no consequence of a fault."""
        state = error.sqlstate
        if isinstance(error, psycopg.errors.SerializationFailure) and one.isolation == "serializable":
            return
        if state is None and isinstance(error, psycopg.OperationalError):
            return  # the connection is gone
        if (state is not None and state.startswith((*_GONE, *_OUT_OF_SPACE))) or "File too large" in str(
            error
        ):
            return
        raise error


def open_session(machine: Player) -> psycopg.Connection:
    """Open a user's connection that waits for no lock longer than two seconds."""
    connection = machine.database.connect(autocommit=False)
    connection.execute(LIMITS)
    connection.commit()
    return connection


def first_token(machine: Player, name: str, oracle: Oracle) -> str:
    """Return the content that a name in common has at the beginning of a story."""
    return f"c-{oracle.kind.removeprefix('story-')}.{machine.name}.first.{name.removeprefix('common-')}-c"


def learn_common(machine: Player, oracle: Oracle) -> None:
    """Learn the names in common, once for all sessions."""
    mark = f"{oracle.kind}.{machine.name}.first"
    with open_session(machine) as session:
        session.execute("insert into public.done values (%s)", [mark])
        facts = []
        for name in COMMON:
            token = first_token(machine, name, oracle)
            session.execute(_LEARN, [oracle.kind, name, token, True])
            version = value(session, _VERSION, oracle.kind, name, token)
            facts.append(Fact("learn common", name, token, version=version))
    oracle.commit(machine.name, mark, facts)


_LEARN = "select singularity.learn(%s, %s, to_jsonb(%s::text), shared => %s)"
_RECORD = "select singularity.record_outcome(%s, %s, %s, variant => %s)"
_VERSION = "select version from singularity.history(%s, %s) where content #>> '{}' = %s and origin = 'local'"
_READING = {
    "lookup": "select * from singularity.lookup(%(kind)s, %(name)s)",
    "recall": "select * from singularity.recall(%(name)s, %(kind)s)",
    "ask": "select singularity.ask(%(name)s, %(kind)s)",
}
