"""The developer alone, then connected: a miss, work meanwhile, and the answer."""

import json
import time

from singularity_lab.demo import patterns
from singularity_lab.demo.screen import Step, counted, duration
from singularity_lab.demo.story import QUERY, Story, keys, names

SHOWN_ROWS = 5


def alone(story: Story, step: Step) -> None:
    """In mode local, with nothing learned, there is nothing to find and nobody is asked."""
    rows, took = story.recall()
    step.did(f"recall('{QUERY}'): {names(rows)}", took)
    status = story.developer.status()
    stands = f"mode {status['mode']}, {counted(status['open_questions'], 'open question')}"
    step.did(f"status(): {stands}")
    step.expect(
        not rows and status["mode"] == "local" and status["open_questions"] == 0,
        "mode local, no rows and no question",
        f"{stands}, rows: {names(rows)}",
    )
    step.saw(f"mode local: recall('{QUERY}') returns no rows and asks nobody")


def connects(story: Story, step: Step) -> None:
    """connect() returns at once; some time later the authority is heard."""
    story.developer.run("select singularity.configure(instance_name => 'laptop', environment => 'dev')")
    step.did("connect('hybrid') returns", story.developer.run("select singularity.connect('hybrid')"))
    took = story.await_online(step, story.developer)
    step.did("status(): online", took)
    step.saw(f"mode hybrid, online {duration(took)} after connect")


def asks(story: Story, step: Step) -> None:
    """A recall that finds nothing asks by itself, and its answer is announced to whoever listens."""
    with story.developer.database.connect() as listener:
        listener.execute("listen singularity_answer")
        asked = time.perf_counter()
        rows, took = story.recall()
        step.did(f"recall('{QUERY}'): {names(rows)}; the question is queued", took)
        step.expect(not rows, "a miss at first", names(rows))
        took = story.teach([patterns.MEANWHILE])
        step.did(f"goes on working: learns the pattern {patterns.MEANWHILE['name']}", took)
        notices = list(listener.notifies(timeout=30, stop_after=1))
        story.answered = time.perf_counter() - asked
    step.expect(bool(notices), "NOTIFY singularity_answer within 30 s", story.developer.status())
    results = json.loads(notices[0].payload)["results"]
    step.did(f"NOTIFY singularity_answer: {counted(results, 'result')}, since the miss", story.answered)
    _recall_again(story, step)
    step.saw(
        f"{counted(len(story.answer), 'row')} {duration(story.answered)} after the miss; learned meanwhile"
    )


def _recall_again(story: Story, step: Step) -> None:
    rows, took = story.recall()
    story.answer = keys(rows)
    step.did(f"recall('{QUERY}') once more, from the cache: {counted(len(rows), 'row')}", took)
    for row in rows[:SHOWN_ROWS]:
        step.did(f"  {row['origin']} {row['kind']} {row['name']}: {row['summary']}")
    step.expect(
        ("setting", "deadlock_timeout") in story.answer and {row["origin"] for row in rows} == {"central"},
        "central rows, the setting deadlock_timeout among them",
        names(rows),
    )
