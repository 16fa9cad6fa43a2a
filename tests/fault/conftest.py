"""A stage that the stories of a worker share, made anew after one that did not end well."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from tests.fault.faults import FAULTS
from tests.fault.plan import Plan, PlannedFault, make_sessions
from tests.fault.stage import Stage
from tests.fault.story import StoryError, Told, tell

from singularity_lab import Lab


class Theatre:
    """Has at most one stage."""

    def __init__(self) -> None:
        self._open = ExitStack()
        self._stage: Stage | None = None

    def stage(self) -> Stage:
        """Return the stage."""
        if self._stage is None:
            self._lab = self._open.enter_context(Lab())
            self._stage = self._open.enter_context(Stage(self._lab))
        return self._stage

    def close(self, *, keep_logs: bool = False) -> None:
        """End everything; the next stage is another one."""
        if self._stage:
            self._lab.keep_logs = keep_logs
        self._stage = None
        self._open.close()

    def tell(self, plan: Plan) -> Told:
        """Tell a story on the stage, which is given up when the story fails."""
        try:
            return tell(self.stage(), plan, convergence_s=60)
        except StoryError:
            self.close(keep_logs=True)
            raise


@pytest.fixture(scope="session")
def theatre() -> Iterator[Theatre]:
    """Keep a stage for the tests of a worker."""
    one = Theatre()
    yield one
    one.close()


@pytest.fixture
def survive(theatre: Theatre) -> Callable[[str, str], None]:
    """Tell a short story with one fault, at a machine, and see that it struck."""

    def story(name: str, target: str) -> None:
        seed = list(FAULTS).index(name)
        stage = theatre.stage()
        sessions = make_sessions(seed, stage.names, transactions=5, hurried=True)
        told = theatre.tell(Plan(seed, sessions, (PlannedFault(name, target, 6, 1.5),)))
        assert [fault.name for fault in told.struck] == [name]
        assert told.committed > 10

    return story
