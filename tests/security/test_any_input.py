"""Whatever comes in, in each direction: both sides go on working and agree, and nothing private is shared.

SINGULARITY_EXAMPLES says how many rounds of five spoiled messages there are; `make soak` gives more than `make test`.
"""

import json
import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from psycopg.types.json import Jsonb
from tests.kit.keys import AUTHORITY_KEY
from tests.kit.message import Message
from tests.kit.queries import row, rows, value
from tests.kit.relay import Relay
from tests.pages.conversation import Conversation
from tests.security.mutations import spoiled

from singularity_lab import Database, Lab

EXAMPLES = int(os.environ.get("SINGULARITY_EXAMPLES", "200"))
MOST_LETTERS = 1_000
"""Dead letters that a database keeps by default."""
ANY_INPUT = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    phases=[Phase.generate],  # what happened cannot be undone, so nothing is shrunk
    print_blob=False,
    derandomize="SINGULARITY_EXAMPLES" not in os.environ,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
PRIVATE = "a private matter"
PRIVATE_ROW = """
    select h.content #>> '{}' as content, h.shared from singularity.holding h
    where h.name = 'secret' order by h.version desc limit 1
"""
REFUSALS = {"08", "0A", "22", "23", "42", "54", "SG"}
RESULTS = [
    b'[{"message_id": "contribution:00000000-0000-0000-0000-000000000001", "ok": true, "stream": "s", "sequence": 1}]',
    b'[{"message_id": "hello:1", "ok": false, "error": "timeout"}, {"message_id": "question:x", "ok": true}]',
]


class Recorded(Conversation):
    """A conversation whose messages can be given again, spoiled."""

    def __init__(self, instance: Database, authority: Database) -> None:
        super().__init__(instance, authority)
        self.sent: dict[str, list[Message]] = defaultdict(list)
        self.replies: list[tuple[Message, bytes]] = []
        self.spoiled = 0

    def note(self, what: str, messages: Sequence[Message]) -> Sequence[Message]:
        """Remember the message itself too: by who is to take it."""
        for message in messages:
            to = message.body["type"] if message.via != "request" else "request"
            self.sent[to].append(message)
        return super().note(what, messages)

    def ask(self, queue: str) -> int:
        """Remember replies with their requests."""
        requests = self.note("request", self.instance.take(queue))
        for request in requests:
            reply = self.authority.serve(request)
            self.replies.append((request, reply))
            self.instance.reply(request, reply)
        return len(requests)

    def differences(self) -> tuple[int, int]:
        """Return how many states of the instance the authority has not, and how many more it has.

        Those were said in the instance's name with its key, but not by it: it takes none of them back.
        """
        columns = "artifact_id, variant, incarnation"
        here = (
            f"select {columns}, stored_version as version from singularity.delivery where stored_version > 0"
        )
        me = value(self.here, "select instance_id from singularity.status()")
        there = f"select {columns}, version from centralcloud.states_of(%s, '')"
        said = {tuple(one.values()) for one in rows(self.here, here)}
        known = {tuple(one.values()) for one in rows(self.there, there, me)}
        return len(said - known), len(known - said)


@pytest.fixture
def pair(lab: Lab) -> Iterator[Recorded]:
    """Let an instance and an authority say everything that there is to say, once."""
    one = Recorded(lab.instance(), lab.authority())
    one.hold()
    # it ends with a change of the authority's key, which is over with this
    one.there.execute("select centralcloud.rotate_key(false)")
    one.here.execute("select singularity.trust_authority(%s)", [AUTHORITY_KEY])
    one.here.execute(
        "select singularity.learn('pattern', 'secret', to_jsonb(%s::text), shared => false)", [PRIVATE]
    )
    yield one
    one.close()


# a failure shows messages that are large
@pytest.mark.filterwarnings("ignore:Generating overly large repr")
def test_any_input(pair: Recorded) -> None:
    before = sizes(pair)
    subjects = {message.subject: message for messages in pair.sent.values() for message in messages}
    requests = [message for message in subjects.values() if message.via == "request"]

    requests += [replace(like, payload=other.payload) for like in requests for other in requests]

    def one_of(*kinds: str) -> st.SearchStrategy[list[Message]]:
        """Return a spoiled message, and a real one that comes behind it."""
        real = [message for kind in kinds for message in pair.sent[kind]]
        payloads = spoiled([message.payload for message in real])
        return st.builds(
            lambda good, bad: [replace(good, payload=bad), good], st.sampled_from(real), payloads
        )

    @ANY_INPUT
    @given(
        contributions=one_of("contribution"),
        pushed=st.one_of(one_of("heads"), one_of("receipt"), one_of("refined")),
        request=st.builds(
            lambda like, bad: replace(like, payload=bad),
            st.sampled_from(requests),
            spoiled([message.payload for message in requests]),
        ),
        reply=st.tuples(
            st.sampled_from([request for request, _ in pair.replies]),
            spoiled([reply for _, reply in pair.replies]),
        ),
        results=spoiled(RESULTS).filter(is_json),
    )
    def everybody_takes(
        contributions: list[Message],
        pushed: list[Message],
        request: Message,
        reply: tuple[Message, bytes],
        results: bytes,
    ) -> None:
        pair.authority.give(contributions)
        pair.instance.give(pushed)
        pair.instance.reply(*reply)
        refused_or_done(lambda: pair.authority.serve(request))
        for relay in (pair.instance, pair.authority):
            refused_or_done(lambda r=relay: result(r, json.loads(results)))  # type: ignore[misc]

    everybody_takes()
    pair.here.execute("select singularity.learn('pattern', 'afterwards', '1')")
    pair.here.execute("select singularity.record_outcome('pattern', 'retry', true)")
    pair.here.execute("select singularity.want_comparison()")
    pair.settle()
    pair.here.execute("select singularity.want_comparison()")
    pair.settle()
    assert pair.differences() == (0, value(pair.here, "select ignored from singularity.reconciliation"))
    assert value(
        pair.there,
        "select count(*) from centralcloud.artifact where name = 'afterwards' and variant is not null",
    )
    assert row(pair.here, PRIVATE_ROW) == {"content": PRIVATE, "shared": False}
    assert not value(pair.there, "select count(*) from centralcloud.artifact where name = 'secret'")
    grown = {table: size - before[table] for table, size in sizes(pair).items()}
    assert max(grown[table] for table in grown if table.endswith("dead_letter")) <= MOST_LETTERS
    assert max(grown.values()) < 60 * EXAMPLES, grown


def refused_or_done(call: Callable[[], object]) -> None:
    """Let the database refuse what it is given; anything but a refusal is a fault of its own."""
    try:
        call()
    except psycopg.Error as error:
        if (error.sqlstate or "")[:2] not in REFUSALS:
            raise


def result(relay: Relay, results: Any) -> None:
    """Call bridge_result() with anything."""
    relay.connection.execute(f"select {relay.schema}.bridge_result(%s)".encode(), [Jsonb(results)])


def is_json(payload: bytes) -> bool:
    """Say whether the bridge could have written this."""
    try:
        json.loads(payload)
    except (ValueError, RecursionError):
        return False
    return b"\\u0000" not in payload and b"\\ud" not in payload


def sizes(pair: Recorded) -> dict[str, int]:
    """Return how many rows every table has."""
    found = {}
    for connection, schema in ((pair.here, "singularity"), (pair.there, "centralcloud")):
        for table in rows(connection, "select tablename from pg_tables where schemaname = %s", schema):
            name = f"{schema}.{table['tablename']}"
            found[name] = int(value(connection, f"select count(*) from {name}"))
    return found
