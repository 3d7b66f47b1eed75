"""Whether a schema can be made or upgraded where a URL leads: refused in words before anything is changed."""

import re
from pathlib import Path
from typing import Final

import asyncpg

from worker.database_url import without_password
from worker.errors import UsageError
from worker.ledger.connect_errors import read_only
from worker.ledger.connections import Connection
from worker.ledger.sql import load

_SQL: Final = load("place.sql")
_REVISION: Final = re.compile(r"\d{4}")
NEWEST: Final = max(file.name for file in (Path(__file__).parent / "migrations/versions").glob("[0-9]*.sql"))[:4]
"""The last revision that this code knows."""


async def require_place(connection: Connection, database_url: str, setting: str) -> None:
    """Refuse a database whose schema this role can neither make nor upgrade; `setting` is what people call the URL.

    Raises:
        UsageError: it is read-only, has no schema to create in, belongs to another program, or the role has no right.
    """
    where = f"PostgreSQL at {without_password(database_url)}"
    place = await connection.fetchrow(_SQL["place"])
    if place is None:
        raise asyncpg.InterfaceError("a statement that always has a row had none")
    schema, role = place["schema"], place["role"]
    await require_writable(connection, database_url, setting)
    if schema is None:
        raise UsageError(
            f"{where} has none of the schemas on the search_path of the role {role!r}. "
            f"Create one, or correct the search_path of the role or in {setting}."
        )
    if not place["may_create"]:
        raise UsageError(
            f"{where}: the role {role!r} may not create tables in the schema {schema!r}. Run `connects migrate` as its "
            f"owner (CONNECTS_MIGRATE_URL), GRANT CREATE ON SCHEMA {schema} to that role, or correct {setting}."
        )


async def require_writable(connection: Connection, database_url: str, setting: str) -> None:
    """Refuse a database in which nothing can be written.

    Raises:
        UsageError: it is a standby, or read-only by a setting.
    """
    if await connection.fetchval(_SQL["read_only"]):
        raise read_only(f"PostgreSQL at {without_password(database_url)}", setting)


async def require_own_revisions(connection: Connection, database_url: str, setting: str) -> None:
    """Refuse a schema in which another program notes its own migrations.

    Raises:
        UsageError: with what to do.
    """
    if any(not _REVISION.fullmatch(row["version_num"]) for row in await connection.fetch(_SQL["revisions"])):
        raise UsageError(
            f"PostgreSQL at {without_password(database_url)} holds the table alembic_version of another program. "
            f"Name a database or a search_path of the ledger's own in {setting}."
        )


async def require_known_revision(connection: Connection) -> None:
    """Refuse a schema of a later release: its hashes may be over what this code does not know.

    Raises:
        UsageError: with what to do.
    """
    found = max((row["version_num"] for row in await connection.fetch(_SQL["revisions"])), default=NEWEST)
    if found > NEWEST:
        raise UsageError(
            f"the ledger has the schema of a later release (revision {found}; this one knows {NEWEST}), and its hashes "
            "may be over what this one does not know. Use that release"
        )
