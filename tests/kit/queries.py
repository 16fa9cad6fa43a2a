"""Short ways to ask a database, and to expect its refusal."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

Row = dict[str, Any]


def rows(connection: psycopg.Connection, query: str, *parameters: Any) -> list[Row]:
    """Return the rows of a query."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query.encode(), parameters or None).fetchall()


def row(connection: psycopg.Connection, query: str, *parameters: Any) -> Row:
    """Return the only row of a query."""
    (found,) = rows(connection, query, *parameters)
    return found


def value(connection: psycopg.Connection, query: str, *parameters: Any) -> Any:
    """Return the only value of a query."""
    (found,) = row(connection, query, *parameters).values()
    return found


@contextmanager
def refused(sqlstate: str, message: str, *, hint: str | None = "") -> Iterator[None]:
    """Expect an error with this SQLSTATE, this text in its message and this one in its hint (None: none needed)."""
    with pytest.raises(psycopg.Error) as caught:
        yield
    assert caught.value.sqlstate == sqlstate, caught.value
    assert message in str(caught.value.diag.message_primary)
    if hint is not None:
        assert caught.value.diag.message_hint, f"no hint with: {caught.value.diag.message_primary}"
        assert hint in caught.value.diag.message_hint
