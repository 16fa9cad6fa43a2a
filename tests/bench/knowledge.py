"""What the benchmarks learn: what PostgreSQL's catalog knows of itself, and texts made from it."""

import random
from typing import Any

import psycopg

# Each documented function, operator and setting is an artifact.
_CATALOG = """
    select jsonb_build_object(
        'kind', 'function', 'name', p.oid::regprocedure::text, 'summary', d.description,
        'content', jsonb_build_object(
            'signature', p.oid::regprocedure::text, 'result', pg_get_function_result(p.oid),
            'volatility', p.provolatile, 'strict', p.proisstrict, 'description', d.description))
    from pg_proc p join pg_description d on d.classoid = 'pg_proc'::regclass and d.objoid = p.oid
    where p.pronamespace = 'pg_catalog'::regnamespace
    union all
    select jsonb_build_object(
        'kind', 'operator', 'name', o.oid::regoperator::text, 'summary', d.description,
        'content', jsonb_build_object(
            'operator', o.oid::regoperator::text, 'result', o.oprresult::regtype::text,
            'function', o.oprcode::regproc::text, 'description', d.description))
    from pg_operator o join pg_description d on d.classoid = 'pg_operator'::regclass and d.objoid = o.oid
    where o.oprnamespace = 'pg_catalog'::regnamespace
    union all
    select jsonb_build_object(
        'kind', 'setting', 'name', s.name, 'summary', s.short_desc,
        'content', jsonb_build_object(
            'setting', s.name, 'default', s.boot_val, 'unit', s.unit, 'type', s.vartype, 'context', s.context,
            'category', s.category, 'description', concat_ws(' ', s.short_desc, s.extra_desc)))
    from pg_settings s
"""

Artifact = dict[str, Any]


def catalog(connection: psycopg.Connection, namespace: str = "default") -> list[Artifact]:
    """Return 3,500 artifacts or more: what the server documents of itself."""
    rows = connection.execute(_CATALOG).fetchall()
    return [{**row[0], "namespace": namespace} for row in rows]


def generated(texts: list[Artifact], number: int, namespace: str = "default") -> list[Artifact]:
    """Return `number` artifacts of about 400 bytes, each from three random ones of `texts`; always the same."""
    chance = random.Random(number)
    return [
        {
            "kind": "pattern",
            "name": f"generated {n}",
            "summary": f"{source[0]['summary']} ({n})",
            "content": {
                "steps": [part["summary"] for part in source],
                "example": source[1]["content"],
                "number": n,
            },
            "namespace": namespace,
        }
        for n, source in ((n, chance.choices(texts, k=3)) for n in range(1, number + 1))
    ]
