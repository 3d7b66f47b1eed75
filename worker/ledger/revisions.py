"""Runs the revisions of `migrations/versions`, by alembic, in one transaction."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import asyncpg
import sqlalchemy
from alembic import command
from alembic.config import Config
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool
from sqlalchemy.util import await_only

from worker.ledger.connections import Connection

_FOLDER: Final = Path(__file__).parent / "migrations"
_ONE_IN_THIS_PROCESS = threading.Lock()  # alembic keeps the migration under way in global variables


def run_all(connected: Callable[[], Awaitable[Connection]]) -> None:
    """Run those that a database lacks, on a connection of its own loop: it blocks its thread.

    Raises:
        OSError, asyncpg.PostgresError: the database is away, or refuses.
    """
    with _ONE_IN_THIS_PROCESS:
        asyncio.run(_run_alembic(connected))


def run_statements(connection: sqlalchemy.Connection, file_name: str) -> None:
    """Run all statements of a revision's SQL file, within the revision's transaction."""
    statements = (_FOLDER / "versions" / file_name).read_text(encoding="utf-8")
    connection.exec_driver_sql("SELECT 1")  # opens the transaction, which the driver's own call below would not
    driver = connection.connection.driver_connection
    if not isinstance(driver, asyncpg.Connection):
        raise TypeError(f"migrations run on asyncpg, not on {type(driver).__name__}")
    await_only(driver.execute(statements))


async def _run_alembic(connected: Callable[[], Awaitable[Connection]]) -> None:
    def upgrade(connection: sqlalchemy.Connection) -> None:
        config = Config()
        config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")

    engine = create_async_engine("postgresql+asyncpg://", async_creator=connected, poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            await connection.run_sync(upgrade)
    except sqlalchemy.exc.DBAPIError as error:
        raise _as_the_driver_said(error) from None
    finally:
        await engine.dispose()


def _as_the_driver_said(error: sqlalchemy.exc.DBAPIError) -> BaseException:
    """The driver's own exception, without the statement and the words of the library between."""
    cause: BaseException | None = error.orig
    while cause is not None and not isinstance(cause, (asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
        cause = cause.__cause__
    return cause or error
