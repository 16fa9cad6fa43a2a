"""The databases that tests are given: fresh, with their extension, used as an ordinary member."""

import psycopg
import pytest

from singularity_lab import Database, Lab

MEMBERSHIPS = """
    select array_agg(g.rolname::text order by g.rolname)
    from pg_auth_members as m join pg_roles as g on g.oid = m.roleid join pg_roles as r on r.oid = m.member
    where r.rolname = %s
"""


def groups(connection: psycopg.Connection, role: str) -> object:
    row = connection.execute(MEMBERSHIPS, [role]).fetchone()
    assert row is not None
    return row[0]


def is_superuser(connection: psycopg.Connection) -> object:
    row = connection.execute("select rolsuper from pg_roles where rolname = current_user").fetchone()
    assert row is not None
    return row[0]


def test_an_instance_is_used_by_an_administrator(instance: Database, instance_db: psycopg.Connection) -> None:
    assert not is_superuser(instance_db)
    assert groups(instance_db, instance.user) == ["singularity_admin", "singularity_writer"]
    assert groups(instance_db, instance.viewer) == ["singularity_reader"]
    assert groups(instance_db, instance.relay) == ["singularity_bridge"]
    assert groups(instance_db, instance.stranger) is None


def test_an_authority_is_used_by_an_administrator(
    authority: Database, authority_db: psycopg.Connection
) -> None:
    assert not is_superuser(authority_db)
    assert groups(authority_db, authority.user) == ["centralcloud_admin", "centralcloud_curator"]
    assert groups(authority_db, authority.relay) == ["centralcloud_bridge"]


@pytest.mark.parametrize("turn", [1, 2])
def test_each_test_has_a_fresh_database(instance_superuser: psycopg.Connection, turn: int) -> None:
    instance_superuser.execute("create table mine as select 1")
    instance_superuser.commit()
    assert turn


def test_a_lab_holds_many_databases(lab: Lab) -> None:
    first, second = lab.instance("first"), lab.instance("second")
    authority = lab.authority("centre")
    assert first.cluster is second.cluster is authority.cluster
    for database in (first, second, authority):
        with database.connect() as connection:
            assert connection.info.user == f"{database.name}_user"
        with database.connect_superuser() as connection:
            assert is_superuser(connection)
    elsewhere = lab.instance("first", cluster=lab.cluster("another"))
    assert elsewhere.dsn() != first.dsn()
