"""Instants and time spans as operators read them."""

from datetime import datetime


def when(instant: datetime | None) -> str:
    """An instant in UTC, to the second."""
    return "" if instant is None else f"{instant:%Y-%m-%d %H:%M:%S}"


def to_the_minute(instant: datetime) -> str:
    """An instant in UTC, which says so: 2026-09-09 09:00 UTC."""
    return f"{instant:%Y-%m-%d %H:%M} UTC"


def lasting(seconds: float) -> str:
    """A time span in its two largest units: 45 s, 3 min 20 s, 2 h 5 min, 12 d 4 h."""
    units = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
    left = round(seconds)
    parts: list[str] = []
    for size, name in units:
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count} {name}")
    return " ".join(parts[:2]) or "0 s"
