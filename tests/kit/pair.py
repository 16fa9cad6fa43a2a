"""An instance and an authority whose bridges are moved by hand, until neither has anything to say."""

import json
from typing import Any

import psycopg
from tests.kit.message import Message
from tests.kit.queries import Row, row, rows, value
from tests.kit.relay import Relay, contribute, exchange, publish
from tests.kit.session import Session

from singularity_lab import Database, wait_until

STREAM = "singularity_contributions"
STATES = "select entries, digest from singularity.digest()"
ALARM = "select twin_alarms from centralcloud.status()"


class Authority:
    """An authority and its bridge."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.relay = Relay.of(database)
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


class Instance(Session):
    """An instance: its user's session, its owner and its bridge."""

    def __init__(self, database: Database) -> None:
        super().__init__(database.connect())
        self.database = database
        self.owner = database.connect_superuser()
        self.relay = Relay.of(database)
        self.sent: list[Message] = []

    def close(self) -> None:
        """End its sessions."""
        for connection in (self.relay.connection, self.connection, self.owner):
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
        waiting = [queue for instance in instances for queue in instance.relay.arm() if queue != "question"]
        if not moved and not waiting:
            return
    raise AssertionError("there is no end of it")


def converse(authority: Authority, instance: Instance) -> list[Message]:
    """Carry the requests of the queue sync and their replies; they are kept in `instance.sent`."""
    requests = exchange(instance.relay, authority.relay, "sync")
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
    return row(instance.connection, "select sent_again, restored, refreshed from singularity.reconciliation")


def agree(authority: Authority, instance: Instance) -> bool:
    """Say whether both sides have the same states of the instance."""
    here = row(instance.connection, STATES)
    me = instance.status()["instance_id"]
    return here == row(authority.db, "select entries, digest from centralcloud.digest(%s)", me)


def give_up(connection: psycopg.Connection, name: str) -> None:
    """End every session in a database of the same server."""
    query = "select pg_terminate_backend(pid) from pg_stat_activity where datname = %s"
    left = "select count(*) from pg_stat_activity where datname = %s"
    connection.execute(query, [name])
    wait_until(lambda: value(connection, left, name) == 0, message="the sessions to be gone")
