"""Both sides compare what they have, cheaply when equal, and mend each other."""

import json

import pytest
from psycopg.types.json import Jsonb
from tests.kit.pair import Authority, Instance, agree, reconcile, result, settle
from tests.kit.queries import row, rows, value
from tests.kit.speaker import Speaker

NOTHING = {"sent_again": 0, "restored": 0, "refreshed": 0}


def learn_many(here: Instance, count: int) -> None:
    """Learn so many artifacts."""
    artifacts = [{"kind": "pattern", "name": f"thing {n}", "content": n} for n in range(count)]
    here.connection.execute("select singularity.learn_many(%s)", [Jsonb(artifacts)])


def lose(there: Authority, share: int) -> int:
    """Have the authority forget one holding in so many; returns how many."""
    query = "delete from centralcloud.holding where abs(('x' || left(artifact_id::text, 8))::bit(32)::int) %% %s = 0"
    return there.db.execute(query, [share]).rowcount


def test_what_is_equal_takes_one_small_message(here: Instance, there: Authority) -> None:
    learn_many(here, 1000)
    here.use("thing 1", 3)
    settle(there, here)
    requests = reconcile(there, here)
    assert [len(message.payload) < 400 for message in requests] == [True]
    assert agree(there, here)
    assert result(here) == NOTHING
    assert row(here.connection, "select entries::int from singularity.digest()") == {"entries": 1001}


def test_nothing_to_compare_is_equal(here: Instance, there: Authority) -> None:
    assert len(reconcile(there, here)) == 1
    assert agree(there, here)


def test_what_the_authority_lost_it_gets_again(here: Instance, there: Authority) -> None:
    learn_many(here, 20)
    here.use("thing 1", 3)
    here.use("thing 2", 2, False)
    settle(there, here)
    there.db.execute("delete from centralcloud.holding")
    there.db.execute("delete from centralcloud.evidence where uses = 3")
    assert not agree(there, here)
    reconcile(there, here)
    assert result(here) == {**NOTHING, "sent_again": 21}
    assert agree(there, here)
    assert there.counters("thing 1") == (3, 3)
    assert there.counters("thing 2") == (2, 0)
    assert here.status()["outbox_entries"] == 0


def test_the_cost_grows_with_the_difference(here: Instance, there: Authority) -> None:
    learn_many(here, 3000)
    settle(there, here)
    sizes = []
    for share in (1000, 10):
        lost = lose(there, share)
        assert lost > 0
        sizes.append(sum(len(message.payload) for message in reconcile(there, here)))
        assert result(here) == {**NOTHING, "sent_again": lost}
        assert agree(there, here)
    assert sizes[0] < sizes[1] / 3


def test_a_lost_receipt_is_made_good_without_sending_again(here: Instance, there: Authority) -> None:
    learn_many(here, 5)
    settle(there, here)
    here.learn("late", 1)
    there.relay.give(here.relay.take("contribution"))
    assert here.status()["outbox_entries"] == 1
    here.owner.execute("update singularity.identity set restoring = true")
    here.owner.execute("select singularity.want_comparison()")
    settle(there, here)
    assert here.status()["outbox_entries"] == 0
    assert result(here) == NOTHING
    assert agree(there, here)


def test_an_older_state_at_the_authority_is_replaced(here: Instance, there: Authority) -> None:
    here.learn("thing", "old")
    here.use("thing", 2)
    settle(there, here)
    kept = [
        (table, rows(there.db, f"select to_jsonb(t) as t from centralcloud.{table} t"))
        for table in ("holding", "evidence")
    ]
    here.learn("thing", "new")
    here.use("thing", 5)
    settle(there, here)
    for table, states in kept:
        there.db.execute(f"delete from centralcloud.{table}".encode())
        insert = f"insert into centralcloud.{table} select * from jsonb_populate_record(null::centralcloud.{table}, %s)"
        for state in states:
            there.db.execute(insert.encode(), [Jsonb(state["t"])])
    reconcile(there, here)
    assert agree(there, here)
    assert there.content("thing") == "new"
    assert there.counters("thing") == (7, 7)


def test_what_is_withdrawn_or_private_makes_no_difference(here: Instance, there: Authority) -> None:
    here.learn("gone")
    here.learn("hidden")
    here.learn("never", shared=False)
    here.use("gone")
    here.use("never")
    settle(there, here)
    here.forget("gone", everywhere=True)
    here.learn("hidden", shared=False)
    settle(there, here)
    assert len(reconcile(there, here)) == 1
    assert agree(there, here)
    there.db.execute("delete from centralcloud.holding")
    there.db.execute("delete from centralcloud.evidence")
    reconcile(there, here)
    assert agree(there, here)
    assert there.content("gone") is None
    assert there.content("hidden") is None
    assert value(there.db, "select count(*) from centralcloud.evidence where uses > 0") == 0


def test_what_the_authority_refuses_makes_no_difference(here: Instance, there: Authority) -> None:
    here.learn("fine")
    here.owner.execute("update singularity.holding set content = '2'")
    here.learn("good")
    settle(there, here)
    assert here.status()["set_aside"] == 1
    assert len(reconcile(there, here)) == 1
    assert agree(there, here)


@pytest.mark.parametrize("rounds", [1, 3])
def test_what_goes_on_meanwhile_is_not_disturbed(here: Instance, there: Authority, rounds: int) -> None:
    learn_many(here, 300)
    settle(there, here)
    lose(there, 3)
    here.owner.execute("select singularity.want_comparison()")
    here.relay.tick()
    for n in range(rounds):
        here.learn("thing 7", f"changed {n}")
        here.use("thing 8")
        for request in here.relay.take("sync"):
            there.relay.give(here.relay.take("contribution"))
            here.relay.reply(request, there.relay.serve(request))
    here.owner.execute("update singularity.batch set offered_at = offered_at - interval '1 hour'")
    settle(there, here)
    reconcile(there, here)
    assert agree(there, here)
    assert there.content("thing 7") == f"changed {rounds - 1}"
    assert there.counters("thing 8") == (rounds, rounds)


def test_copies_of_a_followed_topic_are_mended(here: Instance, there: Authority) -> None:
    learn_many(here, 30)
    here.call("follow", kind="pattern")
    settle(there, here)
    assert here.status()["cached_artifacts"] == 30
    here.owner.execute("delete from singularity.central_copy where name < 'thing 2'")
    here.owner.execute(
        "update singularity.central_copy set revision = revision - 1, content = '0' where name = 'thing 3'"
    )
    there.db.execute("delete from centralcloud.artifact where name = 'thing 4'")
    reconcile(there, here)
    assert result(here)["refreshed"] > 10
    copies = (
        "select count(*) from singularity.central_copy where not unknown and content::text = substr(name, 7)"
    )
    assert value(here.connection, copies) == 29
    assert row(here.connection, "select name from singularity.central_copy where unknown") == {
        "name": "thing 4"
    }
    reconcile(there, here)
    assert result(here) == NOTHING


def test_what_was_forgotten_here_is_not_brought_back(here: Instance, there: Authority) -> None:
    learn_many(here, 5)
    here.call("follow", kind="pattern")
    settle(there, here)
    here.forget("thing 1")
    settle(there, here)
    reconcile(there, here)
    assert result(here) == NOTHING
    assert rows(here.connection, "select * from singularity.lookup('pattern', 'thing 1')") == []
    assert here.status()["cached_artifacts"] == 4


def test_a_restarted_authority_is_compared_with(here: Instance, there: Authority) -> None:
    """Its bridge begins a new epoch; where all is equal that is one message for each side, and one for the heads."""
    learn_many(here, 5)
    here.call("follow", kind="pattern")
    settle(there, here)
    there.relay.close()
    there.relay = type(there.relay).of(there.database)
    here.sent.clear()
    here.owner.execute("update singularity.authority set hello_sent_at = null")
    settle(there, here)
    said = [json.loads(message.payload) for message in here.sent]
    assert [body["type"] for body in said] == ["hello", "heads", "digest"]
    assert [one["topic"] for one in said[2]["ranges"]] == ["", "default/pattern"]


NULLS = {"a": None, "b": [None, {"c": None}]}


def test_nulls_in_content_come_back_as_they_were(here: Instance, there: Authority) -> None:
    here.learn("thing", NULLS)
    settle(there, here)
    here.owner.execute("delete from singularity.holding; delete from singularity.delivery")
    reconcile(there, here)
    assert result(here)["restored"] == 1
    assert here.known("thing")["content"] == NULLS
    assert here.status()["dead_letters"] == 0


def test_nulls_in_the_content_of_a_copy_stay(here: Instance, there: Authority) -> None:
    ann = Speaker(1)
    here.call("follow", kind="pattern")
    there.relay.give([ann.says(ann.holds(NULLS, "thing", kind="pattern"))])
    settle(there, here)
    here.owner.execute("update singularity.central_copy set revision = 0, content = '1'")
    reconcile(there, here)
    assert result(here)["refreshed"] == 1
    assert value(here.owner, "select content from singularity.central_copy") == NULLS
    assert here.status()["dead_letters"] == 0
