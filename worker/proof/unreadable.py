"""What a check makes of rows that hold what no release wrote. No I/O."""

from typing import Final

from worker.errors import OperatorNeeded

_LONGEST: Final = 200


class Unreadable(OperatorNeeded):
    """What the ledger has cannot be read, so a check cannot go on: the text says what is wrong."""


def in_words(error: Exception) -> str:
    """What is wrong with a row that could not be read, or worked with, in one line."""
    said = " ".join(str(error).split())[:_LONGEST]
    return f"{said} ({type(error).__name__})" if said else type(error).__name__
