"""`connects log find`: the decisions that match a query, in ledger order, however many there are.

Read in pages by seq, each in a statement of its own: nothing is kept, and the server holds no snapshot for long.
"""

import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any, Final
from uuid import UUID

import asyncpg
import msgspec

from worker.ledger.connections import Connection
from worker.ledger.sql import load
from worker.queries.asking import connected, ledger_id_of
from worker.queries.log_query import LogQuery, Span, span_of

_SQL: Final = load("log.sql")
_ROWS: Final = 2_000
"""How many decisions are held at a time."""
_LEAST_STEP, _FIRST_STEP, _MOST_STEP = 1_000, 20_000, 1_000_000
"""How many decisions one statement looks at; as many as take about `_SECONDS`."""
_SECONDS: Final = 0.5


class FoundDecision(msgspec.Struct, frozen=True):
    """A decision without its payload; `amount` is what it changed in Connects, all wallets together."""

    seq: int
    kind: str
    follows: int | None
    topic: str | None
    incarnation: int | None
    partition: int | None
    offset: int | None
    event_id: str | None
    occurred_at: datetime | None
    recorded_at: datetime
    freelancer_id: str | None
    job_id: str | None
    proposal_id: str | None
    outcome: str
    reason: str
    rule: str | None
    policy_version: str | None
    late_by_seconds: float | None
    amount: int
    facts: msgspec.Raw


class Page(msgspec.Struct, frozen=True):
    """Some of what was found in a ledger, which is read up to the seq `through`, and will be up to the seq `end`."""

    ledger_id: UUID
    found: list[FoundDecision]
    through: int
    end: int


async def find(database_url: str, query: LogQuery, limit: int | None = None) -> AsyncGenerator[Page, None]:
    """The matching decisions in pages, `limit` at most (None: all).

    The first page is empty, and others may be. What the caller does with a page is none of the connection's: its
    failures are not taken for PostgreSQL's.

    Raises:
        UsageError, OperatorNeeded, Transient: the database cannot be used; the text says what to do.
    """
    async with connected(database_url) as connection:
        ledger_id = await ledger_id_of(connection)
        span = await span_of(connection, query)
        yield Page(ledger_id, [], span.after, span.through)
        async for found, through in _found(connection, query, span, limit):
            yield Page(ledger_id, found, through, span.through)


async def seqs_found(connection: Connection, query: LogQuery) -> AsyncIterator[list[int]]:
    """The places in ledger order of the matching decisions, in pages."""
    async for found, _ in _found(connection, query, await span_of(connection, query), None):
        yield [one.seq for one in found]


async def find_seqs(connection: Connection, seqs: Sequence[int]) -> AsyncIterator[list[FoundDecision]]:
    """The decisions of these seqs, which ascend, in pages."""
    span = Span(0, seqs[-1] if seqs else 0, list(seqs))
    async for found, _ in _found(connection, LogQuery(), span, None):
        yield found


async def _found(
    connection: Connection, query: LogQuery, span: Span, limit: int | None
) -> AsyncIterator[tuple[list[FoundDecision], int]]:
    matching = _matching(query)
    left = limit
    for part in _parts(span):
        after, step = part.after, _FIRST_STEP
        while after < part.through and left != 0:
            through = part.through if part.only is not None else min(part.through, after + step)
            most = _ROWS if left is None else min(_ROWS, left)
            started = time.monotonic()
            rows = await connection.fetch(_SQL["find"], after, through, part.only, most, *matching)
            if part.only is None and len(rows) < most:
                step = _next_step(step, time.monotonic() - started)
            after = rows[-1]["seq"] if len(rows) == most else through
            left = None if left is None else left - len(rows)
            yield [_decision(row) for row in rows], after


def _parts(span: Span) -> Iterator[Span]:
    """The span itself, or, where the seqs are known, as many of them at a time as are held."""
    if span.only is None:
        yield span
        return
    for start, stop in pairwise([*range(0, len(span.only), _ROWS), len(span.only)]):
        seqs = span.only[start:stop]
        yield Span(seqs[0] - 1, seqs[-1], seqs)


def _next_step(step: int, seconds: float) -> int:
    if seconds < _SECONDS / 2:
        return min(step * 2, _MOST_STEP)
    return max(step // 2, _LEAST_STEP) if seconds > _SECONDS * 2 else step


def _matching(query: LogQuery) -> list[object]:
    """The query as the statement's arguments, from the fifth on."""
    return [
        query.outcomes or None,
        query.kinds or None,
        query.topics or None,
        query.partition,
        query.least_offset,
        query.most_offset,
        query.occurred_from,
        query.occurred_to,
        query.recorded_from,
        query.recorded_to,
        query.rules or None,
        query.reasons or None,
        query.least_amount,
        query.most_amount,
        query.freelancer_id,
        query.releases or None,
    ]


def _decision(row: asyncpg.Record) -> FoundDecision:
    values: list[Any] = [*row.values()]
    values[-1] = msgspec.Raw(values[-1].encode())
    return FoundDecision(*values)
