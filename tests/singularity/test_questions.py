"""Questions to the authority: asked without waiting, answered, announced, remembered."""

import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from tests.kit.instance_relay import InstanceRelay, refined
from tests.kit.message import Message
from tests.kit.queries import Row
from tests.kit.session import Open, Session, refused

from singularity_lab import wait_until

TTLS = ["question_ttl", "answer_ttl", "negative_ttl"]


def asked(relay: InstanceRelay) -> list[Row]:
    """Take all questions that wait and return what is asked for."""
    fields = ("query", "kind", "namespace", "name", "tags")
    return [{field: message.body[field] for field in fields} for message in relay.take("question")]


def question(query: str | None, **more: Any) -> Row:
    return {"query": query, "kind": None, "namespace": None, "name": None, "tags": None, **more}


def no_answer(relay: InstanceRelay, message: Message, error: str = "timeout") -> None:
    """Report that a request had no answer."""
    relay.result(message, ok=False, error=error)


class TestAsking:
    def test_a_question_is_a_request_to_the_authority(self, db: Session, online: InstanceRelay) -> None:
        question_id = db.ask("how to retry", kind="pattern", namespace="team")
        me = str(db.status()["instance_id"])
        message = online.question()
        assert (message.via, message.subject) == ("request", f"singularity.centralcloud.ask.{me}")
        assert message.message_id == f"question:{question_id}"
        assert 0 < message.timeout_ms <= 10_000
        assert message.body == {
            "v": 1,
            "type": "ask",
            "instance": me,
            "request": str(question_id),
            "session": db.value("select session_id::text from singularity.authority"),
            **question("how to retry", kind="pattern", namespace="team"),
        }

    def test_it_is_sent_once(self, db: Session, online: InstanceRelay) -> None:
        db.ask("how to retry")
        assert len(online.take("question")) == 1
        assert online.take("question") == []

    def test_a_miss_of_lookup_asks_for_that_artifact(self, db: Session, online: InstanceRelay) -> None:
        assert db.lookup("cafe\u0301", kind="prompt", namespace="team") is None
        name = "caf\u00e9"
        assert asked(online) == [
            question("prompt cafe\u0301", kind="prompt", namespace="team", name=name),
        ]

    def test_a_recall_that_finds_nothing_good_asks(self, db: Session, online: InstanceRelay) -> None:
        db.learn("horse", {"text": "a horse in the meadow"})
        assert db.recall("zebra", kind="pattern", namespace="default", tags=["b", "a"]) == []
        assert db.names("meadow by night in summer with stars", min_similarity=0.0) == ["horse"]
        assert asked(online) == [
            question("zebra", kind="pattern", namespace="default", tags=["b", "a"]),
            question("meadow by night in summer with stars"),
        ]

    def test_what_counts_as_good_can_be_set(self, db: Session, online: InstanceRelay) -> None:
        db.learn("horse", {"text": "a horse in the meadow"})
        db.call("configure", settings={"good_relevance": "0.01"})
        assert db.names("meadow by night in summer with stars", min_similarity=0.0) == ["horse"]
        assert asked(online) == []

    def test_what_is_known_is_not_asked_for(self, db: Session, online: InstanceRelay) -> None:
        db.learn("horse", {"text": "a horse in the meadow"})
        assert db.lookup("horse") is not None
        assert db.names("horse in the meadow") == ["horse"]
        assert asked(online) == []

    def test_in_mode_central_the_authority_is_asked_every_time(
        self, db: Session, online: InstanceRelay
    ) -> None:
        db.call("connect", mode="central")
        db.learn("horse", {"text": "a horse in the meadow"})
        for _ in range(2):
            assert db.lookup("horse") is not None
            lookup = online.question()
            assert lookup.body["name"] == "horse"
            online.answer(lookup)
            assert db.names("horse in the meadow") == ["horse"]
            recall = online.question()
            assert recall.body["query"] == "horse in the meadow"
            online.answer(recall)

    def test_what_is_rolled_back_is_not_asked(self, db: Session, online: InstanceRelay) -> None:
        db.begin()
        db.ask("how to retry")
        db.lookup("nothing")
        db.recall("zebra")
        assert online.take("question") == []
        db.rollback()
        assert online.take("question") == []

    def test_a_reader_may_ask(self, viewer: Session, online: InstanceRelay) -> None:
        assert viewer.ask("how to retry") is not None
        assert viewer.lookup("nothing") is None
        assert len(online.take("question")) == 2


class TestNotOnline:
    @pytest.fixture(
        params=["local", "no bridge", "no NATS", "no authority", "authority silent", "bridge gone"]
    )
    def unreachable(
        self, request: pytest.FixtureRequest, db: Session, relay: InstanceRelay, owner: Session
    ) -> str:
        """Take away one of the things that being online needs."""
        state = str(request.param)
        if state == "local":
            relay.attach()
            relay.tick()
            return state
        db.call("connect")
        db.notices.clear()  # of what leaves
        if state == "no bridge":
            return state
        relay.attach()
        relay.tick()
        if state == "no authority":
            return state
        relay.heads()
        assert db.status()["online"]
        match state:
            case "no NATS":
                relay.tick(connected=False, error="connection refused")
            case "bridge gone":
                relay.detach()
            case "authority silent":
                owner.run("update singularity.authority set heard_at = heard_at - interval '11 seconds'")
        return state

    def test_nothing_is_asked_and_nothing_waits(self, db: Session, unreachable: str) -> None:
        assert not db.status()["online"], unreachable
        assert db.lookup("nothing") is None
        assert db.recall("zebra") == []
        assert db.ask("zebra") is None
        assert db.notices == ["the question was not queued: this instance is not online"]
        assert db.status()["open_questions"] == 0
        assert db.value("select count(*) from singularity.question") == 0

    def test_a_bridge_that_no_longer_reports_is_not_there(
        self, db: Session, online: InstanceRelay, owner: Session
    ) -> None:
        owner.run("update singularity.bridge_state set seen_at = seen_at - interval '11 seconds'")
        assert not db.status()["online"]
        assert db.ask("zebra") is None
        online.tick()
        assert db.ask("zebra") is not None


class TestAnswers:
    def test_an_answer_is_kept_for_lookup_and_recall(self, db: Session, online: InstanceRelay) -> None:
        assert db.recall("zebra") == []
        online.answer(
            online.question(),
            refined("zebra", {"text": "stripes"}),
            refined("quagga", {"text": "a zebra with few stripes"}),
        )
        assert db.known("zebra")["content"] == {"text": "stripes"}
        assert set(db.names("zebra stripes")) == {"zebra", "quagga"}
        assert db.status()["cached_artifacts"] == 2
        assert asked(online) == []

    def test_it_is_announced(self, db: Session, other: Session, online: InstanceRelay) -> None:
        other.run("listen singularity_answer")
        question_id = db.ask("zebra")
        online.answer(online.question(), refined("zebra"), refined("quagga"))
        (notified,) = other.connection.notifies(timeout=5, stop_after=1)
        assert notified.channel == "singularity_answer"
        assert notified.payload == f'{{"question_id" : "{question_id}", "results" : 2}}'

    def test_every_session_that_asked_the_same_is_told(
        self, db: Session, other: Session, viewer: Session, online: InstanceRelay
    ) -> None:
        viewer.run("listen singularity_answer")
        ids = set()
        for session in (db, other):
            session.begin()
            ids.add(session.ask("zebra"))
        db.commit()
        other.commit()
        assert len(ids) == 2
        online.answer(online.take("question")[0], refined("zebra"))
        told = viewer.connection.notifies(timeout=5, stop_after=2)
        assert {notified.payload for notified in told} == {
            f'{{"question_id" : "{question_id}", "results" : 1}}' for question_id in ids
        }
        assert online.take("question") == []
        assert db.status()["open_questions"] == 0

    def test_an_open_question_is_not_asked_again(
        self, db: Session, other: Session, online: InstanceRelay
    ) -> None:
        first = db.ask("zebra")
        assert other.ask("zebra") == first
        assert len(online.take("question")) == 1
        assert other.ask("zebra") == first
        assert other.recall("zebra") == []
        assert online.take("question") == []
        assert db.status()["open_questions"] == 1

    def test_another_filter_is_another_question(self, db: Session, online: InstanceRelay) -> None:
        ids = {
            db.ask("zebra"),
            db.ask("zebra", kind="pattern"),
            db.ask("zebra", namespace="pattern"),
            db.ask("Zebra"),
        }
        assert len(ids) == 4
        db.recall("zebra", tags=["t"])
        db.lookup("zebra")
        assert len(online.take("question")) == 6

    def test_a_fresh_answer_is_not_asked_for_again(self, db: Session, online: InstanceRelay) -> None:
        first = db.ask("zebra")
        online.answer(online.question(), refined("horse"))
        assert db.ask("zebra") == first
        db.call("configure", settings={"answer_ttl": "0 seconds"})
        assert db.ask("zebra") != first

    def test_no_answer_is_remembered_too_for_a_time_of_its_own(
        self, db: Session, online: InstanceRelay
    ) -> None:
        assert db.lookup("nothing") is None
        online.answer(online.question())
        assert db.lookup("nothing") is None
        assert asked(online) == []
        db.call("configure", settings={"answer_ttl": "0 seconds"})
        assert db.lookup("nothing") is None
        assert asked(online) == []
        db.call("configure", settings={"answer_ttl": None, "negative_ttl": "0 seconds"})
        assert db.lookup("nothing") is None
        assert len(asked(online)) == 1

    def test_an_answer_that_comes_twice_is_one(
        self, db: Session, other: Session, online: InstanceRelay
    ) -> None:
        other.run("listen singularity_answer")
        db.ask("zebra")
        message = online.question()
        online.answer(message, refined("zebra"))
        online.answer(message, refined("zebra"))
        assert len(list(other.connection.notifies(timeout=0.5, stop_after=2))) == 1
        assert db.status()["cached_artifacts"] == 1

    def test_an_answer_to_a_question_that_is_over_is_still_knowledge(
        self, db: Session, online: InstanceRelay
    ) -> None:
        db.ask("zebra")
        message = online.question()
        db.call("configure", settings=dict.fromkeys(TTLS, "0 seconds"))
        db.run("call singularity.maintain()")
        assert db.value("select count(*) from singularity.question") == 0
        online.answer(message, refined("zebra"))
        assert db.lookup("zebra") is not None
        assert db.status()["dead_letters"] == 0


class TestTrouble:
    @pytest.mark.parametrize("error", ["timeout", "no_responders", "disconnected", "stopped"])
    def test_what_had_no_reply_is_asked_again_after_a_pause(
        self, db: Session, online: InstanceRelay, error: str
    ) -> None:
        question_id = db.ask("zebra")
        message = online.question()
        no_answer(online, message, error)
        assert online.take("question") == []
        again = wait_until(lambda: online.take("question"), message="the question to be asked again")
        assert [m.message_id for m in again] == [f"question:{question_id}"]

    def test_the_pause_grows(self, db: Session, online: InstanceRelay) -> None:
        db.ask("zebra")
        pauses = []
        for _ in range(3):
            (message,) = wait_until(lambda: online.take("question"), message="the question")
            no_answer(online, message)
            pauses.append(
                db.value(
                    "select extract(epoch from next_attempt_at - clock_timestamp()) from singularity.question"
                )
            )
        assert 0.5 < pauses[0] < pauses[1] < pauses[2] < 5

    def test_what_was_never_heard_of_again_is_asked_again(
        self, db: Session, online: InstanceRelay, owner: Session
    ) -> None:
        db.ask("zebra")
        first = online.question()
        owner.run("update singularity.question set next_attempt_at = next_attempt_at - interval '10 seconds'")
        assert online.question() == first

    def test_an_old_question_is_given_up(self, db: Session, online: InstanceRelay) -> None:
        first = db.ask("zebra")
        db.call("configure", settings={"question_ttl": "0 seconds"})
        assert online.take("question") == []
        # nor does it keep the bell from being armed
        online.take("sync")
        assert online.arm() == []
        assert db.value("select armed from singularity.doorbell") is True
        assert db.status()["open_questions"] == 0
        assert db.ask("zebra") != first

    def test_questions_that_are_over_are_deleted(self, db: Session, online: InstanceRelay) -> None:
        db.ask("zebra")
        online.tick()
        assert db.value("select count(*) from singularity.question") == 1
        db.call("configure", settings=dict.fromkeys(TTLS, "0 seconds"))
        online.tick()
        assert db.value("select count(*) from singularity.question") == 0

    @pytest.mark.parametrize(
        ("reply", "complaint"),
        [
            ({"type": "welcome"}, "reply of type 'welcome' came for 'question:"),
            ({"v": 2}, "message of schema version 2, this side knows version 1"),
            ({"rows": [refined("zebra", level="perfect")]}, 'value for enum singularity.level: "perfect"'),
            ({"rows": [refined("zebra", variant=None)]}, "variant is missing"),
        ],
    )
    def test_a_reply_that_cannot_be_applied_is_kept_and_the_question_stays_open(
        self, db: Session, online: InstanceRelay, reply: Row, complaint: str
    ) -> None:
        db.ask("zebra")
        message = online.question()
        online.respond(message, "answer", **{"rows": [], "heads": {}, **reply})
        assert (db.status()["dead_letters"], db.status()["open_questions"]) == (1, 1)
        letter = db.row("select * from singularity.dead_letter")
        assert letter["subject"] == f"reply to {message.message_id}"
        assert complaint in letter["error"]
        assert db.status()["cached_artifacts"] == 0
        again = wait_until(lambda: online.take("question"), message="the question to be asked again")
        assert [m.message_id for m in again] == [message.message_id]


@contextmanager
def waiting(session: Session, question_id: uuid.UUID | None, timeout: str = "30 seconds") -> Iterator[None]:
    """Run await_answer() beside the block, and expect it to end soon after it."""
    call = "call singularity.await_answer(%s, %s)"
    errors: list[BaseException] = []

    def wait() -> None:
        try:
            session.run(call, [question_id, timeout])
        except psycopg.Error as error:
            errors.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    try:
        yield
    finally:
        thread.join(20)
    assert not thread.is_alive()
    assert errors == []


class TestAwaitAnswer:
    def test_it_returns_when_the_answer_is_here(
        self, viewer: Session, owner: Session, online: InstanceRelay
    ) -> None:
        question_id = viewer.ask("zebra")
        call = "select count(*) from pg_stat_activity where query like 'call singularity.await_answer%'"
        with waiting(viewer, question_id):
            wait_until(lambda: owner.value(call), message="the call")
            online.answer(online.question(), refined("zebra"))
        assert viewer.lookup("zebra") is not None
        assert viewer.notices == []

    def test_it_holds_no_transaction_open_meanwhile(
        self, db: Session, viewer: Session, owner: Session, online: InstanceRelay
    ) -> None:
        question_id = viewer.ask("zebra")
        pid = viewer.connection.info.backend_pid
        seen = set()

        def look() -> bool:
            seen.update(owner.column("select xact_start from pg_stat_activity where pid = %s", [pid]))
            return len(seen - {None}) > 3

        with waiting(viewer, question_id):
            wait_until(look, message="several transactions of the waiting session")
            online.answer(online.question())

    def test_an_answered_question_is_not_waited_for(self, db: Session, online: InstanceRelay) -> None:
        question_id = db.ask("zebra")
        online.answer(online.question())
        db.run("call singularity.await_answer(%s)", [question_id])
        assert db.notices == []

    @pytest.mark.parametrize("timeout", ["0 seconds", "50 milliseconds"])
    def test_a_notice_says_that_time_is_over(self, db: Session, online: InstanceRelay, timeout: str) -> None:
        question_id = db.ask("zebra")
        db.run("call singularity.await_answer(%s, %s)", [question_id, timeout])
        assert [notice.split(" within ")[0] for notice in db.notices] == [
            f"no answer to question {question_id}"
        ]

    @pytest.mark.parametrize(
        ("question_id", "named"), [(uuid.UUID(int=7), str(uuid.UUID(int=7))), (None, "null")]
    )
    def test_an_unknown_question_is_refused(
        self, steady: Session, question_id: uuid.UUID | None, named: str
    ) -> None:
        with refused(steady, "P0002", f"there is no question {named}", "ask() returned"):
            steady.run("call singularity.await_answer(%s)", [question_id])

    @pytest.mark.parametrize(("timeout", "named"), [("-1 second", "-00:00:01"), (None, "null")])
    def test_a_timeout_that_is_none_is_refused(
        self, steady: Session, timeout: str | None, named: str
    ) -> None:
        with refused(steady, "22023", f"timeout is {named}", "interval of 0 or more"):
            steady.run("call singularity.await_answer(%s, %s)", [uuid.UUID(int=7), timeout])

    def test_inside_a_transaction_block_it_is_refused(self, db: Session, online: InstanceRelay) -> None:
        db.begin()
        question_id = db.ask("zebra")
        with refused(db, "25001", "await_answer cannot wait inside a transaction block", "autocommit"):
            db.run("call singularity.await_answer(%s)", [question_id])

    def test_inside_a_function_it_is_refused_too(self, db: Session, online: InstanceRelay) -> None:
        question_id = db.ask("zebra")
        db.run("""
            create function pg_temp.wait(question_id uuid) returns void language plpgsql as
            $$ begin call singularity.await_answer(question_id); end $$
        """)
        with refused(db, "25001", "await_answer cannot wait inside a transaction block", "autocommit"):
            db.run("select pg_temp.wait(%s)", [question_id])


ERRORS: list[tuple[Row, str, str, str]] = [
    ({"query": ""}, "22023", "query is empty", "Pass the words"),
    ({"query": None}, "22023", "query is empty", "Pass the words"),
    ({"query": "x" * 65537}, "54000", "query has 65537 bytes, the limit is 65536", "words"),
    ({"kind": "No"}, "22023", "kind 'No' is not valid", "1 to 64 characters"),
    ({"namespace": "a.b"}, "22023", "namespace 'a.b' is not valid", "1 to 64 characters"),
]


@pytest.mark.parametrize(("wrong", "sqlstate", "message", "hint"), ERRORS)
def test_what_cannot_be_asked_is_refused(
    steady: Session, wrong: Row, sqlstate: str, message: str, hint: str
) -> None:
    with refused(steady, sqlstate, message, hint):
        steady.ask(**{"query": "zebra", **wrong})


@pytest.mark.parametrize("isolation", ["read committed", "repeatable read", "serializable"])
def test_questions_of_any_isolation_level_are_answered_together(
    db: Session, open_session: Open, online: InstanceRelay, isolation: str
) -> None:
    sessions = [open_session() for _ in range(3)]
    for session in sessions:
        session.begin(isolation)
    ids = [session.ask("zebra") for session in sessions]
    for session in sessions:
        session.commit()
    assert None not in ids
    online.answer(online.take("question")[0], refined("zebra"))
    assert db.status()["open_questions"] == 0
    for question_id in ids:
        db.run("call singularity.await_answer(%s, '0 seconds')", [question_id])
    assert db.notices == []
