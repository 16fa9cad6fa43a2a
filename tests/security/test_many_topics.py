"""Many topics, whoever made them, keep nobody from hello and cost an idle instance next to nothing."""

import json
from collections.abc import Iterator

import pytest
from psycopg.types.json import Jsonb
from tests.kit.pair import Authority, Instance, settle
from tests.kit.queries import value
from tests.kit.speaker import Speaker, request

from singularity_lab import Database

TOPICS = 100_000
PLANT = """
    insert into centralcloud.topic (namespace, kind, head)
    select 'n' || n || repeat('x', 40), 'k', 1 from generate_series(1, %s) as n
"""
HEADERS = 200  # a signature and what is around it
MOST_EACH_SECOND = 200


@pytest.fixture
def there(authority: Database) -> Iterator[Authority]:
    """Start the bridge of an authority with very many topics."""
    one = Authority(authority)
    one.db.execute(PLANT, [TOPICS])
    one.db.execute("analyze centralcloud.topic")
    yield one
    one.close()


@pytest.fixture
def here(instance: Database) -> Iterator[Instance]:
    """Connect an instance."""
    one = Instance(instance)
    one.call("connect")
    yield one
    one.close()


def learn_everywhere(here: Instance, count: int) -> None:
    """Learn an artifact in each of so many namespaces."""
    artifacts = [
        {"kind": "pattern", "name": "thing", "content": n, "namespace": f"user-{n}"} for n in range(count)
    ]
    here.connection.execute("select singularity.learn_many(%s)", [Jsonb(artifacts)])


def test_an_idle_instance_hears_little(there: Authority) -> None:
    there.relay.take("heartbeat")
    seconds = 0.0
    heard = 0
    earlier = "update centralcloud.publisher set heads_sent_at = heads_sent_at - interval '100 milliseconds'"
    while seconds < 12:
        there.db.execute(earlier)
        seconds += 0.1
        heard += sum(HEADERS + len(beat.payload) for beat in there.relay.take("heartbeat"))
    assert 0 < heard < MOST_EACH_SECOND * seconds


def test_a_flood_of_changes_makes_no_heartbeat_grow(there: Authority) -> None:
    there.relay.take("heartbeat")
    flood = Speaker(1)
    there.relay.give([flood.says(*(flood.holds(namespace=f"flood-{n}") for n in range(300)))])
    while there.relay.take("refined"):
        pass
    there.db.execute("update centralcloud.publisher set heads_sent_at = heads_sent_at - interval '1 second'")
    (beat,) = there.relay.take("heartbeat")
    assert len(beat.payload) < 1000


def test_each_message_costs_what_it_is_about(there: Authority) -> None:
    ann = Speaker(1)
    (receipt,) = there.relay.give([ann.says(ann.holds())])
    assert list(receipt.body["heads"]) == ["default/k"]
    welcome = request(
        there.relay,
        ann.asks(
            "hello",
            instance_name="ann",
            incarnation="00000000-0000-0000-0000-000000000001",
            extension_version="0.3.0",
        ),
    )
    assert len(json.dumps(welcome)) < 20_000


def test_an_instance_among_many_topics_learns_follows_and_compares(there: Authority, here: Instance) -> None:
    here.learn("mine", "one")
    here.call("follow", kind="k", namespace="n7" + "x" * 40)
    settle(there, here)
    assert here.status()["outbox_entries"] == 0
    assert value(here.owner, "select count(*) from singularity.central_copy where name = 'mine'") == 1
    # a push that is lost is noticed, and what is asked for then is not all there is
    bob = Speaker(2)
    there.relay.give([bob.says(bob.holds("new", "other", kind="pattern"), bob.used(9, 0, "two", "mine"))])
    assert there.relay.take("refined")
    here.sent.clear()
    there.db.execute("update centralcloud.publisher set heads_sent_at = null")
    settle(there, here)
    behind = "select count(*) from singularity.topic where position <> head"
    assert value(here.owner, behind) == 0
    assert sum(len(message.payload) for message in here.sent) < 10_000


def test_a_hole_in_the_heartbeats_is_asked_for(there: Authority, here: Instance) -> None:
    """Whether it watches few topics or many, nothing that changed meanwhile escapes it."""
    learn_everywhere(here, 520)
    settle(there, here)
    bob = Speaker(2)
    for start in (0, 260):
        there.relay.give(
            [
                bob.says(
                    *(
                        bob.holds("other", "new", kind="pattern", namespace=f"user-{n}")
                        for n in range(start, start + 260)
                    )
                )
            ]
        )
    while there.relay.take("refined"):
        pass
    there.db.execute("update centralcloud.publisher set heads_sent_at = null")
    there.relay.take("heartbeat")
    there.db.execute("update centralcloud.publisher set heads_sent_at = null")
    here.sent.clear()
    settle(there, here)
    heads = "select count(*) from singularity.topic where position = 2 and head = 2"
    assert value(here.owner, heads) == 520
    assert len(here.sent) < 20


def test_more_topics_than_a_request_may_name_are_refused(there: Authority) -> None:
    said = Speaker(1).asks("heads", topics=[f"a/{n}" for n in range(10_000)])
    with pytest.raises(Exception, match="topics has 10000 entries"):
        there.relay.serve(said)
