"""What the two latency benchmarks share: plain tables, the plain relay, and taking turns with it."""

import random
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bench.report import progress
from tests.bench.team import Team, running_team

from singularity_lab import Process

TIMES = 200
LONGEST_PAUSE_S = 0.1

PLAIN = """
    create table plain (name text primary key, content text not null);
    create procedure await_row(wanted text) language plpgsql as $$
    begin
        while not exists (select from plain where name = wanted) loop
            commit;
            perform pg_sleep(0.001);
        end loop;
    end $$;
"""


class PlainRelay(Process):
    """The program plain_relay.py."""

    def __init__(self, team: Team) -> None:
        super().__init__("plain-relay", team.lab.logs / "plain-relay.log")
        self._arguments = [team.nats.url, team.plain_dsn(team.authority), team.plain_dsn(team.developer)]

    def start(self) -> None:
        """Start it and return when it listens."""
        self._launch([sys.executable, Path(__file__).with_name("plain_relay.py"), *self._arguments])
        self.wait_for_log("ready")


@contextmanager
def team_and_relay() -> Iterator[Team]:
    """Start the team, and the plain relay beside it."""
    with running_team(PLAIN) as team, PlainRelay(team):
        yield team


async def take_turns(
    rounds: int, ours: Callable[[int], Awaitable[None]], plain: Callable[[int], Awaitable[None]]
) -> tuple[list[list[float]], list[list[float]]]:
    """Time both 200 times, by turns, each after a short random pause; return the seconds by rounds."""
    chance = random.Random(TIMES)
    seconds: dict[Callable[[int], Awaitable[None]], list[float]] = {ours: [], plain: []}
    for n in range(TIMES):
        for doing in chance.sample([ours, plain], 2):
            # nobody's questions come in step with the bridge's clocks
            time.sleep(chance.uniform(0, LONGEST_PAUSE_S))  # noqa: ASYNC251 - nothing else is to run
            started = time.perf_counter()
            await doing(n)
            seconds[doing].append(time.perf_counter() - started)
        if (n + 1) % (TIMES // rounds) == 0:
            progress(f"{n + 1} of {TIMES}")

    def by_rounds(values: list[float]) -> list[list[float]]:
        size = TIMES // rounds
        return [values[at * size : (at + 1) * size] for at in range(rounds)]

    return by_rounds(seconds[ours]), by_rounds(seconds[plain])
