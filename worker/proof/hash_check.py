"""The check of the hashes on PostgreSQL, and the head that is kept outside."""

from collections.abc import AsyncIterator
from typing import Final
from uuid import UUID

from worker.errors import UsageError
from worker.ledger.connections import Connection
from worker.ledger.sql import load
from worker.proof.checks import Check, Finding, Ground, Progress
from worker.proof.hashed_rows import Bounds, batches_between, bounds, last_batch, policies_of
from worker.proof.hashes import HASHES, HashCheck, head_of
from worker.proof.heads import Head
from worker.proof.reader import PostgresReader
from worker.proof.reading import reading

_SQL: Final = load("proof.sql")


async def head(connection: Connection) -> Head:
    """The head of the ledger now."""
    return head_of(await last_batch(connection))


def hash_check(outside: Head | None = None) -> Check:
    """The check that no row that was hashed is altered, missing or added; also against a head that was kept outside."""

    async def run(ground: Ground) -> AsyncIterator[Finding]:
        async with reading(ground.database_url) as connection:
            async for finding in _check(connection, ground, outside):
                yield finding

    return Check(HASHES, run)


async def _check(connection: Connection, ground: Ground, outside: Head | None) -> AsyncIterator[Finding]:
    found = await bounds(connection, ground.range.first, ground.range.last)
    if found is None and ground.range.first is not None:
        end = await PostgresReader(connection).end()
        raise UsageError(
            f"--from {ground.range.first}: the ledger ends with decision {end}, so nothing is to be checked"
        )
    check = HashCheck(None, (), outside) if found is None else await check_of(connection, found, outside)
    if found is not None:
        async for finding in check_between(connection, found, check, ground.progress):
            yield finding
    if ground.range.last is None:
        for finding in check.finish():
            yield finding
    if ground.range.is_all:
        async for finding in _in_no_batch(connection):
            yield finding


async def check_of(connection: Connection, found: Bounds, outside: Head | None = None) -> HashCheck:
    """What checks the batches of these bounds, in order."""
    return HashCheck(found.before, (await policies_of(connection, 0, 0)).get(0, []), outside)


async def check_between(
    connection: Connection, found: Bounds, check: HashCheck, progress: Progress
) -> AsyncIterator[Finding]:
    """Check all batches of these bounds."""
    progress.begin(HASHES, found.last.last_seq - (found.before.last_seq if found.before else 0))
    async for batch in batches_between(connection, found):
        for finding in check.check(batch):
            yield finding
        progress.advance(batch.through - batch.after)


async def _in_no_batch(connection: Connection) -> AsyncIterator[Finding]:
    """Rows that no batch has, which no hash is over."""
    for row in await connection.fetch(_SQL["in_no_batch"]):
        words = "the row is in no batch: it was added, or its batch was removed"
        yield Finding(HASHES, "tampered", words, *row)
    after = UUID(int=0)
    while page := await connection.fetch(_SQL["answered_without_a_decision"], after):
        for row in page:
            words = f"command {row['id']} has a reply and no decision: one of them was added, altered or removed"
            yield Finding(HASHES, "tampered", words, "commands")
        after = page[-1]["id"]
