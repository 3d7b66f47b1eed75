"""How the commands reach the ledger and Kafka: one snapshot to read from, and words for whoever cannot be reached."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

import asyncpg

from worker.errors import OperatorNeeded, Transient
from worker.ledger.connections import AWAY, COMMAND_SESSION, Connection, connect
from worker.ledger.slots import lacks_slot
from worker.settings import Settings, without_password

_CLOSE_SECONDS = 2
_UNREACHABLE = (OSError, TimeoutError, asyncpg.PostgresConnectionError, asyncpg.CannotConnectNowError)


@asynccontextmanager
async def snapshot(database_url: str) -> AsyncIterator[Connection]:
    """A read-only transaction: everything read in it is of one instant.

    Raises:
        OperatorNeeded, Transient: the database cannot be used; the text says what to do.
    """
    async with connected(database_url) as connection:
        await connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")  # it ends with the connection
        yield connection


@asynccontextmanager
async def connected(database_url: str) -> AsyncIterator[Connection]:
    """A connection of a command's own.

    Raises:
        OperatorNeeded, Transient: the database cannot be used; the text says what to do.
    """
    with postgres_told(database_url):
        connection = await connect(database_url, COMMAND_SESSION)
        try:
            yield connection
            with suppress(*AWAY):  # the answer is there: a server that does not say goodbye changes nothing
                await connection.close(timeout=_CLOSE_SECONDS)
        finally:
            connection.terminate()


@contextmanager
def postgres_told(database_url: str) -> Iterator[None]:
    """Word what PostgreSQL refuses: what, where, what to do."""
    where = f"PostgreSQL at {without_password(database_url)}"
    try:
        yield
    except asyncpg.InvalidCatalogNameError:
        raise OperatorNeeded(f"{where} has no such database. Create it, or correct DATABASE_URL.") from None
    except asyncpg.InvalidAuthorizationSpecificationError as error:
        raise OperatorNeeded(f"{where} does not let us in: {error}. Correct DATABASE_URL.") from None
    except asyncpg.UndefinedTableError:
        raise OperatorNeeded(f"{where} holds no ledger yet. Run `connects migrate`.") from None
    except asyncpg.UndefinedColumnError:
        raise OperatorNeeded(f"{where} holds a ledger of another release. Run `connects migrate`.") from None
    except asyncpg.InsufficientPrivilegeError as error:
        raise OperatorNeeded(
            f"{where}: {error}. Run `connects migrate` as the schema's owner (CONNECTS_MIGRATE_URL)."
        ) from None
    except AWAY as error:
        if lacks_slot(error):
            raise Transient(f"{where} has no connection left for this command ({error}). Ask again later.") from error
        if not isinstance(error, _UNREACHABLE):
            raise Transient(f"{where} refused for now: {error}. Ask again later.") from error
        why = str(error) or "it did not answer in time"
        raise Transient(f"{where} cannot be reached ({why}). Is it running?") from error


@contextmanager
def kafka_told(settings: Settings) -> Iterator[None]:
    """Word what Kafka refuses: what, where, what to do."""
    from aiokafka.errors import KafkaError  # noqa: PLC0415 - most commands ask the ledger alone

    where = f"Kafka at {settings.kafka_bootstrap_servers}"
    try:
        yield
    except (KafkaError, OSError, TimeoutError) as error:
        raise Transient(f"{where} cannot be used ({error or type(error).__name__}). Is it running?") from error
