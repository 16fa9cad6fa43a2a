"""What a curator and a reader see and set: status, statistics, search and the configuration."""

from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb
from tests.kit.identity import variant_of
from tests.kit.queries import refused, row, rows, value
from tests.kit.relay import Relay
from tests.kit.speaker import Speaker, speakers, verdicts

from singularity_lab import Database

CONFIGURE = "select centralcloud.configure(%s)"


def test_status_of_a_new_authority(authority_db: psycopg.Connection) -> None:
    status = row(authority_db, "select * from centralcloud.status()")
    counted = ["instances", "artifacts", "variants", "unpublished", "unscored", "twin_alarms", "dead_letters"]
    assert [status[name] for name in counted] == [0] * len(counted)
    assert (status["connected"], status["bridge_seen_at"], status["epoch"]) == (False, None, None)
    assert status["extension_version"] == value(
        authority_db, "select extversion from pg_extension where extname = 'centralcloud'"
    )


def test_status_counts(relay: Relay, authority_db: psycopg.Connection) -> None:
    ann, bob = speakers(2)
    relay.give([
        ann.says(ann.holds("a"), ann.holds("b"), ann.holds(name="y"), ann.used(1, name="only used")),
        bob.says(bob.holds("a")), bob.raw("contribute", b"spoiled"),
    ])  # fmt: skip
    authority_db.execute("select centralcloud.rescore('2026-01-01')")
    status = row(authority_db, "select * from centralcloud.status()")
    assert (status["instances"], status["artifacts"], status["variants"]) == (2, 2, 4)
    assert (status["unpublished"], status["unscored"], status["dead_letters"]) == (2, 1, 1)
    relay.take("refined")
    assert value(authority_db, "select unpublished from centralcloud.status()") == 0


def test_status_says_whether_and_why_not_the_bridge_is_connected(
    relay: Relay, authority_db: psycopg.Connection, authority_superuser: psycopg.Connection
) -> None:
    how = """
        select connected, error, bridge_version, bridge_seen_at is not null as seen from centralcloud.status()
    """
    assert row(authority_db, how) == {
        "connected": True,
        "error": None,
        "bridge_version": "test",
        "seen": True,
    }
    relay.tick(connected=False, error="no servers available")
    found = row(authority_db, how)
    assert (found["connected"], found["error"]) == (False, "no servers available")
    relay.tick()
    authority_superuser.execute("update centralcloud.bridge_state set seen_at = seen_at - interval '11 s'")
    assert row(authority_db, how)["connected"] is False
    relay.connection.execute("select centralcloud.bridge_detach()")
    assert row(authority_db, how)["seen"] is False
    relay.connection.execute("select centralcloud.bridge_attach('test', 1)")


def test_only_one_bridge_is_attached(relay: Relay, authority: Database) -> None:
    attach = "select centralcloud.bridge_attach('second', 1)"
    with authority.connect(authority.relay) as second:
        found = value(second, attach)
        assert (found["attached"], found["holder"]) == (False, relay.connection.info.backend_pid)
        relay.connection.execute("select centralcloud.bridge_detach()")
        assert value(second, attach)["attached"]
        second.execute("select centralcloud.bridge_detach()")
    with refused("SGV01", "protocol 2"):
        relay.connection.execute("select centralcloud.bridge_attach('later', 2)")


def test_statistics_by_topic(relay: Relay, authority_db: psycopg.Connection) -> None:
    settings = {"scored_as_of": "2025-01-01", "hostile_share": 0, "new_group_trust": 1}
    authority_db.execute(CONFIGURE, [Jsonb(settings)])
    crowd = speakers(5)
    for one in crowd:
        records = [one.holds(name="best"), one.used(20, name="best"), one.holds(name="unproved")]
        relay.give([one.says(*records)])
    ann, bob = crowd[:2]
    relay.give([
        ann.says(ann.holds(name="low"), ann.used(0, 3, name="low")),
        ann.says(ann.holds("rival", "unproved"), ann.holds(namespace="ops", kind="zoo")),
        bob.says(bob.holds(name="gone"), bob.withdraws("gone")),
    ])  # fmt: skip
    relay.take("refined")
    assert rows(authority_db, "select * from centralcloud.statistics()") == [
        {
            "namespace": "default", "kind": "k", "artifacts": 3, "variants": 4, "uses": 103,
            "candidate": 1, "low": 1, "medium": 0, "high": 0, "very_high": 1, "head": 3,
        },
        {
            "namespace": "ops", "kind": "zoo", "artifacts": 1, "variants": 1, "uses": 0,
            "candidate": 1, "low": 0, "medium": 0, "high": 0, "very_high": 0, "head": 1,
        },
    ]  # fmt: skip


def test_search_finds_the_winner_with_its_content(relay: Relay, authority_db: psycopg.Connection) -> None:
    ann, bob = speakers(2)
    relay.give([
        ann.says(ann.holds("stripes of a zebra", "animals", summary="on stripes", tags=["zoo"])),
        bob.says(bob.holds("spots of a leopard", "animals"), bob.used(9, 0, "spots of a leopard", "animals")),
        bob.says(bob.holds("stripes of a tiger", "cats", kind="other", namespace="ops")),
    ])  # fmt: skip
    search = "select relevance, (artifact).name, (artifact).variant, content from centralcloud.search(%s)"
    found = rows(authority_db, search, "leopard")[0]
    assert (found["name"], found["content"], found["variant"]) == (
        "animals",
        "spots of a leopard",
        variant_of("spots of a leopard"),
    )
    assert 0 < found["relevance"] <= 1
    words = "select sum(words) from centralcloud.search(%s, min_similarity => 0)"
    assert value(authority_db, words, "zebra") == 0
    filtered = "select (artifact).name from centralcloud.search('stripes', %s, %s, %s, %s)"
    assert rows(authority_db, filtered, "other", "ops", None, 5) == [{"name": "cats"}]
    assert rows(authority_db, filtered, "k", None, None, 5) == []
    assert rows(authority_db, filtered, None, None, ["zoo"], 5) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("''", "query is empty"), ("'  '", "query is empty"), ("null", "query is empty"),
        ("'x', max_results => 0", "max_results is 0"), ("'x', max_results => 1001", "max_results is 1001"),
        ("'x', max_results => null", "max_results is null"),
    ],
)  # fmt: skip
def test_a_search_that_cannot_be_is_an_error(
    authority_db: psycopg.Connection, arguments: str, message: str
) -> None:
    with refused("22023", message):
        authority_db.execute(f"select centralcloud.search({arguments})".encode())


def test_settings_are_seen_changed_and_put_back(authority_db: psycopg.Connection) -> None:
    seen = """
        select value, default_value, changed_at is null as unchanged from centralcloud.configuration
        where name = %s
    """
    assert row(authority_db, seen, "group_cap") == {"value": "8", "default_value": "8", "unchanged": True}
    authority_db.execute(CONFIGURE, [Jsonb({"group_cap": 7, "answer_rows": 3})])
    assert row(authority_db, seen, "group_cap") == {"value": "7", "default_value": "8", "unchanged": False}
    authority_db.execute(CONFIGURE, [Jsonb({"group_cap": None})])
    assert row(authority_db, seen, "group_cap") == {"value": "8", "default_value": "8", "unchanged": True}
    assert row(authority_db, seen, "answer_rows")["value"] == "3"
    described = "select count(*) from centralcloud.configuration where description = '' or type is null"
    assert value(authority_db, described) == 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ([], "settings must be a JSON object, not array"),
        ("group_cap", "settings must be a JSON object, not string"),
        ({"grup_cap": 7}, "there is no setting 'grup_cap'"),
        ({"group_cap": "many"}, "'many' does not fit the setting group_cap"),
        ({"group_cap": -1}, "'-1' does not fit the setting group_cap"),
        ({"group_cap": "NaN"}, "'NaN' does not fit the setting group_cap"),
        ({"hostile_share": 0.6}, "'0.6' does not fit the setting hostile_share"),
        ({"hostile_share": -0.1}, "'-0.1' does not fit the setting hostile_share"),
        ({"hostile_share": "NaN"}, "'NaN' does not fit the setting hostile_share"),
        ({"new_group_trust": 0}, "'0' does not fit the setting new_group_trust"),
        ({"new_group_trust": 1.1}, "'1.1' does not fit the setting new_group_trust"),
        ({"half_life": "a while"}, "'a while' does not fit the setting half_life"),
        ({"half_life": "0"}, "'0' does not fit the setting half_life"),
        ({"half_life": "-1 day"}, "'-1 day' does not fit the setting half_life"),
        ({"answer_rows": 0}, "'0' does not fit the setting answer_rows"),
        ({"answer_rows": 1000}, "'1000' does not fit the setting answer_rows"),
        ({"stream_max_bytes": "1 GB"}, "'1 GB' does not fit the setting stream_max_bytes"),
        ({"subject_prefix": "a.b"}, "'a.b' does not fit the setting subject_prefix"),
        ({"scored_as_of": "someday"}, "'someday' does not fit the setting scored_as_of"),
        ({"scored_as_of": "infinity"}, "'infinity' does not fit the setting scored_as_of"),
        ({"environment_weights": "{"}, "'{' does not fit the setting environment_weights"),
        ({"environment_weights": []}, "'[]' does not fit the setting environment_weights"),
        ({"environment_weights": {"ci": "half"}}, "does not fit the setting environment_weights"),
        ({"environment_weights": {"ci": -1}}, "does not fit the setting environment_weights"),
        ({"level_thresholds": []}, "'[]' does not fit the setting level_thresholds"),
        *(
            ({"level_thresholds": {level: needed}}, "does not fit the setting level_thresholds")
            for level, needed in [
                ("huge", {"confidence": 0.9, "groups": 5}), ("candidate", {"confidence": 0.9, "groups": 5}),
                ("high", {"confidence": "sure", "groups": 5}), ("high", {"groups": 5}), ("high", 0.9),
            ]
        ),
    ],
)  # fmt: skip
def test_a_setting_that_does_not_fit_is_an_error_and_changes_nothing(
    relay: Relay, authority_db: psycopg.Connection, settings: Any, message: str
) -> None:
    before = rows(authority_db, "select * from centralcloud.configuration")
    wanted = {"answer_relevance": 0.9, **settings} if isinstance(settings, dict) else settings
    with refused("22023", message):
        authority_db.execute(CONFIGURE, [Jsonb(wanted)])
    assert rows(authority_db, "select * from centralcloud.configuration") == before
    ann = Speaker(1)
    assert verdicts(relay.give([ann.says(ann.holds(), ann.used(3))]))[1:] == [(2, "stored", None)]


@pytest.mark.parametrize(
    ("call", "allowed"),
    [
        ("select * from centralcloud.search('x')", {"user", "viewer"}),
        ("select * from centralcloud.statistics()", {"user", "viewer"}),
        ("select * from centralcloud.status()", {"user", "viewer"}),
        ("select * from centralcloud.artifact", {"user", "viewer"}),
        ("select * from centralcloud.configuration", {"user", "viewer"}),
        ("select centralcloud.configure('{}')", {"user"}),
        ("select centralcloud.rescore()", {"user"}),
        ("select * from centralcloud.explain_confidence('a', 'b', 'c')", {"user", "viewer"}),
        ("select * from centralcloud.explain_reputation('x')", {"user", "viewer"}),
        ("select centralcloud.score_queued(1)", set()),
        ("select centralcloud.replay_dead_letters()", {"user"}),
        ("select centralcloud.bridge_plan()", {"relay"}),
        ("select centralcloud.bridge_receive('{}', '{}', '{}')", {"relay"}),
        ("select centralcloud.store_contributions('{}')", set()),
        ("select centralcloud.refresh_artifacts('{}')", set()),
        ("select centralcloud.send_later('x', null, '')", set()),
        ("insert into centralcloud.setting values ('group_cap', '9')", set()),
        ("delete from centralcloud.holding", set()),
    ],
)
def test_who_may_do_what(authority: Database, call: str, allowed: set[str]) -> None:
    might = set()
    for who in ("user", "viewer", "relay", "stranger"):
        with authority.connect(getattr(authority, who)) as connection:
            try:
                connection.execute(call.encode())
            except psycopg.errors.InsufficientPrivilege:
                continue
            might.add(who)
    assert might == allowed
