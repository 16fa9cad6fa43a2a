"""What the demonstration prints, and that a step which is not observed fails."""

import io
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from rich.console import Console

from singularity_lab.demo.screen import NotObserved, Screen, Step, counted, duration, shorten

LOGS = Path("/somewhere/logs")


class Printed:
    """A screen with three steps that prints into a string."""

    def __init__(self) -> None:
        self._file = io.StringIO()
        console = Console(file=self._file, width=110, highlight=False, force_terminal=False)
        self.screen = Screen(["first thing", "second thing", "third thing"], console)

    @property
    def text(self) -> str:
        return self._file.getvalue()


@pytest.fixture
def printed() -> Printed:
    return Printed()


def test_the_table_says_what_each_step_saw(printed: Printed) -> None:
    for saw in ("one", "two", "three"):
        with printed.screen.step(LOGS) as step:
            step.saw(f"saw {saw}")
    printed.screen.table()
    table = printed.text[printed.text.index("What was shown") :]
    rows = [line for line in table.splitlines() if "thing" in line]
    assert [[cell.strip() for cell in row.split("│")[1:4]] for row in rows] == [
        ["1", "first thing", "saw one"],
        ["2", "second thing", "saw two"],
        ["3", "third thing", "saw three"],
    ]
    assert all(row.split("│")[4].strip().endswith("ms") for row in rows)
    assert "\x1b" not in printed.text


def _unmet(step: Step) -> None:
    step.expect(False, "four rows", 3)


def _too_late(step: Step) -> None:
    step.wait(lambda: False, "four rows", lambda: "3", timeout=0.05)


def _other_row(step: Step) -> None:
    step.expect(False, "online true", {"mode": "hybrid", "online": False})


def _broken(_step: Step) -> None:
    raise psycopg.OperationalError("the server is gone")


@pytest.mark.parametrize(
    ("tell", "expected", "seen"),
    [
        (_unmet, "four rows", "3"),
        (_too_late, "four rows within 0.05 s", "3"),
        (_other_row, "online true", "mode hybrid, online False"),
        (_broken, "'second thing' without an error", "OperationalError: the server is gone"),
    ],
)
def test_a_failure_names_what_was_expected_and_seen_and_the_logs(
    printed: Printed, tell: Callable[[Step], None], expected: str, seen: str
) -> None:
    with printed.screen.step(LOGS):
        pass
    with pytest.raises(NotObserved), printed.screen.step(LOGS) as step:
        tell(step)
    assert "Step 2 was not observed.\n" in printed.text
    assert f"  expected: {expected}\n" in printed.text
    assert f"  seen:     {seen}\n" in printed.text
    assert f"  logs:     {LOGS}\n" in printed.text
    printed.screen.table()
    rows = [line for line in printed.text.splitlines() if "│" in line and "thing" in line]
    _, second, third = rows
    assert "NOT OBSERVED" in second
    assert "not reached" in third


def test_a_mistake_in_a_step_is_not_taken_for_an_observation(printed: Printed) -> None:
    with pytest.raises(ZeroDivisionError), printed.screen.step(LOGS):
        _ = 1 / 0


def test_waiting_returns_how_long_it_took(printed: Printed) -> None:
    with printed.screen.step(LOGS) as step:
        looks = iter([False, False, True])
        assert 0 < step.wait(lambda: next(looks), "the third look", lambda: "") < 5


def test_a_line_fits_and_has_no_blanks_at_its_end(printed: Printed) -> None:
    with printed.screen.step(LOGS) as step:
        step.did("[brackets] stay")
        step.did("x" * 500, 0.25)
    assert "    [brackets] stay\n" in printed.text
    long = next(line for line in printed.text.splitlines() if "xxx" in line)
    assert len(long) == 110
    assert long.endswith("x...     250 ms")


def test_progress_without_a_terminal_is_a_line_now_and_then(
    printed: Printed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("singularity_lab.demo.screen.PROGRESS_INTERVAL", 0)
    with printed.screen.step(LOGS) as step, step.progress("counting", 2_000) as show:
        for done in (0, 1_000, 1_000, 2_000):
            show(done)
    assert [line.strip() for line in printed.text.splitlines() if "counting" in line] == [
        "counting: 1,000 of 2,000"
    ]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.000123, "0.12 ms"),
        (0.00123, "1.2 ms"),
        (0.0123, "12 ms"),
        (0.9994, "999 ms"),
        (0.9996, "1.0 s"),
        (75, "75.0 s"),
    ],
)
def test_durations_have_two_digits_or_more(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_nouns_are_counted() -> None:
    assert [counted(1, "row"), counted(4_734, "row"), counted(9, "success")] == [
        "1 row",
        "4,734 rows",
        "9 successes",
    ]


def test_what_is_too_long_ends_in_dots() -> None:
    assert [shorten("abc", 10), shorten("abcdefghijkl", 10)] == ["abc", "abcdef... "]
