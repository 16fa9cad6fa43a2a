"""Runs the benchmarks of search: python -m tests.bench.search [quality | fit | speed]; quality and speed by default."""

from importlib import import_module
from pathlib import Path

import click
from tests.bench.report import print_summary

from singularity_lab.process import forget_foreign_servers


@click.group(invoke_without_command=True)
@click.pass_context
def main(context: click.Context) -> None:
    """Measure how well and how fast recall finds, on throwaway servers of this machine; both by default."""
    forget_foreign_servers()
    if context.invoked_subcommand is None:
        context.invoke(run_quality)
        context.invoke(run_speed)


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
    "--sizes",
    default="10000,100000",
    show_default=True,
    help="Numbers of artifacts, rising; 1000000 takes about an hour.",
)
@click.option(
    "--rounds", default=3, show_default=True, type=click.IntRange(1, 20), help="How often all is measured."
)
@click.option(
    "--plots",
    default=Path("build/plots"),
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="The folder that the plot is written to.",
)
def run_speed(sizes: str, rounds: int, plots: Path) -> None:
    """Measure how long recall takes beside bare queries on the same tables."""
    speed = import_module("tests.bench.search.speed")
    print_summary(speed.measure([int(size) for size in sizes.split(",")], rounds, plots))


if __name__ == "__main__":
    main()
