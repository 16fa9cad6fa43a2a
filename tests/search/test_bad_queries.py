"""Queries and texts of every sort: never an internal error, and what was learned is found by its name."""

# ruff: noqa: RUF001  letters of many scripts look like Latin ones

import json
import unicodedata
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.kit.hidden import has_hidden
from tests.kit.queries import refused, value
from tests.search.places import Place, maintain, names

QUIET = "set statement_timeout = '30s'"
SIGNS = [
    "& | ! <-> :* () ''",
    "&",
    "|",
    "!",
    "<->",
    "<2>",
    ":*",
    ":*A",
    "(",
    ")",
    "()",
    "'",
    "''",
    "'''",
    '"',
    '""',
    "\\",
    "\\\\",
    "\\'",
    "'\\",
    "%",
    "%s",
    "%%",
    "_",
    "__",
    "=",
    "=a",
    "-",
    "--",
    "/*",
    "$$",
    "$1",
    "{}",
    "[]",
    ".",
    "...",
    ",",
    ";",
    "@",
    "#",
    "~",
    "^",
    "`",
    "/",
    "//",
    "/kind/k",
    "\x01",
    "\x1b[31m",
    "\x7f",
    "\u200b",
    "\u2060",
    "\ufeff",
    "\ufffd",
    "\U0010ffff",
    "e\u0301\u0301\u0301",
    "\u0301",
    "\u202eabc",
    "</s>",
    "<s>",
    "<unk>",
    "<pad>",
    "<0x0A>",
    "[CLS]",
    "\u2581",
    "the of and",
    "a",
    "I",
    "0",
    "-1.5e10",
    "null",
    "true",
    "'; drop table singularity.document; --",
    "a' | 'b",
    "a & !b",
    "x:1,2A",
]
SCRIPTS = [
    ("αναζήτηση γνώσης", "γνώσης"),
    ("知识库搜索", "知识库搜索"),
    ("البحث عن المعرفة", "المعرفة"),
    ("поиск знаний", "знаний"),
    ("जानकारी खोज", "खोज"),
    ("🔥🚒 emoji", "🔥🚒 emoji"),
    ("naïve café", "café"),
    ("Straße über Äcker", "Straße"),
    ("İstanbul ığdır", "ığdır"),
    ("𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𝟙𝟚𝟛", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢"),
]
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=60)
NAMES = TEXT.map(lambda text: unicodedata.normalize("NFC", text)).filter(
    lambda text: (
        1 <= len(text.encode()) <= 512
        and not has_hidden(text)
        and not any(unicodedata.category(c) == "Zs" for c in text)
    )
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)


@pytest.fixture
def library(place: Place) -> Place:
    """Teach a few artifacts."""
    place.connection.execute(QUIET)
    place.teach(
        [
            {"kind": "k", "name": "umbrella", "summary": "keeps rain out", "content": "open it"},
            {
                "kind": "k",
                "name": "retry_with_backoff",
                "tags": ["a & b"],
                "content": {"text": "it's a \\ test"},
            },
            {"kind": "k", "name": "!!!", "content": 1},
        ]
    )
    return place


def is_alive(place: Place) -> bool:
    return names(place.found("umbrella"))[:1] == ["umbrella"]


def test_signs_are_only_text(library: Place) -> None:
    for query in SIGNS:
        for more in ({}, {"kind": "k"}, {"tags": [query]}, {"max_results": 1000, "min_similarity": 0.0}):
            for row in library.found(query, **more):
                assert 0 <= row["relevance"] <= 1, query
    assert is_alive(library)


def test_other_scripts_are_found(place: Place) -> None:
    place.teach([{"kind": "k", "name": name, "content": n} for n, (name, _) in enumerate(SCRIPTS)])
    maintain(place)
    for name, query in SCRIPTS:
        assert names(place.found(name))[0] == unicodedata.normalize("NFC", name)
        assert names(place.found(query))[0] == unicodedata.normalize("NFC", name), query


def test_other_scripts_in_the_content_are_found_by_their_words(place: Place) -> None:
    place.teach([{"kind": "k", "name": f"thing {n}", "content": text} for n, (text, _) in enumerate(SCRIPTS)])
    for n, (_, query) in enumerate(SCRIPTS):
        if not query.startswith("🔥"):
            first = place.found(query, min_similarity=0.0)[0]
            assert (first["name"], first["words"] > 0) == (f"thing {n}", True), query


class TestLongQueries:
    """Up to 64 KiB a query is answered, beyond it is refused."""

    @pytest.mark.parametrize(
        "query",
        [
            "x" * 65_536,
            "ü" * 32_768,
            "umbrella " * 7281,
            " " * 65_528 + "umbrella",
            "a_b" * 21_845,
            "a." * 32_768,
            "aB" * 32_768,
            "&|" * 32_768,
            "'" * 65_536,
            "\\" * 65_536,
            "(" * 65_536,
            "語" * 21_845,
            "x" * 65_000 + " a_b",
            "A" * 65_000 + " aB",
            "a-" * 32_000 + "!",
        ],
        ids=lambda query: query[:9] + query[-9:],
    )
    def test_64_kib(self, library: Place, query: str) -> None:
        assert len(query.encode()) <= 65_536
        found = library.found(query)
        if "umbrella" in query:
            assert names(found)[0] == "umbrella"
        assert is_alive(library)

    def test_100_kb(self, library: Place) -> None:
        with refused("54000", "query has 100000 bytes, the limit is 65536"):
            library.found("x" * 100_000)
        with refused("54000", "query has 65537 bytes"):
            library.found("x" * 65_537)
        assert is_alive(library)

    def test_thousands_of_different_words(self, library: Place) -> None:
        words = [f"w{n}" for n in range(9_000)]
        library.teach([{"kind": "k", "name": "many", "content": " ".join(words)}])
        assert names(library.found(" ".join(words)))[0] == "many"
        assert names(library.found(" ".join(reversed(words[4000:]))))[0] == "many"

    def test_one_word_of_3000_letters(self, library: Place) -> None:
        library.teach([{"kind": "k", "name": "long word", "content": "x" * 3000 + " behind"}])
        library.found("x" * 3000)
        assert names(library.found("behind"))[0] == "long word"

    def test_a_long_word_makes_no_noise(self, library: Place) -> None:
        told: list[str | None] = []
        library.connection.add_notice_handler(lambda notice: told.append(notice.message_primary))
        library.found("x" * 3000)
        assert told == []


@pytest.mark.parametrize("query", ["", " ", "\n\t ", None])
def test_an_empty_query_is_refused(library: Place, query: Any) -> None:
    with refused("22023", "query is empty"):
        library.found(query)
    assert is_alive(library)


def test_nul_is_refused_clearly(library: Place) -> None:
    with pytest.raises(psycopg.DataError, match="NUL"):
        library.found("um\0brella")
    with pytest.raises(psycopg.errors.UntranslatableCharacter):
        library.connection.execute("select %s::jsonb", [json.dumps("um\0brella")])
    with pytest.raises(psycopg.errors.CharacterNotInRepertoire):
        library.connection.execute(f"select {library.schema}.embed(convert_from('\\x610062', 'UTF8'))")
    assert is_alive(library)


def deep(levels: int) -> Any:
    """Return a text inside this many arrays."""
    content: Any = "abyss"
    for _ in range(levels):
        content = [content]
    return content


class TestContents:
    """Contents with no text, with much of it, and deep ones."""

    @pytest.mark.parametrize(
        "content", [0, -1.5, True, False, {}, [], "", " ", [[], {}], {"a": None}, [None, 1], {"": ""}]
    )
    def test_without_any_text(self, place: Place, content: Any) -> None:
        place.teach([{"kind": "k", "name": "umbrella", "content": content}])
        assert is_alive(place)
        maintain(place)
        assert is_alive(place)

    def test_two_hundred_arrays_deep(self, place: Place) -> None:
        place.teach([{"kind": "k", "name": "well", "content": deep(199)}])
        assert names(place.found("abyss")) == ["well"]

    @pytest.mark.parametrize(
        "unit", ["x", "word ", "a_b ", "aB", "a.b:c-", "語", "'", "\\", "& ", "😀 ", "</s>", "é", "Ⱥ"]
    )
    def test_256_kib_of_text(self, place: Place, unit: str) -> None:
        place.connection.execute(QUIET)
        room = 262_144 - 2 - len("umbrella ")
        text = "umbrella " + unit * (room // len(json.dumps(unit, ensure_ascii=False)[1:-1].encode()))
        assert value(place.connection, "select octet_length(%s::jsonb::text)", json.dumps(text)) > 262_100
        place.teach(
            [{"kind": "k", "name": "huge", "content": text}, {"kind": "k", "name": "small", "content": "x"}]
        )
        assert names(place.found("umbrella"))[0] == "huge"
        assert names(place.found("huge"))[0] == "huge"
        assert names(place.found("small"))[0] == "small"

    def test_many_different_words(self, place: Place) -> None:
        place.connection.execute(QUIET)
        text = " ".join(f"w{n}" for n in range(40_000))
        place.teach([{"kind": "k", "name": "huge", "content": text[:262_000]}])
        assert names(place.found("w17"))[0] == "huge"
        assert names(place.found("w9000"))[0] == "huge"

    @pytest.mark.parametrize("token", ["</s>", "<s>", "<unk>", "<0x0A>", "\u2581", "[PAD]"])
    def test_what_looks_like_a_token(self, place: Place, token: str) -> None:
        place.teach([{"kind": "k", "name": token, "summary": token * 50, "tags": [token], "content": token}])
        place.teach([{"kind": "k", "name": "umbrella", "content": token}])
        place.found(token)
        assert is_alive(place)


@given(name=NAMES, summary=TEXT, tags=st.lists(TEXT.filter(bool), max_size=3), content=JSON, query=TEXT)
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_is_learned_and_searched(
    library: Place, name: str, summary: str, tags: list[str], content: Any, query: str
) -> None:
    tags = [tag for tag in tags if len(tag.encode()) <= 128 and not has_hidden(tag)]
    content = 1 if content is None else content
    library.teach([{"kind": "h", "name": name, "summary": summary, "tags": tags, "content": content}])
    if any(unicodedata.category(character) in {"Ll", "Lu", "Nd"} for character in name):
        assert name in names(library.found(name, kind="h", min_similarity=0.0, max_results=100))
    for asked in (query, name, summary):
        if value(library.connection, "select %s ~ '\\S'", asked):
            for row in library.found(asked, min_similarity=0.0, max_results=50):
                assert 0 <= row["relevance"] <= 1
                assert row["similarity"] is None or abs(row["similarity"]) <= 1.0001
    assert is_alive(library)
