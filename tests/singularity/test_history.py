"""history(): every version that was learned or forgotten here, and the central copy."""

from tests.kit.identity import variant_of
from tests.kit.instance_relay import InstanceRelay, refined
from tests.kit.session import Session


def test_what_was_never_learned_has_none(db: Session) -> None:
    db.learn("thing")
    assert db.history("nothing") == []
    assert db.history("thing", namespace="elsewhere") == []


def test_every_version_is_there_newest_first(db: Session) -> None:
    db.learn("thing", "one", summary="s", tags=["t"])
    db.learn("thing", "two", shared=False)
    db.forget("thing")
    db.learn("thing", "three", shared=True)
    history = db.history("thing")
    assert [(v["content"], v["forgotten"], v["shared"]) for v in history] == [
        ("three", False, True),
        (None, True, False),
        ("two", False, False),
        ("one", False, True),
    ]
    assert [v["variant"] for v in history] == [
        variant_of("three"),
        None,
        variant_of("two"),
        variant_of("one"),
    ]
    assert {v["origin"] for v in history} == {"local"}
    assert [v["version"] for v in history] == sorted((v["version"] for v in history), reverse=True)
    assert [v["learned_at"] for v in history] == sorted((v["learned_at"] for v in history), reverse=True)


def test_versions_of_one_transaction_are_newest_first_too(db: Session) -> None:
    db.begin()
    for number in range(4):
        db.learn("thing", number)
    db.commit()
    assert [version["content"] for version in db.history("thing")] == [3, 2, 1, 0]


def test_the_central_copy_is_listed_with_its_revision(db: Session, online: InstanceRelay) -> None:
    db.learn("thing", "local")
    db.ask("thing")
    online.answer(online.question(), refined("thing", "central", revision=42, summary="s", tags=["t"]))
    central = next(version for version in db.history("thing") if version["origin"] == "central")
    assert (central["version"], central["content"], central["summary"], central["tags"]) == (
        42,
        "central",
        "s",
        ["t"],
    )
    assert (central["forgotten"], central["shared"]) == (False, True)
