"""Named points that the worker passes. In production nothing happens there; tests end or stop the process."""

from collections.abc import Callable

FaultPoint = Callable[[str], None]
"""Called with the name of the point that is passed."""


def no_fault(_point: str) -> None:
    """Do nothing, as in production."""
