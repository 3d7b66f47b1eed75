"""How long something lasted, as people say it."""

import pytest

from worker.words.times import lasting


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (30.5, "30 s"),
        (61, "1 min 1 s"),
        (3_600, "1 h"),
        (7_500.4, "2 h 5 min"),
        (86_399.6, "1 d"),
        (27_242_339, "315 d 7 h"),
    ],
)
def test_a_time_span_is_shown_in_its_two_largest_units(seconds: float, words: str) -> None:
    assert lasting(seconds) == words
