"""Which decisions `connects log find` looks for, and between which decisions they can be."""

from datetime import datetime
from typing import Final, NamedTuple

import asyncpg
import msgspec

from worker.ledger.connections import Connection
from worker.ledger.sql import load

_LOG: Final = load("log.sql")
_ASKING: Final = load("asking.sql")
BEFORE_NAMES: Final = "before 0.2.0"
"""The release of batches that did not store it, as people see and type it."""
_MOST_COUNTED: Final = 100_000
"""How many records of a range of offsets are read to find the first decision on them."""


class LogQuery(msgspec.Struct, frozen=True, omit_defaults=True):
    """All that a decision has to match; what is empty or None matches every decision.

    Times are from (included) to (excluded), offsets and amounts from least to most (both included). Of several values
    of one kind, one has to match. `freelancer_id` also finds decisions that changed that wallet only.
    """

    rules: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    outcomes: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    topics: tuple[str, ...] = ()
    partition: int | None = None
    least_offset: int | None = None
    most_offset: int | None = None
    occurred_from: datetime | None = None
    occurred_to: datetime | None = None
    recorded_from: datetime | None = None
    recorded_to: datetime | None = None
    least_amount: int | None = None
    most_amount: int | None = None
    freelancer_id: str | None = None
    job_id: str | None = None
    proposal_id: str | None = None
    releases: tuple[str, ...] = ()
    """Those that decided; BEFORE_NAMES for all that did not store their name."""


class Span(NamedTuple):
    """Decisions after the seq `after`, up to the seq `through`; of `only`, if it is not None: their seqs, ascending."""

    after: int
    through: int
    only: list[int] | None = None

    def within(self, other: "Span") -> "Span":
        """What is in both."""
        return self._replace(after=max(self.after, other.after), through=min(self.through, other.through))


_NOTHING: Final = Span(0, 0)


async def span_of(connection: Connection, query: LogQuery) -> Span:
    """Where the matching decisions are, as narrow as an index can say; the end is fixed now.

    Another filter that narrows the span gets a function beside those below.
    """
    batch = await connection.fetchrow(_ASKING["last_batch"])
    span = Span(0, 0 if batch is None else batch["last_seq"])
    for narrow in (_recorded, _of_releases, _of_offsets):
        span = span.within(await narrow(connection, query, span))
    only = await _named(connection, query)
    if only is None:
        return span
    return span._replace(only=[seq for seq in sorted(only) if span.after < seq <= span.through])


async def _recorded(connection: Connection, query: LogQuery, whole: Span) -> Span:
    if query.recorded_from is None and query.recorded_to is None:
        return whole
    row = await connection.fetchrow(_LOG["recorded_between"], query.recorded_from, query.recorded_to)
    return await _span_of_batches(connection, row)


async def _of_releases(connection: Connection, query: LogQuery, whole: Span) -> Span:
    """From the first batch of these releases to the last; others may be between them."""
    if not query.releases:
        return whole
    return await _span_of_batches(connection, await connection.fetchrow(_LOG["batches_of_releases"], query.releases))


async def _span_of_batches(connection: Connection, row: asyncpg.Record | None) -> Span:
    """What is in the batches from `first_batch` to the one that ends with `last_seq`; null: there are none."""
    if row is None or row["first_batch"] is None:
        return _NOTHING
    before = await connection.fetchval(_LOG["last_seq_of_batch"], row["first_batch"] - 1)
    return Span(before or 0, row["last_seq"])


async def _of_offsets(connection: Connection, query: LogQuery, whole: Span) -> Span:
    """From the first decision on these records; those that follow it have no index, and come later."""
    if len(query.topics) != 1 or query.least_offset is None:
        return whole
    (topic,) = query.topics
    place = (topic, query.partition, query.least_offset, query.most_offset)
    row = await connection.fetchrow(_LOG["first_of_offsets"], *place, _MOST_COUNTED)
    if row is None or not row["decisions"]:
        return _NOTHING
    return whole if row["decisions"] == _MOST_COUNTED else Span(row["seq"] - 1, whole.through)


async def _named(connection: Connection, query: LogQuery) -> set[int] | None:
    """The decisions about the freelancer, job and proposal that the query names; None: it names none."""
    found: set[int] | None = None
    for statement, key in (
        ("seqs_of_freelancer", query.freelancer_id),
        ("seqs_of_job", query.job_id),
        ("seqs_of_proposals", query.proposal_id and [query.proposal_id]),
    ):
        if key is not None:
            seqs = {row[0] for row in await connection.fetch(_ASKING[statement], key)}
            found = seqs if found is None else found & seqs
    return found
