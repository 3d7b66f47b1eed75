"""How large the long tests are: a tenth in the everyday run, whole in `make soak` (TEST_SOAK=1)."""

import os
from typing import Final

SOAK: Final = float(os.environ.get("TEST_SOAK", "0.1"))
"""Which part of its whole size a long test has, unless its own setting says so."""


def size(name: str, whole: int, *, least: int) -> int:
    """The value of a setting TEST_<name>: by default the part SOAK of `whole`, but `least` at least."""
    given = os.environ.get(f"TEST_{name}")
    return round(float(given)) if given else max(least, round(whole * SOAK))
