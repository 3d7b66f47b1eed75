"""A ledger whose rows a test alters, removes and adds, and puts back from copies beside it."""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from typing import Final, TypeVar

import asyncpg

from worker.proof.checks import Check, Finding, Ground, Progress, Range, run_checks

BY_TYPE: Final = {
    "bigint": "coalesce({0}, 0) + 1",
    "integer": "coalesce({0}, 0) + 1",
    "text": "coalesce({0}, '') || 'x'",
    "timestamp with time zone": "coalesce({0}, '2026-01-01Z') + interval '1 microsecond'",
    "uuid": "gen_random_uuid()",
}
"""Another value of each type, the nearest where that can be."""


class Sealed:
    """A ledger with copies of its tables, to be altered and put back."""

    def __init__(self, url: str, connection: asyncpg.Connection, tables: Collection[str]) -> None:
        self.url, self.connection, self._tables = url, connection, tables

    async def put_back(self) -> None:
        for table in self._tables:
            await self.connection.execute(f"DELETE FROM {table}; INSERT INTO {table} SELECT * FROM sealed.{table}")  # noqa: S608

    async def found_by(self, *checks: Check, of: Range = Range()) -> list[Finding]:  # noqa: B008
        ground = Ground(self.url, of, Progress())
        return [finding async for finding in run_checks(checks, ground)]


AnySealed = TypeVar("AnySealed", bound=Sealed)


@asynccontextmanager
async def sealed_ledger(
    kind: type[AnySealed],
    url: str,
    tables: Collection[str],
    write: Callable[[str, asyncpg.Connection], Awaitable[None]],
) -> AsyncIterator[AnySealed]:
    """A ledger as `write` left it, in a database that several tests use one after the other; no trigger works."""
    connection = await asyncpg.connect(url)
    if not await connection.fetchval("SELECT to_regnamespace('sealed')"):
        await write(url, connection)
        await connection.execute("CREATE SCHEMA sealed")
        for table in tables:
            await connection.execute(f"CREATE TABLE sealed.{table} AS TABLE {table}")
    await connection.execute("SET session_replication_role = replica")
    sealed = kind(url, connection, tables)
    await sealed.put_back()
    yield sealed
    await connection.close()
