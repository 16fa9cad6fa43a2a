"""An instance and an authority say every sort of message to each other, through the functions that a bridge calls."""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import psycopg
from psycopg.types.json import Jsonb
from tests.kit.keys import key_of
from tests.kit.message import Message
from tests.kit.queries import value
from tests.kit.relay import Relay

from singularity_lab import Database, wait_until

Body = dict[str, Any]
STREAM = {
    "singularity_contributions": {
        "created": "2026-11-25T02:38:41Z",
        "messages": 0,
        "bytes": 0,
        "last_sequence": 0,
    }
}
CONSUMER = {"centralcloud": {"ack_floor": 0, "pending": 0}}


class Conversation:
    """What both sides said, by the headings of messages.md."""

    def __init__(self, instance: Database, authority: Database) -> None:
        self.said: dict[str, list[Body]] = defaultdict(list)
        self.here, self.there = instance.connect_superuser(), authority.connect_superuser()
        self.here.execute("select singularity.configure('anns-laptop')")
        self.here.execute("select singularity.connect()")
        self.instance, self.authority = Relay.of(instance), Relay.of(authority)

    def close(self) -> None:
        """End all sessions."""
        for relay in (self.instance, self.authority):
            relay.close()
        for connection in (self.here, self.there):
            connection.close()

    def settle(self) -> None:
        """Carry messages until nobody has anything to say."""
        for _ in range(100):
            self.tick()
            if beats := self.note("message", self.authority.take("heartbeat")):
                self.instance.give(beats)
            moved = self.ask("question") + self.ask("sync") + self.contribute() + self.publish()
            if not moved and not self.instance.arm():
                return
        raise AssertionError("there is no end of it")

    def tick(self) -> None:
        """Let both do their background work."""
        self.authority.tick(streams=STREAM, consumers=CONSUMER)
        self.instance.tick(streams=STREAM)

    def ask(self, queue: str) -> int:
        """Carry the requests of a queue and their replies; returns how many."""
        requests = self.note("request", self.instance.take(queue))
        for request in requests:
            reply = self.authority.serve(request)
            self.said[f"reply to {request.body['type']}"].append(json.loads(reply))
            self.instance.reply(request, reply)
        return len(requests)

    def contribute(self) -> int:
        """Carry contributions and their receipts; returns how many."""
        if sent := self.note("message", self.instance.take("contribution")):
            self.instance.give(self.note("message", self.authority.give(sent)))
        return len(sent)

    def publish(self) -> int:
        """Carry what the authority pushes; returns how many messages."""
        self.authority.tick(streams=STREAM, consumers=CONSUMER)
        if pushed := self.note("message", self.authority.take("refined")):
            self.instance.give(pushed)
        return len(pushed)

    def note(self, what: str, messages: Sequence[Message]) -> Sequence[Message]:
        """Remember what was said."""
        for message in messages:
            self.said[f"{what} {message.body['type']}"].append(message.body)
        return messages

    def hold(self) -> None:
        """Have every message occur, with every field that there is."""
        self.settle()
        self.teach()
        self.take_back()
        self.refuse()
        self.miss()
        self.ask_questions()
        self.compare()
        self.change_key()

    def teach(self) -> None:
        """Contribute holdings and evidence, which are confirmed and pushed."""
        learn = "select singularity.learn('pattern', %s, %s, summary => 'Retry with backoff', tags => '{network}')"
        for name in ("retry", "jitter", "breaker"):
            self.here.execute(learn, [name, Jsonb({"do": name})])
        self.here.execute("select singularity.record_outcome('pattern', 'retry', true)")
        self.settle()

    def take_back(self) -> None:
        """Withdraw, so that there is a removal."""
        self.here.execute("select singularity.forget('pattern', 'jitter', everywhere => true)")
        self.settle()

    def refuse(self) -> None:
        """Contribute what breaks a rule; a real instance would have refused to learn it."""
        self.here.execute("""select singularity.learn('pattern', 'wrong', '1')""")
        (message,) = self.instance.take("contribution")
        body = message.body
        body["records"][0]["summary"] = "x" * 5000
        spoiled = replace(message, payload=json.dumps(body).encode())
        self.instance.give(self.note("message", self.authority.give([spoiled])))
        self.settle()
        self.there.execute("select centralcloud.set_quota(instance_id) from centralcloud.instance")
        self.settle()

    def miss(self) -> None:
        """Lose a heartbeat with what changed."""
        self.here.execute("select singularity.learn('pattern', 'missed', '1')")
        self.contribute()
        self.publish()
        self.there.execute("update centralcloud.publisher set heads_sent_at = null")
        self.authority.take("heartbeat")
        self.there.execute("update centralcloud.publisher set heads_sent_at = null")
        self.settle()

    def ask_questions(self) -> None:
        """Ask for what fits a query, and for an artifact by its key."""
        self.here.execute("select singularity.ask('retry with backoff', 'pattern', 'default')")
        self.here.execute("select * from singularity.lookup('pattern', 'unheard')")
        self.here.execute("select * from singularity.recall('who is unheard of', tags => '{nobody}')")
        self.settle()

    def compare(self) -> None:
        """Compare what both have, where each lacks something."""
        self.here.execute("select singularity.follow('pattern')")
        self.settle()
        self.here.execute("select singularity.forget('pattern', 'breaker')")
        self.settle()
        # both lose something of what they had
        self.here.execute("delete from singularity.delivery where variant <> ''")
        self.here.execute("update singularity.central_copy set revision = 0 where name = 'retry'")
        self.here.execute(
            """
            insert into singularity.central_copy (
                artifact_id, namespace, kind, name, variant, content, level, confidence, uses, successes, revision,
                epoch
            )
            select
                singularity.artifact_id('default', 'pattern', 'gone'), 'default', 'pattern', 'gone',
                singularity.variant_of('1'), '1', 'low', 0, 0, 0, 1, ''
            """
        )
        self.here.execute("select singularity.want_comparison()")
        self.settle()

    def change_key(self) -> None:
        """Have the authority tell of another key."""
        self.there.execute("select centralcloud.rotate_key()")
        self.authority.tick(public_keys={"1": key_of("former"), "2": key_of("present")})
        wait_until(lambda: "heartbeat" in self.authority.arm(), message="the next heartbeat")
        self.note("message", self.authority.take("heartbeat"))


def wire_types(connection: psycopg.Connection, schema: str) -> dict[str, dict[str, str]]:
    """Return the attributes of every wire type of a schema, by name, with their types."""
    query = """
        select coalesce(jsonb_object_agg(t.typname, a.attributes), '{}')
        from pg_type t
        cross join lateral (
            select jsonb_object_agg(
                a.attname, replace(format_type(a.atttypid, a.atttypmod), %s || '.', '')
            ) as attributes
            from pg_attribute a where a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped
        ) as a
        where t.typnamespace = %s::regnamespace and t.typtype = 'c' and t.typname like 'wire%%'
    """
    found: dict[str, dict[str, str]] = value(connection, query, schema, schema)
    return found
