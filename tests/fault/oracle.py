"""The oracle: its own list of what was committed, and what must be true of everybody because of it.

Names of one's own are used by one session only, so what follows from them is the order of its commits. Names in common
are learned by all sessions of an instance: there the greatest version counts, which the session saw when it learned.
What was forgotten here before it was ever offered to the broker may stay unsaid: whether it was, the instance knows.
"""

import threading
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import psycopg
from tests.fault.stage import Stage
from tests.kit.identity import variant_of
from tests.kit.queries import row, rows, value

WITHDRAWING = ("learn privately", "take back", "withdraw")


@dataclass(frozen=True)
class Fact:
    """What a committed operation did. `token` is the content, `version` that of a name in common."""

    what: str
    name: str
    token: str = ""
    good: bool = True
    version: int = 0


@dataclass
class Belief:
    """What must be true of one artifact of one instance."""

    here: str | None = None
    at_authority: str | None = None
    sharing: bool = True
    version: int = 0
    known: set[str] = field(default_factory=set)
    uses: Counter[str] = field(default_factory=Counter)
    successes: Counter[str] = field(default_factory=Counter)

    def learn(self, token: str) -> None:
        self.here = self.at_authority = token
        self.sharing = True
        self.known.add(token)

    def withdraw(self) -> None:
        self.at_authority = None
        self.known.clear()
        self.uses.clear()
        self.successes.clear()

    def take(self, fact: Fact) -> None:
        """Add a fact, in the order of commits."""
        match fact.what:
            case "learn":
                self.learn(fact.token)
            case "learn common":
                self.known.add(fact.token)
                if fact.version > self.version:
                    self.version = fact.version
                    self.learn(fact.token)
            case "outcome" | "outcome common" if self.sharing:
                self.uses[fact.token] += 1
                self.successes[fact.token] += fact.good
            case "forget":
                self.here = None
        if fact.what in WITHDRAWING:
            self.withdraw()
        if fact.what in {"learn privately", "take back"}:
            self.sharing = False
        if fact.what == "learn privately":
            self.here = fact.token
        if fact.what == "withdraw":
            self.here = None


class Oracle:
    """Knows what was committed in one story, and what never was."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.committed = 0
        self.marks: dict[str, set[str]] = defaultdict(set)
        self._facts: dict[str, list[Fact]] = defaultdict(list)
        self._unsaid: set[str] = set()
        self._said: set[str] = set()
        self._lock = threading.Lock()

    def commit(self, machine: str, mark: str, facts: Iterable[Fact]) -> None:
        """Note a transaction that is committed."""
        with self._lock:
            self.committed += 1
            self.marks[machine].add(mark)
            for fact in facts:
                self._facts[machine].append(fact)
                secret = fact.what == "learn privately"
                (self._unsaid if secret else self._said).add(fact.token)

    def drop(self, facts: Iterable[Fact]) -> None:
        """Note what was rolled back, by plan or by a fault."""
        with self._lock:
            self._unsaid.update(fact.token for fact in facts if "learn" in fact.what)

    def beliefs(self, machine: str) -> dict[str, Belief]:
        """Return what must be true of an instance, by name."""
        found: dict[str, Belief] = defaultdict(Belief)
        with self._lock:
            for fact in self._facts[machine]:
                found[fact.name].take(fact)
        return dict(found)

    # After the faults

    def differences(self, stage: Stage) -> list[str]:
        """Say everything that is not as it must be; nothing once all have converged."""
        found: list[str] = []
        with stage.authority.superuser() as central:
            found += self._standing(stage, central)
            unoffered: set[tuple[str, str]] = set()
            for name, machine in stage.instances.items():
                with machine.superuser() as instance:
                    unoffered |= {(name, r["name"]) for r in rows(instance, _UNOFFERED, self.kind)}
                    found += [f"{name}: {one}" for one in self._instance(name, instance)]
                    found += [f"{name}: {one}" for one in self._copies(name, instance, central)]
                    found += [f"{name}: {one}" for one in digests_differ(instance, central)]
            found += self._knowledge(stage, central, unoffered)
        return found

    def told_secrets(self, stage: Stage) -> list[str]:
        """Say what passed a link to NATS though it was rolled back or is not shared."""
        passed = {
            token.decode() for machine in stage.instances.values() for token in machine.nats_link.tokens
        }
        return [f"{token} was sent" for token in sorted(passed & (self._unsaid - self._said))]

    def _standing(self, stage: Stage, central: psycopg.Connection) -> Iterator[str]:
        status = row(central, "select * from centralcloud.status()")
        for field_name in ("unpublished", "unscored", "dead_letters", "twin_alarms"):
            if status[field_name]:
                yield f"authority: {field_name} is {status[field_name]}"
        if status["troubles"]:
            yield f"authority: {status['troubles']}"
        for stream in stage.streams():
            if stream["state"]["messages"]:
                yield f"{stream['name']} holds {stream['state']['messages']} messages"

    def _knowledge(
        self, stage: Stage, central: psycopg.Connection, unoffered: set[tuple[str, str]]
    ) -> Iterator[str]:
        beliefs = {name: self.beliefs(name) for name in stage.instances}
        held = {
            (machine, name, belief.at_authority)
            for machine, known in beliefs.items()
            for name, belief in known.items()
            if belief.at_authority is not None
        }
        never_told = {one for one in held if one[:2] in unoffered and beliefs[one[0]][one[1]].here is None}
        yield from _compare(
            "held at the authority",
            {(machine, name, variant_of(token)) for machine, name, token in held},
            {(r["instance_name"], r["name"], r["variant"]) for r in rows(central, _HELD, self.kind)},
            {(machine, name, variant_of(token)) for machine, name, token in never_told},
        )
        counted = rows(central, _COUNTED, self.kind)
        yield from _compare(
            "counted at the authority",
            {
                (machine, name, variant_of(token), uses, belief.successes[token])
                for machine, known in beliefs.items()
                for name, belief in known.items()
                for token, uses in belief.uses.items()
            },
            {tuple(r.values()) for r in counted},
        )
        sums: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        known_contents: set[tuple[str, str]] = set()
        wanted_contents = {one[1:] for one in held - never_told}
        for known in beliefs.values():
            for name, belief in known.items():
                known_contents |= {(name, token) for token in belief.known}
                for token in belief.uses:
                    sums[name, variant_of(token)]["uses"] += belief.uses[token]
                    sums[name, variant_of(token)]["successes"] += belief.successes[token]
        scored = rows(central, _SCORED, self.kind)
        yield from _compare(
            "scored at the authority",
            {(*key, sum_["uses"], sum_["successes"]) for key, sum_ in sums.items()},
            {tuple(r.values()) for r in scored},
        )
        present = {tuple(r.values()) for r in rows(central, _CONTENTS, self.kind)}
        for missing in wanted_contents - present:
            yield f"the authority lacks {missing}"
        for extra in present - known_contents:
            yield f"the authority has {extra}, which is rolled back, private, withdrawn or nobody's"

    def _instance(self, name: str, instance: psycopg.Connection) -> Iterator[str]:
        status = row(instance, "select * from singularity.status()")
        if not status["online"]:
            yield "not online"
        for field_name in ("outbox_entries", "dead_letters", "set_aside"):
            if status[field_name]:
                yield f"{field_name} is {status[field_name]}"
        if status["troubles"]:
            yield f"{status['troubles']}"
        if left := value(instance, "select count(*) from singularity.outcome"):
            yield f"{left} outcomes wait to be counted"
        marks = {r["id"] for r in rows(instance, _DONE, self.kind)}
        yield from _compare("committed here", self.marks[name], marks)
        here = {(r["name"], r["variant"]) for r in rows(instance, _HERE, self.kind)}
        wanted = {
            (name, variant_of(belief.here) if belief.here is not None else None)
            for name, belief in self.beliefs(name).items()
        }
        yield from _compare("known here", wanted, here)

    def _copies(self, name: str, instance: psycopg.Connection, central: psycopg.Connection) -> Iterator[str]:
        forgotten = {one for one, belief in self.beliefs(name).items() if belief.here is None}
        published = {tuple(r.values()) for r in rows(central, _PUBLISHED, self.kind)}
        copies = {tuple(r.values()) for r in rows(instance, _COPIES, self.kind)}
        yield from _compare("the copies", {one for one in published if one[0] not in forgotten}, copies)


def digests_differ(instance: psycopg.Connection, central: psycopg.Connection) -> Iterator[str]:
    """Say whether the digests of an instance's states differ, here and at the authority."""
    me = value(instance, "select instance_id from singularity.status()")
    here = row(instance, "select entries, digest from singularity.digest()")
    there = row(central, "select entries, digest from centralcloud.digest(%s)", me)
    if here != there:
        yield f"the digests differ: {here} here, {there} at the authority"


def _compare(what: str, wanted: set[Any], found: set[Any], optional: Collection[Any] = ()) -> Iterator[str]:
    for missing in sorted(map(str, (wanted - found).difference(optional))):
        yield f"{what}: lacks {missing}"
    for extra in sorted(map(str, found - wanted)):
        yield f"{what}: has {extra}"


_DONE = "select id from public.done where not lost and starts_with(id, %s || '.')"
_UNOFFERED = """
    select distinct h.name from singularity.holding h
    where h.kind = %s and not exists (
        select from singularity.delivery d where d.artifact_id = h.artifact_id and d.variant = ''
    )
"""
_HELD = """
    select i.instance_name, a.name, h.variant
    from centralcloud.holding h
    join centralcloud.artifact a using (artifact_id)
    join centralcloud.instance i using (instance_id)
    where a.kind = %s and h.variant is not null
"""
_COUNTED = """
    select i.instance_name, a.name, e.variant, sum(e.uses)::int as uses, sum(e.successes)::int as successes
    from centralcloud.evidence e
    join centralcloud.artifact a using (artifact_id)
    join centralcloud.instance i using (instance_id)
    left join centralcloud.holding h using (artifact_id, instance_id)
    where a.kind = %s and e.version > coalesce(h.withdrawn_up_to, 0)
    group by 1, 2, 3
"""
_SCORED = """
    select a.name, v.variant, v.uses::int, v.successes::int
    from centralcloud.variant v join centralcloud.artifact a using (artifact_id)
    where a.kind = %s and v.uses > 0
"""
_CONTENTS = """
    select a.name, v.content #>> '{}' as content
    from centralcloud.variant v join centralcloud.artifact a using (artifact_id)
    where a.kind = %s and v.content is not null
"""
_HERE = """
    select distinct on (h.artifact_id) h.name, h.variant
    from singularity.holding h where h.kind = %s order by h.artifact_id, h.version desc
"""
_PUBLISHED = """
    select a.name, v.variant, v.content #>> '{}' as content, a.revision
    from centralcloud.artifact a join centralcloud.variant v using (artifact_id, variant)
    where a.kind = %s
"""
_COPIES = """
    select c.name, c.variant, c.content #>> '{}' as content, c.revision
    from singularity.central_copy c where c.kind = %s and not c.unknown
"""
