"""Tells a story: sessions work, faults strike at their steps, and in the end everybody must agree with the oracle."""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import psycopg
from tests.fault.faults import FAULTS, Fault
from tests.fault.oracle import Oracle
from tests.fault.plan import Plan, PlannedFault
from tests.fault.stage import Stage
from tests.fault.workload import Session, learn_common

CONVERGENCE_S = 75.0


class StoryError(AssertionError):
    """A story did not end well; its text has the seed, the plan and what is wrong."""


@dataclass
class Told:
    """What was seen in a story that ended well."""

    seed: int
    committed: int
    struck: list[PlannedFault] = field(default_factory=list)
    missed: list[PlannedFault] = field(default_factory=list)
    recovery_s: float = 0.0
    """From the end of the last fault and the last transaction until everybody agreed."""


class _Progress:
    """Counts transactions that have ended."""

    def __init__(self) -> None:
        self.steps = 0
        self._changed = threading.Condition()

    def advance(self) -> None:
        with self._changed:
            self.steps += 1
            self._changed.notify_all()

    def wait_for(self, step: int, over: threading.Event) -> None:
        with self._changed:
            while self.steps < step and not over.is_set():
                self._changed.wait(0.2)


class _Striker(threading.Thread):
    """Waits for the step of a fault, and strikes."""

    def __init__(self, stage: Stage, fault: PlannedFault, progress: _Progress, over: threading.Event) -> None:
        super().__init__(name=str(fault), daemon=True)
        self.fault = fault
        self.happened = False
        self.error: str | None = None
        self.ended_at = 0.0
        self._stage, self._progress, self._over = stage, progress, over

    def run(self) -> None:
        """Strike; an error of the fault itself is kept in `error`."""
        self._progress.wait_for(self.fault.step, self._over)
        kind: Fault = FAULTS[self.fault.name]
        try:
            with self._stage.taking(*kind.parts(self.fault.target)):
                machine = self._stage.machines[self.fault.target]
                self.happened = kind.strike(self._stage, machine, self.fault.seconds)
        except Exception as error:  # noqa: BLE001 - the story tells it
            self.error = f"{self.fault}: {type(error).__name__}: {error}"
        self.ended_at = time.monotonic()


def tell(stage: Stage, plan: Plan, convergence_s: float = CONVERGENCE_S) -> Told:
    """Let a plan happen on a stage. Raises StoryError unless all is as it must be afterwards."""
    oracle = Oracle(stage.new_kind())
    for machine in stage.instances.values():
        learn_common(machine, oracle)
    progress, over = _Progress(), threading.Event()
    sessions = {
        (name, number): Session(stage.instances[name], number, transactions, oracle, progress.advance)
        for (name, number), transactions in plan.sessions.items()
    }
    strikers = [_Striker(stage, fault, progress, over) for fault in plan.faults]
    threads: list[Session | _Striker] = [*sessions.values(), *strikers]
    for thread in threads:
        thread.start()
    for session in sessions.values():
        session.join()
    worked_until = time.monotonic()
    over.set()
    for striker in strikers:
        striker.join()
    since = max([worked_until, *(one.ended_at for one in strikers)])
    stage.mend()
    wrong = [one.error for one in threads if one.error]
    if not wrong:
        wrong = _left_after(stage, oracle, convergence_s)
    wrong += oracle.told_secrets(stage)
    if wrong:
        raise StoryError(_report(plan, {key: session.reached for key, session in sessions.items()}, wrong))
    return Told(
        plan.seed,
        oracle.committed,
        [one.fault for one in strikers if one.happened],
        [one.fault for one in strikers if not one.happened],
        time.monotonic() - since,
    )


def _left_after(stage: Stage, oracle: Oracle, seconds: float) -> list[str]:
    """Wait until there are no differences; returns those that are left."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            left = oracle.differences(stage)
        except (psycopg.OperationalError, OSError) as error:
            left = [f"{type(error).__name__}: {error}"]
        if not left or time.monotonic() > deadline:
            return left
        threading.Event().wait(0.3)


def _report(plan: Plan, reached: Mapping[tuple[str, int], int], wrong: list[str]) -> str:
    shown = [*wrong[:40], *([f"and {len(wrong) - 40} more"] if len(wrong) > 40 else [])]
    return "\n".join(["the story does not end well:", *shown, "what was told of it:", plan.text(reached)])
