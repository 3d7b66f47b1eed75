"""`connects replay log`: the state of a plan, and the page."""

import io
from datetime import UTC, datetime

import pytest
from rich.console import Console

from worker.cli.replay.log import log_page
from worker.queries.replay_log import LoggedPlan, PlanLog, PlanState, state_of

NOON = datetime(2026, 11, 5, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("stored", "left", "undone", "state"),
    [
        ("open", 3, 0, "open"),
        ("open", 0, 1, "done"),
        ("open", 0, 2, "undone"),
        ("stopped", 3, 0, "stopped"),
        ("stopped", 3, 2, "undone"),
        ("stopped", 0, 0, "done"),
        ("closed", 3, 0, "closed"),
        ("closed", 0, 0, "closed"),
    ],
)
def test_a_plan_is_done_once_each_trigger_has_an_answer(stored: PlanState, left: int, undone: int, state: str) -> None:
    assert state_of(stored, left, 2, undone) == state


def _page(*plans: LoggedPlan) -> str:
    console = Console(width=200, file=io.StringIO())
    with console.capture() as captured:
        console.print(log_page(PlanLog(list(plans))))
    return captured.get()


def test_a_line_says_when_by_whom_and_why_and_what_came_of_it() -> None:
    numbers = (1_500, 1_400, 90, 10, 0, 37)
    plan = LoggedPlan("ab" * 32, "done", "ana", "sent twice", NOON, NOON, {"add": 1_000, "void": 500}, *numbers)
    heading, line = _page(plan).splitlines()
    assert heading.split()[:3] == ["plan", "begun", "(UTC)"]
    assert "abababababab  2026-11-05 12:00:00  done" in " ".join(line.split(" ")), line
    for shown in ("1,000 add, 500 void", "1,400", "90", "10", "37", "ana", "sent twice"):
        assert shown in line


def test_a_plan_without_answers_shows_how_many_triggers_it_has() -> None:
    plan = LoggedPlan("ab" * 32, "open", "ana", "begun", NOON, None, {}, 1_500, 0, 0, 0, 1_500, 0)
    assert "open" in _page(plan)
    assert "1,500" in _page(plan)


def test_a_ledger_without_plans_says_so() -> None:
    assert _page() == "No plan was ever applied.\n"
