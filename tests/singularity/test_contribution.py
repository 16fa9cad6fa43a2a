"""What is learned here reaches the authority: a set of entries that only receipts empty."""

import json
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from tests.kit.identity import variant_of
from tests.kit.instance_relay import STREAM_CREATED, InstanceRelay, is_evidence, receipt_for
from tests.kit.message import Message
from tests.kit.queries import Row
from tests.kit.session import Open, Session

from singularity_lab import wait_until


def records(messages: list[Message]) -> list[Row]:
    """Return the records of contributions."""
    return [record for message in messages for record in message.records]


def only(messages: list[Message]) -> Row:
    """Return the only record of contributions, without its seal."""
    (record,) = records(messages)
    assert len(record.pop("seal")) == 64
    return record


def entries(owner: Session) -> int:
    """Return the number of physical entries in the outbox."""
    count = owner.value("select count(*) from singularity.outbox")
    assert isinstance(count, int)
    return count


class TestMessages:
    def test_a_holding_is_sent_whole(self, db: Session, online: InstanceRelay) -> None:
        db.call("configure", instance_name="laptop", environment="ci")
        db.learn("retry", {"do": "wait"}, summary="sum", tags=["b", "a"], namespace="team", kind="prompt")
        version = db.history("retry", namespace="team", kind="prompt")[0]["version"]
        me = str(db.status()["instance_id"])
        (message,) = online.take("contribution")
        assert (message.via, message.subject) == ("stream", f"singularity.contribute.{me}")
        body = message.body
        assert len(body["records"][0].pop("seal")) == 64
        assert body == {
            "v": 1,
            "type": "contribution",
            "instance": me,
            "instance_name": "laptop",
            "environment": "ci",
            "records": [
                {
                    "record_type": "holding",
                    "namespace": "team",
                    "kind": "prompt",
                    "name": "retry",
                    "version": version,
                    "withdrawn_up_to": 0,
                    "variant": variant_of({"do": "wait"}),
                    "content": {"do": "wait"},
                    "summary": "sum",
                    "tags": ["a", "b"],
                    # for an authority before 0.3
                    "what": "holding",
                    "withdrawn_through": 0,
                }
            ],
        }

    def test_evidence_is_sent_as_absolute_counters(self, db: Session, online: InstanceRelay) -> None:
        db.learn("retry")
        online.send_all()
        for succeeded in (True, True, False):
            db.outcome("retry", succeeded)
        record = only(online.contributions())
        assert UUID(record.pop("incarnation")).int
        assert record.pop("last_used_at")
        first = record.pop("version")
        assert record == {
            "record_type": "evidence",
            "namespace": "default",
            "kind": "pattern",
            "name": "retry",
            "variant": variant_of("x"),
            "uses": 3,
            "successes": 2,
            "failures": 1,
        }
        db.outcome("retry", True)
        again = only(online.contributions())
        assert (again["uses"], again["successes"], again["failures"]) == (4, 3, 1)
        assert again["version"] > first

    def test_outcomes_of_a_central_copy_are_sent_too(self, db: Session, online: InstanceRelay) -> None:
        from tests.kit.instance_relay import refined

        db.ask("thing")
        online.answer(online.question(), refined("thing"))
        db.outcome("thing")
        record = only(online.contributions())
        assert (record["record_type"], record["name"], record["variant"]) == (
            "evidence",
            "thing",
            variant_of("central"),
        )

    def test_oldest_first_and_at_most_300_records_a_message(self, db: Session, online: InstanceRelay) -> None:
        db.learn_many([{"kind": "fact", "name": f"{n}", "content": n} for n in range(650)])
        messages = online.contributions()
        assert [len(message.records) for message in messages] == [300, 300, 50]
        assert [record["content"] for record in records(messages)] == list(range(650))
        assert len({message.message_id for message in messages}) == 3

    def test_messages_are_cut_at_half_of_the_brokers_limit(self, db: Session, online: InstanceRelay) -> None:
        online.tick(max_payload=200_000)
        for number in range(7):
            db.learn(f"{number}", "x" * 40_000)
        db.learn("alone", "y" * 120_000)
        messages = online.contributions()
        assert [len(message.records) for message in messages] == [2, 2, 2, 1, 1]
        assert all(len(message.payload) <= 100_000 for message in messages[:-1])
        assert len(messages[-1].payload) < 200_000

    def test_no_more_messages_than_asked_for(self, db: Session, online: InstanceRelay) -> None:
        db.learn_many([{"kind": "fact", "name": f"{n}", "content": n} for n in range(650)])
        assert len(online.take("contribution", 2)) == 2
        assert len(online.take("contribution", 2)) == 1
        assert online.take("contribution", 2) == []

    def test_two_calls_at_once_do_not_send_the_same(
        self, db: Session, online: InstanceRelay, open_session: Open, instance: Any
    ) -> None:
        db.learn_many([{"kind": "fact", "name": f"{n}", "content": n} for n in range(400)])
        second = InstanceRelay(open_session(instance.relay))
        online.session.begin()
        taken = online.take("contribution", 1)
        more = second.take("contribution")
        online.session.commit()
        contents = [record["content"] for record in records([*taken, *more])]
        assert sorted(contents) == list(range(400))


class TestOutbox:
    def test_it_holds_one_entry_for_what_changed_however_often(
        self, db: Session, offline: InstanceRelay, owner: Session
    ) -> None:
        for number in range(10):
            db.learn("thing", number)
        (entry,) = db.outbox()
        assert entry["artifact_id"] == db.known("thing")["artifact_id"]
        assert (entry["record_type"], entry["variant"]) == ("holding", None)
        assert entry["version"] == db.history("thing")[0]["version"]
        assert entries(owner) == 1

    def test_outcomes_are_one_entry_for_each_variant_however_often(
        self, db: Session, offline: InstanceRelay, owner: Session
    ) -> None:
        for content in ("one", "two"):
            db.learn("thing", content)
            for _ in range(5):
                db.outcome("thing")
                offline.tick(connected=False)
        assert [(entry["record_type"], entry["variant"]) for entry in db.outbox()] == [
            ("evidence", variant_of("one")),
            ("holding", None),
            ("evidence", variant_of("two")),
        ]
        assert entries(owner) == 3
        assert db.status()["outbox_entries"] == 3

    def test_nothing_is_queued_in_mode_local(self, db: Session, relay: InstanceRelay) -> None:
        relay.attach()
        db.learn("thing")
        db.learn_many([{"kind": "fact", "name": "a", "content": 1}])
        db.outcome("thing")
        db.forget("thing", everywhere=True)
        relay.tick()
        assert db.outbox() == []
        assert relay.arm() == []
        assert relay.plan()["speaking"] is False

    def test_what_is_rolled_back_is_never_queued(self, db: Session, online: InstanceRelay) -> None:
        db.learn("kept")
        online.send_all()
        db.begin()
        db.learn("kept", "changed")
        db.learn("never")
        db.learn_many([{"kind": "fact", "name": "never", "content": 1}])
        db.outcome("kept")
        db.forget("kept", everywhere=True)
        assert online.contributions() == []
        db.rollback()
        online.tick()
        assert db.outbox() == []
        assert online.contributions() == []

    def test_unchanged_content_sends_nothing(self, db: Session, online: InstanceRelay) -> None:
        db.learn("thing")
        online.send_all()
        db.learn("thing")
        assert db.outbox() == []
        assert online.contributions() == []

    def test_status_says_how_much_waits_and_since_when(self, db: Session, offline: InstanceRelay) -> None:
        assert db.status()["outbox_oldest_at"] is None
        db.learn("first")
        db.learn("second")
        status = db.status()
        assert status["outbox_entries"] == 2
        assert status["outbox_oldest_at"] == db.history("first")[0]["learned_at"]


class TestReceipts:
    def test_a_broker_s_acknowledgement_frees_nothing(self, db: Session, online: InstanceRelay) -> None:
        db.learn("thing")
        assert len(online.contributions()) == 1
        online.tick()
        assert db.status()["outbox_entries"] == 1

    def test_a_receipt_of_the_exact_version_frees_the_entry(self, db: Session, online: InstanceRelay) -> None:
        db.learn("thing")
        db.outcome("thing")
        sent = online.contributions()
        assert [record["record_type"] for record in records(sent)] == ["holding", "evidence"]
        online.receipt(receipt_for(records(sent)[0]))
        assert [entry["record_type"] for entry in db.outbox()] == ["evidence"]
        online.receipt(receipt_for(records(sent)[1]))
        assert db.outbox() == []

    @pytest.mark.parametrize(
        "other",
        [
            lambda record: {"version": record["version"] - 1},
            lambda record: {"version": record["version"] + 1},
            lambda record: {"version": 2**62},
            lambda record: {"version": None},
            lambda _: {"artifact_id": str(UUID(int=1))},
            lambda _: {"variant": variant_of("x")},
            lambda _: {"incarnation": str(UUID(int=1))},
        ],
        ids=["earlier", "later", "greatest", "none", "artifact", "variant", "incarnation"],
    )
    def test_no_other_receipt_does(
        self, db: Session, online: InstanceRelay, other: Callable[[Row], Row]
    ) -> None:
        db.learn("thing")
        record = only(online.contributions())
        online.receipt({**receipt_for(record), **other(record)})
        assert db.status()["outbox_entries"] == 1
        online.receipt(receipt_for(record))
        assert db.outbox() == []

    def test_a_receipt_for_what_was_never_offered_frees_nothing(
        self, db: Session, online: InstanceRelay
    ) -> None:
        learned = db.learn("thing")
        version = db.outbox()[0]["version"]
        online.receipt({"artifact_id": str(learned), "version": version, "verdict": "stored"})
        assert db.status()["outbox_entries"] == 1
        assert only(online.contributions())["name"] == "thing"

    def test_what_changed_while_it_was_under_way_stays(self, db: Session, online: InstanceRelay) -> None:
        db.learn("thing", "one")
        first = only(online.contributions())
        db.learn("thing", "two")
        online.receipt(receipt_for(first))
        (entry,) = db.outbox()
        assert entry["version"] > first["version"]
        second = only(online.contributions())
        assert second["content"] == "two"
        online.receipt(receipt_for(first))
        assert db.status()["outbox_entries"] == 1
        online.receipt(receipt_for(second))
        assert db.outbox() == []

    def test_a_receipt_may_come_twice_and_late(self, db: Session, online: InstanceRelay) -> None:
        db.learn("thing", "one")
        first = only(online.contributions())
        db.learn("thing", "two")
        second = only(online.contributions())
        online.receipt(receipt_for(second), receipt_for(first))
        online.receipt(receipt_for(first))
        assert db.outbox() == []
        assert online.contributions() == []
        assert db.value("select confirmed_version from singularity.delivery") == second["version"]

    @pytest.mark.parametrize("verdict", ["stored", "superseded"])
    def test_a_good_verdict_is_not_worth_a_mention(
        self, db: Session, online: InstanceRelay, verdict: str
    ) -> None:
        db.learn("thing")
        online.receipt(receipt_for(only(online.contributions()), verdict))
        assert (db.status()["outbox_entries"], db.status()["set_aside"]) == (0, 0)

    @pytest.mark.parametrize("verdict", ["set aside", "refused"])
    def test_a_bad_verdict_stays_visible_until_it_is_mended(
        self, db: Session, online: InstanceRelay, verdict: str
    ) -> None:
        db.learn("thing", "bad")
        online.receipt(receipt_for(only(online.contributions()), verdict, reason="blocked"))
        assert (db.status()["outbox_entries"], db.status()["set_aside"]) == (0, 1)
        assert db.row("select verdict, reason from singularity.delivery") == {
            # what an authority before 0.3 calls "set aside" is refused as well
            "verdict": "refused",
            "reason": "blocked",
        }
        db.learn("thing", "good")
        online.receipt(receipt_for(only(online.contributions())))
        assert db.status()["set_aside"] == 0


class TestWithdrawal:
    def test_what_was_offered_is_withdrawn_without_its_content(
        self, db: Session, online: InstanceRelay
    ) -> None:
        db.learn("thing", "open", summary="sum", tags=["t"])
        online.contributions()
        db.learn("thing", "secret", shared=False)
        withdrawal = only(online.contributions())
        version = db.history("thing")[0]["version"]
        assert withdrawal == {
            "record_type": "holding",
            "namespace": "default",
            "kind": "pattern",
            "name": "thing",
            "version": version,
            "withdrawn_up_to": version,
        }

    @pytest.mark.parametrize("confirmed", [True, False])
    def test_forgetting_everywhere_withdraws_too(
        self, db: Session, online: InstanceRelay, confirmed: bool
    ) -> None:
        db.learn("thing", "open")
        sent = online.contributions()
        if confirmed:
            online.confirm(*sent)
        db.forget("thing", everywhere=True)
        withdrawal = only(online.contributions())
        assert withdrawal["version"] == withdrawal["withdrawn_up_to"]
        assert not {"variant", "content", "summary", "tags"} & set(withdrawal)
        online.receipt(receipt_for(withdrawal))
        assert db.outbox() == []

    @pytest.mark.parametrize(
        "take_back",
        [
            lambda db: db.learn("thing", shared=False),
            lambda db: db.forget("thing", everywhere=True),
            lambda db: db.forget("thing"),
        ],
        ids=["unshared", "forgotten everywhere", "forgotten here"],
    )
    def test_what_was_never_offered_is_dropped(
        self, db: Session, online: InstanceRelay, take_back: Callable[[Session], Any]
    ) -> None:
        db.learn("thing", "open")
        take_back(db)
        assert online.contributions() == []
        assert db.outbox() == []
        assert db.value("select count(*) from singularity.delivery") == 0

    @pytest.mark.parametrize("take_back", ["unshare", "forget"])
    @pytest.mark.parametrize("folded", [True, False])
    def test_its_outcomes_are_dropped_too(
        self, db: Session, relay: InstanceRelay, take_back: str, folded: bool
    ) -> None:
        """Also those that were added up while the artifact was shared, in a database that was never connected."""
        db.learn("thing", "open")
        db.outcome("thing")
        if folded:
            db.run("call singularity.maintain()")
        if take_back == "unshare":
            db.learn("thing", shared=False)
        else:
            db.forget("thing", everywhere=True)
        db.call("connect")
        relay.attach()
        relay.go_online()
        assert relay.contributions() == []
        assert db.outbox() == []

    def test_evidence_that_waits_is_dropped_when_its_artifact_is_unshared(
        self, db: Session, online: InstanceRelay
    ) -> None:
        db.learn("thing", "open")
        online.send_all()
        db.outcome("thing")
        online.tick()
        assert [entry["record_type"] for entry in db.outbox()] == ["evidence"]
        db.learn("thing", shared=False)
        assert [record["record_type"] for record in online.send_all()] == ["holding"]
        assert db.outbox() == []

    def test_evidence_added_up_while_the_unsharing_was_open_stays_here(
        self, db: Session, online: InstanceRelay
    ) -> None:
        db.learn("thing", "open")
        online.send_all()
        db.outcome("thing")
        db.begin()
        db.learn("thing", shared=False)
        online.tick()
        db.commit()
        sent = online.send_all()
        assert [record for record in sent if is_evidence(record)] == []

    def test_what_is_not_shared_never_leaves(self, db: Session, online: InstanceRelay) -> None:
        db.learn("secret-name", {"secret": "content"}, summary="secret", tags=["secret"], shared=False)
        db.outcome("secret-name")
        db.learn("secret-name", {"secret": "changed"})
        db.outcome("secret-name", False)
        db.forget("secret-name")
        db.learn("secret-name", {"secret": "back"})
        db.forget("secret-name", everywhere=True)
        online.tick()
        assert online.contributions() == []
        assert db.outbox() == []

    def test_outcomes_while_unshared_count_here_alone(self, db: Session, online: InstanceRelay) -> None:
        db.learn("thing")
        online.send_all()
        db.learn("thing", shared=False)
        online.send_all()
        for _ in range(3):
            db.outcome("thing")
        online.tick()
        assert online.contributions() == []
        assert db.known("thing")["uses"] == 3

    def test_what_is_shared_again_starts_at_zero(self, db: Session, online: InstanceRelay) -> None:
        db.learn("thing")
        for _ in range(5):
            db.outcome("thing")
        before = {record["record_type"]: record for record in online.send_all()}
        assert before["evidence"]["uses"] == 5
        db.learn("thing", shared=False)
        db.outcome("thing")
        online.send_all()
        db.learn("thing", shared=True)
        db.outcome("thing")
        after = {record["record_type"]: record for record in online.send_all()}
        assert after["holding"]["variant"] == before["holding"]["variant"]
        assert (
            before["holding"]["version"] < after["holding"]["withdrawn_up_to"] < after["holding"]["version"]
        )
        assert after["evidence"]["uses"] == 1
        assert after["evidence"]["version"] > after["holding"]["withdrawn_up_to"]
        assert db.known("thing")["uses"] == 7

    def test_taking_it_back_while_disconnected_is_told_at_the_next_connect(
        self, db: Session, online: InstanceRelay
    ) -> None:
        db.learn("thing", "open")
        online.send_all()
        db.call("disconnect")
        db.learn("thing", "secret", shared=False)
        assert db.outbox() == []
        db.call("connect")
        online.go_online()
        withdrawal = only(online.contributions())
        assert "content" not in withdrawal
        assert withdrawal["withdrawn_up_to"] == withdrawal["version"]


class TestResending:
    @pytest.fixture
    def sent(self, db: Session, online: InstanceRelay) -> Message:
        """Offer one contribution to the broker."""
        db.learn("thing")
        (message,) = online.take("contribution")
        return message

    def resent(self, relay: InstanceRelay) -> list[Message]:
        relay.tick()
        return relay.take("contribution")

    def age(self, owner: Session, seconds: int) -> None:
        """Let time pass for what is under way."""
        owner.run(
            "update singularity.batch set offered_at = offered_at - make_interval(secs => %s), "
            "failed_at = failed_at - make_interval(secs => %s)",
            [seconds, seconds],
        )

    def test_what_is_under_way_is_not_sent_again(self, online: InstanceRelay, sent: Message) -> None:
        assert self.resent(online) == []

    @pytest.mark.parametrize(
        "error", ["timeout", "no_responders", "disconnected", "stopped", "stream is full"]
    )
    def test_what_the_broker_refused_is_sent_again_after_a_pause(
        self, online: InstanceRelay, sent: Message, error: str
    ) -> None:
        online.result(sent, ok=False, error=error)
        (again,) = wait_until(lambda: self.resent(online), message="the contribution")
        assert again.records == sent.records
        assert again.message_id != sent.message_id

    def test_the_pause_doubles_with_each_attempt(
        self, online: InstanceRelay, owner: Session, sent: Message
    ) -> None:
        for attempt in (1, 2, 3):
            assert owner.value("select attempts from singularity.delivery") == attempt
            online.result(sent, ok=False, error="timeout")
            pause = 2**attempt // 4
            if pause > 1:
                self.age(owner, pause - 1)
                assert self.resent(online) == []
            self.age(owner, pause)
            (sent,) = wait_until(lambda: self.resent(online), timeout=2, message="the contribution")

    def test_a_new_version_is_not_slowed_down_by_the_attempts_of_the_old_one(
        self, db: Session, online: InstanceRelay, owner: Session, sent: Message
    ) -> None:
        owner.run("update singularity.delivery set attempts = 20")
        db.learn("thing", "changed")
        (message,) = self.resent(online)
        assert only([message])["content"] == "changed"
        assert owner.value("select attempts from singularity.delivery") == 1

    def test_what_nobody_reported_on_is_sent_again(
        self, online: InstanceRelay, owner: Session, sent: Message
    ) -> None:
        self.age(owner, 9)
        assert self.resent(online) == []
        self.age(owner, 2)
        (again,) = self.resent(online)
        assert again.records == sent.records

    def test_what_the_stream_holds_waits_for_the_authority(
        self, online: InstanceRelay, owner: Session, sent: Message
    ) -> None:
        sequence = online.acknowledge(sent)
        self.age(owner, 100_000)
        online.heads(passed=sequence - 1)
        assert self.resent(online) == []

    def test_what_the_authority_has_passed_without_a_receipt_is_sent_again(
        self, online: InstanceRelay, owner: Session, sent: Message
    ) -> None:
        sequence = online.acknowledge(sent)
        online.heads(passed=sequence)
        assert self.resent(online) == []
        self.age(owner, 2)
        (again,) = self.resent(online)
        assert again.records == sent.records

    def test_but_not_while_the_authority_is_not_heard(
        self, online: InstanceRelay, owner: Session, sent: Message
    ) -> None:
        sequence = online.acknowledge(sent)
        online.heads(passed=sequence)
        self.age(owner, 1000)
        owner.run("update singularity.authority set heard_at = heard_at - interval '11 seconds'")
        assert self.resent(online) == []
        online.heads(passed=sequence)
        assert len(self.resent(online)) == 1

    def test_nor_for_the_numbers_of_another_stream(
        self, online: InstanceRelay, owner: Session, sent: Message
    ) -> None:
        online.acknowledge(sent)
        body = {
            "type": "heads",
            "epoch": "e",
            "heads": {},
            "stream_created": "another",
            "stream_passed": 1000,
        }
        online.receive("singularity.heads", body)
        self.age(owner, 1000)
        assert self.resent(online) == []

    def test_what_a_lost_stream_held_is_sent_again_at_once(
        self, online: InstanceRelay, sent: Message
    ) -> None:
        online.acknowledge(sent)
        online.stream["created"] = "2026-02-02T00:00:00Z"
        (again,) = self.resent(online)
        assert again.records == sent.records
        assert again.message_id != sent.message_id
        online.acknowledge(again, created="2026-02-02T00:00:00Z")
        assert self.resent(online) == []

    def test_what_was_confirmed_is_not_sent_again(
        self, db: Session, online: InstanceRelay, sent: Message
    ) -> None:
        online.acknowledge(sent)
        online.confirm(sent)
        online.stream["created"] = "2026-02-02T00:00:00Z"
        assert self.resent(online) == []

    def test_a_batch_is_forgotten_when_nothing_of_it_is_under_way(
        self, db: Session, online: InstanceRelay, owner: Session, sent: Message
    ) -> None:
        online.acknowledge(sent)
        online.confirm(sent)
        self.age(owner, 11)
        online.tick()
        assert owner.value("select count(*) from singularity.batch") == 0

    def test_the_present_state_is_sent_not_the_old_one(
        self, db: Session, online: InstanceRelay, sent: Message
    ) -> None:
        db.learn("thing", "changed")
        online.stream["created"] = "2026-02-02T00:00:00Z"
        assert [record["content"] for record in records(self.resent(online))] == ["changed"]

    def test_the_acknowledgement_of_an_earlier_attempt_does_no_harm(
        self, db: Session, online: InstanceRelay, owner: Session, sent: Message
    ) -> None:
        self.age(owner, 11)
        (again,) = self.resent(online)
        online.acknowledge(sent)
        online.acknowledge(again)
        online.confirm(again)
        assert db.outbox() == []


def test_contributions_wait_while_nats_is_away(db: Session, offline: InstanceRelay) -> None:
    db.learn("thing")
    assert offline.arm() == []
    offline.tick()
    assert offline.arm() == ["sync", "contribution"]
    assert json.dumps(offline.plan()["streams"]) == '[{"name": "singularity_contributions", "create": false}]'
    assert STREAM_CREATED


def test_a_receipt_brings_the_topics_that_are_to_be_watched(db: Session, online: InstanceRelay) -> None:
    db.learn("thing")
    subject = "singularity.refined.default.pattern"
    assert subject not in online.plan()["subscriptions"]
    record = only(online.contributions())
    online.receipt(receipt_for(record), heads={"default/pattern": 7})
    assert subject in online.plan()["subscriptions"]
