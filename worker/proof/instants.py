"""Instants read in bulk from PostgreSQL: each is made once, however many of the rows read lately have it.

A batch's rows share the time at which it was recorded, and a change has its decision's: making each of them anew took
more than half of the time in which rows are read. One that is no instant of Python's, for its row was damaged, is read
as the first or the last one, and so are days: it is never what was hashed, or what it should be.
"""

from datetime import UTC, date, datetime, timedelta
from typing import Final

from worker.ledger.connections import Connection

_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
"""PostgreSQL counts microseconds from there."""
_MICROSECOND: Final = timedelta(microseconds=1)
_FIRST: Final = datetime.min.replace(tzinfo=UTC)
_LAST: Final = datetime.max.replace(tzinfo=UTC)
_FOREVER: Final = {_LAST: 2**63 - 1, _FIRST: -(2**63)}
"""Infinity, as the driver writes it."""
_DAY: Final = date(2000, 1, 1)
_MOST: Final = 20_000


async def share_instants(connection: Connection) -> None:
    """Have a connection read equal instants as one object; for one that reads very many rows."""
    await connection.set_type_codec(
        "timestamptz", schema="pg_catalog", format="tuple", encoder=_written, decoder=Instants().__getitem__
    )
    await connection.set_type_codec("date", schema="pg_catalog", format="tuple", encoder=_counted, decoder=_day)


class Instants(dict[tuple[int], datetime]):
    """Instants by their microseconds, as the driver gives them; those that were read lately."""

    def __missing__(self, microseconds: tuple[int]) -> datetime:
        if len(self) >= _MOST:
            self.clear()
        try:
            instant = self[microseconds] = _EPOCH + timedelta(0, 0, microseconds[0])
        except OverflowError:
            return _LAST if microseconds[0] > 0 else _FIRST
        return instant


def _written(instant: datetime) -> tuple[int]:
    never = _FOREVER.get(instant)
    return ((instant - _EPOCH) // _MICROSECOND if never is None else never,)


def _day(days: tuple[int]) -> date:
    try:
        return _DAY + timedelta(days[0])
    except OverflowError:
        return date.max if days[0] > 0 else date.min


def _counted(day: date) -> tuple[int]:
    return ((day - _DAY).days,)
