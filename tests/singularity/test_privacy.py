"""What is not shared never leaves, whatever is done in whatever order."""

import itertools
import json
from dataclasses import dataclass, field
from typing import Any, Literal

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.kit.instance_relay import InstanceRelay, is_evidence
from tests.kit.queries import Row
from tests.kit.session import Session

Step = Literal[
    "share", "keep private", "learn as before", "succeed", "fail", "forget", "forget everywhere", "add up", "send",
    "send and confirm", "lose the stream", "disconnect", "connect",
]  # fmt: skip
STEPS: list[Step] = list(Step.__args__)  # type: ignore[attr-defined]
_numbers = itertools.count()


@dataclass
class Story:
    """One artifact's life, and what the world may know of it."""

    name: str
    state: Literal["unknown", "shared", "private", "forgotten", "erased"] = "unknown"
    private: bool = False
    secrets: set[str] = field(default_factory=set)
    content: str = ""
    ever_shared: bool = False
    shared_outcomes: int = 0
    heard_of: bool = False
    told: Row = field(default_factory=dict)

    def do(self, step: Step, db: Session, relay: InstanceRelay) -> None:
        """Take a step and note what follows."""
        match step:
            case "share" | "keep private" | "learn as before":
                self.learn(step, db)
            case "succeed" | "fail":
                if self.state in ("shared", "private"):
                    db.outcome(self.name, step == "succeed")
                    self.shared_outcomes += self.state == "shared"
            case "forget":
                if db.forget(self.name):
                    self.state = "forgotten"
            case "forget everywhere":
                if db.forget(self.name, everywhere=True):
                    self.state, self.shared_outcomes = "erased", 0
            case "add up":
                relay.tick()
            case "send" | "send and confirm":
                self.send(relay, confirmed=step == "send and confirm")
            case "lose the stream":
                relay.stream["created"] += "x"
                relay.tick()
            case "disconnect":
                db.call("disconnect")
            case "connect":
                db.call("connect")
                relay.go_online()

    def learn(self, step: Step, db: Session) -> None:
        more: dict[str, Any] = {"share": {"shared": True}, "keep private": {"shared": False}}.get(step, {})
        self.private = {"share": False, "keep private": True}.get(step, self.private)
        self.content = f"word{next(_numbers)}"
        db.learn(self.name, self.content, summary=self.content, tags=[self.content], **more)
        self.state = "private" if self.private else "shared"
        if self.private:
            self.secrets.add(self.content)
            self.shared_outcomes = 0
        self.ever_shared |= not self.private

    def send(self, relay: InstanceRelay, *, confirmed: bool) -> None:
        messages = relay.take("contribution")
        for message in messages:
            relay.acknowledge(message, created=relay.stream["created"])
            for record in message.records:
                if record["name"] == self.name:  # an example that failed leaves its own behind
                    self.check(record)
        if confirmed:
            relay.confirm(*messages)

    def check(self, record: Row) -> None:
        """Check one record that leaves the machine now."""
        assert self.ever_shared
        assert not any(secret in json.dumps(record) for secret in self.secrets)
        if is_evidence(record):
            assert self.state not in ("private", "erased")
            assert record["uses"] <= self.shared_outcomes
        elif self.state in ("private", "erased"):
            assert self.heard_of, "a withdrawal of what was never told"
            assert "variant" not in record
        self.heard_of = True
        if not is_evidence(record) and record["version"] > self.told.get("version", 0):
            self.told = record


@given(steps=st.lists(st.sampled_from(STEPS), max_size=25))
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_not_shared_never_leaves(db: Session, online: InstanceRelay, steps: list[Step]) -> None:
    story = Story(f"artifact {next(_numbers)}")
    for step in steps:
        story.do(step, db, online)
    for step in ("connect", "lose the stream", "send and confirm", "send and confirm"):
        story.do(step, db, online)
    assert db.outbox() == []
    if story.state == "shared":
        assert story.told["content"] == story.content
    if story.state in ("private", "erased") and story.told:
        assert story.told["withdrawn_up_to"] == story.told["version"]
