"""All decisions in ledger order, as `connects explain --json` has them, however many there are.

Read in pages by seq, each in statements of its own: nothing is kept, and the server holds no snapshot for long. What is
committed is final, so an export that goes on where another one stopped is the same as one of all.
"""

from collections.abc import AsyncGenerator
from typing import Final, NamedTuple

from worker.ledger.connections import Connection
from worker.ledger.sql import load
from worker.queries.explain import decisions_between
from worker.replies.recorded import DecisionRecord

_SQL: Final = load("asking.sql")
_SEQS: Final = 500
"""How many decisions are held at a time."""


class ExportPage(NamedTuple):
    """Some decisions, in ledger order; the export ends with the decision `end`."""

    decisions: list[DecisionRecord]
    end: int


async def exported(connection: Connection, first: int, last: int | None) -> AsyncGenerator[ExportPage, None]:
    """The decisions from the seq `first` to the seq `last`, or to the last one that is committed now.

    Raises:
        asyncpg.PostgresError, OSError: the database is away.
    """
    batch = await connection.fetchrow(_SQL["last_batch"])
    committed = 0 if batch is None else batch["last_seq"]
    end = committed if last is None else min(last, committed)
    for start in range(first, end + 1, _SEQS):
        yield ExportPage(await decisions_between(connection, start, min(start + _SEQS - 1, end)), end)
