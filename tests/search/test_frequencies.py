"""Document frequencies and vectors fit the documents after every history, and nobody waits while they are counted."""

import random
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Barrier
from typing import Any

import psycopg
import pytest
from tests.kit.session import Open, Session
from tests.search.counts import check, check_texts
from tests.search.places import Place, maintain, names

from singularity_lab import Database

WORDS = [
    "zebra",
    "horse",
    "river",
    "stone",
    "cloud",
    "engine",
    "paper",
    "window",
    "garden",
    "silver",
    "bridge",
]


def some_text(chance: random.Random) -> str:
    return " ".join(chance.choices(WORDS, k=chance.randint(1, 8)))


def act(db: Session, chance: random.Random) -> None:
    """Do one thing that changes what is searched."""
    name = f"thing {chance.randint(1, 12)}"
    match chance.randint(0, 5):
        case 0 | 1:
            db.learn(name, some_text(chance), tags=chance.sample(WORDS, k=2))
        case 2:
            db.learn_many(
                [
                    {
                        "kind": "pattern",
                        "name": f"thing {chance.randint(1, 60)}",
                        "content": some_text(chance),
                    }
                    for _ in range(chance.choice([3, 30]))
                ]
            )
        case 3:
            db.forget(name)
        case 4:
            if db.lookup(name):
                # another session may have forgotten it since
                with suppress(psycopg.errors.NoDataFound), db.connection.transaction():
                    db.outcome(name, chance.random() < 0.5)
        case 5:
            db.recall(some_text(chance), kind="pattern")


def live(db: Session, seed: int, steps: int) -> None:
    """Do some things, in transactions that now and then are rolled back, whole or to a savepoint."""
    chance = random.Random(seed)
    for _ in range(steps):
        db.begin()
        for _ in range(chance.randint(1, 3)):
            act(db, chance)
        if chance.random() < 0.3:
            db.run("savepoint s")
            act(db, chance)
            db.run("rollback to savepoint s")
            act(db, chance)
        db.run("rollback" if chance.random() < 0.3 else "commit")
        if chance.random() < 0.15:
            db.run("call singularity.maintain()")


@pytest.mark.parametrize("seed", range(3))
def test_counts_after_any_history(db: Session, owner: Session, seed: int) -> None:
    live(db, seed, 25)
    db.run("call singularity.maintain()")
    check(owner.connection)
    assert db.value("select count(*) from singularity.document") > 0


def test_counts_after_eight_sessions_at_once(instance: Database, owner: Session) -> None:
    start = Barrier(8)

    def one(number: int) -> None:
        with instance.connect() as connection:
            db = Session(connection)
            db.run("set lock_timeout = '10s'; set statement_timeout = '60s'")
            start.wait(30)
            live(db, 100 + number, 12)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(one, range(8)))
    with instance.connect() as connection:
        Session(connection).run("call singularity.maintain()")
    check(owner.connection)
    check_texts(owner.connection)


def test_counts_at_the_authority(
    authority_place: Place, authority_superuser: psycopg.Connection[Any]
) -> None:
    chance = random.Random(1)
    for _ in range(6):
        authority_place.teach(
            [
                {
                    "kind": "k",
                    "name": f"thing {n}",
                    "content": some_text(chance),
                    "tags": chance.sample(WORDS, k=2),
                }
                for n in chance.sample(range(60), k=40)
            ]
        )
    maintain(authority_place)
    check(authority_superuser, "centralcloud")
    assert len(authority_place.found("thing", max_results=1000, min_similarity=0.0)) > 40


def test_the_empty_lexeme_counts_all_documents(db: Session, owner: Session) -> None:
    def counted() -> Any:
        return owner.value("select sum(documents) from singularity.lexeme where lexeme = ''")

    assert counted() is None
    db.learn_many([{"kind": "k", "name": f"a{n}", "content": n} for n in range(300)])
    db.run("call singularity.maintain()")
    assert counted() == 300
    for n in range(10):
        db.forget(f"a{n}", kind="k")
        db.learn(f"a{n + 10}", "changed", kind="k")
    db.run("call singularity.maintain()")
    assert counted() == 290
    check(owner.connection)


def test_nothing_is_left_of_what_was_forgotten(db: Session, owner: Session) -> None:
    db.learn_many([{"kind": "k", "name": f"a{n}", "content": "zebra"} for n in range(50)])
    db.run("call singularity.maintain()")
    for n in range(50):
        db.forget(f"a{n}", kind="k")
    db.run("call singularity.maintain()")
    check(owner.connection)
    for table in ("document", "document_vector", "lexeme", "lexeme_change"):
        assert owner.value(f"select count(*) from singularity.{table}") == 0, table


class TestNobodyWaits:
    """Another session's open transaction is no reason to wait: a lock_timeout would say so."""

    def learn_all_ways(self, other: Session) -> None:
        other.run("set lock_timeout = '100ms'")
        other.learn("shared", "written by the other")
        other.learn_many(
            [{"kind": "pattern", "name": f"thing {n}", "content": f"other {n}"} for n in range(300)]
        )
        assert other.names("written by the other")[0] == "shared"

    def test_while_another_has_learned(self, db: Session, other: Session, owner: Session) -> None:
        db.learn("shared", "first")
        db.begin()
        db.learn("shared", "second")
        db.learn_many([{"kind": "pattern", "name": f"thing {n}", "content": f"mine {n}"} for n in range(300)])
        self.learn_all_ways(other)
        other.forget("shared")
        other.learn("shared", "written by the other")
        db.commit()
        db.run("call singularity.maintain()")
        check(owner.connection)
        check_texts(owner.connection)

    @pytest.mark.parametrize("end", ["commit", "rollback"])
    def test_while_another_folds(self, db: Session, other: Session, owner: Session, end: str) -> None:
        db.learn_many([{"kind": "pattern", "name": f"thing {n}", "content": f"old {n}"} for n in range(200)])
        owner.begin()
        owner.run("select singularity.fold_lexemes(100000), singularity.index_vectors(100000)")
        self.learn_all_ways(other)
        other.run("call singularity.maintain()")
        other.forget("thing 7")
        owner.run(end)
        other.run("call singularity.maintain()")
        check(owner.connection)
        check_texts(owner.connection)

    def test_two_that_fold_at_once_count_nothing_twice(
        self, instance: Database, open_session: Open, owner: Session
    ) -> None:
        other = open_session(instance.cluster.superuser)
        for n in range(60):
            owner.learn(f"thing {n}", f"zebra {n}")
        owner.begin()
        assert owner.value("select singularity.fold_lexemes(10)") == 10
        assert other.value("select singularity.fold_lexemes(10)") == 0
        owner.commit()
        assert other.value("select singularity.fold_lexemes(10)") == 10
        other.run("call singularity.maintain()")
        check(owner.connection)

    def test_two_that_maintain_at_once(self, instance: Database, db: Session, owner: Session) -> None:
        db.learn_many([{"kind": "k", "name": f"thing {n}", "content": f"zebra {n}"} for n in range(1500)])

        def one(_: int) -> None:
            with instance.connect() as connection:
                connection.execute("call singularity.maintain()")

        with ThreadPoolExecutor(4) as threads:
            list(threads.map(one, range(4)))
        db.run("call singularity.maintain()")
        check(owner.connection)

    def test_above_read_committed_nothing_is_folded_and_nothing_lost(
        self, instance: Database, open_session: Open, owner: Session
    ) -> None:
        db = open_session(instance.cluster.superuser)
        db.begin("serializable")
        db.learn_many([{"kind": "k", "name": f"thing {n}", "content": f"zebra {n}"} for n in range(400)])
        assert db.value("select singularity.fold_lexemes(10)") == 0
        db.learn("thing 3", "changed twice", kind="k")
        db.commit()
        db.run("call singularity.maintain()")
        check(owner.connection)
        check_texts(owner.connection)


class TestTheSameArtifactInTwoSessions:
    """Two sessions that do not see each other's documents leave one of them in force."""

    @pytest.mark.parametrize("first_to_commit", ["earlier", "later"])
    def test_both_learn(self, db: Session, other: Session, owner: Session, first_to_commit: str) -> None:
        db.begin()
        other.begin()
        db.learn("animal", "elephant")
        other.learn("animal", "crocodile")
        for session in (db, other) if first_to_commit == "earlier" else (other, db):
            session.commit()
        assert db.known("animal")["content"] == "crocodile"
        assert db.names("crocodile") == ["animal"]
        db.run("call singularity.maintain()")
        assert names(db.recall("crocodile")) == ["animal"]
        assert db.names("elephant", min_similarity=0.5) == []
        check(owner.connection)

    def test_one_learns_while_the_other_forgets(self, db: Session, other: Session, owner: Session) -> None:
        db.learn("animal", "elephant")
        db.begin()
        other.begin()
        db.learn("animal", "crocodile")
        other.forget("animal")
        db.commit()
        other.commit()
        known = db.lookup("animal")
        db.run("call singularity.maintain()")
        assert db.names("crocodile") == (["animal"] if known else [])
        check(owner.connection)
        check_texts(owner.connection)

    def test_a_vector_that_is_just_being_indexed(self, db: Session, other: Session, owner: Session) -> None:
        db.learn_many([{"kind": "pattern", "name": f"thing {n}", "content": f"old {n}"} for n in range(40)])
        owner.begin()
        assert owner.value("select singularity.index_vectors(1000)") == 40
        db.learn("thing 3", "elephant")
        other.forget("thing 4")
        assert db.names("elephant") == ["thing 3"]
        assert "thing 4" not in other.names("thing old", max_results=100)
        owner.commit()
        db.run("call singularity.maintain()")
        check(owner.connection)
        check_texts(owner.connection)

    def test_an_outcome_of_two_documents(self, db: Session, other: Session, owner: Session) -> None:
        db.begin()
        other.begin()
        db.learn("animal", "elephant")
        other.learn("animal", "crocodile")
        db.commit()
        other.commit()
        db.outcome("animal")
        db.run("call singularity.maintain()")
        check(owner.connection)

    @pytest.mark.parametrize("isolation", ["repeatable read", "serializable"])
    def test_forgotten_above_read_committed(self, db: Session, owner: Session, isolation: str) -> None:
        db.learn("animal", "elephant")
        db.begin(isolation)
        db.forget("animal")
        assert db.names("elephant") == []
        db.commit()
        db.run("call singularity.maintain()")
        check(owner.connection)
        check_texts(owner.connection)

    @pytest.mark.parametrize("isolation", ["repeatable read", "serializable"])
    def test_changed_above_read_committed(self, db: Session, owner: Session, isolation: str) -> None:
        db.learn("animal", "elephant")
        db.begin(isolation)
        db.learn("animal", "crocodile")
        db.commit()
        assert db.names("crocodile") == ["animal"]
        db.run("call singularity.maintain()")
        check(owner.connection)
        check_texts(owner.connection)
