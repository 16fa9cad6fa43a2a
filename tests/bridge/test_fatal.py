"""What retrying cannot mend ends the bridge, with one clear line."""

from pathlib import Path

import pytest
from tests.bridge.stand_in import StandIn, plain_lines

from singularity_lab import Bridge, Lab

WRONG = {"password": "wrong"}
GUARDED = "authorization { users: [ { user: bridge, password: secret } ] }"


def dies(bridge: Bridge) -> str:
    """Start a bridge that cannot work; returns the line that it ends with."""
    with bridge:
        assert bridge.wait() == 1
        (line,) = plain_lines(bridge)
    assert line.startswith("singularity-bridge: ")
    return line


def test_no_such_database(stand_in: StandIn) -> None:
    line = dies(stand_in.bridge(dsn=stand_in.cluster.dsn("nowhere", "postgres")))
    assert 'database "nowhere" does not exist' in line


def test_no_such_user(stand_in: StandIn) -> None:
    assert 'role "nobody" does not exist' in dies(stand_in.bridge(dsn=stand_in.dsn("nobody")))


def test_a_wrong_password(lab: Lab, own_servers: StandIn) -> None:
    cluster = own_servers.cluster
    own_servers.rows("create role guarded login password 'right'")
    (cluster.data / "pg_hba.conf").write_text("local all all trust\nhost all guarded all scram-sha-256\n")
    with cluster.connect() as connection:
        connection.execute("select pg_reload_conf()")
    line = dies(own_servers.bridge(dsn=own_servers.dsn("guarded", **WRONG)))
    assert "password authentication failed" in line
    line = dies(own_servers.bridge(name="without", dsn=own_servers.dsn("guarded")))
    assert "password" in line
    line = dies(own_servers.bridge(name="unlisted"))
    assert "no pg_hba.conf entry" in line


def test_a_dsn_that_is_none(stand_in: StandIn) -> None:
    assert "dsn" in dies(stand_in.bridge(dsn="host=x nonsense"))


def test_no_extension(stand_in: StandIn) -> None:
    stand_in.rows("drop schema stand_in cascade")
    assert "CREATE EXTENSION" in dies(stand_in.bridge())


def test_an_extension_that_is_not_there(stand_in: StandIn) -> None:
    line = dies(stand_in.bridge("--extension", "centralcloud"))
    assert '"centralcloud" is not installed' in line


def test_two_extensions_in_one_database(stand_in: StandIn) -> None:
    stand_in.rows("create schema other")
    stand_in.rows(
        "create function other.bridge_attach(text, integer) returns int language sql as $$ select 1 $$"
    )
    assert "--extension" in dies(stand_in.bridge())
    stand_in.start("--extension", "stand_in", name="named")


def test_an_extension_that_is_too_old(stand_in: StandIn) -> None:
    stand_in.rows("drop function stand_in.bridge_arm()")
    assert "too old" in dies(stand_in.bridge())


def test_no_privileges(stand_in: StandIn) -> None:
    stand_in.rows("create role %s login" % (role := f"{stand_in.name}_stranger"))
    try:
        assert "GRANT stand_in_bridge TO" in dies(stand_in.bridge(dsn=stand_in.dsn(role)))
    finally:
        stand_in.rows(f"drop role {role}")


def test_another_protocol(stand_in: StandIn) -> None:
    stand_in.plan(protocol=99)
    line = dies(stand_in.bridge())
    assert "protocol 1 is not supported. Update the bridge." in line


def test_a_database_that_refuses_to_speak(stand_in: StandIn) -> None:
    stand_in.rows("insert into stand_in.refusal values ('a twin speaks under this name')")
    assert "a twin speaks under this name. Decide it." in dies(stand_in.bridge())


def test_a_database_that_refuses_while_the_bridge_runs(stand_in: StandIn) -> None:
    bridge = stand_in.start()
    stand_in.rows("insert into stand_in.refusal values ('enough')")
    stand_in.cut("singularity-bridge stand_in")
    assert bridge.wait() == 1
    assert plain_lines(bridge) == ["singularity-bridge: enough. Decide it."]


@pytest.mark.parametrize("option", ["--creds", "--nkey"])
def test_a_file_that_is_not_there_or_not_what_it_should_be(
    stand_in: StandIn, tmp_path: Path, option: str
) -> None:
    missing = tmp_path / "missing"
    assert f"cannot read {missing}" in dies(stand_in.bridge(option, str(missing)))
    wrong = tmp_path / "wrong"
    wrong.write_text("-----BEGIN USER NKEY SEED-----\nnonsense\n")
    assert str(wrong) in dies(stand_in.bridge(option, str(wrong), name="wrong"))


def test_nats_refuses_the_credentials(stand_in: StandIn) -> None:
    guarded = stand_in.lab.nats("guarded", secure=False, configuration=GUARDED)
    assert "NATS refuses these credentials" in dies(stand_in.bridge(url=guarded.url))
    wrong = guarded.url.replace("//", "//bridge:wrong@")
    line = dies(stand_in.bridge(url=wrong, name="wrong"))
    assert "NATS refuses these credentials" in line
    assert "wrong@" not in line
    stand_in.start(url=guarded.url.replace("//", "//bridge:secret@"), name="right")
