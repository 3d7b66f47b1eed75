"""How connections to PostgreSQL are made: the only place that connects, for worker, commands and migrations alike.

Nothing is asked for in the start-up message, which poolers refuse: what a session needs is set after connecting.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias

import asyncpg

from worker.errors import UsageError, WorkerError
from worker.ledger.connect_errors import wrong_setting
from worker.ledger.deadlines import SERVER_STATEMENT_SECONDS, SERVER_TRANSACTION_SECONDS, STATEMENT_SECONDS
from worker.ledger.pooler import require_session_pooling
from worker.ledger.sql import load

if TYPE_CHECKING:
    Connection: TypeAlias = asyncpg.Connection[asyncpg.Record]
else:
    Connection = asyncpg.Connection

LEAST_VERSION: Final = 14
ENCODINGS: Final = frozenset({"UTF8", "SQL_ASCII"})
"""Those that hold every text: SQL_ASCII keeps the bytes as they come."""

_SQL: Final = load("connections.sql")
_NAME_LENGTH: Final = 63  # PostgreSQL cuts application_name there
_COMMAND_SECONDS: Final = 30.0
_ALWAYS: Final = {"jit": "off"}
"""Settings of every session. A server with LLVM would compile each batch's statement for seconds, to run it for
milliseconds: the planner believes that it costs much, as it knows no statistics of staged rows.
"""

AWAY: Final = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,  # shut down, starting up, ended by an administrator
    asyncpg.InsufficientResourcesError,
    asyncpg.TransactionRollbackError,
    asyncpg.ReadOnlySQLTransactionError,  # a failover under way
    asyncpg.LockNotAvailableError,
    asyncpg.QueryCanceledError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.TransactionTimeoutError,
    asyncpg.InvalidCachedStatementError,  # the schema was migrated meanwhile: new connections know it
    asyncpg.InterfaceError,  # a connection that broke between two statements
    asyncpg.InternalClientError,
    asyncpg.PostgresIOError,
)
"""What waiting, or taking the ledger again, resolves. After a commit they leave its outcome unknown."""


@dataclass(frozen=True, slots=True)
class Session:
    """What a connection is for: its name in pg_stat_activity, its settings, and its limits on this side in seconds."""

    name: str
    settings: Mapping[str, str] = field(default_factory=dict)
    connect_seconds: float = 10.0
    statement_seconds: float = STATEMENT_SECONDS
    utf8_only: bool = False
    """Whether a database whose encoding cannot hold every text is refused: for all who write the ledger."""


def store_session(holder: str) -> Session:
    """For connections that read and write batches: a dead or stopped worker lets go by itself.

    A server that does not know `transaction_timeout` (before 17) ends a stopped writer all the same: a statement under
    way by `statement_timeout`, and the transaction, idle then, by `idle_in_transaction_session_timeout`.
    """
    settings = {
        "default_transaction_isolation": "read committed",
        "synchronous_commit": "on",
        "statement_timeout": f"{SERVER_STATEMENT_SECONDS}s",
        "lock_timeout": "5s",
        "idle_in_transaction_session_timeout": "5s",
        "transaction_timeout": f"{SERVER_TRANSACTION_SECONDS}s",
        "client_connection_check_interval": "1s",
        # Every statement names its rows by key. The planner knows no statistics of staged rows, and would now and then
        # read a whole table to find a few thousand.
        "plan_cache_mode": "force_generic_plan",
        "enable_seqscan": "off",
        "enable_hashjoin": "off",
        "enable_mergejoin": "off",
        "enable_bitmapscan": "off",
        "tcp_user_timeout": "5s",
        "tcp_keepalives_idle": "5",
        "tcp_keepalives_interval": "2",
        "tcp_keepalives_count": "3",
    }
    return Session(f"connects-writer:{holder}", settings, connect_seconds=5.0, utf8_only=True)


COMMAND_SESSION: Final = Session(
    "connects-command", {"statement_timeout": f"{_COMMAND_SECONDS - 2:g}s"}, statement_seconds=_COMMAND_SECONDS
)
"""For questions of people and their programs."""


async def connect(database_url: str, session: Session, *, setting: str = "DATABASE_URL") -> Connection:
    """Connect and set the session up; `setting` is what people call this address.

    Raises:
        UsageError: the server is too old, its pooler pools by transaction, or the encoding cannot hold every text.
        Exception: what `connecting_failed` makes of whatever else went wrong; `AWAY` has what waiting resolves.
    """
    try:
        async with asyncio.timeout(session.connect_seconds):
            return await _connect(database_url, session, setting)
    except Exception as error:
        refused = connecting_failed(error, database_url, setting, session)
        if refused is error:
            raise
        raise refused from error


def connecting_failed(error: Exception, database_url: str, setting: str, session: Session) -> Exception:
    """What is raised in the place of an exception from connecting: every one of them passes through here."""
    if isinstance(error, WorkerError):
        return error
    if isinstance(error, asyncpg.ProtocolViolationError) and "startup parameter" in str(error):
        return UsageError(f"{setting}: the pooler before PostgreSQL refuses a parameter of the address ({error})")
    if isinstance(error, TimeoutError) and not str(error):
        return TimeoutError(f"PostgreSQL did not answer within {session.connect_seconds:g} s of connecting")
    return wrong_setting(error, database_url, setting) or error


async def _connect(database_url: str, session: Session, setting: str) -> Connection:
    connection = await _open(database_url, session)
    try:
        _require_version(connection, setting)
        if session.utf8_only:
            require_utf8(connection, setting)
        announced = connection.get_server_pid()
        pid = await _set_up(connection, session, announced)
        if pid != announced:
            await require_session_pooling(connection, lambda: _open(database_url, session), setting)
            await _set_up(connection, session, pid)
    except BaseException:
        connection.terminate()
        raise
    return connection


async def _open(database_url: str, session: Session) -> Connection:
    return await asyncpg.connect(
        database_url,
        timeout=session.connect_seconds,
        command_timeout=session.statement_seconds,
        max_cacheable_statement_size=0,
    )


async def _set_up(connection: Connection, session: Session, pid: int) -> int:
    """Make the settings if the session's backend is `pid`; gives the backend's pid."""
    settings = {"application_name": session.name[:_NAME_LENGTH], **_ALWAYS, **session.settings}
    prepared = await connection.prepare(_SQL["set_up"], name="")  # a pooled server would keep one with a name
    return int(await prepared.fetchval(list(settings), list(settings.values()), pid))


def require_utf8(connection: Connection, setting: str) -> None:
    """Refuse a database that cannot hold every text.

    Raises:
        UsageError: with the statement that makes a database that can.
    """
    if (encoding := encoding_of(connection)) not in ENCODINGS:
        raise UsageError(
            f"{setting}: the database's encoding is {encoding}, which cannot hold every text. A ledger needs UTF8: "
            "create a database for it with CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0, and name that one."
        )


def encoding_of(connection: Connection) -> str:
    """The database's encoding, by PostgreSQL's name for it."""
    return str(getattr(connection.get_settings(), "server_encoding", "UTF8"))


def _require_version(connection: Connection, setting: str) -> None:
    if connection.get_server_version().major < LEAST_VERSION:
        version = str(getattr(connection.get_settings(), "server_version", "")).partition(" ")[0]
        raise UsageError(
            f"{setting}: the server is PostgreSQL {version}, which is too old for a ledger. Use PostgreSQL 14 to 18."
        )
