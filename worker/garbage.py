"""How often Python looks for garbage, where very many objects are kept and nearly none of them refer to themselves."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_SELDOM: Final = (500_000, 20, 50)
"""How many objects more there must be before it looks through the young ones, and how often through the older ones."""


_within: Final[list[tuple[int, int, int]]] = []
"""For each of those that go on now, how often it looked before the first of them."""


@contextmanager
def seldom_collected() -> Iterator[None]:
    """Have it look through all objects seldom: that took an eighth of the time. Several may go on at one time."""
    _within.append(_within[0] if _within else gc.get_threshold())
    gc.set_threshold(*_SELDOM)
    try:
        yield
    finally:
        before = _within.pop()
        if not _within:
            gc.set_threshold(*before)
