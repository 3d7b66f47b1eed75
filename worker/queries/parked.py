"""`connects parked list`: wallets and jobs stopped by a failure."""

from datetime import datetime
from typing import Final

import msgspec

from worker.ledger.connections import Connection
from worker.ledger.sql import load

_SQL: Final = load("asking.sql")


class ParkedRecord(msgspec.Struct, frozen=True):
    """A stopped wallet or job: since when, why, on which trigger, and how many wait, that one included."""

    scope: str
    key: str
    since: datetime
    error: str
    topic: str | None
    partition: int | None
    offset: int | None
    event_id: str | None
    waiting: int


class Parked(msgspec.Struct, frozen=True):
    """Everything that is stopped, oldest first."""

    parked: list[ParkedRecord]


class ParkedOfCause(msgspec.Struct, frozen=True):
    """Wallets or jobs stopped by one error, since the first of them; `key` is one of them."""

    error: str
    stopped: int
    since: datetime
    scope: str
    key: str


async def parked_by_cause(connection: Connection, most: int) -> list[ParkedOfCause]:
    """What is stopped now, counted by error: the `most` frequent."""
    return [ParkedOfCause(*row) for row in await connection.fetch(_SQL["parked_by_cause"], most)]


async def list_parked(connection: Connection) -> Parked:
    """What is stopped now."""
    return Parked([ParkedRecord(*row) for row in await connection.fetch(_SQL["parked"])])
