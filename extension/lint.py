"""Checks the function bodies in the SQL sources, which are strings to sqlfluff: `$$ ... $$` after create or do.

Usage: lint.py [FILE ...]    (without a name: all of sql/ and extension/upgrade/)

In every body: lines of at most 120 characters, no tabs, no trailing blanks. In SQL and PL/pgSQL: words in lower case,
and names that are qualified where no search_path is set (see qualification.py).
"""

import re
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from sqlfluff.core.parser.lexer import PyLexer

from build import SOURCES, UPGRADES
from qualification import Token, unqualified

ROOT = SOURCES.parent
LONGEST_LINE = 120

PLACEHOLDER = re.compile(r"@(extschema|extension|version)@")
OPERATOR = re.compile(r"[-+*/<>=~!@#%^&|?]+")
DOLLAR_QUOTE = re.compile(r"\$\w*\$")
PYTHON_QUERY = re.compile(r"\bplpy\.(execute|prepare|cursor)\b")


class Fault(NamedTuple):
    """What is wrong in a line."""

    line: int
    message: str


class Body(NamedTuple):
    """A body, and what its statement says of it."""

    text: str
    line: int
    lines: list[str]  # whole, with what is before and after the quotes
    language: str
    is_exposed: bool  # runs with the search_path of whoever calls it


def main(arguments: list[str]) -> int:
    """Check the files; return the exit code."""
    files = [Path(name) for name in arguments] or sorted([*SOURCES.rglob("*.sql"), *UPGRADES.glob("*.sql")])
    found = 0
    for file in files:
        name = file.relative_to(ROOT) if file.is_relative_to(ROOT) else file
        for line, message in faults(file.read_text(encoding="utf-8")):
            print(f"{name}:{line}: {message}")
            found += 1
    return 1 if found else 0


def faults(source: str) -> list[Fault]:
    """Return what is wrong in the bodies of a source, in the order of its lines."""
    return sorted({fault for body in bodies(source) for fault in body_faults(body)})


def bodies(source: str) -> Iterator[Body]:
    """Yield the bodies of the functions, procedures and do blocks of a source."""
    for statement in statements(tokenize(source)):
        words = [token.word for token in statement]
        language = words[words.index("language") + 1] if "language" in words else "plpgsql"
        is_exposed = words[0] == "create" and "search_path" not in words
        for token in statement:
            quote = DOLLAR_QUOTE.match(token.text)
            if quote and words[0] in {"create", "do"}:
                text = token.text[quote.end() : -quote.end()]
                lines = source.split("\n")[token.line - 1 : token.line + text.count("\n")]
                yield Body(text, token.line, lines, language, is_exposed)


def body_faults(body: Body) -> Iterator[Fault]:
    """Yield what is wrong in a body."""
    yield from layout(body)
    if body.language in {"sql", "plpgsql"}:
        tokens = tokenize(body.text, body.line)
        yield from upper_case(tokens)
        if body.is_exposed:
            yield from (Fault(token.line, message) for token, message in unqualified(tokens))
    elif body.is_exposed and PYTHON_QUERY.search(body.text):
        yield Fault(body.line, "the body runs queries, and no search_path is set")


def layout(body: Body) -> Iterator[Fault]:
    """Yield lines that are too long or have blanks that nobody sees."""
    for number, line in enumerate(body.lines, body.line):
        if len(line) > LONGEST_LINE:
            yield Fault(number, f"the line has {len(line)} characters, more than {LONGEST_LINE}")
        if "\t" in line:
            yield Fault(number, "the line has a tab")
        if line != line.rstrip():
            yield Fault(number, "the line ends in blanks")


def upper_case(tokens: Iterable[Token]) -> Iterator[Fault]:
    """Yield words that are not in lower case."""
    for token in tokens:
        if token.kind == "name" and not token.text.startswith('"') and token.text != token.word:
            yield Fault(token.line, f"{token.text} is not in lower case")


def statements(tokens: Iterable[Token]) -> Iterator[list[Token]]:
    """Divide tokens at the semicolons."""
    statement: list[Token] = []
    for token in tokens:
        if token.text != ";":
            statement.append(token)
        elif statement:
            yield statement
            statement = []
    if statement:
        yield statement


def tokenize(source: str, first_line: int = 1) -> list[Token]:
    """Return the tokens of SQL or PL/pgSQL without comments."""
    tokens: list[Token] = []
    adjacent = False
    for segment in lexer().lex(PLACEHOLDER.sub(r"\1", source))[0]:
        line = first_line - 1 + segment.pos_marker.line_no if segment.pos_marker else first_line
        token = Token(segment.raw, line, kind_of(segment.raw, segment.get_type()))
        if adjacent and token.kind == tokens[-1].kind == "operator":  # sqlfluff divides || and others
            token = tokens.pop().followed_by(token)
        adjacent = segment.is_code and not segment.is_meta
        if adjacent:
            tokens.append(token)
    return tokens


@cache
def lexer() -> PyLexer:
    """Return sqlfluff's lexer, made once."""
    return PyLexer(dialect="postgres")


def kind_of(text: str, lexed_as: str) -> str:
    """Return a token's kind from what sqlfluff calls it."""
    if lexed_as in {"word", "double_quote"}:
        return "name"
    if lexed_as == "numeric_literal":
        return "number"
    if "quote" in lexed_as or "literal" in lexed_as:
        return "string"
    return "operator" if OPERATOR.fullmatch(text) else "symbol"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
