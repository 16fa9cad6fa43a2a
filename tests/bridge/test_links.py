"""Links between bridge and servers that are cut, or fall silent without anybody saying so."""

from collections.abc import Iterator

import pytest
from tests.bridge.proxy import Proxy
from tests.bridge.stand_in import CONSUMER, StandIn, events

from singularity_lab import wait_until


@pytest.fixture
def proxy(worker: StandIn) -> Iterator[Proxy]:
    """Provide a proxy before the NATS server."""
    with Proxy(worker.nats.port) as proxy:
        yield proxy


def test_messages_held_when_the_link_is_cut_come_again(worker: StandIn, proxy: Proxy) -> None:
    worker.plan(consumers=[{**CONSUMER, "batch": 8, "ack_wait_s": 2}])
    bridge = worker.start(url=proxy.url)
    payloads = [b"%d" % number for number in range(500)]
    for part in range(0, 500, 100):
        worker.publish("work.a", *payloads[part : part + 20], b"slow:300", *payloads[part + 20 : part + 100])
        worker.wait_payload(payloads[part])
        proxy.cut()
        worker.wait_payload(*payloads[: part + 100])
        wait_until(lambda: worker.stream_info()["state"]["messages"] == 0, 20)
    wait_until(lambda: events(bridge).count("connected to NATS") == 6)
    assert "unexpected error" not in events(bridge)


def test_a_silent_link_is_given_up(worker: StandIn, proxy: Proxy) -> None:
    bridge = worker.start(url=proxy.url)
    proxy.silence()
    message_id = worker.send("request", "oracle.ask.me", b"?", timeout_ms=60_000)
    bridge.wait_for_log("lost NATS", timeout=20)
    assert worker.result(message_id) == {"ok": False, "error": "disconnected"}
    proxy.flow()
    worker.wait_connected()
    assert worker.result(worker.send("request", "oracle.ask.me", b"?"))["ok"]


def test_every_message_is_accounted_for_when_the_link_is_cut(worker: StandIn, proxy: Proxy) -> None:
    worker.plan(consumers=[{**CONSUMER, "ack_wait_s": 2}])
    bridge = worker.start(url=proxy.url)
    payloads = [b"%03d" % number * 50_000 for number in range(120)]
    for number, payload in enumerate(payloads):
        worker.send("stream", "work.a", payload, again=True)
        if number % 20 == 10:
            proxy.cut()
    wait_until(lambda: worker.rows("select count(*) from stand_in.outbox") == [0], 30)
    worker.wait_payload(*payloads)
    assert "unexpected error" not in events(bridge)
