"""Named points that the worker passes. In production nothing listens; tests end the process there."""

from collections.abc import Callable

Probe = Callable[[str], None]


def no_probe(_point: str) -> None:
    """Nobody listens."""
