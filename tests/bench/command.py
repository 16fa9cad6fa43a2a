"""The command line that all benchmarks share."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence

import click
from tests.bench.report import Row, print_summary, say

from singularity_lab.postgres import bin_folder
from singularity_lab.process import forget_foreign_servers

Benchmark = Callable[[int], list[Row]]


def command(benchmarks: Mapping[str, Benchmark]) -> click.Command:
    """Return a command that runs these benchmarks, or those named, and ends with one table."""

    @click.command()
    @click.argument("names", nargs=-1, type=click.Choice(list(benchmarks)))
    @click.option(
        "--rounds",
        default=5,
        show_default=True,
        type=click.IntRange(1, 20),
        help="How often all is measured.",
    )
    def run(names: Sequence[str], rounds: int) -> None:
        """Run the benchmarks named, or all of them, on throwaway servers of this machine."""
        forget_foreign_servers()
        server = subprocess.check_output([bin_folder() / "postgres", "--version"], text=True).strip()
        load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
        say(f"{server}, {os.cpu_count()} CPUs, load average {load}, durable commits")
        rows: list[Row] = []
        for name in names or benchmarks:
            what, *_ = (sys.modules[benchmarks[name].__module__].__doc__ or name).splitlines()
            say(what)
            started = time.monotonic()
            rows += benchmarks[name](rounds)
            say(f"{name}: took {time.monotonic() - started:.0f} s")
        print_summary(rows)

    return run
