"""A baseline's other end, a program of its own: what one would write with nats-py and psycopg alone.

It answers requests on plain.ask with one indexed select in the authority's server, and writes what comes on
plain.changed into the developer's server. Arguments: NATS URL, the two servers' connection strings.
"""

import asyncio
import sys

import nats
import psycopg
from nats.aio.msg import Msg

SELECT = "select content from plain where name = %s"
UPSERT = """
    insert into plain (name, content) values (%s, %s)
    on conflict (name) do update set content = excluded.content
"""


async def main(nats_url: str, authority_dsn: str, developer_dsn: str) -> None:
    """Serve until the program is ended."""
    authority = await psycopg.AsyncConnection.connect(authority_dsn, autocommit=True)
    developer = await psycopg.AsyncConnection.connect(developer_dsn, autocommit=True)
    client = await nats.connect(nats_url)

    async def answer(message: Msg) -> None:
        cursor = await authority.execute(SELECT, [message.data.decode()], prepare=True)
        (content,) = await cursor.fetchone() or ("",)
        await message.respond(content.encode())

    async def write(message: Msg) -> None:
        name, content = message.data.decode().split("\n", 1)
        await developer.execute(UPSERT, [name, content], prepare=True)

    await client.subscribe("plain.ask", cb=answer)
    await client.subscribe("plain.changed", cb=write)
    await client.flush()
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
