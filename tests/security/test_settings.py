"""No setting stops reading or writing: bounded where it is set, and its default where what is stored has gone bad."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb
from tests.kit.instance_relay import InstanceRelay
from tests.kit.queries import refused, rows, value
from tests.kit.relay import Relay
from tests.kit.session import Session
from tests.kit.speaker import Speaker

from singularity_lab import Database

# what somebody could write into a setting, or an older release let in
BAD = [
    "", "x", "-1", "1e400", "NaN", "Infinity", "infinity", "290000 years", "-290000 years", "11 years", "-1 day",
    "99999999999999999999", "999999999", "0.0000001", "{", "[]", "null", '{"prod": "NaN"}', '{"low": {"groups": -1}}',
    "294276-12-31", "4713-01-01 BC", "pg_catalog.nothing", "nowhere.english", "4294967295", "a.b.c.d", '"', "a b",
    "evil.words",
]  # fmt: skip
ENDS = {
    "interval": ["0", "1 second", "10 years"],
    "integer": [],
    "regconfig": ["simple", "pg_catalog.german"],
}


@pytest.fixture
def relay(instance: Database) -> Iterator[InstanceRelay]:
    """Attach the bridge of an instance that is connected and online."""
    with instance.connect(instance.relay) as connection, instance.connect() as user:
        user.execute("select singularity.connect()")
        relay = InstanceRelay(Session(connection))
        assert relay.attach()["attached"]
        relay.go_online()
        yield relay


def work(instance: Database, relay: InstanceRelay) -> None:
    """Use an instance in every way; nothing may fail."""
    with instance.connect() as connection:
        db = Session(connection)
        db.learn("zebra", {"text": "black and white stripes"})
        db.outcome("zebra")
        assert db.known("zebra")["content"] == {"text": "black and white stripes"}
        assert "zebra" in db.names("stripes")
        db.lookup("nothing")
        db.ask("horse")
        db.history("zebra")
        relay.tick()
        relay.plan()
        relay.heads()
        for queue in ("question", "sync", "contribution"):
            relay.take(queue)
        db.forget("zebra")
        db.status()
        db.rows("table singularity.configuration")


def give(relay: Relay, speaker: Speaker) -> None:
    relay.give(
        [speaker.says(speaker.holds({"text": "stripes"}), speaker.used(3, content={"text": "stripes"}))]
    )


def work_at_authority(relay: Relay, connection: psycopg.Connection[Any], number: int) -> None:
    """Use an authority in every way; nothing may fail."""
    give(relay, Speaker(number))
    relay.tick(connected=True, error=None, streams={}, consumers={})
    relay.take("refined")
    relay.take("heartbeat")
    rows(connection, "select * from centralcloud.search('stripes')")
    connection.execute("select centralcloud.rescore()")
    rows(connection, "select * from centralcloud.status()")
    rows(connection, "table centralcloud.configuration")


def definitions(connection: psycopg.Connection[Any], schema: str) -> list[dict[str, Any]]:
    return rows(connection, f"select * from {schema}.setting_definitions()")


def ends(definition: dict[str, Any]) -> list[str]:
    """Return the least and the greatest that a setting takes."""
    if " .. " in (definition["allowed"] or ""):
        return str(definition["allowed"]).split(" .. ")
    return ENDS.get(definition["type"], [])


def test_an_instance_works_with_each_setting_at_its_ends(instance: Database, relay: InstanceRelay) -> None:
    with instance.connect() as admin:
        tried = 0
        for definition in definitions(admin, "singularity"):
            for end in ends(definition):
                admin.execute(
                    "select singularity.configure(settings => %s)", [Jsonb({definition["name"]: end})]
                )
                work(instance, relay)
                tried += 1
            if definition["name"] != "mode":
                admin.execute(
                    "select singularity.configure(settings => %s)", [Jsonb({definition["name"]: None})]
                )
        assert tried > 15


def test_an_instance_works_whatever_is_stored(instance: Database, relay: InstanceRelay) -> None:
    with instance.connect_superuser() as owner, instance.connect() as admin:
        defaults = {each["name"]: each["default_value"] for each in definitions(admin, "singularity")}
        for bad in BAD:
            owner.execute(
                "insert into singularity.setting (name, value) select name, %s from singularity.setting_definitions() "
                "where name <> 'mode' on conflict (name) do update set value = excluded.value",
                [bad],
            )
            work(instance, relay)
            in_force = rows(admin, "select name, value from singularity.configuration where name <> 'mode'")
            unfit = [each["name"] for each in in_force if each["value"] != bad]
            assert all(each["value"] == defaults[each["name"]] for each in in_force if each["name"] in unfit)
            (trouble,) = (
                one
                for one in value(admin, "select singularity.troubles()")
                if one.startswith("Settings have")
            )
            assert [name for name in defaults if f"{name} is " in trouble] == unfit
        # the mend is what the trouble says
        admin.execute(trouble.split(": ", 1)[1].removesuffix(" or give others.").encode())
        assert not any(one.startswith("Settings") for one in value(admin, "select singularity.troubles()"))


def test_a_mode_that_is_none_is_local(instance: Database) -> None:
    with instance.connect_superuser() as owner, instance.connect() as admin:
        owner.execute("insert into singularity.setting (name, value) values ('mode', 'everywhere')")
        db = Session(admin)
        db.learn("zebra")
        assert db.status()["mode"] == "local"
        assert "mode is 'everywhere'" in db.status()["troubles"][0]


@pytest.fixture
def central(authority: Database) -> Iterator[Relay]:
    """Attach the bridge of an authority."""
    with authority.connect(authority.relay) as connection:
        relay = Relay(connection, "centralcloud")
        assert relay.attach()["attached"]
        relay.tick(connected=True, error=None, streams={}, consumers={})
        yield relay


def test_an_authority_works_with_each_setting_at_its_ends(authority: Database, central: Relay) -> None:
    with authority.connect() as admin:
        number = 0
        for definition in definitions(admin, "centralcloud"):
            for end in ends(definition):
                number += 1
                admin.execute("select centralcloud.configure(%s)", [Jsonb({definition["name"]: end})])
                work_at_authority(central, admin, number)
            admin.execute("select centralcloud.configure(%s)", [Jsonb({definition["name"]: None})])
        assert number > 10


def test_an_authority_works_whatever_is_stored(authority: Database, central: Relay) -> None:
    with authority.connect_superuser() as owner, authority.connect() as admin:
        for number, bad in enumerate(BAD, 1):
            owner.execute(
                "insert into centralcloud.setting (name, value) select name, %s "
                "from centralcloud.setting_definitions() on conflict (name) do update set value = excluded.value",
                [bad],
            )
            work_at_authority(central, admin, number)
            assert any(
                one.startswith("Settings have") for one in value(admin, "select centralcloud.troubles()")
            )


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("answer_ttl", "290000 years"),
        ("question_ttl", "290000 years"),
        ("negative_ttl", "11 years"),
        ("reconcile_every", "infinity"),
        ("search_configuration", "99999"),
        ("search_configuration", "nowhere.english"),
        ("search_candidates", "2147483648"),
        ("good_relevance", "Infinity"),
        ("max_open_questions", "0"),
        ("subject_prefix", "x" * 65),
    ],
)
def test_what_is_out_of_bounds_is_refused(instance: Database, name: str, given: str) -> None:
    with (
        instance.connect() as admin,
        refused("22023", f"does not fit the setting {name}", hint="It is of type"),
    ):
        admin.execute("select singularity.configure(settings => %s)", [Jsonb({name: given})])


def test_a_configuration_that_is_dropped_or_broken_later(instance: Database, relay: InstanceRelay) -> None:
    """Its owner may drop it whenever he likes: the default takes over, and status says so."""
    with instance.connect_superuser() as owner, instance.connect() as admin:
        owner.execute(f"create schema mine authorization {instance.user}")
        admin.execute("create text search configuration mine.words (copy = pg_catalog.english)")
        set_it = 'select singularity.configure(settings => \'{"search_configuration": "mine.words"}\')'
        with refused("22023", "'mine.words' does not fit", hint="regconfig"):
            admin.execute(set_it)  # the functions' owner could not use it
        admin.execute("grant usage on schema mine to singularity_owner")
        admin.execute(set_it.encode())
        admin.execute("call singularity.reembed()")
        work(instance, relay)
        for harm in (
            "revoke usage on schema mine from singularity_owner",
            "drop text search configuration mine.words",
            "drop schema mine",
        ):
            owner.execute(harm.encode())
            work(instance, relay)
            (trouble,) = value(admin, "select singularity.troubles()")
            assert "search_configuration is 'mine.words'" in trouble
            assert value(admin, "select singularity.get_setting('search_configuration')") == "english"
        admin.execute("call singularity.reembed()")


def test_a_configuration_that_the_setter_may_not_use(instance: Database) -> None:
    with instance.connect_superuser() as owner, instance.connect() as admin:
        owner.execute("create schema secret; grant usage on schema secret to singularity_owner")
        owner.execute("create text search configuration secret.words (copy = pg_catalog.english)")
        with refused("22023", "'secret.words' does not fit", hint="regconfig"):
            admin.execute(
                'select singularity.configure(settings => \'{"search_configuration": "secret.words"}\')'
            )
