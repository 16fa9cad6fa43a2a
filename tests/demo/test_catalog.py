"""What the demonstration knows of PostgreSQL: enough, each artifact once, and all of it can be learned."""

from collections import Counter

import psycopg
from psycopg.types.json import Jsonb

from singularity_lab import Database
from singularity_lab.demo import catalog, patterns
from singularity_lab.demo.steps.learning import LEAST_ARTIFACTS

ERROR_CODES = """\
# a remark
Section: Class 40 - Transaction Rollback

40P01    E    ERRCODE_T_R_DEADLOCK_DETECTED    deadlock_detected

Section: Class 22 - Data Exception
22000    E    ERRCODE_DATA_EXCEPTION           data_exception
2202E    E    ERRCODE_ARRAY_ELEMENT_ERROR
2202E    E    ERRCODE_ARRAY_SUBSCRIPT_ERROR    array_subscript_error
22019    E    ERRCODE_INVALID_ESCAPE           invalid_escape_character
22019    E    ERRCODE_INVALID_ESCAPE_CHARACTER
01000    W    ERRCODE_WARNING                  warning
03000    E    ERRCODE_STATEMENT_NOT_COMPLETE
"""


def test_an_error_code_is_named_by_its_sqlstate() -> None:
    first = next(catalog.error_codes(ERROR_CODES))
    assert first == {
        "kind": "error_code",
        "name": "40P01",
        "summary": "deadlock detected",
        "content": {
            "sqlstate": "40P01",
            "condition": "deadlock_detected",
            "class": "Class 40 - Transaction Rollback",
            "severity": "error",
            "plpgsql_can_name_it": True,
        },
    }


def test_of_several_conditions_under_one_code_the_named_one_counts() -> None:
    conditions = {code["name"]: code["content"]["condition"] for code in catalog.error_codes(ERROR_CODES)}
    assert conditions == {
        "40P01": "deadlock_detected",
        "22000": "data_exception",
        "2202E": "array_subscript_error",
        "22019": "invalid_escape_character",
        "01000": "warning",
        "03000": "statement_not_complete",
    }


def test_the_catalog_has_every_documented_function_and_setting_once(
    instance_db: psycopg.Connection,
) -> None:
    artifacts = catalog.artifacts(instance_db)
    keys = Counter((artifact["kind"], artifact["name"]) for artifact in artifacts)
    assert [key for key, times in keys.items() if times > 1] == []
    assert len(artifacts) >= LEAST_ARTIFACTS
    kinds = Counter(kind for kind, _ in keys)
    documented = """
        select count(*) from pg_proc
        where pronamespace = 'pg_catalog'::regnamespace and obj_description(oid, 'pg_proc') is not null
    """
    assert (kinds["function"],) == instance_db.execute(documented).fetchone()
    assert (kinds["setting"],) == instance_db.execute("select count(*) from pg_settings").fetchone()


def test_a_function_says_how_it_may_be_used(instance_db: psycopg.Connection) -> None:
    (found,) = (a for a in catalog.artifacts(instance_db) if a["name"] == "pg_advisory_lock(bigint)")
    assert found["summary"] == "obtain exclusive advisory lock"
    assert found["content"] == {
        "description": "obtain exclusive advisory lock",
        "schema": "pg_catalog",
        "signature": "pg_advisory_lock(bigint)",
        "arguments": "bigint",
        "returns": "void",
        "kind": "function",
        "volatility": "volatile",
        "parallel": "restricted",
        "strict": True,
        "language": "internal",
    }


def test_everything_can_be_learned(instance: Database, instance_db: psycopg.Connection) -> None:
    learned = [patterns.MEANWHILE, *patterns.UNREAD, *patterns.OFFLINE]
    artifacts = [*catalog.artifacts(instance_db), *learned]
    changed = instance_db.execute("select singularity.learn_many(%s)", [Jsonb(artifacts)]).fetchone()
    assert changed == (len(artifacts),)
