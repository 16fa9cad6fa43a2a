"""Databases that were restored or copied: nothing is lost or counted twice, and no twin speaks unnoticed."""

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.kit.pair import (
    ALARM,
    Authority,
    Instance,
    agree,
    converse,
    give_up,
    reconcile,
    result,
    settle,
)
from tests.kit.queries import row, rows, value

from singularity_lab import Cluster, Database, Lab

Copy = Callable[[], Instance]


@pytest.fixture
def restore(instance: Database, here: Instance, tmp_path: Path) -> Iterator[Callable[[], Copy]]:
    """Return a function that dumps the instance now and returns one that restores the dump."""
    cluster = instance.cluster
    copies: list[Instance] = []

    def dump() -> Copy:
        file = tmp_path / "dump"
        cluster.tool("pg_dump", "--format=custom", "--file", file, database=instance.name)

        def again() -> Instance:
            name = f"{instance.name}_copy{len(copies)}"
            cluster.create_database(name)
            cluster.tool("pg_restore", "--exit-on-error", "--dbname", name, file)
            copies.append(Instance(Database(cluster, name, "singularity", instance.roles)))
            return copies[-1]

        return again

    yield dump
    for copy in copies:
        copy.close()
        cluster.drop_database(copy.database.name)


def going_on(instance: Instance) -> Instance:
    """Say that a restored database goes on as the instance it was."""
    instance.connection.execute("call singularity.keep_identity()")
    return instance


Dump = Callable[[], Copy]


def test_twenty_fifty_and_fifty_three(here: Instance, there: Authority, restore: Dump) -> None:
    here.learn("thing")
    here.use("thing", 20)
    settle(there, here)
    again = restore()
    here.use("thing", 30)
    settle(there, here)
    assert there.counters("thing") == (50, 50)
    here.relay.close()
    restored = going_on(again())
    assert restored.known("thing")["uses"] == 20
    restored.use("thing", 3)
    settle(there, restored)
    assert there.counters("thing") == (53, 53)
    assert restored.known("thing")["uses"] == 53
    assert agree(there, restored)
    assert value(there.db, ALARM) == 0


def test_outcomes_that_were_not_folded_at_the_dump_count_once(
    here: Instance, there: Authority, restore: Dump
) -> None:
    here.learn("thing")
    here.use("thing", 2)
    settle(there, here)
    here.use("thing", 5)
    again = restore()
    here.use("thing", 10)
    settle(there, here)
    here.relay.close()
    restored = going_on(again())
    restored.use("thing", 1, False)
    settle(there, restored)
    assert there.counters("thing") == (18, 17)
    assert restored.known("thing")["uses"] == 18


def test_a_dump_that_nothing_came_after_goes_on_in_its_incarnation(
    here: Instance, there: Authority, restore: Dump
) -> None:
    here.learn("thing")
    here.use("thing", 20)
    settle(there, here)
    again = restore()
    here.relay.close()
    restored = going_on(again())
    restored.use("thing", 3)
    settle(there, restored)
    assert there.counters("thing") == (23, 23)
    assert value(there.db, "select count(*) from centralcloud.evidence") == 1
    assert value(restored.connection, "select count(*) from singularity.evidence") == 1


def test_what_was_learned_after_the_dump_comes_back(here: Instance, there: Authority, restore: Dump) -> None:
    here.learn("old", "first")
    settle(there, here)
    again = restore()
    here.learn("old", "second", summary="sum", tags=["t"])
    here.learn("new", {"a": 1})
    settle(there, here)
    here.relay.close()
    restored = going_on(again())
    settle(there, restored)
    assert restored.known("old")["content"] == "second"
    assert (restored.known("old")["summary"], restored.known("old")["tags"]) == ("sum", ["t"])
    assert restored.known("new")["content"] == {"a": 1}
    assert result(restored)["restored"] == 2
    assert agree(there, restored)
    found = rows(restored.connection, "select name from singularity.recall('new')")
    assert found[0]["name"] == "new"


def test_what_is_learned_after_the_restore_prevails(here: Instance, there: Authority, restore: Dump) -> None:
    """Its numbers were given before, in the incarnation that is lost, and are given anew."""
    here.learn("thing", "first")
    settle(there, here)
    again = restore()
    for n in range(5):
        here.learn("thing", f"lost {n}")
    settle(there, here)
    here.relay.close()
    restored = again()
    restored.learn("thing", "after")
    restored.learn("other", "too")
    restored.use("thing")
    going_on(restored)
    settle(there, restored)
    assert there.content("thing") == "after"
    assert there.content("other") == "too"
    assert restored.known("thing")["content"] == "after"
    contents = [
        version["content"]
        for version in rows(restored.connection, "select * from singularity.history('pattern', 'thing')")
    ]
    assert "lost 4" in contents
    assert there.counters("thing") == (1, 1)
    assert agree(there, restored)


@pytest.mark.parametrize("everywhere", [True, False])
def test_what_was_withdrawn_after_the_dump_stays_withdrawn(
    here: Instance, there: Authority, restore: Dump, everywhere: bool
) -> None:
    here.learn("secret", "told too much")
    here.use("secret")
    settle(there, here)
    again = restore()
    if everywhere:
        here.forget("secret", everywhere=True)
    else:
        here.learn("secret", "told too much", shared=False)
    settle(there, here)
    assert there.content("secret") is None
    here.relay.close()
    restored = going_on(again())
    settle(there, restored)
    reconcile(there, restored)
    assert there.content("secret") is None
    assert there.counters("secret") == (0, 0)
    assert row(
        restored.connection, "select shared from singularity.history('pattern', 'secret') limit 1"
    ) == {"shared": False}
    assert agree(there, restored)


def test_until_somebody_says_which_it_is_a_copy_is_silent(
    here: Instance, there: Authority, restore: Dump
) -> None:
    here.learn("thing")
    settle(there, here)
    again = restore()
    copy = again()
    copy.learn("more")
    assert copy.status()["mode"] == "hybrid"
    assert value(copy.relay.connection, "select (singularity.bridge_plan() ->> 'speaking')::bool") is False
    (trouble,) = [one for one in copy.status()["troubles"] if "restored or copied" in one]
    assert "keep_identity()" in trouble
    assert "reidentify()" in trouble
    settle(there, copy)
    assert there.content("more") is None
    going_on(copy)
    assert value(copy.relay.connection, "select (singularity.bridge_plan() ->> 'speaking')::bool") is True
    assert not [one for one in copy.status()["troubles"] if "restored or copied" in one]


def test_nothing_is_to_be_decided_in_an_original(here: Instance) -> None:
    before = here.status()["instance_id"]
    notices: list[str] = []
    here.connection.add_notice_handler(lambda notice: notices.append(notice.message_primary or ""))
    here.connection.execute("call singularity.keep_identity()")
    assert notices == ["this database is known to be ann, nothing is to be decided"]
    assert here.status()["instance_id"] == before


def test_a_copy_that_is_another_instance(here: Instance, there: Authority, restore: Dump) -> None:
    here.learn("thing", "a")
    here.learn("hidden", shared=False)
    here.use("thing", 4)
    settle(there, here)
    here.use("thing", 1)
    again = restore()
    copy = again()
    me = copy.status()["instance_id"]
    new_id = copy.value("select singularity.reidentify()")
    assert str(new_id) != str(me)
    copy.call("configure", instance_name="bob")
    copy.use("thing", 2, False)
    here.use("thing", 1)
    settle(there, here, copy)
    assert there.counters("thing") == (8, 6)
    assert value(there.db, "select holders from centralcloud.artifact where name = 'thing'") == 2
    assert there.content("hidden") is None
    assert sorted(
        r["instance_name"] for r in rows(there.db, "select instance_name from centralcloud.instance")
    ) == [
        "ann",
        "bob",
    ]
    assert copy.known("thing")["uses"] == 8
    assert agree(there, here)
    assert agree(there, copy)
    assert value(there.db, ALARM) == 0


def test_twins_are_noticed_and_told_how_to_mend(here: Instance, there: Authority, restore: Dump) -> None:
    there.db.execute("""select centralcloud.configure('{"twin_grace": "0"}')""")
    here.learn("thing")
    settle(there, here)
    again = restore()
    twin = going_on(again())
    for speaker in (here, twin, here):
        reconcile(there, speaker)
    assert value(there.db, ALARM) == 1
    (trouble,) = row(there.db, "select centralcloud.troubles(false) as t")["t"]
    assert "Two databases speak as ann" in trouble
    reconcile(there, twin)
    for speaker in (here, twin):
        assert [one for one in speaker.status()["troubles"] if "two databases speak as ann" in one]
    twin.call("reidentify")
    value(there.db, "select centralcloud.dismiss_twin_alarm(%s)", here.status()["instance_id"])
    reconcile(there, here, twin)
    assert value(there.db, ALARM) == 0
    assert [
        one for speaker in (here, twin) for one in speaker.status()["troubles"] if "speak as" in one
    ] == []
    assert agree(there, here)
    assert agree(there, twin)


def test_a_bridge_that_starts_anew_is_no_twin(here: Instance, there: Authority) -> None:
    there.db.execute("""select centralcloud.configure('{"twin_grace": "0"}')""")
    here.learn("thing")
    for _ in range(3):
        settle(there, here)
        here.relay.close()
        here.relay = type(here.relay).of(here.database)
        here.owner.execute("update singularity.authority set hello_sent_at = null")
    reconcile(there, here)
    assert value(there.db, ALARM) == 0


def test_the_authority_gets_back_what_its_backup_lacks(
    here: Instance, there: Authority, authority: Database, tmp_path: Path
) -> None:
    here.learn("old", "first")
    here.use("old", 2)
    here.call("follow", kind="pattern")
    settle(there, here)
    cluster = authority.cluster
    cluster.tool("pg_dump", "--format=custom", "--file", tmp_path / "backup", database=authority.name)
    here.learn("old", "second")
    here.use("old", 3)
    here.learn("new", 1)
    here.learn("gone")
    settle(there, here)
    here.forget("gone", everywhere=True)
    settle(there, here)
    there.relay.connection.close()
    there.db.close()
    with cluster.connect() as server:
        give_up(server, authority.name)
    cluster.drop_database(authority.name)
    cluster.create_database(authority.name)
    cluster.tool("pg_restore", "--exit-on-error", "--dbname", authority.name, tmp_path / "backup")
    there.__init__(authority)  # type: ignore[misc]
    assert there.content("old") == "first"
    here.owner.execute("update singularity.authority set hello_sent_at = null")
    settle(there, here)
    assert agree(there, here)
    assert there.content("old") == "second"
    assert there.content("new") == 1
    assert there.content("gone") is None
    assert there.counters("old") == (5, 5)
    copies = "select name, content, revision from singularity.central_copy order by name"
    published = """
        select a.name, v.content, a.revision from centralcloud.artifact a
        join centralcloud.variant v using (artifact_id, variant) order by 1
    """
    reconcile(there, here)
    assert rows(here.connection, copies) == rows(there.db, published)


# A server restored from a base backup, or started again: its mark is the same


class OwnServer:
    """A server of the test's own with an instance, whose files can be kept and put back."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.cluster: Cluster = lab.cluster("machine", fsync=False)
        self.database = lab.instance("machine", cluster=self.cluster)
        self.backup = folder / "backup"
        self.instance = Instance(self.database)
        self.instance.call("configure", instance_name="ann")
        self.instance.call("connect")

    def restart(self, *, keep: bool = False, restore: bool = False) -> Instance:
        """Stop and start the server, keeping its files or putting them back in between."""
        self.instance.close()
        self.cluster.stop()
        if keep:
            subprocess.run(["cp", "-a", self.cluster.data, self.backup], check=True)
        if restore:
            subprocess.run(["rm", "-rf", self.cluster.data], check=True)
            subprocess.run(["cp", "-a", self.backup, self.cluster.data], check=True)
        self.cluster.start()
        self.instance = Instance(self.database)
        return self.instance


@pytest.fixture
def machine(lab: Lab, tmp_path: Path) -> Iterator[OwnServer]:
    """Start a server with an instance."""
    one = OwnServer(lab, tmp_path)
    yield one
    one.instance.close()


def test_a_restart_makes_no_new_incarnation(machine: OwnServer, there: Authority) -> None:
    machine.instance.learn("thing")
    machine.instance.use("thing", 2)
    settle(there, machine.instance)
    for _ in range(2):
        here = machine.restart()
        here.use("thing", 3)
        here.connection.execute("call singularity.maintain()")
        assert here.known("thing")["uses"] > 2
        here.relay.take("contribution")
        assert value(there.db, "select count(*) from centralcloud.evidence") == 1
    here.use("thing", 1)
    settle(there, here)
    assert there.counters("thing") == (9, 9)
    assert value(there.db, "select count(*) from centralcloud.evidence") == 1
    assert value(here.connection, "select count(*) from singularity.evidence") == 1
    assert agree(there, here)


def test_twenty_fifty_and_fifty_three_from_a_base_backup(machine: OwnServer, there: Authority) -> None:
    machine.instance.learn("thing", "first")
    machine.instance.use("thing", 20)
    settle(there, machine.instance)
    here = machine.restart(keep=True)
    here.use("thing", 30)
    here.learn("thing", "second")
    here.learn("new", 1)
    settle(there, here)
    assert there.counters("thing") == (50, 50)
    here = machine.restart(restore=True)
    here.use("thing", 3)
    here.learn("other", "after")
    settle(there, here)
    assert there.counters("thing") == (53, 53)
    assert value(here.connection, "select sum(uses)::int from singularity.evidence") == 53
    assert here.known("thing")["content"] == "second"
    assert here.known("new")["content"] == 1
    assert there.content("other") == "after"
    assert agree(there, here)
    here.use("thing", 1)
    settle(there, here)
    assert there.counters("thing") == (54, 54)


def test_what_is_recorded_while_the_authority_is_away_is_told_as_an_incarnation_of_its_own(
    machine: OwnServer, there: Authority
) -> None:
    """A machine hands over what it learned and leaves, though nobody has answered its hello."""
    machine.instance.learn("thing")
    machine.instance.use("thing", 20)
    settle(there, machine.instance)
    here = machine.restart()
    here.use("thing", 2)
    here.owner.execute("update singularity.bridge_state set connected_at = now() - interval '1 minute'")
    sent = here.relay.take("contribution")
    assert len(sent) == 1
    here.use("thing", 1)
    there.relay.give(sent)
    assert there.counters("thing") == (22, 22)
    settle(there, here)
    assert there.counters("thing") == (23, 23)
    assert here.known("thing")["uses"] == 23
    assert agree(there, here)


def test_an_incarnation_is_not_confirmed_before_the_stream_is_read(
    machine: OwnServer, there: Authority
) -> None:
    """The lost incarnation's last words may still be in it."""
    machine.instance.learn("thing")
    machine.instance.use("thing", 20)
    settle(there, machine.instance)
    here = machine.restart()
    here.use("thing", 30)
    confirmed = []
    for passed in (3, 7):
        here.relay.tick(streams=stream(7))
        there.relay.tick(streams=stream(7), consumers={"centralcloud": {"ack_floor": passed, "pending": 0}})
        there.db.execute("update centralcloud.publisher set heads_sent_at = null")
        here.relay.give(there.relay.take("heartbeat"))
        here.owner.execute(
            "update singularity.authority set hello_sent_at = hello_sent_at - interval '1 minute'"
        )
        asked = [json.loads(request.payload)["type"] for request in converse(there, here)]
        assert [one for one in asked if one != "heads"] == ["hello"]
        assert bool(here.relay.take("contribution")) == (passed == 7)
        confirmed.append(value(here.owner, "select singularity.is_confirmed()"))
    assert confirmed == [False, True]


def stream(last_sequence: int) -> dict[str, object]:
    """Return the bridge's report of the stream."""
    state = {"created": "now", "messages": 1, "bytes": 1, "last_sequence": last_sequence}
    return {"singularity_contributions": state}
