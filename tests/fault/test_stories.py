"""Stories with several faults, some at the same time: `python -m tests.fault` tells more of them."""

import pytest
from tests.fault.conftest import Theatre
from tests.fault.faults import TARGETS
from tests.fault.plan import make_plan, make_sessions
from tests.fault.shrink import shortest
from tests.fault.stage import INSTANCES


@pytest.mark.parametrize("seed", [1])
def test_a_story_of_many_faults(theatre: Theatre, seed: int) -> None:
    told = theatre.tell(make_plan(seed, INSTANCES, TARGETS))
    assert len(told.struck) >= 3
    assert told.committed > 30


def test_the_same_seed_is_the_same_story() -> None:
    assert make_plan(5, INSTANCES, TARGETS) == make_plan(5, INSTANCES, TARGETS)
    assert make_plan(5, INSTANCES, TARGETS) != make_plan(6, INSTANCES, TARGETS)
    assert make_sessions(5, INSTANCES) != make_sessions(6, INSTANCES)


def test_the_shortest_story_has_what_is_needed_for_its_failure() -> None:
    plan = make_plan(5, INSTANCES, TARGETS, faults=6)
    needed = {plan.faults[1], plan.faults[4]}
    assert set(shortest(plan, lambda one: needed <= set(one.faults)).faults) == needed
