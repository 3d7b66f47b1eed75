"""The time of a demo: as usual while its questions are asked, then as fast as wished, for the worker and all others.

All have the same `CONNECTS_CLOCK`, anchored at a real instant, so that worker, marketplace and payment
service agree on the time to the microsecond.
"""

from datetime import UTC, datetime
from typing import Final

from worker.settings import SettingsError
from worker.wall_clock import WallClock, wall_clock

DAY_SECONDS: Final = 86_400
DEFAULT_SPEED: Final = float(DAY_SECONDS)
"""A day every second: a month of cycles passes in half a minute."""

FASTEST: Final = 3.0 * DAY_SECONDS
"""Faster, the longest possible grace, a day, would leave events less than a third of a second to arrive."""

_GRACE_SECONDS: Final = 2
_REAL_GRACE_SECONDS: Final = 0.5
_MOST_GRACE_SECONDS: Final = DAY_SECONDS
_YEARS: Final = range(1971, 9000)


class DemoTime:
    """A time that passes as usual from `start` (None: now) until `hurry`, and `speed` seconds a second from then on."""

    def __init__(self, speed: float = DEFAULT_SPEED, start: datetime | None = None) -> None:
        self.speed = speed
        self.spec = ""
        """The value of `CONNECTS_CLOCK` for a worker that starts now; empty: it needs none."""
        self._clock = WallClock()
        if start is not None:
            self._run(start, 1)

    @classmethod
    def asked(cls, speed: float | None, clock: str) -> "DemoTime":
        """Return the time that `--speed` (None: not given) or `CONNECTS_CLOCK` (empty: not set) asks for.

        Of the latter the start counts, and its rate unless a speed was given.

        Raises:
            SettingsError: it cannot be shown.
        """
        start = None
        if clock:
            try:
                start = wall_clock(clock).now()
            except ValueError as error:
                raise SettingsError(f"CONNECTS_CLOCK: {error}") from None
            if start.year not in _YEARS:
                raise SettingsError(f"CONNECTS_CLOCK: the demo plays in the years from {_YEARS[0]} to {_YEARS[-1]}")
        name, asked = ("--speed", speed) if speed is not None or not clock else ("CONNECTS_CLOCK", _rate_of(clock))
        if asked is not None and not 1 <= asked <= FASTEST:
            raise SettingsError(
                f"{name}: the demo's time runs from 1 (as usual) to {FASTEST:.0f} seconds a second, not {asked:g}"
            )
        return cls(DEFAULT_SPEED if asked is None else asked, start)

    @property
    def is_fast(self) -> bool:
        """Whether it will run faster than usual."""
        return self.speed > 1

    @property
    def grace_seconds(self) -> int:
        """How long a worker waits beyond an instant: half a real second of this time, so that events arrive in time.

        The usual 30 seconds are long for a demo at the usual speed: there it is two.
        """
        if not self.is_fast:
            return _GRACE_SECONDS
        return round(min(max(self.speed * _REAL_GRACE_SECONDS, _GRACE_SECONDS), _MOST_GRACE_SECONDS))

    def now(self) -> datetime:
        """The present instant of the demo."""
        return self._clock.now()

    def wait_seconds(self, until: datetime) -> float:
        """Return how far away that is, in real seconds; below zero when it is over."""
        return (until - self.now()).total_seconds() / self.speed

    def hurry(self) -> None:
        """Run at full speed from now on. All that have the earlier `spec` need the new one."""
        if self.is_fast:
            self._run(self.now(), self.speed)

    def _run(self, start: datetime, speed: float) -> None:
        self.spec = f"{start.isoformat()}@{speed:g}@{datetime.now(UTC).isoformat()}"
        self._clock = wall_clock(self.spec)


def _rate_of(clock: str) -> float:
    return float(clock.split("@")[1])


def pace(speed: float) -> str:
    """A speed in words: `a day passes every second`."""
    units = (("a day", "days", DAY_SECONDS), ("an hour", "hours", 3_600), ("a minute", "minutes", 60))
    for one, many, seconds in units:
        if speed >= seconds:
            count = speed / seconds
            return f"{one} passes every second" if count == 1 else f"{count:.3g} {many} pass every second"
    return "time passes as usual" if speed == 1 else f"{speed:.3g} seconds pass every second"
