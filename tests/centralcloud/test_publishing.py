"""Refined knowledge is numbered by topic without holes, pushed, and paged for those who missed a push."""

import itertools
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb
from tests.kit.identity import variant_of
from tests.kit.message import Message
from tests.kit.queries import refused, row, rows, value
from tests.kit.relay import Relay
from tests.kit.speaker import Speaker, request, speakers

HEADS = "select namespace, kind, head from centralcloud.topic order by 1, 2"


def pushes(relay: Relay) -> list[Any]:
    """Take everything that is to be pushed; returns the bodies."""
    taken: list[Message] = []
    while messages := relay.take("refined"):
        taken += messages
    return [message.body for message in taken if message.body["type"] == "refined"]


def contribute(relay: Relay, count: int, speaker: Speaker | None = None, **more: Any) -> None:
    """Have so many artifacts contributed, in messages of 300 records as an instance sends them."""
    one = speaker or Speaker(1)
    records = [one.holds(n, f"n{n}", **more) for n in range(1, count + 1)]
    for start in range(0, count, 300):
        relay.give([one.says(*records[start : start + 300])])


def page(relay: Relay, after: int, kind: str = "k", **more: Any) -> Any:
    """Return a page of changes."""
    return request(relay, Speaker(1).asks("changes", namespace="default", kind=kind, after=after, **more))


def walk(relay: Relay, after: int = 0, kind: str = "k") -> list[Any]:
    """Return all pages after a number."""
    pages = [page(relay, after, kind)]
    while pages[-1]["to"] < pages[-1]["head"]:
        assert pages[-1]["to"] > pages[-1]["from"]
        pages.append(page(relay, pages[-1]["to"], kind))
    return pages


def test_a_push_says_everything_about_the_winner(relay: Relay) -> None:
    ann = Speaker(1)
    relay.give([ann.says(ann.holds("a", summary="s", tags=["t"]), ann.used(3, 1))])
    (message,) = relay.take("refined")
    assert (message.via, message.subject) == ("publish", "singularity.refined.default.k")
    known = row(relay.connection, "select confidence, level::text from centralcloud.artifact")
    assert message.body == {
        "v": 1,
        "type": "refined",
        "epoch": value(relay.connection, "select epoch from centralcloud.status()"),
        "namespace": "default",
        "kind": "k",
        "from": 0,
        "to": 1,
        "rows": [
            {
                "namespace": "default",
                "kind": "k",
                "name": "x",
                "revision": 1,
                "variant": variant_of("a"),
                "content": "a",
                "summary": "s",
                "tags": ["t"],
                "level": known["level"],
                "confidence": known["confidence"],
                "uses": 4,
                "successes": 3,
                "pinned": False,
            }
        ],
    }
    assert relay.take("refined") == []


def test_what_changes_nothing_is_not_published(relay: Relay) -> None:
    ann, bob = speakers(2)
    message = ann.says(ann.holds(summary="s", tags=["t"]))
    relay.give([message])
    assert len(pushes(relay)) == 1
    relay.give([message])
    assert pushes(relay) == []
    relay.give([bob.says(bob.holds("b"), bob.used(0, 3, "b"))])
    pushes(relay)
    relay.give([ann.says(ann.holds("c")), bob.says(bob.withdraws("nothing"))])
    assert value(relay.connection, "select unpublished from centralcloud.status()") == 0


def test_each_topic_is_numbered_by_itself_without_holes(relay: Relay) -> None:
    ann = Speaker(1)
    kinds = ["one", "two", "three"]
    reached = dict.fromkeys(kinds, 0)
    for turn in range(6):
        relay.give([
            ann.says(*(ann.holds(f"{turn}", f"n{n}", kind=kind) for kind in kinds for n in range(turn + 1)))
        ])  # fmt: skip
        for body in sorted(pushes(relay), key=lambda body: int(body["to"])):
            assert body["from"] == reached[body["kind"]]
            assert [r["revision"] for r in body["rows"]] == list(range(body["from"] + 1, body["to"] + 1))
            reached[body["kind"]] = body["to"]
    assert set(reached.values()) == {21}
    assert {found["head"] for found in rows(relay.connection, HEADS)} == {21}


def test_many_changes_at_once_are_numbered_over_several_turns(relay: Relay) -> None:
    contribute(relay, 1300)
    bodies = pushes(relay)
    numbers = [found["revision"] for body in bodies for found in body["rows"]]
    assert sorted(numbers) == list(range(1, 1301))
    spans = sorted((body["from"], body["to"]) for body in bodies)
    assert (spans[0][0], spans[-1][1]) == (0, 1300)
    assert all(one[1] == following[0] for one, following in itertools.pairwise(spans))


def test_pages_lead_to_the_head_in_order(relay: Relay) -> None:
    contribute(relay, 1100)
    pushes(relay)
    pages = walk(relay)
    assert [len(found["rows"]) for found in pages] == [500, 500, 100]
    assert [r["revision"] for found in pages for r in found["rows"]] == list(range(1, 1101))
    assert [(found["from"], found["to"], found["head"]) for found in pages] == [
        (0, 500, 1100),
        (500, 1000, 1100),
        (1000, 1100, 1100),
    ]


def test_a_full_last_page_ends_at_the_head(relay: Relay) -> None:
    contribute(relay, 500)
    pushes(relay)
    assert [(len(found["rows"]), found["to"]) for found in walk(relay)] == [(500, 500)]


def test_a_row_is_on_a_page_at_its_last_number_only(relay: Relay) -> None:
    ann = Speaker(1)
    contribute(relay, 3, ann)
    pushes(relay)
    for turn in range(4):
        relay.give([ann.says(ann.holds(f"again {turn}", "n2"), ann.used(turn + 1, 0, f"again {turn}", "n2"))])
        pushes(relay)
    (found,) = walk(relay)
    assert found["head"] == found["to"] == 7
    assert [(r["name"], r["revision"]) for r in found["rows"]][-1] == ("n2", 7)
    assert sorted(r["name"] for r in found["rows"]) == ["n1", "n2", "n3"]
    assert [r["name"] for r in walk(relay, 6)[0]["rows"]] == ["n2"]


def test_a_page_beyond_the_head_or_of_an_unknown_topic_is_empty(relay: Relay) -> None:
    contribute(relay, 2)
    pushes(relay)
    for after, kind, head in ((2, "k", 2), (9, "k", 2), (0, "unheard-of", 0)):
        found = page(relay, after, kind)
        assert (found["rows"], found["from"], found["to"], found["head"]) == ([], after, after, head)


def test_a_page_names_its_request_and_epoch(relay: Relay) -> None:
    found = page(relay, 0, request="default/k")
    assert (found["v"], found["type"], found["request"]) == (1, "changes", "default/k")
    assert found["epoch"] == value(relay.connection, "select epoch from centralcloud.status()")


def test_removals_are_rows_of_pages_as_well(relay: Relay) -> None:
    ann = Speaker(1)
    contribute(relay, 3, ann)
    pushes(relay)
    relay.give([ann.says(ann.withdraws("n2"))])
    assert [(body["from"], body["to"]) for body in pushes(relay)] == [(3, 4)]
    (found,) = walk(relay)
    removed = {"namespace": "default", "kind": "k", "name": "n2", "revision": 4, "removed": True}
    assert found["rows"][-1] == removed
    assert (found["to"], found["head"]) == (4, 4)
    relay.give([ann.says(ann.holds("back", "n2"))])
    pushes(relay)
    assert "removed" not in walk(relay)[0]["rows"][-1]


def test_what_came_and_went_between_two_turns_is_a_removal(relay: Relay) -> None:
    """Somebody may have asked for it meanwhile. What was never known is nobody's business."""
    ann = Speaker(1)
    relay.give([ann.says(ann.holds(name="fleeting"), ann.holds(name="lasting"))])
    relay.give([ann.says(ann.withdraws("fleeting"), ann.withdraws("never known"))])
    (body,) = pushes(relay)
    assert sorted((r["name"], r.get("removed", False)) for r in body["rows"]) == [
        ("fleeting", True),
        ("lasting", False),
    ]
    assert sorted(r["revision"] for r in body["rows"]) == [1, 2]


@pytest.mark.parametrize("max_payload", [64 * 1024, 1 << 20])
def test_pushes_and_pages_are_cut_by_bytes(relay: Relay, max_payload: int) -> None:
    """No message is greater than half of what the broker takes, give or take one record."""
    one_size = max_payload // 7
    relay.tick(max_payload=max_payload)
    ann = Speaker(1)
    for n in range(20):
        relay.give([ann.says(ann.holds(f"{n:05}" + "x" * one_size, f"n{n}"))])
    sizes = []
    taken = relay.take("refined")
    while more := relay.take("refined"):
        taken += more
    sizes += [len(message.payload) for message in taken]
    after = 0
    while after < 20:
        asked = Speaker(1).asks("changes", namespace="default", kind="k", after=after)
        sizes.append(len(relay.serve(asked)))
        after = page(relay, after)["to"]
    assert after == 20
    assert max(sizes) <= max_payload // 2 + one_size
    assert max(sizes) > one_size
    assert sorted(r["revision"] for m in taken for r in m.body["rows"]) == list(range(1, 21))
    assert [r["revision"] for found in walk(relay) for r in found["rows"]] == list(range(1, 21))


def test_the_largest_contents_fit_a_message_of_the_broker(relay: Relay) -> None:
    """256 KiB of content with the longest name, summary and tags, several in one topic."""
    ann = Speaker(1)
    largest = "\\" * ((256 * 1024 - 2) // 2)
    tags = [f"{n:0128}" for n in range(64)]
    for n in range(5):
        record = ann.holds(largest, "ä" * 250 + f"{n}", summary="ä" * 2048, tags=tags)
        message = ann.says(record)
        assert len(message.payload) < 1 << 20
        assert relay.give([message])[0].body["records"][0]["verdict"] == "stored"
    taken = relay.take("refined")
    while more := relay.take("refined"):
        taken += more
    assert sum(len(message.body["rows"]) for message in taken) == 5
    answers = [
        relay.serve(ann.asks("ask", query="ä" * 250)),
        relay.serve(ann.asks("changes", namespace="default", kind="k", after=0)),
    ]
    for payload in (*(message.payload for message in taken), *answers):
        assert 256 * 1024 < len(payload) < 512 * 1024 + 300 * 1024


def test_many_large_contents_are_given_out_in_turns(relay: Relay) -> None:
    """One turn of the queue does not put more into memory than the window's messages hold."""
    ann = Speaker(1)
    for n in range(40):
        relay.give([ann.says(ann.holds(f"{n:05}" + "x" * 250_000, f"n{n}"))])
    turns = []
    while messages := relay.take("refined", 4):
        turns.append(messages)
    assert max(sum(len(message.payload) for message in turn) for turn in turns) <= 4 * 512 * 1024
    assert sorted(r["revision"] for turn in turns for m in turn for r in m.body["rows"]) == list(range(1, 41))


def test_heartbeats_carry_epoch_and_the_heads_that_changed(
    relay: Relay, authority_superuser: psycopg.Connection
) -> None:
    contribute(relay, 3)
    contribute(relay, 2, Speaker(2), kind="other")
    pushes(relay)
    (message,) = relay.take("heartbeat")
    assert (message.via, message.subject) == ("publish", "singularity.heads")
    body = message.body
    assert body["heads"] == {"default/k": 3, "default/other": 2}
    assert (body["type"], body["epoch"]) == (
        "heads",
        value(relay.connection, "select epoch from centralcloud.status()"),
    )
    assert (body["since"], body["changes"]) == (0, 2)
    assert relay.take("heartbeat") == []
    earlier = "update centralcloud.publisher set heads_sent_at = heads_sent_at - interval '1 s'"
    authority_superuser.execute(earlier)
    assert "heartbeat" not in relay.arm()
    carol = Speaker(3)
    relay.give([carol.says(carol.holds("another", "n9"))])
    pushes(relay)
    assert "heartbeat" in relay.arm()
    (message,) = relay.take("heartbeat")
    assert (message.body["since"], message.body["changes"], message.body["heads"]) == (2, 3, {"default/k": 4})
    authority_superuser.execute(
        "update centralcloud.publisher set heads_sent_at = heads_sent_at - interval '3 s'"
    )
    (message,) = relay.take("heartbeat")
    assert (message.body["since"], message.body["changes"], message.body["heads"]) == (3, 3, {})


def test_heartbeats_say_how_far_the_stream_is_applied(relay: Relay) -> None:
    relay.tick(
        streams={"singularity_contributions": {"created": "2026-01-01T00:00:00Z", "last_sequence": 90}},
        consumers={"centralcloud": {"ack_floor": 77, "pending": 3}},
    )
    (message,) = relay.take("heartbeat")
    assert (message.body["stream_created"], message.body["stream_passed"]) == ("2026-01-01T00:00:00Z", 77)
    assert value(relay.connection, "select pending_messages from centralcloud.status()") == 3


def test_an_authority_without_topics_beats_too(relay: Relay) -> None:
    (message,) = relay.take("heartbeat")
    assert message.body["heads"] == {}


def test_a_new_bridge_begins_a_new_epoch(relay: Relay) -> None:
    epoch = "select epoch from centralcloud.status()"
    before = value(relay.connection, epoch)
    relay.connection.execute("select centralcloud.bridge_detach()")
    relay.connection.execute("select centralcloud.bridge_attach('test', 1)")
    relay.tick()
    assert value(relay.connection, epoch) != before
    assert relay.take("heartbeat")[0].body["epoch"] == value(relay.connection, epoch)


def test_nothing_is_given_out_while_not_connected(relay: Relay) -> None:
    contribute(relay, 1)
    relay.tick(connected=False)
    assert relay.arm() == []
    relay.tick()
    assert set(relay.arm()) == {"heartbeat", "refined"}


def test_an_unknown_lane_is_an_error(relay: Relay) -> None:
    with pytest.raises(psycopg.errors.CaseNotFound):
        relay.take("gossip")


def test_another_prefix_is_in_every_subject(relay: Relay, authority_db: psycopg.Connection) -> None:
    authority_db.execute("select centralcloud.configure(%s)", [Jsonb({"subject_prefix": "team-a"})])
    ann = Speaker(1)
    said = ann.says(ann.holds())
    (receipt,) = relay.give([Message(said.subject.replace("singularity", "team-a"), said.payload)])
    assert receipt.subject == f"team-a.receipt.{ann.id}"
    assert [message.subject for message in relay.take("refined")] == ["team-a.refined.default.k"]
    assert [message.subject for message in relay.take("heartbeat")] == ["team-a.heads"]
    plan = value(relay.connection, "select centralcloud.bridge_plan()")
    assert plan["streams"][0]["name"] == "team-a_contributions"
    assert plan["streams"][0]["subjects"] == ["team-a.contribute.*"]
    assert {endpoint["subject"] for endpoint in plan["service"]["endpoints"]} == {
        f"team-a.centralcloud.{name}.*" for name in ("hello", "ask", "heads", "changes", "digest")
    }
    with refused("22023", "does not fit the setting subject_prefix"):
        authority_db.execute("select centralcloud.configure(%s)", [Jsonb({"subject_prefix": "a.b"})])


def test_the_heartbeat_goes_on_when_the_clock_was_set_back(
    relay: Relay, authority_superuser: psycopg.Connection
) -> None:
    relay.take("heartbeat")
    assert relay.take("heartbeat") == []
    authority_superuser.execute("update centralcloud.publisher set heads_sent_at = now() + interval '1 hour'")
    assert relay.arm() == ["heartbeat"]
    assert len(relay.take("heartbeat")) == 1
