"""Instants read in bulk from PostgreSQL: each is made once, however many of the rows read lately have it.

A batch's rows share the time at which it was recorded, and a change has its decision's: making each of them anew took
more than half of the time in which rows are read.
"""

from datetime import UTC, datetime, timedelta
from typing import Final

from worker.ledger.connections import Connection

_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
"""PostgreSQL counts microseconds from there."""
_MICROSECOND: Final = timedelta(microseconds=1)
_NEVER: Final = {2**63 - 1: datetime.max, -(2**63): datetime.min}  # noqa: DTZ901 - as the driver reads infinity
_FOREVER: Final = {instant.replace(tzinfo=UTC): microseconds for microseconds, instant in _NEVER.items()}
"""As the driver writes it."""
_MOST: Final = 20_000


async def share_instants(connection: Connection) -> None:
    """Have a connection read equal instants as one object; for one that reads very many rows."""
    await connection.set_type_codec(
        "timestamptz", schema="pg_catalog", format="tuple", encoder=_written, decoder=Instants().__getitem__
    )


class Instants(dict[tuple[int], datetime]):
    """Instants by their microseconds, as the driver gives them; those that were read lately."""

    def __missing__(self, microseconds: tuple[int]) -> datetime:
        if (never := _NEVER.get(microseconds[0])) is not None:
            return never
        if len(self) >= _MOST:
            self.clear()
        instant = self[microseconds] = _EPOCH + timedelta(0, 0, microseconds[0])
        return instant


def _written(instant: datetime) -> tuple[int]:
    never = _FOREVER.get(instant)
    return ((instant - _EPOCH) // _MICROSECOND if never is None else never,)
