"""What nobody vouches for is found, but not before what is well proved and fits about as well.

Who knows a query can write it into a name, a summary, tags and a content, as often as he likes.
"""

from collections.abc import Callable, Iterator
from uuid import uuid4

import pytest
from psycopg.types.json import Jsonb
from tests.kit.instance_relay import InstanceRelay, refined
from tests.kit.queries import Row, rows
from tests.kit.relay import Relay
from tests.kit.session import Session
from tests.kit.speaker import Speaker, request, speakers

from singularity_lab import Database

PROVED: list[Row] = [
    {
        "name": "retry_with_backoff",
        "summary": "Repeat a failing call with growing pauses",
        "content": {"steps": ["call", "wait a while", "call again, twice as patient"]},
    },
    {
        "name": "blue-green-deploy",
        "summary": "Switch traffic from the old release to a new one without downtime",
        "content": {"steps": ["start the other colour", "move the load balancer"]},
    },
    {
        "name": "app.cache.evict",
        "summary": "Drop the entries that were not used for longest when memory is short",
        "content": {"policy": "least recently used"},
    },
]
QUERIES = {
    "retry with backoff": "retry_with_backoff",
    "repeat a failing call": "retry_with_backoff",
    "backoff": "retry_with_backoff",
    "switch traffic to a new release": "blue-green-deploy",
    "drop cache entries when memory is short": "app.cache.evict",
}
STUFFED: dict[str, Callable[[str], Row]] = {
    "name": lambda query: {"name": query},
    "a repeated name": lambda query: {"name": " ".join([query] * 9)},
    "summary": lambda query: {"name": "zz", "summary": query},
    "everything": lambda query: {
        "name": f"{query} {query}",
        "summary": " ".join([query] * 5),
        "tags": sorted(set(query.split())),
        "content": " ".join([query] * 20),
    },
}
FLOOD = 120


def stuffed(query: str, how: str, number: int = 0) -> Row:
    """Return an artifact that is made for a query."""
    made = {"kind": "stuffed", "content": f"buy this {number}", **STUFFED[how](query)}
    return {**made, "name": f"{made['name']} {number}".strip() if number else made["name"]}


class Authority:
    """An authority at which nine groups proved artifacts; nothing ages there."""

    def __init__(self, database: Database) -> None:
        self.relay = Relay.of(database)
        self.stranger = Speaker(99)
        self.curator = database.connect()
        settings = {"scored_as_of": "2100-01-01", "half_life": "1000000 years", "new_group_trust": 1}
        self.curator.execute("select centralcloud.configure(%s)", [Jsonb(settings)])
        for one in speakers(9):
            self.relay.give([one.says(*(one.holds(**artifact) for artifact in PROVED))])
            self.relay.give([one.says(*(one.used(12, 0, a["content"], a["name"]) for a in PROVED))])
        self.relay.tick()

    def stuff(self, artifacts: list[Row]) -> None:
        """Let a stranger contribute, and praise it."""
        records = [self.stranger.holds(**artifact) for artifact in artifacts]
        praised = [self.stranger.used(10**6, 0, a["content"], a["name"], kind=a["kind"]) for a in artifacts]
        self.relay.give([self.stranger.says(*records, *praised)])

    def found(self, query: str) -> list[str]:
        """Return the names that search() finds, which are those of an answer."""
        searched = "select (artifact).name from centralcloud.search(%s)"
        names = [r["name"] for r in rows(self.curator, searched, query)]
        answer = request(self.relay, self.stranger.asks("ask", query=query))
        assert [r["name"] for r in answer["rows"]] == names[: len(answer["rows"])]
        return names


class Instance:
    """An instance that has proved artifacts from the authority."""

    def __init__(self, session: Session, relay: InstanceRelay) -> None:
        self.session = session
        self.relay = relay
        session.run("select singularity.connect('hybrid')")
        relay.attach()
        relay.go_online()
        proved: Row = {"level": "very_high", "confidence": 0.9, "uses": 108, "successes": 108}
        self.hear([refined(**artifact, **proved) for artifact in PROVED])

    def hear(self, artifacts: list[Row]) -> None:
        """Take what the authority answers."""
        self.session.run("select singularity.ask(%s)", [f"anything {uuid4()}"])
        self.relay.answer(self.relay.question(), *artifacts)

    def stuff(self, artifacts: list[Row]) -> None:
        """Get half of them from the authority, and learn the others here."""
        candidate: Row = {"level": "candidate", "confidence": 0}
        self.hear([refined(**artifact, **candidate) for artifact in artifacts[::2]])
        self.session.learn_many(artifacts[1::2])

    def found(self, query: str) -> list[str]:
        """Return the names that recall() finds."""
        return [r["name"] for r in self.session.recall(query)]


@pytest.fixture(params=["authority", "instance"])
def place(request: pytest.FixtureRequest) -> Iterator[Authority | Instance]:
    """Open the place that the test runs at: an authority, and then an instance."""
    database: Database = request.getfixturevalue(request.param)
    if request.param == "authority":
        at = Authority(database)
        yield at
        at.relay.close()
        at.curator.close()
        return
    with database.connect() as connection, database.connect(database.relay) as bridge:
        yield Instance(Session(connection), InstanceRelay(Session(bridge)))


@pytest.mark.parametrize("how", sorted(STUFFED))
def test_what_repeats_the_query_comes_after_what_is_proved(place: Authority | Instance, how: str) -> None:
    for query, right in QUERIES.items():
        assert place.found(query)[0] == right
    artifacts = [stuffed(query, how, number) for query in QUERIES for number in (1, 2)]
    place.stuff(artifacts)
    wrong = {
        query: place.found(query)[:3] for query, right in QUERIES.items() if place.found(query)[0] != right
    }
    assert wrong == {}


def test_many_of_them_do_not_crowd_it_out(place: Authority | Instance) -> None:
    query = "repeat a failing call"
    artifacts = [stuffed(query, "everything", number) for number in range(1, FLOOD + 1)]
    for start in range(0, FLOOD, 40):
        place.stuff(artifacts[start : start + 40])
    found = place.found(query)
    assert found[0] == QUERIES[query]
    assert len(found) == 10


def test_what_is_not_proved_is_found_where_nothing_proved_fits(place: Authority | Instance) -> None:
    place.stuff([
        {"kind": "k", "name": name, "summary": "Peel an orange with a spoon", "content": "thumb"}
        for name in ("peel", "orange_peeler")
    ])  # fmt: skip
    for query in ("peel an orange", "orange", "orange peeler"):
        assert set(place.found(query)[:2]) == {"peel", "orange_peeler"}
