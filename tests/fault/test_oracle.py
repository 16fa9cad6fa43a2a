"""The oracle notices what is lost, doubled, invented or told: it is given a list that is not what happened."""

from collections.abc import Iterable
from dataclasses import replace

import pytest
from tests.fault.conftest import Theatre
from tests.fault.oracle import Fact, Oracle
from tests.fault.stage import Stage
from tests.fault.workload import first_token, learn_common, open_session
from tests.kit.identity import variant_of

from singularity_lab import wait_until

Commits = list[tuple[str, str, list[Fact]]]


class Heard(Oracle):
    """An oracle that keeps what it was told, for others to be told something else."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.commits: Commits = []

    def commit(self, machine: str, mark: str, facts: Iterable[Fact]) -> None:
        self.commits.append((machine, mark, list(facts)))
        super().commit(machine, mark, facts)


@pytest.fixture
def heard(theatre: Theatre) -> Heard:
    """Let a few things happen that everybody agrees on."""
    stage = theatre.stage()
    oracle = Heard(stage.new_kind())
    for machine in stage.instances.values():
        learn_common(machine, oracle)
        token, mark = first_token(machine, "common-1", oracle), f"{oracle.kind}.used"
        with open_session(machine) as session:
            call = "select singularity.record_outcome(%s, 'common-1', true, variant => %s)"
            session.execute(call, [oracle.kind, variant_of(token)])
            session.execute("insert into public.done values (%s)", [mark])
        oracle.commit(machine.name, mark, [Fact("outcome common", "common-1", token)])
    wait_until(lambda: oracle.differences(stage) == [], 40, lambda: f"agreement: {oracle.differences(stage)}")
    return oracle


def told_otherwise(stage: Stage, heard: Heard, commits: Commits) -> str:
    """Return what an oracle finds wrong that was told this."""
    oracle = Oracle(heard.kind)
    for machine, mark, facts in commits:
        oracle.commit(machine, mark, facts)
    return "\n".join(oracle.differences(stage))


def test_a_commit_that_did_not_arrive_is_noticed(theatre: Theatre, heard: Heard) -> None:
    lost = ("ann", "lost", [Fact("learn", "lost", "c-lost-c"), Fact("outcome", "lost", "c-lost-c")])
    found = told_otherwise(theatre.stage(), heard, [*heard.commits, lost])
    assert "held at the authority: lacks ('ann', 'lost'" in found
    assert "counted at the authority: lacks ('ann', 'lost'" in found
    assert "the authority lacks ('lost', 'c-lost-c')" in found
    assert "committed here: lacks lost" in found
    assert "known here: lacks ('lost'" in found


def test_what_nobody_committed_is_noticed(theatre: Theatre, heard: Heard) -> None:
    without = [commit for commit in heard.commits if commit[0] != "ann"]
    found = told_otherwise(theatre.stage(), heard, without)
    assert "held at the authority: has ('ann', 'common-0'" in found
    assert "counted at the authority: has ('ann', 'common-1'" in found
    assert "rolled back, private, withdrawn or nobody's" in found
    assert f"committed here: has {heard.kind}.ann.first" in found


@pytest.mark.parametrize("wrongly", [{"good": False}, {"token": "c-other-c"}])
def test_a_wrong_count_is_noticed(theatre: Theatre, heard: Heard, wrongly: dict[str, object]) -> None:
    changed = [
        (machine, mark, [replace(one, **wrongly) if "outcome" in one.what else one for one in facts])  # type: ignore[arg-type]
        for machine, mark, facts in heard.commits
    ]
    found = told_otherwise(theatre.stage(), heard, changed)
    assert "counted at the authority: lacks" in found
    assert "scored at the authority: lacks" in found


def test_a_secret_that_was_told_is_noticed(theatre: Theatre, heard: Heard) -> None:
    assert heard.told_secrets(theatre.stage()) == []
    careful = Oracle(heard.kind)
    token = first_token(theatre.stage().instances["ann"], "common-0", heard)
    careful.commit("ann", "private", [Fact("learn privately", "common-0", token)])
    careful.drop(
        [Fact("learn", "common-1", first_token(theatre.stage().instances["bob"], "common-1", heard))]
    )
    assert len(careful.told_secrets(theatre.stage())) == 2


def test_a_copy_that_differs_is_noticed(theatre: Theatre, heard: Heard) -> None:
    stage = theatre.stage()
    with stage.instances["bob"].superuser() as bob:
        changing = (
            "update singularity.central_copy set revision = revision {} where kind = %s and name = 'common-2'"
        )
        bob.execute(changing.format("- 1").encode(), [heard.kind])
        found = "\n".join(heard.differences(stage))
        bob.execute(changing.format("+ 1").encode(), [heard.kind])
    assert "bob: the copies: lacks ('common-2'" in found
    assert heard.differences(stage) == []
