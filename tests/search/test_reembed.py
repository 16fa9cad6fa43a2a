"""reembed(): words and vectors are made anew, while people work, and it can be broken off."""

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest
from tests.kit.queries import refused, rows, value
from tests.kit.session import Session
from tests.search.counts import check
from tests.search.places import CONTRACT, Place, maintain, names

from singularity_lab import Database

GERMAN = {"search_configuration": "german"}
OLD = "select count(*) from singularity.document where configuration = 'english'::regconfig"
MODEL_AWAY = "similarity of meaning is not known here: the embedding model cannot be loaded"
HINT = "Run make install of Singularity on the database server and connect again."


def reembed(place: Place) -> None:
    place.connection.execute(f"call {place.schema}.reembed()".encode())


@pytest.fixture
def superuser(place: Place) -> Iterator[psycopg.Connection[Any]]:
    """Open the superuser's session in the place."""
    with place.database.connect_superuser() as connection:
        yield connection


def houses(count: int) -> list[dict[str, Any]]:
    return [{"kind": "k", "name": f"thing {n}", "content": f"viele Häuser, Nummer {n}"} for n in range(count)]


class TestAnotherLanguage:
    """The setting search_configuration was changed."""

    def test_words_are_made_anew(self, place: Place, superuser: psycopg.Connection[Any]) -> None:
        place.teach(houses(450))
        assert {row["words"] for row in place.found("Haus", min_similarity=0.0)} <= {0.0}
        place.configure(GERMAN)
        reembed(place)
        found = place.found("Haus", min_similarity=0.0)
        assert len(found) == 10
        assert all(row["words"] > 0 for row in found)
        kept = rows(superuser, f"select distinct configuration::text as name from {place.schema}.document")
        assert kept == [{"name": "german"}]
        check(superuser, place.schema)

    def test_a_second_time_nothing_is_left_to_do(
        self, place: Place, superuser: psycopg.Connection[Any]
    ) -> None:
        place.teach(houses(30))
        place.configure(GERMAN)
        reembed(place)
        numbers = rows(superuser, f"select document_id from {place.schema}.document order by 1")
        reembed(place)
        assert rows(superuser, f"select document_id from {place.schema}.document order by 1") == numbers

    def test_what_was_cancelled_goes_on_where_it_was(
        self, instance_place: Place, instance_superuser: psycopg.Connection[Any], instance: Database
    ) -> None:
        instance_place.teach(houses(1500))
        instance_place.configure(GERMAN)
        pid = instance_place.connection.info.backend_pid
        with ThreadPoolExecutor(1) as thread:
            running = thread.submit(reembed, instance_place)
            while value(instance_superuser, OLD) == 1500:
                assert not running.done()
            instance_superuser.execute("select pg_cancel_backend(%s)", [pid])
            with pytest.raises(psycopg.errors.QueryCanceled):
                running.result()
        left = value(instance_superuser, OLD)
        assert 0 < left <= 1300
        assert value(instance_superuser, "select count(*) from singularity.document") == 1500
        assert names(instance_place.found("thing 7", max_results=1)) == ["thing 7"]
        told: list[str] = []
        with instance.connect() as again:
            again.add_notice_handler(lambda notice: told.append(notice.message_primary or ""))
            again.execute("call singularity.reembed()")
        assert told[-1] == f"{left} documents made again"
        assert value(instance_superuser, OLD) == 0
        check(instance_superuser)

    def test_a_statement_timeout_breaks_it_off_without_harm(
        self, place: Place, superuser: psycopg.Connection[Any]
    ) -> None:
        place.teach(houses(600))
        place.configure(GERMAN)
        place.connection.execute("set statement_timeout = 100")
        with pytest.raises(psycopg.errors.QueryCanceled):
            reembed(place)
        place.connection.execute("reset statement_timeout")
        assert len(place.found("thing", max_results=1000, min_similarity=0.0)) == 600
        reembed(place)
        check(superuser, place.schema)

    def test_people_work_meanwhile(
        self, instance_place: Place, db: Session, instance_superuser: psycopg.Connection[Any]
    ) -> None:
        instance_place.teach(houses(1000))
        instance_place.configure(GERMAN)
        db.run("set lock_timeout = '100ms'")
        rounds = 0
        with ThreadPoolExecutor(1) as thread:
            running = thread.submit(reembed, instance_place)
            while not running.done():
                n = rounds % 1000
                db.learn(f"thing {n}", f"Kraut und Rüben {rounds}", kind="k")
                assert db.names(f"Rüben {rounds}")[0] == f"thing {n}"
                db.learn(f"new {rounds}", "ganz neu")
                if rounds % 10 == 3:
                    assert db.forget(f"thing {n}", kind="k")
                assert db.names(f"thing {999 - n}")[0] == f"thing {999 - n}"
                rounds += 1
            running.result()
        assert rounds > 3
        db.run("call singularity.maintain()")
        assert value(instance_superuser, OLD) == 0
        for n in range(min(rounds, 1000)):
            expected = [] if n % 10 == 3 else [f"thing {n}"]
            found = [row for row in db.recall(f"thing {n}", max_results=1000) if row["name"] == f"thing {n}"]
            assert [row["name"] for row in found] == expected
            assert all("Kraut" in row["content"] for row in found)

    def test_what_was_learned_but_not_committed_yet(
        self, db: Session, other: Session, owner: Session
    ) -> None:
        db.learn("animal", "elephant")
        other.call("configure", settings=GERMAN)
        db.begin()
        db.learn("animal", "crocodile")
        other.run("call singularity.reembed()")
        db.commit()
        other.run("call singularity.maintain()")
        assert db.names("crocodile") == ["animal"]
        assert [row["words"] for row in db.call("explain_recall", query="elephant", min_similarity=0.0)] == [
            0
        ]
        check(owner.connection)


def test_it_refuses_a_transaction_block(place: Place) -> None:
    with refused("25001", "reembed commits after every batch"), place.connection.transaction():
        reembed(place)


class ModelAway:
    """Sessions of a place whose model was moved away."""

    def __init__(self, place: Place, superuser: psycopg.Connection[Any]) -> None:
        self.place = place
        self.superuser = superuser
        self.real = Path(value(superuser, f"select {place.schema}.server_files()"))
        self.definition = value(
            superuser, "select pg_get_functiondef(%s::regprocedure)", f"{place.schema}.server_files()"
        )

    def look_in(self, folder: Path) -> None:
        """Let later sessions look for the model there."""
        self.superuser.execute(
            f"create or replace function {self.place.schema}.server_files() returns text language sql stable "
            f"security definer set search_path = pg_catalog, pg_temp as $$ select '{folder}' $$".encode()
        )

    def put_back(self) -> None:
        """Let later sessions find the model."""
        self.superuser.execute(self.definition)


@pytest.fixture
def away(place: Place, superuser: psycopg.Connection[Any]) -> ModelAway:
    return ModelAway(place, superuser)


@pytest.fixture
def folder() -> Iterator[Path]:
    """Make a folder that the server may read."""
    made = Path(tempfile.mkdtemp(prefix="model-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


def session(place: Place) -> tuple[psycopg.Connection[Any], list[tuple[str | None, str | None]]]:
    """Open one more session of the ordinary user, with the messages and hints of the notices that it gets."""
    connection = place.database.connect()
    notices: list[tuple[str | None, str | None]] = []
    connection.add_notice_handler(
        lambda notice: notices.append((notice.message_primary, notice.message_hint))
    )
    return connection, notices


def search(connection: psycopg.Connection[Any], place: Place, query: str) -> list[str]:
    call = "recall(%s)" if place.schema == "singularity" else "search(%s)"
    name = "name" if place.schema == "singularity" else "(s.artifact).name as name"
    return [row["name"] for row in rows(connection, f"select {name} from {place.schema}.{call} as s", query)]


class TestWithoutTheModel:
    """The model was not there, or is damaged: words still work, and reembed() makes it good."""

    def test_words_work_and_one_notice_says_so(self, place: Place, away: ModelAway, folder: Path) -> None:
        place.teach([{"kind": "k", "name": "umbrella", "content": "keeps rain out"}])
        away.look_in(folder)
        connection, notices = session(place)
        with connection:
            for _ in range(3):
                assert search(connection, place, "umbrella") == ["umbrella"]
                assert search(connection, place, "umbrela") == ["umbrella"]
                assert search(connection, place, "rain") == ["umbrella"]
            if place.schema == "singularity":
                Session(connection).learn("boots", {"text": "dry feet"})
                assert search(connection, place, "dry feet") == ["boots"]
                assert Session(connection).call("related", kind="pattern", name="boots") == []
            assert value(connection, f"select {place.schema}.embed('x')") is None
            assert value(connection, f"select {place.schema}.embed_many(array['x', 'y'])::text[]") == [
                None,
                None,
            ]
        assert notices == [(MODEL_AWAY, HINT)]

    @pytest.mark.parametrize(
        "damage",
        [
            lambda model: [file.unlink() for file in model.iterdir() if file.is_file()],
            lambda model: (model / "l2_supercat_256.safetensors").write_bytes(b""),
            lambda model: (model / "l2_supercat_256.safetensors").write_bytes(b"\xff" * 1000),
            lambda model: (model / "l2_supercat_256.safetensors").write_bytes(b"\2" + bytes(7) + b"[]"),
            lambda model: (model / "l2_supercat_tokenizer_config.json").write_text("[]", encoding="utf-8"),
            lambda model: (model / "l2_supercat_tokenizer_config.json").write_bytes(b"\xff\xfe{"),
            lambda model: (model / "similar.txt").write_bytes(b"\xff\n\t\n"),
            lambda model: (model / "similar.txt").unlink(),
        ],
        ids=["none", "empty", "noise", "list", "tokenizer", "no text", "similar noise", "no similar"],
    )
    def test_a_damaged_model_is_none(
        self, place: Place, away: ModelAway, folder: Path, damage: Callable[[Path], object]
    ) -> None:
        place.teach([{"kind": "k", "name": "umbrella", "content": "keeps rain out"}])
        (folder / "python").symlink_to(away.real / "python")
        shutil.copytree(away.real / "model", folder / "model")
        damage(folder / "model")
        away.look_in(folder)
        connection, notices = session(place)
        with connection:
            assert search(connection, place, "umbrella") == ["umbrella"]
            assert search(connection, place, "rain") == ["umbrella"]
        assert notices == [(MODEL_AWAY, HINT)]

    def test_reembed_needs_the_model(self, place: Place, away: ModelAway, folder: Path) -> None:
        away.look_in(folder)
        connection, _ = session(place)
        with connection, refused("55000", "the embedding model cannot be loaded"):
            connection.execute(f"call {place.schema}.reembed()".encode())

    def test_what_was_learned_meanwhile_gets_its_vectors(
        self, instance_place: Place, instance_superuser: psycopg.Connection[Any], folder: Path
    ) -> None:
        instance_place.teach([{"kind": "k", "name": "before", "content": "waterproof jacket"}])
        away = ModelAway(instance_place, instance_superuser)
        away.look_in(folder)
        connection, _ = session(instance_place)
        with connection:
            artifacts = [{"kind": "k", "name": f"meanwhile {n}", "content": "hot soup"} for n in range(250)]
            Session(connection).learn_many(artifacts)
        away.put_back()
        found = instance_place.found("meanwhile", max_results=1000)
        assert len(found) == 250
        assert {row["similarity"] for row in found} == {None}
        reembed(instance_place)
        found = instance_place.found("meanwhile", max_results=1000)
        assert all(row["similarity"] is not None for row in found)
        check(instance_superuser)


class TestAnotherContract:
    """The model is another one since an upgrade."""

    def upgrade(self, place: Place, superuser: psycopg.Connection[Any]) -> None:
        superuser.execute(
            f"insert into {place.schema}.embedding_contract values ('other/1', 'other', '1', 256, true, now())".encode()
        )
        superuser.execute(
            f"create or replace function {place.schema}.current_contract() returns text "
            "language sql immutable parallel safe begin atomic select 'other/1'; end".encode()
        )

    def test_every_document_moves(self, place: Place, superuser: psycopg.Connection[Any]) -> None:
        place.teach([{"kind": "k", "name": f"thing {n}", "content": f"soup {n}"} for n in range(250)])
        self.upgrade(place, superuser)
        connection, _ = session(place)
        with connection:
            connection.execute(f"call {place.schema}.reembed()".encode())
        kept = rows(
            superuser, f"select contract, count(*) as n from {place.schema}.document_vector group by 1"
        )
        assert kept == [{"contract": "other/1", "n": 250}]
        check(superuser, place.schema)

    def test_what_is_near_is_found_under_it(self, place: Place, superuser: psycopg.Connection[Any]) -> None:
        place.teach([{"kind": "k", "name": "raincoat", "content": "waterproof garment"}])
        self.upgrade(place, superuser)
        reembed(place)
        with place.database.connect_superuser() as connection:
            found = rows(
                connection,
                f"select s.similarity from {place.schema}.search_documents("
                "'jacket for wet weather', null, null, null, null, null, null, 10) as s",
            )
            assert len(found) == 1
            assert found[0]["similarity"] > 0.3


class TestIndexes:
    """ensure_indexes(): every contract has its index."""

    def test_each_contract_that_has_none_gets_one(
        self, place: Place, superuser: psycopg.Connection[Any]
    ) -> None:
        place.teach([{"kind": "k", "name": f"thing {n}", "content": f"soup {n}"} for n in range(40)])
        for name, dimensions in (("own/1", 3), ("own/2", 256)):
            value(
                place.connection,
                f"select {place.schema}.register_contract(%s, 'm', 'r', %s, false)",
                name,
                dimensions,
            )
        superuser.execute(f"drop index {place.schema}.document_vector_near".encode())
        before = place.found("hot soup", min_similarity=0.0)
        assert len(before) == 10
        call = f"select {place.schema}.ensure_indexes()"
        assert [value(place.connection, call) for _ in range(2)] == [3, 0]
        waiting = f"select count(*) from {place.schema}.document_vector where not indexed and contract = %s"
        assert value(superuser, waiting, CONTRACT) == 0
        assert len(place.found("hot soup", min_similarity=0.0)) == 10
        maintain(place)
        check(superuser, place.schema)

    def test_it_does_not_wait_long_for_who_writes(self, db: Session, other: Session) -> None:
        db.value("select singularity.register_contract('own/1', 'm', 'r', 3, false)")
        other.begin()
        other.learn("thing")
        started = time.monotonic()
        with pytest.raises(psycopg.errors.LockNotAvailable):
            db.value("select singularity.ensure_indexes()")
        assert time.monotonic() - started < 10
        other.commit()
        assert db.value("select singularity.ensure_indexes()") == 1
