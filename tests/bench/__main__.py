"""Runs the benchmarks: python -m tests.bench [NAME…] [--rounds N]; all of them by default."""

import sys
import time
from collections.abc import Callable, Mapping, Sequence

import click

from tests.bench import answers, contribution, local, spreading
from tests.bench.report import Row, console, print_summary

BENCHMARKS: Mapping[str, Callable[[int], list[Row]]] = {
    "contribution": contribution.measure,
    "answers": answers.measure,
    "spreading": spreading.measure,
    "local": local.measure,
}


@click.command(help=__doc__)
@click.argument("names", nargs=-1, type=click.Choice(list(BENCHMARKS)))
@click.option(
    "--rounds", default=5, show_default=True, type=click.IntRange(1), help="How often all is measured."
)
def main(names: Sequence[str], rounds: int) -> None:
    """Run the benchmarks named, or all of them, and print one table."""
    rows: list[Row] = []
    for name in names or BENCHMARKS:
        console.print(f"{name}: {(sys.modules[BENCHMARKS[name].__module__].__doc__ or '').splitlines()[0]}")
        started = time.monotonic()
        rows += BENCHMARKS[name](rounds)
        console.print(f"{name}: took {time.monotonic() - started:.0f} s")
    print_summary(rows)


if __name__ == "__main__":
    main()
