"""Tells new stories for as long as wanted: python -m tests.fault --seconds N [--seed S] [--faults N] [--only KIND…]."""

import statistics
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import click
from rich.console import Console
from rich.table import Table
from tests.fault.faults import TARGETS
from tests.fault.plan import Plan, make_plan
from tests.fault.shrink import shortest
from tests.fault.stage import INSTANCES, Stage
from tests.fault.story import StoryError, Told, tell

from singularity_lab import Lab
from singularity_lab.process import forget_foreign_servers

console = Console(highlight=False, soft_wrap=True)


@dataclass
class Summary:
    """What all stories together showed."""

    stories: int = 0
    committed: int = 0
    survived: Counter[str] = field(default_factory=Counter)
    recovery_s: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    failed: list[int] = field(default_factory=list)

    def add(self, told: Told) -> None:
        """Count a story; its recovery counts for the fault that ended last."""
        self.stories += 1
        self.committed += told.committed
        self.survived.update(fault.name for fault in told.struck)
        if told.struck:
            self.recovery_s[told.struck[-1].name].append(told.recovery_s)

    def show(self, seconds: float) -> None:
        """Print the table."""
        table = Table(
            title=f"{self.stories} stories in {seconds:.0f} s, {self.committed} transactions committed, "
            f"{self.survived.total()} faults survived, {len(self.failed)} stories failed"
        )
        table.add_column("fault")
        for column in ("survived", "last of a story", "recovery median", "worst"):
            table.add_column(column, justify="right")
        for name, survived in sorted(self.survived.items()):
            times = self.recovery_s.get(name, [])
            middle = f"{statistics.median(times):.1f} s" if times else ""
            worst = f"{max(times):.1f} s" if times else ""
            table.add_row(name, str(survived), str(len(times)), middle, worst)
        console.print(table)
        if self.failed:
            console.print(f"failed: seeds {', '.join(map(str, self.failed))}")


def play(plan: Plan) -> Told:
    """Tell one story on a stage of its own. Raises StoryError."""
    with Lab() as lab, Stage(lab) as stage:
        return tell(stage, plan)


def fails(plan: Plan) -> bool:
    """Say whether a story fails, for who looks for the shortest."""
    try:
        play(plan)
    except StoryError:
        return True
    return False


def tell_one(plan: Plan, summary: Summary) -> None:
    """Tell a story and print its line; a failure is told in full, with the shortest story that fails too."""
    started = time.monotonic()
    try:
        told = play(plan)
    except StoryError as error:
        summary.failed.append(plan.seed)
        console.print(f"seed {plan.seed}: FAILED\n{error}", markup=False)
        shorter = shortest(plan, fails)
        console.print(f"the shortest story of seed {plan.seed} that fails too:", *shorter.faults, sep="\n")
        return
    summary.add(told)
    names = ", ".join(fault.name for fault in told.struck) or "no faults"
    missed = f"; did not come about: {', '.join(fault.name for fault in told.missed)}" if told.missed else ""
    console.print(
        f"seed {plan.seed}: {names}{missed}; {told.committed} committed, "
        f"recovered in {told.recovery_s:.1f} s, told in {time.monotonic() - started:.0f} s",
        markup=False,
    )


@click.command()
@click.option(
    "--seconds", default=600, show_default=True, type=click.IntRange(0), help="How long stories are begun."
)
@click.option("--seed", default=1, show_default=True, help="Seed of the first story; the next ones count on.")
@click.option("--faults", default=5, show_default=True, type=click.IntRange(0, 50), help="Faults in a story.")
@click.option("--only", multiple=True, type=click.Choice(sorted(TARGETS)), help="Only these kinds of faults.")
def main(seconds: int, seed: int, faults: int, only: Sequence[str]) -> None:
    """Tell stories with new seeds, one after the other, on throwaway servers of this machine."""
    forget_foreign_servers()
    summary = Summary()
    started = time.monotonic()
    kinds = {name: TARGETS[name] for name in only or TARGETS}
    try:
        while summary.stories + len(summary.failed) == 0 or time.monotonic() - started < seconds:
            tell_one(make_plan(seed, INSTANCES, kinds, faults), summary)
            seed += 1
    except KeyboardInterrupt:
        console.print("interrupted")
    summary.show(time.monotonic() - started)
    sys.exit(1 if summary.failed else 0)


if __name__ == "__main__":
    main()
