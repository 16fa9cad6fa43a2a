"""Whatever comes twice, late, in disorder, spoiled or in another's name, everybody agrees in the end."""

import functools
import random
from typing import Any

import psycopg
import pytest
from tests.kit.machine import Machine
from tests.kit.queries import row, rows, value
from tests.kit.team import Team, fresh
from tests.path.wire import Wire
from tests.security.attacker import Attacker, seed_of

from singularity_lab import Database, wait_until

KNOWN = """
    select h.*, e.uses, e.successes, v.level, v.confidence, a.variant as winner, a.revision
    from centralcloud.artifact as a
    join centralcloud.holding as h using (artifact_id)
    left join centralcloud.evidence as e using (artifact_id, instance_id)
    left join centralcloud.variant as v on v.artifact_id = a.artifact_id and v.variant = a.variant
    where a.kind = %s order by h.artifact_id, h.instance_id, e.variant
"""


def live(machine: Machine, names: list[str], kind: str, chance: random.Random) -> None:
    """Learn, change, use, unshare and forget at random."""
    for step in range(40):
        name = chance.choice(names)
        match chance.choice(["learn", "learn", "use", "use", "unshare", "forget"]):
            case "learn":
                machine.learn(name, f"{step % 4}", kind, shared=True)
            case "unshare":
                machine.learn(name, f"{step % 4}", kind, shared=False)
            case "forget":
                machine.forget(name, kind=kind, everywhere=True)
            case _ if machine.lookup(name, kind):
                machine.outcome(name, chance.random() < 0.7, kind=kind)


def settled(team: Team) -> bool:
    """Say whether everything is said, applied and published."""
    (account,) = team.nats.monitor("jsz?streams=1")["account_details"]
    said = (
        "select not exists (select from singularity.outcome) and not exists (select from singularity.outbox)"
    )
    return (
        all(value(machine.connection, said) for machine in (team.ann, team.bob))
        and all(stream["state"]["messages"] == 0 for stream in account["stream_detail"])
        and value(team.curator, "select unpublished from centralcloud.status()") == 0
    )


def test_all_messages_again_in_any_order_change_nothing(team: Team) -> None:
    kind = fresh("again")
    names = [f"n{n}" for n in range(6)]
    with Wire(team.nats) as wire:
        for seed, machine in enumerate((team.ann, team.bob, team.ann)):
            live(machine, names, kind, random.Random(seed))
            machine.until_confirmed()
        wait_until(lambda: settled(team), 45, "everything to arrive")
        contributions = list(wire.heard)
        assert len(contributions) >= 2
        before = rows(team.curator, KNOWN, kind)
        assert len(before) >= 6
        chance = random.Random(7)
        for _ in range(2):
            chance.shuffle(contributions)
            wire.say(*contributions)
    wait_until(lambda: settled(team), 45, "everything to be applied again")
    assert rows(team.curator, KNOWN, kind) == before
    assert value(team.curator, "select twin_alarms from centralcloud.status()") == 0


def test_both_change_the_same_artifact_and_agree(team: Team) -> None:
    name = fresh("fought-over")
    for turn in range(5):
        team.ann.learn(name, f"ann {turn}")
        team.bob.learn(name, f"bob {turn}")
    for machine in (team.ann, team.bob):
        machine.until_confirmed()

    def agreed() -> bool:
        query = (
            "select content from centralcloud.artifact join centralcloud.variant using (artifact_id, variant)"
        )
        winner = row(team.curator, f"{query} where name = %s", name)["content"]
        return winner in {"ann 4", "bob 4"} and team.ann.copy_of(name) == team.bob.copy_of(name) == winner

    team.ann.until(agreed, "one winner everywhere")
    held = "select count(*) from centralcloud.holding join centralcloud.artifact using (artifact_id) where name = %s"
    assert value(team.curator, held, name) == 2
    assert (team.ann.lookup(name) or {})["content"] == "ann 4"


def test_what_somebody_else_contributes_too_stays(team: Team) -> None:
    name = fresh("shared-by-two")
    for machine in (team.ann, team.bob):
        machine.learn(name, "the same")
        machine.until_confirmed()
    team.ann.forget(name, everywhere=True)
    holders = "select holders from centralcloud.artifact where name = %s"
    team.ann.until(lambda: value(team.curator, holders, name) == 1, "one holder")
    assert team.authority_has(name)
    assert team.ann.lookup(name) is None
    assert (team.bob.lookup(name) or {})["content"] == "the same"
    team.ann.learn(name, "the same")
    team.ann.until(lambda: value(team.curator, holders, name) == 2, "two holders again")


def test_poison_on_any_subject_stops_nobody(team: Team) -> None:
    ann, bob = (machine.status()["instance_id"] for machine in (team.ann, team.bob))
    letters = "select count(*) from centralcloud.dead_letter"
    before = value(team.curator, letters), team.bob.status()["dead_letters"]
    forged: dict[str, Any] = {"v": 1, "type": "contribution", "instance": str(ann), "records": []}
    later = {**forged, "instance": str(bob), "v": 99}
    name = fresh("beside-poison")
    team.ann.learn(name, 1)
    with Attacker(team.nats, seed_of(team.bob.database)) as as_bob:
        for body in (b"\xff\x00 no JSON", forged, later):
            as_bob.speak(f"singularity.contribute.{bob}", body)
        for body in (b"no JSON either", {**forged, "type": "ask"}):
            as_bob.speak(f"singularity.centralcloud.ask.{bob}", body, reply=f"singularity.inbox.{bob}.1")
    with Attacker(team.nats, seed_of(team.central)) as as_authority:
        for body in (b"{}", b'{"v": 1, "type": "receipt", "records": 7}'):
            as_authority.speak(f"singularity.receipt.{bob}", body)
        as_authority.speak("singularity.heads", {"type": "heads", "heads": [], "epoch": "poison"})
    team.ann.until_confirmed()
    team.bob.until_known(name)
    wait_until(
        lambda: value(team.curator, letters) == before[0] + 3, 20, "three dead letters at the authority"
    )
    team.bob.until(lambda: team.bob.status()["dead_letters"] >= before[1] + 2, "dead letters at bob's")
    team.bob.until_online()
    back = fresh("after-poison")
    team.bob.learn(back, 2)
    team.bob.until_confirmed()
    team.ann.until_known(back)


def test_the_largest_content_goes_all_the_way(team: Team) -> None:
    name, kind = fresh("largest"), fresh("large")
    content = "x" * (256 * 1024 - 2)
    team.bob.call("follow", kind=kind)
    for n in range(3):
        team.ann.learn(f"{name}-{n}", content, kind, summary="s" * 4096)
    team.ann.until_confirmed()
    for one in (f"{name}-{n}" for n in range(3)):
        team.bob.until(functools.partial(lambda one: team.bob.copy_of(one, kind) == content, one), one)
    assert team.ann.status()["set_aside"] == 0
    team.bob.call("unfollow", kind=kind)


def test_what_is_rolled_back_is_never_sent(team: Team) -> None:
    name = fresh("regretted-in-time")
    with Wire(team.nats) as wire:
        with team.ann.database.connect(autocommit=False) as connection:
            connection.execute("select singularity.learn('pattern', %s, '1')", [name])
            connection.rollback()
            sent_after = fresh("meant")
            connection.execute("select singularity.learn('pattern', %s, '1')", [sent_after])
            connection.commit()
        team.ann.until_confirmed()
        wait_until(lambda: sent_after.encode() in wire.everything(), 20, "what was committed")
        assert name.encode() not in wire.everything()


@pytest.fixture
def twin(team: Team) -> Any:
    """Make a copy of ann's database, bridge and all, as a virtual machine's clone would be."""
    team.ann.until_confirmed()
    team.ann.bridge.stop()
    team.ann.connection.close()
    cluster, name = team.ann.database.cluster, fresh("twin").replace("-", "_")
    wait_until(
        lambda: not connected(cluster.connect(), "ann"), 20, "nobody to be connected to ann's database"
    )
    cluster.create_database(name, template="ann")
    team.ann.reconnect()
    database = Database(cluster, name, "singularity", roles="ann")
    copy = Machine(database, team.lab.bridge(database, team.nats, name=name))
    yield copy
    copy.bridge.stop()
    copy.connection.close()
    if not team.ann.bridge.running:
        team.ann.bridge.start()
    team.ann.until_online()


def connected(connection: psycopg.Connection, database: str) -> bool:
    """Say whether anybody is connected to a database."""
    with connection:
        return bool(
            value(connection, "select exists (select from pg_stat_activity where datname = %s)", database)
        )


def test_a_copied_database_is_noticed(team: Team, twin: Machine) -> None:
    alarmed = "select twin_alarm_at from centralcloud.instance where instance_name = 'ann'"
    assert value(team.curator, alarmed) is None
    assert twin.status()["instance_id"] == team.ann.status()["instance_id"]
    assert "restored or copied" in twin.status()["troubles"][0]
    twin.connection.execute("call singularity.keep_identity()")
    team.curator.execute("""select centralcloud.configure('{"twin_grace": "0"}')""")
    team.ann.bridge.start()

    def noticed() -> bool:
        for machine in (twin, team.ann):
            machine.lookup(fresh("unheard of"))
        return value(team.curator, alarmed) is not None

    team.ann.until(noticed, "the twin alarm")
    assert value(team.curator, "select twin_alarms from centralcloud.status()") == 1
    ann = team.ann.status()["instance_id"]
    twin.call("reidentify")
    team.lab.readmit(twin.bridge, twin.database, team.nats)
    team.curator.execute("""select centralcloud.configure('{"twin_grace": null}')""")
    assert value(team.curator, "select centralcloud.dismiss_twin_alarm(%s)", ann)
    name = fresh("after")
    twin.learn(name, "from the copy")
    twin.until_confirmed()
    assert twin.status()["instance_id"] != ann
    assert team.authority_has(name)
