"""The central connection: modes, backfill, hello, topics that are followed, refined knowledge."""

from typing import Any

import pytest
from tests.kit.identity import variant_of
from tests.kit.instance_relay import EPOCH, InstanceRelay, receipt_for, refined
from tests.kit.message import Message
from tests.kit.queries import Row
from tests.kit.session import Open, Session, refused

from singularity_lab import Lab

TOPIC = "default/pattern"
SUBJECT = "singularity.refined.default.pattern"


def pushed(relay: InstanceRelay, *rows: Row, after: int, to: int, epoch: str = EPOCH) -> None:
    """Let a push of refined knowledge arrive."""
    body = {
        "type": "refined",
        "epoch": epoch,
        "namespace": "default",
        "kind": "pattern",
        "from": after,
        "to": to,
    }
    relay.receive(SUBJECT, {**body, "rows": list(rows)})


def page(relay: InstanceRelay, request: Message, *rows: Row, to: int, head: int) -> None:
    """Let a page of changes arrive."""
    topic = {"namespace": "default", "kind": "pattern"}
    relay.respond(
        request, "changes", **topic, **{"from": request.body["after"], "to": to}, head=head, rows=list(rows)
    )


def requests(relay: InstanceRelay, kind: str) -> list[Message]:
    """Take the requests of the queue sync of one kind."""
    return [message for message in relay.take("sync") if message.body["type"] == kind]


def position(db: Session) -> tuple[int, int]:
    """Return position and head of the topic."""
    row = db.row(
        "select position, head from singularity.topic where namespace = 'default' and kind = 'pattern'"
    )
    return row["position"], row["head"]


class TestModes:
    def test_a_new_database_is_alone(self, db: Session, relay: InstanceRelay) -> None:
        assert db.status()["mode"] == "local"
        assert relay.attach()["plan"]["speaking"] is False

    @pytest.mark.parametrize("mode", ["hybrid", "central"])
    def test_connect_makes_the_bridge_speak(self, db: Session, relay: InstanceRelay, mode: str) -> None:
        db.call("connect", mode=mode)
        assert db.status()["mode"] == mode
        assert relay.attach()["plan"]["speaking"] is True

    def test_hybrid_is_the_default(self, db: Session) -> None:
        db.call("connect")
        assert db.status()["mode"] == "hybrid"

    def test_the_bridge_learns_of_a_change_by_the_plan(self, db: Session, relay: InstanceRelay) -> None:
        revision = relay.attach()["plan"]["revision"]
        assert relay.tick(connected=False)["plan_revision"] == revision
        db.call("connect")
        assert relay.tick(connected=False)["plan_revision"] != revision
        db.call("disconnect")
        assert relay.tick(connected=False)["plan_revision"] == revision

    def test_connecting_without_a_bridge_works_and_status_says_so(self, db: Session) -> None:
        db.learn("thing")
        db.call("connect")
        status = db.status()
        assert (status["mode"], status["online"], status["bridge_seen_at"]) == ("hybrid", False, None)
        assert status["outbox_entries"] == 1

    def test_connecting_again_changes_nothing(self, db: Session) -> None:
        db.learn("thing")
        db.call("connect")
        outbox, identity = db.outbox(), db.row("select * from singularity.identity")
        db.call("connect")
        assert (db.outbox(), db.row("select * from singularity.identity")) == (outbox, identity)

    def test_the_instance_keeps_its_id(self, db: Session) -> None:
        before = db.status()["instance_id"]
        db.call("connect")
        assert db.status()["instance_id"] == before
        db.call("disconnect")
        assert db.status()["instance_id"] == before

    @pytest.mark.parametrize("mode", ["remote", "", "HYBRID", None])
    def test_an_unknown_mode_is_refused_with_a_list(self, steady: Session, mode: str | None) -> None:
        named = "NULL" if mode is None else f"'{mode}'"
        listed = "Modes are: local (alone), hybrid (local first, the authority on a miss), central"
        with refused(steady, "22023", f"there is no mode {named}", listed):
            steady.call("connect", mode=mode)


class TestBackfill:
    def test_everything_shared_that_was_learned_before_is_queued(
        self, db: Session, relay: InstanceRelay
    ) -> None:
        db.learn_many([{"kind": "fact", "name": f"{n}", "content": n} for n in range(500)])
        db.learn("private", shared=False)
        db.learn("changed", "old")
        db.learn("changed", "new")
        db.learn("forgotten")
        db.forget("forgotten")
        db.learn("erased")
        db.forget("erased", everywhere=True)
        db.outcome("changed")
        db.run("call singularity.maintain()")
        db.outcome("changed", False)
        assert db.outbox() == []
        db.call("connect")
        relay.attach()
        relay.go_online()
        sent = relay.send_all()
        names = sorted(record["name"] for record in sent if record["record_type"] == "holding")
        assert names == sorted([*(f"{n}" for n in range(500)), "changed"])
        (evidence,) = (record for record in sent if record["record_type"] == "evidence")
        assert (evidence["name"], evidence["uses"], evidence["successes"]) == ("changed", 2, 1)
        (changed,) = (
            record for record in sent if record["name"] == "changed" and record["record_type"] == "holding"
        )
        assert changed["content"] == "new"
        assert db.outbox() == []

    def test_only_what_is_not_confirmed_is_queued_again(self, db: Session, online: InstanceRelay) -> None:
        db.learn("confirmed")
        online.send_all()
        db.learn("under way")
        online.contributions()
        db.call("disconnect")
        db.learn("later")
        db.outcome("confirmed")
        online.tick()
        db.call("connect")
        waiting = db.rows(
            "select distinct h.name, e.record_type from singularity.outbox_entries as e "
            "join singularity.holding as h using (artifact_id) order by 1"
        )
        assert [(row["name"], row["record_type"]) for row in waiting] == [
            ("confirmed", "evidence"),
            ("later", "holding"),
            ("under way", "holding"),
        ]

    def test_disconnecting_loses_nothing(self, db: Session, online: InstanceRelay) -> None:
        db.learn("waiting")
        db.ask("zebra")
        online.answer(online.question(), refined("zebra"))
        db.call("disconnect")
        assert db.status()["outbox_entries"] == 1
        assert db.known("zebra")["origin"] == "central"
        assert not db.status()["online"]
        assert db.ask("something else") is None
        assert online.arm() == []
        db.call("connect")
        online.go_online()
        assert [record["name"] for record in online.send_all()] == ["waiting"]

    @pytest.mark.parametrize("isolation", ["read committed", "repeatable read", "serializable"])
    def test_what_was_open_during_connect_is_queued_when_it_ends(
        self, db: Session, other: Session, relay: InstanceRelay, isolation: str
    ) -> None:
        other.begin(isolation)
        other.learn("open")
        db.call("connect")
        relay.attach()
        relay.go_online()
        relay.tick()
        assert relay.contributions() == []
        other.commit()
        relay.tick()
        assert [record["name"] for record in relay.send_all()] == ["open"]

    def test_what_a_snapshot_from_before_connect_still_takes_for_local_is_queued_too(
        self, db: Session, other: Session, relay: InstanceRelay
    ) -> None:
        """Its transaction has no number yet when connect() commits."""
        other.begin("repeatable read")
        assert other.lookup("anything") is None
        db.call("connect")
        relay.attach()
        relay.go_online()
        relay.tick()
        other.learn("late")
        other.commit()
        relay.tick()
        assert [record["name"] for record in relay.send_all()] == ["late"]

    def test_what_was_prepared_for_two_phases_is_queued_when_it_is_committed(self, lab: Lab) -> None:
        cluster = lab.cluster(fsync=False, settings={"max_prepared_transactions": "2"})
        instance = lab.instance(cluster=cluster)
        with instance.connect() as connection, instance.connect(instance.relay) as bridge:
            db, relay = Session(connection), InstanceRelay(Session(bridge))
            db.begin()
            db.learn("prepared")
            db.run("prepare transaction 'learning'")
            db.call("connect")
            relay.attach()
            relay.go_online()
            relay.tick()
            db.run("commit prepared 'learning'")
            relay.tick()
            assert [record["name"] for record in relay.send_all()] == ["prepared"]

    def test_what_was_open_and_is_rolled_back_is_never_queued(
        self, db: Session, other: Session, relay: InstanceRelay
    ) -> None:
        other.begin()
        other.learn("open")
        db.call("connect")
        relay.attach()
        relay.go_online()
        other.rollback()
        relay.tick()
        assert db.outbox() == []
        assert db.value("select backfill_after is null from singularity.authority")

    def test_a_rolled_back_connect_is_none(self, db: Session) -> None:
        db.learn("thing")
        before = db.contents()
        db.begin()
        db.call("connect")
        assert db.status()["outbox_entries"] == 1
        db.rollback()
        assert db.contents() == before
        assert db.status()["mode"] == "local"

    def test_a_bridge_that_takes_over_queues_what_is_missing(
        self, db: Session, offline: InstanceRelay, owner: Session
    ) -> None:
        db.learn("thing")
        owner.run("delete from singularity.outbox")
        offline.detach()
        offline.attach()
        assert len(db.outbox()) == 1


class TestHello:
    def test_it_is_said_to_each_new_connection(
        self, db: Session, offline: InstanceRelay, owner: Session
    ) -> None:
        db.call("configure", instance_name="laptop", environment="prod")
        db.learn("thing")
        offline.tick()
        assert offline.arm() == ["sync", "contribution"]
        (hello,) = offline.take("sync")
        me = str(db.status()["instance_id"])
        incarnation = db.value("select incarnation::text from singularity.identity")
        assert (hello.via, hello.subject) == ("request", f"singularity.centralcloud.hello.{me}")
        assert hello.body == {
            "v": 1,
            "type": "hello",
            "instance": me,
            "request": hello.message_id.removeprefix("hello:"),
            "public_key": None,
            "seals": True,
            "session": owner.value("select session_id::text from singularity.authority"),
            "instance_name": "laptop",
            "environment": "prod",
            "incarnation": incarnation,
            "extension_version": db.status()["extension_version"],
            "greatest_version": owner.value("select last_value from singularity.version"),
        }
        assert offline.take("sync") == []
        offline.respond(hello, "welcome", known_version=0, heads={})
        assert offline.arm() == ["contribution"]
        offline.tick(connected=False)
        offline.tick()
        assert len(requests(offline, "hello")) == 1

    def test_it_is_said_to_a_connection_that_followed_at_once(
        self, db: Session, offline: InstanceRelay
    ) -> None:
        """No report between two connections need say that there was none."""
        offline.tick(connection="first")
        offline.welcome()
        offline.tick(connection="first")
        assert requests(offline, "hello") == []
        offline.tick(connection="second")
        assert len(requests(offline, "hello")) == 1

    def test_it_is_said_again_until_it_is_answered(
        self, db: Session, offline: InstanceRelay, owner: Session
    ) -> None:
        offline.tick()
        assert len(requests(offline, "hello")) == 1
        assert requests(offline, "hello") == []
        owner.run("update singularity.bridge_state set connected_at = connected_at - interval '3 seconds'")
        owner.run("update singularity.authority set hello_sent_at = hello_sent_at - interval '3 seconds'")
        assert len(requests(offline, "hello")) == 1

    def test_it_is_said_to_a_new_epoch(self, db: Session, online: InstanceRelay, owner: Session) -> None:
        (hello,) = requests(online, "hello")
        online.respond(hello, "welcome", known_version=0, heads={})
        online.heads()
        assert requests(online, "hello") == []
        online.heads(epoch="second-epoch")
        owner.run("update singularity.bridge_state set connected_at = connected_at - interval '3 seconds'")
        owner.run("update singularity.authority set hello_sent_at = hello_sent_at - interval '3 seconds'")
        assert len(requests(online, "hello")) == 1

    def test_versions_go_on_above_what_the_authority_knows(self, db: Session, online: InstanceRelay) -> None:
        online.welcome(known_version=1_000_000)
        online.find_equal()
        db.learn("thing")
        assert db.history("thing")[0]["version"] > 1_000_000
        (again,) = online.contributions()
        assert again.records[0]["version"] > 1_000_000

    def test_and_never_go_back(self, db: Session, online: InstanceRelay) -> None:
        db.learn("thing")
        before = db.history("thing")[0]["version"]
        (hello,) = requests(online, "hello")
        online.respond(hello, "welcome", known_version=0, heads={})
        db.learn("thing", "changed")
        assert db.history("thing")[0]["version"] > before


class TestFollowing:
    def follow(self, db: Session, relay: InstanceRelay, *, head: int = 0) -> None:
        db.call("follow", kind="pattern")
        relay.tick()
        relay.heads({TOPIC: head})

    def test_a_followed_topic_is_subscribed_to(self, db: Session, online: InstanceRelay) -> None:
        revision = online.plan()["revision"]
        db.call("follow", kind="prompt", namespace="team")
        db.call("follow", kind="prompt", namespace="team")
        online.tick()
        plan = online.plan()
        assert "singularity.refined.team.prompt" in plan["subscriptions"]
        assert plan["revision"] != revision
        assert db.rows("select namespace, kind from singularity.followed_topic") == [
            {"namespace": "team", "kind": "prompt"}
        ]

    def test_it_is_fetched_from_its_start_page_by_page(self, db: Session, online: InstanceRelay) -> None:
        self.follow(db, online, head=5)
        assert "sync" in online.arm()
        (first,) = requests(online, "changes")
        me = str(db.status()["instance_id"])
        assert (first.via, first.subject) == ("request", f"singularity.centralcloud.changes.{me}")
        assert {key: first.body[key] for key in ("namespace", "kind", "after", "request")} == {
            "namespace": "default",
            "kind": "pattern",
            "after": 0,
            "request": TOPIC,
        }
        assert requests(online, "changes") == []
        page(online, first, refined("one", revision=1), refined("three", revision=3), to=3, head=6)
        (second,) = requests(online, "changes")
        assert second.body["after"] == 3
        page(online, second, refined("six", revision=6), to=6, head=6)
        assert requests(online, "changes") == []
        assert position(db) == (6, 6)
        assert {name for name in ("one", "three", "six") if db.lookup(name)} == {"one", "three", "six"}

    def test_pushes_that_follow_are_taken_in(self, db: Session, online: InstanceRelay) -> None:
        self.follow(db, online)
        pushed(online, refined("one", revision=1), refined("two", revision=2), after=0, to=2)
        pushed(online, refined("one", "changed", revision=3), after=2, to=3)
        assert position(db) == (3, 3)
        assert db.known("one")["content"] == "changed"
        assert requests(online, "changes") == []

    def test_a_push_beyond_a_hole_is_taken_in_and_the_hole_is_fetched(
        self, db: Session, online: InstanceRelay
    ) -> None:
        self.follow(db, online)
        pushed(online, refined("one", revision=1), after=0, to=1)
        pushed(online, refined("four", revision=4), after=3, to=4)
        assert db.known("four")["revision"] == 4
        assert position(db) == (1, 4)
        (request,) = requests(online, "changes")
        assert request.body["after"] == 1
        page(online, request, refined("two", revision=2), refined("four", revision=4), to=4, head=4)
        assert position(db) == (4, 4)
        assert db.lookup("two") is not None

    def test_a_heartbeat_shows_what_was_missed(self, db: Session, online: InstanceRelay) -> None:
        self.follow(db, online)
        pushed(online, refined("one", revision=1), after=0, to=1)
        online.heads({TOPIC: 1})
        assert requests(online, "changes") == []
        online.heads({TOPIC: 2})
        assert [request.body["after"] for request in requests(online, "changes")] == [1]

    def test_pushes_may_come_twice_and_late(self, db: Session, online: InstanceRelay) -> None:
        self.follow(db, online)
        newer = refined("thing", "newer", revision=2, variant=variant_of("newer"))
        older = refined("thing", "older", revision=1, variant=variant_of("older"))
        for rows in ((newer, older), (older,), (newer,), (older, newer)):
            pushed(online, *rows, after=0, to=2)
            assert db.known("thing")["content"] == "newer"
        assert position(db) == (2, 2)

    def test_a_removal_is_an_explicit_row(self, db: Session, online: InstanceRelay) -> None:
        self.follow(db, online)
        pushed(online, refined("thing"), after=0, to=1)
        pushed(
            online,
            {"namespace": "default", "kind": "pattern", "name": "thing", "revision": 2, "removed": True},
            after=1,
            to=2,
        )
        assert db.lookup("thing") is None
        assert db.recall("thing") == []
        assert db.status()["cached_artifacts"] == 0

    def test_an_authority_that_went_back_in_time_is_read_from_the_start(
        self, db: Session, online: InstanceRelay
    ) -> None:
        self.follow(db, online)
        pushed(online, refined("thing", "before", revision=9), after=0, to=9)
        online.heads({TOPIC: 2}, epoch="second-epoch")
        (request,) = requests(online, "changes")
        assert request.body["after"] == 0
        topic: dict[str, Any] = {"namespace": "default", "kind": "pattern", "from": 0, "to": 2, "head": 2}
        rows = [refined("thing", "after", revision=2)]
        online.respond(request, "changes", epoch="second-epoch", **topic, rows=rows)
        assert db.known("thing")["content"] == "after"
        assert position(db) == (2, 2)

    def test_a_request_without_an_answer_is_made_again(
        self, db: Session, online: InstanceRelay, owner: Session
    ) -> None:
        self.follow(db, online, head=5)
        (request,) = requests(online, "changes")
        online.result(request, ok=False, error="timeout")
        assert requests(online, "changes") == []
        owner.run("update singularity.topic set requested_at = requested_at - interval '3 seconds'")
        assert len(requests(online, "changes")) == 1

    def test_unfollow_keeps_what_is_here_and_takes_no_more(self, db: Session, online: InstanceRelay) -> None:
        self.follow(db, online)
        pushed(online, refined("one", revision=1), after=0, to=1)
        db.call("unfollow", kind="pattern")
        online.tick()
        pushed(online, refined("one", "changed", revision=2), refined("two", revision=3), after=1, to=3)
        assert db.known("one")["content"] == "changed"
        assert db.value("select count(*) from singularity.central_copy") == 1

    def test_what_is_followed_again_is_read_from_its_start(self, db: Session, online: InstanceRelay) -> None:
        self.follow(db, online)
        pushed(online, refined("one", revision=1), after=0, to=1)
        db.call("unfollow", kind="pattern")
        online.tick()
        pushed(online, refined("two", revision=2), after=1, to=2)
        db.call("follow", kind="pattern")
        online.tick()
        (request,) = requests(online, "changes")
        assert request.body["after"] == 0

    def test_unfollowing_what_is_not_followed_does_nothing(self, db: Session) -> None:
        before = db.contents()
        db.call("unfollow", kind="pattern")
        assert db.contents() == before

    @pytest.mark.parametrize("function", ["follow", "unfollow"])
    @pytest.mark.parametrize(
        ("wrong", "sqlstate", "message"),
        [
            ({"kind": None}, "22004", "kind must not be null"),
            ({"kind": "No"}, "22023", "kind 'No' is not valid"),
            ({"kind": "*"}, "22023", "kind '*' is not valid"),
            ({"namespace": None}, "22004", "namespace must not be null"),
            ({"namespace": ">"}, "22023", "namespace '>' is not valid"),
        ],
    )
    def test_a_topic_that_is_not_valid_is_refused(
        self, steady: Session, function: str, wrong: Row, sqlstate: str, message: str
    ) -> None:
        with refused(steady, sqlstate, message, "1 to 64 characters"):
            steady.call(function, **{"kind": "pattern", **wrong})


class TestRefinedKnowledge:
    def test_what_is_neither_followed_held_nor_asked_for_is_not_taken(
        self, db: Session, online: InstanceRelay
    ) -> None:
        pushed(online, refined("stranger"), after=0, to=1)
        assert db.status()["cached_artifacts"] == 0

    def test_what_is_held_is_refreshed(self, db: Session, online: InstanceRelay) -> None:
        db.learn("mine", "local")
        (sent,) = online.contributions()
        online.receipt(receipt_for(sent.records[0]), heads={TOPIC: 3})
        better = {"level": "high", "confidence": 0.9, "uses": 30, "successes": 29}
        pushed(online, refined("mine", "central", revision=4, **better), after=3, to=4)
        assert db.known("mine")["content"] == "central"
        assert position(db) == (4, 4)

    def test_what_was_asked_for_is_refreshed(self, db: Session, online: InstanceRelay) -> None:
        db.ask("thing")
        online.answer(online.question(), refined("thing", "one"), heads={TOPIC: 1})
        assert SUBJECT in online.plan()["subscriptions"]
        pushed(online, refined("thing", "two", revision=2), refined("stranger", revision=3), after=1, to=3)
        assert db.known("thing")["content"] == "two"
        assert db.status()["cached_artifacts"] == 1

    def test_what_is_known_to_be_in_step_is_not_stale(
        self, db: Session, online: InstanceRelay, owner: Session
    ) -> None:
        db.ask("thing")
        online.answer(online.question(), refined("thing"), heads={TOPIC: 1})
        owner.run("update singularity.central_copy set fetched_at = fetched_at - interval '2 hours'")
        assert db.known("thing")["stale"]
        online.heads({TOPIC: 1})
        assert not db.known("thing")["stale"]
        owner.run("update singularity.topic set synced_at = synced_at - interval '2 hours'")
        assert db.known("thing")["stale"]

    def test_pinned_and_retracted_knowledge_takes_effect(self, db: Session, online: InstanceRelay) -> None:
        db.learn("thing", "local")
        pinned = refined("thing", "pinned", revision=1, pinned=True, variant=variant_of("pinned"))
        pushed(online, pinned, after=0, to=1)
        assert db.known("thing")["content"] == "pinned"
        pushed(online, {**pinned, "revision": 2, "level": "retracted"}, after=1, to=2)
        assert db.known("thing")["content"] == "local"


def test_nothing_waits_for_the_connecting_session(
    db: Session, open_session: Open, relay: InstanceRelay
) -> None:
    """A connect() that stays open stops nobody from learning, looking up, asking or recording."""
    db.learn("thing")
    db.begin()
    db.call("connect")
    beside = open_session()
    beside.learn("other")
    beside.learn("thing", "changed")
    beside.outcome("thing")
    assert beside.lookup("thing") is not None
    assert beside.recall("zebra") == []
    db.commit()
    relay.attach()
    relay.go_online()
    relay.tick()
    assert {(record["record_type"], record["name"]) for record in relay.send_all()} == {
        ("holding", "thing"),
        ("holding", "other"),
        ("evidence", "thing"),
    }
