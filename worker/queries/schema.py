"""`connects migrate`, and what `connects run` does about a schema that is not there."""

import asyncio

from worker.errors import OperatorNeeded
from worker.ledger.connections import require_utf8
from worker.ledger.migrate import migrate, schema_is_current
from worker.ledger.slots import require_slots
from worker.queries.asking import connected, postgres_failures
from worker.settings import Settings, without_password


def migrate_schema(settings: Settings) -> None:
    """Bring the schema up to date, as its owner, and grant the worker's role what it needs.

    Raises:
        UsageError, OperatorNeeded, Transient: the database cannot be used.
    """
    asyncio.run(_migrate(settings))


def require_schema(settings: Settings) -> None:
    """Refuse to work on a database without a schema that this release knows.

    Raises:
        UsageError: no worker can work there: its encoding, or how many connections it allows.
        OperatorNeeded: with the command that mends it.
        Transient: the database is away.
    """
    if not asyncio.run(_is_current(settings)):
        raise OperatorNeeded(
            f"the schema of {without_password(settings.database_url)} is not what this release needs. "
            "Run `connects migrate`."
        )


async def _migrate(settings: Settings) -> None:
    setting = "CONNECTS_MIGRATE_URL" if settings.migrate_url else "DATABASE_URL"
    async with postgres_failures(settings.owner_url, setting):
        await migrate(settings.owner_url, worker_url=settings.database_url, setting=setting)


async def _is_current(settings: Settings) -> bool:
    async with connected(settings.database_url) as connection:
        require_utf8(connection, "DATABASE_URL")
        await require_slots(connection)
        return await schema_is_current(connection)
