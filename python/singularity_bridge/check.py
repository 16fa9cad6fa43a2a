"""`singularity-bridge check` looks at all that a bridge needs, and says how to mend what is not right.

It changes nothing: it attaches to no database, makes no stream and sends no message that anybody keeps.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass

import psycopg

from singularity_bridge import PROTOCOL, database, jetstream
from singularity_bridge.broker import OLDEST_SERVER, Broker, UnsendableError
from singularity_bridge.database import Connection
from singularity_bridge.errors import BrokerLost, DatabaseLost, FatalError, describe
from singularity_bridge.jetstream import JetStreamError
from singularity_bridge.plan import Plan, StreamPlan, parse
from singularity_bridge.settings import Settings

_KNOWS = "select pg_catalog.to_regprocedure(pg_catalog.format('%%I.%%s', %s::text, %s::text)) is not null"

_PERMISSIONS = "Load what centralcloud.nats_permissions() prints into the NATS server, see operation.md."


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report; `mend` says what to do when it is not right, or where it is only a warning."""

    right: bool
    what: str
    details: str
    mend: str = ""
    warning: bool = False


async def check(settings: Settings) -> AsyncIterator[Finding]:
    """Look at the database first and at NATS then; what depends on something broken is left out."""
    plan: Plan | None = None
    try:
        conninfo = settings.conninfo()
        async with await database.connect(conninfo) as connection:
            yield Finding(True, "database", _server(connection))
            schema = await database.find_schema(connection, settings.extension)
            async for finding in _check_extension(connection, schema):
                yield finding
            cursor = await connection.execute(database.call(schema, "bridge_plan", 0))
            row = await cursor.fetchone()
            plan = parse(row[0] if row else {})
            yield _check_plan(plan)
            async for finding in _check_troubles(connection, schema):
                yield finding
    except FatalError as error:
        yield Finding(False, "database", error.message, error.hint)
    except (DatabaseLost, psycopg.Error) as error:
        yield Finding(
            False, "database", describe(error), "Start it, or check --dsn and libpq's PG* variables."
        )
    if plan:
        async for finding in _check_nats(settings, plan):
            yield finding


async def _check_extension(connection: Connection, schema: str) -> AsyncIterator[Finding]:
    cursor = await connection.execute(
        "select extversion from pg_catalog.pg_extension where extname = %s", [schema]
    )
    row = await cursor.fetchone()
    yield Finding(True, "extension", f"{schema} {row[0] if row else '(not packaged as an extension)'}")
    await database.require_functions(connection, schema)
    yield Finding(True, "privileges", f"{connection.info.user} may call the bridge functions")
    if await _knows(connection, schema, "bridge_holder()"):
        holder = await _holder(connection, schema)
        place = f"taken ({holder}); another bridge would stand by" if holder else "free"
        yield Finding(True, "bridge's place", place)


async def _knows(connection: Connection, schema: str, function: str) -> bool:
    """Whether the extension has a function; an older one may not."""
    row = await (await connection.execute(_KNOWS, [schema, function])).fetchone()
    return bool(row and row[0])


async def _holder(connection: Connection, schema: str) -> str | None:
    """Say who has the bridge's place."""
    row = await (await connection.execute(database.call(schema, "bridge_holder", 0, "who"))).fetchone()
    return row[0] if row else None


async def _check_troubles(connection: Connection, schema: str) -> AsyncIterator[Finding]:
    """Say what the database itself says is wrong, also of a bridge that has its place; an older one says nothing."""
    if not await _knows(connection, schema, "troubles(boolean)"):
        return
    watched = (
        await _knows(connection, schema, "bridge_holder()") and await _holder(connection, schema) is not None
    )
    row = await (await connection.execute(database.call(schema, "troubles", 1), [watched])).fetchone()
    for trouble in row[0] if row else []:
        what, _, mend = trouble.rpartition(": ")
        yield Finding(False, "state", what, mend)


def _check_plan(plan: Plan) -> Finding:
    if plan.protocol != PROTOCOL:
        return Finding(
            False,
            "protocol",
            f"the database speaks {plan.protocol}, this bridge {PROTOCOL}",
            "Install a bridge and an extension of the same version.",
        )
    nats = plan.nats
    parts = [
        nats.client_name if plan.speaking else f"{nats.client_name} works alone and needs no NATS",
        f"queues {', '.join(queue.name for queue in nats.queues) or 'none'}",
        f"streams {', '.join(stream.name for stream in nats.streams) or 'none'}",
        f"consumers {', '.join(consumer.durable for consumer in nats.consumers) or 'none'}",
        f"{len(plan.subscriptions)} subscriptions",
        f"service {nats.service.name if nats.service else 'none'}",
    ]
    return Finding(True, "plan", "; ".join(parts))


async def _check_nats(settings: Settings, plan: Plan) -> AsyncIterator[Finding]:
    broker = Broker(f"{plan.nats.client_name} check", plan.nats.inbox_prefix)
    try:
        await broker.connect(settings)
        yield _check_version(broker)
        if settings.cleartext_urls:
            details = f"everything goes unencrypted to {', '.join(settings.cleartext_urls)}"
            mend = "Use tls:// (NATS_URL), with --tls-ca where your own authority signed the server's certificate."
            yield Finding(True, "TLS", details, mend, warning=True)
        async for finding in _check_jetstream(broker, plan):
            yield finding
        yield await _check_permissions(broker, plan)
        if plan.probes.must_not_publish:
            yield await _check_denials(broker, plan, bool(settings.remote_urls))
    except FatalError as error:
        yield Finding(False, "NATS", error.message, error.hint)
    except BrokerLost as error:
        if plan.speaking:
            yield Finding(False, "NATS", str(error), "Start it, or check --nats (NATS_URL) and --tls-ca.")
        else:
            yield Finding(True, "NATS", f"cannot be reached ({error}), and need not be")
    finally:
        await broker.close()


def _check_version(broker: Broker) -> Finding:
    details = f"{broker.server}, version {broker.server_version}"
    if broker.server_is_old:
        return Finding(False, "NATS", details, f"Update the NATS server to {OLDEST_SERVER} or later.")
    return Finding(True, "NATS", details)


async def _check_jetstream(broker: Broker, plan: Plan) -> AsyncIterator[Finding]:
    for stream in plan.nats.streams:
        yield await _check_stream(broker, stream)
        if await _is_lenient(broker, stream):
            mend = "Configure jetstream { strict: true } in the NATS server, which is its default."
            details = "not strict: who names its API as the place for an answer has the rights of who answers"
            yield Finding(False, "JetStream", details, mend)
    if not plan.nats.streams:
        try:
            await jetstream.request(broker, "INFO")
            yield Finding(True, "JetStream", "enabled")
        except JetStreamError as error:
            yield Finding(
                not plan.speaking,
                "JetStream",
                str(error),
                "Enable JetStream in the NATS server's configuration.",
            )


async def _check_stream(broker: Broker, plan: StreamPlan) -> Finding:
    what = f"stream {plan.name}"
    try:
        info = await jetstream.request(broker, f"STREAM.INFO.{plan.name}")
    except JetStreamError as error:
        if error.missing and plan.create:
            return Finding(True, what, "not there yet; the bridge makes it")
        if error.missing:
            return Finding(
                False, what, "not there", "Start the bridge that makes it, which is the authority's."
            )
        return Finding(
            False,
            what,
            str(error),
            "Enable JetStream, and permit this user to ask for the stream's information.",
        )
    state = info["state"]
    return Finding(True, what, f"{state['messages']} messages, {state['bytes']} bytes")


async def _is_lenient(broker: Broker, plan: StreamPlan) -> bool:
    """Say whether JetStream takes a request that it does not understand."""
    with contextlib.suppress(JetStreamError):
        await jetstream.request(broker, f"STREAM.INFO.{plan.name}", {"singularity": "check"})
        return True
    return False


async def _check_permissions(broker: Broker, plan: Plan) -> Finding:
    """Subscribe to everything and to an inbox, and publish; the server complains of what it does not permit."""
    service = plan.nats.service
    subjects = {*plan.subscriptions, *(subject for _, subject in (service.endpoints if service else ()))}
    for subject in sorted(subjects):
        try:
            await broker.subscribe(subject, _ignore)
        except UnsendableError as error:
            broker.denied.append(f"{subject}: {error}")
    await _probe(broker, plan.probes.may_publish)
    if broker.denied:
        return Finding(False, "permissions", "; ".join(broker.denied), _PERMISSIONS)
    published = len(plan.probes.may_publish)
    details = f"{len(subjects)} subjects can be subscribed to, {published} published to"
    return Finding(True, "permissions", details)


async def _check_denials(broker: Broker, plan: Plan, remote: bool) -> Finding:
    """Try what this user must not do: to speak and listen in the name of others, and to empty the stream."""
    probes = plan.probes
    broker.denied.clear()
    for subject in probes.must_not_subscribe:
        await broker.subscribe(subject, _ignore)
    await _probe(broker, probes.must_not_publish)
    tried = [
        *(("publish", subject) for subject in probes.must_not_publish),
        *(("subscription", subject) for subject in probes.must_not_subscribe),
    ]
    permitted = [
        f"{verb} to {subject}"
        for verb, subject in tried
        if not any(f'{verb} to "{subject.lower()}"' in text for text in broker.denied)
    ]
    what = "others' subjects"
    if not permitted:
        return Finding(True, what, f"{len(tried)} subjects that are not this user's are denied")
    if len(permitted) < len(tried):
        return Finding(False, what, f"permitted and must not be: {'; '.join(permitted)}", _PERMISSIONS)
    details = "this NATS server lets everybody who reaches it speak as anybody and read everything"
    return Finding(not remote, what, details, _PERMISSIONS, warning=not remote)


async def _probe(broker: Broker, subjects: Iterable[str]) -> None:
    """Publish what nobody takes for a message: no stream has that name, and the JetStream API wants JSON."""
    for subject in subjects:
        await broker.publish(subject, b"{", {"Nats-Expected-Stream": "singularity check"})
    await broker.flush()
    await asyncio.sleep(0)


async def _ignore(_: object) -> None:
    pass


def _server(connection: Connection) -> str:
    info = connection.info
    version = f"{info.server_version // 10000}.{info.server_version % 10000}"
    return f"{info.dbname} at {info.host or 'local socket'}:{info.port}, PostgreSQL {version}"
