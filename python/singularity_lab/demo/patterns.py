"""What the developer learns by working: a few patterns for PostgreSQL."""

from typing import Any


def _pattern(name: str, summary: str, when: str, advice: str) -> dict[str, Any]:
    content = {"when": when, "do": advice}
    return {"kind": "pattern", "name": name, "summary": summary, "content": content, "tags": ["postgresql"]}


# Learned while a question is on its way.
MEANWHILE = _pattern(
    "retry-with-jitter",
    "Retry failing calls with backoff and jitter",
    "a call to another service fails",
    "retry with exponential backoff and full jitter, at most five times",
)

# Learned while the authority's bridge is down: the broker takes them and nobody reads them.
UNREAD = [
    _pattern(
        "create-index-concurrently",
        "Build indexes on tables in use without blocking writers",
        "a table that is written to needs another index",
        "use create index concurrently, and drop the invalid index when it failed",
    ),
    _pattern(
        "keep-transactions-short",
        "Do slow work outside of transactions",
        "a transaction waits for a person or for another service",
        "fetch first, then open the transaction, write and commit",
    ),
    _pattern(
        "keyset-pagination",
        "Page by key instead of by offset",
        "a list is read page by page",
        "remember the last key and ask for rows beyond it: an offset reads and throws away what it skips",
    ),
]

# How the developer mended the failure that the first question was about.
MEND = _pattern(
    "update-rows-in-key-order",
    "Update rows in the order of their key and no deadlock can arise",
    "transactions that change several rows are ended with deadlock detected (40P01)",
    "lock the rows first: select ... order by id for update; retry the transaction that was ended",
)

# Learned while NATS is away.
OFFLINE = [
    MEND,
    _pattern(
        "queue-with-skip-locked",
        "Hand out jobs from a table without workers waiting for each other",
        "several workers take jobs from one table",
        "select ... for update skip locked limit 1, and delete the row in the same transaction",
    ),
    _pattern(
        "estimate-large-counts",
        "Show an estimate where an exact count is not needed",
        "a page shows how many rows a large table has",
        "read reltuples of pg_class, which analyze keeps up to date",
    ),
    _pattern(
        "upsert-with-on-conflict",
        "Insert or update in one statement",
        "a row may be there already",
        "insert ... on conflict (key) do update, with a where clause that skips rows that would not change",
    ),
]
