"""Places that the relay writes to."""

from collections.abc import Iterable

Place = tuple[str, int]
"""Topic (with prefix) and partition."""


def named(places: Iterable[Place]) -> str:
    """The places in words, in order."""
    return ", ".join(f"{topic}, partition {partition}" for topic, partition in sorted(places))
