"""What the database puts into its queues is sent, and what became of it is reported."""

import asyncio
import base64
import re
import time
from pathlib import Path

from nats.aio.client import Client
from tests.bridge.stand_in import SERVICE, STREAM, StandIn, unsigned

from singularity_lab import wait_until

BIG = 900 * 1024


def test_a_stream_acknowledges_and_its_place_is_reported(stand_in: StandIn) -> None:
    stand_in.plan(streams=[STREAM])
    stand_in.start()
    first, second = stand_in.send("stream", "work.a", b"one"), stand_in.send("stream", "work.b", b"two")
    results = [stand_in.result(first), stand_in.result(second)]
    created = stand_in.stream_info()["created"]
    assert results == [
        {"ok": True, "stream": "work", "stream_created": created, "sequence": number} for number in (1, 2)
    ]
    state = wait_until(
        lambda: stand_in.state()["streams"].get("work", {}).get("messages") == 2 and stand_in.state()
    )
    assert state["streams"]["work"]["created"] == created
    assert state["streams"]["work"]["last_sequence"] == 2


def test_the_message_id_guards_against_duplicates_and_headers_go_along(stand_in: StandIn) -> None:
    stand_in.plan(streams=[STREAM])
    stand_in.start()
    message_id = stand_in.send("stream", "work.a", b"x", headers={"Kind": "test"})
    stand_in.result(message_id)

    async def read(client: Client) -> dict[str, str] | None:
        return unsigned((await client.jetstream().get_msg("work", 1)).headers)

    assert stand_in.nats_do(read) == {"Kind": "test", "Nats-Msg-Id": message_id}


def test_a_published_message_arrives_before_its_result(stand_in: StandIn) -> None:
    stand_in.start()

    async def listen(client: Client) -> tuple[bytes, dict[str, str] | None]:
        subscription = await client.subscribe("news.*")
        await client.flush()
        message_id = await asyncio.to_thread(stand_in.send, "publish", "news.b", b"hi", headers={"A": "b"})
        await asyncio.to_thread(stand_in.result, message_id)
        message = await subscription.next_msg(timeout=0.5)
        return message.data, unsigned(message.headers)

    assert stand_in.nats_do(listen) == (b"hi", {"A": "b"})


def test_a_request_reports_the_reply(stand_in: StandIn) -> None:
    stand_in.plan(service=SERVICE)
    stand_in.start()
    result = stand_in.result(stand_in.send("request", "oracle.ask.me", b"\x00\xff"))
    assert result["ok"]
    assert base64.b64decode(result["reply"]) == b"oracle.ask.me said \\000\\377"


def test_requests_that_fail_say_why(stand_in: StandIn) -> None:
    stand_in.plan(service=SERVICE)
    stand_in.start()
    nobody = stand_in.send("request", "nobody.there", b"?")
    slow = stand_in.send("request", "oracle.ask.me", b"slow:3000", timeout_ms=200)
    failing = stand_in.send("request", "oracle.ask.me", b"fail")
    assert stand_in.result(nobody) == {"ok": False, "error": "no_responders"}
    assert stand_in.result(slow) == {"ok": False, "error": "timeout"}
    assert stand_in.result(failing) == {"ok": False, "error": "500: nothing to say"}


def test_messages_that_cannot_be_sent_are_reported_and_harm_nobody(stand_in: StandIn) -> None:
    stand_in.plan(service=SERVICE)
    bridge = stand_in.start()
    limit = 1024 * 1024
    bad = [
        stand_in.send("publish", "news.a", b"x" * (limit + 1)),
        stand_in.send("publish", "news.a", b"x" * limit, headers={"Too": "much"}),
        stand_in.send("request", "oracle.ask.me", b"x" * (limit + 1)),
        stand_in.send("request", "with space", b"x"),
        stand_in.send("publish", "x" * 5000, b"x"),
        stand_in.send("publish", "news.a", b"x", headers={"bad key:": "x"}),
    ]
    results = [stand_in.result(message_id) for message_id in bad]
    assert [result["ok"] for result in results] == [False] * len(bad)
    assert results[0]["error"] == f"larger than the broker's limit of {limit} bytes"
    assert stand_in.result(stand_in.send("request", "oracle.ask.me", b"ok"))["ok"]
    assert "lost NATS" not in bridge.log_text()


def test_a_missing_stream_is_reported_and_made_again(stand_in: StandIn) -> None:
    stand_in.plan(streams=[{**STREAM, "create": False}])
    stand_in.start()
    message_id = stand_in.send("stream", "work.a", b"x", again=True)
    assert stand_in.result(message_id) == {"ok": False, "error": "no_responders"}
    assert stand_in.state()["streams"] == {}
    # The queue goes on slowly: unhindered, these failures would follow within some tens of milliseconds.
    started, before = time.monotonic(), len(stand_in.results())
    wait_until(lambda: len(stand_in.results()) >= before + 8, 30)
    assert time.monotonic() - started > 0.3
    stand_in.plan(streams=[STREAM])
    wait_until(lambda: any(result["ok"] for result in stand_in.results().values()))


def test_a_full_stream_is_reported(stand_in: StandIn) -> None:
    stand_in.plan(streams=[{**STREAM, "max_bytes": 2000}])
    stand_in.start()
    assert stand_in.result(stand_in.send("stream", "work.a", b"x" * 1500))["ok"]
    assert stand_in.result(stand_in.send("stream", "work.a", b"x" * 1500)) == {
        "ok": False,
        "error": "maximum bytes exceeded",
    }


def test_a_slow_lane_holds_up_no_other(stand_in: StandIn) -> None:
    stand_in.plan(streams=[STREAM])
    stand_in.start()

    async def silence(client: Client) -> None:
        await client.subscribe("silent")
        await client.flush()
        slow = [stand_in.send("request", "silent", queue="slow", timeout_ms=20_000) for _ in range(4)]
        fast = [stand_in.send("stream", "work.a", b"%d" % number) for number in range(50)]
        for message_id in fast:
            await asyncio.to_thread(stand_in.result, message_id, 5)
        assert not stand_in.results().keys() & set(slow)

    stand_in.nats_do(silence)


def test_no_more_than_the_window_is_under_way(stand_in: StandIn) -> None:
    stand_in.start()

    async def silence(client: Client) -> int:
        subscription = await client.subscribe("silent")
        await client.flush()
        for _ in range(6):
            stand_in.send("request", "silent", queue="slow", timeout_ms=1000)
        first = [await subscription.next_msg(timeout=5) for _ in range(2)]
        offered = stand_in.rows("select count(*) from stand_in.outbox where offered")[0]
        await first[0].respond(b"done")
        await subscription.next_msg(timeout=0.5)
        return int(offered)

    assert stand_in.nats_do(silence) == 2


def test_large_messages_pass_through_little_memory(worker: StandIn) -> None:
    worker.plan(
        queues=[{"name": "fast", "window": 256}, {"name": "slow", "window": 256}],
        streams=[{**STREAM, "max_bytes": -1}],
    )
    bridge = worker.bridge()
    for number in range(200):
        worker.send(
            "stream", "work.a", b"%03d" % number * (BIG // 3), queue=("fast", "slow")[number % 2], again=True
        )
    worker.lab.start(bridge)
    worker.publish("news.a", *[b"x" * BIG] * 60)
    wait_until(
        lambda: worker.rows("select count(*) from stand_in.received where subject = 'work.a'") == [200], 60
    )
    (peak_kb,) = re.findall(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{bridge.pid}/status").read_text())
    assert int(peak_kb) < 150_000
    assert "lost NATS" not in bridge.log_text()


def test_new_work_is_sent_at_once_by_the_bell(stand_in: StandIn) -> None:
    stand_in.plan(streams=[STREAM], poll_ms=60_000)
    stand_in.start()
    for number in range(3):
        wait_until(lambda: stand_in.rows("select true from stand_in.bell where armed"))
        started = time.monotonic()
        stand_in.result(stand_in.send("stream", "work.a", b"%d" % number))
        assert time.monotonic() - started < 2


def test_without_a_bell_work_is_found_by_polling(stand_in: StandIn) -> None:
    stand_in.plan(streams=[STREAM], bell="nobody_rings_this", poll_ms=100)
    stand_in.start()
    assert stand_in.result(stand_in.send("stream", "work.a", b"x"), 3)["ok"]
