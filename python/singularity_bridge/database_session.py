"""The outer session: the bridge's place in the database, and inside it one NATS session after the other.

Losing NATS ends the inner session only, and ticking goes on; losing the control connection ends both.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import psycopg
import structlog

from singularity_bridge import VERSION
from singularity_bridge.backoff import pause
from singularity_bridge.database import Control, Database
from singularity_bridge.errors import BrokerLost, DatabaseLost, describe, refused_call
from singularity_bridge.forever import News, forever
from singularity_bridge.nats_session import NatsSession
from singularity_bridge.plan import Plan
from singularity_bridge.reporter import Reporter
from singularity_bridge.settings import Settings
from singularity_bridge.signing import Keyring

STANDBY_S = 1.0
ARM_SPACING_S = 0.003
FIRST_POLL_S = 0.01

logger = structlog.get_logger("bridge")


class DatabaseSession:
    """Everything that lives as long as the control connection."""

    def __init__(self, settings: Settings, conninfo: str, control: Control, stop: asyncio.Event) -> None:
        self._settings, self._conninfo = settings, conninfo
        self._control = control
        self._stop = stop
        self._reconsider = asyncio.Event()  # whether to speak: the plan changed, or it is time to stop
        self._relayed = asyncio.Event()  # the last NATS session is over and every result is reported
        self._nats: NatsSession | None = None
        self._nats_news = News("NATS")
        self._nats_changed = asyncio.Event()
        self._complaints: set[str] = set()
        self._troubles: list[str] = []
        self._keyring = Keyring()
        self._plan: Plan

    async def run(self) -> None:
        """Attach and relay until stopped. Raises FatalError or DatabaseLost, or a group of them."""
        plan = await self._attach()
        if not plan:
            return
        self._plan = plan
        logger.info("attached", extension=plan.extension, version=plan.version)
        async with (
            Database.open(self._conninfo, self._control.schema, signing=self._control.signing) as database,
            asyncio.TaskGroup() as group,
        ):
            self._keyring.take(await database.signing_keys())
            endless = [
                group.create_task(self._watch_stop()),
                group.create_task(self._tick_forever(database)),
            ]
            group.create_task(self._relay(database))
            await self._arm_forever()
            for task in endless:
                task.cancel()
            await asyncio.wait(endless)
            await self._control.detach()
            logger.info("detached")

    async def _attach(self) -> Plan | None:
        """Take the bridge's place, waiting for another bridge to leave it; None when stopped meanwhile."""
        standing_by_behind = ""
        while not self._stop.is_set():
            plan, holder = await self._control.attach()
            if plan:
                return plan
            if holder != standing_by_behind:
                logger.info("standing by behind another bridge", holder=holder)
                standing_by_behind = holder
            await pause(STANDBY_S, self._stop)
        return None

    async def _watch_stop(self) -> None:
        await self._stop.wait()
        self._renew()

    def _renew(self) -> None:
        """End the present NATS session; what comes next depends on the plan."""
        self._reconsider.set()
        if self._nats:
            self._nats.halt()

    # Ticking and arming: apart from each other, since background work in a tick may take long

    async def _tick_forever(self, database: Database) -> None:
        """Tick at the plan's pace, at once when the connection to NATS changes, and follow the plan."""
        while True:
            changed = self._nats_changed.is_set()
            self._nats_changed.clear()
            await self._tolerantly(lambda: self._tick(database))
            if changed:  # there may be work now
                self._control.rung.set()
            await pause(self._plan.tick_s, self._nats_changed)

    async def _tick(self, database: Database) -> None:
        forged = self._keyring.forged
        signing = {"public_keys": self._keyring.public_keys, "forged": forged}
        about = {"bridge_version": VERSION, "remote": bool(self._settings.remote_urls)}
        revision, troubles = await database.tick({**about, **signing, **self._state()})
        self._keyring.forged -= forged
        self._tell(troubles)
        if revision != self._plan.revision:
            plan = await database.plan()
            if plan.signing_keys != self._plan.signing_keys:
                self._keyring.take(await database.signing_keys())
                self._nats_changed.set()  # their public keys are told at once
            await self._follow(plan)

    def _tell(self, troubles: list[str]) -> None:
        """Log what is wrong, once each, and that nothing is any more."""
        for trouble in troubles:
            if trouble not in self._troubles:
                logger.warning(trouble)
        if self._troubles and not troubles:
            logger.info("all is well again")
        self._troubles = troubles

    async def _arm_forever(self) -> None:
        """Arm the bell, and wake the queues that have work, until everything is relayed."""
        poll_s = FIRST_POLL_S
        bell = ""
        while not self._relayed.is_set():
            if bell != self._plan.bell:
                bell = self._plan.bell
                await self._control.listen(bell)
            if self._nats and self._nats.running:
                await self._tolerantly(self._arm)
                await asyncio.sleep(ARM_SPACING_S)  # what rings meanwhile is answered together
            else:
                await self._control.probe()
                poll_s = self._plan.tick_s
            woken = await self._control.wait(poll_s)
            # A writer that looked at the bell just before it was armed commits unheard: after any sign of
            # life the next looks follow soon, then ever later.
            poll_s = FIRST_POLL_S if woken else min(poll_s * 2, self._plan.poll_s)

    async def _arm(self) -> None:
        queues = await self._control.arm()
        if self._nats:
            self._nats.ring(queues)

    async def _tolerantly(self, call: Callable[[], Awaitable[None]]) -> None:
        """Call; what the database refuses is said once and tried again the next time."""
        try:
            await call()
        except psycopg.Error as error:
            if refused_call(error):
                raise DatabaseLost(describe(error)) from error
            if describe(error) not in self._complaints and len(self._complaints) < 100:
                self._complaints.add(describe(error))
                logger.warning("the database refuses a call", error=describe(error))

    def _state(self) -> dict[str, Any]:
        if self._nats and self._nats.running:
            return self._nats.state()
        return {"connected": False, "error": self._nats_news.reason, "streams": {}, "consumers": {}}

    async def _follow(self, plan: Plan) -> None:
        """Change over to a new plan, with a new NATS session unless only subscriptions differ."""
        before, self._plan = self._plan, plan
        logger.info("following a new plan", revision=plan.revision)
        if (plan.nats, plan.speaking) != (before.nats, before.speaking):
            self._renew()
        elif self._nats:
            with contextlib.suppress(BrokerLost):  # the next NATS session follows the new plan anyway
                await self._nats.follow(plan.subscriptions)

    # NATS

    async def _relay(self, database: Database) -> None:
        """Speak until stopped, then report what is left."""
        reporter = Reporter(database, self._control.rung.set)
        async with asyncio.TaskGroup() as group:
            group.create_task(reporter.run())
            await self._speak(database, reporter)
            reporter.finish()
        self._relayed.set()
        self._control.rung.set()

    async def _speak(self, database: Database, reporter: Reporter) -> None:
        """Hold a NATS session whenever the plan says to speak."""
        while not self._stop.is_set():
            if self._plan.speaking:
                await forever(
                    lambda: self._hold_nats_session(database, reporter),
                    BrokerLost,
                    self._nats_news,
                    self._reconsider,
                )
            else:
                self._reconsider.clear()
                logger.info("speaking to nobody: the database does not want it now")
                await self._reconsider.wait()

    async def _hold_nats_session(self, database: Database, reporter: Reporter) -> None:
        if self._stop.is_set() or not self._plan.speaking:
            return
        self._reconsider.clear()
        self._nats = NatsSession(
            self._settings,
            self._plan,
            database,
            reporter,
            self._keyring,
            wake=self._control.rung.set,
            on_connected=self._on_connected,
        )
        try:
            await self._nats.run()
            self._nats_news.ended()
        finally:
            self._nats = None
            self._nats_changed.set()

    def _on_connected(self, server: str, version: str) -> None:
        self._nats_news.up(server=server, version=version)
        self._nats_changed.set()
