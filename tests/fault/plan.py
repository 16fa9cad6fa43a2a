"""What a story is made of: the same seed gives the same transactions, and the same faults at the same steps."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

COMMON = tuple(f"common-{number}" for number in range(4))
OWN_NAMES = 4
SESSIONS = 3
TRANSACTIONS = 10
LONGER_THAN_LOCKS_MAY_S = 3.0
_ISOLATIONS = ("read committed",) * 4 + ("repeatable read",) * 2 + ("serializable",)

# What may follow on what: an artifact of one's own is unknown, shared, private, or forgotten.
_CHOICES: Mapping[str, tuple[str, ...]] = {
    "unknown": ("learn", "learn", "learn", "learn privately"),
    "shared": (
        "learn",
        "outcome",
        "outcome",
        "outcome",
        "take back",
        "learn privately",
        "forget",
        "withdraw",
    ),
    "private": ("learn", "learn", "outcome", "learn privately", "forget", "withdraw"),
}
_RESULTS: Mapping[str, str] = {
    "learn": "shared",
    "learn privately": "private",
    "take back": "private",
    "forget": "unknown",
    "withdraw": "unknown",
}
_READING = ("lookup", "recall", "ask")


@dataclass(frozen=True)
class Operation:
    """One call; `good` is whether a recorded outcome is a success."""

    what: str
    name: str
    good: bool = True


@dataclass(frozen=True)
class Transaction:
    """Operations that are committed or rolled back together, `pause_s` after the last and open for `open_s`."""

    number: int
    isolation: str
    operations: tuple[Operation, ...]
    commits: bool
    pause_s: float
    open_s: float


@dataclass(frozen=True)
class PlannedFault:
    """A fault at a machine (or at NATS), when so many transactions have ended, for so long."""

    name: str
    target: str
    step: int
    seconds: float

    def __str__(self) -> str:
        return f"at step {self.step}: {self.name}, {self.target}, {self.seconds:.1f} s"


Sessions = dict[tuple[str, int], tuple[Transaction, ...]]


@dataclass(frozen=True)
class Plan:
    """A story that has not been told yet."""

    seed: int
    sessions: Sessions
    faults: tuple[PlannedFault, ...]

    @property
    def steps(self) -> int:
        """How many transactions there are."""
        return sum(map(len, self.sessions.values()))

    def with_faults(self, faults: Sequence[PlannedFault]) -> "Plan":
        """Return the same story with other faults."""
        return replace(self, faults=tuple(faults))

    def text(self, reached: Mapping[tuple[str, int], int]) -> str:
        """Tell it: its faults and the transactions that each session reached."""
        lines = [f"seed {self.seed}", *map(str, self.faults)]
        for (machine, number), transactions in self.sessions.items():
            for one in transactions[: reached[machine, number]]:
                calls = ", ".join(f"{operation.what} {operation.name}" for operation in one.operations)
                end = "commit" if one.commits else "roll back"
                lines.append(f"{machine}/{number}.{one.number} {one.isolation}: {calls}; {end}")
        return "\n".join(lines)


class _Author:
    """Writes the transactions of one session."""

    def __init__(self, chance: random.Random, machine: str, number: int, *, hurried: bool) -> None:
        self._chance, self._hurried = chance, hurried
        self._states = {f"{machine}-{number}-{n}": "unknown" for n in range(OWN_NAMES)}

    def transaction(self, number: int) -> Transaction:
        chance = self._chance
        commits = chance.random() < 0.8
        before = dict(self._states)
        operations = [self._own() for _ in range(chance.randint(1, 3))]
        operations += self._contended()
        operations += [
            Operation(chance.choice(_READING), chance.choice([*before, *COMMON, "nobody-knows"]))
            for _ in range(chance.randint(0, 2))
        ]
        if not commits:
            self._states = before
        longest_s = 0.3 if self._hurried else LONGER_THAN_LOCKS_MAY_S
        open_s = chance.choice([*[0.0] * 6, 0.3, 0.3, longest_s])
        pause_s = chance.uniform(0.05, 0.3 if self._hurried else 1.0)
        return Transaction(number, chance.choice(_ISOLATIONS), tuple(operations), commits, pause_s, open_s)

    def _own(self) -> Operation:
        name = self._chance.choice(list(self._states))
        what = self._chance.choice(_CHOICES[self._states[name]])
        self._states[name] = _RESULTS.get(what, self._states[name])
        return Operation(what, name, self._chance.random() < 0.7)

    def _contended(self) -> list[Operation]:
        """Touch what all sessions touch, in any order: opposite ones meet."""
        names = self._chance.sample(COMMON, self._chance.randint(0, 3))
        return [
            Operation(
                self._chance.choice(["learn common", "outcome common"]), name, self._chance.random() < 0.7
            )
            for name in names
        ]


def make_sessions(
    seed: int, machines: Sequence[str], transactions: int = TRANSACTIONS, *, hurried: bool = False
) -> Sessions:
    """Write what the sessions of the instances do, with short pauses when they are hurried."""
    sessions: Sessions = {}
    for machine in machines:
        for number in range(SESSIONS):
            author = _Author(random.Random(f"{seed} {machine} {number}"), machine, number, hurried=hurried)
            sessions[machine, number] = tuple(author.transaction(n) for n in range(transactions))
    return sessions


def make_plan(
    seed: int, machines: Sequence[str], kinds: Mapping[str, Sequence[str]], faults: int = 5
) -> Plan:
    """Write a story: `kinds` says at which targets each kind of fault may be."""
    sessions = make_sessions(seed, machines)
    chance = random.Random(f"{seed} faults")
    steps = sum(map(len, sessions.values()))
    chosen = []
    for _ in range(faults):
        name = chance.choice(sorted(kinds))
        target = chance.choice(sorted(kinds[name]))
        chosen.append(
            PlannedFault(name, target, chance.randint(1, steps * 3 // 4), round(chance.uniform(0.2, 4.0), 1))
        )
    return Plan(seed, sessions, tuple(sorted(chosen, key=lambda fault: fault.step)))
