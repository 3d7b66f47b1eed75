"""Connections of checks: rows that were altered or damaged may hold anything, and cost a check its own part."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import asyncpg

from worker.ledger.connections import Connection
from worker.ledger.place import require_known_revision
from worker.proof.instants import share_instants
from worker.proof.unreadable import Unreadable, in_words
from worker.queries.asking import connected

UNREADABLE: Final = (
    asyncpg.DataError,
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)
"""What is raised where rows are read, or worked with, that hold what no release wrote."""


@asynccontextmanager
async def reading(database_url: str) -> AsyncIterator[Connection]:
    """A connection for a check, on which very many rows are read.

    Raises:
        Unreadable: a row holds what cannot be read.
        UsageError, OperatorNeeded, Transient: the database cannot be used, or a later release made its schema; the
            text says what to do.
    """
    async with connected(database_url) as connection:
        await require_known_revision(connection)
        await share_instants(connection)
        try:
            yield connection
        except UNREADABLE as error:
            raise Unreadable(in_words(error)) from error
