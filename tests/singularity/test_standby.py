"""A read-only standby answers from what is here and does not fail."""

import psycopg
import pytest
from tests.kit.instance_relay import InstanceRelay
from tests.kit.session import Session
from tests.singularity.standby import Standby

from singularity_lab import Database, Lab


def test_a_streaming_standby_answers(lab: Lab, lab_instance: Database) -> None:
    primary = lab_instance.cluster
    with lab_instance.connect() as connection, lab_instance.connect(lab_instance.relay) as bridge:
        db, relay = Session(connection), InstanceRelay(Session(bridge))
        db.learn("thing", {"say": "zebra"}, summary="sum")
        db.outcome("thing")
        db.call("connect")
        relay.attach()
        relay.go_online()
        standby = lab.start(Standby(primary, lab.folder / "standby", lab.logs / "standby.log"))
        db.learn("later", {"say": "okapi"})
        relay.go_online()
        known, status = db.known("thing"), db.status()
        standby.catch_up()
        with standby.connect(lab_instance.name, lab_instance.viewer) as reading:
            there = Session(reading)
            assert there.value("select pg_is_in_recovery()")
            assert there.known("thing") == known
            assert there.known("later")["content"] == {"say": "okapi"}
            assert there.lookup("nothing") is None
            assert there.names("zebra") == ["thing"]
            assert there.recall("unheard of") == []
            assert len(there.history("thing")) == 1
            assert there.ask("zebra") is None
            assert there.notices == ["the question was not queued: this transaction is read-only"]
            assert there.status()["instance_id"] == status["instance_id"]
            assert there.status()["outbox_entries"] == status["outbox_entries"]
            there.begin("repeatable read")
            assert there.lookup("nothing") is None
            assert there.names("okapi") == ["later"]
            there.commit()
        with standby.connect(lab_instance.name, lab_instance.user) as writing:
            for statement in (
                "select singularity.learn('pattern', 'new', '1')",
                "select singularity.record_outcome('pattern', 'thing', true)",
                "select singularity.forget('pattern', 'thing')",
            ):
                with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
                    writing.execute(statement.encode())
        assert db.status()["open_questions"] == 0
