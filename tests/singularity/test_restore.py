"""A dump restored, or a copy made, keeps everything; see tests/restore for what it then says."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.kit.instance_relay import InstanceRelay, is_evidence, refined
from tests.kit.session import NO_WAITING, Session

from singularity_lab import Cluster, Database, wait_until

RUNTIME = {"bridge_state", "doorbell", "comparison", "reconciliation", "rejection"}
COPY_NAME = "restored"


@pytest.fixture
def filled(db: Session, online: InstanceRelay, owner: Session) -> Session:
    """Put something into every table."""
    db.call("configure", instance_name="laptop", environment="prod", settings={"answer_ttl": "2 hours"})
    db.call("follow", kind="prompt", namespace="team")
    online.tick()
    for succeeded in (True, True, False):
        db.learn("thing", {"say": "zebra"}, summary="sum", tags=["t"])
        db.outcome("thing", succeeded)
    online.confirm(*online.contributions())
    db.learn("under way")
    online.contributions()
    db.learn("waiting", shared=False)
    db.learn("forgotten")
    db.forget("forgotten")
    db.outcome("thing", True)
    db.ask("horse")
    online.answer(online.question(), refined("horse", {"say": "whinny"}))
    db.ask("open question")
    online.receive("singularity.heads", b"bad")
    owner.run("select singularity.send_later('somewhere', null, 'x')")
    owner.run("select singularity.fold_lexemes(3)")
    owner.run("select singularity.want_comparison()")
    owner.run("insert into singularity.comparison (prefix) values ('a')")
    owner.run("select singularity.share('elsewhere', 'private')")
    for table, columns in {
        "dropped_letter": "dropped, dropped_at) values (1, now()",
        "held_holding": "artifact_id, version, variant, findings) values (gen_random_uuid(), 1, '', '[]'",
        "rejection": "reason, messages, rejected_at) values ('key', 1, now()",
        "released_holding": "artifact_id, fingerprint) values (gen_random_uuid(), ''",
        "secret_scanner": "failed_at, failure) values ('2020-01-01', 'none'",
        "unwanted_copy": "artifact_id, namespace, kind, revision) values (gen_random_uuid(), 'a', 'b', 1",
    }.items():
        owner.run(f"insert into singularity.{table} ({columns})")
    return db


def dumped_and_restored(cluster: Cluster, name: str, folder: Path) -> None:
    cluster.tool("pg_dump", "--format=custom", "--file", folder / "dump", database=name)
    cluster.create_database(COPY_NAME)
    cluster.tool("pg_restore", "--exit-on-error", "--dbname", COPY_NAME, folder / "dump")


def dumped_as_text(cluster: Cluster, name: str, _: Path) -> None:
    script = cluster.tool("pg_dump", database=name)
    cluster.create_database(COPY_NAME)
    cluster.tool(
        "psql", "--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1", database=COPY_NAME, stdin=script
    )


def copied(cluster: Cluster, name: str, _: Path) -> None:
    with cluster.connect() as connection:
        connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", [name]
        )
    wait_until(lambda: not others(cluster, name), message="the sessions to be gone")
    cluster.create_database(COPY_NAME, template=name)


def others(cluster: Cluster, name: str) -> int:
    with cluster.connect() as connection:
        return connection.execute("select from pg_stat_activity where datname = %s", [name]).rowcount


Way = Callable[[Cluster, str, Path], None]
WAYS: dict[str, Way] = {"pg_restore": dumped_and_restored, "psql": dumped_as_text, "template": copied}


@pytest.fixture
def copy(instance: Database) -> Iterator[Database]:
    """Name the copy, and drop it afterwards."""
    yield Database(instance.cluster, COPY_NAME, "singularity", instance.roles)
    with instance.cluster.connect() as connection:
        connection.execute(f"drop database if exists {COPY_NAME} with (force)")


@pytest.fixture
def open_copy(copy: Database) -> Iterator[Callable[[str], Session]]:
    """Return a function that opens a session in the copy."""
    opened = []

    def open_one(user: str) -> Session:
        session = Session(copy.connect(user))
        session.run(NO_WAITING)
        opened.append(session)
        return session

    yield open_one
    for session in opened:
        session.connection.close()


OpenCopy = Callable[[str], Session]


def sequences(owner: Session) -> dict[str, tuple[int, bool]]:
    """Return where every sequence of the extension stands."""
    names = owner.column(
        "select relname from pg_class where relkind = 'S' and relnamespace = 'singularity'::regnamespace"
    )
    assert len(names) >= 4
    rows = {name: owner.row(f"select last_value, is_called from singularity.{name}") for name in names}
    return {name: (row["last_value"], row["is_called"]) for name, row in rows.items()}


@pytest.mark.parametrize("way", WAYS)
def test_everything_is_kept(
    instance: Database, filled: Session, owner: Session, open_copy: OpenCopy, way: str, tmp_path: Path
) -> None:
    before, stood = filled.contents(), sequences(owner)
    known, status = filled.known("thing"), filled.status()
    assert [table for table, rows in before.items() if not rows] == []
    WAYS[way](instance.cluster, instance.name, tmp_path)
    db = open_copy(instance.user)
    after = db.contents()
    if way == "template":
        assert after == before
    else:
        assert {table: after[table] for table in RUNTIME} == {table: [] for table in RUNTIME}
        assert {**after, **{table: before[table] for table in RUNTIME}} == before
    assert sequences(open_copy(instance.cluster.superuser)) == stood
    assert db.known("thing") == known
    assert db.names("zebra") == ["thing"]
    assert db.names("whinny") == ["horse"]
    kept = [
        "instance_id",
        "instance_name",
        "environment",
        "mode",
        "outbox_entries",
        "open_questions",
        "dead_letters",
    ]
    assert {name: db.status()[name] for name in kept} == {name: status[name] for name in kept}


def go_on(db: Session, relay: InstanceRelay) -> None:
    """Say that a copy goes on as the instance it was, and let the authority confirm that it knows nothing later."""
    db.run("call singularity.keep_identity()")
    relay.attach()
    relay.go_online()
    relay.welcome()


def test_what_waited_is_still_sent(
    instance: Database, filled: Session, owner: Session, open_copy: OpenCopy, tmp_path: Path
) -> None:
    """Also what was under way, once the pause is over."""
    dumped_and_restored(instance.cluster, instance.name, tmp_path)
    superuser = open_copy(instance.cluster.superuser)
    superuser.run("update singularity.batch set offered_at = offered_at - interval '1 hour'")
    db, relay = open_copy(instance.user), InstanceRelay(open_copy(instance.relay))
    go_on(db, relay)
    relay.heads(passed=100)
    relay.tick()
    sent = {record["name"] for record in relay.send_all() if not is_evidence(record)}
    assert "under way" in sent
    assert "waiting" not in sent
    assert db.outbox() == []


def test_a_restored_database_can_be_used_at_once(
    instance: Database, filled: Session, open_copy: OpenCopy, tmp_path: Path
) -> None:
    dumped_and_restored(instance.cluster, instance.name, tmp_path)
    db, relay = open_copy(instance.user), InstanceRelay(open_copy(instance.relay))
    db.learn("new", {"say": "okapi"})
    db.learn("thing", {"say": "gnu"})
    assert db.names("okapi") == ["new"]
    assert [version["content"] for version in db.history("thing")] == [{"say": "gnu"}, {"say": "zebra"}]
    assert db.names("zebra") == []
    go_on(db, relay)
    relay.receive("singularity.heads", b"bad as well")
    assert db.status()["dead_letters"] == 2
    assert db.ask("a question") is not None
    assert {record["name"] for record in relay.send_all() if not is_evidence(record)} >= {"new", "thing"}


def test_an_instance_that_never_connected_is_another_one_after_a_restore(
    instance: Database, db: Session, open_copy: OpenCopy, tmp_path: Path
) -> None:
    """Nobody knows it yet, so neither of the two speaks under the other's name."""
    db.learn("thing")
    db.outcome("thing")
    dumped_and_restored(instance.cluster, instance.name, tmp_path)
    restored = open_copy(instance.user)
    assert restored.status()["instance_id"] != db.status()["instance_id"]
    assert restored.known("thing")["uses"] == 1


def test_two_databases_of_one_server_are_two_instances(db: Session, steady: Session) -> None:
    assert db.status()["instance_id"] != steady.status()["instance_id"]


def test_an_incarnation_lives_on_over_a_restart(lab_instance: Database) -> None:
    with lab_instance.connect() as connection:
        Session(connection).learn("thing")
        Session(connection).outcome("thing")
    lab_instance.cluster.restart()
    with lab_instance.connect() as connection:
        db = Session(connection)
        db.outcome("thing")
        db.run("call singularity.maintain()")
        assert db.row("select uses from singularity.evidence") == {"uses": 2}
