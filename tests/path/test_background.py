"""What the bridges do besides carrying messages: the search indexes are completed while nobody waits."""

import psycopg
from psycopg.types.json import Jsonb
from tests.kit.queries import value
from tests.kit.team import Team, fresh

from singularity_lab import wait_until

TAIL = "select count(*) from {}.document_vector where not indexed"
UNCOUNTED = "select count(*) from {}.lexeme_change"


def test_bulk_learning_is_indexed_and_counted_on_both_sides(team: Team) -> None:
    kind = fresh("bulk")
    artifacts = [{"kind": kind, "name": f"number {n}", "content": f"text {n} of many"} for n in range(300)]
    learn = "select singularity.learn_many(%s)"
    assert value(team.ann.connection, learn, Jsonb(artifacts)) == 300
    team.ann.until_confirmed()
    for connection, schema in ((team.ann.connection, "singularity"), (team.curator, "centralcloud")):
        for left in (TAIL, UNCOUNTED):
            until_none(connection, left.format(schema))
        counted = f"select documents from {schema}.lexeme where lexeme = %s"
        assert value(connection, counted, f"/kind/{kind}") == 300
        assert value(connection, f"select count(*) from {schema}.document where kind = %s", kind) == 300


def until_none(connection: psycopg.Connection, query: str) -> None:
    """Wait until a query counts nothing."""
    wait_until(lambda: value(connection, query) == 0, 45, f"none left: {query}")
