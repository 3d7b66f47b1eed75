"""Whether the leader gets on while records wait, as far as the ledger shows it. A lease alone can outlive all work."""

import asyncio
import time
from typing import Final, NamedTuple

from worker.ledger.connections import ENCODINGS, Connection, encoding_of
from worker.ledger.sql import load
from worker.words.phrases import counted

_SQL: Final = load("asking.sql")
_QUIET_SECONDS: Final = 20.0
"""An idle leader writes a batch every 10 s, so one that wrote none for longer is stuck."""
_TAKEN_AGAIN: Final = 3
_WATCHED_SECONDS: Final = 3.0
_WATCHED_AT_FIRST_SECONDS: Final = 10.0
"""How long a ledger without any batch is watched: its first leader may just begin."""
_LOOK_SECONDS: Final = 0.25


class _Look(NamedTuple):
    """Where the ledger is: `quiet_seconds` since the last batch (None: there is none), `taken_again` without effect."""

    last_seq: int
    read: int
    quiet_seconds: float | None
    taken_again: int

    @property
    def is_suspect(self) -> bool:
        return self.quiet_seconds is None or self.quiet_seconds > _QUIET_SECONDS or self.taken_again >= _TAKEN_AGAIN


async def standstill(connection: Connection, waiting: int, holder: str) -> str | None:
    """What to tell an operator when `waiting` records wait and the leader does not get on; None while it does.

    The age of the last batch is by the worker's clock, which may be off: so the ledger is also watched for a moment.
    """
    first = await _look(connection)
    if not waiting or not first.is_suspect:
        return None
    until = time.monotonic() + (_WATCHED_AT_FIRST_SECONDS if first.quiet_seconds is None else _WATCHED_SECONDS)
    while time.monotonic() < until:
        await asyncio.sleep(_LOOK_SECONDS)
        look = await _look(connection)
        if (look.last_seq, look.read) != (first.last_seq, first.read):
            return None
    why = f"the leader {holder} does not get on"
    if first.taken_again >= _TAKEN_AGAIN:
        why = f"the ledger was taken {first.taken_again} times, last by {holder}, and nothing was decided"
    elif first.quiet_seconds is not None:
        why += f": it has written nothing for {first.quiet_seconds:.0f} s"
    records = counted(waiting, "record waits", "records wait")
    return f"{why}, though {records}.{await _no_connections(connection)} See its log and its /health/ready."


def wrong_encoding(connection: Connection) -> str | None:
    """What to tell an operator about a database whose encoding cannot hold every text; None if it can."""
    if (encoding := encoding_of(connection)) in ENCODINGS:
        return None
    return (
        f"the database's encoding is {encoding}, which cannot hold every text: no worker works on it. Move the ledger "
        "to a database of encoding UTF8 (pg_dump, then CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0)."
    )


async def _look(connection: Connection) -> _Look:
    row = await connection.fetchrow(_SQL["progress"])
    return _Look(0, 0, None, 0) if row is None else _Look(*row)


async def _no_connections(connection: Connection) -> str:
    """Which limit of connections the workers have come to, if they have."""
    row = await connection.fetchrow(_SQL["connections_of_workers"])
    if row is None:
        return ""
    for whose, used, most in (
        (f"role {row['role']}", row["of_role"], row["most_of_role"]),
        (f"database {row['database']}", row["of_database"], row["most_of_database"]),
        ("server", row["of_server"], row["most_of_server"]),
    ):
        if most is not None and used >= most:
            return f" All {most} connections of the {whose} are in use, so it may lack some (docs/operations.md)."
    return ""
