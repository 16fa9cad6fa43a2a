"""A clock that was set back stops nothing: pauses that began in its future are over."""

import pytest
from tests.kit.instance_relay import InstanceRelay
from tests.kit.session import Session

AHEAD = "interval '1 hour'"


@pytest.fixture
def paused(db: Session, online: InstanceRelay, owner: Session) -> Session:
    """Have everything under way that waits for an answer, an hour in the future."""
    online.welcome()
    db.learn("thing")
    online.take("contribution")
    db.ask("zebra")
    online.question()
    db.call("follow", kind="pattern")
    online.tick()
    online.heads({"default/pattern": 3})
    online.take("sync")
    owner.run(f"update singularity.batch set offered_at = offered_at + {AHEAD}")
    owner.run(f"update singularity.question set next_attempt_at = next_attempt_at + {AHEAD}")
    owner.run(f"update singularity.topic set requested_at = requested_at + {AHEAD}")
    owner.run(f"update singularity.comparison set requested_at = requested_at + {AHEAD}")
    return owner


def test_what_waits_for_an_answer_is_sent_again(paused: Session, online: InstanceRelay) -> None:
    online.tick()
    assert set(online.arm()) == {"question", "sync", "contribution"}
    kinds = {message.body["type"] for queue in ("question", "sync") for message in online.take(queue)}
    assert kinds == {"ask", "changes", "digest"}
    (again,) = online.take("contribution")
    assert [record["name"] for record in again.records] == ["thing"]


def test_a_hello_is_said_to_a_connection_that_seems_older_than_the_welcome(
    paused: Session, online: InstanceRelay
) -> None:
    paused.run(
        f"update singularity.authority set welcomed_at = now() + {AHEAD}, hello_sent_at = now() + {AHEAD}"
    )
    assert "hello" in [message.body["type"] for message in online.take("sync")]


def test_a_comparison_is_made_though_the_last_one_lies_ahead(paused: Session, online: InstanceRelay) -> None:
    paused.run("delete from singularity.comparison")
    paused.run("delete from singularity.outbox")
    paused.run(
        "update singularity.reconciliation set wanted_at = null, "
        f"started_at = now() + {AHEAD}, finished_at = now() + {AHEAD}"
    )
    online.tick()
    assert "digest" in [message.body["type"] for message in online.take("sync")]
