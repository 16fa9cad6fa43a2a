"""No request costs more than its share, and none brings an instance to keep more than it can."""

import json
import uuid
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb
from tests.kit.pair import Authority, Instance, settle
from tests.kit.queries import refused, value
from tests.kit.speaker import Speaker, request

from singularity_lab import Database

Range = dict[str, Any]


@pytest.fixture
def there(authority: Database) -> Iterator[Authority]:
    """Start the authority's bridge."""
    one = Authority(authority)
    yield one
    one.close()


@pytest.fixture
def here(instance: Database) -> Iterator[Instance]:
    """Connect an instance."""
    one = Instance(instance)
    one.call("connect")
    yield one
    one.close()


def whole(**more: Any) -> Range:
    """Return the range of everything."""
    return {"topic": "", "prefix": "", "entries": 0, "digest": "0", **more}


STATES = [[str(uuid.UUID(int=n)), "", str(uuid.UUID(int=0)), 1] for n in range(5000)]


REFUSED: list[tuple[Any, str, str]] = [
    ([whole()] * 300, "54000", "ranges has 300 entries"),
    ([whole()] * 2, "22023", "another range lies in that of ''"),
    ([whole(), whole(prefix="a")], "22023", "another range lies in that of ''"),
    ([whole(topic="a/b", prefix="ab"), whole(topic="a/b", prefix="abc")], "22023", "another range lies"),
    ([whole(prefix="0" * 33)], "22023", "is no range"),
    ([whole(prefix="%")], "22023", "is no range"),
    ([whole(topic=None)], "22023", "no range"),
    ([whole(states=STATES)], "54000", "states has 5000 entries"),
    ([whole(prefix=f"{n:02x}", states=[]) for n in range(60)], "54000", "versions of more than 8 ranges"),
    (
        [whole(topic="a/b", forgotten=[str(uuid.UUID(int=n)) for n in range(25_000)])],
        "54000",
        "forgotten has 25000",
    ),
    ("all", "22023", "ranges is string, not a list"),
]


def test_what_may_be_compared_at_once_is_bounded(there: Authority) -> None:
    for ranges, sqlstate, message in REFUSED:
        with refused(sqlstate, message):
            there.relay.serve(Speaker(1).asks("digest", ranges=ranges))


def test_each_state_is_read_once_however_many_ranges(there: Authority) -> None:
    """What is counted is what is read, not how long it takes."""
    ann = Speaker(1)
    for start in range(0, 3000, 300):
        there.relay.give([ann.says(*(ann.holds(n, f"n{n}") for n in range(start, start + 300)))])
    answer = request(
        there.relay, ann.asks("digest", ranges=[whole(prefix=f"{n:02x}") for n in range(0, 256, 4)])
    )
    assert sum(one["entries"] for one in answer["ranges"]) < 3000


def test_versions_of_a_large_range_are_not_listed(there: Authority) -> None:
    ann = Speaker(1)
    for start in range(0, 600, 300):
        there.relay.give([ann.says(*(ann.holds("x" * 2000, f"n{n}") for n in range(start, start + 300)))])
    (found,) = request(there.relay, ann.asks("digest", ranges=[whole(states=[])]))["ranges"]
    assert (found["equal"], found["entries"]) == (False, 600)
    assert "records" not in found


def test_a_reply_fits_the_broker_whatever_is_asked(there: Authority) -> None:
    ann = Speaker(1)
    for n in range(8):
        there.relay.give([ann.says(ann.holds(f"{n:x}" + "x" * 250_000, f"n{n}"))])
    while there.relay.take("refined"):
        pass
    limit = 1 << 20
    asked = [whole(prefix=f"{n:x}", states=[]) for n in range(8)]
    assert len(there.relay.serve(ann.asks("digest", ranges=asked))) < limit
    of_topic = [{**one, "topic": "default/k"} for one in asked]
    assert len(there.relay.serve(ann.asks("digest", ranges=of_topic))) < limit
    more = [{"namespace": "default", "kind": "k", "after": 0}] * 199
    pages = there.relay.serve(ann.asks("changes", namespace="default", kind="k", after=0, more=more))
    assert len(pages) < limit
    with refused("54000", "more has 201 entries"):
        there.relay.serve(ann.asks("changes", namespace="default", kind="k", after=0, more=[more[0]] * 201))


def test_all_versions_come_over_in_turns(there: Authority, here: Instance) -> None:
    """What did not fit comes next time: bounds lose nothing."""
    artifacts = [{"kind": "k", "name": f"n{n}", "content": f"{n}" + "x" * 100_000} for n in range(12)]
    here.connection.execute("select singularity.learn_many(%s)", [Jsonb(artifacts)])
    here.call("follow", kind="k")
    settle(there, here)
    here.owner.execute("delete from singularity.central_copy")
    here.owner.execute("select singularity.want_comparison()")
    settle(there, here)
    assert value(here.owner, "select count(*) from singularity.central_copy") == 12


def test_what_an_authority_says_divides_no_range_without_end(here: Instance) -> None:
    """It claims to have very much in every range."""
    claim = "select singularity.divide_range('', lpad(to_hex(n), %s, '0'), 1000000000) from generate_series(0, %s) as n"
    here.owner.execute(claim, [4, 2000])
    waiting = "select count(*) from singularity.comparison"
    assert 16_000 < value(here.owner, waiting) <= 20_016
    here.owner.execute("delete from singularity.comparison")
    here.owner.execute("insert into singularity.comparison (topic, prefix) values ('', '0000000')")
    here.owner.execute(claim, [7, 0])
    assert value(here.owner, "select count(*) from singularity.comparison where in_detail") == 1


def test_lists_of_a_reply_are_bounded(there: Authority, here: Instance) -> None:
    settle(there, here)
    here.owner.execute("select singularity.want_comparison()")
    here.relay.tick(streams={})
    (message,) = [m for m in here.relay.take("sync") if m.body["type"] == "digest"]
    many = [{"topic": "", "prefix": "", "entries": 0, "equal": True}] * 1000
    reply = {"v": 1, "type": "digest", "request": message.body["request"], "ranges": many, "epoch": "e"}
    here.relay.reply(message, json.dumps(reply).encode())
    letters = "select error from singularity.dead_letter"
    assert "ranges has 1000 entries" in value(here.owner, letters)


def test_what_a_question_may_ask_for_is_bounded(there: Authority) -> None:
    asked = Speaker(1).asks(
        "ask", query="x", namespace=None, kind=None, name=None, tags=[f"t{n}" for n in range(20_000)]
    )
    with pytest.raises(psycopg.errors.ProgramLimitExceeded, match="tags"):
        there.relay.serve(asked)


def test_what_may_be_followed_is_bounded(here: Instance) -> None:
    here.owner.execute(
        "insert into singularity.followed_topic (namespace, kind) select 'n', 'k' || n from generate_series(1, 10000) n"
    )
    with pytest.raises(psycopg.errors.ProgramLimitExceeded, match="10000 topics"):
        here.call("follow", kind="more")
