"""The faults, each of them a short function that breaks something of a machine, and mends it after some seconds."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import psutil
import psycopg
from psycopg.types.json import Jsonb
from tests.fault.link import Link, Way
from tests.fault.stage import AUTHORITY, INSTANCES, Player, Stage, answers
from tests.kit.queries import rows, value

from singularity_lab import Process, wait_until
from singularity_lab.places import server_user
from singularity_lab.process import leash

PATIENCE_S = 20.0
RECOVERY_S = 60.0

Strike = Callable[[Stage, Player, float], bool]


@dataclass(frozen=True)
class Fault:
    """`strike` says whether it happened; `breaks` are the parts that no other fault may touch meanwhile."""

    strike: Strike
    breaks: tuple[str, ...]
    targets: tuple[str, ...]

    def parts(self, target: str) -> list[str]:
        """Name the parts that a strike at a target breaks."""
        return [part if part == "nats" else f"{part} of {target}" for part in self.breaks]


def lasting(seconds: float) -> None:
    """Let a fault last."""
    threading.Event().wait(seconds)


# Processes


def bridge_killed(_: Stage, machine: Player, seconds: float) -> bool:
    machine.bridge.kill9()
    lasting(seconds)
    machine.bridge.start()
    return True


def bridge_frozen(_: Stage, machine: Player, seconds: float) -> bool:
    return frozen(machine.bridge, seconds)


def second_bridge(stage: Stage, machine: Player, seconds: float) -> bool:
    """Start another one beside the first, kill the first, and have the first take over again."""
    second = stage.new_bridge(
        machine.name, machine.database, machine.nats_link, machine.database_link, "-second"
    )
    with second:
        wait_until(
            lambda: "standing by" in second.log_text() or "attached" in second.log_text(),
            PATIENCE_S,
            second.log_tail,
        )
        machine.bridge.kill9()
        lasting(seconds)
        machine.bridge.start()
        lasting(seconds)
    return True


def nats_killed(stage: Stage, _: Player, seconds: float) -> bool:
    stage.nats.kill9()
    lasting(seconds)
    stage.nats.start()
    return True


def nats_store_lost(stage: Stage, _: Player, seconds: float) -> bool:
    stage.nats.kill9()
    stage.nats.wipe_store()
    lasting(seconds)
    stage.nats.start()
    return True


def nats_frozen(stage: Stage, _: Player, seconds: float) -> bool:
    return frozen(stage.nats, seconds)


def server_stopped(_: Stage, machine: Player, seconds: float) -> bool:
    """Stop PostgreSQL at once, so that it recovers at its start."""
    machine.cluster.stop(mode="immediate")
    lasting(seconds)
    machine.cluster.start()
    return True


def postmaster_killed(_: Stage, machine: Player, seconds: float) -> bool:
    """Kill only the postmaster: its children notice and end by themselves."""
    children = psutil.Process(machine.cluster.pid).children(recursive=True)
    os.kill(machine.cluster.pid, signal.SIGKILL)
    psutil.wait_procs(children, timeout=PATIENCE_S)
    wait_until(lambda: not machine.cluster.running, PATIENCE_S, "the postmaster to be gone")
    lasting(seconds)
    machine.cluster.start()
    return True


def user_backend_killed(_: Stage, machine: Player, __: float) -> bool:
    return backend_killed(machine, machine.database.user)


def bridge_backend_killed(_: Stage, machine: Player, __: float) -> bool:
    return backend_killed(machine, machine.database.relay)


def server_frozen(_: Stage, machine: Player, seconds: float) -> bool:
    return frozen(machine.cluster, seconds)


def frozen(process: Process, seconds: float) -> bool:
    """Stop a process with its children for some seconds."""
    process.freeze()
    lasting(seconds)
    process.thaw()
    return True


def backend_killed(machine: Player, role: str) -> bool:
    """Kill a session of a role without warning: the server ends all the others and recovers."""
    query = "select pid from pg_stat_activity where usename = %s order by random() limit 1"
    with machine.superuser() as superuser:
        found = rows(superuser, query, role)
    if not found:
        return False
    before = machine.cluster.log_size()
    os.kill(found[0]["pid"], signal.SIGKILL)
    machine.cluster.wait_for_log("database system is ready to accept connections", RECOVERY_S, before)
    wait_until(lambda: answers(machine), RECOVERY_S, f"{machine.name}'s database")
    return True


# Links


def cut(_: Stage, link: Link, __: float) -> bool:
    link.cut()
    return True


def silent(_: Stage, link: Link, seconds: float) -> bool:
    link.hold()
    lasting(seconds)
    link.flow()
    return True


def nothing_sent(_: Stage, link: Link, seconds: float) -> bool:
    link.hold("up")
    lasting(seconds)
    link.flow()
    return True


def nothing_heard(_: Stage, link: Link, seconds: float) -> bool:
    link.hold("down")
    lasting(seconds)
    link.flow()
    return True


def slow(_: Stage, link: Link, seconds: float) -> bool:
    link.slow(0.05)
    lasting(seconds * 2)
    link.flow()
    return True


def half_open(_: Stage, link: Link, seconds: float) -> bool:
    """Leave what is connected half open; whoever connects again is served."""
    link.abandon()
    lasting(seconds * 2)
    link.cut()
    return True


def on_nats_link(disturb: Callable[[Stage, Link, float], bool]) -> Fault:
    """Return a fault between a bridge and NATS."""

    def strike(stage: Stage, machine: Player, seconds: float) -> bool:
        return disturb(stage, machine.nats_link, seconds)

    return Fault(strike, ("nats link",), (AUTHORITY, *INSTANCES))


def on_database_link(disturb: Callable[[Stage, Link, float], bool]) -> Fault:
    """Return a fault between a bridge and its database."""

    def strike(stage: Stage, machine: Player, seconds: float) -> bool:
        return disturb(stage, machine.database_link, seconds)

    return Fault(strike, ("database link",), (AUTHORITY, *INSTANCES))


def vanished_bridge(_: Stage, machine: Player, seconds: float) -> bool:
    """Kill a bridge whose server does not hear of it for a while, and start another one at once."""
    for link in (machine.database_link, machine.nats_link):
        link.abandon()
    machine.bridge.kill9()
    machine.bridge.start()
    lasting(seconds)
    for link in (machine.database_link, machine.nats_link):
        link.cut()
    return True


# Exact moments: what is about to pass a link is held back, and then the bridge dies or the link breaks


@dataclass(frozen=True)
class Moment:
    """What passes, where and in which direction, just then."""

    way: Way
    pattern: bytes
    targets: tuple[str, ...]
    at_database: bool = False


MOMENTS: Mapping[str, Moment] = {
    "publishing": Moment("up", rb"H?PUB singularity\.contribute\.", INSTANCES),
    "marking what was published": Moment("down", rb'"stream": ?"singularity_contributions"', INSTANCES),
    "taking the receipt": Moment("down", rb"MSG singularity\.receipt\.", INSTANCES),
    "sending what the database gave": Moment("down", rb"contribution:[0-9a-f]{8}-", INSTANCES, True),
    "being welcomed": Moment("down", rb'"type": ?"welcome"', INSTANCES),
    "sending the receipt": Moment("up", rb"H?PUB singularity\.receipt\.", (AUTHORITY,)),
    "acknowledging": Moment("up", rb"\+ACK", (AUTHORITY,)),
    "hearing that it is committed": Moment("down", rb"singularity\.receipt\.", (AUTHORITY,), True),
    "pushing refined knowledge": Moment("up", rb"H?PUB singularity\.refined\.", (AUTHORITY,)),
}


def killed_before(moment: Moment) -> Fault:
    """Return the fault of a bridge that dies just before a moment."""

    def strike(stage: Stage, machine: Player, seconds: float) -> bool:
        return at_moment(stage, machine, moment, lambda: bridge_killed(stage, machine, seconds))

    return Fault(strike, ("bridge", "nats link", "database link", "server"), moment.targets)


def cut_before(moment: Moment) -> Fault:
    """Return the fault of a link that breaks just before a moment."""

    def strike(stage: Stage, machine: Player, _: float) -> bool:
        return at_moment(stage, machine, moment, lambda: True)

    return Fault(strike, ("bridge", "nats link", "database link", "server"), moment.targets)


def at_moment(stage: Stage, machine: Player, moment: Moment, strike: Callable[[], bool]) -> bool:
    """Strike when the moment is there; what was about to pass is lost."""
    link = machine.database_link if moment.at_database else machine.nats_link
    trap = link.watch(moment.way, moment.pattern)
    provoke(stage, machine, moment)
    try:
        if not trap.sprung.wait(PATIENCE_S):
            return False
        link.cut()
        strike()
    finally:
        link.cut()
        link.flow()
    return True


def provoke(stage: Stage, machine: Player, moment: Moment) -> None:
    """See that a moment comes that does not come by itself."""
    if "welcome" in moment.pattern.decode():
        with machine.superuser() as superuser:
            superuser.execute("update singularity.authority set hello_sent_at = null")
        machine.nats_link.cut()


# Space


def stream_full(stage: Stage, _: Player, __: float) -> bool:
    """Make the contribution stream small and stop who empties it, until somebody meets its limit."""
    authority = stage.authority
    limit_stream(authority, 2000)
    try:
        wait_until(lambda: stream_limit(stage) == 2000, RECOVERY_S, "a small stream", ignoring=(OSError,))
        authority.bridge.kill9()
        return bool(wait_or_not(lambda: somebody_met_the_limit(stage)))
    finally:
        limit_stream(authority, None)
        if not authority.bridge.running:
            authority.bridge.start()
        wait_until(lambda: stream_limit(stage) > 2000, RECOVERY_S, "a large stream", ignoring=(OSError,))


def limit_stream(authority: Player, max_bytes: int | None) -> None:
    """Set or take back the limit."""
    with authority.database.connect() as curator:
        curator.execute("select centralcloud.configure(%s)", [Jsonb({"stream_max_bytes": max_bytes})])


def stream_limit(stage: Stage) -> int:
    """Return the limit that NATS knows."""
    limits = [stream["config"]["max_bytes"] for stream in stage.streams()]
    return int(limits[0]) if limits else 0


def somebody_met_the_limit(stage: Stage) -> bool:
    """Say whether a bridge was told that the stream is full."""
    for machine in stage.instances.values():
        with machine.superuser() as superuser:
            query = "select exists (select from singularity.batch where failed_at is not null)"
            if value(superuser, query):
                return True
    return False


def wait_or_not(condition: Callable[[], bool]) -> bool:
    """Wait for a condition; returns whether it came true."""
    try:
        return wait_until(condition, PATIENCE_S, ignoring=(psycopg.OperationalError,))
    except TimeoutError:
        return False


def disk_full(_: Stage, machine: Player, seconds: float) -> bool:
    """Let no file of PostgreSQL grow or be written beyond 64 KiB, as its owner may: writes fail as on a full disk."""
    cluster = machine.cluster
    before = cluster.log_size()
    limit_files(cluster, 64 * 1024)
    met = wait_or_not(lambda: "File too large" in cluster.log_text(before))
    lasting(seconds)
    if cluster.running:
        limit_files(cluster, None)
    if not wait_or_not(lambda: answers(machine)):
        cluster.kill9()
        cluster.start()
    return met


def limit_files(process: Process, size: int | None) -> None:
    """Limit the size of files for a process and its children, and for those that they will have."""
    parent = psutil.Process(process.pid)
    limit = f"--fsize={'unlimited' if size is None else size}:unlimited"
    for member in (parent, *parent.children(recursive=True)):
        # one that has ended meanwhile writes nothing either
        subprocess.run(
            [*leash(signal.SIGKILL, server_user()), "prlimit", limit, "--pid", str(member.pid)],
            capture_output=True,
            check=member.pid == parent.pid,
        )


# Clocks


def clock_set(ahead_s: float) -> Fault:
    """Return the fault of a server whose clock is set for a while, and set right again."""

    def strike(_: Stage, machine: Player, seconds: float) -> bool:
        machine.cluster.set_clock(ahead_s)
        happened = wait_or_not(lambda: abs(how_far_ahead(machine) - ahead_s) < 60)
        lasting(seconds)
        machine.cluster.set_clock(0)
        return happened

    return Fault(strike, ("clock",), _EVERYBODY)


def how_far_ahead(machine: Player) -> float:
    """Return by how many seconds a server's clock is ahead of ours."""
    with machine.superuser() as superuser:
        return float(value(superuser, "select extract(epoch from clock_timestamp())::float8")) - time.time()


_EVERYBODY = (AUTHORITY, *INSTANCES)
_NATS_FAULTS: Mapping[str, Strike] = {
    "NATS killed": nats_killed,
    "NATS without its store": nats_store_lost,
    "NATS frozen": nats_frozen,
}
_SERVER_FAULTS: Mapping[str, Strike] = {
    "PostgreSQL stopped at once": server_stopped,
    "postmaster killed": postmaster_killed,
    "bridge's backend killed": bridge_backend_killed,
    "PostgreSQL frozen": server_frozen,
    "disk full": disk_full,
}
_DISTURBANCES: Mapping[str, Callable[[Stage, Link, float], bool]] = {
    "cut": cut,
    "silent": silent,
    "sends nothing": nothing_sent,
    "hears nothing": nothing_heard,
    "slow": slow,
}

FAULTS: dict[str, Fault] = {
    "bridge killed": Fault(bridge_killed, ("bridge",), _EVERYBODY),
    "bridge frozen": Fault(bridge_frozen, ("bridge",), _EVERYBODY),
    "two bridges": Fault(second_bridge, ("bridge", "database link", "server"), _EVERYBODY),
    "bridge vanished": Fault(vanished_bridge, ("bridge", "nats link", "database link"), _EVERYBODY),
    **{name: Fault(strike, ("nats",), (AUTHORITY,)) for name, strike in _NATS_FAULTS.items()},
    **{name: Fault(strike, ("server",), _EVERYBODY) for name, strike in _SERVER_FAULTS.items()},
    "user's backend killed": Fault(user_backend_killed, ("server",), INSTANCES),
    **{f"link to NATS: {name}": on_nats_link(disturb) for name, disturb in _DISTURBANCES.items()},
    "link to NATS: half open": on_nats_link(half_open),
    **{f"link to PostgreSQL: {name}": on_database_link(disturb) for name, disturb in _DISTURBANCES.items()},
    **{f"bridge killed before {name}": killed_before(moment) for name, moment in MOMENTS.items()},
    **{f"link cut before {name}": cut_before(moment) for name, moment in MOMENTS.items()},
    "clock an hour ahead": clock_set(3600),
    "clock a day behind": clock_set(-86400),
    "stream full": Fault(
        stream_full, ("nats", "bridge", "nats link", "database link", "server"), (AUTHORITY,)
    ),
}
"""Every kind of fault by its name."""

TARGETS: dict[str, tuple[str, ...]] = {name: fault.targets for name, fault in FAULTS.items()}
"""Where each kind of fault may strike."""
