"""What nats_permissions() prints: a NATS server that loads it lets everybody do their own work and nothing else."""

import asyncio
import subprocess
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import nats
import nkeys
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.types.json import Jsonb
from tests.kit.queries import refused, rows, value
from tests.kit.team import Team, fresh, team_of

from singularity_lab import Bridge, Database, Lab, NatsServer, wait_until
from singularity_lab.credentials import Credential, make_credential
from singularity_lab.nats_server import server_program
from singularity_lab.process import clean_environment

PROGRAM = Path(sysconfig.get_path("scripts")) / "singularity-bridge"
STREAM = "singularity_contributions"
NOBODY = UUID(int=0)
VERBS = ("CREATE", "UPDATE", "DELETE", "PURGE", "MSG.GET", "MSG.DELETE", "SNAPSHOT")
SET = "select centralcloud.set_credential(%s, %s)"


@pytest.fixture(scope="module")
def team(request: pytest.FixtureRequest) -> Iterator[Team]:
    """Start a team whose NATS server has the permissions of its authority's registry."""
    with team_of(request.session) as team:
        team.ann.until_online()
        team.bob.until_online()
        yield team


def options(team: Team, who: Bridge) -> dict[str, Any]:
    """Return how somebody connects who has the key of a bridge."""
    seed = who.options[who.options.index("--nkey") + 1]
    return {**team.nats.client_options(), "nkeys_seed": seed}


def named(verb: str, subjects: list[str]) -> set[str]:
    """Return attempts as the server names them when it refuses them."""
    return {f'{verb} to "{subject}"' for subject in subjects}


def tried(how: dict[str, Any], inbox: str, *, publish: list[str], subscribe: list[str]) -> set[str]:
    """Publish and subscribe; returns what was permitted."""

    async def attempt() -> set[str]:
        complaints: list[str] = []

        async def note(error: Exception) -> None:
            complaints.append(str(error))

        client = await nats.connect(**how, inbox_prefix=inbox.encode(), error_cb=note, allow_reconnect=False)
        for subject in publish:
            await client.publish(subject, b"{", headers={"Nats-Expected-Stream": "none such"})
        for subject in subscribe:
            await client.subscribe(subject)
        while client.pending_data_size:  # noqa: ASYNC110 - a ping would overtake it
            await asyncio.sleep(0.001)
        await client.flush()
        await client.close()
        return {
            said
            for said in (*named("publish", publish), *named("subscription", subscribe))
            if not any(said.lower() in complaint.lower() for complaint in complaints)
        }

    return asyncio.run(attempt())


def test_an_instance_speaks_and_hears_only_for_itself(team: Team) -> None:
    me, other = (machine.status()["instance_id"] for machine in (team.ann, team.bob))
    own_publish = [f"singularity.contribute.{me}", *(
        f"singularity.centralcloud.{name}.{me}" for name in ("hello", "ask", "changes", "digest")
    ), f"$JS.API.STREAM.INFO.{STREAM}"]  # fmt: skip
    own_subscribe = [
        f"singularity.receipt.{me}", "singularity.heads", "singularity.refined.default.pattern",
        f"singularity.inbox.{me}.x",
    ]  # fmt: skip
    foreign_publish = [
        f"singularity.contribute.{other}", f"singularity.centralcloud.ask.{other}", f"singularity.receipt.{me}",
        f"singularity.receipt.{other}", "singularity.heads", "singularity.refined.default.pattern",
        f"singularity.inbox.{other}.x", f"singularity.inbox.{me}.x", "singularity.inbox.centralcloud.x",
        *(f"$JS.API.STREAM.{verb}.{STREAM}" for verb in VERBS),
        "$JS.API.STREAM.CREATE.another", "$JS.API.STREAM.NAMES", f"$JS.API.DIRECT.GET.{STREAM}", "$JS.API.INFO",
        f"$JS.API.CONSUMER.CREATE.{STREAM}.centralcloud", f"$JS.API.CONSUMER.CREATE.{STREAM}.mine",
        f"$JS.API.CONSUMER.DELETE.{STREAM}.centralcloud", f"$JS.API.CONSUMER.MSG.NEXT.{STREAM}.centralcloud",
        f"$JS.ACK.{STREAM}.centralcloud.1.1.1.1.1", "$SRV.PING", "$SYS.REQ.SERVER.PING", "anything",
    ]  # fmt: skip
    foreign_subscribe = [
        ">", "*.>", "singularity.>", "singularity.contribute.*", f"singularity.contribute.{other}",
        f"singularity.receipt.{other}", "singularity.receipt.*", f"singularity.inbox.{other}.>", "singularity.inbox.>",
        "singularity.inbox.centralcloud.>", f"singularity.centralcloud.ask.{me}", "singularity.centralcloud.*.*",
        "_INBOX.>", "$JS.>", "$SRV.PING", "$SYS.>",
    ]  # fmt: skip
    permitted = tried(
        options(team, team.ann.bridge),
        f"singularity.inbox.{me}",
        publish=own_publish + foreign_publish,
        subscribe=own_subscribe + foreign_subscribe,
    )
    assert permitted == named("publish", own_publish) | named("subscription", own_subscribe)


def test_the_authority_does_its_work_and_nothing_else(team: Team) -> None:
    me = team.ann.status()["instance_id"]
    own_publish = [
        f"singularity.receipt.{NOBODY}", "singularity.refined.NO.NO", f"singularity.inbox.{NOBODY}.x",
        *(f"$JS.API.STREAM.{verb}.{STREAM}" for verb in ("INFO", "CREATE", "UPDATE")),
        *(f"$JS.API.CONSUMER.{verb}.{STREAM}.centralcloud" for verb in ("CREATE", "INFO", "MSG.NEXT")),
    ]  # fmt: skip
    own_subscribe = ["singularity.centralcloud.ask.*", "singularity.inbox.centralcloud.x", "$SRV.PING"]
    foreign_publish = [
        f"singularity.contribute.{me}", f"singularity.centralcloud.ask.{me}", "singularity.other", "anything",
        *(f"$JS.API.STREAM.{verb}.{STREAM}" for verb in ("DELETE", "PURGE", "MSG.GET", "MSG.DELETE", "SNAPSHOT")),
        *(f"$JS.API.STREAM.{verb}.another" for verb in ("INFO", "CREATE", "UPDATE", "DELETE")),
        f"$JS.API.CONSUMER.CREATE.{STREAM}.another", f"$JS.API.CONSUMER.DELETE.{STREAM}.centralcloud",
        "$JS.ACK.another.centralcloud.1.1.1.1.1", "$SRV.PING", "$SYS.REQ.SERVER.PING", "_INBOX.somebody",
    ]  # fmt: skip
    foreign_subscribe = [
        ">", "singularity.>", "singularity.contribute.*", f"singularity.receipt.{me}", f"singularity.inbox.{me}.>",
        "singularity.inbox.>", "singularity.refined.>", "$JS.>", "$SYS.>", "_INBOX.>",
    ]  # fmt: skip
    permitted = tried(
        options(team, team.central_bridge),
        "singularity.inbox.centralcloud",
        publish=own_publish + foreign_publish,
        subscribe=own_subscribe + foreign_subscribe,
    )
    assert permitted == named("publish", own_publish) | named("subscription", own_subscribe)


def test_nobody_else_is_let_in(team: Team, tmp_path: Path) -> None:
    strange = make_credential(tmp_path / "strange.nk")
    for how in ({"nkeys_seed": str(strange.seed)}, {}, {"user": "admin", "password": "admin"}):
        given = {key: entry for key, entry in team.nats.client_options().items() if key != "nkeys_seed"}
        with pytest.raises(nats.errors.Error, match=r"(?i)authorization"):
            asyncio.run(nats.connect(**given, **how, allow_reconnect=False, max_reconnect_attempts=0))


def test_what_is_pushed_is_only_what_may_be_read(team: Team, tmp_path: Path) -> None:
    me, credential = uuid4(), make_credential(tmp_path / "reader.nk")
    team.curator.execute(SET, [me, credential.public_key])
    for namespace, allowed in (("readable", True), ("hidden", False), ("team-*", True), ("team-x", False)):
        team.curator.execute(
            "select centralcloud.grant_access(%s, %s, %s, false)", [str(me), namespace, allowed]
        )
    team.ann.learn(fresh("known"), 1, namespace="team-a")
    known = "select exists (select from centralcloud.topic where namespace = 'team-a')"
    team.ann.until(lambda: value(team.curator, known), "the topic to be published")
    team.lab.registry(team.nats).refresh()
    subjects = [
        f"singularity.refined.{name}.pattern" for name in ("readable", "hidden", "team-a", "team-x", "other")
    ]
    permitted = tried(
        {**team.nats.client_options(), "nkeys_seed": str(credential.seed)},
        f"singularity.inbox.{me}",
        publish=[],
        subscribe=[*subjects, "singularity.refined.>", "singularity.refined.*.pattern"],
    )
    assert permitted == named("subscription", [subjects[0], subjects[2]])


def check(bridge: Bridge, *, url: str, given: list[str]) -> tuple[int, str]:
    """Run `singularity-bridge check` for the database of a bridge."""
    done = subprocess.run(
        [str(PROGRAM), "check", "--dsn", bridge.dsn, "--nats", url, *given],
        env=clean_environment(), capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    return done.returncode, done.stdout


def test_the_check_tries_what_is_permitted_and_what_is_not(team: Team) -> None:
    name = fresh("before")
    team.ann.learn(name, 1)
    team.ann.until_confirmed()
    with team.central.connect_superuser() as owner:
        owner.execute("delete from centralcloud.rejection")  # what other tests said unsigned
    before = rows(team.curator, "select count(*) as n from centralcloud.dead_letter")
    for bridge in (team.ann.bridge, team.central_bridge):
        code, text = check(bridge, url=bridge.nats_url, given=list(bridge.options))
        assert code == 0, text
        assert "ok      permissions" in text
        assert "ok      others' subjects" in text
        assert "warn" not in text
    assert rows(team.curator, "select count(*) as n from centralcloud.dead_letter") == before
    for machine in (team.ann, team.bob):
        assert machine.status()["dead_letters"] == 0


def test_the_check_says_that_a_server_is_open_or_permits_too_much(team: Team) -> None:
    me = team.ann.status()["instance_id"]
    open_to_all = team.lab.nats(fresh("open"), secure=False)
    wide = team.lab.nats(
        fresh("wide"),
        secure=False,
        configuration="authorization { users: [ { user: me, password: pw, permissions: {\n"
        f'publish: ["singularity.contribute.{me}", "singularity.centralcloud.>", "$JS.API.>"]\n'
        'subscribe: ["singularity.receipt.>", "singularity.refined.>", "singularity.heads", '
        f'"singularity.inbox.{me}.>"]'
        "} } ] }",
    )
    code, text = check(team.ann.bridge, url=open_to_all.url, given=[])
    assert "warn    others' subjects: this NATS server lets everybody" in text
    assert "nats_permissions()" in text
    code, text = check(team.ann.bridge, url=wide.url.replace("//", "//me:pw@"), given=[])
    assert code == 1
    assert (
        f"FAILED  others' subjects: permitted and must not be: publish to singularity.centralcloud.check.{NOBODY}"
        in text
    )
    for told in ("STREAM.PURGE", f"subscription to singularity.receipt.{NOBODY}"):
        assert told in text
    assert f"contribute.{NOBODY}" not in text


def test_the_check_of_a_lenient_server_touches_nothing(lab: Lab) -> None:
    lenient = lab.nats(secure=False, configuration="jetstream { strict: false }")
    authority = lab.authority("central", cluster=lab.cluster(fsync=False))
    bridge = lab.bridge(authority, lenient)

    def streams() -> list[Any]:
        accounts = lenient.monitor("jsz?streams=1&consumers=1").get("account_details") or [{}]
        return list(accounts[0].get("stream_detail") or [])

    wait_until(lambda: streams() and streams()[0].get("consumer_detail"), message="stream and consumer")
    asyncio.run(contribute(lenient))
    bridge.stop()
    before = streams()[0]["state"]
    assert before["last_seq"] >= 1
    code, text = check(bridge, url=lenient.url, given=[])
    assert code == 1
    assert "FAILED  JetStream: not strict" in text
    after = streams()[0]
    assert (after["state"]["last_seq"], after["state"]["messages"]) == (
        before["last_seq"],
        before["messages"],
    )
    assert [one["name"] for one in after["consumer_detail"]] == ["centralcloud"]


async def contribute(server: NatsServer) -> None:
    """Leave a message in the stream."""
    client = await nats.connect(server.url)
    await client.jetstream().publish(f"singularity.contribute.{NOBODY}", b"{}")
    await client.close()


def test_a_credential_is_changed_under_load_and_nothing_is_lost(team: Team, tmp_path: Path) -> None:
    me = team.bob.status()["instance_id"]
    old = team.bob.bridge.options
    present = value(team.curator, "select credential from centralcloud.instance where instance_id = %s", me)
    renewed = make_credential(tmp_path / "renewed.nk")
    names: list[str] = []

    def learn_some() -> None:
        for _ in range(20):
            names.append(fresh("during"))
            team.bob.learn(names[-1], 1)

    learn_some()
    team.curator.execute("select centralcloud.set_credential(%s, %s, %s)", [me, present, renewed.public_key])
    registry = team.lab.registry(team.nats)
    registry.refresh()
    learn_some()
    team.bob.bridge.options = (*old[: old.index("--nkey")], "--nkey", str(renewed.seed))
    team.bob.bridge.restart()
    learn_some()
    team.bob.until_online()
    team.curator.execute(SET, [me, renewed.public_key])
    registry.refresh()
    learn_some()
    team.bob.until_confirmed()
    for name in names:
        assert team.authority_has(name)
    assert team.bob.bridge.running
    left = {**team.nats.client_options(), "nkeys_seed": old[old.index("--nkey") + 1]}
    with pytest.raises(nats.errors.Error, match=r"(?i)authorization"):
        asyncio.run(nats.connect(**left, allow_reconnect=False, max_reconnect_attempts=0))


# The text itself


@pytest.fixture
def set_up(authority_db: psycopg.Connection, tmp_path: Path) -> Callable[[], Credential]:
    """Make a key pair; the authority has one already."""
    own = make_credential(tmp_path / "own.nk")
    authority_db.execute("select centralcloud.configure(%s)", [Jsonb({"credential": own.public_key})])
    return lambda: make_credential(tmp_path / f"{uuid4()}.nk")


def loads(folder: Path, text: str) -> bool:
    """Say whether NATS takes a configuration."""
    file = folder / "permissions.conf"
    file.write_text(text, encoding="utf-8", newline="")
    done = subprocess.run([server_program(), "-t", "-c", file], capture_output=True, check=False, timeout=20)
    return done.returncode == 0


NASTY = [
    "}",
    '"',
    "#",
    "\n",
    "\r",
    "\\",
    "$JS",
    "'",
    "]",
    "include 'x'",
    "\u2028",
    "\x85",
    "a",
    "é",
    "\u202e",
    "\t",
]


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(name=st.lists(st.sampled_from(NASTY), min_size=1, max_size=30).map("".join))
def test_no_name_breaks_out_of_the_block(
    authority_db: psycopg.Connection,
    authority_superuser: psycopg.Connection,
    set_up: Callable[[], Credential],
    tmp_path: Path,
    name: str,
) -> None:
    authority_superuser.execute("truncate centralcloud.instance")
    plain, named = (uuid4(), uuid4())
    for instance in (plain, named):
        authority_db.execute(SET, [instance, set_up().public_key])
    harmless = value(authority_db, "select centralcloud.nats_permissions()")
    rename = "update centralcloud.instance set instance_name = %s where instance_id = %s"
    authority_superuser.execute(rename, [name, named])
    text = value(authority_db, "select centralcloud.nats_permissions()")
    assert "".join(text.splitlines(keepends=True)) == text
    without = [line for line in text.splitlines() if not line.startswith("    # ")]
    assert without == [line for line in harmless.splitlines() if not line.startswith("    # ")]


def test_a_text_with_every_kind_of_name_is_loaded(
    authority_db: psycopg.Connection,
    authority_superuser: psycopg.Connection,
    set_up: Callable[[], Credential],
    tmp_path: Path,
) -> None:
    authority_db.execute(SET, [uuid4(), set_up().public_key])
    for name in NASTY:
        instance = uuid4()
        authority_db.execute(SET, [instance, set_up().public_key])
        authority_superuser.execute(
            "update centralcloud.instance set instance_name = %s where instance_id = %s", [name * 3, instance]
        )
    operator = set_up().public_key
    text = value(authority_db, "select centralcloud.nats_permissions(%s)", operator)
    assert loads(tmp_path, text)
    assert text.count("nkey:") == 3 + len(NASTY)


@pytest.mark.parametrize(
    "credential",
    ["", "U", "x" * 56, 'U"} ]', "SUAM" + "A" * 54, None],
)
def test_a_credential_that_is_none(
    authority_db: psycopg.Connection, set_up: Callable[[], Credential], credential: str | None
) -> None:
    good = set_up().public_key
    spoiled = good[:20] + ("A" if good[20] != "A" else "B") + good[21:]
    account = nkeys.from_seed(bytearray(nkeys.encode_seed(bytes(32), nkeys.PREFIX_BYTE_ACCOUNT)))
    for wrong in (credential, spoiled, account.public_key.decode(), good + "\n", good.lower()):
        if wrong is not None:
            with refused("22023", "is no public nkey"):
                authority_db.execute(SET, [uuid4(), wrong])
        with refused("22004" if wrong is None else "22023", "credential"):
            authority_db.execute("select centralcloud.set_credential(%s, %s, %s)", [uuid4(), wrong, good])


def test_a_key_has_one_owner(authority_db: psycopg.Connection, set_up: Callable[[], Credential]) -> None:
    ann, bob, key, other = uuid4(), uuid4(), set_up().public_key, set_up().public_key
    authority_db.execute("select centralcloud.set_credential(%s, %s, %s)", [ann, other, key])
    own = value(authority_db, "select value from centralcloud.configuration where name = 'credential'")
    for taken in (key, other, own):
        with refused("23505", "somebody's already"):
            authority_db.execute(SET, [bob, taken])
        with refused("23505", "somebody's already"):
            authority_db.execute(
                "select centralcloud.set_credential(%s, %s, %s)", [bob, set_up().public_key, taken]
            )
    authority_db.execute("select centralcloud.configure(%s)", [Jsonb({"credential": key})])
    with refused("23505", "somebody else's"):
        authority_db.execute("select centralcloud.nats_permissions()")


def test_who_is_blocked_or_has_no_key_is_left_out(
    authority_db: psycopg.Connection,
    authority_superuser: psycopg.Connection,
    set_up: Callable[[], Credential],
) -> None:
    keys = [set_up().public_key for _ in range(3)]
    instances = [uuid4() for _ in keys]
    for instance, key in zip(instances, keys, strict=True):
        authority_db.execute(SET, [instance, key])
    authority_superuser.execute(
        "update centralcloud.instance set blocked = true where instance_id = %s", [instances[0]]
    )
    authority_db.execute(SET, [instances[1], None])
    text = value(authority_db, "select centralcloud.nats_permissions()")
    assert [key in text for key in keys] == [False, False, True]


def test_without_the_authoritys_own_key(authority: Database) -> None:
    with authority.connect() as connection, refused("55000", "which NATS user the authority is"):
        connection.execute("select centralcloud.nats_permissions()")
