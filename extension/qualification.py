"""Finds the names of a function's body that the search_path of its caller would decide on.

A procedure that commits cannot set a search_path, so it runs with its caller's, in which others may have put things
of the same names. It has to qualify each function, relation, type, collation and operator: pg_catalog.format(...),
operator(pg_catalog.+). What PostgreSQL's grammar itself takes from pg_catalog may stay (coalesce, extract, bigint);
what it takes from the search_path with no way to say otherwise may not (in, between, nullif and the like).
"""

from collections.abc import Iterator
from typing import NamedTuple


def words(text: str) -> frozenset[str]:
    """Return the words of a text."""
    return frozenset(text.split())


# Before a bracket these call nothing, or something of pg_catalog.
NO_CALLS = words(
    """
    all and any array as assert between by case cast coalesce collate conflict cube default distinct else elsif escape
    except execute exists extract filter for foreach from greatest group grouping having if ilike in intersect interval
    into is join key lateral least like limit materialized not nullif of offset on operator or over partition perform
    position return returning reverse rollup row select set sets similar some symmetric then to trim union using values
    when where while with
    """
)
# Before a string these are not the name of its type.
NO_TYPES = NO_CALLS | words("debug exception info log notice raise sqlstate warning zone")
GRAMMAR_TYPES = words(
    """
    bigint bit boolean char character dec decimal double float int integer interval national nchar numeric real record
    setof smallint time timestamp varchar
    """
)
CLAUSES = words(
    """
    begin call declare delete diagnostics execute for foreach from group having insert into limit order perform raise
    return returning select set update using values where with
    """
)
# Between their brackets `from`, `for` and `in` only separate arguments.
SPECIAL_CALLS = words("extract overlay position substring trim")
HIDDEN_OPERATORS = words("between ilike like natural nullif similar")


class Token(NamedTuple):
    """A word, symbol or literal."""

    text: str
    line: int
    kind: str  # name, number, string, operator or symbol

    @property
    def word(self) -> str:
        """The text as PostgreSQL folds it."""
        return self.text.lower()

    def followed_by(self, other: "Token") -> "Token":
        """Return both as one."""
        return self._replace(text=self.text + other.text)


class Place(NamedTuple):
    """A word among its neighbours; the clause is the last keyword of CLAUSES between the same brackets."""

    word: str
    clause: str
    before: tuple[str, str]
    after: tuple[str, str]


def unqualified(tokens: list[Token]) -> Iterator[tuple[Token, str]]:
    """Yield each token that the search_path would decide on, and what is wrong with it."""
    queries = common_table_expressions(tokens)
    for token, place in zip(tokens, places(tokens), strict=True):
        if token.kind == "operator" and is_operator(place):
            yield token, f"operator {token.text} is not qualified, and no search_path is set"
        elif token.kind != "name" or "." in {place.before[1], place.after[0]}:
            continue
        elif hides_operator(place):
            yield token, f"{token.text} takes its operator from the search_path, and none is set"
        elif is_called(place) or is_type(place) or (is_relation(place) and place.word not in queries):
            yield token, f"{token.text} is not qualified, and no search_path is set"


def common_table_expressions(tokens: list[Token]) -> set[str]:
    """Return the names of the queries that `with` defines."""
    return {
        name.word
        for name, then, opening in zip(tokens, tokens[1:], tokens[2:], strict=False)
        if then.word == "as" and opening.word in {"(", "materialized", "not"}
    }


def places(tokens: list[Token]) -> Iterator[Place]:
    """Yield the place of each token."""
    row = ["", "", *(token.word for token in tokens), "", ""]
    clauses = Clauses()
    for number, token in enumerate(tokens):
        two_before, before, _, after, two_after = row[number : number + 5]
        place = Place(token.word, clauses.present, (two_before, before), (after, two_after))
        yield place
        clauses.go_on(place)


class Clauses:
    """Follows a body through its clauses and brackets."""

    def __init__(self) -> None:
        self.present = ""
        self._outer: list[str] = []
        self._section = ""  # or declare

    def go_on(self, place: Place) -> None:
        """Pass a word."""
        if place.word in {"(", "["}:
            self._outer.append(self.present)
            self.present = inside_bracket(place)
        elif place.word in {")", "]"} and self._outer:
            self.present = self._outer.pop()
        elif place.word in {"declare", "begin"}:
            self._start(place.word.replace("begin", ""))
        elif place.word == ";":
            self._start(self._section)
        elif self.present not in SPECIAL_CALLS and "." not in {place.before[1], place.after[0]}:
            self._go_on_in_statement(place)

    def _start(self, section: str) -> None:
        self._section = self.present = section
        self._outer.clear()

    def _go_on_in_statement(self, place: Place) -> None:
        if place.word == "in" and self.present in {"for", "foreach"}:
            self.present = ""
        elif place.word == "from" and place.before[1] == "distinct":
            return
        elif place.word in CLAUSES and not (place.word == "using" and self.present == "from"):
            self.present = place.word


def inside_bracket(place: Place) -> str:
    """Return the clause with which the inside of an opening bracket begins."""
    if place.before[1] in SPECIAL_CALLS | {"cast"}:
        return place.before[1]
    return "columns" if "as" in place.before else ""


def is_called(place: Place) -> bool:
    """Whether a name is that of a function."""
    is_alias = place.before[1] in {"as", "with", "recursive"}
    return place.after[0] == "(" and not is_alias and place.word not in NO_CALLS | GRAMMAR_TYPES


def is_relation(place: Place) -> bool:
    """Whether a name is that of a table or view, or of a query that `with` defines."""
    two_before, before = place.before
    if place.word in {"lateral", "only", "table"} or place.after[0] == "(":
        return False
    return (
        before in {"join", "only", "table", "truncate"}
        or (before in {"from", "using", ","} and place.clause == "from")
        or (before == "into" and two_before in {"insert", "merge"})
        or (before == "update" and two_before not in {"do", "for", "key"})
    )


def is_type(place: Place) -> bool:
    """Whether a name is that of a type or collation."""
    two_before, before = place.before
    if place.word in GRAMMAR_TYPES:
        return False
    return (
        before in {"::", "collate"}
        or (place.clause == "cast" and before == "as")
        or (place.clause == "declare" and two_before in {"declare", ";"} and place.word != "constant")
        or (place.clause == "declare" and before == "constant")
        or (place.clause == "columns" and two_before in {"(", ","})
        or (place.after[0].startswith("'") and place.word not in NO_TYPES)
    )


def is_operator(place: Place) -> bool:
    """Whether a sign is an operator that is not qualified, and not one of the many other things it can be."""
    two_before, before = place.before
    after, two_after = place.after
    return not (
        before == "."  # operator(pg_catalog.+), or all columns of a table
        or place.word == "=>"
        or (place.word == "*" and before in {"(", ",", "select", "distinct", "returning"})
        or (place.word == "%" and after in {"type", "rowtype"})
        or (place.word in {"-", "+"} and after[:1].isdigit() and not is_value(before))
        or (place.word == "<<" and two_after == ">>")
        or (place.word == ">>" and two_before == "<<")
        or (place.word == "=" and is_assigned(place))
    )


def is_value(word: str) -> bool:
    """Whether an operator after this word would have it as its left side."""
    return (word[-1:].isalnum() or word[-1:] in {"_", '"', "'", "$", ")", "]"}) and word not in NO_CALLS


def is_assigned(place: Place) -> bool:
    """Whether an equals sign gives a value, in `set`, `raise ... using` or `get diagnostics`."""
    return place.clause in {"set", "using", "diagnostics"} and place.before[0] in {place.clause, ",", "local"}


def hides_operator(place: Place) -> bool:
    """Whether a word stands for an operator that the grammar does not take from pg_catalog."""
    if place.word == "in":
        return place.clause not in SPECIAL_CALLS | {"for", "foreach"}
    if place.word == "distinct":
        return place.before[1] in {"is", "not"}
    if place.word == "case":
        return place.after[0] not in {"when", ";"}
    if place.word == "using":
        return place.clause == "from" and place.after[0] == "("
    return place.word in HIDDEN_OPERATORS
