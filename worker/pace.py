"""When long work says again how far it is."""

import time
from typing import Final

PROGRESS_SECONDS: Final = 5.0
"""How often a command that takes long says how far it is."""


class Pace:
    """`is_due` every so many seconds, PROGRESS_SECONDS unless told; the first time after as many."""

    def __init__(self, seconds: float | None = None) -> None:
        self._seconds = PROGRESS_SECONDS if seconds is None else seconds
        self._next = time.monotonic() + self._seconds

    def is_due(self) -> bool:
        """Whether the time has come; the next one is counted from now."""
        if time.monotonic() < self._next:
            return False
        self._next = time.monotonic() + self._seconds
        return True
