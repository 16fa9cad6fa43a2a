"""What the steps share: who takes part, what earlier steps found, and what several steps do."""

import statistics
import time
from dataclasses import dataclass, field
from typing import Any

from psycopg.types.json import Jsonb

from singularity_lab.demo.scene import Row, Scene, Session
from singularity_lab.demo.screen import Step, duration

# What the developer's program failed with: the question that the story is about.
QUERY = "deadlock"
# How often a recall is repeated for the median of its time.
REPEATS = 50

LEARN_MANY = "select singularity.learn_many(%s) as changed"
_RECALL = "select kind, name, summary, origin from singularity.recall(%s)"

# Kind and name of an artifact.
Key = tuple[str, str]


@dataclass
class Story(Scene):
    """The scene with what was found so far; times are in seconds."""

    learned: int = 0
    delivered: float = 0
    answered: float = 0
    answer: list[Key] = field(default_factory=list)
    online_recall: float = 0
    offline_recall: float = 0
    scores: list[str] = field(default_factory=list)

    def recall(self) -> tuple[list[Row], float]:
        """Let the developer recall QUERY; return the rows and the seconds."""
        started = time.perf_counter()
        rows = self.developer.rows(_RECALL, QUERY)
        return rows, time.perf_counter() - started

    def repeated_recall(self) -> tuple[list[Key], float]:
        """Recall REPEATS times; return what came last and the median of the seconds."""
        recalls = [self.recall() for _ in range(REPEATS)]
        return keys(recalls[-1][0]), statistics.median(took for _, took in recalls)

    def teach(self, artifacts: list[dict[str, Any]]) -> float:
        """Let the developer learn `artifacts`; return the seconds."""
        return self.developer.run(LEARN_MANY, Jsonb(artifacts))

    def waiting(self) -> int:
        """Return how many entries the developer's outbox has."""
        return int(self.developer.status()["outbox_entries"])

    def known_to_authority(self) -> int:
        """Return how many artifacts the authority has committed."""
        return int(self.authority.status()["artifacts"])

    def await_online(self, step: Step, session: Session) -> float:
        """Wait until an instance is online and return the seconds."""
        return step.wait(lambda: bool(session.status()["online"]), "status() to say online", session.status)

    def await_empty_outbox(self, step: Step, session: Session) -> float:
        """Wait until everything an instance sent is confirmed and return the seconds."""
        return step.wait(
            lambda: session.status()["outbox_entries"] == 0, "an empty outbox", session.status, timeout=60
        )

    def summary(self) -> str:
        """Return what was shown, in a few sentences."""
        delivered, answered = duration(self.delivered), duration(self.answered)
        online, offline = duration(self.online_recall), duration(self.offline_recall)
        return f"""\
Production learned {self.learned:,} artifacts; the authority had all of them {delivered} after the last.
The developer's question was answered {answered} after the miss, while work went on.
Without NATS the same recall took {offline}; with it, {online}.
NATS lost everything that it had stored, and all that was learned arrived.
The developer's pattern rose from {self.scores[0]} to {self.scores[-1]}: two machines say that it works."""


def names(rows: list[Row]) -> str:
    """Return kind and name of each row, for people."""
    return ", ".join(f"{row['kind']} {row['name']}" for row in rows) or "nothing"


def keys(rows: list[Row]) -> list[Key]:
    """Return kind and name of each row."""
    return [(row["kind"], row["name"]) for row in rows]
