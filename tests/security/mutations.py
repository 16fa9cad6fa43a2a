"""Real messages, spoiled: fields missing, of other types, huge, nested, repeated, numbers at their ends, odd text."""

import json
from copy import deepcopy
from typing import Any

from hypothesis import strategies as st

DEEP = 20_000
NUMBERS = [0, -1, 1, 2**31, 2**53, 2**63 - 1, 2**63, -(2**63), 10**400, 0.1, -0.0, 1e308, 1e-320]
TEXTS = [
    "",
    " ",
    "x" * 5_000,
    "x" * 300_000,
    "\u0000",
    "\ud800",
    "\u200b\u202e\U000e0041",
    "\x1b[2J\n",
    "Infinity",
    "NaN",
    "9999-12-31T23:59:59Z",
    "infinity",
    "-infinity",
    "00000000-0000-0000-0000-000000000000",
    "%s",
    "'; select 1; --",
    "\U0010ffff" * 200,
]
LITERALS = ["1e400000", "-1e400000", "1e-400000", "[" * DEEP + "]" * DEEP, '{"a":' * 500 + "1" + "}" * 500]

values = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from(NUMBERS),
    st.integers(),
    st.sampled_from(TEXTS),
    st.text(max_size=30),
    st.sampled_from([[], {}, [[]], [None], [1] * 3_000, {str(n): n for n in range(3_000)}]),
    st.recursive(
        st.none() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=8,
    ),
)


def places(body: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the paths of everything inside a JSON document."""
    inside = body.items() if isinstance(body, dict) else enumerate(body) if isinstance(body, list) else ()
    found: list[tuple[Any, ...]] = []
    for key, value in inside:
        found += [(*path, key), *places(value, (*path, key))]
    return found


@st.composite
def spoiled(draw: st.DrawFn, payloads: list[bytes]) -> bytes:
    """Return bytes of one of the messages after one to three changes, or bytes that never were a message."""
    payload = draw(st.sampled_from(payloads))
    how = draw(st.sampled_from(["fields", "fields", "fields", "fields", "literal", "bytes", "random"]))
    if how == "random":
        return draw(st.binary(max_size=200))
    if how == "bytes":
        at = draw(st.integers(0, len(payload) - 1))
        return payload[:at] + draw(st.binary(max_size=8)) + payload[at + draw(st.integers(0, 8)) :]
    body = json.loads(payload)
    for _ in range(draw(st.integers(1, 3))):
        change(draw, body)
    text = json.dumps(body)
    if how == "literal":
        paths = [path for path in places(body) if path]
        if paths:
            put(body, draw(st.sampled_from(paths)), "a literal stands here")
            text = json.dumps(body).replace('"a literal stands here"', draw(st.sampled_from(LITERALS)))
    return text.encode()


def change(draw: st.DrawFn, body: Any) -> None:
    """Remove, replace, repeat or add something somewhere in a document."""
    paths = places(body)
    if not paths:
        return
    path = draw(st.sampled_from(paths))
    holder = at(body, path[:-1])
    match draw(st.sampled_from(["remove", "replace", "replace", "repeat", "add"])):
        case "remove":
            del holder[path[-1]]
        case "replace":
            holder[path[-1]] = deepcopy(draw(values))
        case "repeat" if isinstance(at(body, path), list):
            holder[path[-1]] = at(body, path) * draw(st.sampled_from([2, 50]))
        case "add" if isinstance(holder, dict):
            holder[draw(st.text(max_size=10))] = deepcopy(draw(values))
        case _:
            put(body, path, [at(body, path)] * 2)


def at(body: Any, path: tuple[Any, ...]) -> Any:
    """Return what is at a path."""
    for key in path:
        body = body[key]
    return body


def put(body: Any, path: tuple[Any, ...], value: Any) -> None:
    """Replace what is at a path."""
    at(body, path[:-1])[path[-1]] = value
