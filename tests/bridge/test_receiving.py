"""What arrives is applied in one transaction a batch, answered, and only then acknowledged."""

import socket

from nats.aio.client import Client
from tests.bridge.stand_in import CONSUMER, STREAM, StandIn, events, unsigned

from singularity_lab import wait_until


def test_messages_of_a_consumer_are_applied_with_their_place(worker: StandIn) -> None:
    worker.start()
    worker.publish("work.a", b"one", b"two", headers={"Kind": "test"})
    assert worker.wait_received(2) == [b"one", b"two"]
    (first, second) = worker.rows("select meta from stand_in.received order by id")
    created = worker.stream_info()["created"]
    place = {"stream": "work", "stream_created": created, "deliveries": 1, "headers": {"Kind": "test"}}
    place |= {"signer": None, "may_wait": True}
    assert first == {**place, "sequence": 1}
    assert second == {**place, "sequence": 2}
    wait_until(lambda: worker.stream_info()["state"]["messages"] == 0)
    wait_until(lambda: worker.state()["consumers"] == {"worker": {"ack_floor": 2, "pending": 0}})


def test_a_backlog_is_applied_in_batches_and_in_order(worker: StandIn) -> None:
    worker.start().stop()
    payloads = [b"%d" % number for number in range(500)]
    worker.publish("work.a", *payloads)
    worker.start()
    assert worker.wait_received(500) == payloads
    largest, transactions = worker.rows(
        "select max(batch), count(distinct xmin::text) from stand_in.received"
    )[0]
    assert largest <= CONSUMER["batch"]
    assert transactions < 50


def test_replies_follow_the_commit_and_precede_the_acknowledgement(worker: StandIn) -> None:
    worker.start()

    async def listen(client: Client) -> list[str]:
        subscription = await client.subscribe(">")
        await client.flush()
        await client.publish("work.a", b"reply:answer.a:done")
        seen: list[str] = []
        while not seen or not seen[-1].startswith("$JS.ACK."):
            message = await subscription.next_msg(timeout=5)
            if message.subject == "answer.a":
                assert worker.received() == [b"reply:answer.a:done"]
                assert (message.data, unsigned(message.headers)) == (b"done", {"Of": "stand_in"})
            seen.append(message.subject)
        return [subject for subject in seen if subject.startswith(("answer.", "$JS.ACK."))]

    subjects = worker.nats_do(listen)
    assert subjects[0] == "answer.a"
    assert len(subjects) == 2


def test_a_reply_that_cannot_be_sent_does_not_hold_up_the_batch(worker: StandIn) -> None:
    bridge = worker.start()
    worker.publish("work.a", b"reply:not a subject:x", b"next")
    assert worker.wait_received(2)[1] == b"next"
    wait_until(lambda: worker.stream_info()["state"]["messages"] == 0)
    assert "a message cannot be published" in events(bridge)


def test_a_bridge_killed_between_commit_and_acknowledgement_applies_again(worker: StandIn) -> None:
    worker.plan(consumers=[{**CONSUMER, "ack_wait_s": 1}])
    bridge = worker.start()
    worker.publish("work.a", b"slow:1500")
    applying = (
        "select true from pg_stat_activity"
        " where datname = %s and application_name = 'singularity-bridge' and wait_event = 'PgSleep'"
    )
    wait_until(lambda: worker.rows(applying, worker.name))
    bridge.kill9()
    worker.wait_received(1)  # the server finishes what it was told
    assert worker.stream_info()["state"]["messages"] == 1
    worker.start(name="second")
    worker.wait_received(2)
    assert worker.rows("select meta->>'deliveries' from stand_in.received order by id") == ["1", "2"]
    wait_until(lambda: worker.stream_info()["state"]["messages"] == 0)


def test_what_cannot_be_applied_now_comes_again_later(worker: StandIn) -> None:
    bridge = worker.start()
    worker.publish("work.a", b"fail:2")
    worker.wait_received(1, 20)
    assert worker.rows("select meta->>'deliveries' from stand_in.received") == ["3"]
    assert "received messages cannot be applied now" in events(bridge)
    worker.publish("work.a", b"next")
    assert worker.wait_received(2) == [b"fail:2", b"next"]


def test_what_fails_again_and_again_is_put_aside_and_stops_no_other(worker: StandIn) -> None:
    bridge = worker.start()
    worker.publish("work.a", b"one", b"fail:99", b"two")
    assert sorted(worker.wait_received(2)) == [b"one", b"two"]
    worker.publish("work.a", b"three")
    assert b"three" in worker.wait_received(3)
    aside = "select payload, error from stand_in.aside"
    wait_until(lambda: worker.rows(aside), 30, "it to be put aside")
    assert worker.rows(aside) == [(b"fail:99", "not now")]
    wait_until(lambda: worker.stream_info()["state"]["messages"] == 0)
    assert "a message was put aside" in events(bridge)


def test_a_long_batch_is_not_delivered_twice(worker: StandIn) -> None:
    worker.plan(consumers=[{**CONSUMER, "ack_wait_s": 1}])
    worker.start()
    worker.publish("work.a", b"slow:3500", b"after")
    worker.wait_received(2)
    wait_until(lambda: worker.stream_info()["state"]["messages"] == 0)
    assert worker.rows("select meta->>'deliveries' from stand_in.received") == ["1", "1"]


def test_core_messages_are_applied_and_answered(worker: StandIn) -> None:
    worker.start()

    async def talk(client: Client) -> bytes:
        subscription = await client.subscribe("answer.*")
        await client.publish("news.a", b"reply:answer.b:heard", headers={"Kind": "test"})
        return (await subscription.next_msg(timeout=5)).data

    assert worker.nats_do(talk) == b"heard"
    assert worker.rows("select meta from stand_in.received") == [
        {"headers": {"Kind": "test"}, "signer": None}
    ]


def test_core_messages_that_cannot_be_applied_are_dropped_and_said(worker: StandIn) -> None:
    bridge = worker.start()
    worker.publish("news.a", b"fail:1")
    bridge.wait_for_log("received messages were dropped")
    worker.publish("news.a", b"next")
    assert worker.wait_received(1) == [b"next"]


def test_subscriptions_follow_the_plan_in_the_running_session(worker: StandIn) -> None:
    bridge = worker.start()
    worker.plan(subscriptions=["news.b", "news.c"])
    bridge.wait_for_log("following a new plan")

    def both_heard() -> bool:
        worker.publish("news.b", b"b")
        worker.publish("news.c", b"c")
        return {b"b", b"c"} <= set(worker.received())

    wait_until(both_heard)
    worker.publish("news.a", b"a")
    worker.publish("news.b", b"last")
    wait_until(lambda: b"last" in worker.received())
    assert b"a" not in worker.received()
    assert events(bridge).count("connected to NATS") == 1


def test_a_changed_stream_and_lane_are_followed(worker: StandIn) -> None:
    bridge = worker.start()
    worker.plan(
        streams=[{**STREAM, "subjects": ["work.*", "more.*"]}], queues=[{"name": "other", "window": 4}]
    )
    bridge.wait_for_log("following a new plan")
    message_id = worker.send("stream", "more.a", b"x", queue="other", again=True)
    assert wait_until(lambda: any(result["ok"] for result in worker.results().values()), message=message_id)
    assert worker.wait_received(1) == [b"x"]


def test_text_that_postgresql_cannot_hold_is_no_poison(worker: StandIn) -> None:
    worker.start()
    worker.publish("work.a", b"\x00\xff", headers={"Zero": "a\x00b"})
    worker.publish("news.a", b"\x00\xff", headers={"Zero": "a\x00b"})
    worker.publish("work.a", b"next")
    assert set(worker.wait_received(3)) == {b"\x00\xff", b"next"}
    assert "a�b" in worker.rows(
        "select meta->'headers'->>'Zero' from stand_in.received where payload <> 'next'"
    )


def test_subjects_and_headers_that_are_no_text_are_no_poison(worker: StandIn) -> None:
    bridge = worker.start()
    with socket.create_connection(("127.0.0.1", worker.nats.port)) as raw:
        raw.sendall(b'CONNECT {"verbose": false, "headers": true}\r\n')
        for subject in (b"work.\xff\xfe", b"work.a"):
            for headers in (
                b"NATS/1.0\r\nA: \xff\r\n\r\n",
                b"NATS/1.0 \xff\xff\xff\r\n\r\n",
                b"X",
                b"NATS/1.0\r\n",
            ):
                sizes = b"%d %d" % (len(headers), len(headers) + 1)
                raw.sendall(b"HPUB " + subject + b" " + sizes + b"\r\n" + headers + b"x\r\n")
        raw.sendall(b"PUB work.\xff\xfe 4\r\nlast\r\nPING\r\n")
        assert worker.wait_received(9)[-1] == b"last"
    assert "lost NATS" not in events(bridge)


def test_a_flood_of_core_messages_is_bounded(worker: StandIn) -> None:
    bridge = worker.start()

    async def flood(client: Client) -> None:
        await client.publish("news.a", b"slow:1000")
        for _ in range(300):
            await client.publish("news.a", b"x" * 200_000)
        await client.flush()

    worker.nats_do(flood)
    bridge.wait_for_log("messages dropped")

    # How many get through is a matter of speed; the bridge lives and goes on.
    def heard() -> bool:
        worker.publish("news.a", b"still there")
        return b"still there" in worker.received()

    wait_until(heard)
    assert events(bridge).count("connected to NATS") == 1


def test_a_consumer_deleted_under_us_is_made_again(worker: StandIn) -> None:
    worker.start()

    async def delete(client: Client) -> None:
        await client.jetstream().delete_consumer("work", "worker")

    worker.nats_do(delete)
    worker.publish("work.a", b"after")
    assert worker.wait_received(1) == [b"after"]


def test_several_bridges_do_not_speak_for_one_database(worker: StandIn) -> None:
    first = worker.start()
    second = worker.lab.start(worker.bridge(name="second"))
    second.wait_for_log("standing by behind another bridge")
    assert "connected to NATS" not in second.log_text()
    first.kill9()
    second.wait_for_log("connected to NATS")
    worker.publish("work.a", b"x")
    assert worker.wait_received(1) == [b"x"]
    assert events(second).count("standing by behind another bridge") == 1
