"""How large the long tests are: a tenth in the everyday run, whole in `make soak` (TEST_SOAK=1).

What has a size of its own is made smaller. Of what has none (the mark in_turn) so many are run, others each day.
"""

import os
import zlib
from typing import Final

SOAK: Final = float(os.environ.get("TEST_SOAK", "0.1"))
"""Which part of its whole size a long test has, unless its own setting says so."""


def size(name: str, whole: int, *, least: int) -> int:
    """The value of a setting TEST_<name>: by default the part SOAK of `whole`, but `least` at least."""
    given = os.environ.get(f"TEST_{name}")
    return round(float(given)) if given else max(least, round(whole * SOAK))


def is_turn_of(test: str, day: int, part: float = SOAK) -> bool:
    """Whether this test is of the part that runs on this day (a number of days). In 1 / part days each has its turn.

    A fifth of them is not the tenth of that day and as many more: `.ci/run` runs both, one after the other.
    """
    days = max(1, round(1 / part))
    return (zlib.crc32(f"{test} {days}".encode()) + day) % days == 0
