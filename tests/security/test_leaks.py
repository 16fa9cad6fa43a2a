"""What is not shared is in no message of any kind, and no password in what is printed or logged."""

import asyncio
import itertools
import re
import urllib.parse
from typing import Any, Literal

import psycopg
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.types.json import Jsonb
from tests.kit.pair import Authority, Instance, settle
from tests.security.tap import Tap, leaked

from singularity_bridge import database
from singularity_bridge.addresses import without_password
from singularity_bridge.broker import Broker
from singularity_bridge.cli import main
from singularity_bridge.errors import BrokerLost, DatabaseLost, FatalError
from singularity_bridge.settings import Settings

Step = Literal[
    "learn", "learn shared", "succeed", "forget", "forget everywhere", "lookup", "recall", "compare", "settle"
]
STEPS: list[Step] = list(Step.__args__)  # type: ignore[attr-defined]
_numbers = itertools.count()


def take_step(step: Step, word: str, user: Instance, there: Authority) -> None:
    """Do something with an artifact that is private from its first day, or with what lies beside it."""
    match step:
        case "learn":
            user.learn(word, {word: word}, summary=word, tags=[word], shared=False)
        case "learn shared":
            user.learn("public", next(_numbers))
        case "succeed" if user.lookup(word):
            user.outcome(word)
        case "forget" | "forget everywhere":
            user.forget(word, everywhere=step == "forget everywhere")
        case "lookup" if user.lookup(word):
            user.call("configure", settings={"answer_ttl": "0"})
            user.lookup(word)
        case "recall":
            user.recall("public")
        case "compare":
            user.owner.execute("select singularity.want_comparison()")
        case "settle":
            settle(there, user)


@given(steps=st.lists(st.sampled_from(STEPS), max_size=12))
@settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_was_never_shared_is_in_no_message(there: Authority, here: Instance, steps: list[Step]) -> None:
    word = f"zqxprivate{next(_numbers)}q"
    here.call("follow", kind="pattern")
    tap = Tap(here)
    here.learn(word, {word: word}, summary=word, tags=[word], shared=False)
    for step in [*steps, "settle", "compare", "settle"]:
        take_step(step, word, here, there)
    here.relay.take("question")
    ids = here.column("select distinct artifact_id from singularity.holding where name = %s", [word])
    variants = here.column(
        "select distinct variant from singularity.holding where name = %s and variant is not null", [word]
    )
    assert ids
    assert leaked(tap.text(), [word, *ids, *variants]) == []
    assert any(m.body["type"] == "digest" for m in tap.messages)


PRIVATE = "zqxprivateword"


@pytest.mark.parametrize(
    "call",
    [
        ("learn", {"kind": "pattern", "name": "a", "content": {"x": PRIVATE * 30000}}),
        ("learn", {"kind": "pattern", "name": "a", "content": {"x": PRIVATE}, "tags": ["t" * 2000]}),
        ("learn", {"kind": "pattern", "name": "a" * 600, "content": {"x": PRIVATE}}),
        ("learn", {"kind": "No Kind", "name": "a", "content": {"x": PRIVATE}, "summary": PRIVATE}),
        ("learn", {"kind": "pattern", "name": "a", "content": {"x": 1}, "summary": PRIVATE * 2000}),
        (
            "learn_many",
            {"artifacts": Jsonb([{"kind": "pattern", "name": "a", "content": PRIVATE}, {"kind": 1}])},
        ),
        (
            "learn_many",
            {"artifacts": Jsonb([{"kind": "pattern", "name": "a", "content": PRIVATE, "extra": PRIVATE}])},
        ),
        ("learn_many", {"artifacts": Jsonb({"content": PRIVATE})}),
    ],
    ids=str,
)
def test_errors_do_not_say_what_was_to_be_learned(here: Instance, call: tuple[str, dict[str, Any]]) -> None:
    function, arguments = call
    with pytest.raises(psycopg.Error) as caught:
        here.call(function, **arguments)
    diag = caught.value.diag
    said = [diag.message_primary, diag.message_detail, diag.message_hint, diag.context, diag.internal_query]
    assert not any(PRIVATE in (text or "") for text in said)


# what passwords are made of, with everything that URIs and connection strings take for syntax
PASSWORDS = st.text(st.sampled_from("aZ9 %@:/?#[]&=+'\"\\,;!$%p"), min_size=4, max_size=14).map(
    lambda text: f"Qx7{text}Vw3"
)


def fragments(password: str) -> set[str]:
    """Return the pieces of a password that nobody may see: three characters and more."""
    decoded = urllib.parse.unquote(password)
    return {part[start : start + 3] for part in (password, decoded) for start in range(len(part) - 2)}


def dsns(password: str) -> list[str]:
    """Return the ways in which somebody may write a connection string with that password, right and wrong."""
    quoted = password.replace("\\", "\\\\").replace("'", "\\'")
    return [
        f"postgresql://user:{password}@127.0.0.1:1/db",
        f"postgres://user:{urllib.parse.quote(password, safe='')}@127.0.0.1:1/db",
        f"postgresql://127.0.0.1:1/db?user=u&password={password}",
        f"host=127.0.0.1 port=1 user=u password={password} dbname=db",
        f"host=127.0.0.1 port=1 user=u password='{password}' dbname=db",
        f"host=127.0.0.1 port=1 user=u password='{quoted}' dbname=db",
        f"password={password}",
        # with an @ the rest is the host
        f"postgresql://user:{password.replace('@', '')}",
    ]


def urls(password: str) -> list[str]:
    """Return ways to write URLs of NATS servers with that password."""
    return [
        f"nats://user:{password}@127.0.0.1:1",
        f"user:{password}@127.0.0.1:1",
        f"tls://user:{password}@127.0.0.1:1",
        f"nats://127.0.0.1:1,nats://user:{password}@127.0.0.1:1",
        f"nats://user:{urllib.parse.quote(password, safe='')}@127.0.0.1:1",
        f"nats://user:{password.replace('@', '')}",
    ]


def seen(text: str, password: str) -> set[str]:
    """Return which pieces of a password are in a text; those of the connection string's own words do not count."""
    innocent = "postgresql://user:@127.0.0.1:1/db?user=u&password= nats tls host port dbname"
    return {
        piece
        for piece in fragments(password)
        if piece in text and piece not in innocent and re.search(r"\w", piece) and " " not in piece
    }


@given(password=PASSWORDS)
@settings(deadline=None, max_examples=60)
def test_no_error_prints_a_part_of_a_password(password: str) -> None:
    for dsn in dsns(password):
        with pytest.raises((FatalError, DatabaseLost)) as caught:
            asyncio.run(database.connect(Settings(dsn=dsn).conninfo()))
        assert seen(str(caught.value), password) == set(), (dsn, str(caught.value))


@given(password=PASSWORDS)
@settings(deadline=None, max_examples=60)
def test_no_nats_url_is_shown_with_a_part_of_a_password(password: str) -> None:
    async def connect(one: Settings) -> None:
        await Broker("test", "_INBOX").connect(one)

    for given_urls in urls(password):
        one = Settings(nats_urls=tuple(given_urls.split(",")))
        if len(one.nats_urls) == given_urls.count("://"):  # no comma in the password
            assert all(seen(without_password(url), password) == set() for url in one.nats_urls), given_urls
        with pytest.raises((FatalError, BrokerLost)) as caught:
            asyncio.run(connect(one))
        assert seen(str(caught.value), password) == set(), (given_urls, str(caught.value))


@pytest.mark.parametrize("password", ["p%ss-Word", "p@ss-Word", "p ss'Word", "p/ss#Word?"])
def test_the_command_prints_no_part_of_a_password(password: str) -> None:
    for dsn in dsns(password)[:7]:
        result = CliRunner().invoke(
            main, ["check", "--dsn", dsn, "--nats", f"nats://u:{password}@127.0.0.1:1"]
        )
        assert "Word" not in result.output + str(result.exception or "")
