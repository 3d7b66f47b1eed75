"""The wall clock, real and simulated."""

import time
from datetime import UTC, datetime, timedelta

import pytest

from worker.wall_clock import SimulatedClock, WallClock, wall_clock

MARCH = datetime(2026, 3, 1, tzinfo=UTC)


def test_the_real_clock_shows_utc() -> None:
    before = datetime.now(UTC)
    shown = wall_clock(None).now()
    assert before - timedelta(milliseconds=1) <= shown <= datetime.now(UTC)
    assert WallClock().at(0) == datetime(1970, 1, 1, tzinfo=UTC)


def test_a_simulated_clock_starts_at_its_start_and_runs_at_its_rate() -> None:
    clock = SimulatedClock(MARCH, 3600, anchor=1_000)
    assert clock.at(1_000) == MARCH
    assert clock.at(1_002) == MARCH + timedelta(hours=2)


def test_a_simulated_clock_never_shows_a_time_before_its_start() -> None:
    assert SimulatedClock(MARCH, 60, anchor=1_000).at(5) == MARCH


def test_a_simulated_clock_stands_still_at_rate_0() -> None:
    assert SimulatedClock(MARCH, 0, anchor=0).now() == MARCH


def test_a_simulated_clock_comes_to_an_end_rather_than_fail() -> None:
    assert SimulatedClock(MARCH, 1e9, anchor=0).now() == datetime.max.replace(tzinfo=UTC)


def test_a_spec_begins_now_or_at_its_anchor() -> None:
    began = time.time()
    shown = wall_clock("2026-03-01T01:00:00+01:00@60").now()
    assert MARCH <= shown <= MARCH + timedelta(seconds=60 * (time.time() - began + 0.1))
    assert wall_clock("2026-03-01T00:00:00Z@60@1970-01-01T00:00:10Z").at(11) == MARCH + timedelta(minutes=1)


@pytest.mark.parametrize(
    "spec",
    [
        "yesterday@1",
        "2026-03-01T00:00:00Z",
        "2026-03-01T00:00:00Z@fast",
        "2026-03-01@1",
        "2026-03-01T00:00:00Z@-1",
        "@",
    ],
)
def test_a_spec_that_cannot_be_read_is_refused_in_words(spec: str) -> None:
    with pytest.raises(ValueError, match=r"simulated time"):
        wall_clock(spec)
