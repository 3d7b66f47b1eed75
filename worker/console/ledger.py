"""The ledger as the console reads it: read-only snapshots on few connections, each bounded in time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

import asyncpg

from worker.database_url import without_password
from worker.errors import OperatorNeeded, Transient, UsageError
from worker.ledger.connect_errors import first_line
from worker.ledger.connections import AWAY, Connection, Session, connect
from worker.ledger.deadlines import answered_within
from worker.ledger.migrate import schema_is_current
from worker.queries.asking import postgres_failures

MOST_CONNECTIONS: Final = 4
_TURN_SECONDS: Final = 3.0
"""How long a request waits for a connection."""
_PAGE_SECONDS: Final = 6.0
"""How long all statements of a page may take together."""
_SESSION: Final = Session(
    "connects-console",
    {
        "default_transaction_read_only": "on",
        "statement_timeout": "4s",
        "lock_timeout": "1s",
        "idle_in_transaction_session_timeout": "10s",
        "client_connection_check_interval": "1s",
    },
    connect_seconds=3.0,
    statement_seconds=5.0,
)
_BEGIN: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"


class ReadOnlyLedger:
    """At most `most` connections that cannot write, whatever the role may: every session and transaction is read-only.

    A connection on which something failed is closed, so that nothing of it lingers.
    """

    def __init__(self, database_url: str, most: int = MOST_CONNECTIONS) -> None:
        self._database_url = database_url
        self._turns = asyncio.Semaphore(most)
        self._idle: list[Connection] = []

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Connection]:
        """A read-only transaction: everything read in it is of one instant.

        Raises:
            UsageError, OperatorNeeded, Transient: the ledger cannot be read; the text says what to do.
        """
        try:
            async with asyncio.timeout(_TURN_SECONDS):
                await self._turns.acquire()
        except TimeoutError:
            raise Transient("The console is busy: all its connections are in use. Ask again in a moment.") from None
        try:
            async with (
                postgres_failures(self._database_url),
                _may_read(self._database_url),
                self._begun() as connection,
            ):
                yield connection
        finally:
            self._turns.release()

    def close(self) -> None:
        """Close the connections that nobody uses; those in use end with their requests."""
        while self._idle:
            self._idle.pop().terminate()

    @asynccontextmanager
    async def _begun(self) -> AsyncIterator[Connection]:
        connection = await self._take()
        try:
            with answered_within(connection, _PAGE_SECONDS):
                yield connection
                await connection.execute("ROLLBACK")
        except BaseException:
            connection.terminate()
            raise
        self._idle.append(connection)

    async def _take(self) -> Connection:
        """A connection in a transaction: an idle one that still answers, or a new one."""
        while self._idle:
            connection = self._idle.pop()
            with suppress(*AWAY):  # the server was restarted meanwhile, or closed it
                await connection.execute(_BEGIN)
                return connection
            connection.terminate()
        connection = await connect(self._database_url, _SESSION)
        try:
            await connection.execute(_BEGIN)
            await _require_schema(connection)
        except BaseException:
            connection.terminate()
            raise
        return connection


@asynccontextmanager
async def _may_read(database_url: str) -> AsyncIterator[None]:
    """Word that the role lacks a right: the grants of a worker, which are named elsewhere, would be too many."""
    try:
        yield
    except asyncpg.InsufficientPrivilegeError as error:
        raise UsageError(
            f"The role of {without_password(database_url)} may not read the ledger ({first_line(error)}). "
            "docs/console.md has the grants that it needs"
        ) from None


async def _require_schema(connection: Connection) -> None:
    if not await schema_is_current(connection):
        raise OperatorNeeded(
            "The ledger is not of this release, or there is none yet. Run `connects migrate`, or start the console of "
            "the release that the workers have."
        )
