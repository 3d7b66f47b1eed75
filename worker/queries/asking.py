"""How the commands reach the ledger and Kafka: one snapshot to read from, and words for what cannot be reached."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final
from uuid import UUID

import asyncpg
import msgspec

from worker.errors import OperatorNeeded, WorkerError
from worker.ledger.connect_errors import (
    connected_or_refused,
    first_line,
    no_connection_left,
    refused_otherwise,
    refused_statement,
    why_away,
)
from worker.ledger.connections import AWAY, COMMAND_SESSION, Connection, connect
from worker.ledger.rows import as_uuid
from worker.ledger.slots import lacks_slot
from worker.ledger.sql import load
from worker.settings import Settings

_SQL: Final = load("asking.sql")
_CLOSE_SECONDS = 2
_DAMAGED: Final = (
    msgspec.MsgspecError,
    OverflowError,
    asyncpg.InvalidParameterValueError,
    asyncpg.InvalidTextRepresentationError,
    asyncpg.NumericValueOutOfRangeError,
)
"""What reading a row raises that holds what no release wrote: JSON of another shape, an instant that is none."""
_KAFKA_SECONDS = 10.0


@asynccontextmanager
async def snapshot(database_url: str) -> AsyncIterator[Connection]:
    """A read-only transaction: everything read in it is of one instant.

    Raises:
        UsageError, OperatorNeeded, Transient: the database cannot be used; the text says what to do.
    """
    async with connected(database_url) as connection:
        await connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")  # it ends with the connection
        yield connection


@asynccontextmanager
async def connected(database_url: str, *, setting: str = "DATABASE_URL") -> AsyncIterator[Connection]:
    """A connection of a command's own; `setting` is what people call the address.

    Raises:
        UsageError, OperatorNeeded, Transient: the database cannot be used; the text says what to do.
    """
    async with postgres_failures(database_url, setting):
        connecting = connect(database_url, COMMAND_SESSION, setting=setting)
        connection = await connected_or_refused(connecting, database_url, setting)
        try:
            yield connection
            with suppress(*AWAY):  # the answer is there: a server that does not say goodbye changes nothing
                await connection.close(timeout=_CLOSE_SECONDS)
        finally:
            connection.terminate()


async def ledger_id_of(connection: Connection) -> UUID:
    """Which ledger it is.

    Raises:
        OperatorNeeded: the database is no ledger.
    """
    leader = await connection.fetchrow(_SQL["leader"])
    if leader is None:
        raise OperatorNeeded("the table leader is empty: this database is no ledger. Restore it, or migrate a new one.")
    return as_uuid(leader["ledger_id"])


@asynccontextmanager
async def postgres_failures(database_url: str, setting: str = "DATABASE_URL") -> AsyncIterator[None]:
    """Word whatever PostgreSQL refuses inside: what, where, what to do. `setting` is what people call the address.

    Raises:
        UsageError, OperatorNeeded, Transient: the database cannot be used; the text says what to do.
    """
    try:
        yield
    except WorkerError:
        raise
    except Exception as error:
        if refused := refused_statement(error, database_url, setting):
            raise refused from None
        if lacks_slot(error):
            raise no_connection_left(error, database_url) from error
        if isinstance(error, AWAY):
            raise await why_away(error, database_url, setting) from error
        if isinstance(error, _DAMAGED):
            raise OperatorNeeded(
                f"what the ledger holds cannot be read ({first_line(error)}): a row was altered or damaged. `connects "
                "verify` names it"
            ) from error
        if isinstance(error, asyncpg.PostgresError):
            raise refused_otherwise(error, database_url) from error
        raise


@asynccontextmanager
async def reached_kafka(settings: Settings) -> AsyncIterator[Settings]:
    """Reach Kafka first, then word whatever it refuses inside. Yields the settings with the servers that answer.

    Raises:
        UsageError, Transient: Kafka cannot be used; the text says what to do.
    """
    from worker.kafka.contact import kafka_failures, reached_servers  # noqa: PLC0415 - most ask the ledger alone

    kafka = settings.kafka_kwargs()
    servers = await reached_servers(kafka, _KAFKA_SECONDS)
    with kafka_failures(kafka):
        yield settings.model_copy(update={"kafka_bootstrap_servers": servers})
