"""What is asked for before the authority has published it is answered like any other, and kept."""

from tests.kit.pair import Authority, Instance, settle
from tests.kit.queries import row, rows
from tests.kit.relay import exchange
from tests.kit.speaker import Speaker

from singularity_lab import Database


def test_an_answer_before_its_push(authority: Database, instance: Database) -> None:
    there, here = Authority(authority), Instance(instance)
    try:
        here.call("connect")
        settle(there, here)
        ann = Speaker(1)
        there.relay.give([ann.says(ann.holds("zebra", "thing", kind="pattern"))])
        assert row(there.db, "select revision from centralcloud.artifact") == {"revision": 0}
        look = "select content, revision from singularity.lookup('pattern', 'thing')"
        assert rows(here.connection, look) == []
        assert len(exchange(here.relay, there.relay, "question")) == 1
        assert rows(here.connection, look) == [{"content": "zebra", "revision": 0}]
        assert here.status()["dead_letters"] == 0
    finally:
        here.close()
        there.close()
