"""A pooler before PostgreSQL must pool by session, for a worker's settings, staging tables and locks belong to one."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

import asyncpg

from worker.errors import UsageError
from worker.ledger.sql import load

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]

_SQL: Final = load("connections.sql")
_LOOKS: Final = 3
"""Other clients of the pooler may have taken the server that the first connection used: then we look again."""
_QUESTIONS: Final = 8
"""At each look so many statements ask for the mark: each may get another server, if others want servers as well."""
_TURN_SECONDS: Final = 1.0
"""A pool without a free server keeps its clients waiting. By session that proves nothing."""
_BY_STATEMENT: Final = "statement pooling"
"""In PgBouncer's answer to BEGIN."""


async def require_session_pooling(
    connection: "Connection", open_another: Callable[[], "Awaitable[Connection]"], setting: str
) -> None:
    """Refuse a pooler that gives a server to another client while this connection is open.

    The connection leaves a mark in its session. A second connection then holds a server in a transaction. If that one
    sees the mark, or the first one does not see it any more, their servers are not their own. This is found whether or
    not other clients use the pooler, and before any setting is made, which would stay behind for others.

    Raises:
        UsageError: it pools by transaction or by statement; `setting` names the address to correct.
    """
    mark = secrets.token_hex(8)
    try:
        for _ in range(_LOOKS):
            await value_of(connection, _SQL["mark_session"], mark)
            other = await open_another()
            try:
                if await _mark_seen_in_a_transaction(other) == mark:
                    await other.execute(_SQL["forget_mark"])
                    raise _refusal("transaction", setting)
                for _ in range(_QUESTIONS):
                    if await value_of(connection, _SQL["marked"]) != mark:
                        raise _refusal("transaction", setting)
            finally:
                other.terminate()
    except asyncpg.InvalidSQLStatementNameError:  # parsed on one server, executed on another
        raise _refusal("transaction", setting) from None
    except asyncpg.PostgresConnectionError as error:
        if _BY_STATEMENT not in str(error):
            raise
        raise _refusal("statement", setting) from None


async def value_of(connection: "Connection", statement: str, *arguments: object) -> object:
    """The first value of a statement that leaves nothing prepared behind, as a pooled server would keep it."""
    prepared = await connection.prepare(statement, name="")
    return await prepared.fetchval(*arguments)


async def _mark_seen_in_a_transaction(other: "Connection") -> object:
    """Let the other connection hold a server in a transaction: the mark that it sees; None if no server is free."""
    try:
        async with asyncio.timeout(_TURN_SECONDS):
            await other.execute("BEGIN")
            return await value_of(other, _SQL["marked"])
    except TimeoutError:
        return None


def _refusal(pools_by: str, setting: str) -> UsageError:
    return UsageError(
        f"{setting}: the pooler before PostgreSQL pools by {pools_by}, and a worker needs its session for itself. "
        "Set pool_mode = session for this database (PgBouncer), or give the address of PostgreSQL itself."
    )
