"""The document in force is that of the best known version, in whatever order sessions get their numbers and commit."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from tests.kit.instance_relay import InstanceRelay, refined
from tests.kit.queries import value
from tests.kit.session import Session
from tests.search.counts import check, check_texts
from tests.search.places import AuthorityPlace, names

from singularity_lab import Database, wait_until

Step = Callable[[], Any]

DO: dict[str, Callable[[Session, str], Any]] = {
    "learn": lambda session, animal: session.learn("animal", animal),
    "hide": lambda session, _: session.learn("animal", "giraffe", shared=False),
    "forget": lambda session, _: session.forget("animal"),
    "nothing": lambda session, _: session.value("select 1"),
}


def overtake(instance: Database, late: Step, other: Session, meanwhile: Step) -> None:
    """Hold `late` when it knows what it will store and has stored no document; meanwhile `other` acts and commits.

    `other` is inside a transaction. Who asks for the whole table comes after it, and `late` comes after who asked.
    """
    for content in "ab":  # whoever has written to the table goes on past those who wait for it
        other.learn("something else", content)
    other.forget("something else")
    waiting = (
        "select count(*) from pg_locks where not granted and relation = 'singularity.document'::regclass"
    )
    with (
        instance.connect_superuser() as observer,
        instance.connect_superuser() as gate,
        ThreadPoolExecutor(2) as threads,
    ):

        def has_waiting(number: int) -> bool:
            return observer.execute(waiting.encode()).fetchone() == (number,)

        passed = threads.submit(gate.execute, "begin; lock table singularity.document; rollback")
        wait_until(lambda: has_waiting(1), message="the gate")
        held = threads.submit(late)
        wait_until(lambda: has_waiting(2), message="the session that is late")
        meanwhile()
        other.commit()
        passed.result()
        held.result()


def settle(db: Session, owner: Session) -> None:
    """Do the background work and check that nothing is left to do."""
    db.run("call singularity.maintain()")
    check(owner.connection)
    check_texts(owner.connection)


@pytest.fixture
def late(db: Session) -> Session:
    """Return the session that is held: only here does somebody wait for a lock."""
    db.run("set lock_timeout = '30s'")
    return db


@pytest.mark.parametrize("first_number", ["late", "other"])
@pytest.mark.parametrize("meanwhile", ["learn", "hide", "forget"])
@pytest.mark.parametrize("action", ["learn", "hide", "forget"])
def test_a_session_that_did_not_see_the_other(
    instance: Database,
    late: Session,
    other: Session,
    owner: Session,
    action: str,
    meanwhile: str,
    first_number: str,
) -> None:
    late.learn("animal", "giraffe")
    other.begin()
    if first_number == "other":
        DO[meanwhile](other, "crocodile")
    overtake(
        instance,
        lambda: DO[action](late, "elephant"),
        other,
        lambda: DO[meanwhile if first_number == "late" else "nothing"](other, "crocodile"),
    )
    known = late.lookup("animal")
    if known and known["content"] != "giraffe":  # whose document the other one may just have deleted
        assert late.names(known["content"], min_similarity=0.5) == ["animal"]
    settle(late, owner)
    assert late.names("giraffe elephant crocodile") == (["animal"] if known else [])


@pytest.mark.parametrize("first_to_commit", ["older", "newer"])
@pytest.mark.parametrize("newer", ["learn", "hide", "forget"])
def test_the_older_version_has_the_greater_document_id(
    db: Session, other: Session, owner: Session, newer: str, first_to_commit: str
) -> None:
    db.learn("animal", "giraffe")
    owner.begin()
    # what learn() does, in two steps
    (artifact,) = owner.column(
        """
        insert into singularity.holding (artifact_id, namespace, kind, name, variant, content, tags, shared)
        select c.artifact_id, c.namespace, c.kind, c.name, c.variant, c.content, '{}', true
        from singularity.artifact_from('{"kind": "pattern", "name": "animal", "content": "elephant"}') as c
        returning artifact_id
        """
    )
    other.begin()
    DO[newer](other, "crocodile")
    owner.run("select singularity.index_artifacts(array[%s]::uuid[])", [artifact])
    for session in (owner, other) if first_to_commit == "older" else (other, owner):
        session.commit()
    known = db.lookup("animal")
    assert (known and known["content"]) == {"learn": "crocodile", "hide": "giraffe", "forget": None}[newer]
    if newer == "learn":
        assert db.names("crocodile", min_similarity=0.5) == ["animal"]
        assert db.names("elephant", min_similarity=0.5) == []
    settle(db, owner)


class TestCentralCopies:
    """The bridge stores what the authority sent while people learn, forget and say what worked."""

    def take(self, online: InstanceRelay, **changes: Any) -> Step:
        """Return the arrival of a copy of the animal that wins, or of what is given."""
        row = refined("animal", "hippopotamus", **{"level": "high", "confidence": 0.9, "uses": 30, **changes})
        body = {"type": "refined", "epoch": "first-epoch", "namespace": "default", "kind": "pattern"}
        return lambda: online.receive(
            "singularity.refined.default.pattern",
            {**body, "from": row["revision"] - 1, "to": row["revision"], "rows": [row]},
        )

    @pytest.mark.parametrize("meanwhile", ["learn", "hide", "forget"])
    def test_a_copy_comes_late(
        self,
        instance: Database,
        online: InstanceRelay,
        db: Session,
        other: Session,
        owner: Session,
        meanwhile: str,
    ) -> None:
        db.learn("animal", "giraffe")
        online.session.run("set lock_timeout = '30s'")
        other.begin()
        overtake(instance, self.take(online), other, lambda: DO[meanwhile](other, "crocodile"))
        assert owner.value("select count(*) from singularity.central_copy") == 1
        settle(db, owner)

    @pytest.mark.parametrize("action", ["learn", "hide", "forget"])
    @pytest.mark.parametrize("removed", [False, True])
    def test_a_copy_comes_or_goes_meanwhile(
        self,
        instance: Database,
        online: InstanceRelay,
        late: Session,
        open_session: Any,
        owner: Session,
        action: str,
        removed: bool,
    ) -> None:
        late.learn("animal", "giraffe")
        if removed:
            self.take(online)()
        bridge = online.session
        other = open_session(instance.user)
        other.begin()
        # the copy is stored and committed by a session of its own before the held one goes on
        bridge.begin()
        for content in "ab":
            late.learn("one more", content)
        self.take(online, revision=2, removed=removed)()
        overtake(instance, lambda: DO[action](late, "elephant"), other, bridge.commit)
        settle(late, owner)

    def test_a_copy_that_changes_no_document_while_another_learns(
        self, online: InstanceRelay, db: Session, other: Session, owner: Session
    ) -> None:
        db.learn("animal", "giraffe")
        for _ in range(20):
            db.outcome("animal")
        db.run("call singularity.maintain()")
        other.begin()
        other.learn("animal", "crocodile")
        # beside what worked here so well it does not count, beside what is new it does
        self.take(online, level="medium", confidence=0.5)()
        assert db.known("animal")["content"] == "giraffe"
        db.run("call singularity.maintain()")
        other.commit()
        assert db.known("animal")["content"] == "hippopotamus"
        settle(db, owner)

    def test_a_copy_that_changes_no_document_and_commits_last(
        self, online: InstanceRelay, db: Session, other: Session, owner: Session
    ) -> None:
        db.learn("animal", "giraffe")
        for _ in range(20):
            db.outcome("animal")
        db.run("call singularity.maintain()")
        online.session.begin()
        self.take(online, level="medium", confidence=0.5)()
        other.learn("animal", "crocodile")
        db.run("call singularity.maintain()")
        online.session.commit()
        assert db.known("animal")["content"] == "hippopotamus"
        settle(db, owner)

    def test_a_copy_is_deleted_while_it_is_learned_again(
        self, online: InstanceRelay, db: Session, other: Session, owner: Session
    ) -> None:
        db.learn("animal", "giraffe")
        self.take(online)()
        db.forget("animal")
        other.begin()
        other.learn("animal", "elephant")
        assert other.known("animal")["content"] == "hippopotamus"
        online.session.begin()
        online.tick()
        other.commit()
        db.run("call singularity.maintain()")
        online.session.commit()
        assert db.known("animal")["content"] == "elephant"
        settle(db, owner)

    def test_outcomes_decide_between_both(self, online: InstanceRelay, db: Session, owner: Session) -> None:
        db.learn("animal", "giraffe")
        for _ in range(4):
            db.outcome("animal")
        db.run("call singularity.maintain()")
        self.take(online, level="medium", confidence=0.4)()
        assert db.names("giraffe", min_similarity=0.5) == ["animal"]
        for _ in range(8):
            db.outcome("animal", succeeded=False)
        assert db.known("animal")["content"] == "hippopotamus"
        settle(db, owner)
        assert db.names("hippopotamus", min_similarity=0.5) == ["animal"]


@pytest.mark.parametrize("meanwhile", ["learn", "hide", "forget"])
def test_an_outcome_is_folded_late(
    instance: Database, late: Session, other: Session, owner: Session, meanwhile: str
) -> None:
    late.learn("animal", "giraffe")
    late.outcome("animal")
    other.begin()
    overtake(
        instance,
        lambda: late.run("call singularity.maintain()"),
        other,
        lambda: DO[meanwhile](other, "crocodile"),
    )
    settle(late, owner)


@pytest.mark.parametrize("action", ["learn", "hide", "forget"])
def test_an_outcome_is_folded_meanwhile(
    instance: Database, late: Session, owner: Session, action: str
) -> None:
    late.learn("animal", "giraffe")
    owner.begin()
    owner.outcome("animal")
    overtake(
        instance,
        lambda: DO[action](late, "elephant"),
        owner,
        lambda: owner.value("select singularity.fold_outcomes(10)"),
    )
    settle(late, owner)


def test_what_is_folded_before_the_commit_is_looked_at_after_it(
    online: InstanceRelay, db: Session, other: Session, owner: Session
) -> None:
    """Maintaining inside a transaction block must not use up what tells others to look again."""
    db.learn("animal", "giraffe")
    db.begin()
    db.learn("animal", "elephant")
    db.run("call singularity.maintain()")
    other.learn("animal", "crocodile")
    other.forget("animal")
    db.run("call singularity.maintain()")
    db.commit()
    settle(other, owner)


class TestDocumentsOfBefore:
    """A database of a release before has documents whose version is not known, some of them the wrong ones."""

    def plant(self, owner: Session) -> None:
        """Put the document of another artifact's text where the animal's is, and count its lexemes."""
        owner.begin()
        owner.run(
            "insert into singularity.lexeme_change select artifact_id, words, -1 from singularity.document"
        )
        owner.run(
            """
            update singularity.document as d
            set words = o.words, weights = o.weights, source = o.source
            from singularity.document as o where d.name = 'animal' and o.name = 'another'
            """
        )
        owner.run("update singularity.document set version = -1")
        owner.run(
            "insert into singularity.lexeme_change select artifact_id, words, 1 from singularity.document"
        )
        owner.run("select singularity.fold_lexemes(1000)")
        owner.run("delete from singularity.lexeme_change")
        owner.commit()

    @pytest.fixture
    def ids(self, db: Session, owner: Session) -> list[int]:
        """Plant it, and return the document ids."""
        db.learn("animal", "crocodile")
        db.learn("another", "elephant")
        db.run("call singularity.maintain()")
        self.plant(owner)
        assert db.names("crocodile", min_similarity=0.5) == []
        ids: list[int] = owner.column("select document_id from singularity.document order by 1")
        return ids

    def assert_mended(self, db: Session, owner: Session, ids: list[int]) -> None:
        assert db.names("crocodile", min_similarity=0.5) == ["animal"]
        assert db.names("elephant", min_similarity=0.5) == ["another"]
        check(owner.connection)
        check_texts(owner.connection)
        # the right one is the same document, and each has the version of its holding
        kept = "select document_id from singularity.document where name = 'another'"
        assert owner.value(kept) == ids[1]
        versions = "select version from singularity.{} where name <> '' order by artifact_id"
        assert owner.column(versions.format("document")) == owner.column(versions.format("holding"))

    def test_maintained(self, db: Session, owner: Session, ids: list[int]) -> None:
        db.run("call singularity.maintain()")
        self.assert_mended(db, owner, ids)
        assert owner.value("select singularity.check_documents(10)") == 0

    def test_in_the_background(
        self, relay: InstanceRelay, db: Session, owner: Session, ids: list[int]
    ) -> None:
        assert relay.attach()["attached"]
        relay.tick()
        assert db.names("crocodile", min_similarity=0.5) == ["animal"]
        relay.tick()
        self.assert_mended(db, owner, ids)

    def test_one_that_another_session_holds(self, db: Session, owner: Session, ids: list[int]) -> None:
        owner.begin()
        owner.run("select from singularity.document where document_id = %s for update", [ids[1]])
        db.run("call singularity.maintain()")
        owner.rollback()
        db.run("call singularity.maintain()")
        self.assert_mended(db, owner, ids)


def test_a_winner_that_changes_while_the_authority_makes_documents_anew(
    authority_place: AuthorityPlace, authority_superuser: psycopg.Connection[Any]
) -> None:
    place = authority_place
    place.teach([{"kind": "k", "name": "animal", "content": "elephant"}])
    old = authority_superuser
    old.autocommit = True
    old.execute("begin isolation level repeatable read")
    artifact = value(old, "select artifact_id from centralcloud.artifact")
    place.teach([{"kind": "k", "name": "animal", "content": "crocodile"}])
    old.execute("select centralcloud.index_artifacts(array[%s]::uuid[], true)", [artifact])
    old.execute("commit")
    assert names(place.found("crocodile", min_similarity=0.5)) == ["animal"]
    assert names(place.found("elephant", min_similarity=0.5)) == []
    place.connection.execute("call centralcloud.maintain()")
    check(old, "centralcloud")
    assert names(place.found("crocodile", min_similarity=0.5)) == ["animal"]
