"""configure(): names, environment and settings; what does not fit is refused whole."""

from typing import Any

import pytest
from tests.kit.queries import Row
from tests.kit.session import Session, refused

ALL = [
    "answer_ttl",
    "default_sharing",
    "environment",
    "good_relevance",
    "instance_name",
    "max_open_questions",
    "mode",
    "negative_ttl",
    "question_ttl",
    "reconcile_every",
    "search_candidates",
    "search_configuration",
    "subject_prefix",
    "unsigned_messages",
]


def setting(db: Session, name: str) -> Any:
    return db.value("select value from singularity.configuration where name = %s", [name])


def test_the_view_tells_every_setting(db: Session) -> None:
    rows = db.rows("select * from singularity.configuration order by name")
    assert [row["name"] for row in rows] == ALL
    assert all(row["value"] == row["default_value"] and row["changed_at"] is None for row in rows)
    assert all(row["description"].endswith(".") for row in rows)
    for row in rows:
        db.run(f"select cast(%s as {row['type']})", [row["default_value"]])


def test_name_and_environment_can_be_changed_alone(db: Session) -> None:
    db.call("configure", instance_name="laptop")
    db.call("configure", environment="ci")
    assert (db.status()["instance_name"], db.status()["environment"]) == ("laptop", "ci")
    db.call("configure")
    assert (db.status()["instance_name"], db.status()["environment"]) == ("laptop", "ci")


def test_a_setting_is_changed_and_put_back(db: Session) -> None:
    db.call("configure", settings={"answer_ttl": "2 hours", "good_relevance": "0.7"})
    row = db.row("select * from singularity.configuration where name = 'answer_ttl'")
    assert (row["value"], row["default_value"]) == ("2 hours", "1 hour")
    assert row["changed_at"] is not None
    db.call("configure", settings={"answer_ttl": None})
    assert setting(db, "answer_ttl") == "1 hour"
    assert setting(db, "good_relevance") == "0.7"


def test_numbers_may_be_given_as_numbers(db: Session) -> None:
    db.call("configure", settings={"good_relevance": 0.25})
    assert setting(db, "good_relevance") == "0.25"


@pytest.mark.parametrize("value", ["0", "0.5", ".5", "1", "1.0"])
def test_any_share_is_a_relevance(db: Session, value: str) -> None:
    db.call("configure", settings={"good_relevance": value})
    assert setting(db, "good_relevance") == value


def test_an_argument_goes_before_the_same_setting(db: Session) -> None:
    db.call("configure", environment="prod", settings={"environment": "test"})
    assert db.status()["environment"] == "prod"


def test_the_same_value_again_changes_nothing(db: Session) -> None:
    db.call("configure", settings={"answer_ttl": "2 hours"})
    before = db.contents()
    db.call("configure", settings={"answer_ttl": "2 hours"})
    assert db.contents() == before


ERRORS: list[tuple[Row, str, str]] = [
    ({"environment": "moon"}, "'moon' does not fit the setting environment", "dev|test|ci|prod"),
    ({"environment": ""}, "'' does not fit the setting environment", "dev|test|ci|prod"),
    ({"instance_name": ""}, "'' does not fit the setting instance_name", "text"),
    ({"instance_name": " x"}, "' x' does not fit the setting instance_name", "text"),
    ({"instance_name": "x" * 101}, "does not fit the setting instance_name", "text"),
    ({"settings": {"colour": "red"}}, "there is no setting 'colour'", ", ".join(ALL)),
    ({"settings": {"answer_ttl": "soon"}}, "'soon' does not fit the setting answer_ttl", "interval"),
    (
        {"settings": {"good_relevance": "high"}},
        "'high' does not fit the setting good_relevance",
        "double precision",
    ),
    (
        {"settings": {"subject_prefix": "a.b"}},
        "'a.b' does not fit the setting subject_prefix",
        "^[a-z0-9_-]{1,64}$",
    ),
    (
        {"settings": {"subject_prefix": "a'b"}},
        "'a''b' does not fit the setting subject_prefix",
        "^[a-z0-9_-]{1,64}$",
    ),
    ({"settings": {"mode": "hybrid"}}, "the mode is not changed by configure()", "singularity.connect(mode)"),
    ({"settings": {"mode": None}}, "the mode is not changed by configure()", "singularity.connect(mode)"),
]


@pytest.mark.parametrize(("wrong", "message", "hint"), ERRORS)
def test_what_does_not_fit_is_refused_whole(steady: Session, wrong: Row, message: str, hint: str) -> None:
    good = {"negative_ttl": "1 second"}
    given = {**wrong, "settings": {**good, **wrong.get("settings", {})}}
    with refused(steady, "22023", message, hint):
        steady.call("configure", **given)


@pytest.mark.parametrize("settings", ["[]", '"x"', "7", "null"])
def test_settings_are_an_object(steady: Session, settings: str) -> None:
    with refused(steady, "22023", "settings must be a JSON object", '{"answer_ttl": "2 hours"}'):
        steady.call("configure", settings=settings)


@pytest.mark.parametrize(
    ("name", "value", "hint"),
    [
        ("answer_ttl", "-1 hour", "from 0 to 10 years"),
        ("question_ttl", "1 second ago", "from 0 to 10 years"),
        ("good_relevance", "NaN", "from 0 to 1"),
        ("good_relevance", "7", "from 0 to 1"),
        ("good_relevance", "-0.1", "from 0 to 1"),
    ],
)
def test_values_without_sense_are_refused(steady: Session, name: str, value: str, hint: str) -> None:
    with refused(steady, "22023", f"'{value}' does not fit the setting {name}", hint):
        steady.call("configure", settings={name: value})
