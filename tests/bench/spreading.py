"""Spreading: from a learn on production to the row on the developer's machine, which follows the topic.

The baseline is a commit, a NATS message and a commit at the other end. Both are seen by a procedure that
looks each millisecond, inside the developer's server.
"""

import asyncio

import nats
import psycopg
from psycopg.types.json import Jsonb
from tests.bench.command import command
from tests.bench.latency import take_turns, team_and_relay
from tests.bench.plain_relay import UPSERT
from tests.bench.report import Row, latencies
from tests.bench.team import Team, wait_settled

from singularity_lab import wait_until

NAME = "spreading"

AWAIT_COPY = """
    create procedure public.await_copy(wanted uuid) language plpgsql as $$
    begin
        while not exists (select from singularity.central_copy where artifact_id = wanted) loop
            commit;
            perform pg_sleep(0.001);
        end loop;
    end $$
"""
CONTENT = {"do": "retry with backoff", "because": "the other end may be busy", "attempts": 5}


def measure(rounds: int = 5) -> list[Row]:
    """Learn 200 artifacts on production, one after the other, each awaited on the developer's machine."""
    with team_and_relay() as team:
        _follow(team)
        ours, plain = asyncio.run(_measure(team, rounds))
    return latencies(NAME, "learn to row on the other instance", ours, "commit, NATS message, commit", plain)


def _follow(team: Team) -> None:
    """Have the developer follow the topic, and wait until a first artifact has come that way."""
    with team.developer.connect_superuser() as superuser:
        superuser.execute(AWAIT_COPY)
    with team.developer.connect() as developer, team.production.connect() as production:
        developer.execute("select singularity.follow('pattern')")
        production.execute("select singularity.learn('pattern', 'first', '1')")
        here = "select from singularity.central_copy where name = 'first'"
        wait_until(lambda: developer.execute(here).rowcount == 1, 60, "the first artifact")
    wait_settled(team)


async def _measure(team: Team, rounds: int) -> tuple[list[list[float]], list[list[float]]]:
    connect = psycopg.AsyncConnection.connect
    async with (
        await connect(team.production.dsn(), autocommit=True) as production,
        await connect(team.developer.dsn(), autocommit=True) as developer,
        await connect(team.plain_dsn(team.production), autocommit=True) as plain_production,
        await connect(team.plain_dsn(team.developer), autocommit=True) as plain_developer,
    ):
        client = await nats.connect(team.nats.url)

        async def learn(n: int) -> None:
            name, content = f"pattern {n}", Jsonb({**CONTENT, "number": n})
            query = "call await_copy(singularity.artifact_id('default', 'pattern', %s))"
            seen = asyncio.ensure_future(developer.execute(query, [name]))
            await production.execute(
                "select singularity.learn('pattern', %s, %s)", [name, content], prepare=True
            )
            await asyncio.wait_for(seen, 30)

        async def write(n: int) -> None:
            name, content = f"pattern {n}", str({**CONTENT, "number": n})
            seen = asyncio.ensure_future(plain_developer.execute("call await_row(%s)", [name]))
            await plain_production.execute(UPSERT, [name, content], prepare=True)
            await client.publish("plain.changed", f"{name}\n{content}".encode())
            await asyncio.wait_for(seen, 30)

        measured = await take_turns(rounds, learn, write)
        here = "select from singularity.lookup('pattern', 'pattern 199') where origin = 'central'"
        if (await developer.execute(here)).rowcount != 1:
            raise RuntimeError("what was learned is there and lookup does not return it")
        await client.close()
    return measured


if __name__ == "__main__":
    command({NAME: measure})()
