"""The steps of the demonstration: each does something, waits for what must follow and says what it saw."""

from collections.abc import Callable

from singularity_lab.demo.screen import Step
from singularity_lab.demo.steps.asking import alone, asks, connects
from singularity_lab.demo.steps.learning import production_learns
from singularity_lab.demo.steps.outage import broker_fills, nats_returns, nats_stops
from singularity_lab.demo.steps.outcomes import both_record, production_asks
from singularity_lab.demo.story import Story

SET_UP = "Two PostgreSQL clusters, NATS and three bridges start"

STEPS: tuple[tuple[str, Callable[[Story, Step], None]], ...] = (
    ("Production learns what PostgreSQL knows of itself", production_learns),
    ("The developer, in mode local, finds nothing", alone),
    ("The developer connects", connects),
    ("The developer asks, goes on working and gets the answer", asks),
    ("The authority's bridge stops: the broker holds what the developer learns", broker_fills),
    ("NATS is stopped: answers come from the cache, learnings queue", nats_stops),
    ("NATS comes back with its store deleted: everything arrives", nats_returns),
    ("Production asks, and gets what the developer learned", production_asks),
    ("Both record outcomes: level and confidence rise at the developer", both_record),
)
