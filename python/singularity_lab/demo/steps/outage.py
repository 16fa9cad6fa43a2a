"""The broker goes away with all it has stored, and comes back with nothing."""

import time
from collections.abc import Callable

from singularity_lab.demo import patterns
from singularity_lab.demo.screen import Step, counted, duration
from singularity_lab.demo.story import QUERY, REPEATS, Story

WAITING = len(patterns.UNREAD) + len(patterns.OFFLINE)


def broker_fills(story: Story, step: Step) -> None:
    """With the authority's bridge down the broker takes messages, which frees nothing in the outbox."""
    story.await_empty_outbox(step, story.developer)
    step.did("the authority's bridge is stopped", _timed(story.authority_bridge.stop))
    step.did(f"the developer learns {len(patterns.UNREAD)} patterns", story.teach(patterns.UNREAD))
    took = step.wait(
        lambda: _stored_messages(story) > 0,
        "a message in the broker's store",
        lambda: f"{_stored_messages(story)} there and {story.waiting()} entries in the outbox",
    )
    messages = counted(_stored_messages(story), "unread message")
    step.did(f"JetStream has stored them: {messages}", took)
    waiting = story.waiting()
    step.expect(waiting == len(patterns.UNREAD), f"{len(patterns.UNREAD)} entries in the outbox", waiting)
    step.saw(f"{messages} in the broker's store; {waiting} entries stay in the outbox, without a receipt")


def nats_stops(story: Story, step: Step) -> None:
    """Without NATS reads cost what they cost before, and what is learned waits."""
    before, story.online_recall = story.repeated_recall()
    step.did(f"recall('{QUERY}') while online, median of {REPEATS}", story.online_recall)
    step.did("NATS is stopped", _timed(story.nats.stop))
    after, story.offline_recall = story.repeated_recall()
    step.did(f"the same recall now, median of {REPEATS}", story.offline_recall)
    step.expect(
        after == before == story.answer, f"the cached rows {story.answer}", f"{before} before, {after} after"
    )
    step.did(f"the developer learns {len(patterns.OFFLINE)} more patterns", story.teach(patterns.OFFLINE))
    took = step.wait(
        lambda: not story.developer.status()["online"] and story.waiting() == WAITING,
        f"status() to say offline and {WAITING} entries in the outbox",
        story.developer.status,
    )
    step.did(f"status(): online false, outbox_entries {WAITING}", took)
    step.saw(
        f"the same {counted(len(after), 'row')} in {duration(story.offline_recall)} "
        f"(online: {duration(story.online_recall)}); online false, {WAITING} entries in the outbox"
    )


def nats_returns(story: Story, step: Step) -> None:
    """NATS has lost what it had acknowledged; the outbox had not let go of it."""
    story.nats.wipe_store()
    step.did("the store of NATS is deleted, with the unread messages in it")
    story.authority_bridge.start()
    step.did("the authority's bridge starts again, and NATS without its store", _timed(story.nats.start))
    names = sorted(pattern["name"] for pattern in (*patterns.UNREAD, *patterns.OFFLINE))
    arrived = step.wait(
        lambda: _arrived(story, names) == names,
        f"{WAITING} patterns at the authority",
        lambda: {"arrived": _arrived(story, names), **story.developer.status()},
        timeout=60,
    )
    step.did(f"the authority has all {WAITING} patterns", arrived)
    step.did("the developer's outbox is empty", story.await_empty_outbox(step, story.developer))
    step.did("the developer is online", story.await_online(step, story.developer))
    total = story.known_to_authority()
    expected = story.learned + WAITING + 1  # and the one learned while the question was on its way
    step.expect(total == expected, f"{expected:,} artifacts at the authority", f"{total:,}")
    step.saw(
        f"all {WAITING} patterns at the authority {duration(arrived)} after NATS was back "
        f"({total:,} artifacts, none missing); outbox empty"
    )


def _stored_messages(story: Story) -> int:
    accounts = story.nats.monitor("jsz?streams=true").get("account_details", [])
    return sum(stream["state"]["messages"] for account in accounts for stream in account["stream_detail"])


def _arrived(story: Story, names: list[str]) -> list[str]:
    query = "select name from centralcloud.artifact where kind = 'pattern' and name = any (%s)"
    return sorted(row["name"] for row in story.authority.rows(query, names))


def _timed(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started
