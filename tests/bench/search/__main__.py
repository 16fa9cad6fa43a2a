"""Runs the benchmarks of search: python -m tests.bench.search quality | fit | speed."""

from importlib import import_module
from pathlib import Path

import click
from tests.bench.command import command


@click.group()
def main() -> None:
    """Measure how well and how fast recall finds, on throwaway servers of this machine."""


@main.command("quality")
@click.option(
    "--plots",
    default=Path("build/plots"),
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="The folder that the plot is written to.",
)
def run_quality(plots: Path) -> None:
    """Measure recall beside other rankers on six sets of queries."""
    import_module("tests.bench.search.quality").quality(plots)


@main.command("fit")
def run_fit() -> None:
    """Fit the constants of relevance, and print them beside those in force."""
    import_module("tests.bench.search.fit").fit()


@main.command("speed")
@click.option(
    "--rounds",
    default=5,
    show_default=True,
    type=click.IntRange(1, 20),
    help="How often all is measured.",
)
def run_speed(rounds: int) -> None:
    """Measure how long recall takes beside other ways to search."""
    speed = import_module("tests.bench.search.speed")
    command({"speed": speed.measure}).main(["--rounds", str(rounds)], standalone_mode=False)


if __name__ == "__main__":
    main()
