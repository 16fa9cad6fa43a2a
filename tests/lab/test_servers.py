"""The throwaway servers: they crash, freeze and come back on demand, and leave nothing behind."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import nats
import psutil
import psycopg
import pytest

from singularity_lab import Cluster, Lab, NatsServer, wait_until


def test_what_was_committed_survives_a_crash(lab: Lab) -> None:
    cluster = lab.cluster()
    with cluster.connect() as connection:
        connection.execute("create table kept as select 42 as answer")
    cluster.kill9()
    assert not cluster.running
    cluster.start()
    with cluster.connect() as connection:
        assert connection.execute("select answer from kept").fetchone() == (42,)
    assert "was not properly shut down" in cluster.log_text()


def test_clusters_run_side_by_side(lab: Lab) -> None:
    first = lab.cluster("first", settings={"application_name": "it's the first"})
    second = lab.cluster("second", tcp=True)
    assert first is lab.cluster("first")
    first.create_database("only_here")
    with first.connect("only_here") as one, second.connect() as two:
        assert one.execute("show application_name").fetchone() == ("it's the first",)
        assert two.info.host == "127.0.0.1"
        identifier = "select system_identifier from pg_control_system()"
        assert one.execute(identifier).fetchone() != two.execute(identifier).fetchone()


def test_a_database_is_copied_from_a_template(lab: Lab) -> None:
    cluster = lab.cluster()
    cluster.create_database("original")
    cluster.tool("psql", "-c", "create table t as select 7 as n", database="original")
    cluster.create_database("copy", template="original")
    cluster.drop_database("original")
    assert cluster.tool("psql", "-Atc", "select n from t", database="copy") == "7\n"
    with pytest.raises(RuntimeError, match="does not exist"):
        cluster.tool("psql", "-c", "select nonsense")


def test_a_frozen_server_holds_its_connections_and_answers_later(lab: Lab) -> None:
    cluster = lab.cluster()
    with cluster.connect() as connection:
        cluster.freeze()
        assert cluster.running
        with pytest.raises(psycopg.OperationalError):
            cluster.connect(connect_timeout=2)
        cluster.thaw()
        assert connection.execute("select 1").fetchone() == (1,)


def test_a_server_that_cannot_start_shows_its_log(lab: Lab) -> None:
    with pytest.raises(RuntimeError, match="unrecognized configuration parameter"):
        lab.cluster(settings={"no_such_setting": "1"})


def test_stream_survives_a_crash_but_not_a_wiped_store(lab: Lab) -> None:
    server = lab.nats()
    asyncio.run(publish(server, "before"))
    server.kill9()
    server.start()
    assert stream_names(server) == ["before"]
    server.stop()
    server.wipe_store()
    server.start()
    assert stream_names(server) == []


async def publish(server: NatsServer, stream: str) -> None:
    connection = await nats.connect(**server.client_options())
    jetstream = connection.jetstream()
    await jetstream.add_stream(name=stream, subjects=[stream])
    await jetstream.publish(stream, b"hello")
    await connection.close()


def stream_names(server: NatsServer) -> list[str]:
    accounts = server.monitor("jsz?streams=true").get("account_details", [])
    return [stream["name"] for account in accounts for stream in account.get("stream_detail", [])]


def test_the_nats_configuration_can_be_extended(lab: Lab) -> None:
    server = lab.nats(configuration="max_payload: 12345")
    assert server.monitor("varz")["max_payload"] == 12345


def test_nothing_is_left_after_a_lab() -> None:
    with Lab() as lab:
        pids = [lab.cluster(fsync=False).pid, lab.nats().pid]
        folder = lab.folder
    assert not folder.exists()
    assert not any(map(psutil.pid_exists, pids))


def test_only_the_logs_are_left_after_a_failure(capsys: pytest.CaptureFixture[str]) -> None:
    lab = Lab()
    with pytest.raises(RuntimeError, match="did not start"), lab:
        lab.nats(configuration="this is no configuration {")
    assert str(lab.logs) in capsys.readouterr().err
    assert [path.name for path in lab.folder.iterdir()] == ["logs"]
    assert "nats-server: " in (lab.logs / "nats.log").read_text(encoding="utf-8")
    (lab.logs / "nats.log").unlink()
    lab.logs.rmdir()
    lab.folder.rmdir()


PARENT = """
import signal
from singularity_lab import Lab
with Lab() as lab:
    print(lab.cluster(fsync=False).pid, lab.nats().pid, lab.folder, flush=True)
    signal.pause()
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_servers_end_with_a_parent_that_is_killed(number: signal.Signals) -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        postgres, nats_server, folder = parent.stdout.readline().split()
        parent.send_signal(number)
    wait_until(lambda: gone(int(postgres)) and gone(int(nats_server)), message="both servers to end")
    if number == signal.SIGTERM:
        assert not Path(folder).exists()
    else:
        subprocess.run(["rm", "-rf", folder], check=True)


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_a_long_temporary_folder_does_not_break_the_socket(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    long = tmp_path / ("x" * 80)
    long.mkdir()
    monkeypatch.setenv("TMPDIR", str(long))
    monkeypatch.setattr("tempfile.tempdir", None)
    with Cluster(fsync=False) as cluster, cluster.connect() as connection:
        assert len(os.fsencode(cluster.host)) < 80
        assert connection.info.host == cluster.host
