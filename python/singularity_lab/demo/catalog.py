"""Real knowledge: what a PostgreSQL server knows of itself."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg

from singularity_lab.postgres import bin_folder

Artifact = dict[str, Any]

_FUNCTIONS = """
select
    'function' as kind,
    p.oid::regprocedure::text as name,
    obj_description(p.oid, 'pg_proc') as summary,
    jsonb_build_object(
        'description', obj_description(p.oid, 'pg_proc'),
        'schema', p.pronamespace::regnamespace::text,
        'signature', p.oid::regprocedure::text,
        'arguments', pg_get_function_arguments(p.oid),
        'returns', coalesce(pg_get_function_result(p.oid), 'nothing'),
        'kind', case p.prokind when 'f' then 'function' when 'p' then 'procedure' when 'a' then 'aggregate'
            else 'window function' end,
        'volatility', case p.provolatile when 'i' then 'immutable' when 's' then 'stable' else 'volatile' end,
        'parallel', case p.proparallel when 's' then 'safe' when 'r' then 'restricted' else 'unsafe' end,
        'strict', p.proisstrict,
        'language', l.lanname
    ) as content
from pg_proc as p
join pg_language as l on l.oid = p.prolang
where p.pronamespace = 'pg_catalog'::regnamespace and obj_description(p.oid, 'pg_proc') is not null
"""

# Those of pg_settings that an ordinary role may see.
_SETTINGS = """
select
    'setting' as kind,
    s.name,
    s.short_desc as summary,
    jsonb_strip_nulls(jsonb_build_object(
        'description', s.short_desc, 'details', s.extra_desc, 'category', s.category, 'type', s.vartype,
        'unit', s.unit, 'default', s.boot_val, 'minimum', s.min_val, 'maximum', s.max_val,
        'values', s.enumvals, 'changed_by', s.context
    )) as content
from pg_settings as s
"""

_OPERATORS = """
select
    'operator' as kind,
    o.oid::regoperator::text as name,
    obj_description(o.oid, 'pg_operator') as summary,
    jsonb_strip_nulls(jsonb_build_object(
        'description', obj_description(o.oid, 'pg_operator'), 'returns', o.oprresult::regtype::text,
        'function', o.oprcode::regprocedure::text, 'commutator', nullif(o.oprcom, 0)::regoperator::text,
        'negator', nullif(o.oprnegate, 0)::regoperator::text,
        'can_hash', o.oprcanhash, 'can_merge', o.oprcanmerge
    )) as content
from pg_operator as o
where o.oprnamespace = 'pg_catalog'::regnamespace and obj_description(o.oid, 'pg_operator') is not null
"""

_TYPES = """
select
    'type' as kind,
    format_type(t.oid, null) as name,
    obj_description(t.oid, 'pg_type') as summary,
    jsonb_build_object(
        'description', obj_description(t.oid, 'pg_type'), 'internal_name', t.typname, 'bytes', t.typlen,
        'passed_by_value', t.typbyval
    ) as content
from pg_type as t
where t.typnamespace = 'pg_catalog'::regnamespace and obj_description(t.oid, 'pg_type') is not null
"""


def artifacts(connection: psycopg.Connection) -> list[Artifact]:
    """Return every documented function, operator and type, every setting and every error code of a server.

    They are in the form that singularity.learn_many takes; each has a key of its own.
    """
    found: list[Artifact] = []
    for query in (_FUNCTIONS, _SETTINGS, _OPERATORS, _TYPES):
        for kind, name, summary, content in connection.execute(query):
            found.append({"kind": kind, "name": name, "summary": summary, "content": content})
    file = share_folder() / "errcodes.txt"
    return found + list(error_codes(file.read_text(encoding="utf-8")) if file.exists() else [])


def error_codes(text: str) -> Iterator[Artifact]:
    """Read the server's errcodes.txt: one artifact for each SQLSTATE, named by it.

    Of several conditions under one SQLSTATE the first one that has a name counts.
    """
    section = ""
    conditions: dict[str, Artifact] = {}
    for line in text.splitlines():
        if line.startswith("Section:"):
            section = line.removeprefix("Section:").strip()
        elif line.strip() and not line.startswith("#"):
            state, severity, macro, *names = line.split()
            known = conditions.get(state)
            if known is None or (names and not known["content"]["plpgsql_can_name_it"]):
                conditions[state] = _error_code(state, severity, macro, section, names)
    yield from conditions.values()


def _error_code(state: str, severity: str, macro: str, section: str, names: list[str]) -> Artifact:
    condition = names[0] if names else macro.removeprefix("ERRCODE_").lower()
    content = {
        "sqlstate": state,
        "condition": condition,
        "class": section,
        "severity": {"E": "error", "W": "warning", "S": "success"}[severity],
        "plpgsql_can_name_it": bool(names),
    }
    return {"kind": "error_code", "name": state, "summary": condition.replace("_", " "), "content": content}


def share_folder() -> Path:
    """Return the folder of the server's shared files."""
    program = bin_folder() / "pg_config"
    return Path(subprocess.check_output([program, "--sharedir"], text=True).strip())
