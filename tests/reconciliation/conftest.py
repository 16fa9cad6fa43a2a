"""An instance and an authority whose bridges are moved by hand, until neither has anything to say."""

import json
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb
from tests.support import Message, Relay, Row, contribute, publish, row, rows, value

from singularity_lab import Database, wait_until

STREAM = "singularity_contributions"
STATES = "select entries, digest from singularity.digest()"
ALARM = "select twin_alarms from centralcloud.status()"


class Authority:
    """An authority and its bridge."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.relay = Relay(database)
        self.db = database.connect_superuser()

    def counters(self, name: str) -> tuple[int, int]:
        """Return uses and successes of an artifact, over all its variants."""
        query = """
            select coalesce(sum(v.uses), 0)::int as uses, coalesce(sum(v.successes), 0)::int as successes
            from centralcloud.artifact a join centralcloud.variant v using (artifact_id) where a.name = %s
        """
        found = row(self.db, query, name)
        return found["uses"], found["successes"]

    def content(self, name: str) -> Any:
        """Return the content that wins, None when there is none."""
        query = """
            select v.content from centralcloud.artifact a join centralcloud.variant v using (artifact_id, variant)
            where a.name = %s
        """
        found = rows(self.db, query, name)
        return found[0]["content"] if found else None

    def close(self) -> None:
        """End its sessions."""
        self.relay.connection.close()
        self.db.close()


class Instance:
    """An instance, its user and its bridge."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.db = database.connect()
        self.owner = database.connect_superuser()
        self.relay = Relay(database)
        self.sent: list[Message] = []

    def call(self, function: str, *arguments: Any) -> Any:
        """Call a function of the extension."""
        marks = ", ".join(["%s"] * len(arguments))
        return value(self.db, f"select singularity.{function}({marks})", *arguments)

    def learn(self, name: str, content: Any = 1, **more: Any) -> None:
        """Learn a pattern."""
        extra = "".join(f", {key} => %({key})s" for key in more)
        query = f"select singularity.learn('pattern', %(name)s, %(content)s{extra})"
        self.db.execute(query.encode(), {"name": name, "content": Jsonb(content), **more})

    def use(self, name: str, times: int = 1, succeeded: bool = True) -> None:
        """Record outcomes of a pattern."""
        query = "select singularity.record_outcome('pattern', %s, %s) from generate_series(1, %s)"
        self.db.execute(query, [name, succeeded, times])

    def known(self, name: str) -> Row:
        """Return what lookup returns of a pattern."""
        return row(self.db, "select * from singularity.lookup('pattern', %s)", name)

    def status(self) -> Row:
        """Return how things stand."""
        return row(self.db, "select * from singularity.status()")

    def close(self) -> None:
        """End its sessions."""
        for connection in (self.relay.connection, self.db, self.owner):
            connection.close()


def settle(authority: Authority, *instances: Instance) -> None:
    """Carry messages until nobody has anything to say."""
    for _ in range(200):
        authority.relay.tick()
        moved = 0
        beats = authority.relay.take("heartbeat")
        for instance in instances:
            instance.relay.tick(
                streams={STREAM: {"created": "now", "messages": 0, "bytes": 0, "last_sequence": 0}}
            )
            if beats:
                instance.relay.give(beats)
            moved += len(converse(authority, instance))
            moved += len(contribute(instance.relay, authority.relay))
        authority.relay.tick()
        moved += len(publish(authority.relay, *(instance.relay for instance in instances)))
        waiting = [
            queue for instance in instances for queue in instance.relay.queues() if queue != "question"
        ]
        if not moved and not waiting:
            return
    raise AssertionError("there is no end of it")


def converse(authority: Authority, instance: Instance) -> list[Message]:
    """Carry the requests of the queue sync and their replies; they are kept in `instance.sent`."""
    requests = instance.relay.take("sync")
    for request in requests:
        instance.relay.reply(request, authority.relay.serve(request))
    instance.sent += requests
    return requests


def reconcile(authority: Authority, *instances: Instance) -> list[Message]:
    """Have everything compared anew; returns the requests of the first instance."""
    for instance in instances:
        settle(authority, instance)
        instance.sent.clear()
        instance.owner.execute("select singularity.want_comparison()")
    settle(authority, *instances)
    return [m for m in instances[0].sent if json.loads(m.payload)["type"] == "digest"]


def result(instance: Instance) -> Row:
    """Return what the last comparison mended."""
    return row(instance.db, "select sent_again, restored, refreshed from singularity.reconciliation")


def agree(authority: Authority, instance: Instance) -> bool:
    """Say whether both sides have the same states of the instance."""
    here = row(instance.db, STATES)
    me = instance.status()["instance_id"]
    return here == row(authority.db, "select entries, digest from centralcloud.digest(%s)", me)


def give_up(connection: psycopg.Connection, name: str) -> None:
    """End every session in a database of the same server."""
    query = "select pg_terminate_backend(pid) from pg_stat_activity where datname = %s"
    left = "select count(*) from pg_stat_activity where datname = %s"
    connection.execute(query, [name])
    wait_until(lambda: value(connection, left, name) == 0, message="the sessions to be gone")


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
    one.call("configure", "ann")
    one.call("connect")
    yield one
    one.close()
