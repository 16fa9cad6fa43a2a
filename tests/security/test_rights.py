"""Nobody gains a right: not by what lies in the database before the extension, nor by what others call later."""

import re
from pathlib import Path

import psycopg
import pytest
from tests.kit.queries import rows, value
from tests.kit.relay import Relay
from tests.security.conftest import MALLORY

from singularity_lab import Database

PLANTED = (Path(__file__).parent / "planted.sql").read_text(encoding="utf-8")
EXTENSIONS = ("singularity", "centralcloud")


def plant(connection: psycopg.Connection, schema: str) -> None:
    """Put everything of planted.sql into a schema."""
    connection.execute(PLANTED.replace(":schema", schema).encode())


def install(database: Database, *extensions: str) -> None:
    """Create extensions as the administrator does."""
    with database.connect_superuser() as connection:
        for extension in extensions:
            connection.execute(f"create extension {extension} cascade".encode())


def gained(connection: psycopg.Connection, schema: str) -> list[str]:
    """Return who ran what was planted."""
    return [
        f"{found['who']}: {found['what']}" for found in rows(connection, f"select * from {schema}.gained")
    ]


def use_everything(database: Database, path: str) -> None:
    """Use an instance and an authority with others' things first in the search_path."""
    with database.connect_superuser() as connection:
        connection.execute(f"set search_path = {path}".encode())
        for statement in (
            "select singularity.learn('pattern', 'zebra', '\"stripes\"', 'In black and white', '{a,b}')",
            "select singularity.record_outcome('pattern', 'zebra', true)",
            "select * from singularity.lookup('pattern', 'zebra')",
            "select * from singularity.recall('black stripes')",
            "select * from singularity.related('pattern', 'zebra')",
            "select * from singularity.history('pattern', 'zebra')",
            "select singularity.embed_many('{a,b}')",
            "select singularity.connect()",
            "call singularity.maintain()",
            "call singularity.reembed()",
            "select * from singularity.status()",
            "table singularity.configuration",
            "table singularity.outbox_entries",
            "select * from singularity.digest()",
            "select * from centralcloud.search('stripes')",
            "select centralcloud.rescore()",
            "call centralcloud.maintain()",
            "select * from centralcloud.status()",
        ):
            connection.execute(statement.encode())


class TestInstallation:
    def test_what_fits_better_beside_vector_and_pg_trgm_is_not_taken(
        self, prepared: Database, mallory: psycopg.Connection
    ) -> None:
        with prepared.connect_superuser() as owner:
            owner.execute("grant create on schema public to public")
            plant(mallory, "public")
            install(prepared, *EXTENSIONS)
            for extension in EXTENSIONS:
                assert rows(owner, f"select * from {extension}.foreign_dependencies()") == []
            use_everything(prepared, "public, pg_catalog")
            assert gained(owner, "public") == []

    def test_the_planted_things_are_dangerous(self, prepared: Database, mallory: psycopg.Connection) -> None:
        """A test of the test: a body as it was before runs them, and the catalog shows it."""
        with prepared.connect_superuser() as owner:
            owner.execute("grant create on schema public to public")
            plant(mallory, "public")
            install(prepared, "singularity")
            owner.execute("set search_path = singularity, public, pg_catalog")
            owner.execute("""
                create or replace function singularity.relevance(
                    words double precision, name_match double precision, similarity double precision, one_word boolean
                ) returns double precision language sql immutable parallel safe
                begin atomic
                    select 0.65 * words;
                end
            """)
            owner.execute("select singularity.relevance(1, 1, 1, true)")
            assert gained(owner, "public") == ["postgres: numeric double precision"]
            found = rows(owner, "select * from singularity.foreign_dependencies()")
            assert [each["object"].split("(")[0] for each in found] == ["function singularity.relevance"]
            assert found[0]["depends_on"].startswith("operator public.*(numeric,double precision)")

    def test_an_operator_in_the_place_of_pg_trgm_s_is_named(
        self, prepared: Database, mallory: psycopg.Connection
    ) -> None:
        with prepared.connect_superuser() as owner:
            owner.execute(
                "drop extension pg_trgm; create schema words; create extension pg_trgm schema words"
            )
            owner.execute("grant create on schema public to public")
        plant(mallory, "public")
        mallory.execute("""
            create function public.nearly(text, text) returns boolean language sql as 'select true';
            create operator public.%> (function = public.nearly, leftarg = text, rightarg = text)
        """)
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match=r"%>\(text,text\)") as caught:
            install(prepared, "singularity")
        assert "drop it" in str(caught.value.diag.message_hint)

    def test_an_extension_that_somebody_else_owns_is_not_built_on(
        self, prepared: Database, mallory: psycopg.Connection
    ) -> None:
        """pg_trgm is trusted, so that anybody who may create a schema gets it; its owner may add and drop."""
        with prepared.connect_superuser() as owner:
            owner.execute("drop extension pg_trgm")
        mallory.execute("create schema trap; create extension pg_trgm schema trap")
        plant(mallory, "trap")
        mallory.execute("alter extension pg_trgm add function trap.ran(text)")
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match=f"pg_trgm, whose owner is {MALLORY}"):
            install(prepared, "singularity")
        with prepared.connect_superuser() as owner:
            owner.execute("drop schema trap cascade")
            install(prepared, *EXTENSIONS)

    @pytest.mark.parametrize("extension", EXTENSIONS)
    def test_a_schema_of_somebody_else_is_refused(
        self, prepared: Database, mallory: psycopg.Connection, extension: str
    ) -> None:
        mallory.execute(f"create schema {extension}".encode())
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match=f"belongs to {MALLORY}") as caught:
            install(prepared, extension)
        assert f"DROP SCHEMA {extension}" in str(caught.value.diag.message_hint)

    @pytest.mark.parametrize("extension", EXTENSIONS)
    @pytest.mark.parametrize("grantee", [MALLORY, "public"])
    def test_a_schema_in_which_others_may_create_is_refused(
        self, prepared: Database, mallory: psycopg.Connection, extension: str, grantee: str
    ) -> None:
        with prepared.connect_superuser() as owner:
            owner.execute(f"create schema {extension}; grant all on schema {extension} to {grantee}".encode())
            with pytest.raises(psycopg.errors.InsufficientPrivilege, match="may create objects in it"):
                install(prepared, extension)
            owner.execute(f"revoke all on schema {extension} from {grantee}".encode())
            install(prepared, extension)
            owner.execute(f"drop extension {extension}".encode())
            install(prepared, extension)

    @pytest.mark.parametrize(
        "planted",
        [
            "function singularity.artifact_id(text, text, text) returns text language sql as 'select null::text'",
            "table singularity.question (query text)",
            "type singularity.mood as enum ('good')",
            "operator singularity.+ (function = int4pl, leftarg = int, rightarg = int)",
            "aggregate singularity.sum(bigint) (sfunc = int8pl, stype = bigint)",
            'collation singularity.plain from "C"',
            "text search configuration singularity.english (copy = pg_catalog.english)",
        ],
    )
    def test_a_schema_that_holds_something_is_refused(self, prepared: Database, planted: str) -> None:
        with prepared.connect_superuser() as owner:
            owner.execute(f"create schema singularity; create {planted}".encode())
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="is not a member of extension"):
            install(prepared, "singularity")

    def test_an_owner_role_that_could_log_in_is_refused(self, prepared: Database) -> None:
        with prepared.connect_superuser() as owner:
            install(prepared, "singularity")
            owner.execute("drop extension singularity; alter role singularity_owner login")
            try:
                with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="can log in") as caught:
                    install(prepared, "singularity")
                assert "NOLOGIN" in str(caught.value.diag.message_hint)
            finally:
                owner.execute("alter role singularity_owner nologin")

    def test_what_lies_in_the_schema_later_is_found(self, prepared: Database) -> None:
        with prepared.connect_superuser() as owner:
            install(prepared, "singularity")
            owner.execute(
                f"""
                create function singularity.artifact_id(text, text, varchar) returns uuid
                language sql as 'select null::uuid';
                alter function singularity.artifact_id(text, text, varchar) owner to {MALLORY}
            """.encode()
            )
            (found,) = rows(owner, "select * from singularity.foreign_dependencies()")
            assert found["object"] == "schema singularity"
            assert "artifact_id(text,text,character varying)" in found["depends_on"]


@pytest.mark.parametrize("side", ["instance", "authority"])
class TestOwner:
    def test_a_role_without_powers_owns_everything(self, request: pytest.FixtureRequest, side: str) -> None:
        database: Database = request.getfixturevalue(side)
        with database.connect_superuser() as connection:
            others = """
                select pg_describe_object(d.classid, d.objid, d.objsubid) as object
                from pg_depend d join pg_extension e on d.refobjid = e.oid and d.refclassid = 'pg_extension'::regclass
                where e.extname = %(name)s and d.deptype = 'e'
                    and not exists (
                        select from pg_shdepend s join pg_roles r on r.oid = s.refobjid
                        where s.classid = d.classid and s.objid = d.objid and s.deptype = 'o'
                            and s.dbid = (select oid from pg_database where datname = current_database())
                            and r.rolname = %(name)s || '_owner'
                    )
                    -- the row type of a table, the type of an array, a sequence of a column
                    and not exists (
                        select from pg_depend i
                        where i.classid = d.classid and i.objid = d.objid and i.deptype in ('i', 'a')
                    )
            """.replace("%(name)s", f"'{database.extension}'")
            assert rows(connection, others) == []
            owner = f"{database.extension}_owner"
            schema = "select nspowner::regrole::text from pg_namespace where nspname = %s"
            assert value(connection, schema, database.extension) == owner
            memberships = (
                "select roleid::regrole::text as role from pg_auth_members where member = %s::regrole"
            )
            assert rows(connection, memberships, owner) == [{"role": "pg_read_all_stats"}]
            members = "select member::regrole::text from pg_auth_members where roleid = %s::regrole"
            assert rows(connection, members, owner) == []

    def test_nobody_else_may_create_in_the_schema(self, request: pytest.FixtureRequest, side: str) -> None:
        database: Database = request.getfixturevalue(side)
        query = "select rolname from pg_roles where has_schema_privilege(oid, %s, 'create') and not rolsuper"
        with database.connect_superuser() as connection:
            found = rows(connection, query, database.extension)
            assert found == [{"rolname": f"{database.extension}_owner"}]
            assert rows(connection, f"select * from {database.extension}.foreign_dependencies()") == []

    def test_the_bridge_calls_its_functions_and_reads_nothing(
        self, request: pytest.FixtureRequest, side: str
    ) -> None:
        database: Database = request.getfixturevalue(side)
        schema = database.extension
        with database.connect_superuser() as owner, database.connect(database.relay) as bridge:
            relations = (
                "select relname from pg_class where relnamespace = %s::regnamespace and relkind in ('r', 'v')"
            )
            for found in rows(owner, relations, schema):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    bridge.execute(f"select from {schema}.{found['relname']}".encode())
            callable_ = """
                select p.proname from pg_proc p
                where p.pronamespace = %s::regnamespace and has_function_privilege(current_user, p.oid, 'execute')
            """
            allowed = {found["proname"] for found in rows(bridge, callable_, schema)}
            contract = {
                "attach",
                "detach",
                "plan",
                "arm",
                "outgoing",
                "result",
                "receive",
                "serve",
                "tick",
                "holder",
                "put_aside",
                "signing_keys",
            }
            assert allowed == {"troubles", *(f"bridge_{name}" for name in contract)}


# What a procedure that commits may call, since it runs with its caller's search_path: functions that pin theirs.
ALLOWED_CALL = re.compile(r"(singularity|centralcloud)\.\w+|pg_catalog\.(clock_timestamp|pg_sleep)")
SIGN = re.compile(r"[-+*/<>=~!@#%^&|?]+")
PLAIN_SIGNS = {":=", "=>", "="}


def risks(body: str) -> list[str]:
    """Return what in the body of a committing procedure could run something of its caller's search_path."""
    body = re.sub(r"--[^\n]*", "", body)
    body = re.sub(r"'(?:[^']|'')*'", "''", body)
    # errors of constant text
    body = re.sub(r"raise exception using[^;]*", lambda m: re.sub(r"(\w+) = ''", r"\1", m[0]), body)
    found = [name for name in re.findall(r"([\w.]+)\(", body) if not ALLOWED_CALL.fullmatch(name)]
    found += [sign for sign in SIGN.findall(body.replace(":=", "")) if sign]
    found += re.findall(r"(?<!::)(?<![\w.])\d+(?:\.\d+)?(?!\w|::|\.)", body)
    found += re.findall(r"\b(?:in|between|like|operator|select|insert|update|delete)\b", body)
    return found


@pytest.mark.parametrize(
    "statement",
    [
        "pause := pause * 1.5;",
        "pause := least(pause operator(pg_catalog.*) 1.5, 0.1);",
        "hint := array_to_string(singularity.troubles(), ' ');",
        "raise exception using message = format('timeout is %s', timeout);",
        "perform pg_catalog.pg_sleep(0.05);",
        "perform pg_sleep(pause);",
        "if timeout < deadline then return; end if;",
        "select s.answered_at into answered from singularity.question_state(id) as s;",
        "raise exception using message = 'timeout ' || timeout;",
    ],
)
def test_a_risk_in_a_body_is_seen(statement: str) -> None:
    assert risks(statement)


@pytest.mark.parametrize("side", ["instance", "authority"])
def test_procedures_that_commit_only_call_pinned_functions(request: pytest.FixtureRequest, side: str) -> None:
    database: Database = request.getfixturevalue(side)
    loose = """
        select p.oid::regprocedure::text as name, p.prosrc as body
        from pg_proc p join pg_language l on l.oid = p.prolang
        where p.pronamespace = %s::regnamespace and l.lanname = 'plpgsql'
            and not coalesce(p.proconfig @> array['search_path=pg_catalog, pg_temp'], false)
    """
    with database.connect_superuser() as connection:
        found = rows(connection, loose, database.extension)
    assert len(found) >= 3
    assert {one["name"]: risks(one["body"]) for one in found if risks(one["body"])} == {}


def test_nothing_of_the_caller_s_search_path_is_run(prepared: Database, mallory: psycopg.Connection) -> None:
    """The administrator waits, compares and maintains while somebody's things are first in the search_path."""
    mallory.execute("create schema trap")
    plant(mallory, "trap")
    install(prepared, *EXTENSIONS)
    prepared.create_roles()
    use_everything(prepared, "trap, pg_catalog")
    with prepared.connect(prepared.relay) as bridge, prepared.connect_superuser() as owner:
        relay = Relay(bridge, "singularity")
        assert relay.attach()["attached"]
        relay.tick(connected=True, error=None, streams={}, consumers={})
        owner.execute(
            "update singularity.authority set heard_at = clock_timestamp(), welcomed_at = clock_timestamp()"
        )
        owner.execute("set search_path = trap, pg_catalog")
        question = value(owner, "select singularity.ask('horse')")
        owner.execute("call singularity.await_answer(%s, '20 milliseconds')", [question])
        owner.execute("update singularity.authority set heard_at = clock_timestamp()")
        with pytest.raises(psycopg.errors.QueryCanceled, match="no end of the comparison"):
            owner.execute("call singularity.reconcile('20 milliseconds')")
        assert gained(owner, "trap") == []
