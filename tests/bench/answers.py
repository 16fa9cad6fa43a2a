"""Answers: from a lookup that misses on one machine to its answer in the cache, beside a bare request.

The baseline is a NATS request to a program that answers with one indexed select in PostgreSQL.
"""

import asyncio
import json

import nats
import psycopg
from tests.bench import knowledge
from tests.bench.command import command
from tests.bench.contribution import contribute
from tests.bench.latency import TIMES, take_turns, team_and_relay
from tests.bench.report import Row, latencies, progress
from tests.bench.team import Team

NAME = "answers"


def measure(rounds: int = 5) -> list[Row]:
    """Look 200 artifacts up that only the authority knows, each once."""
    with team_and_relay() as team:
        with team.production.connect() as production:
            artifacts = knowledge.artifacts(production)
        progress(f"{len(artifacts):,} artifacts on their way to the authority")
        contribute(team, artifacts, "default")
        ours, plain = asyncio.run(_measure(team, artifacts[:: len(artifacts) // TIMES][:TIMES], rounds))
    return latencies(NAME, "lookup that misses to answer cached", ours, "NATS request and one select", plain)


async def _measure(
    team: Team, asked: list[knowledge.Artifact], rounds: int
) -> tuple[list[list[float]], list[list[float]]]:
    connect = psycopg.AsyncConnection.connect
    async with (
        await connect(team.developer.dsn(), autocommit=True) as developer,
        await connect(team.developer.dsn(), autocommit=True) as listener,
        await connect(team.plain_dsn(team.authority), autocommit=True) as plain,
    ):
        await listener.execute("listen singularity_answer")
        async with plain.cursor() as cursor:
            rows = [(one["name"], json.dumps(one["content"])) for one in asked]
            await cursor.executemany("insert into plain values (%s, %s)", rows)
        client = await nats.connect(team.nats.url)

        async def look_up(n: int) -> int:
            query = "select from singularity.lookup(%s, %s)"
            return (
                await developer.execute(query, [asked[n]["kind"], asked[n]["name"]], prepare=True)
            ).rowcount

        async def ask(n: int) -> None:
            if await look_up(n):
                raise RuntimeError(f"{asked[n]['name']} was known already")
            async for notice in listener.notifies(timeout=30, stop_after=1):
                if json.loads(notice.payload)["results"] == 1:
                    return
            raise TimeoutError(f"no answer about {asked[n]['name']} within 30 s")

        async def request(n: int) -> None:
            if not (await client.request("plain.ask", asked[n]["name"].encode(), timeout=30)).data:
                raise RuntimeError(f"{asked[n]['name']} is not in the plain table")

        measured = await take_turns(rounds, ask, request)
        for n in range(TIMES):
            if await look_up(n) != 1:
                raise RuntimeError(f"{asked[n]['name']} was answered and is not here")
        await client.close()
    return measured


if __name__ == "__main__":
    command({NAME: measure})()
