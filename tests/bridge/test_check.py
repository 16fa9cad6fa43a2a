"""`singularity-bridge check` says what is right and how to mend what is not."""

import subprocess
import sysconfig
from pathlib import Path

import pytest
from tests.bridge.stand_in import STREAM, StandIn

from singularity_bridge.broker import Broker
from singularity_lab.process import clean_environment

PROGRAM = Path(sysconfig.get_path("scripts")) / "singularity-bridge"
NARROW = """authorization { users: [ { user: me, password: pw, permissions: {
    publish: ["$JS.API.>", "_INBOX_test.>"], subscribe: ["_INBOX_test.>", "news.a"] } } ] }"""


def check(
    database: StandIn, *options: str, url: str | None = None, dsn: str | None = None
) -> tuple[int, str]:
    """Run the check; returns its exit code and what it prints."""
    command = [
        str(PROGRAM),
        "check",
        "--dsn",
        dsn or database.dsn(),
        "--nats",
        url or database.nats.url,
        *options,
    ]
    done = subprocess.run(
        command, env=clean_environment(), capture_output=True, text=True, check=False, timeout=60
    )
    assert not done.stderr
    return done.returncode, done.stdout


def test_everything_is_right(worker: StandIn) -> None:
    code, text = check(worker)
    assert (code, text.count("FAILED")) == (0, 0)
    heads = [line.split(":")[0] for line in text.splitlines()]
    assert heads == [
        f"ok      {what}"
        for what in (
            *("database", "extension", "privileges", "bridge's place", "plan"),
            *("NATS", "stream work", "permissions"),
        )
    ]
    assert "not there yet; the bridge makes it" in text
    assert worker.stream_info() == {}
    assert worker.rows("select count(*) from stand_in.detached") == [0]


def test_another_bridge_is_named(worker: StandIn) -> None:
    worker.start()
    (pid,) = worker.rows(
        "select pid from pg_stat_activity where application_name = 'singularity-bridge stand_in'"
    )
    code, text = check(worker)
    assert code == 0
    assert f"process {pid}" in text
    assert "stream work: 0 messages" in text


def test_without_a_database(stand_in: StandIn) -> None:
    code, text = check(stand_in, dsn="host=127.0.0.1 port=1 dbname=x")
    assert code == 1
    assert text.startswith("FAILED  database: ")
    assert "->" in text


def test_without_the_extension(stand_in: StandIn) -> None:
    stand_in.rows("drop schema stand_in cascade")
    code, text = check(stand_in)
    assert code == 1
    assert "ok      database" in text
    assert "CREATE EXTENSION" in text


def test_without_privileges(stand_in: StandIn) -> None:
    stand_in.rows("revoke execute on function stand_in.bridge_tick(jsonb) from stand_in_bridge")
    code, text = check(stand_in)
    assert code == 1
    assert "GRANT stand_in_bridge TO stand_in_relay" in text


def test_another_protocol(stand_in: StandIn) -> None:
    stand_in.plan(protocol=2)
    code, text = check(stand_in)
    assert code == 1
    assert "the database speaks 2, this bridge 1" in text


def test_without_nats(stand_in: StandIn) -> None:
    code, text = check(stand_in, url="nats://127.0.0.1:1")
    assert code == 1
    assert "FAILED  NATS: " in text
    stand_in.plan(speaking=False)
    code, text = check(stand_in, url="nats://127.0.0.1:1")
    assert code == 0
    assert "need not be" in text


def test_without_jetstream(stand_in: StandIn) -> None:
    plain = stand_in.lab.nats("plain", secure=False, configuration="jetstream: false")
    code, text = check(stand_in, url=plain.url)
    assert code == 1
    assert "FAILED  JetStream: " in text


def test_a_stream_that_somebody_else_must_make(stand_in: StandIn) -> None:
    stand_in.plan(streams=[{**STREAM, "create": False}])
    code, text = check(stand_in)
    assert code == 1
    assert "Start the bridge that makes it" in text


def test_missing_permissions_and_credentials(stand_in: StandIn) -> None:
    guarded = stand_in.lab.nats("guarded", secure=False, configuration=NARROW)
    stand_in.plan(subscriptions=["news.a"])
    code, text = check(stand_in, url=guarded.url.replace("//", "//me:pw@"))
    assert (code, text.count("FAILED")) == (0, 0)
    stand_in.plan(subscriptions=["news.a", "secret.b"])
    code, text = check(stand_in, url=guarded.url.replace("//", "//me:pw@"))
    assert code == 1
    assert 'permissions violation for subscription to "secret.b"' in text
    code, text = check(stand_in, url=guarded.url)
    assert code == 1
    assert "NATS refuses these credentials" in text


def test_an_old_nats_server(monkeypatch: pytest.MonkeyPatch) -> None:
    for version, old in (("2.11.15", True), ("2.12.0", False), ("2.15.0", False)):
        monkeypatch.setattr(Broker, "server_version", version)
        broker = Broker.__new__(Broker)
        assert broker.server_is_old is old


def test_options_come_from_the_environment(worker: StandIn) -> None:
    variables = {
        "PGHOST": worker.cluster.host,
        "PGPORT": str(worker.cluster.port),
        "PGUSER": "stand_in_relay",
    }
    environment = clean_environment({**variables, "PGDATABASE": worker.name, "NATS_URL": worker.nats.url})
    done = subprocess.run(
        [PROGRAM, "check"], env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stdout


def test_the_version_is_told() -> None:
    done = subprocess.run([PROGRAM, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("singularity-bridge, version ")
