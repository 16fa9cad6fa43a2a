"""The parts that need no server: settings, plans, what errors mean, delays and the rebuilding of sessions."""

import asyncio
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from singularity_bridge import plan
from singularity_bridge.addresses import without_password
from singularity_bridge.backoff import Backoff, pause
from singularity_bridge.errors import BrokerLost, DatabaseLost, FatalError, is_lost, refused_connection
from singularity_bridge.forever import News, forever
from singularity_bridge.settings import Settings

DOCUMENT: dict[str, Any] = {
    "extension": "stand_in",
    "version": "1",
    "protocol": 1,
    "revision": "a",
    "client_name": "c",
    "inbox_prefix": "_INBOX_c",
    "bell": "bell",
    "poll_ms": 250,
    "tick_ms": 1000,
    "speaking": True,
}


def test_timeouts_are_set_where_the_user_set_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PGCONNECT_TIMEOUT", raising=False)
    given = conninfo_to_dict(Settings(dsn="dbname=x keepalives_idle=99").conninfo())
    assert given["dbname"] == "x"
    assert given["keepalives_idle"] == "99"
    assert given["tcp_user_timeout"] == "20000"
    assert given["connect_timeout"] == "10"
    monkeypatch.setenv("PGCONNECT_TIMEOUT", "3")
    assert "connect_timeout" not in conninfo_to_dict(Settings(dsn="postgresql://h/x").conninfo())


def test_a_url_is_shown_without_its_password() -> None:
    assert without_password("nats://me:secret@host:4222") == "nats://host:4222"
    assert without_password("host:4222") == "nats://host:4222"


def test_tls_is_demanded_by_url_or_certificate() -> None:
    assert not Settings().demands_tls
    assert Settings(nats_urls=("nats://a", "tls://b")).demands_tls
    assert Settings(tls_ca=Path("ca.pem")).demands_tls
    with pytest.raises(FatalError, match="cannot use the certificates"):
        Settings(tls_ca=Path("/nowhere/ca.pem")).nats_options()


def test_a_plan_may_say_more_than_is_known_but_not_less() -> None:
    parsed = plan.parse({**DOCUMENT, "news": 1, "subscriptions": ["a", "a"]})
    assert (parsed.poll_s, parsed.tick_s, parsed.subscriptions) == (0.25, 1.0, frozenset("a"))
    assert parsed.nats.service is None
    incomplete = {key: value for key, value in DOCUMENT.items() if key != "bell"}
    with pytest.raises(FatalError, match="bell"):
        plan.parse(incomplete)


def test_plans_that_differ_in_subscriptions_only_keep_the_session() -> None:
    first, second = plan.parse({**DOCUMENT, "subscriptions": ["a"]}), plan.parse(DOCUMENT)
    assert first.nats == second.nats
    assert first.nats != plan.parse({**DOCUMENT, "queues": [{"name": "a", "window": 1}]}).nats


@pytest.mark.parametrize(
    ("text", "fatal"),
    [
        ('FATAL:  password authentication failed for user "x"', True),
        ("fe_sendauth: no password supplied", True),
        ('FATAL:  database "x" does not exist', True),
        ('socket "/x" failed: No such file or directory\n\tIs the server running?', False),
        ("FATAL:  the database system is starting up", False),
        ("FATAL:  sorry, too many clients already", False),
        ('could not translate host name "x" to address: Name does not exist', False),
    ],
)
def test_what_a_failed_connection_means(text: str, fatal: bool) -> None:
    assert (refused_connection(psycopg.OperationalError(f"connection failed: {text}")) is not None) == fatal


def test_what_a_failed_call_means() -> None:
    assert is_lost(psycopg.OperationalError("the connection is lost"))
    assert is_lost(psycopg.InterfaceError("the connection is closed"))
    assert is_lost(psycopg.errors.AdminShutdown())
    assert not is_lost(psycopg.errors.QueryCanceled())
    assert not is_lost(psycopg.errors.RaiseException())


def test_a_message_and_its_hint_are_one_line() -> None:
    assert str(FatalError("two\nlines", "Mend\tit.")) == "two lines. Mend it."
    assert str(FatalError("Done.", "Mend it.")) == "Done. Mend it."
    assert str(FatalError("alone")) == "alone"


def test_delays_grow_to_a_limit_and_begin_anew() -> None:
    backoff = Backoff(0.1, 1.0)
    delays = [[backoff.next_s() for _ in range(20)] for _ in range(50)]
    assert max(max(each) for each in delays) <= 1.0
    assert max(each[-1] for each in delays) > 0.5
    backoff.reset()
    assert backoff.next_s() <= 0.1


def test_a_pause_can_be_cut_short() -> None:
    async def scenario() -> None:
        event = asyncio.Event()
        await pause(0, event)
        asyncio.get_running_loop().call_later(0.01, event.set)
        async with asyncio.timeout(5):
            await pause(60, event)

    asyncio.run(scenario())


def test_sessions_are_built_anew_until_one_returns() -> None:
    outcomes: list[Exception | None] = [
        BrokerLost("a"),
        ExceptionGroup("tasks", [BrokerLost("b"), ValueError("c")]),
        KeyError("a defect"),
        None,
    ]
    news = News("it")

    async def session() -> None:
        if outcome := outcomes.pop(0):
            raise outcome

    asyncio.run(forever(session, BrokerLost, news, asyncio.Event()))
    assert outcomes == []


@pytest.mark.parametrize("error", [FatalError("x"), DatabaseLost("x")])
def test_what_loses_more_than_the_session_is_raised(error: Exception) -> None:
    async def session() -> None:
        raise ExceptionGroup("tasks", [BrokerLost("y"), error])

    with pytest.raises(type(error)):
        asyncio.run(forever(session, BrokerLost, News("it"), asyncio.Event()))
