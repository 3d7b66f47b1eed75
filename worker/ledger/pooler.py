"""A pooler before PostgreSQL must pool by session, for a worker's settings, staging tables and locks belong to one."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

import asyncpg

from worker.errors import UsageError
from worker.ledger.deadlines import NoAnswer, answered_within
from worker.ledger.sql import load

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]

_SQL: Final = load("connections.sql")
_LOOKS: Final = 3
"""Other clients of the pooler may have taken the server that the first connection used: then we look again."""
_TURN_SECONDS: Final = 1.0
"""A pool without a free server keeps its clients waiting. Only one that pools by session can be checked then."""


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
    try:
        pools_by = await _pools_by(connection, open_another)
    except asyncpg.InvalidSQLStatementNameError:  # parsed on one server, executed on another
        pools_by = "transaction"
    if pools_by is not None:
        raise UsageError(
            f"{setting}: the pooler before PostgreSQL pools by {pools_by}, and a worker needs its session for itself. "
            "Set pool_mode = session for this database (PgBouncer), or give the address of PostgreSQL itself."
        )


async def value_of(connection: "Connection", statement: str, *arguments: object) -> object:
    """The first value of a statement that leaves nothing prepared behind, as a pooled server would keep it."""
    prepared = await connection.prepare(statement, name="")
    return await prepared.fetchval(*arguments)


async def _pools_by(connection: "Connection", open_another: Callable[[], "Awaitable[Connection]"]) -> str | None:
    mark = secrets.token_hex(8)
    for _ in range(_LOOKS):
        await value_of(connection, _SQL["mark_session"], mark)
        other = await open_another()
        try:
            seen = await _hold_a_server(other)
            if seen == mark:
                await other.execute(_SQL["forget_mark"])
                return "transaction"
            if seen == _BY_STATEMENT:
                return "statement"
            with answered_within(connection, _TURN_SECONDS):
                mine = await value_of(connection, _SQL["marked"])
        except NoAnswer:
            return "transaction"  # a session's own server would have answered: this one waits for its turn
        finally:
            other.terminate()
        if mine != mark:
            return "transaction"
    return None


_BY_STATEMENT: Final = "statement pooling"


async def _hold_a_server(other: "Connection") -> object:
    """Begin a transaction on the other connection; the mark that is seen there, or None if no server becomes free."""
    try:
        async with asyncio.timeout(_TURN_SECONDS):
            await other.execute("BEGIN")
            return await value_of(other, _SQL["marked"])
    except TimeoutError:
        return None
    except asyncpg.PostgresConnectionError as error:
        if _BY_STATEMENT in str(error):
            return _BY_STATEMENT
        raise
