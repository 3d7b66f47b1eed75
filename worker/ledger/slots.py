"""What is said when PostgreSQL has no more connections for a worker."""

from typing import Final, NamedTuple

import asyncpg

from worker.errors import Transient, UsageError
from worker.ledger.budget import LEAST, MOST_BY_DEFAULT, STANDBY
from worker.ledger.connections import Connection
from worker.ledger.sql import load

_SQL: Final = load("connections.sql")
_LIMITS: Final = {
    "for role": "the role's limit (ALTER ROLE ... CONNECTION LIMIT)",
    "for database": "the database's limit (ALTER DATABASE ... CONNECTION LIMIT)",
    "no more connections allowed": "the pooler's limit (max_client_conn)",
}
"""By what the server says; whatever else it says is about its own limit."""
_SERVERS_LIMIT: Final = "the server's limit (max_connections)"


class Limit(NamedTuple):
    """How many connections may be open at once, and `whose` limit that is, with where it is set."""

    most: int
    whose: str


class NoSlot(Transient):
    """PostgreSQL, or the pooler before it, refused a connection because there are too many."""


def lacks_slot(error: Exception) -> bool:
    """Whether an exception from connecting says that there are too many connections."""
    if isinstance(error, asyncpg.TooManyConnectionsError | NoSlot):
        return True
    return isinstance(error, asyncpg.ProtocolViolationError) and "no more connections" in str(error)


def no_slot(error: Exception, has: int) -> NoSlot:
    """What refused, how many connections this worker has, how many it needs, and what to do.

    A pooler without a free server refuses nothing: it lets its clients wait.
    """
    said = str(error)
    if isinstance(error, TimeoutError):
        return NoSlot(
            f"PostgreSQL gave this worker no further connection, which has {has} and needs at least {LEAST}: {said}. "
            "If there is a pooler, its pool for this database may be too small (default_pool_size)"
        )
    limit = next((words for part, words in _LIMITS.items() if part in said), _SERVERS_LIMIT)
    return NoSlot(
        f"PostgreSQL has no connection left for this worker, which has {has} and needs at least {LEAST}: {said}. "
        f"Raise {limit}, or end other programs' connections; the worker goes on by itself then"
    )


async def limits_of(connection: Connection) -> list[Limit]:
    """The limits that count for this role, however many connections are in use now."""
    row = await connection.fetchrow(_SQL["slots"])
    if row is None:
        return []
    limits = (
        (row["of_role"], f"the role {row['role']} (ALTER ROLE {row['quoted_role']} CONNECTION LIMIT ...)"),
        (row["of_database"], f"the database {row['database']} (ALTER DATABASE {row['quoted_database']} ...)"),
        (row["of_server"], "the server (max_connections)"),
    )
    return [Limit(most, whose) for most, whose in limits if most is not None]


async def require_slots(connection: Connection) -> None:
    """Refuse an address that can never have as many connections as a worker needs, however many are in use now.

    Raises:
        UsageError: with the limit that is too low.
    """
    for most, whose in await limits_of(connection):
        if most < LEAST:
            raise UsageError(
                f"DATABASE_URL: the limit of {whose} allows {most} connections, and a worker needs at least {LEAST}. "
                f"Raise it; {MOST_BY_DEFAULT} for the leader and {STANDBY} for each standby are enough."
            )
