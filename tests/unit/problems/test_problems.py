"""The one list of problems: each keeps the time since when it is known."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from structlog.testing import capture_logs

from worker.problems import FLAPPING, NEXT, Found, ProblemList, Report, read_report, written

T = datetime(2026, 6, 1, 12, tzinfo=UTC)
HIDDEN = Found("hidden-records", "hire-made/1", "at most 7 records are hidden")
FULL = Found("recovering", "", "the disk is full", hinders=True)


def after(seconds: float) -> datetime:
    return T + timedelta(seconds=seconds)


def test_a_problem_keeps_the_time_at_which_it_was_found_while_its_words_change() -> None:
    problems = ProblemList()
    (first,) = problems.update([HIDDEN], T)
    (later,) = problems.update([HIDDEN._replace(what="at most 9 records are hidden")], after(60))
    assert (first.since, later.since, later.what) == (T, T, "at most 9 records are hidden")
    assert later.next == NEXT["hidden-records"]


def test_two_of_a_kind_have_times_of_their_own() -> None:
    problems, other = ProblemList(), HIDDEN._replace(about="hire-made/2")
    problems.update([HIDDEN], T)
    found = problems.update([other, HIDDEN], after(60))
    assert [(one.about, one.since) for one in found] == [("hire-made/2", after(60)), ("hire-made/1", T)]
    assert problems.update([other], after(61)) == found[:1]


def test_what_comes_back_later_begins_anew() -> None:
    problems = ProblemList()
    problems.update([HIDDEN], T)
    assert problems.update([], after(1)) == problems.lasting == []
    assert problems.update([HIDDEN], after(2))[0].since == after(2)


def test_a_worker_that_tries_again_and_again_has_one_problem_all_the_time() -> None:
    problems = ProblemList()
    for second in range(0, 60, 4):
        (found,) = problems.update([FULL], after(second))
        assert found.since == T
        assert problems.update([], after(second + 2)) == [], "readiness says what is so now"
        assert [one.since for one in problems.lasting] == [T]
    problems.update([], after(56) + FLAPPING)
    assert problems.lasting == []


def test_the_log_names_a_problem_once_and_its_end() -> None:
    problems = ProblemList()
    with capture_logs() as lines:
        for second in range(5):
            problems.update([HIDDEN], after(second))
        problems.update([], after(7))
    assert [(line["event"], line["kind"]) for line in lines] == [
        ("problem.found", "hidden-records"),
        ("problem.over", "hidden-records"),
    ]
    assert (lines[0]["next"], lines[1]["lasted_seconds"]) == (NEXT["hidden-records"], 7)


def test_what_is_over_after_a_moment_is_not_logged_and_words_are_one_line() -> None:
    problems = ProblemList()
    with capture_logs() as lines:
        (found,) = problems.update([HIDDEN._replace(what="full\nHINT:  Make room.")], T)
        problems.update([], after(1))
    assert (lines, found.what) == ([], "full HINT: Make room.")


def test_a_report_is_read_as_it_was_written_and_kinds_of_later_releases_are_left_out() -> None:
    problems = ProblemList().update([FULL, HIDDEN], T)
    report = Report("active", 1.5, problems)
    assert read_report(written(report)) == report
    unknown = msgspec.structs.replace(problems[0], kind="of-a-later-release")
    assert read_report(written(msgspec.structs.replace(report, problems=[unknown, *problems]))) == report


@pytest.mark.parametrize("kind", NEXT)
def test_each_kind_says_what_to_do(kind: str) -> None:
    assert NEXT[kind][0].isupper()
    assert not NEXT[kind].endswith(".")
