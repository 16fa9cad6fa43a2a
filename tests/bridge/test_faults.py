"""Servers die, freeze and come back, bridges too: everything goes on without hands."""

import contextlib
import socket
import time

from tests.bridge.stand_in import StandIn, events, log_lines

from singularity_lab import Bridge, wait_until


def works(database: StandIn) -> None:
    """Send through the stream to ourselves, until it arrives."""
    before = len(database.received())
    database.send("stream", "work.a", b"x", again=True)
    database.wait_received(before + 1, 30)


def test_nats_that_is_not_there_is_waited_for(worker: StandIn) -> None:
    worker.nats.stop()
    bridge = worker.lab.start(worker.bridge())
    bridge.wait_for_log("waiting for NATS")
    state = worker.wait_connected(False)
    wait_until(lambda: "Connect" in (worker.state()["error"] or ""), message=f"the reason in {state}")
    worker.nats.start()
    worker.wait_connected()
    works(worker)
    assert events(bridge).count("waiting for NATS") == 1


def test_a_plan_that_changes_while_nats_is_away_does_not_hasten_the_attempts(worker: StandIn) -> None:
    attempts = 0
    with socket.create_server(("127.0.0.1", 0)) as slammer:
        slammer.settimeout(0.1)
        bridge = worker.lab.start(worker.bridge(url=f"nats://127.0.0.1:{slammer.getsockname()[1]}"))
        ending = None
        while ending is None or time.monotonic() < ending:
            with contextlib.suppress(TimeoutError):
                slammer.accept()[0].close()
                attempts += 1
            if attempts >= 4 and ending is None:
                worker.plan(queues=[])
                bridge.wait_for_log("following a new plan")
                attempts, ending = 0, time.monotonic() + 3
    assert attempts < 60


def test_nats_restarts_with_its_store_wiped(worker: StandIn) -> None:
    bridge = worker.start()
    works(worker)
    created = worker.stream_info()["created"]
    worker.nats.kill9()
    bridge.wait_for_log("lost NATS")
    worker.nats.wipe_store()
    worker.nats.start()
    works(worker)
    again = worker.stream_info()["created"]
    assert again != created
    wait_until(lambda: worker.state()["streams"].get("work", {}).get("created") == again)
    assert events(bridge).count("lost NATS") == 1


def test_a_stream_deleted_under_us_is_made_again(worker: StandIn) -> None:
    bridge = worker.start()
    works(worker)
    created = worker.stream_info()["created"]
    worker.request("$JS.API.STREAM.DELETE.work", b"")
    works(worker)
    again = worker.stream_info()["created"]
    assert again != created
    places = [result["stream_created"] for result in worker.results().values() if result["ok"]]
    assert places[0] == created
    assert places[-1] == again
    assert "lost NATS" not in events(bridge)


def test_requests_under_way_fail_when_nats_is_lost(worker: StandIn) -> None:
    worker.start()
    message_id = worker.send("request", "oracle.ask.me", b"slow:30000", timeout_ms=60_000)
    wait_until(lambda: worker.rows("select true from stand_in.outbox where offered"))
    worker.nats.kill9()
    assert worker.result(message_id) == {"ok": False, "error": "disconnected"}


def test_a_frozen_nats_server_is_noticed(worker: StandIn) -> None:
    bridge = worker.start()
    worker.nats.freeze()
    bridge.wait_for_log("lost NATS", timeout=20)
    worker.wait_connected(False)
    worker.nats.thaw()
    worker.wait_connected()
    works(worker)


def test_the_database_restarts(own_servers: StandIn) -> None:
    bridge = own_servers.start()
    works(own_servers)
    own_servers.cluster.restart(mode="immediate")
    wait_until(lambda: events(bridge).count("connected to NATS") == 2)
    works(own_servers)
    assert "lost the database" in events(bridge)
    assert bridge.running


def test_a_database_that_is_not_there_is_waited_for(own_servers: StandIn) -> None:
    own_servers.cluster.stop()
    bridge = own_servers.lab.start(own_servers.bridge())
    bridge.wait_for_log("waiting for the database")
    own_servers.cluster.start()
    bridge.wait_for_log("connected to NATS", timeout=30)
    works(own_servers)


def test_a_control_connection_that_is_cut_is_made_again(own_servers: StandIn) -> None:
    bridge = own_servers.start()
    own_servers.cut("singularity-bridge stand_in")
    wait_until(lambda: events(bridge).count("attached") == 2)
    works(own_servers)


def test_pool_connections_that_are_cut_are_replaced(own_servers: StandIn) -> None:
    own_servers.start()
    works(own_servers)
    own_servers.cut("singularity-bridge")
    works(own_servers)


def stopped(bridge: Bridge) -> float:
    """Stop a bridge; returns how many seconds it took."""
    started = time.monotonic()
    assert bridge.stop() == 0
    assert events(bridge)[-1] == "stopped"
    return time.monotonic() - started


def test_a_stop_is_clean(worker: StandIn) -> None:
    bridge = worker.start()
    assert stopped(bridge) < 3
    assert worker.rows("select count(*) from stand_in.detached") == [1]
    again = worker.start(name="again")
    assert "standing by" not in again.log_text()


def test_a_stop_reports_what_is_unfinished(worker: StandIn) -> None:
    bridge = worker.start()
    quick = worker.send("request", "oracle.ask.me", b"slow:1000", timeout_ms=60_000)
    long = worker.send("request", "oracle.ask.me", b"slow:60000", timeout_ms=60_000)
    wait_until(lambda: worker.rows("select count(*) from stand_in.outbox where offered") == [2])
    assert stopped(bridge) < 6
    assert worker.results()[quick]["ok"]
    assert worker.results()[long] == {"ok": False, "error": "stopped"}
    assert worker.rows("select count(*) from stand_in.detached") == [1]


def test_what_a_stopping_bridge_holds_is_given_back_at_once(worker: StandIn) -> None:
    bridge = worker.start()
    worker.publish("work.a", b"fail:1")
    bridge.wait_for_log("cannot be applied now")
    worker.publish("work.a", *[b"%d" % number for number in range(100)])
    assert stopped(bridge) < 6
    worker.start(name="again")
    assert len(worker.wait_received(101, 20)) == 101


def test_a_stop_without_nats_or_while_standing_by_is_quick(worker: StandIn) -> None:
    first = worker.start()
    second = worker.lab.start(worker.bridge(name="second"))
    second.wait_for_log("standing by")
    assert stopped(second) < 3
    worker.nats.kill9()
    first.wait_for_log("lost NATS")
    assert stopped(first) < 6


def test_a_stop_does_not_wait_for_a_frozen_database(own_servers: StandIn) -> None:
    bridge = own_servers.start()
    own_servers.cluster.freeze()
    started = time.monotonic()
    assert bridge.stop() == 0
    assert time.monotonic() - started < 8


def test_the_plan_decides_whether_to_speak(worker: StandIn) -> None:
    worker.plan(speaking=False)
    bridge = worker.lab.start(worker.bridge())
    worker.wait_connected(False)
    assert worker.nats.monitor("connz")["num_connections"] == 0
    assert worker.state()["error"] is None
    worker.plan(speaking=True)
    worker.wait_connected()
    works(worker)
    worker.plan(speaking=False)
    worker.wait_connected(False)
    wait_until(lambda: worker.nats.monitor("connz")["num_connections"] == 0)
    assert [line for line in log_lines(bridge) if line["level"] != "info"] == []
    assert stopped(bridge) < 3


def test_a_refused_tick_or_arm_is_said_once_and_survived(worker: StandIn) -> None:
    bridge = worker.start()
    worker.rows("alter table stand_in.tick add constraint no check (state is null) not valid")
    bridge.wait_for_log("the database refuses a call")
    works(worker)
    worker.rows("alter table stand_in.tick drop constraint no")
    worker.wait_connected()
    assert events(bridge).count("the database refuses a call") == 1
