"""The one wall clock of a process. Everybody who needs the time of day is given it; nobody asks the system."""

import time
from datetime import UTC, datetime, timedelta
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST: Final = datetime.max.replace(tzinfo=UTC)


class WallClock:
    """The real time."""

    def now(self) -> datetime:
        """The present instant, in UTC."""
        return self.at(time.time())

    def at(self, unix_seconds: float) -> datetime:
        """The instant this clock shows at a real one, given in seconds since 1970."""
        return _EPOCH + timedelta(seconds=unix_seconds)


class SimulatedClock(WallClock):
    """A time that starts where one likes and runs as fast as one likes; for demonstrations and tests.

    It shows `start` at the real instant `anchor` (seconds since 1970; None: now) and then runs `rate` seconds a second.
    Processes that are to agree on the time must be given the same anchor.
    """

    def __init__(self, start: datetime, rate: float, anchor: float | None = None) -> None:
        if start.tzinfo is None:
            raise ValueError("the start of a simulated time needs an offset, such as Z")
        if not 0 <= rate <= 1e9:  # noqa: PLR2004 - thirty years a second
            raise ValueError("the rate of a simulated time lies between 0 and 1000000000 seconds a second")
        self._start = start.astimezone(UTC)
        self._rate = rate
        self._anchor = time.time() if anchor is None else anchor

    def at(self, unix_seconds: float) -> datetime:
        """The instant this clock shows at a real one; never before its start, and the last one there is at the end."""
        passed = max(0.0, unix_seconds - self._anchor) * self._rate
        try:
            return self._start + timedelta(seconds=passed)
        except OverflowError:
            return _LATEST


def wall_clock(spec: str | None) -> WallClock:
    """Make the clock that `CONNECTS_CLOCK` asks for: `<start>@<rate>`, or the real one where it asks for none.

    `2026-03-01T00:00:00Z@3600` starts in March and passes an hour a second. A third part, `...@3600@<instant>`, is the
    real instant at which it shows its start; without it that is when this process made it.

    Raises:
        ValueError: the text is not of that form.
    """
    if not spec:
        return WallClock()
    parts = spec.split("@")
    if len(parts) not in (2, 3):
        raise ValueError(f"a simulated time is written <start>@<rate>, as in 2026-03-01T00:00:00Z@3600, not {spec!r}")
    try:
        start, rate = datetime.fromisoformat(parts[0]), float(parts[1])
        anchor = datetime.fromisoformat(parts[2]).timestamp() if len(parts) > 2 else None  # noqa: PLR2004
    except ValueError as error:
        raise ValueError(f"the simulated time {spec!r} cannot be read: {error}") from error
    return SimulatedClock(start, rate, anchor)
