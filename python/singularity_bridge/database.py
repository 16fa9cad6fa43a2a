"""The database's side of the contract: a control connection and a pool, with a typed method for each call.

Every call is one statement in autocommit mode: its transaction is committed when the method returns.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, NoReturn, Self

import psycopg
from psycopg import sql
from psycopg.rows import tuple_row
from psycopg.types.json import Jsonb
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from singularity_bridge import PROTOCOL, VERSION
from singularity_bridge.backoff import pause
from singularity_bridge.errors import (
    DatabaseLost,
    FatalError,
    describe,
    is_lost,
    refused_call,
    refused_connection,
)
from singularity_bridge.plan import Plan, parse

Connection = psycopg.AsyncConnection[tuple[Any, ...]]

CALL_TIMEOUT_S = 60.0
"""A control call that takes longer is taken for a dead connection."""
ARM_TIMEOUT_S = 15.0
"""The same for arming the bell, which is quick and so the probe of the connection."""
POOL_TIMEOUT_S = 30.0
POOL_SIZE = 12
CLOSE_TIMEOUT_S = 2.0

FUNCTIONS = (
    "bridge_attach(text, integer)",
    "bridge_plan()",
    "bridge_arm()",
    "bridge_outgoing(text, integer)",
    "bridge_result(jsonb)",
    "bridge_receive(text[], bytea[], jsonb[])",
    "bridge_serve(text, bytea)",
    "bridge_tick(jsonb)",
    "bridge_detach()",
)
SIGNING = (
    "bridge_serve(text, bytea, jsonb)",
    "bridge_signing_keys()",
    "bridge_put_aside(text, bytea, jsonb, text)",
)
"""What an extension before 0.3 has not: its messages are not signed, and none is put aside."""

_SCHEMAS = """
    select n.nspname::text
      from pg_catalog.pg_proc as p
      join pg_catalog.pg_namespace as n on n.oid = p.pronamespace
     where p.proname = 'bridge_attach' and pg_catalog.oidvectortypes(p.proargtypes) = 'text, integer'
     order by 1
"""

_PRIVILEGES = """
    select pg_catalog.format('%%s(%%s)', p.proname, pg_catalog.oidvectortypes(p.proargtypes)),
           pg_catalog.has_schema_privilege(n.oid, 'usage')
               and pg_catalog.has_function_privilege(p.oid, 'execute')
      from pg_catalog.pg_proc as p
      join pg_catalog.pg_namespace as n on n.oid = p.pronamespace
     where n.nspname = %s
"""


_LIMIT = "select pg_catalog.set_config('statement_timeout', %s, true)"


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message to send. `via` is 'stream', 'publish' or 'request'; the timeout is that of the answer."""

    message_id: str
    via: str
    subject: str
    headers: dict[str, str]
    payload: bytes
    timeout_s: float


@dataclass(frozen=True, slots=True)
class Incoming:
    """One message that was received; `meta` holds its headers and, from a stream, its place in there."""

    subject: str
    payload: bytes
    meta: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Publication:
    """A core message to publish after received messages were applied.

    Without a subject it says of a message that it is not applied yet and to be delivered again after the delay.
    """

    message: int
    subject: str
    headers: dict[str, str]
    payload: bytes

    @property
    def delay_s(self) -> float:
        """How long the message has to wait; 0 when it was applied."""
        return 0.0 if self.subject else float(self.headers["delay_ms"]) / 1000


async def connect(conninfo: str) -> Connection:
    """Open a connection in autocommit mode.

    Raises FatalError when the server refuses for good, DatabaseLost when another try may succeed.
    """
    try:
        return await psycopg.AsyncConnection.connect(conninfo, autocommit=True, row_factory=tuple_row)
    except psycopg.OperationalError as error:
        raise refused_connection(error) or DatabaseLost(describe(error)) from error
    except psycopg.Error as error:
        raise FatalError(describe(error), "Check the dsn.") from error


async def find_schema(connection: Connection, wanted: str | None) -> str:
    """Return the schema (it is named like its extension) that offers the bridge functions.

    Raises FatalError when there is none, or more than one and none is wanted.
    """
    cursor = await connection.execute(_SCHEMAS)
    schemas = [row[0] for row in await cursor.fetchall()]
    name = connection.info.dbname
    if wanted and wanted not in schemas:
        raise FatalError(
            f'the extension "{wanted}" is not installed in the database "{name}"',
            f"Install it there: CREATE EXTENSION {wanted} CASCADE.",
        )
    if not schemas:
        raise FatalError(
            f'the database "{name}" has no extension that a bridge could serve',
            "Install one there: CREATE EXTENSION singularity CASCADE.",
        )
    if not wanted and len(schemas) > 1:
        raise FatalError(
            f'the database "{name}" has several extensions that a bridge can serve: {", ".join(schemas)}',
            "Name one with --extension, and run a bridge for each.",
        )
    return wanted or schemas[0]


async def require_functions(connection: Connection, schema: str) -> bool:
    """Raise FatalError unless every bridge function is there and may be called by this user.

    Returns whether the extension has those for signed messages.
    """
    allowed: dict[str, bool] = dict(await (await connection.execute(_PRIVILEGES, [schema])).fetchall())
    if missing := [function for function in FUNCTIONS if function not in allowed]:
        raise FatalError(
            f"the extension {schema} is too old for this bridge: it has no {', '.join(missing)}",
            f"Update it: ALTER EXTENSION {schema} UPDATE.",
        )
    user = connection.info.user
    signing = all(function in allowed for function in SIGNING)
    if denied := [name for name in (*FUNCTIONS, *(SIGNING if signing else ())) if not allowed[name]]:
        raise FatalError(
            f"the user {user} has no privilege to call {schema}.{denied[0]}",
            f"Make it a member of the bridge's role: GRANT {schema}_bridge TO {user}.",
        )
    return signing


class Control:
    """The control connection. It holds the bridge's place and listens to the bell.

    Methods raise DatabaseLost when the connection is gone or does not answer in time, psycopg.Error when a
    call failed on a working connection.
    """

    def __init__(self, connection: Connection, schema: str, *, signing: bool) -> None:
        self._connection = connection
        self.schema, self.signing = schema, signing
        self.rung = asyncio.Event()
        connection.add_notify_handler(lambda _: self.rung.set())

    @classmethod
    @asynccontextmanager
    async def open(cls, conninfo: str, extension: str | None) -> AsyncIterator[Self]:
        """Connect and find the extension; the connection is closed at the end."""
        connection = await connect(conninfo)
        try:
            try:
                schema = await find_schema(connection, extension)
                signing = await require_functions(connection, schema)
                await connection.execute(
                    "select set_config('application_name', %s, false)", [application_name(schema)]
                )
            except psycopg.Error as error:
                _raise_opening(error)
            yield cls(connection, schema, signing=signing)
        finally:
            await connection.close()

    @property
    def database(self) -> str:
        """The database's name and where it is, for people."""
        info = self._connection.info
        return f"{info.dbname} at {info.host or 'local socket'}:{info.port}"

    async def attach(self) -> tuple[Plan | None, str]:
        """Take the bridge's place: (plan, ""), or (None, who has it).

        Raises FatalError when the database does not want this bridge.
        """
        try:
            answer = await self._call("bridge_attach", VERSION, PROTOCOL)
        except psycopg.Error as error:
            _raise_opening(error)
        if answer["attached"]:
            return parse(answer["plan"]), ""
        # an older extension knows the process only
        return None, answer.get("who") or f"process {answer['holder']}"

    async def listen(self, bell: str) -> None:
        """Hear the bell from now on."""
        async with self._answering():
            await self._connection.execute(sql.SQL("listen {}").format(sql.Identifier(bell)))

    async def arm(self) -> list[str]:
        """Return the queues that have work; when there is none, the database rings at the next write."""
        return await self._call("bridge_arm", timeout_s=ARM_TIMEOUT_S) or []

    async def probe(self) -> None:
        """Make sure that the connection is alive."""
        async with self._answering(ARM_TIMEOUT_S):
            await self._connection.execute("select 1")

    async def detach(self) -> None:
        """Give the bridge's place back."""
        await self._call("bridge_detach")

    async def wait(self, seconds: float) -> bool:
        """Wait until the bell rings or somebody else sets `rung` (true), or the time is over (false)."""
        while self._connection.pgconn.notifies():  # came with the last answer and lies in libpq's buffer
            self.rung.set()
        loop = asyncio.get_running_loop()
        descriptor = self._connection.fileno()
        # The next call reads what has come in; a closed connection is noticed by it as well.
        loop.add_reader(descriptor, self.rung.set)
        try:
            await pause(seconds, self.rung)
            return self.rung.is_set()
        finally:
            loop.remove_reader(descriptor)
            self.rung.clear()

    async def _call(self, function: str, *arguments: object, timeout_s: float = CALL_TIMEOUT_S) -> Any:
        statement = call(self.schema, function, len(arguments))
        async with self._answering(timeout_s):
            cursor = await self._connection.execute(statement, arguments)
            row = await cursor.fetchone()
        return row[0] if row else None

    @asynccontextmanager
    async def _answering(self, timeout_s: float = CALL_TIMEOUT_S) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(timeout_s):
                yield
        except TimeoutError:
            raise DatabaseLost(f"no answer for {timeout_s:.0f} s") from None
        except psycopg.Error as error:
            if is_lost(error) or self._connection.closed:
                raise DatabaseLost(describe(error)) from error
            raise


class Database:
    """The pool: ticking, and the calls that carry messages.

    Methods raise DatabaseLost or psycopg.Error like Control's.
    """

    def __init__(self, pool: AsyncConnectionPool[Connection], schema: str, *, signing: bool) -> None:
        self._pool = pool
        self._schema, self._signing = schema, signing

    @classmethod
    @asynccontextmanager
    async def open(cls, conninfo: str, schema: str, *, signing: bool) -> AsyncIterator[Self]:
        """Open the pool; it is closed at the end."""
        pool = AsyncConnectionPool(
            conninfo,
            min_size=1,
            max_size=POOL_SIZE,
            kwargs={"autocommit": True, "row_factory": tuple_row},
            timeout=POOL_TIMEOUT_S,
            open=False,
            name="bridge",
        )
        await pool.open()
        try:
            yield cls(pool, schema, signing=signing)
        finally:
            await pool.close(CLOSE_TIMEOUT_S)

    async def tick(self, state: dict[str, Any]) -> tuple[str, list[str]]:
        """Tell the database how things are, and let it work.

        Returns the revision of its present plan, and what it says is wrong (an older extension says nothing).
        """
        rows = await self._rows(call(self._schema, "bridge_tick", 1), [Jsonb(state)])
        answer = rows[0][0]
        return str(answer["plan_revision"]), answer.get("troubles") or []

    async def plan(self) -> Plan:
        """Fetch the present plan."""
        rows = await self._rows(call(self._schema, "bridge_plan", 0), [])
        return parse(rows[0][0])

    async def outgoing(self, queue: str, max_messages: int) -> list[Outgoing]:
        """Fetch what a queue has to send; committed as offered when this returns."""
        statement = call(
            self._schema, "bridge_outgoing", 2, "message_id, via, subject, headers, payload, timeout_ms"
        )
        rows = await self._rows(statement, (queue, max_messages))
        return [
            Outgoing(message_id, via, subject, _texts(headers), payload or b"", (timeout_ms or 0) / 1000)
            for message_id, via, subject, headers, payload, timeout_ms in rows
        ]

    async def result(self, results: Sequence[dict[str, Any]]) -> None:
        """Report what became of messages."""
        await self._rows(call(self._schema, "bridge_result", 1), (Jsonb(list(results)),))

    async def receive(self, messages: Sequence[Incoming]) -> list[Publication]:
        """Apply messages in one transaction; returns what to publish now that it is committed."""
        columns = sql.SQL(
            "select message, subject, headers, payload from {}(%s::text[], %b::bytea[], %s::text[]::jsonb[])"
        )
        statement = columns.format(sql.Identifier(self._schema, "bridge_receive"))
        parameters = (
            [message.subject for message in messages],
            [message.payload for message in messages],
            [json.dumps(message.meta) for message in messages],
        )
        rows = await self._rows(statement, parameters)
        return [
            Publication(message, subject or "", _texts(headers), payload or b"")
            for message, subject, headers, payload in rows
        ]

    async def put_aside(self, message: Incoming, error: str) -> bool:
        """Have a message kept unread that failed too often; an extension before 0.3 cannot."""
        if not self._signing:
            return False
        parameters = (message.subject, message.payload, Jsonb(message.meta), error)
        await self._rows(call(self._schema, "bridge_put_aside", len(parameters)), parameters)
        return True

    async def serve(self, request: Incoming, timeout_s: float) -> bytes | None:
        """Return the answer to a service request, None when it is not to be answered.

        After the time it ends with psycopg.errors.QueryCanceled.
        """
        parameters: list[object] = [request.subject, request.payload]
        if self._signing:
            parameters.append(Jsonb(request.meta))
        rows = await self._rows(call(self._schema, "bridge_serve", len(parameters)), parameters, timeout_s)
        answer = rows[0][0]
        return None if answer is None else bytes(answer)

    async def signing_keys(self) -> list[tuple[int, bytes]]:
        """Return number and seed of the keys to sign with; an extension before 0.3 has none."""
        if not self._signing:
            return []
        statement = call(self._schema, "bridge_signing_keys", 0, "signing_key_id, seed")
        return [(number, bytes(seed)) for number, seed in await self._rows(statement, [])]

    async def _rows(
        self, statement: sql.Composed, parameters: Sequence[object], timeout_s: float | None = None
    ) -> list[tuple[Any, ...]]:
        try:
            async with self._pool.connection() as connection, AsyncExitStack() as stack:
                # Binary results: bytea comes as it is instead of twice as long in hex.
                cursor = connection.cursor(binary=True)
                if timeout_s is not None:
                    await stack.enter_async_context(connection.transaction())
                    await cursor.execute(_LIMIT, [f"{timeout_s * 1000:.0f}"])
                await cursor.execute(statement, parameters)
                return await cursor.fetchall()
        except PoolTimeout as error:
            raise DatabaseLost("no connection could be had from the pool") from error
        except psycopg.Error as error:
            if is_lost(error):
                raise DatabaseLost(describe(error)) from error
            raise


def application_name(schema: str) -> str:
    """Return the name under which the control connection of a running bridge is seen."""
    return f"singularity-bridge {schema}"


def call(schema: str, function: str, arguments: int, columns: str = "*") -> sql.Composed:
    """Return the statement that selects `columns` of a function with that many parameters."""
    return sql.SQL("select {} from {}({})").format(
        sql.SQL(columns),
        sql.Identifier(schema, function),
        sql.SQL(", ").join([sql.Placeholder()] * arguments),
    )


def _texts(headers: dict[str, Any] | None) -> dict[str, str]:
    return {key: str(value) for key, value in (headers or {}).items()}


def _raise_opening(error: psycopg.Error) -> NoReturn:
    """Raise what an error during the opening means: a human is needed, or another try."""
    if fatal := refused_call(error):
        raise fatal from error
    raise DatabaseLost(describe(error)) from error
