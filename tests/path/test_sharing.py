"""From learn on one machine to recall on another, through real bridges and a real NATS server."""

import json

from tests.kit.machine import Machine
from tests.kit.queries import row, rows, value
from tests.kit.team import Team, fresh
from tests.path.wire import Wire

from singularity_lab import wait_until


def test_what_one_learns_another_looks_up(team: Team) -> None:
    name = fresh("contributed")
    team.ann.learn(name, {"do": "this"}, summary="What to do", tags=["t"])
    team.ann.until_confirmed()
    assert team.bob.lookup(name) is None
    found = team.bob.until_known(name)
    assert (found["content"], found["origin"], found["level"]) == ({"do": "this"}, "central", "candidate")
    assert (found["summary"], found["tags"], found["stale"]) == ("What to do", ["t"], False)


def test_a_miss_is_asked_announced_and_recalled(team: Team) -> None:
    word = fresh("zebra").replace("-", "")
    team.ann.learn(fresh("animal"), f"all about the {word}")
    team.ann.until_confirmed()
    with team.bob.database.connect() as listener:
        listener.execute("listen singularity_answer")
        assert rows(team.bob.connection, "select * from singularity.recall(%s)", word) == []
        (notification,) = listener.notifies(timeout=20, stop_after=1)
    assert json.loads(notification.payload)["results"] == 1
    (found,) = rows(team.bob.connection, "select * from singularity.recall(%s)", word)
    assert found["origin"] == "central"


def test_the_answer_can_be_waited_for(team: Team) -> None:
    question = value(team.bob.connection, "select singularity.ask('how to limit the rate of requests')")
    team.bob.connection.execute("call singularity.await_answer(%s, '20 seconds')", [question])
    state = row(team.bob.connection, "select * from singularity.question_state(%s)", question)
    assert state["answered_at"] is not None


def test_that_nothing_is_known_is_remembered(team: Team) -> None:
    word = fresh("unknowable").replace("-", "")
    ask = "select singularity.ask(%s)"
    question = value(team.bob.connection, ask, word)
    team.bob.connection.execute("call singularity.await_answer(%s, '20 seconds')", [question])
    assert value(team.bob.connection, ask, word) == question
    team.bob.connection.execute("select * from singularity.recall(%s)", [word])
    asked = value(team.bob.connection, "select count(*) from singularity.question where query = %s", word)
    assert asked == 1


def test_in_central_mode_the_authority_is_asked_every_time(team: Team) -> None:
    name = fresh("asked")
    team.bob.learn(name, 1)
    team.bob.connection.execute("select singularity.connect('central')")
    asked = "select count(*) from singularity.question where name = %s and answered_at is not null"
    for times in (1, 2):
        assert team.bob.lookup(name)
        team.bob.until(lambda: value(team.bob.connection, asked, name) == times, f"answer {times}")  # noqa: B023
    team.bob.connection.execute("select singularity.connect('hybrid')")
    assert team.bob.lookup(name)
    assert value(team.bob.connection, "select count(*) from singularity.question where name = %s", name) == 2


def test_who_follows_a_kind_has_all_of_it_and_its_changes(team: Team) -> None:
    kind = fresh("kind")
    elements = [{"kind": kind, "name": f"n{n}", "content": n} for n in range(700)]
    team.ann.connection.execute("select singularity.learn_many(%s)", [json.dumps(elements)])
    team.ann.until_confirmed()
    team.bob.connection.execute("select singularity.follow(%s)", [kind])
    held = "select count(*) from singularity.central_copy where kind = %s"
    team.bob.until(lambda: value(team.bob.connection, held, kind) == 700, "the whole kind")
    team.ann.learn("n5", "changed", kind)
    team.bob.until(lambda: (team.bob.lookup("n5", kind) or {})["content"] == "changed", "the change")
    team.bob.connection.execute("select singularity.unfollow(%s)", [kind])


def test_outcomes_of_both_raise_level_and_confidence(team: Team) -> None:
    name = fresh("proved")
    team.ann.learn(name, 1)
    team.ann.until_confirmed()
    team.bob.until_known(name)
    team.bob.use(name, 12)
    team.ann.use(name, 8)
    for machine in (team.ann, team.bob):

        def risen(machine: Machine = machine) -> bool:
            found = machine.lookup(name) or {}
            return (found["level"], found["uses"]) == ("medium", 20)

        machine.until(risen, "level medium after 20 uses")


def test_rivals_meet_and_the_better_proved_one_wins_everywhere(team: Team) -> None:
    name = fresh("rival")
    team.ann.learn(name, "from ann")
    team.bob.learn(name, "from bob")
    team.bob.use(name, 12)
    team.bob.until_confirmed()
    assert (team.ann.lookup(name) or {})["content"] == "from ann"
    variants = """
        select count(*) from centralcloud.artifact join centralcloud.variant using (artifact_id)
        where name = %s
    """
    team.ann.until(lambda: value(team.curator, variants, name) == 2, "both variants at the authority")
    winner = "select content from singularity.central_copy where name = %s"
    team.ann.until(
        lambda: rows(team.ann.connection, winner, name) == [{"content": "from bob"}], "bob's to win"
    )
    variant = value(team.ann.connection, "select variant from singularity.central_copy where name = %s", name)
    record = (
        "select singularity.record_outcome('pattern', %s, true, variant => %s) from generate_series(1, 8)"
    )
    team.ann.connection.execute(record, [name, variant])
    team.ann.until(
        lambda: (team.ann.lookup(name) or {})["content"] == "from bob", "bob's to be the best known here"
    )
    history = rows(
        team.ann.connection, "select origin, content from singularity.history('pattern', %s)", name
    )
    assert {"origin": "local", "content": "from ann"} in history


def test_forgotten_everywhere_goes_from_who_only_had_a_copy(team: Team) -> None:
    name = fresh("regretted")
    team.ann.learn(name, "secret")
    team.ann.until_confirmed()
    team.bob.until_known(name)
    team.ann.connection.execute("select singularity.forget('pattern', %s, everywhere => true)", [name])
    copy = "select count(*) from singularity.central_copy where name = %s"
    team.bob.until(lambda: value(team.bob.connection, copy, name) == 0, "the copy to go")
    content = "select count(*) from centralcloud.variant where content::text like '%%secret%%'"
    assert value(team.curator, content) == 0


def test_connecting_sends_what_was_learned_before(team: Team) -> None:
    name = fresh("earlier")
    team.ann.connection.execute("select singularity.disconnect()")
    team.ann.learn(name, 1)
    team.ann.use(name, 3)
    assert team.ann.status()["outbox_entries"] == 0
    team.ann.connection.execute("select singularity.connect()")
    uses = "select coalesce(max(uses), 0) from centralcloud.artifact where name = %s"
    team.ann.until(lambda: value(team.curator, uses, name) == 3, "3 uses at the authority")
    team.ann.until_online()


def test_what_is_not_shared_never_leaves(team: Team) -> None:
    with Wire(team.nats, ">") as wire:
        team.ann.learn("kept-private", "whisper", shared=False, summary="whisper", tags=["whisper"])
        team.ann.use("kept-private", 3)
        team.ann.learn("told-first", "spoken")
        team.ann.until_confirmed()
        team.ann.learn("told-first", "whisper", shared=False)
        team.ann.use("told-first", 3)
        team.ann.learn("spoken-last", "spoken")
        team.ann.until_confirmed()
        wait_until(lambda: b"spoken-last" in wire.everything(), 20, "what is shared to be heard")
        everything = wire.everything()
    assert b"whisper" not in everything
    assert b"kept-private" not in everything
    wait_until(lambda: not team.authority_has("told-first"), 20, "what was told first to be withdrawn")
