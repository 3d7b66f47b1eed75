"""Reading what the hashes are over: batch by batch with its rows, in pages, each by statements of their own.

No transaction lasts longer than a statement, and no more than a page is in memory: batches are written once, so what
is read of one is the same whenever it is read.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Final, NamedTuple
from uuid import UUID

import asyncpg
import msgspec

from worker.ledger.connections import Connection
from worker.ledger.leaves import as_text, marked_decisions
from worker.ledger.sql import load
from worker.ledger.tables import AnswerRow, BatchRow, ChangeRow, DecisionRow, PolicyRow

_SQL: Final = load("proof.sql")
_PAGE_BATCHES: Final = 500
_PAGE_DECISIONS: Final = 5_000


class HashedBatch(NamedTuple):
    """A batch with the rows that its hashes are over, as the ledger has them now.

    Its places in ledger order are those after the seq `after`, up to `through`. The decisions and changes are those of
    these places, whatever else their columns say.
    """

    row: BatchRow
    after: int
    through: int
    decisions: list[DecisionRow]
    changes: list[ChangeRow]
    policies: list[PolicyRow]
    answers: list[AnswerRow]


class Bounds(NamedTuple):
    """The batches that are read: after one, which may be none, up to another."""

    before: BatchRow | None
    last: BatchRow


async def last_batch(connection: Connection) -> BatchRow | None:
    """The last batch; None: nothing was ever written."""
    row = await connection.fetchrow(_SQL["last_batch"])
    return None if row is None else _batch(row)


async def batch_at(connection: Connection, number: int) -> BatchRow | None:
    """The batch of a number; None: there is none."""
    row = await connection.fetchrow(_SQL["batch_from"], number)
    return None if row is None or row["batch_no"] != number else _batch(row)


async def bounds(connection: Connection, first: int | None, last: int | None) -> Bounds | None:
    """The batches that hold the decisions from `first` to `last`; None: there are none."""
    end = await last_batch(connection)
    if end is None:
        return None
    if last is not None and last < end.last_seq:
        end = await _batch_of(connection, last) or end
    if first is None or first <= 1:
        return Bounds(None, end)
    if (begin := await _batch_of(connection, first)) is None or begin.batch_no > end.batch_no:
        return None
    of_first = await bounds_of_batch(connection, begin.batch_no)
    return None if of_first is None else Bounds(of_first.before, end)


async def _batch_of(connection: Connection, seq: int) -> BatchRow | None:
    """The batch that has this place in ledger order."""
    return await _first_batch(connection, lambda row: row.last_seq >= seq)


async def batch_of_leaf(connection: Connection, index: int) -> BatchRow | None:
    """The batch that appended this leaf of the log; the first leaf belongs to the first batch after it."""
    return await _first_batch(connection, lambda row: row.log_size is not None and row.log_size > index)


async def _first_batch(connection: Connection, reached: Callable[[BatchRow], bool]) -> BatchRow | None:
    """The first batch that has reached something, by halving: no index leads to it. None: none has."""
    end = await last_batch(connection)
    low, high = 1, 0 if end is None else end.batch_no
    while low < high:
        middle = (low + high) // 2
        row = await _batch_from(connection, middle)
        if row is None or reached(row):
            high = middle
        else:
            low = row.batch_no + 1
    found = await _batch_from(connection, low)
    return found if found is not None and reached(found) else None


async def _batch_from(connection: Connection, number: int) -> BatchRow | None:
    row = await connection.fetchrow(_SQL["batch_from"], number)
    return None if row is None else _batch(row)


async def bounds_of_batch(connection: Connection, number: int) -> Bounds | None:
    """The bounds of one batch; None: there is no such batch."""
    row = await _batch_from(connection, number)
    if row is None or row.batch_no != number:
        return None
    before = await connection.fetchrow(_SQL["batch_before"], number)
    return Bounds(None if before is None else _batch(before), row)


class _Places(NamedTuple):
    """A batch, and its places in ledger order: after one seq, up to another."""

    row: BatchRow
    after: int
    through: int


async def batches_between(connection: Connection, bounds: Bounds) -> AsyncIterator[HashedBatch]:
    """The batches of these bounds, in order, each with its rows."""
    number, seq = (0, 0) if bounds.before is None else (bounds.before.batch_no, bounds.before.last_seq)
    while number < bounds.last.batch_no:
        found = await connection.fetch(_SQL["batches"], number, bounds.last.batch_no, _PAGE_BATCHES)
        page = _page([_batch(row) for row in found], number, seq)
        if not page:
            return
        async for batch in _with_rows(connection, page):
            yield batch
        number, seq = page[-1].row.batch_no, page[-1].through


def _page(batches: Sequence[BatchRow], number: int, seq: int) -> list[_Places]:
    """The first of these batches, as many as have about a page of decisions; one at least.

    The marks of a batch say how many decisions it has, since its last_seq may be altered. Where a batch is missing, the
    places of the next one end at its last_seq.
    """
    page: list[_Places] = []
    for row in batches:
        count = marked_decisions(row.leaf_marks)
        if count is None:
            after, through = seq, max(seq, row.last_seq)
        else:
            after = seq if row.batch_no == number + 1 else max(seq, row.last_seq - count)
            through = after + count
        page.append(_Places(row, after, through))
        number, seq = row.batch_no, through
        if seq - page[0].after >= _PAGE_DECISIONS:
            break
    return page


async def _with_rows(connection: Connection, page: Sequence[_Places]) -> AsyncIterator[HashedBatch]:
    first, last = page[0], page[-1]
    decisions = [*map(DecisionRow._make, await connection.fetch(_SQL["decisions"], first.after, last.through))]
    changes = [*map(ChangeRow._make, await connection.fetch(_SQL["changes"], first.after, last.through))]
    policies = await policies_of(connection, first.row.batch_no, last.row.batch_no)
    answers = await _answers(connection, decisions)
    seqs, moved = [row.seq for row in decisions], [row.decision_seq for row in changes]
    for row, after, through in page:
        of_batch = decisions[bisect_right(seqs, after) : bisect_right(seqs, through)]
        their_changes = changes[bisect_right(moved, after) : bisect_right(moved, through)]
        commands = (decision for decision in of_batch if decision.kind == "command")  # corrections name theirs too
        replies = [answers[name] for decision in commands if (name := decision.event_id or "") in answers]
        yield HashedBatch(row, after, through, of_batch, their_changes, policies.get(row.batch_no, []), replies)


async def policies_of(connection: Connection, first: int, last: int) -> Mapping[int, list[PolicyRow]]:
    """The policy versions that these batches stored, by batch."""
    found = defaultdict[int, list[PolicyRow]](list)
    for row in await connection.fetch(_SQL["policies"], first, last):
        found[row["batch_no"]].append(PolicyRow(*row))
    return found


async def _answers(connection: Connection, decisions: Sequence[DecisionRow]) -> Mapping[str, AnswerRow]:
    """The commands that these decisions answer, by the decision's event id."""
    ids = [one for row in decisions if row.kind == "command" and (one := _command_of(row)) is not None]
    rows = await connection.fetch(_SQL["answers"], ids) if ids else ()
    return {f"command:{row['command_id']}": _answer(row) for row in rows}


def _command_of(decision: DecisionRow) -> UUID | None:
    try:
        return UUID((decision.event_id or "").removeprefix("command:"))
    except ValueError:
        return None


def _answer(row: asyncpg.Record) -> AnswerRow:
    values = [row[name] for name in AnswerRow._fields]
    arguments = as_text(msgspec.json.decode(row["arguments"]))
    return AnswerRow(*values)._replace(command_id=UUID(str(row["command_id"])), arguments=arguments)


def _batch(row: asyncpg.Record) -> BatchRow:
    batch = BatchRow(*(row[name] for name in BatchRow._fields))
    return batch if batch.batch_uid is None else batch._replace(batch_uid=UUID(str(batch.batch_uid)))
