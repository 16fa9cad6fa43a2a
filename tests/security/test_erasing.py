"""What was forgotten everywhere is nowhere: in no column of no table, here or at the authority."""

import pytest
from tests.kit.pair import Authority, Instance, settle
from tests.kit.speaker import Speaker
from tests.security.tap import leaked, text_of

CONTENT, SUMMARY, TAG = "zqxcontentword", "zqxsummaryword", "zqxtagword"
WORDS = [CONTENT, SUMMARY, TAG]


def learn(one: Instance, name: str = "doomed", suffix: str = "") -> None:
    one.learn(
        name, {"text": f"{CONTENT}{suffix} again"}, summary=f"{SUMMARY}{suffix}", tags=[f"{TAG}{suffix}"]
    )


def remains(there: Authority, here: Instance) -> dict[str, list[str]]:
    """Return which words are still somewhere, once everything was carried and the background work was done."""
    settle(there, here)
    here.run("call singularity.maintain()")
    there.db.execute("call centralcloud.maintain()")
    settle(there, here)
    both = {"here": text_of(here.owner, "singularity"), "there": text_of(there.db, "centralcloud")}
    return {
        side: [line[:200] for line in text.split("\n") if leaked(line, WORDS)]
        for side, text in both.items()
        if leaked(text, WORDS)
    }


def test_nothing_is_left_of_it(there: Authority, here: Instance) -> None:
    for suffix in ("", "2", "3"):  # versions that come after each other, with outcomes
        learn(here, suffix=suffix)
        here.outcome("doomed")
        settle(there, here)
    assert there.content("doomed") is not None
    assert leaked(text_of(there.db, "centralcloud"), WORDS) == WORDS
    assert here.forget("doomed", everywhere=True)
    assert remains(there, here) == {}


def test_neither_when_it_was_withdrawn_before(there: Authority, here: Instance) -> None:
    learn(here)
    settle(there, here)
    here.learn("doomed", {"text": f"{CONTENT} private"}, summary=SUMMARY, shared=False)
    settle(there, here)
    assert leaked(text_of(there.db, "centralcloud"), WORDS) == []
    here.forget("doomed", everywhere=True)
    assert remains(there, here) == {}


def test_neither_when_it_was_forgotten_before(there: Authority, here: Instance) -> None:
    learn(here)
    settle(there, here)
    here.forget("doomed")
    settle(there, here)
    here.forget("doomed", everywhere=True)
    assert remains(there, here) == {}


def test_neither_when_it_was_never_sent_or_held_back(there: Authority, here: Instance) -> None:
    learn(here)
    here.learn("held", {"password": f"{CONTENT}-7xQ9"}, summary=SUMMARY)
    here.relay.take("contribution")
    here.forget("doomed", everywhere=True)
    here.forget("held", everywhere=True)
    assert remains(there, here) == {}


def test_neither_when_messages_come_late_and_twice(there: Authority, here: Instance) -> None:
    learn(here)
    early = here.relay.take("contribution")
    here.forget("doomed", everywhere=True)
    late = here.relay.take("contribution")
    for batch in (late, early, late, early):
        there.relay.give(batch)
    assert remains(there, here) == {}


def test_neither_in_a_dead_letter(there: Authority, here: Instance) -> None:
    """A contribution that cannot be applied is kept at the authority, with what is in it."""
    learn(here)
    (message,) = here.relay.take("contribution")
    broken = message.payload.replace(b'"records"', b'"recordz"')
    there.relay.give([type(message)(message.subject, broken)])
    there.relay.give([message])
    settle(there, here)
    here.forget("doomed", everywhere=True)
    assert remains(there, here) == {}


def test_what_another_instance_still_teaches_stays(there: Authority, here: Instance) -> None:
    learn(here)
    settle(there, here)
    other = Speaker(7)
    teaches = other.holds({"text": f"{CONTENT} again"}, "doomed", kind="pattern", summary=SUMMARY, tags=[TAG])
    there.relay.give([other.says(teaches)])
    here.forget("doomed", everywhere=True)
    remains(there, here)
    assert there.content("doomed") == {"text": f"{CONTENT} again"}


@pytest.mark.parametrize("everywhere", [True, False])
def test_the_tombstone_says_nothing(here: Instance, everywhere: bool) -> None:
    learn(here)
    here.forget("doomed", everywhere=everywhere)
    history = str(here.history("doomed"))
    assert bool(leaked(history, WORDS)) is not everywhere
