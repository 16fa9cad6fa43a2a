"""status(): how things stand, in one row; the rest of its columns are tested where they change."""

from datetime import UTC, datetime, timedelta

import pytest
from tests.kit.instance_relay import InstanceRelay, receipt_for, refined
from tests.kit.session import Session

COLUMNS = [
    "instance_id",
    "instance_name",
    "environment",
    "mode",
    "online",
    "bridge_seen_at",
    "authority_heard_at",
    "outbox_entries",
    "outbox_oldest_at",
    "open_questions",
    "cached_artifacts",
    "set_aside",
    "dead_letters",
    "extension_version",
    "bridge_version",
    "troubles",
    "public_key",
    "authority_key",
    "rejections",
]


def test_a_new_database_says_that_it_is_alone(db: Session) -> None:
    status = db.status()
    assert list(status) == COLUMNS
    instance_id, version = status.pop("instance_id"), status.pop("extension_version")
    assert version == db.value("select extversion from pg_extension where extname = 'singularity'")
    assert status == {
        "instance_name": f"instance-{str(instance_id)[:8]}",
        "environment": "dev",
        "mode": "local",
        "online": False,
        "bridge_seen_at": None,
        "authority_heard_at": None,
        "outbox_entries": 0,
        "outbox_oldest_at": None,
        "open_questions": 0,
        "cached_artifacts": 0,
        "set_aside": 0,
        "dead_letters": 0,
        "bridge_version": None,
        "troubles": [],
        "public_key": None,
        "authority_key": None,
        "rejections": 0,
    }


def test_it_counts_what_there_is(db: Session, online: InstanceRelay) -> None:
    db.call("configure", instance_name="laptop", environment="prod")
    db.learn("bad")
    (message,) = online.contributions()
    online.receipt(receipt_for(message.records[0], "refused", reason="blocked"))
    db.learn("waiting")
    db.ask("zebra")
    online.answer(online.question(), refined("zebra"))
    db.ask("horse")
    online.receive("singularity.heads", b"bad")
    status = db.status()
    recent = datetime.now(UTC) - timedelta(minutes=1)
    assert status["instance_name"] == "laptop"
    assert status["environment"] == "prod"
    assert (status["mode"], status["online"]) == ("hybrid", True)
    assert status["bridge_seen_at"] > recent
    assert status["authority_heard_at"] > recent
    assert (status["outbox_entries"], status["open_questions"], status["cached_artifacts"]) == (1, 1, 1)
    assert (status["set_aside"], status["dead_letters"]) == (1, 1)
    assert status["outbox_oldest_at"] == db.history("waiting")[0]["learned_at"]


@pytest.mark.usefixtures("online")
def test_everybody_who_may_read_sees_the_same(db: Session, viewer: Session) -> None:
    assert viewer.status() == db.status()
