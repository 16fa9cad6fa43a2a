"""Production learns its server's catalog, and the authority gets all of it."""

import time
from collections import Counter

from psycopg.types.json import Jsonb

from singularity_lab.demo import catalog
from singularity_lab.demo.screen import Step, counted, duration
from singularity_lab.demo.story import LEARN_MANY, Story

BATCH = 500
LEAST_ARTIFACTS = 3_500


def production_learns(story: Story, step: Step) -> None:
    """Learn every artifact of the catalog in production and wait until the authority has committed it."""
    story.production.run("select singularity.configure(instance_name => 'production', environment => 'prod')")
    story.production.run("select singularity.connect('hybrid')")
    started = time.perf_counter()
    artifacts = catalog.artifacts(story.production.connection)
    story.learned = len(artifacts)
    kinds = Counter(artifact["kind"].replace("_", " ") for artifact in artifacts)
    amounts = ", ".join(counted(number, kind) for kind, number in kinds.most_common())
    step.did(f"read {amounts}", time.perf_counter() - started)
    step.expect(
        story.learned >= LEAST_ARTIFACTS,
        f"{LEAST_ARTIFACTS:,} artifacts or more in the catalog",
        story.learned,
    )
    _learn_in_batches(story, step, artifacts)
    _await_delivery(story, step)
    step.saw(
        f"{story.learned:,} artifacts ({amounts}); the authority had committed all of them "
        f"{duration(story.delivered)} after the last learn"
    )


def _learn_in_batches(story: Story, step: Step, artifacts: list[catalog.Artifact]) -> None:
    started = time.perf_counter()
    changed = 0
    with step.progress("learning", story.learned) as show:
        for first in range(0, story.learned, BATCH):
            batch = artifacts[first : first + BATCH]
            changed += story.production.one(LEARN_MANY, Jsonb(batch))["changed"]
            show(changed)
    took = time.perf_counter() - started
    step.did(f"learn_many: {changed:,} artifacts, {BATCH} at a time ({changed / took:,.0f}/s)", took)
    step.expect(changed == story.learned, f"{story.learned:,} artifacts to be new", f"{changed:,}")


def _await_delivery(story: Story, step: Step) -> None:
    with step.progress("delivering to the authority", story.learned) as show:

        def arrived() -> bool:
            known = story.known_to_authority()
            show(known)
            return known == story.learned

        story.delivered = step.wait(
            arrived,
            f"{story.learned:,} artifacts at the authority",
            lambda: {"arrived": story.known_to_authority(), **story.production.status()},
            timeout=120,
        )
    step.did("the authority has committed all of them", story.delivered)
    step.did("receipts have emptied production's outbox", story.await_empty_outbox(step, story.production))
