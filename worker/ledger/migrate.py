"""`connects migrate`: bring a database's schema to what this code needs; let the worker's role do its work, no more.

Revisions are plain SQL files of `migrations/versions`, numbered, run once each by alembic, all in one transaction. They
may run while workers of the release before do: nothing is committed to the ledger between the first revision and the
last one. What those workers may write afterwards is the revisions' own question; 0005 refuses workers of 0.1.0.
"""

import asyncio
from typing import Final

import asyncpg

from worker.database_url import taken_apart
from worker.errors import UsageError
from worker.ledger.connect_errors import connected_or_refused
from worker.ledger.connections import Connection, Session, connect
from worker.ledger.place import NEWEST, require_own_revisions, require_place

APPEND_ONLY: Final = ("changes", "decisions", "mentions")
"""History: the worker's role may read and add, nothing else."""

VIEWS: Final = ("additions", "corrections", "grants", "movements", "settlements", "wallets")
"""What follows from history: to be read."""

STATE: Final = (
    *(
        "awaiting",
        "batches",
        "charges",
        "closures",
        "commands",
        "dead_letters",
        "due",
        "held",
        "hires",
        "holds",
        "leader",
        "lots",
        "outbox",
    ),
    *("memberships", "parked", "parked_triggers", "policies", "positions", "relay_state", "seen_events", "spends"),
    *("adopted", "amended", "replayed", "replays", "voided", "workers"),
)
"""All other tables of the ledger: the worker's role may change them. Other tables are not ours to grant."""

TURN: Final = 4_036_219_087
"""Any fixed number: two `connects migrate` at once take turns. The lock is a transaction's own: poolers do no harm."""

_MIGRATION_SECONDS: Final = 900.0
"""A revision's statements may take long on a large ledger; but they end, also when the server has gone silent."""
_SESSION: Final = Session("connects-migrate", statement_seconds=_MIGRATION_SECONDS, utf8_only=True)
_ATTEMPTS: Final = 10
"""A worker or a reader may hold one table and wait for another one: PostgreSQL ends one of the two after a second."""


async def migrate(database_url: str, *, worker_url: str | None = None, setting: str = "DATABASE_URL") -> None:
    """Bring the schema to `NEWEST`; doing it again changes nothing.

    `database_url` is the schema owner's, `setting` what people call it. If `worker_url` names another role, that role
    is granted what a worker needs.

    Raises:
        UsageError: no ledger can live in that database, and nothing was made; or the worker's role does not exist.
        OSError, asyncpg.PostgresError: the database is away, or refuses.
    """
    if not await is_up_to_date(database_url, setting):
        await _upgrade_beside_others(database_url, setting)
    connection = await connect(database_url, _SESSION, setting=setting)
    try:
        await _grant(connection, _role(worker_url))
    finally:
        connection.terminate()


async def is_up_to_date(database_url: str, setting: str = "DATABASE_URL") -> bool:
    """Whether there is nothing to upgrade; if there is, the place is checked. Changes nothing.

    Raises:
        UsageError: no ledger can live in that database, or its schema is another program's.
        OSError, asyncpg.PostgresError: the database is away, or refuses.
    """
    connecting = connect(database_url, _SESSION, setting=setting)
    connection = await connected_or_refused(connecting, database_url, setting)
    try:
        if await connection.fetchval("SELECT to_regclass('alembic_version')") is not None:
            await require_own_revisions(connection, database_url, setting)
            if await schema_is_current(connection):
                return True
        await require_place(connection, database_url, setting)
        return False
    finally:
        connection.terminate()


async def schema_is_current(connection: Connection) -> bool:
    """Whether this code can work on that database: its schema is at `NEWEST`, or newer (revisions only add)."""
    if await connection.fetchval("SELECT to_regclass('alembic_version')") is None:
        return False
    found = await connection.fetchval("SELECT max(version_num) FROM alembic_version")
    return found is not None and str(found) >= NEWEST


async def _upgrade_beside_others(database_url: str, setting: str) -> None:
    """Upgrade while workers and readers go on. If PostgreSQL ends it because of them, all is undone and tried again."""
    from worker.ledger.revisions import run_all  # noqa: PLC0415 - its libraries take long, and a worker needs none

    async def connected() -> Connection:
        return await connect(database_url, _SESSION, setting=setting)

    for attempt in range(1, _ATTEMPTS + 1):
        try:
            await asyncio.to_thread(run_all, connected)
        except asyncpg.DeadlockDetectedError:
            if attempt == _ATTEMPTS:
                raise
        else:
            return


def _role(worker_url: str | None) -> str | None:
    return taken_apart(worker_url).role or None if worker_url else None


async def _grant(connection: Connection, role: str | None) -> None:
    if role is None or role == await connection.fetchval("SELECT current_user"):
        return
    if not await connection.fetchval("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)", role):
        raise UsageError(
            f"the schema is up to date, but the worker's role {role!r} (of DATABASE_URL) does not exist on this "
            "server. Create it (CREATE ROLE ... LOGIN), then run `connects migrate` again."
        )
    state = ", ".join(STATE)
    history = ", ".join(APPEND_ONLY)
    schema = await connection.fetchval("SELECT quote_ident(current_schema())")
    grantee = await connection.fetchval("SELECT quote_ident($1)", role)
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", TURN)
        await connection.execute(f"GRANT USAGE ON SCHEMA {schema} TO {grantee}")
        await connection.execute(f"GRANT SELECT ON alembic_version, {', '.join(VIEWS)} TO {grantee}")
        await connection.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {state} TO {grantee}")
        await connection.execute(f"REVOKE ALL ON {history} FROM {grantee}")
        await connection.execute(f"GRANT SELECT, INSERT ON {history} TO {grantee}")
