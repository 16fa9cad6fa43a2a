"""What the demonstration prints: steps as they happen with their times, and a table of them at the end."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from singularity_lab.waiting import wait_until

# Columns: of a file, and the most that is used of a terminal.
WIDTH = 110
INDENT = "    "
# Seconds between two lines of progress where there is no terminal to draw a bar on.
PROGRESS_INTERVAL = 1.0
# What ends a step as not observed; anything else is a mistake in the demonstration.
_FAILURES = (TimeoutError, RuntimeError, OSError, psycopg.Error)


class NotObserved(Exception):  # noqa: N818
    """Something else was seen than the step expected."""

    def __init__(self, expected: str, seen: str) -> None:
        super().__init__(f"expected {expected}; seen: {seen}")
        self.expected = expected
        self.seen = seen


class Step:
    """One step of the demonstration while it happens; `saw` says what was observed in the end."""

    def __init__(self, number: int, title: str, console: Console) -> None:
        self.number = number
        self.title = title
        self.observed = ""
        self.seconds: float | None = None
        self.failed = False
        self._console = console

    def did(self, text: str, seconds: float | None = None) -> None:
        """Print one thing that happened, and how long it took."""
        took = "" if seconds is None else duration(seconds)
        width = min(self._console.width, WIDTH) - len(INDENT) - 10
        line = f"{INDENT}{shorten(text, width):<{width}}{took:>10}"
        self._console.print(line.rstrip(), markup=False, soft_wrap=True)

    def saw(self, text: str) -> None:
        """Set what was observed, for the table."""
        self.observed = text

    def expect(self, holds: bool, expected: str, seen: object) -> None:
        """Raise NotObserved unless it holds."""
        if not holds:
            raise NotObserved(expected, _described(seen))

    def wait(
        self, condition: Callable[[], bool], expected: str, seen: Callable[[], object], timeout: float = 30
    ) -> float:
        """Wait until the condition holds and return the seconds; NotObserved after `timeout` seconds."""
        started = time.perf_counter()
        try:
            wait_until(condition, timeout)
        except TimeoutError:
            raise NotObserved(f"{expected} within {timeout:g} s", _described(seen())) from None
        return time.perf_counter() - started

    @contextmanager
    def progress(self, text: str, total: int) -> Iterator[Callable[[int], None]]:
        """Show how far something long has come: a bar on a terminal, else a line now and then."""
        if not self._console.is_terminal:
            yield _ProgressLines(self, text, total)
            return
        columns = (
            TextColumn("    {task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=self._console, transient=True) as bar:
            task = bar.add_task(text, total=total)
            yield lambda done: bar.update(task, completed=done)


@dataclass
class _ProgressLines:
    step: Step
    text: str
    total: int

    def __post_init__(self) -> None:
        self._printed = time.monotonic()
        self._done = 0

    def __call__(self, done: int) -> None:
        news = self._done < done < self.total
        if news and time.monotonic() - self._printed >= PROGRESS_INTERVAL:
            self._printed = time.monotonic()
            self._done = done
            self.step.did(f"{self.text}: {done:,} of {self.total:,}")


class Screen:
    """Prints steps in the order of their titles; those never reached are in the table too."""

    def __init__(self, titles: Sequence[str], console: Console | None = None) -> None:
        self.console = console or _standard_console()
        self.steps = [Step(number, title, self.console) for number, title in enumerate(titles, 1)]
        self._next = iter(self.steps)

    def say(self, text: str) -> None:
        """Print a paragraph."""
        self.console.print(f"\n{text}", markup=False, soft_wrap=True)

    @contextmanager
    def step(self, logs: Path) -> Iterator[Step]:
        """Run the next step; when it fails, print what was expected and seen, and raise NotObserved."""
        step = next(self._next)
        self.console.print(f"\n{step.number}. {step.title}", style="bold", markup=False)
        started = time.perf_counter()
        try:
            yield step
        except (NotObserved, *_FAILURES) as error:
            step.failed = True
            failure = _as_not_observed(step, error)
            step.saw(str(failure).splitlines()[0])
            self._print_failure(step, failure, logs)
            raise failure from error
        finally:
            step.seconds = time.perf_counter() - started

    def table(self) -> None:
        """Print every step with what was observed and how long it took."""
        table = Table(box=box.ROUNDED, show_lines=True, width=min(self.console.width, WIDTH))
        table.add_column("", justify="right")
        table.add_column("step", ratio=4)
        table.add_column("observed", ratio=6)
        table.add_column("took", justify="right", no_wrap=True)
        for step in self.steps:
            took = "" if step.seconds is None else duration(step.seconds)
            table.add_row(
                str(step.number), step.title, _result(step), took, style="red" if step.failed else None
            )
        self.console.print("\nWhat was shown", style="bold")
        self.console.print(table, markup=False)

    def _print_failure(self, step: Step, failure: NotObserved, logs: Path) -> None:
        lines = [
            f"Step {step.number} was not observed.",
            f"  expected: {failure.expected}",
            f"  seen:     {failure.seen}",
            f"  logs:     {logs}",
        ]
        self.console.print("\n".join(lines), style="red", markup=False, soft_wrap=True)


def _described(seen: object) -> str:
    if isinstance(seen, Mapping):
        return ", ".join(f"{name} {value}" for name, value in seen.items())
    return str(seen)


def _as_not_observed(step: Step, error: BaseException) -> NotObserved:
    if isinstance(error, NotObserved):
        return error
    return NotObserved(f"{step.title!r} without an error", f"{type(error).__name__}: {error}")


def _result(step: Step) -> str:
    if step.seconds is None:
        return "not reached"
    return f"NOT OBSERVED: {step.observed}" if step.failed else step.observed


def duration(seconds: float) -> str:
    """Return a length of time for people: two digits or more, in milliseconds below one second."""
    milliseconds = seconds * 1000
    if milliseconds >= 999.5:
        return f"{seconds:.1f} s"
    return f"{milliseconds:.{0 if milliseconds >= 10 else 1 if milliseconds >= 1 else 2}f} ms"


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, in the plural unless it is one."""
    ending = "" if number == 1 else "es" if noun.endswith("s") else "s"
    return f"{number:,} {noun}{ending}"


def shorten(text: str, width: int) -> str:
    """Return the text, its end replaced by dots where it is longer than `width`."""
    return text if len(text) <= width else f"{text[: width - 4]}... "


def _standard_console() -> Console:
    terminal = sys.stdout.isatty()
    return Console(
        width=None if terminal else WIDTH, highlight=False, force_terminal=None if terminal else False
    )
