"""What a benchmark reports: figures of several rounds, each beside a baseline measured in the same rounds."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

console = Console(highlight=False, soft_wrap=True)


@dataclass(frozen=True)
class Row:
    """One line of the summary; `ratio` is what was measured divided by the baseline."""

    what: str
    measured: str
    baseline: str
    baseline_measured: str
    ratio: str
    benchmark: str


def compare(
    benchmark: str,
    what: str,
    unit: str,
    measured: Sequence[float],
    baseline: str,
    baseline_measured: Sequence[float],
) -> Row:
    """Compare the same rounds of two things: medians, and the ratio's median and range over the rounds."""
    ratios = [ours / theirs for ours, theirs in zip(measured, baseline_measured, strict=True)]
    ratio = f"{_number(statistics.median(ratios))} x ({_number(min(ratios))} to {_number(max(ratios))})"
    return Row(what, _middle(measured, unit), baseline, _middle(baseline_measured, unit), ratio, benchmark)


def single(benchmark: str, what: str, unit: str, measured: Sequence[float]) -> Row:
    """Report something that has no baseline."""
    return Row(what, _middle(measured, unit), "", "", "", benchmark)


def latencies(
    benchmark: str,
    what: str,
    measured: Sequence[Sequence[float]],
    baseline: str,
    baseline_measured: Sequence[Sequence[float]],
) -> list[Row]:
    """Compare latencies in seconds, given by rounds: their medians, and the p99 of all."""

    def milliseconds(rounds: Sequence[Sequence[float]]) -> list[float]:
        return [statistics.median(one) * 1000 for one in rounds]

    def p99(rounds: Sequence[Sequence[float]]) -> float:
        return statistics.quantiles([value for one in rounds for value in one], n=100)[98] * 1000

    total = sum(len(one) for one in measured)
    title = f"{what}, {{}} of {total}"
    middle = compare(
        benchmark,
        title.format("median"),
        "ms",
        milliseconds(measured),
        baseline,
        milliseconds(baseline_measured),
    )
    ours, theirs = p99(measured), p99(baseline_measured)
    high = Row(
        title.format("p99"),
        f"{_number(ours)} ms",
        baseline,
        f"{_number(theirs)} ms",
        f"{_number(ours / theirs)} x",
        benchmark,
    )
    return [middle, high]


def say(text: str) -> None:
    """Print a line."""
    console.print(text)


def progress(text: str) -> None:
    """Say what is being measured or what a round has shown."""
    console.print(f"  {text}")


def print_summary(rows: Sequence[Row]) -> None:
    """Print the table that everything ends with."""
    table = Table(
        title="Measured beside a baseline of the same run; ratio: measured / baseline, median and range",
        title_justify="left",
        box=None,
        pad_edge=False,
    )
    table.add_column("what")
    table.add_column("measured", justify="right")
    table.add_column("baseline")
    table.add_column("measured", justify="right")
    table.add_column("ratio", justify="right")
    table.add_column("command")
    for row in rows:
        command = f"python -m tests.bench.{row.benchmark}"
        table.add_row(row.what, row.measured, row.baseline, row.baseline_measured, row.ratio, command)
    wide = Console(highlight=False, width=max(console.width, 190))
    wide.print()
    wide.print(table)


def _middle(values: Sequence[float], unit: str) -> str:
    return f"{_number(statistics.median(values))} {unit}"


def _number(value: float) -> str:
    """Three significant digits, thousands apart."""
    digits = 0 if value >= 100 else 1 if value >= 10 else 2 if value >= 1 else 3
    return f"{value:,.{digits}f}"
