"""None takes more than its share of the authority, sees why, and stands in nobody's way."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import nats
import psycopg
import pytest
from nats.js.errors import APIError
from psycopg.types.json import Jsonb
from tests.kit.keys import meta_of
from tests.kit.machine import Machine
from tests.kit.message import Message
from tests.kit.pair import Authority, Instance, settle
from tests.kit.queries import refused, row, rows, value
from tests.kit.speaker import Speaker, verdicts

from singularity_bridge.signing import Keyring
from singularity_lab import Database, Lab, NatsServer, wait_until

KEYRING = Keyring()
KEYRING.take([(1, bytes(32))])


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


def configure(there: Authority, **settings: Any) -> None:
    """Change settings of the authority."""
    there.db.execute("select centralcloud.configure(%s)", [Jsonb(settings)])


def usage(there: Authority, who: Speaker) -> dict[str, Any]:
    """Return what an instance takes."""
    query = "select artifacts, topics, bytes from centralcloud.usage where instance_id = %s"
    return row(there.db, query, who.id)


def counted(there: Authority, who: Speaker) -> dict[str, Any]:
    """Count the same by scanning."""
    return row(
        there.db,
        """
        with spoken as (
            select artifact_id from centralcloud.holding where instance_id = %(who)s
            union
            select artifact_id from centralcloud.evidence where instance_id = %(who)s
        )
        select count(*) as artifacts, count(distinct (a.namespace, a.kind)) as topics
        from spoken join centralcloud.artifact a using (artifact_id)
        """.replace("%(who)s", f"'{who.id}'"),
    )


def judged(there: Authority, *messages: Message) -> list[str]:
    """Return the reasons of what is refused, the verdict of what is not; of one speaker, by version."""
    return [reason or verdict for _, verdict, reason in sorted(verdicts(there.relay.give(messages)))]


def test_artifacts_beyond_the_quota_are_refused(there: Authority) -> None:
    configure(there, quota_artifacts="3")
    ann, bob = Speaker(1), Speaker(2)
    held = [ann.holds(n, f"n{n}") for n in range(5)]
    about_last = ann.used(1, 0, 4, "n4")
    quota = "quota: 3 artifacts of this instance; a curator can raise it with set_quota()"
    assert judged(there, ann.says(*held, about_last)) == [*["stored"] * 3, *[quota] * 3]
    assert judged(there, bob.says(*(bob.holds(n, f"n{n}") for n in range(3)))) == ["stored"] * 3
    assert usage(there, ann)["artifacts"] == 3
    # what is known may change, be used, and be withdrawn
    assert (
        judged(there, ann.says(ann.holds("other", "n1"), ann.used(1, 0, 1, "n1"), ann.withdraws("n2")))
        == ["stored"] * 3
    )


@pytest.mark.parametrize("again", [False, True])
def test_topics_and_bytes_beyond_the_quota_are_refused(there: Authority, again: bool) -> None:
    configure(there, quota_topics="2", quota_bytes="100000")
    ann = Speaker(1)
    messages = [ann.says(ann.holds(n, "n", namespace=f"s{n}")) for n in range(3)]
    said = [judged(there, message)[0] for message in messages] if again else judged(there, *messages)
    assert [reason.partition(" of")[0] for reason in said] == ["stored", "stored", "quota: 2 topics"]
    large = [ann.says(ann.holds(f"{n}" + "x" * 40_000, "n", namespace="s0")) for n in range(4)]
    said = [judged(there, message)[0] for message in large]
    assert [reason.partition(" of")[0] for reason in said] == [
        "stored",
        "stored",
        *["quota: 100000 bytes"] * 2,
    ]
    # what is withdrawn takes nothing but its rows
    assert judged(there, ann.says(ann.withdraws("n", namespace="s0"))) == ["stored"]
    assert usage(there, ann)["bytes"] < 3000
    assert judged(there, ann.says(ann.holds("9" + "x" * 40_000, "n", namespace="s0"))) == ["stored"]


def test_rows_without_content_are_counted_too(there: Authority) -> None:
    """Evidence of variants and incarnations that nobody has is no way around."""
    configure(there, quota_bytes="20000")
    ann = Speaker(1)
    records = [ann.used(1, 0, "a", "x", incarnation=f"00000000-0000-0000-0000-{n:012}") for n in range(200)]
    said = judged(there, ann.says(*records))
    assert 0 < said.count("stored") < 100
    assert value(there.db, "select count(*) from centralcloud.evidence") == said.count("stored")


def test_what_is_counted_is_what_there_is(there: Authority) -> None:
    """Whatever comes twice, late or changed."""
    ann = Speaker(1)
    first = [ann.holds(n, f"n{n % 7}", kind=f"k{n % 3}") for n in range(20)]
    messages = [ann.says(*first[:10]), ann.says(*first[5:]), ann.says(ann.used(2, 1, 1, "n1", kind="k1"))]
    messages += [ann.says(ann.withdraws("n2", kind="k2")), messages[0], messages[1]]
    for message in (*messages, *reversed(messages)):
        there.relay.give([message])
    there.relay.give(messages)
    used = usage(there, ann)
    assert {name: used[name] for name in ("artifacts", "topics")} == counted(there, ann)
    # and it follows from what there is, not from the way there
    bob = Speaker(2)
    anew = [json.loads(message.payload) for message in messages]
    for body in reversed(anew):
        body["instance"] = str(bob.id)
        there.relay.give([bob.raw("contribute", json.dumps(body).encode())])
    assert usage(there, bob) == used


def test_the_sender_sees_it_and_sends_again_when_the_quota_is_raised(
    there: Authority, here: Instance
) -> None:
    configure(there, quota_artifacts="1")
    for name in ("a", "b", "c"):
        here.learn(name)
    settle(there, here)
    assert here.status()["set_aside"] == 2
    assert any("set_quota" in trouble for trouble in here.status()["troubles"])
    me = here.status()["instance_id"]
    there.db.execute("select centralcloud.set_quota(%s, artifacts => 2)", [me])
    settle(there, here)
    assert here.status()["set_aside"] == 1
    # whoever was away when it was raised hears of it at the next hello
    there.db.execute("select centralcloud.set_quota(%s, artifacts => 10)", [me])
    there.relay.take("refined")
    settle(there, here)
    here.owner.execute("update singularity.authority set welcomed_at = null, hello_sent_at = null")
    settle(there, here)
    assert here.status()["set_aside"] == 0
    assert here.status()["outbox_entries"] == 0
    assert row(there.db, "select artifacts, max_artifacts from centralcloud.usage") == {
        "artifacts": 3,
        "max_artifacts": 10,
    }


def test_what_was_withdrawn_takes_its_room_again(there: Authority) -> None:
    """Else one could fill the authority by withdrawing and giving again."""
    ann = Speaker(1)
    there.relay.give([ann.says(ann.holds("x", name="first"))])
    there.db.execute("select centralcloud.set_quota(%s, bytes => 30000)", [ann.id])
    contents = [f"{n} " + "z y " * 500 for n in range(30)]
    for n, content in enumerate(contents):
        there.relay.give([ann.says(ann.holds(content, name=f"n{n}"))])
        there.relay.give([ann.says(ann.withdraws(f"n{n}"))])
    for n, content in enumerate(contents):
        there.relay.give([ann.says(ann.holds(content, name=f"n{n}"))])
    longer = [ann.holds("x", name=f"n{n}", summary="s" * 4000) for n in range(30)]
    for one in longer:
        there.relay.give([ann.says(one)])
    (used,) = rows(there.db, "select bytes, max_bytes from centralcloud.usage")
    assert used["bytes"] <= used["max_bytes"]


def test_only_a_curator_sets_quotas_within_reason(there: Authority, authority: Database) -> None:
    ann = Speaker(1)
    there.relay.give([ann.says(ann.holds())])
    with authority.connect() as curator, authority.connect(authority.viewer) as viewer:
        curator.execute("select centralcloud.set_quota(%s, topics => 5)", [ann.id])
        assert value(viewer, "select max_topics from centralcloud.usage") == 5
        with refused("42501", "permission denied", hint=None):
            viewer.execute("select centralcloud.set_quota(%s)", [ann.id])
        with refused("22023", "negative"):
            curator.execute("select centralcloud.set_quota(%s, bytes => -1)", [ann.id])
        with refused("22023", "rate less than 1"):
            curator.execute("select centralcloud.set_quota(%s, requests_per_minute => 0)", [ann.id])
        with refused("P0002", "there is no instance"):
            curator.execute("select centralcloud.set_quota(%s)", [Speaker(9).id])


def test_requests_beyond_the_rate_are_refused_for_the_moment(there: Authority) -> None:
    configure(there, requests_per_minute="20")
    ann, bob = Speaker(1), Speaker(2)
    asks = ann.asks("changes", namespace="a", kind="b", after=0)
    errors: list[psycopg.Error] = []
    for _ in range(100):
        try:
            there.relay.serve(asks)
        except psycopg.Error as error:
            errors.append(error)
    assert 80 <= len(errors) < 90
    assert {error.sqlstate for error in errors} == {"53400"}
    assert "again in " in str(errors[0])
    # a part is kept for questions, and others are not concerned
    there.relay.serve(ann.asks("ask", query="who", namespace=None, kind=None, name=None, tags=None))
    there.relay.serve(bob.asks("changes", namespace="a", kind="b", after=0))


def test_an_instance_that_asked_too_much_pauses_but_for_questions(there: Authority, here: Instance) -> None:
    settle(there, here)
    here.call("follow", kind="k")
    here.owner.execute("select singularity.want_comparison()")
    here.relay.tick(streams={})
    (message, *_) = here.relay.take("sync")
    here.relay.result(message, ok=False, error="429: more than 600 requests in a minute, again in 30 s")
    here.owner.execute("select singularity.retry_comparison()")
    here.owner.execute("update singularity.comparison set requested_at = null")
    assert "sync" not in here.relay.arm()
    assert here.relay.take("sync") == []
    here.call("ask", query="who")
    assert "question" in here.relay.arm()
    here.owner.execute("update singularity.authority set paused_until = now() - interval '1 second'")
    assert "sync" in here.relay.arm()


@pytest.mark.parametrize(
    "error", ["429: again in 9999 s", "429: x in 5000 s, in -3 s", "429: ", "429: in 99999999999 s"]
)
def test_no_pause_is_longer_than_a_minute(there: Authority, here: Instance, error: str) -> None:
    settle(there, here)
    here.owner.execute("select singularity.want_comparison()")
    here.relay.tick(streams={})
    (message, *_) = here.relay.take("sync")
    here.relay.result(message, ok=False, error=error)
    longest = (
        "select coalesce(max(paused_until), now()) <= now() + interval '1 minute' from singularity.authority"
    )
    assert value(here.owner, longest)


def test_records_beyond_the_rate_wait(there: Authority) -> None:
    configure(there, records_per_minute="60")
    ann, bob = Speaker(1), Speaker(2)
    said = [ann.says(*(ann.holds(n, f"n{n}-{turn}") for n in range(20))) for turn in range(3)]
    said.append(bob.says(bob.holds()))

    def give(deliveries: int) -> list[dict[str, Any]]:
        return rows(
            there.relay.connection,
            "select message, subject, (headers ->> 'delay_ms')::int as delay"
            " from centralcloud.bridge_receive(%s, %s, %s)",
            [message.subject for message in said],
            [message.payload for message in said],
            [Jsonb(meta_of(one.subject, may_wait=True, deliveries=deliveries)) for one in said],
        )

    found = {one["message"]: one for one in give(1)}
    assert [found[n]["subject"] is None for n in range(4)] == [False, True, True, False]
    assert 5_000 < found[1]["delay"] < found[2]["delay"] < 40_000
    # what waited has paid
    assert all(one["subject"] for one in give(2))
    assert value(there.db, "select count(*) from centralcloud.artifact") == 61


def connect(server: NatsServer, instance_id: str) -> Any:
    """Return a client that hears what goes to an instance, not connected yet."""
    return nats.connect(**server.client_options(), inbox_prefix=f"singularity.inbox.{instance_id}".encode())


async def ask(client: Any, instance_id: str, body: dict[str, Any], times: int) -> list[str]:
    """Ask the same so many times at once; returns the error codes, empty for an answer."""
    subject, payload = f"singularity.centralcloud.changes.{instance_id}", json.dumps(body).encode()
    answers = await client.subscribe(f"singularity.inbox.{instance_id}.flood.*")
    for number in range(times):
        reply = f"singularity.inbox.{instance_id}.flood.{number}"
        await client.publish(
            subject, payload, reply=reply, headers=KEYRING.sign(subject, payload, None, reply)
        )
    answered = [await answers.next_msg(timeout=60) for _ in range(times)]
    await answers.unsubscribe()
    return [(one.headers or {}).get("Nats-Service-Error-Code", "") for one in answered]


def flood(server: NatsServer, instance_id: str) -> tuple[int, int, int]:
    """Speak as an instance, as much as it can. Returns refused messages, failing requests and requests."""

    async def run() -> tuple[int, int, int]:
        client = await connect(server, instance_id)
        greedy = Speaker(1)
        stream = client.jetstream(timeout=20)
        refused_messages = 0
        for turn in range(60):
            message = greedy.says(*(greedy.holds("x" * 500, f"n{turn}-{n}") for n in range(100)))
            body = {**message.body, "instance": instance_id}
            subject, payload = f"singularity.contribute.{instance_id}", json.dumps(body).encode()
            try:
                headers = KEYRING.sign(subject, payload, {"Nats-Msg-Id": str(turn)})
                await stream.publish(subject, payload, headers=headers)
            except APIError:
                refused_messages += 1
        asked = {**greedy.asks("changes", namespace="a", kind="b", after=0).body, "instance": instance_id}
        wrong = {**asked, "session": "none"}
        failing = [code for _ in range(4) for code in await ask(client, instance_id, wrong, 50)]
        assert {"500", "429"} == set(failing)
        codes = await ask(client, instance_id, asked, 1000)
        await client.close()
        return refused_messages, failing.count("429"), sum(code in {"429", "503"} for code in codes)

    return asyncio.run(run())


def test_a_greedy_instance_slows_no_other(lab: Lab) -> None:
    """Through real bridges: its share is bounded, and what others say goes through before it."""
    server = lab.nats()
    central = lab.authority("central")
    curator = central.connect_superuser()
    settings = {"records_per_minute": "600", "stream_messages": "20", "requests_per_minute": "100"}
    curator.execute("select centralcloud.configure(%s)", [Jsonb(settings)])
    lab.bridge(central, server)
    modest = lab.instance("modest")
    ann = Machine(modest, lab.bridge(modest, server))
    ann.call("connect")
    ann.until_online()
    greedy = "00000000-0000-0000-0000-00000000abcd"
    refused_messages, refused_failing, refused_requests = flood(server, greedy)
    assert refused_messages > 0
    assert refused_failing >= 100
    assert refused_requests >= 800
    ann.learn("mine")
    ann.until_confirmed()
    ann.call("ask", query="who knows")
    ann.until(lambda: ann.status()["open_questions"] == 0, "an answer")
    # all that before what the greedy one has in the stream
    waiting = "select pending_messages from centralcloud.status()"
    stored = "select count(*) from centralcloud.holding where instance_id = %s"
    assert value(curator, stored, greedy) < 2000
    wait_until(lambda: value(curator, stored, greedy) > 100, 60, "its share to be applied as well")
    assert value(curator, waiting) is not None
    ann.connection.close()
    curator.close()
