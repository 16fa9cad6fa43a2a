"""Who may do what: readers, writers, the bridge, and everybody else."""

import psycopg
import pytest
from tests.kit.session import Open, Session

from singularity_lab import Database

READING = {
    "lookup": "select * from singularity.lookup('pattern', 'thing')",
    "recall": "select * from singularity.recall('thing')",
    "explain_recall": "select * from singularity.explain_recall('thing')",
    "related": "select * from singularity.related('pattern', 'thing')",
    "relevance": "select singularity.relevance(1, 1, 1, true)",
    "score": "select singularity.score(1, 1)",
    "embed": "select singularity.embed('thing')",
    "embed_many": "select singularity.embed_many('{a,b}')",
    "current_contract": "select singularity.current_contract()",
    "history": "select * from singularity.history('pattern', 'thing')",
    "alternatives": "select * from singularity.alternatives('pattern', 'thing')",
    "ask": "select singularity.ask('thing')",
    "status": "select * from singularity.status()",
    "artifact_id": "select singularity.artifact_id('a', 'b', 'c')",
    "variant_of": "select singularity.variant_of('1')",
    "digest": "select singularity.digest()",
    "troubles": "select singularity.troubles()",
    "public_key": "select singularity.public_key()",
    "sharing_of": "select singularity.sharing_of('default')",
    "sharing_preview": "select * from singularity.sharing_preview()",
    "held_entries": "select * from singularity.held_back",
    "configuration": "select * from singularity.configuration",
    "outbox": "select * from singularity.outbox_entries",
    "holding": "select * from singularity.holding",
}
WRITING = {
    "learn": "select singularity.learn('pattern', 'new', '1')",
    "learn_many": "select singularity.learn_many('[]')",
    "record_outcome": "select singularity.record_outcome('pattern', 'thing', true)",
    "forget": "select singularity.forget('pattern', 'thing')",
    "follow": "select singularity.follow('pattern')",
    "unfollow": "select singularity.unfollow('pattern')",
}
ADMINISTERING = {
    "connect": "select singularity.connect()",
    "disconnect": "select singularity.disconnect()",
    "configure": "select singularity.configure('name')",
    "register_contract": "select singularity.register_contract('mine/1', 'mine', '1', 3, true)",
    "ensure_indexes": "select singularity.ensure_indexes()",
    "maintain": "call singularity.maintain()",
    "reembed": "call singularity.reembed()",
    "share": "select singularity.share('private', 'private')",
    "release": "select singularity.release('pattern', 'thing')",
    "trust_authority": "select singularity.trust_authority(null)",
    "rotate_key": "select singularity.rotate_key(false)",
    "replay_dead_letters": "select singularity.replay_dead_letters()",
    "discard_dead_letters": "select singularity.discard_dead_letters()",
    "repair_versions": "select singularity.repair_versions()",
    "reidentify": "select singularity.reidentify()",
    "keep_identity": "call singularity.keep_identity()",
}
RELAYING = {
    "bridge_attach": "select singularity.bridge_attach('0', 1)",
    "bridge_plan": "select singularity.bridge_plan()",
    "bridge_arm": "select singularity.bridge_arm()",
    "bridge_tick": """select singularity.bridge_tick('{"connected": false}')""",
    "bridge_outgoing": "select * from singularity.bridge_outgoing('contribution', 1)",
    "bridge_result": "select singularity.bridge_result('[]')",
    "bridge_receive": "select * from singularity.bridge_receive('{}', '{}', '{}')",
    "bridge_put_aside": "select singularity.bridge_put_aside('a', '', '{}', 'b')",
    "bridge_signing_keys": "select * from singularity.bridge_signing_keys()",
    "bridge_holder": "select * from singularity.bridge_holder()",
    "bridge_detach": "select singularity.bridge_detach()",
}
BRIDGE_SEES = {"troubles"}  # what `singularity-bridge check` tells
ALL = {**READING, **WRITING, **ADMINISTERING, **RELAYING}


def may(session: Session, statement: str) -> bool:
    """Whether a statement is allowed; any other error than a missing right is raised."""
    try:
        session.run(statement)
    except psycopg.errors.InsufficientPrivilege:
        return False
    return True


@pytest.mark.parametrize(
    ("role", "allowed"),
    [
        ("user", {*READING, *WRITING, *ADMINISTERING}),
        ("writer", {*READING, *WRITING}),
        ("viewer", {*READING}),
        ("relay", {*RELAYING, *BRIDGE_SEES}),
        ("stranger", set()),
    ],
)
def test_each_role_may_do_what_it_is_for(
    instance: Database, db: Session, open_session: Open, role: str, allowed: set[str]
) -> None:
    db.learn("thing")
    session = open_session(getattr(instance, "user" if role == "writer" else role))
    if role == "writer":
        session.run("set role singularity_writer")
    done = {name for name, statement in ALL.items() if may(session, statement)}
    assert done == allowed


def test_every_granted_function_was_tried(db: Session) -> None:
    granted = db.column("""
        select distinct p.proname from pg_proc as p cross join lateral aclexplode(p.proacl) as a
        where p.pronamespace = 'singularity'::regnamespace and a.grantee <> p.proowner
    """)
    tried = {*ALL}
    # called by await_answer(), which is tested with the questions; by the view configuration; never by an instance
    others = {"await_answer", "try_commit", "question_state", "setting_definitions", "bridge_serve"}
    # called with the rights of who calls them: by the view configuration, embed(), embed_many(), current_contract()
    others |= {
        "get_setting",
        "shipped_contract",
        "load_model",
        "server_files",
        "vector_literals",
        "to_unit_vector",
        # by the view dead_letters
        "letter_sender",
        "printable",
    }
    # by the procedures that commit: maintain(), reembed(), await_answer(), and reconcile(), which waits for a bridge
    others |= {
        "maintain_search",
        "maintain_batch",
        "maintain_search_batch",
        "reembed_batch",
        "is_awaited",
        "next_pause",
    }
    others |= {"check_timeout", "reconcile", "want_reconciliation", "is_reconciling"}
    assert set(granted) - others == tried - {"configuration", "outbox", "holding"}


@pytest.mark.parametrize("role", ["user", "viewer", "relay"])
def test_tables_are_not_written_by_hand(instance: Database, open_session: Open, role: str) -> None:
    session = open_session(getattr(instance, role))
    tables = session.column(
        "select oid::regclass::text from pg_class where relnamespace = 'singularity'::regnamespace "
        "and relkind = 'r'"
    )
    assert len(tables) > 15
    for table in tables:
        for statement in (f"delete from {table}", f"insert into {table} default values", f"truncate {table}"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                session.run(statement)
    for statement in ("select nextval('singularity.version')", "create table singularity.mine ()"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            session.run(statement)


def test_a_hostile_search_path_changes_nothing(
    instance: Database, owner: Session, open_session: Open
) -> None:
    owner.run(f"create schema trap authorization {instance.user}")
    session = open_session()
    session.run("set search_path = trap, singularity, pg_catalog")
    session.run(
        "create function trap.now() returns timestamptz language sql as $$ select timestamptz '-infinity' $$"
    )
    session.run("create function trap.sha256(bytea) returns bytea language sql as $$ select ''::bytea $$")
    session.run("create table trap.holding (artifact_id uuid)")
    session.run("create function trap.nextval(text) returns bigint language sql as $$ select -1::bigint $$")
    session.learn("thing", {"text": "zebra"})
    session.outcome("thing")
    assert session.names("zebra") == ["thing"]
    (version,) = session.history("thing")
    assert version["version"] > 0
    assert version["learned_at"] > session.value("select pg_catalog.now() - interval '1 hour'")
    session.run("set search_path = ''")
    session.learn("thing", {"text": "horse"})
    assert session.names("horse") == ["thing"]
    assert session.forget("thing")


def test_the_extension_needs_no_superuser_at_run_time(instance: Database, db: Session) -> None:
    assert db.value("select not rolsuper and not rolcreatedb and not rolcreaterole from pg_roles "
                    "where rolname = current_user")  # fmt: skip
