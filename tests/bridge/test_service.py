"""The service: requests are answered by the database, several at once, and only where an answer is wanted."""

import asyncio
import json
import time

from nats.aio.client import Client
from tests.bridge.stand_in import SERVICE, StandIn, events

from singularity_lab import wait_until


def test_a_request_is_answered(worker: StandIn) -> None:
    worker.start()
    assert worker.request("oracle.ask.me", b"hello") == (b"oracle.ask.me said hello", {})


def test_an_error_is_the_answer_of_a_micro_service(worker: StandIn) -> None:
    worker.start()
    answer = worker.request("oracle.ask.me", b"fail")
    assert answer == (b"", {"Nats-Service-Error": "nothing to say", "Nats-Service-Error-Code": "500"})
    assert worker.request("oracle.ask.me", b"hello")[0] == b"oracle.ask.me said hello"


def test_an_answer_beyond_the_limit_is_an_error(worker: StandIn) -> None:
    bridge = worker.start()
    data, headers = worker.request("oracle.ask.me", b"size:2000000")
    assert (data, headers["Nats-Service-Error-Code"]) == (b"", "500")
    assert "lost NATS" not in events(bridge)


def test_slow_requests_do_not_hold_up_quick_ones(worker: StandIn) -> None:
    worker.start()

    async def ask(client: Client) -> float:
        slow = [
            asyncio.ensure_future(client.request("oracle.ask.me", b"slow:2000", timeout=10)) for _ in range(5)
        ]
        await client.flush()
        started = time.monotonic()
        await client.request("oracle.ask.me", b"quick", timeout=5)
        quick = time.monotonic() - started
        await asyncio.gather(*slow)
        return quick

    assert worker.nats_do(ask) < 1.5


def test_a_request_that_wants_no_answer_harms_nobody(worker: StandIn) -> None:
    bridge = worker.start()
    worker.publish("oracle.ask.me", b"nobody listens", b"fail")
    assert worker.request("oracle.ask.me", b"hello")[0] == b"oracle.ask.me said hello"
    assert "lost NATS" not in events(bridge)


def test_more_requests_than_may_wait_are_refused(worker: StandIn) -> None:
    worker.start()

    async def ask(client: Client) -> list[str]:
        asked = [client.request("oracle.ask.me", b"slow:10", timeout=20) for _ in range(1200)]
        answers = await asyncio.gather(*asked)
        return [(answer.headers or {}).get("Nats-Service-Error-Code", "") for answer in answers]

    codes = worker.nats_do(ask)
    assert set(codes) == {"", "503"}
    assert codes.count("") >= 128


def test_who_asks_very_much_keeps_nobody_waiting(worker: StandIn) -> None:
    """What counts is the order of the answers: the stranger is served before most of the flood."""
    worker.start()

    async def ask(client: Client) -> int:
        flood = [
            asyncio.ensure_future(client.request("oracle.ask.greedy", b"slow:100", timeout=20))
            for _ in range(1000)
        ]
        await client.flush()
        answer = await client.request("oracle.ask.modest", b"hello", timeout=20)
        assert answer.data == b"oracle.ask.modest said hello"
        waiting = sum(not one.done() for one in flood)
        await asyncio.gather(*flood)
        return waiting

    assert worker.nats_do(ask) > 50


def test_a_request_that_takes_too_long_is_ended(worker: StandIn) -> None:
    worker.plan(service={**SERVICE, "timeout_ms": 200})
    worker.start()
    _, headers = worker.request("oracle.ask.me", b"slow:30000", timeout=20)
    assert headers["Nats-Service-Error-Code"] == "504"
    assert worker.request("oracle.ask.me", b"hello")[0] == b"oracle.ask.me said hello"


def test_the_service_can_be_found(worker: StandIn) -> None:
    worker.start()
    found = json.loads(worker.request("$SRV.INFO.oracle", b"")[0])
    assert (found["name"], found["version"], found["description"]) == ("oracle", "0.1.0", "Answers.")
    assert [(endpoint["name"], endpoint["subject"]) for endpoint in found["endpoints"]] == [
        ("ask", "oracle.ask.*")
    ]


def test_a_service_that_the_plan_drops_is_gone(worker: StandIn) -> None:
    bridge = worker.start()
    worker.plan(service=None)
    bridge.wait_for_log("following a new plan")
    message_id = worker.send("request", "oracle.ask.me", b"?")
    wait_until(lambda: events(bridge).count("connected to NATS") == 2)
    assert worker.result(message_id)["ok"] is False
