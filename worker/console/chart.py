"""The balance as a line of steps, with a marker for each change that names it: numbers for an SVG in a template."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple

from worker.queries.history import ChangeRecord
from worker.words.times import to_the_minute

WIDTH: Final = 720
HEIGHT: Final = 180
_TOP: Final = 14
_BOTTOM: Final = 24
_LEFT: Final = 40
_RIGHT: Final = 10
_FEWEST: Final = 2
"""A line needs two points."""


class Marker(NamedTuple):
    """A change on the line; `kind` is `in` or `out`."""

    x: float
    y: float
    kind: str
    words: str


class Tick(NamedTuple):
    """A number beside the axis."""

    y: float
    label: str


class Chart(NamedTuple):
    """A drawing in units of its `width` and `height`: the path of the line, its markers, and the ends of its axes.

    It is drawn from `left` to `right`.
    """

    path: str
    markers: list[Marker]
    ticks: list[Tick]
    first: datetime
    last: datetime
    zero: float
    left: int = _LEFT
    right: int = WIDTH - _RIGHT
    width: int = WIDTH
    height: int = HEIGHT


def balance_chart(newest_first: Sequence[ChangeRecord]) -> Chart | None:
    """The chart of these changes in the order in which they were recorded; None for fewer than two."""
    changes = list(reversed(newest_first))
    if len(changes) < _FEWEST:
        return None
    before = changes[0].balance_after - changes[0].delta
    most = max(0, before, *(one.balance_after for one in changes))
    least = min(0, before, *(one.balance_after for one in changes))
    first, last = min(one.occurred_at for one in changes), max(one.occurred_at for one in changes)
    seconds = (last - first).total_seconds() or 1.0

    def across(at: datetime) -> float:
        return round(_LEFT + (at - first).total_seconds() / seconds * (WIDTH - _LEFT - _RIGHT), 1)

    def up(balance: int) -> float:
        return round(HEIGHT - _BOTTOM - (balance - least) / ((most - least) or 1) * (HEIGHT - _TOP - _BOTTOM), 1)

    path, reached = f"M{across(first)} {up(before)}", first
    markers = []
    for one in changes:
        reached = max(reached, one.occurred_at)  # a late event counts where it was booked
        path += f"H{across(reached)}V{up(one.balance_after)}"
        words = f"{to_the_minute(one.occurred_at)}: {one.delta:+d}, balance {one.balance_after}. {one.explanation}"
        markers.append(Marker(across(reached), up(one.balance_after), "in" if one.delta > 0 else "out", words))
    ticks = [Tick(up(balance), str(balance)) for balance in sorted({least, 0, most})]
    return Chart(path, markers, ticks, first, last, up(0))
