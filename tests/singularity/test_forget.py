"""forget(): a tombstone hides an artifact here, and everywhere => true removes its contents."""

import psycopg
import pytest
from tests.kit.instance_relay import InstanceRelay, refined
from tests.kit.session import Session


def test_it_says_whether_there_was_anything_to_forget(db: Session) -> None:
    assert db.forget("thing") is False
    db.learn("thing")
    assert db.forget("thing", namespace="elsewhere") is False
    assert db.forget("thing") is True
    assert db.forget("thing") is False


def test_what_is_forgotten_is_gone_but_for_its_history(db: Session) -> None:
    db.learn("thing", {"text": "zebra"}, summary="sum", tags=["t"])
    db.forget("thing")
    assert db.lookup("thing") is None
    assert db.recall("zebra thing sum") == []
    tomb, old = db.history("thing")
    assert (tomb["forgotten"], tomb["variant"], tomb["content"], tomb["summary"], tomb["tags"]) == (
        True,
        None,
        None,
        None,
        [],
    )
    assert (old["forgotten"], old["content"]) == (False, {"text": "zebra"})


def test_outcomes_of_what_is_forgotten_are_refused(db: Session) -> None:
    db.learn("thing")
    db.forget("thing")
    with pytest.raises(psycopg.errors.NoDataFound, match="pattern 'thing' is not known here"):
        db.outcome("thing")


def test_it_can_be_learned_again_afresh(db: Session) -> None:
    db.learn("thing", "old", summary="sum", tags=["t"])
    db.forget("thing")
    db.learn("thing", "old")
    row = db.known("thing")
    assert (row["content"], row["summary"], row["tags"]) == ("old", None, [])
    assert len(db.history("thing")) == 3


def test_what_was_private_stays_private_after_it_was_forgotten(db: Session) -> None:
    db.learn("secret", shared=False)
    db.forget("secret")
    db.learn("secret", "again")
    assert [version["shared"] for version in db.history("secret")] == [False, False, False]


def test_everywhere_removes_the_contents_from_history(db: Session) -> None:
    for content in ("one", "two"):
        db.learn("thing", content)
    assert db.forget("thing", everywhere=True) is True
    assert [(version["content"], version["forgotten"]) for version in db.history("thing")] == [
        (None, True),
        (None, False),
        (None, False),
    ]
    assert db.value("select count(*) from singularity.holding where content is not null") == 0
    assert db.forget("thing", everywhere=True) is False


def test_everywhere_also_takes_what_was_forgotten_here_before(db: Session) -> None:
    db.learn("thing", "one")
    assert db.forget("thing") is True
    assert db.forget("thing", everywhere=True) is True
    assert all(version["content"] is None for version in db.history("thing"))


def test_a_central_copy_is_forgotten_and_does_not_come_back(db: Session, online: InstanceRelay) -> None:
    db.ask("thing")
    question = online.question()
    online.answer(question, refined("thing"))
    assert db.forget("thing") is True
    assert db.lookup("thing") is None
    assert db.recall("thing") == []
    online.tick()
    assert db.status()["cached_artifacts"] == 0
    db.ask("another thing")
    online.answer(online.take("question")[-1], refined("thing", revision=2))
    assert db.lookup("thing") is None


def test_forgetting_here_is_nobody_elses_business(db: Session, online: InstanceRelay) -> None:
    db.learn("thing")
    online.send_all()
    db.forget("thing")
    assert db.outbox() == []
    assert online.contributions() == []


def test_in_mode_local_nothing_is_queued(db: Session) -> None:
    db.learn("thing")
    db.forget("thing", everywhere=True)
    assert db.outbox() == []


def test_what_is_forgotten_is_not_asked_for(db: Session, online: InstanceRelay) -> None:
    db.learn("thing")
    db.forget("thing")
    assert db.lookup("thing") is None
    assert online.take("question") == []


def test_a_forgotten_row_does_not_stand_for_an_answer(db: Session, online: InstanceRelay) -> None:
    """A transaction above READ COMMITTED leaves the searchable text of what it forgets to others."""
    db.learn("thing", {"text": "zebra"})
    db.begin("repeatable read")
    db.forget("thing")
    db.commit()
    assert db.recall("zebra") == []
    assert [question.body["query"] for question in online.take("question")] == ["zebra"]
