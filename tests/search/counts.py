"""What must hold of the tables of search whenever the background work has been done."""

from typing import Any

import psycopg
from tests.kit.queries import rows, value

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
WRONG = """
    select d.name from singularity.document as d
    left join singularity.known(array[d.artifact_id]) as k on true
    where k.artifact_id is null or d.words is distinct from (singularity.make_document(
        row(
            k.artifact_id, k.namespace, k.kind, k.name, k.summary, k.tags, k.level, k.content, null, null, null
        )::singularity.searchable, d.configuration
    )).words
"""
MISSING = """
    select i.artifact_id from (
        select artifact_id from singularity.holding union select artifact_id from singularity.central_copy
    ) as i
    cross join singularity.known(array[i.artifact_id]) as k
    where not exists (select from singularity.document as d where d.artifact_id = i.artifact_id)
"""
UNCHECKED = "select count(*) from {0}.document where version < 0"
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
    assert value(superuser, UNCHECKED.format(schema)) == 0
    assert value(superuser, f"select count(*) from {schema}.document_vector where not indexed") == 0


def check_texts(superuser: psycopg.Connection[Any]) -> None:
    """Check that every document of an instance is that of the best known version."""
    assert rows(superuser, WRONG) == []
    assert rows(superuser, MISSING) == []
