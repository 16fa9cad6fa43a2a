"""Documents and queries that any machine has: Python's standard library and PostgreSQL's own catalog."""

import ast
import importlib
import inspect
import re
import sys
import sysconfig
import types
import warnings
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg

_SKIPPED = {
    "__pycache__",
    "test",
    "tests",
    "idlelib",
    "lib2to3",
    "turtledemo",
    "dist-packages",
    "site-packages",
}
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n\s*\n")
# a description that so many functions share ("I/O") asks for none of them
_SHARED_DESCRIPTION = 5
_IMMUTABLE_TYPE = 1 << 8


@dataclass(frozen=True)
class Document:
    """One text to be found: its id, which is kind and name, and its fields."""

    kind: str
    name: str
    summary: str
    body: str

    @property
    def id(self) -> str:
        """Kind and name."""
        return f"{self.kind}:{self.name}"

    def without_summary(self) -> "Document":
        """Return the document as it is when its summary is the query."""
        return Document(self.kind, self.name, "", self.body)

    def text(self) -> str:
        """Return all fields as one text."""
        return "\n".join(part for part in (self.name, self.summary, self.body) if part)


@dataclass(frozen=True)
class Query:
    """A query and the ids of all documents that are right."""

    text: str
    answers: frozenset[str]


def standard_library() -> list[Document]:
    """Return the docstrings of Python's standard library: summary the first sentence, body signature and rest."""
    found: dict[str, Document] = {}
    for name, signature, text in [*_source_docstrings(), *_compiled_docstrings()]:
        summary, rest = _first_sentence(text)
        document = Document("python", name, summary, f"{signature}\n{rest}".strip())
        found.setdefault(document.id, document)
    return [found[key] for key in sorted(found)]


def postgres_functions(connection: psycopg.Connection) -> list[Document]:
    """Return PostgreSQL's functions by name: summary their descriptions, body their signatures."""
    rows = connection.execute(
        """
        select p.proname, array_agg(distinct d.description order by d.description),
            array_agg(distinct format('%s(%s) returns %s', p.proname, pg_get_function_arguments(p.oid),
                pg_get_function_result(p.oid)))
        from pg_proc p
        join pg_description d on d.objoid = p.oid and d.classoid = 'pg_proc'::regclass and d.objsubid = 0
        where p.pronamespace = 'pg_catalog'::regnamespace and p.oid < 16384
        group by p.proname order by p.proname collate "C"
        """
    ).fetchall()
    return [
        Document("postgres", name, "; ".join(descriptions), "\n".join(signatures))
        for name, descriptions, signatures in rows
    ]


def summary_queries(documents: Iterable[Document], least_rest: int) -> list[Query]:
    """Return each document's summary as a query, where what is left of the document has `least_rest` words.

    Documents with the same summary are all right; a summary that many share is no query.
    """
    by_summary: dict[str, set[str]] = defaultdict(set)
    asked: dict[str, str] = {}
    for document in documents:
        for part in document.summary.split("; "):
            by_summary[part.lower()].add(document.id)
            if len(document.body.split()) >= least_rest and len(part.split()) >= 2:
                asked.setdefault(part.lower(), part)
    return [
        Query(text, frozenset(by_summary[key]))
        for key, text in sorted(asked.items())
        if len(by_summary[key]) <= _SHARED_DESCRIPTION
    ]


def _first_sentence(text: str) -> tuple[str, str]:
    first, *rest = _SENTENCE_END.split(text.strip(), maxsplit=1)
    return " ".join(first.split()), rest[0].strip() if rest else ""


def _source_docstrings() -> Iterator[tuple[str, str, str]]:
    root = Path(sysconfig.get_paths()["stdlib"])
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        if _SKIPPED.intersection(parts) or parts[0].startswith("config-"):
            continue
        try:
            with warnings.catch_warnings(action="ignore"):
                tree = ast.parse(path.read_bytes())
        except SyntaxError:
            continue
        module = ".".join(part for part in parts if part != "__init__")
        yield from _docstrings(tree, module)


def _docstrings(node: ast.AST, name: str) -> Iterator[tuple[str, str, str]]:
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        text = ast.get_docstring(node)
        if text:
            yield name, _signature(node), text
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _docstrings(child, f"{name}.{child.name}")
        elif isinstance(child, ast.stmt | ast.excepthandler):
            yield from _docstrings(child, name)


def _signature(node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    match node:
        case ast.Module():
            return ""
        case ast.ClassDef():
            return f"class {node.name}({', '.join(ast.unparse(base) for base in node.bases)})"
        case _:
            return f"{node.name}({ast.unparse(node.args)})"


def _compiled_docstrings() -> Iterator[tuple[str, str, str]]:
    """Docstrings of what is written in C, which has no source to parse."""
    folder = Path(sysconfig.get_config_var("DESTSHARED") or sysconfig.get_paths()["platstdlib"])
    names = {*sys.builtin_module_names, *(path.name.split(".")[0] for path in folder.glob("*.so"))}
    for name in sorted(names):
        if re.match(r"_?(xx|test)|_ctypes_test|_tkinter|antigravity|this", name):
            continue
        with warnings.catch_warnings(action="ignore"):
            try:
                module = importlib.import_module(name)
            except ImportError:
                continue
            for member in vars(module).values():
                yield from _compiled_members(member, name)


def _compiled_members(member: object, module: str) -> Iterator[tuple[str, str, str]]:
    if not isinstance(member, types.BuiltinFunctionType | type):
        return
    home = getattr(member, "__module__", None)
    if home not in {None, module, module.lstrip("_"), "builtins"}:
        return
    name = f"{(home or module).replace('posix', 'os')}.{member.__qualname__}"
    yield from _described(member, name)
    if isinstance(member, type) and member.__flags__ & _IMMUTABLE_TYPE:
        for key, method in vars(member).items():
            if not key.startswith("_") and callable(method):
                yield from _described(method, f"{name}.{key}")


def _described(member: object, name: str) -> Iterator[tuple[str, str, str]]:
    text = (inspect.getdoc(member) or "").strip()
    short = name.rpartition(".")[2]
    signature = f"{short}{getattr(member, '__text_signature__', None) or ''}"
    # older docstrings begin with the signature
    while match := re.match(rf"(\w+\.)*{re.escape(short)}\(.*\)?( -+> .*| = .*| : .*)?(\n+|$)", text):
        signature, text = f"{signature}\n{match[0].strip()}", text[match.end() :].strip()
    if text and text != inspect.getdoc(object):
        yield name, signature, text
