"""The bridge's side: one bridge speaks, the doorbell, messages that cannot be applied."""

import json
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb
from tests.kit.instance_relay import EPOCH, InstanceRelay, receipt_for
from tests.kit.keys import meta_of
from tests.kit.session import Open, Session

from singularity_lab import Database, wait_until

HEADS = {"v": 1, "type": "heads", "epoch": EPOCH, "heads": {}, "stream_created": None, "stream_passed": None}


def rung(session: Session, seconds: float = 0.3) -> int:
    """Return how often the bell has rung."""
    return len(list(session.connection.notifies(timeout=seconds, stop_after=10)))


class TestAttaching:
    def test_one_bridge_speaks_and_another_stands_by(
        self, instance: Database, open_session: Open, relay: InstanceRelay
    ) -> None:
        attached = relay.attach()
        assert attached["attached"]
        assert attached["plan"] == relay.plan()
        second = InstanceRelay(open_session(instance.relay))
        pid = relay.session.connection.info.backend_pid
        refused = second.attach()
        assert (refused["attached"], refused["holder"]) == (False, pid)
        assert refused["who"].startswith(
            f"process {pid}: no name, user {instance.relay}, from this machine, since "
        )
        relay.detach()
        assert second.attach()["attached"]

    def test_a_bridge_that_died_gives_its_place_free(
        self, instance: Database, open_session: Open, relay: InstanceRelay
    ) -> None:
        relay.attach()
        second = InstanceRelay(open_session(instance.relay))
        relay.session.connection.close()
        assert wait_until(lambda: second.attach()["attached"], message="the place to be free")

    def test_bridges_of_two_databases_do_not_mind_each_other(
        self, relay: InstanceRelay, steady_database: Database
    ) -> None:
        assert relay.attach()["attached"]
        with steady_database.connect(steady_database.relay) as other:
            assert wait_until(
                lambda: InstanceRelay(Session(other)).attach()["attached"], message="the other database"
            )

    @pytest.mark.parametrize("protocol", [0, 2, None])
    def test_another_protocol_is_refused(self, db: Session, relay: InstanceRelay, protocol: Any) -> None:
        with pytest.raises(psycopg.Error) as caught:
            relay.attach("9.9.9", protocol)
        assert caught.value.sqlstate == "SGV01"
        version = db.status()["extension_version"]
        speaks = "" if protocol is None else f" {protocol}"
        assert f"bridge 9.9.9 speaks protocol{speaks}" in str(caught.value.diag.message_primary)
        assert f"singularity {version} speaks protocol 1" in str(caught.value.diag.message_primary)
        assert "ALTER EXTENSION singularity UPDATE" in str(caught.value.diag.message_hint)
        assert relay.attach()["attached"]

    def test_status_follows_the_bridge(self, db: Session, relay: InstanceRelay) -> None:
        assert db.status()["bridge_version"] is None
        relay.attach("1.2.3")
        status = db.status()
        assert (status["bridge_version"], status["online"]) == ("1.2.3", False)
        seen = status["bridge_seen_at"]
        relay.tick(bridge_version="1.2.3", connected=False)
        assert db.status()["bridge_seen_at"] > seen
        relay.detach()
        assert db.status()["bridge_seen_at"] is None

    def test_the_plan_says_what_the_bridge_is_to_have(self, db: Session, relay: InstanceRelay) -> None:
        db.call("configure", instance_name="laptop")
        me = str(db.status()["instance_id"])
        plan = relay.attach()["plan"]
        assert (plan["extension"], plan["protocol"], plan["service"]) == ("singularity", 1, None)
        assert plan["version"] == db.status()["extension_version"]
        assert plan["client_name"] == "singularity/laptop"
        assert me in plan["inbox_prefix"]
        assert plan["subscriptions"] == [f"singularity.receipt.{me}", "singularity.heads"]
        assert [queue["name"] for queue in plan["queues"]] == ["question", "sync", "contribution"]
        assert all(not stream["create"] for stream in plan["streams"])

    def test_the_prefix_of_all_subjects_can_be_changed(self, db: Session, relay: InstanceRelay) -> None:
        db.call("configure", settings={"subject_prefix": "acme"})
        db.call("connect")
        relay.attach()
        relay.go_online()
        plan = relay.plan()
        subjects = [*plan["subscriptions"], plan["inbox_prefix"], plan["streams"][0]["name"]]
        db.learn("thing")
        db.ask("zebra")
        for queue in ("question", "sync", "contribution"):
            subjects += [message.subject for message in relay.take(queue)]
        assert len(subjects) == 7
        assert all(subject.startswith(("acme.", "acme_")) for subject in subjects)

    def test_a_bridge_s_requests_are_not_served_by_an_instance(self, relay: InstanceRelay) -> None:
        with pytest.raises(psycopg.errors.FeatureNotSupported, match=r"one came on singularity\.x"):
            relay.session.run("select singularity.bridge_serve('singularity.x', ''::bytea)")


class TestDoorbell:
    @pytest.fixture
    def bell(self, db: Session, online: InstanceRelay) -> Session:
        """Listen like a bridge that has nothing to do and sleeps."""
        for hello in online.take("sync"):
            online.respond(hello, "welcome", known_version=0, heads={})
        db.learn("thing")
        online.send_all()
        online.session.run(f"listen {online.plan()['bell']}")
        assert online.arm() == []
        return online.session

    @pytest.mark.parametrize("isolation", ["read committed", "repeatable read", "serializable"])
    @pytest.mark.parametrize("write", ["learn", "outcome", "ask", "lookup", "recall"])
    def test_the_first_write_wakes_the_bridge(
        self, db: Session, bell: Session, isolation: str, write: str
    ) -> None:
        db.begin(isolation)
        match write:
            case "learn":
                db.learn("another")
            case "outcome":
                db.outcome("thing")
            case "ask":
                db.ask("zebra")
            case "lookup":
                db.lookup("nothing")
            case "recall":
                db.recall("zebra")
        db.commit()
        assert rung(bell, 5) >= 1 if isolation == "read committed" else rung(bell) >= 1

    def test_the_bell_rings_once_until_it_is_armed_again(
        self, db: Session, online: InstanceRelay, bell: Session
    ) -> None:
        for number in range(5):
            db.learn("thing", number)
        assert rung(bell) == 1
        assert online.arm() == ["contribution"]
        db.learn("thing", "more")
        assert rung(bell) == 0
        online.send_all()
        assert online.arm() == []
        db.learn("thing", "again")
        assert rung(bell) == 1

    def test_a_rolled_back_write_rings_nothing(self, db: Session, bell: Session) -> None:
        db.begin()
        db.learn("thing", "changed")
        db.rollback()
        assert rung(bell) == 0
        db.learn("thing", "changed")
        assert rung(bell) == 1

    def test_what_changes_nothing_rings_nothing(self, db: Session, bell: Session) -> None:
        db.learn("thing")
        db.learn("private", shared=False)
        assert db.lookup("thing") is not None
        assert rung(bell) == 0

    def test_a_first_writer_that_stays_open_holds_up_nobody(
        self, db: Session, other: Session, online: InstanceRelay, bell: Session
    ) -> None:
        db.begin()
        db.learn("first")
        other.learn("second")
        assert [record["name"] for record in online.send_all()] == ["second"]
        assert online.arm() == []
        db.commit()
        assert rung(bell) == 1
        assert [record["name"] for record in online.send_all()] == ["first"]

    def test_in_mode_local_nobody_is_woken(self, db: Session, relay: InstanceRelay) -> None:
        relay.attach()
        relay.tick()
        relay.session.run("listen singularity_bell")
        assert relay.arm() == []
        db.learn("thing")
        db.outcome("thing")
        db.lookup("nothing")
        assert rung(relay.session) == 0


class TestQueues:
    def test_each_queue_says_whether_it_has_work(self, db: Session, online: InstanceRelay) -> None:
        assert online.arm() == ["sync"]
        (hello,) = online.take("sync")
        online.respond(hello, "welcome", known_version=0, heads={})
        assert online.arm() == []
        db.ask("zebra")
        assert online.arm() == ["question"]
        db.learn("thing")
        assert online.arm() == ["question", "contribution"]
        online.take("question")
        online.send_all()
        assert online.arm() == []
        db.outcome("thing")
        assert online.arm() == ["contribution"]

    def test_nothing_is_to_do_without_nats(self, db: Session, offline: InstanceRelay) -> None:
        db.learn("thing")
        assert offline.arm() == []

    def test_questions_are_never_behind_a_backlog(self, db: Session, online: InstanceRelay) -> None:
        db.learn_many([{"kind": "fact", "name": f"{n}", "content": n} for n in range(1000)])
        db.ask("zebra")
        assert online.question().body["query"] == "zebra"


class TestDeadLetters:
    BAD = (
        (b"\xff\xfe", "22021"),
        (b"no json", "22P02"),
        (b"[]", "22023"),
        (b"{}", "22023"),
        (b'{"v": 1}', "22023"),
        (json.dumps({**HEADS, "v": 2}).encode(), "0A000"),
        (json.dumps({**HEADS, "type": "nonesuch"}).encode(), "0A000"),
    )

    def test_what_cannot_be_applied_is_kept_with_its_error(self, db: Session, online: InstanceRelay) -> None:
        db.call("follow", kind="pattern")
        online.tick()
        for payload, _ in self.BAD:
            assert online.receive("singularity.heads", payload) == []
        letters = db.rows("select * from singularity.dead_letter order by dead_letter_id")
        assert [bytes(letter["payload"]) for letter in letters] == [payload for payload, _ in self.BAD]
        for letter, (_, sqlstate) in zip(letters, self.BAD, strict=True):
            assert letter["error_code"] == sqlstate or not sqlstate
            assert letter["error"]
            assert letter["subject"] == "singularity.heads"
        assert db.status()["dead_letters"] == len(self.BAD)

    def test_the_same_message_again_is_the_same_letter(self, db: Session, online: InstanceRelay) -> None:
        for _ in range(3):
            online.receive("singularity.heads", b"bad")
        assert db.status()["dead_letters"] == 1

    def test_one_bad_message_stops_no_other(self, db: Session, online: InstanceRelay) -> None:
        db.learn("one")
        db.learn("two")
        records = [record for message in online.contributions() for record in message.records]
        payloads = [
            json.dumps(
                {"v": 1, "type": "receipt", "epoch": EPOCH, "records": [receipt_for(records[0])]}
            ).encode(),
            b"bad",
            json.dumps(
                {"v": 1, "type": "receipt", "epoch": EPOCH, "records": [receipt_for(records[1])]}
            ).encode(),
        ]
        subject = f"singularity.receipt.{db.status()['instance_id']}"
        online.session.call(
            "bridge_receive",
            subjects=[subject] * 3,
            payloads=payloads,
            meta=[Jsonb(meta_of(subject))] * 3,
        )
        assert db.outbox() == []
        assert db.status()["dead_letters"] == 1

    def test_unknown_fields_are_ignored(self, db: Session, online: InstanceRelay) -> None:
        online.receive("singularity.heads", {**HEADS, "new": {"field": 1}})
        assert db.status()["dead_letters"] == 0

    def test_they_can_be_tried_again(self, db: Session, online: InstanceRelay, owner: Session) -> None:
        db.learn("thing")
        (message,) = online.contributions()
        receipt = {
            "type": "receipt",
            "epoch": EPOCH,
            "records": [receipt_for(message.records[0])],
            "heads": {},
        }
        subject = f"singularity.receipt.{db.status()['instance_id']}"
        online.receive(subject, {**receipt, "v": 2})
        online.receive("singularity.heads", b"bad")
        assert db.status()["dead_letters"] == 2
        assert db.value("select singularity.replay_dead_letters()") == 0
        assert db.status()["dead_letters"] == 2
        mended = json.dumps({**receipt, "v": 1}).encode()
        owner.run("update singularity.dead_letter set payload = %s where error_code = '0A000'", [mended])
        assert db.value("select singularity.replay_dead_letters()") == 1
        assert db.status()["dead_letters"] == 1
        assert db.outbox() == []

    def test_trouble_of_the_server_is_not_the_message_s(
        self, db: Session, online: InstanceRelay, owner: Session
    ) -> None:
        """A message that meets a lock, a full disk or a shutdown is tried again, not put aside."""
        db.learn("thing")
        (message,) = online.contributions()
        owner.begin()
        owner.run("lock table singularity.delivery")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            online.confirm(message)
        owner.rollback()
        assert db.status()["dead_letters"] == 0
        online.confirm(message)
        assert db.outbox() == []
