"""Values of options that several commands take: instants, and ranges of whole numbers. What is wrong is exit 2."""

import re
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

import typer

from worker.proof.heads import Head

_INSTANT_EXAMPLE: Final = "2026-03-14T09:00:00Z"
_LARGEST: Final = 2**63 - 1
"""What PostgreSQL's bigint holds."""
_WHOLE: Final = r"[+-]?\d{1,19}"
_RANGE: Final = re.compile(rf"({_WHOLE})\.\.({_WHOLE})")
_MONTH: Final = re.compile(r"(\d{4})-(\d\d)")
_DURATION: Final = re.compile(r"(\d{1,7})([smhd])")
_UNITS: Final = {
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
}
_COMPARED: Final = re.compile(rf"(>=|<=|>|<|=|)({_WHOLE})")


class Bounds(NamedTuple):
    """A range of whole numbers, both ends included."""

    least: int
    most: int


def require_one_of(option: str, given: str | None, known: Collection[str]) -> None:
    """Refuse what an option does not know; where nothing is given, nothing is refused.

    Raises:
        typer.BadParameter: it is none of the known.
    """
    if given is not None and given not in known:
        raise typer.BadParameter(f"{option} is one of {', '.join(known)}, not {given!r}")


def require_order(first: str, start: datetime | None, last: str, end: datetime | None) -> None:
    """Refuse an option `first` whose instant is not before that of the option `last`; where one is None, neither is.

    Raises:
        typer.BadParameter: nothing is between them.
    """
    if start is not None and end is not None and start >= end:
        raise typer.BadParameter(f"nothing is between {first} and {last}: the first has to be earlier")


def instant(option: str, text: str | None) -> datetime | None:
    """The instant that an option gives, in UTC; None if it is not given.

    Raises:
        typer.BadParameter: it is no instant, or has no time zone.
    """
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
        if at.tzinfo is None:
            raise typer.BadParameter(
                f"{option}: {text!r} has no time zone. Give one, as in {_INSTANT_EXAMPLE} or 2026-03-14T10:00:00+01:00"
            )
        return at.astimezone(UTC)
    except (ValueError, OverflowError):
        raise typer.BadParameter(
            f"{option}: {text!r} is not an instant. Give a date, a time and a zone, as in {_INSTANT_EXAMPLE}"
        ) from None


def month_begins(option: str, text: str | None) -> datetime | None:
    """The first instant, in UTC, of the month that an option gives; None if it is not given.

    Raises:
        typer.BadParameter: it is no month.
    """
    if text is None:
        return None
    found = _MONTH.fullmatch(text.strip())
    if found is None or not 1 <= int(found[2]) <= 12 or not 1 <= int(found[1]) < 9999:  # noqa: PLR2004
        raise typer.BadParameter(f"{option} is a year and a month, as in 2026-11, not {text!r}")
    return datetime(int(found[1]), int(found[2]), 1, tzinfo=UTC)


def amounts(option: str, text: str | None) -> Bounds | None:
    """The range of amounts that an option gives: 12, -3, >0, <=5 or 10..20; None if it is not given.

    Raises:
        typer.BadParameter: it is none of these, or an empty range.
    """
    if text is None:
        return None
    compact = "".join(text.split())
    if (compared := _COMPARED.fullmatch(compact)) is not None:
        sign, number = compared[1], int(compared[2])
        bounds = {
            ">": Bounds(number + 1, _LARGEST),
            ">=": Bounds(number, _LARGEST),
            "<": Bounds(-_LARGEST, number - 1),
            "<=": Bounds(-_LARGEST, number),
        }.get(sign, Bounds(number, number))
        return _within_reach(option, text, bounds)
    return _range(option, text, 'a whole number or a range, as in 12, -3, ">0" or 10..20')


def offsets(option: str, text: str | None) -> Bounds | None:
    """The range of offsets that an option gives: 17 or 100..200; None if it is not given.

    Raises:
        typer.BadParameter: it is neither, or an empty range.
    """
    if text is None:
        return None
    expected = "an offset or a range of them, as in 17 or 100..200"
    bounds = (
        _within_reach(option, text, Bounds(int(text), int(text)))
        if text.isdecimal()
        else _range(option, text, expected)
    )
    if bounds.least < 0:
        raise typer.BadParameter(f"{option} is {expected}, not {text!r}")
    return bounds


def _range(option: str, text: str, expected: str) -> Bounds:
    found = _RANGE.fullmatch("".join(text.split()))
    if found is None:
        raise typer.BadParameter(f"{option} is {expected}, not {text!r}")
    bounds = Bounds(int(found[1]), int(found[2]))
    if bounds.least > bounds.most:
        raise typer.BadParameter(f"{option}: nothing is in {text!r}. Put the smaller number first")
    return _within_reach(option, text, bounds)


def _within_reach(option: str, text: str, bounds: Bounds) -> Bounds:
    if max(map(abs, bounds)) > _LARGEST:
        raise typer.BadParameter(f"{option}: {text!r} is beyond what a ledger can hold")
    return bounds


def duration(option: str, text: str | None) -> timedelta | None:
    """The length of time that an option gives: 90s, 15m, 1h or 2d; None if it is not given.

    Raises:
        typer.BadParameter: it is none of these.
    """
    if text is None:
        return None
    found = _DURATION.fullmatch(text.strip())
    if found is None:
        raise typer.BadParameter(f"{option} is a number and a unit, as in 90s, 15m, 1h or 2d, not {text!r}")
    return int(found[1]) * _UNITS[found[2]]


def shift_of(option: str, text: str | None) -> timedelta | None:
    """By how much an option dates something otherwise: +24h, -90m; None if it is not given.

    Raises:
        typer.BadParameter: it is none of these, or nothing.
    """
    if text is None:
        return None
    given = text.strip()
    if given[:1] not in {"+", "-"} or not (length := duration(option, given[1:])):
        raise typer.BadParameter(f"{option} is a sign, a number and a unit, as in +24h or -90m, not {text!r}")
    return length if given[0] == "+" else -length


def head_typed(option: str, text: str | None) -> Head | None:
    """The head of a ledger, SIZE:HEX, if one was typed.

    Raises:
        typer.BadParameter: it is not one.
    """
    try:
        return None if text is None else Head.parsed(text)
    except ValueError as error:
        raise typer.BadParameter(f"{option}: {error}") from None
