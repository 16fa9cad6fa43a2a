"""The register of instances: who was heard, what was heard of them, and hello with its welcome."""

from typing import Any

import psycopg
import pytest
from tests.centralcloud.model import wilson
from tests.kit.queries import row, rows, value
from tests.kit.relay import Relay
from tests.kit.speaker import Speaker, request, speakers

KNOWN = """
    select instance_name, environment, group_name, blocked, greatest_version from centralcloud.instance
"""


def hello(relay: Relay, one: Speaker, **more: Any) -> Any:
    """Say hello and return the welcome."""
    said = {"incarnation": str(one.id), "extension_version": "0.1.0", "greatest_version": one.version, **more}
    return request(relay, one.asks("hello", **said))


def test_who_contributes_is_known(relay: Relay) -> None:
    ann = Speaker(1, environment="ci", version=41)
    relay.give([ann.says(ann.holds())])
    assert row(relay.connection, KNOWN) == {
        "instance_name": "speaker 1",
        "environment": "ci",
        "group_name": str(ann.id),
        "blocked": False,
        "greatest_version": 42,
    }


def test_the_greatest_version_of_any_message_is_known(relay: Relay) -> None:
    ann = Speaker(1)
    messages = [ann.says(ann.holds(), ann.used(1)), ann.says(ann.withdraws("y")), ann.says(ann.used(2))]
    relay.give([messages[2], messages[0]])
    assert row(relay.connection, KNOWN)["greatest_version"] == 4
    relay.give([messages[1]])
    assert row(relay.connection, KNOWN)["greatest_version"] == 4


def test_a_welcome_tells_the_greatest_version_and_all_heads(relay: Relay) -> None:
    ann, bob = speakers(2)
    relay.give([ann.says(*(ann.holds(kind=kind) for kind in ("one", "two", "two")))])
    relay.take("refined")
    welcome = hello(relay, ann, request="hello", version=0)
    assert (welcome["v"], welcome["type"], welcome["request"]) == (1, "welcome", "hello")
    assert welcome["known_version"] == 3
    assert welcome["heads"] == {"default/one": 1, "default/two": 1}
    assert welcome["epoch"] == value(relay.connection, "select epoch from centralcloud.status()")
    assert hello(relay, bob)["known_version"] == 0


def test_a_hello_says_who_an_instance_is_now(relay: Relay) -> None:
    ann = Speaker(1, environment="dev")
    hello(relay, ann)
    incarnation = "00000000-0000-0000-0000-00000000000a"
    ann.environment = "prod"
    hello(relay, ann, incarnation=incarnation, instance_name="ann's server", extension_version="0.2.0")
    told = "instance_name, environment, incarnation::text, extension_version"
    assert rows(relay.connection, f"select {told} from centralcloud.instance") == [
        {
            "instance_name": "ann's server",
            "environment": "prod",
            "incarnation": incarnation,
            "extension_version": "0.2.0",
        }
    ]


def test_a_hello_keeps_what_a_curator_decided(relay: Relay, authority_superuser: psycopg.Connection) -> None:
    ann = Speaker(1)
    hello(relay, ann)
    decided = "update centralcloud.instance set group_name = 'runners', blocked = true"
    authority_superuser.execute(decided)
    hello(relay, ann)
    relay.give([ann.says(ann.holds())])
    found = row(relay.connection, KNOWN)
    assert (found["group_name"], found["blocked"]) == ("runners", True)


def test_a_new_environment_weighs_old_outcomes_anew(relay: Relay, authority_db: psycopg.Connection) -> None:
    ann = Speaker(1, environment="ci")
    authority_db.execute(
        'select centralcloud.configure(\'{"scored_as_of": "2025-01-01", "new_group_trust": 1}\')'
    )
    relay.give([ann.says(ann.holds(), ann.used(10, last_used_at="2290-01-01T00:00:00Z"))])
    confidence = "select confidence from centralcloud.artifact"
    assert value(authority_db, confidence) == pytest.approx(wilson(4, 0))
    hello(relay, ann)
    assert value(authority_db, "select unscored from centralcloud.status()") == 0
    ann.environment = "prod"
    hello(relay, ann)
    assert value(authority_db, "select unscored from centralcloud.status()") == 1
    relay.tick()
    assert value(authority_db, "select unscored from centralcloud.status()") == 0
    assert value(authority_db, confidence) == pytest.approx(wilson(8, 0))


@pytest.mark.parametrize("missing", ["instance_name", "environment"])
def test_a_hello_without_a_name_is_taken(relay: Relay, missing: str) -> None:
    ann = Speaker(1)
    hello(relay, ann, **{missing: None})
    found = row(relay.connection, "select instance_name, environment from centralcloud.instance")
    stands_in = {"instance_name": str(ann.id), "environment": "dev"}
    assert found[missing] == stands_in[missing]


def test_a_contribution_without_a_name_is_taken(relay: Relay) -> None:
    ann = Speaker(1)
    relay.give([ann.says(ann.holds(), instance_name=None, environment=None)])
    found = row(relay.connection, KNOWN)
    assert (found["instance_name"], found["environment"]) == (str(ann.id), "dev")
