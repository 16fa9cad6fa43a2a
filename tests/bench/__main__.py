"""Runs the benchmarks: python -m tests.bench [NAME…] [--rounds N]; all of them by default."""

from tests.bench import answers, backlog, contribution, local, spreading
from tests.bench.command import command

if __name__ == "__main__":
    measures = (contribution.measure, answers.measure, spreading.measure, local.measure, backlog.measure)
    command({measure.__module__.rsplit(".", 1)[1]: measure for measure in measures})()
