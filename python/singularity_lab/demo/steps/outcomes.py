"""Production gets what the developer taught, and both say how well it worked."""

from singularity_lab.demo import patterns
from singularity_lab.demo.scene import Row, Session
from singularity_lab.demo.screen import Step, counted, duration
from singularity_lab.demo.story import QUERY, Story

# Successes and failures that each side records.
DEVELOPER_OUTCOMES = (10, 0)
PRODUCTION_OUTCOMES = (12, 0)
# What level medium needs, besides two independent groups.
MEDIUM_CONFIDENCE = 0.7

MEND = patterns.MEND["name"]
_LOOKUP = "select origin, level::text, confidence, uses from singularity.lookup('pattern', %s)"
_RECORD = "select singularity.record_outcome('pattern', %s, n <= %s) from generate_series(1, %s) as n"


def production_asks(story: Story, step: Step) -> None:
    """Production meets the same failure and gets the developer's mend for it."""
    story.await_online(step, story.production)
    before = story.production.rows(_LOOKUP, MEND)
    step.did(f"production: lookup('pattern', '{MEND}'): {counted(len(before), 'row')}")
    question = story.production.one("select singularity.ask(%s, 'pattern') as id", QUERY)["id"]
    step.expect(not before and question is not None, "a miss and a queued question", (before, question))
    took = story.production.run("call singularity.await_answer(%s, '30 seconds')", question)
    step.did(f"ask('{QUERY}', 'pattern') and call await_answer(...)", took)
    rows = story.production.rows(_LOOKUP, MEND)
    step.expect([row["origin"] for row in rows] == ["central"], "one central row", rows)
    step.did(f"lookup('pattern', '{MEND}'): central, {_score(rows[0])}")
    step.saw(f"the developer's pattern {MEND} is in production {duration(took)} after asking")


def both_record(story: Story, step: Step) -> None:
    """Two independent groups say that it works: level and confidence rise where it was learned."""
    _note_score(story, step, "before")
    _record(step, "the developer", story.developer, DEVELOPER_OUTCOMES)
    _note_score(story, step, "after own outcomes")
    _record(step, "production", story.production, PRODUCTION_OUTCOMES)
    uses = sum(DEVELOPER_OUTCOMES) + sum(PRODUCTION_OUTCOMES)
    took = step.wait(
        lambda: _is_medium(_mend(story), uses),
        f"level medium and a confidence of {MEDIUM_CONFIDENCE} from {uses} outcomes at the developer",
        lambda: _mend(story),
    )
    _note_score(story, step, "after production's, since its last", took)
    step.saw(
        f"{' -> '.join(story.scores)} at the developer, {duration(took)} after production's last outcome"
    )


def _is_medium(row: Row, uses: int) -> bool:
    return (row["uses"], row["level"]) == (uses, "medium") and float(row["confidence"]) >= MEDIUM_CONFIDENCE


def _record(step: Step, who: str, session: Session, outcomes: tuple[int, int]) -> None:
    successes, failures = outcomes
    took = session.run(_RECORD, MEND, successes, successes + failures)
    step.did(f"{who} records {counted(successes, 'success')} and {counted(failures, 'failure')}", took)


def _note_score(story: Story, step: Step, when: str, seconds: float | None = None) -> None:
    score = _score(_mend(story))
    story.scores.append(score)
    step.did(f"the developer sees {score} ({when})", seconds)


def _mend(story: Story) -> Row:
    return story.developer.one(_LOOKUP, MEND)


def _score(row: Row) -> str:
    return f"{row['level']} {row['confidence']:.2f}"
