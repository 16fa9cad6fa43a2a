"""The registry: who may speak as which instance, from the first word to the last, and whom an instance believes."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb
from tests.kit.keys import AUTHORITY_KEY, inbox_of, key_of
from tests.kit.message import Message
from tests.kit.pair import Authority, Instance, settle
from tests.kit.queries import refused, row, rows, value
from tests.kit.relay import Relay
from tests.kit.speaker import Speaker

from singularity_lab import Database

OWN, OTHER, NEW = key_of("own"), key_of("other"), key_of("new")
COLUMNS = "select public_key, former_key from centralcloud.instance where instance_id = %s"


@pytest.fixture
def relay(authority: Database) -> Iterator[Relay]:
    """Attach as the bridge of the authority."""
    one = Relay.of(authority, observing=True)
    yield one
    one.connection.close()


def tell(relay: Relay, signer: str | None, *messages: Message) -> list[str]:
    """Have contributions applied that this key has signed; returns the verdicts."""
    found = rows(
        relay.connection,
        f"select payload from {relay.schema}.bridge_receive(%s, %s, %s)",
        [message.subject for message in messages],
        [message.payload for message in messages],
        [Jsonb({"headers": {}, "signer": signer}) for _ in messages],
    )
    return [record["verdict"] for one in found for record in json.loads(one["payload"])["records"]]


def ask(relay: Relay, signer: str | None, message: Message, reply: str | None = None) -> Any:
    """Return the body of the answer to a request that this key has signed, None when there is none."""
    meta = {"signer": signer, "reply": inbox_of(message.subject) if reply is None else reply}
    query = "select centralcloud.bridge_serve(%s, %s, %s)"
    answer = value(relay.connection, query, message.subject, message.payload, Jsonb(meta))
    return None if answer is None else json.loads(answer)


def hello(speaker: Speaker, **more: Any) -> Message:
    """Return a hello."""
    return speaker.asks("hello", incarnation=None, extension_version="x", greatest_version=0, **more)


def rejections(side: Relay | Instance) -> dict[str, int]:
    """Return how many messages were dropped, by reason."""
    schema, connection = (
        ("singularity", side.owner) if isinstance(side, Instance) else (side.schema, side.connection)
    )
    query = f"select reason, messages::int from {schema}.rejection"
    return {one["reason"]: one["messages"] for one in rows(connection, query)}


@pytest.mark.parametrize("first", ["hello", "contribution"])
def test_the_first_key_stays(relay: Relay, first: str) -> None:
    ann = Speaker(1)
    if first == "hello":
        assert ask(relay, OWN, hello(ann))["type"] == "welcome"
    else:
        assert tell(relay, OWN, ann.says(ann.holds())) == ["stored"]
    assert tell(relay, OTHER, ann.says(ann.holds("b"))) == []
    assert ask(relay, OTHER, hello(ann, public_key=OTHER)) is None
    assert ask(relay, OTHER, ann.asks("ask", query="a")) is None
    assert tell(relay, OWN, ann.says(ann.holds("c"))) == ["stored"]
    assert rejections(relay) == {"key": 3}
    assert row(relay.connection, COLUMNS, ann.id) == {"public_key": OWN, "former_key": None}


def test_who_speaks_for_the_first_time_speaks_with_one_key(relay: Relay) -> None:
    ann = Speaker(1)
    assert tell(relay, OWN, ann.says(ann.holds("a"))) == ["stored"]
    bob = Speaker(2)
    first, second = bob.says(bob.holds("b")), bob.says(bob.holds("c"))
    query = "select payload from centralcloud.bridge_receive(%s, %s, %s)"
    meta = [Jsonb({"signer": signer}) for signer in (OWN, OTHER)]
    messages = [first, second]
    done = rows(relay.connection, query, [m.subject for m in messages], [m.payload for m in messages], meta)
    assert len(done) == 1
    assert row(relay.connection, COLUMNS, bob.id)["public_key"] == OWN


@pytest.mark.parametrize("setting", ["refuse", "accept"])
def test_who_ever_signed_does_not_speak_unsigned(
    relay: Relay, authority_db: psycopg.Connection, setting: str
) -> None:
    authority_db.execute("select centralcloud.configure(%s)", [Jsonb({"unsigned_messages": setting})])
    ann, old = Speaker(1), Speaker(2)
    assert tell(relay, OWN, ann.says(ann.holds())) == ["stored"]
    assert tell(relay, None, ann.says(ann.holds("b"))) == []
    assert ask(relay, None, hello(ann)) is None
    assert tell(relay, None, old.says(old.holds("old"))) == (["stored"] if setting == "accept" else [])
    told = [
        one for one in value(authority_db, "select troubles from centralcloud.status()") if "accepted" in one
    ]
    assert len(told) == (1 if setting == "accept" else 0)
    assert tell(relay, OTHER, old.says(old.holds("new"))) == ["stored"]
    assert tell(relay, None, old.says(old.holds("older"))) == []


def test_where_enrolment_is_required_a_curator_decides(
    relay: Relay, authority_db: psycopg.Connection
) -> None:
    settings = Jsonb({"enrolment": "required", "unsigned_messages": "accept"})
    assert value(authority_db, "select enrolment from centralcloud.status()") == "open"
    authority_db.execute("select centralcloud.configure(%s)", [settings])
    ann = Speaker(1)
    for signer in (OWN, None):
        assert tell(relay, signer, ann.says(ann.holds())) == []
        assert ask(relay, signer, hello(ann)) is None
    assert rejections(relay) == {"unknown": 4}
    assert rows(relay.connection, "select from centralcloud.instance") == []
    enroll = "select centralcloud.enroll(%s, %s, 'lab', 'ann')"
    authority_db.execute(enroll, [ann.id, OWN])
    assert tell(relay, OWN, ann.says(ann.holds(), instance_name="ann herself")) == ["stored"]
    found = row(authority_db, "select group_name, enrolled_by from centralcloud.instance")
    assert found == {"group_name": "lab", "enrolled_by": authority_db.info.user}
    assert value(authority_db, "select enrolment from centralcloud.status()") == "required"


def test_a_broker_beyond_this_machine_requires_enrolment(
    relay: Relay, authority_db: psycopg.Connection
) -> None:
    ann = Speaker(1)
    relay.tick(remote=True)
    assert value(authority_db, "select enrolment from centralcloud.status()") == "required"
    assert ask(relay, OWN, hello(ann)) is None
    authority_db.execute("select centralcloud.configure(%s)", [Jsonb({"enrolment": "open"})])
    told = relay.tick(remote=True)["troubles"]
    assert [one for one in told if "enroll()" in one and "believed" in one]
    assert ask(relay, OWN, hello(ann))
    authority_db.execute("select centralcloud.configure(%s)", [Jsonb({"enrolment": None})])
    assert relay.tick(remote=False)["troubles"] == [one for one in told if "believed" not in one]
    assert ask(relay, OTHER, hello(Speaker(2)))


@pytest.mark.parametrize(
    "key", [None, "", "U", OWN.lower(), OWN + "A", OWN[:-1] + "1", "S" + OWN[1:], OWN + "\n"]
)
def test_what_is_no_key_is_refused(
    authority_db: psycopg.Connection, instance: Database, key: str | None
) -> None:
    with refused("22023", "is not a public key", hint="56 characters"):
        authority_db.execute("select centralcloud.enroll(%s, %s)", [Speaker(1).id, key])
    if key is not None:
        with instance.connect() as connection, refused("22023", "is not a public key", hint="56 characters"):
            connection.execute("select singularity.trust_authority(%s)", [key])


def test_a_new_key_is_announced_by_the_present_one(relay: Relay) -> None:
    ann = Speaker(1)
    ask(relay, OWN, hello(ann))
    assert ask(relay, OWN, hello(ann, public_key=NEW))["public_key"] == NEW
    # what was under way, and a hello whose welcome was lost
    assert tell(relay, OWN, ann.says(ann.holds())) == ["stored"]
    assert ask(relay, OWN, hello(ann, public_key=NEW))["public_key"] == NEW
    # who has stolen the former one cannot take the name with it
    assert ask(relay, OWN, hello(ann, public_key=OTHER))["public_key"] == NEW
    assert tell(relay, NEW, ann.says(ann.holds("b"))) == ["stored"]
    assert row(relay.connection, COLUMNS, ann.id) == {"public_key": NEW, "former_key": None}
    assert tell(relay, OWN, ann.says(ann.holds("c"))) == []


@pytest.mark.parametrize("announced", [None, 1, "", "U", {"a": 1}, "x" * 100_000])
def test_what_is_announced_and_no_key_changes_none(relay: Relay, announced: Any) -> None:
    ann = Speaker(1)
    ask(relay, OWN, hello(ann))
    assert ask(relay, OWN, hello(ann, public_key=announced))["public_key"] == OWN
    assert row(relay.connection, COLUMNS, ann.id) == {"public_key": OWN, "former_key": None}


def test_a_curator_replaces_a_stolen_key(relay: Relay, authority_db: psycopg.Connection) -> None:
    ann = Speaker(1)
    ask(relay, OWN, hello(ann))
    ask(relay, OWN, hello(ann, public_key=OTHER))  # the thief's
    authority_db.execute("select centralcloud.enroll(%s, %s)", [ann.id, NEW])
    for stolen in (OWN, OTHER):
        assert ask(relay, stolen, hello(ann)) is None
    assert tell(relay, NEW, ann.says(ann.holds())) == ["stored"]


@pytest.mark.parametrize("keep", [True, False])
def test_who_is_retired_is_not_heard_and_its_outcomes_do_not_count(
    relay: Relay, authority_db: psycopg.Connection, keep: bool
) -> None:
    ann, bob = Speaker(1), Speaker(2)
    tell(relay, OWN, ann.says(ann.holds("a"), ann.used(9)))
    tell(relay, OTHER, bob.says(bob.holds("b"), bob.used(1, content="b")))
    retire = "select centralcloud.retire_instance(%s, %s, 'lost')"
    assert value(authority_db, retire, ann.id, keep) is True
    assert value(authority_db, retire, ann.id, keep) is False
    assert tell(relay, OWN, ann.says(ann.holds("c"))) == []
    assert ask(relay, OWN, ann.asks("ask", query="a")) is None
    assert rejections(relay) == {"retired": 2}
    relay.tick()
    variants = "from centralcloud.variant where content is not null order by 1"
    known = f"select content #>> '{{}}' as content, uses::int {variants}"
    found = rows(authority_db, known)
    assert found == [*([{"content": "a", "uses": 0}] if keep else []), {"content": "b", "uses": 1}]
    authority_db.execute("select centralcloud.enroll(%s, %s)", [ann.id, OWN])
    assert tell(relay, OWN, ann.says(ann.holds("a"))) == ["stored"]
    relay.tick()
    assert rows(authority_db, known) == [{"content": "a", "uses": 9}, {"content": "b", "uses": 1}]


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "singularity.heads",
        "singularity.inbox.{other}.x",
        "singularity.inbox.{me}",
        "x.singularity.inbox.{me}.x",
    ],
)
def test_an_answer_goes_into_the_inbox_of_who_asks(relay: Relay, reply: str) -> None:
    ann = Speaker(1)
    ask(relay, OWN, hello(ann))
    where = reply.format(me=ann.id, other=Speaker(2).id)
    assert ask(relay, OWN, ann.asks("ask", query="a"), reply=where) is None
    assert rejections(relay) == {"inbox": 1}


def test_nothing_of_what_is_dropped_stays(relay: Relay, authority_db: psycopg.Connection) -> None:
    ann = Speaker(1)
    tell(relay, OWN, ann.says(ann.holds()))
    for number in range(300):
        tell(relay, OTHER, ann.raw("contribute", b"%d" % number))
        tell(relay, None, Speaker(100 + number).raw("contribute", b"{"))
    assert rejections(relay) == {"key": 300, "unsigned": 300}
    assert value(authority_db, "select dead_letters from centralcloud.status()") == 0
    assert value(authority_db, "select rejections::int from centralcloud.status()") == 600
    assert value(authority_db, "select count(*) from centralcloud.instance") == 1


def answer(instance: Instance, signer: str | None, **changes: Any) -> None:
    """Let a reply to the instance's hello arrive."""
    (message,) = instance.relay.take("sync")
    body = {"v": 1, "type": "welcome", "request": message.body["request"], "epoch": "e", "known_version": 0}
    payload = json.dumps({**body, "heads": {}, **changes}).encode()
    instance.relay.result(message, ok=True, reply=encode(payload), signer=signer)


def encode(payload: bytes) -> str:
    """Return bytes as a bridge reports them."""
    return base64.b64encode(payload).decode()


@pytest.fixture
def here(instance: Database) -> Iterator[Instance]:
    """Connect an instance that was never welcomed."""
    one = Instance(instance)
    one.call("connect")
    one.relay.tick()
    yield one
    one.close()


def test_who_welcomes_first_is_the_authority(here: Instance) -> None:
    tell(here.relay, OTHER, Message("singularity.heads", b'{"v": 1, "type": "heads", "epoch": "x"}'))
    assert not here.status()["online"]
    answer(here, AUTHORITY_KEY)
    assert here.status()["authority_key"] == AUTHORITY_KEY
    assert here.status()["online"]


@pytest.mark.parametrize("signer", [None, OTHER])
def test_another_welcome_than_the_trusted_one_s_is_none(here: Instance, signer: str | None) -> None:
    here.call("trust_authority", public_key=AUTHORITY_KEY)
    here.call("configure", settings={"unsigned_messages": "accept"})
    answer(here, signer)
    assert not here.status()["online"]
    assert rejections(here) == {"unsigned" if signer is None else "key": 1}
    assert here.status()["dead_letters"] == 0


def test_a_reply_answers_one_request(here: Instance) -> None:
    answer(here, AUTHORITY_KEY, request="another")
    assert here.status()["authority_key"] is None
    assert not here.status()["online"]
    assert rejections(here) == {"request": 1}


def test_a_message_comes_on_the_subject_of_its_type(here: Instance) -> None:
    """The authority's own words, carried elsewhere by whoever could make it say them there."""
    answer(here, AUTHORITY_KEY)
    me, other = here.status()["instance_id"], Speaker(9).id
    epoch: dict[str, Any] = {"v": 1, "epoch": "e"}
    wrong: list[tuple[str, dict[str, Any]]] = [
        (f"singularity.receipt.{me}", {"type": "heads", "heads": {"default/k": 7}}),
        (f"singularity.receipt.{me}", {"type": "refined", "namespace": "default", "kind": "k", "rows": []}),
        (f"singularity.receipt.{me}", {"type": "key", "public_key": OTHER}),
        (f"singularity.receipt.{other}", {"type": "receipt", "records": [], "heads": {}}),
        ("singularity.heads", {"type": "receipt", "records": [], "heads": {"default/k": 7}}),
        (
            "singularity.refined.default.k",
            {"type": "refined", "namespace": "default", "kind": "l", "rows": []},
        ),
        ("singularity.refined.default.k", {"type": "heads", "heads": {}}),
        ("singularity", {"type": "heads", "heads": {}}),
    ]
    messages = [Message(subject, json.dumps(epoch | body).encode()) for subject, body in wrong]
    tell(here.relay, AUTHORITY_KEY, *messages)
    for message in messages:
        tell(here.relay, AUTHORITY_KEY, message)
    assert rejections(here) == {"subject": 2 * len(wrong)}
    assert here.status()["dead_letters"] == 0
    assert here.status()["authority_key"] == AUTHORITY_KEY
    assert rows(here.connection, "select from singularity.topic") == []


def test_until_all_are_upgraded_unsigned_messages_may_be_accepted(here: Instance) -> None:
    heads = Message("singularity.heads", b'{"v": 1, "type": "heads", "epoch": "e", "heads": {}}')
    tell(here.relay, None, heads)
    assert not here.status()["online"]
    here.call("configure", settings={"unsigned_messages": "accept"})
    assert any("without a signature are accepted" in one for one in here.status()["troubles"])
    tell(here.relay, None, heads)
    assert here.status()["online"]
    # the NATS server says this unsigned as well
    before = rejections(here).get("subject", 0)
    subject = f"singularity.receipt.{here.status()['instance_id']}"
    for payload in (b'{"stream": "s", "seq": 1}', b"", b"x", b'{"type": "io.nats.jetstream.api.v1", "v": 2}'):
        tell(here.relay, None, Message(subject, payload))
    assert rejections(here)["subject"] == before + 4
    assert here.status()["dead_letters"] == 0
    answer(here, None)
    assert here.status()["authority_key"] is None
    with here.owner.transaction():  # as if that was a while ago
        here.owner.execute(
            "update singularity.authority set hello_sent_at = hello_sent_at - interval '1 minute'"
        )
    here.relay.take("sync")
    tell(here.relay, AUTHORITY_KEY, heads)
    answer(here, AUTHORITY_KEY)
    assert here.status()["authority_key"] == AUTHORITY_KEY
    tell(here.relay, None, heads)
    assert rejections(here)["unsigned"] == 2


def test_a_new_key_of_the_authority_is_known_from_its_old_one(here: Instance) -> None:
    answer(here, AUTHORITY_KEY)

    def key(new: Any) -> Message:
        return Message("singularity.heads", json.dumps({"v": 1, "type": "key", "public_key": new}).encode())

    tell(here.relay, OTHER, key(OTHER))
    invalid: list[Any] = ["", "U", None, 7, {}]
    for wrong in invalid:
        tell(here.relay, AUTHORITY_KEY, key(wrong))
    assert here.status()["authority_key"] == AUTHORITY_KEY
    tell(here.relay, AUTHORITY_KEY, key(NEW))
    assert here.status()["authority_key"] == NEW
    counted = rejections(here)
    tell(here.relay, AUTHORITY_KEY, key(NEW))  # for those who were away
    tell(here.relay, AUTHORITY_KEY, key(OTHER))
    assert here.status()["authority_key"] == NEW
    assert rejections(here) == {**counted, "key": 1}


def test_a_copy_that_is_another_instance_has_another_key(here: Instance) -> None:
    """The database that it is a copy of has the key too."""
    keys = "select signing_key_id from singularity.signing_key"
    (before,) = rows(here.owner, keys)
    here.call("reidentify")
    (after,) = rows(here.owner, keys)
    assert after["signing_key_id"] > before["signing_key_id"]


def test_an_instance_that_was_heard_before_the_upgrade_is_not_unknown(
    relay: Relay, authority_db: psycopg.Connection
) -> None:
    """It has no key that could be enrolled, and speaks while older versions may."""
    ann, bob = Speaker(1), Speaker(2)
    authority_db.execute("select centralcloud.configure(%s)", [Jsonb({"unsigned_messages": "accept"})])
    assert tell(relay, None, ann.says(ann.holds("x"))) == ["stored"]
    authority_db.execute("select centralcloud.configure(%s)", [Jsonb({"enrolment": "required"})])
    assert tell(relay, None, ann.says(ann.holds("y"))) == ["stored"]
    assert tell(relay, None, bob.says(bob.holds("x"))) == []
    assert tell(relay, OWN, ann.says(ann.holds("z"))) == []


def test_a_key_is_changed_once_at_a_time(authority: Database, instance: Database) -> None:
    there, one = Authority(authority), Instance(instance)
    one.call("connect")
    one.relay.tick(public_keys=keys(one))
    settle(there, one)
    one.call("rotate_key")
    with refused("55000", "not taken the last new key", hint="rotate_key"):
        one.call("rotate_key")
    one.relay.tick(public_keys=keys(one))
    assert len(keys(one)) == 2
    one.call("rotate_key", announced=False)
    assert len(keys(one)) == 1
    there.close()
    one.close()


def keys(instance: Instance) -> dict[str, str]:
    """Return what a bridge would report of the keys that there are."""
    found = rows(instance.relay.connection, "select * from singularity.bridge_signing_keys()")
    assert all(len(one["seed"]) == 32 for one in found)
    assert len({bytes(one["seed"]) for one in found}) == len(found)
    return {str(one["signing_key_id"]): key_of(bytes(one["seed"]).hex()) for one in found}
