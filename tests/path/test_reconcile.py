"""Comparing with a real authority over a real broker: CALL reconcile() says what it mended."""

import psycopg
import pytest
from tests.kit.queries import row, value
from tests.kit.team import Team, fresh

STATES = "select entries, digest from singularity.digest()"


def notices(connection: psycopg.Connection, call: str) -> list[str]:
    """Call a procedure and return what it says."""
    said: list[str] = []

    def hear(notice: psycopg.errors.Diagnostic) -> None:
        said.append(notice.message_primary or "")

    connection.add_notice_handler(hear)
    connection.execute(call.encode())
    connection.remove_notice_handler(hear)
    return said


def test_it_says_that_both_are_equal(team: Team) -> None:
    team.ann.learn(fresh("thing"), 1)
    team.ann.until_confirmed()
    assert notices(team.ann.connection, "call singularity.reconcile()") == [
        "0 states sent again, 0 restored, 0 copies refreshed"
    ]
    here = row(team.ann.connection, STATES)
    me = team.ann.status()["instance_id"]
    assert here == row(team.curator, "select entries, digest from centralcloud.digest(%s)", me)


def test_it_says_what_was_sent_again(team: Team) -> None:
    names = [fresh("lost") for _ in range(3)]
    for name in names:
        team.ann.learn(name, 1)
        team.ann.use(name, 2)
    uses = """
        select sum(v.uses)::int from centralcloud.variant v join centralcloud.artifact a using (artifact_id)
        where a.name = any (%s)
    """
    team.ann.until(lambda: value(team.curator, uses, names) == 6, "the outcomes at the authority")
    team.ann.until_confirmed()
    with team.central.connect_superuser() as owner:
        ids = "(select artifact_id from centralcloud.artifact where name = any (%s))"
        for table in ("holding", "evidence"):
            owner.execute(f"delete from centralcloud.{table} where artifact_id in {ids}".encode(), [names])
    assert notices(team.ann.connection, "call singularity.reconcile()") == [
        "6 states sent again, 0 restored, 0 copies refreshed"
    ]
    team.ann.until(lambda: value(team.curator, uses, names) == 6, "the outcomes again")


def test_it_cannot_wait_inside_a_transaction(team: Team) -> None:
    with (
        pytest.raises(psycopg.errors.ActiveSqlTransaction, match="cannot run inside a transaction block"),
        team.ann.connection.transaction(),
    ):
        team.ann.connection.execute("call singularity.reconcile()")


def test_without_an_authority_it_says_why(team: Team) -> None:
    team.ann.call("disconnect")
    try:
        with pytest.raises(
            psycopg.errors.ConnectionException, match="the authority cannot be reached"
        ) as caught:
            team.ann.connection.execute("call singularity.reconcile()")
        assert caught.value.diag.message_hint
    finally:
        team.ann.call("connect")
