"""What is asked for before the authority has published it is answered like any other, kept, and taken back."""

import pytest
from tests.kit.pair import Authority, Instance, settle
from tests.kit.queries import row, rows
from tests.kit.relay import exchange
from tests.kit.speaker import Speaker

LOOK = "select content, revision from singularity.lookup('pattern', 'thing')"
COPIES = "select name, revision from singularity.central_copy"


def test_an_answer_before_its_push(there: Authority, here: Instance) -> None:
    settle(there, here)
    ann = Speaker(1)
    there.relay.give([ann.says(ann.holds("zebra", "thing", kind="pattern"))])
    assert row(there.db, "select revision from centralcloud.artifact") == {"revision": 0}
    assert rows(here.connection, LOOK) == []
    assert len(exchange(here.relay, there.relay, "question")) == 1
    assert rows(here.connection, LOOK) == [{"content": "zebra", "revision": 0}]
    assert here.status()["dead_letters"] == 0


@pytest.mark.parametrize("known_topic", [True, False])
@pytest.mark.parametrize("follows", [True, False])
@pytest.mark.parametrize("late", [True, False])
def test_withdrawn_before_its_push(
    there: Authority, here: Instance, known_topic: bool, follows: bool, late: bool
) -> None:
    """Whoever got it in an answer hears that it is withdrawn, also when the answer comes after the removal."""
    ann = Speaker(1)
    if follows:
        here.call("follow", kind="pattern")
    if known_topic:
        there.relay.give([ann.says(ann.holds("lasting", "lasting", kind="pattern"))])
    settle(there, here)
    there.relay.give([ann.says(ann.holds("zebra", "thing", kind="pattern"))])
    assert rows(here.connection, LOOK) == []
    (question,) = here.relay.take("question")
    answer = there.relay.serve(question)
    if not late:
        here.relay.reply(question, answer)
    there.relay.give([ann.says(ann.withdraws("thing", kind="pattern"))])
    settle(there, here)
    if late:
        here.relay.reply(question, answer)
        assert {"name": "thing", "revision": 0} in rows(here.connection, COPIES)
        there.db.execute("update centralcloud.publisher set heads_sent_at = null")
        settle(there, here)
    assert "thing" not in {found["name"] for found in rows(here.connection, COPIES)}
    assert rows(here.connection, LOOK) == []
