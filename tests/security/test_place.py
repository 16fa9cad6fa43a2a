"""The bridge's place: nobody but a bridge can take it, or keep one out."""

import psycopg
import pytest
from tests.kit.queries import value
from tests.kit.relay import Relay

from singularity_lab import Database

# every key that could be computed from what the extension is called, of both sorts
KEYS = """
    select
        pg_advisory_lock(('x' || left(md5(e || ' bridge'), 16))::bit(64)::bigint + n),
        pg_advisory_lock(hashtext(e || suffix)), pg_advisory_lock(hashtextextended(e || suffix, n)),
        pg_advisory_lock(hashtext(e), n)
    from unnest(array['singularity', 'centralcloud']) as e, generate_series(0, 8) as n,
        unnest(array['', '.', ' bridge', '_bridge', '.bridge']) as suffix
"""
OF_OBJECTS = """
    select pg_advisory_lock(c.oid::integer, n), pg_advisory_lock(c.oid::bigint)
    from pg_class c, generate_series(0, 1) n
    where c.relnamespace in (select oid from pg_namespace where nspname in ('singularity', 'centralcloud'))
"""


@pytest.mark.parametrize("side", ["instance", "authority"])
def test_advisory_locks_keep_nobody_out(request: pytest.FixtureRequest, side: str) -> None:
    database: Database = request.getfixturevalue(side)
    schema = database.extension
    with (
        database.connect(database.stranger) as hostile,
        database.connect(database.relay) as bridge,
        database.connect_superuser() as owner,
    ):
        hostile.execute(KEYS)
        hostile.execute(OF_OBJECTS)
        if side == "instance":
            owner.execute("select singularity.learn('pattern', 'zebra', '1')")
            owner.execute("select singularity.record_outcome('pattern', 'zebra', true)")
        relay = Relay(bridge, schema)
        assert relay.attach()["attached"]
        relay.tick(connected=False, error=None, streams={}, consumers={})
        held = "select count(*) from pg_locks where locktype = 'advisory' and pid <> %s"
        assert value(owner, held, hostile.info.backend_pid) == 0
        if side == "instance":
            assert value(owner, "select count(*) from singularity.outcome") == 0
            assert value(owner, "select count(*) from singularity.lexeme_change where change <> 0") == 0


@pytest.mark.parametrize("side", ["instance", "authority"])
def test_a_second_bridge_is_told_at_once_who_is_there(request: pytest.FixtureRequest, side: str) -> None:
    database: Database = request.getfixturevalue(side)
    schema = database.extension
    with (
        database.connect(database.relay) as first,
        database.connect(database.relay) as second,
        database.connect_superuser() as owner,
    ):
        first.execute("set application_name = 'the first'")
        assert Relay(first, schema).attach()["attached"]
        second.execute("set lock_timeout = '50ms'")
        with owner.transaction():
            owner.execute(f"update {schema}.bridge_state set seen_at = now()".encode())
            told = Relay(second, schema).attach()
        assert not told["attached"]
        assert told["holder"] == first.info.backend_pid
        for known in (str(first.info.backend_pid), "the first", database.relay):
            assert known in told["who"]
        # who does not have the place cannot give it away
        second.execute(f"select {schema}.bridge_detach()".encode())
        assert not Relay(second, schema).attach()["attached"]
        owner.execute(f"update {schema}.bridge_state set seen_at = now() - interval '1 minute'".encode())
        (trouble,) = value(owner, f"select {schema}.troubles()")[:1] if side == "authority" else [None]
        if trouble is not None:
            assert f"though it has its place (process {first.info.backend_pid}: the first" in trouble


def test_a_process_number_that_is_given_again_has_no_place(instance: Database) -> None:
    with instance.connect(instance.relay) as bridge, instance.connect_superuser() as owner:
        assert Relay(bridge, "singularity").attach()["attached"]
        owner.execute(
            "update singularity.bridge_state set pid = %s, backend_start = backend_start - interval '1 day'",
            [owner.info.backend_pid],
        )
        assert Relay(bridge, "singularity").attach()["attached"]


def test_only_a_bridge_may_attach(instance: Database) -> None:
    for who in (instance.user, instance.viewer, instance.stranger):
        with instance.connect(who) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
            Relay(connection, "singularity").attach()
