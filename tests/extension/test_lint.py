"""The check of function bodies: each rule finds what is wrong, and leaves alone what is not."""

from pathlib import Path

import pytest

import lint


def routine(*lines: str, header: str = "language plpgsql", quote: str = "$$") -> str:
    """Return a procedure whose body begins on line 3."""
    return "\n".join(
        [f"create or replace procedure demo.do_it()\n{header} as {quote}", *lines, f"{quote};\n"]
    )


def pinned(*lines: str, language: str = "plpgsql") -> str:
    return routine(*lines, header=f"language {language} set search_path = pg_catalog, pg_temp")


def block(statement: str) -> str:
    return routine("begin", statement, "end")


def messages(source: str) -> list[str]:
    return [fault.message for fault in lint.faults(source)]


def test_good_sources_pass_and_bad_ones_are_told_by_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = tmp_path / "good.sql", tmp_path / "bad.sql"
    good.write_text(block("perform demo.other();"), encoding="utf-8")
    bad.write_text(block("perform other();\nperform now();"), encoding="utf-8")
    assert lint.main([str(good)]) == 0
    assert capsys.readouterr().out == ""
    assert lint.main([str(good), str(bad)]) == 1
    assert capsys.readouterr().out.splitlines() == [
        f"{bad}:4: other is not qualified, and no search_path is set",
        f"{bad}:5: now is not qualified, and no search_path is set",
    ]


@pytest.mark.parametrize("language", ["sql", "plpgsql", "plpython3u"])
def test_the_layout_of_every_body(language: str) -> None:
    source = pinned("x" * 121, "a\tb", "c ", "x" * 120, language=language)
    assert lint.faults(source) == [
        (3, "the line has 121 characters, more than 120"),
        (4, "the line has a tab"),
        (5, "the line ends in blanks"),
    ]


def test_the_layout_of_a_do_block() -> None:
    assert messages("do $$ begin null;\t\nend $$;") == ["the line ends in blanks", "the line has a tab"]


def test_outside_of_bodies_layout_is_left_to_sqlfluff() -> None:
    text = "x" * 200
    source = f"-- {text}\t\n{pinned('begin', 'end')}comment on procedure demo.do_it() is 'It''s {text}';\n"
    assert lint.faults(source + f"comment on table demo.t is $$ {text} $$;\n") == []


def test_upper_case_words() -> None:
    assert lint.faults(pinned("begin", "  SELECT 1 into Found;", "end")) == [
        (4, "Found is not in lower case"),
        (4, "SELECT is not in lower case"),
    ]


def test_upper_case_that_means_something() -> None:
    lines = [
        "begin -- A comment, then another",
        "  /* OF MANY",
        "     LINES */",
        "  raise notice 'It''s A STRING: %', $q$ AND Another $q$;",
        "  update \"Table\" set x = E'\\n';",
        "end",
    ]
    assert lint.faults(pinned(*lines)) == []
    assert lint.faults(pinned("    return None or GD", language="plpython3u")) == []


@pytest.mark.parametrize(
    ("statement", "name"),
    [
        ("perform format('x');", "format"),
        ("x := y + 1;", "operator +"),
        ("if a || b then null; end if;", "operator ||"),
        ("if a <> b then null; end if;", "operator <>"),
        ("x := -y;", "operator -"),
        ("x := a -1;", "operator -"),
        ("x := a ->> 'b';", "operator ->>"),
        ("x := a * 2;", "operator *"),
        ("x := a = b;", "operator ="),
        ("update demo.t set a = b = c;", "operator ="),
        ("select a, b = c from demo.t;", "operator ="),
        ("raise exception using message = a = b;", "operator ="),
        ("select 1 into x from things;", "things"),
        ("select 1 into x from demo.t, things as t;", "things"),
        ("select 1 into x from demo.t join things as t on true;", "things"),
        ("select 1 into x from demo.t, lateral f(t.a) as g;", "f"),
        ("delete from things;", "things"),
        ("delete from demo.t using things;", "things"),
        ("update things set a = 1;", "things"),
        ("insert into things values (1);", "things"),
        ("insert into things (a) values (1);", "things"),
        ("call other();", "other"),
        ("x := y::text;", "text"),
        ("x := y::uuid[];", "uuid"),
        ("x := cast(y as jsonb);", "jsonb"),
        ("x := date '2020-01-01';", "date"),
        ('x := y collate "C";', '"C"'),
        ("select a into x from demo.f() as t (a text);", "text"),
        ("select substring(a from 2) into x;", "substring"),
    ],
)
def test_what_a_search_path_would_decide_on(statement: str, name: str) -> None:
    assert lint.faults(block(statement)) == [(4, f"{name} is not qualified, and no search_path is set")]


@pytest.mark.parametrize("declared", ["x text;", "x constant text := 'a';", "x int; y text; z boolean;"])
def test_types_of_variables(declared: str) -> None:
    source = routine("declare", declared, "begin", "end")
    assert lint.faults(source) == [(4, "text is not qualified, and no search_path is set")]


@pytest.mark.parametrize(
    ("statement", "word"),
    [
        ("x := a in (1, 2);", "in"),
        ("x := a between 1 and 2;", "between"),
        ("x := a not like 'b';", "like"),
        ("x := nullif(a, '');", "nullif"),
        ("x := a is distinct from b;", "distinct"),
        ("x := a is not distinct from b;", "distinct"),
        ("x := case a when 1 then 2 end;", "case"),
        ("select 1 into x from demo.t join demo.u using (a);", "using"),
        ("select 1 into x from demo.t natural join demo.u;", "natural"),
    ],
)
def test_operators_that_cannot_be_qualified(statement: str, word: str) -> None:
    told = f"{word} takes its operator from the search_path, and none is set"
    assert lint.faults(block(statement)) == [(4, told)]


@pytest.mark.parametrize(
    "statement",
    [
        "x := pg_catalog.format('%s', demo.f(a => 1));",
        "x := a operator(pg_catalog.*) (b operator(pg_catalog.||) c);",
        "x := -1; y := array[-1, +2]; return -1;",
        "x := coalesce(a, greatest(b, 0), cast(c as numeric(10, 2)), row(a, b));",
        "x := extract(year from a); x := trim(both from a); x := position(a in b);",
        "x := interval '1 day'; x := y::double precision; x := y::bigint[]; x := y::pg_catalog.text;",
        'x := a collate pg_catalog."C";',
        "select t.*, pg_catalog.count(*) into x from demo.t as t where t.a is null and not t.b;",
        "select * into x from demo.f() as t (a, b), demo.t order by a;",
        "with recursive q as (select 1), p as materialized (select * from q) select 1 into x from p join q on true;",
        "insert into demo.t as t (a, b) values (1, 2) on conflict (a) do update set a = 1, b = excluded.b;",
        "update demo.t set a = 1, b = f.g from demo.f as f;",
        "select 1 into x from demo.t for no key update skip locked;",
        "raise exception using errcode = 'a', message = b, hint = case when c then 'd' else 'e' end;",
        "raise notice 'a + b = %', x; raise exception 'lower(x)';",
        "get stacked diagnostics a = message_text, b = pg_exception_hint;",
        "for i in 1..10 loop exit when a; end loop; for a, b in select 1, 2 loop null; end loop;",
        "foreach x in array y loop continue; end loop; while demo.f() loop commit; end loop;",
        "case when a then null; else null; end case;",
        "execute $q$ select lower(X) + 1 from things $q$ using a, b;",
        "null; -- lower(x) + 1 from things\n/* lower(x)\n + 1 */",
        "set local work_mem = 1;",
        "begin null; exception when unique_violation then null; end;",
    ],
)
def test_what_no_search_path_decides_on(statement: str) -> None:
    assert lint.faults(block(statement)) == []


def test_variables_of_grammar_types_and_qualified_ones() -> None:
    declared = [
        "<<outer>>",
        "declare",
        "  a bigint := 0; b constant timestamp with time zone := pg_catalog.now(); c demo.t; d demo.t.a%type;",
        "  e demo.t%rowtype; f pg_catalog.text[]; g record;",
        "begin",
        "end",
    ]
    assert lint.faults(routine(*declared)) == []


def test_names_are_free_where_a_search_path_is_set() -> None:
    assert lint.faults(pinned("begin", "perform lower(x) || 'a' from things;", "end")) == []
    header = "language sql set search_path to pg_catalog, pg_temp"
    assert lint.faults(routine("select nullif(a, 1) from things", header=header)) == []


def test_names_are_free_where_they_are_bound_at_once() -> None:
    atomic = (
        "create function demo.f(a text) returns text language sql\nbegin atomic select lower($1) || a; end;\n"
    )
    assert lint.faults(atomic + "do $$ begin perform lower('X'); end $$;") == []


def test_sql_functions_are_checked_too() -> None:
    source = routine("select lower(a) from demo.t", header="language sql")
    assert messages(source) == ["lower is not qualified, and no search_path is set"]


def test_another_quote_and_placeholders() -> None:
    source = routine("begin", "perform @extschema@.f($$ lower(X) $$);", "perform g();", "end", quote="$body$")
    assert lint.faults(source) == [(5, "g is not qualified, and no search_path is set")]


def test_python_that_runs_queries() -> None:
    told = "the body runs queries, and no search_path is set"
    source = routine("    plpy.execute('select 1')", header="language plpython3u")
    assert lint.faults(source) == [(2, told)]
    assert lint.faults(routine("    plpy.commit()", header="language plpython3u")) == []
