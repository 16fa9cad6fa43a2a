"""What must hold of the tables of search whenever the background work has been done."""

from typing import Any

import psycopg
from tests.support import rows, value

RECOUNT = """
    select coalesce(counted.lexeme, l.lexeme) as lexeme, counted.documents as expected, l.documents as stored
    from (
        select u.lexeme, count(*) as documents from {0}.document cross join unnest(words) as u group by u.lexeme
        union all
        select '', count(*) from {0}.document having count(*) > 0
    ) as counted
    full join {0}.lexeme as l using (lexeme)
    where counted.documents is distinct from l.documents
    order by 1 limit 5
"""
ORPHANS = """
    select count(*) from {0}.document_vector where document_id not in (select document_id from {0}.document)
"""
DOUBLED = "select count(*) - count(distinct artifact_id) from {0}.document"
BARE = """
    select count(*) from {0}.document as d where not exists (
        select from {0}.document_vector as v where v.document_id = d.document_id and v.contract = {0}.current_contract()
    )
"""


def check(superuser: psycopg.Connection[Any], schema: str = "singularity") -> None:
    """Compare the counts with the documents, after everything has been committed and folded."""
    assert rows(superuser, RECOUNT.format(schema)) == []
    assert value(superuser, f"select count(*) from {schema}.lexeme_change") == 0
    assert value(superuser, ORPHANS.format(schema)) == 0
    assert value(superuser, DOUBLED.format(schema)) == 0
    assert value(superuser, BARE.format(schema)) == 0
    assert value(superuser, f"select count(*) from {schema}.document_vector where not indexed") == 0
