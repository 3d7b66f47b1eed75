"""Deciding a part of a ledger again, from a reader, chunk by chunk."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

from worker.domain.model import FreelancerId, LotId
from worker.proof.again import Again
from worker.proof.findings import Finding
from worker.proof.identity import is_opened_by, look_up
from worker.proof.left_out import LeftOut, LotsMoved
from worker.proof.parts import Chunk, Part, Reader


async def decide_part(
    reader: Reader,
    part: Part,
    through: int,
    again: Again,
    advance: Callable[[int], None] = lambda _: None,
    after: int = 0,
) -> AsyncIterator[Finding]:
    """Decide one part again up to a place in ledger order. `again` counts what was looked at, `advance` is told so.

    `after`: the same reader and `again` have done so up to there, which is where a batch ended.

    Raises:
        Transient: the ledger is away.
    """
    async for chunk in reader.chunks(part, through, after):
        await look_up(chunk.decisions, again.groups.parked, reader, part)
        again.batches(chunk.headers)
        before = again.looked_at
        for recorded in chunk.decisions:
            for found in again.add(recorded):
                yield found
        advance(again.looked_at - before)
        await asyncio.sleep(0)  # Ctrl-C, and other work beside it
    before = again.looked_at
    for found in again.finish():
        yield found
    advance(again.looked_at - before)


async def decide_needed(
    reader: Reader, freelancer_id: FreelancerId, chunk: Chunk, left_out: Sequence[LeftOut], again: Again
) -> list[Finding]:
    """Decide again those decisions of a freelancer that a reader says are needed; the others are `left_out`.

    Raises:
        DoesNotFollow: these contradict themselves. All of the freelancer's decisions have to be decided again then.
        Transient: the ledger is away.
    """
    part = Part(freelancer=freelancer_id)
    opened = await reader.lots([(freelancer_id, lot_id) for one in left_out for lot_id in _opened(one, freelancer_id)])
    await look_up(chunk.decisions, again.groups.parked, reader, part)
    again.batches(chunk.headers)
    lots = LotsMoved(again.state, freelancer_id, {lot.lot_id: lot for lot in opened})
    found: list[Finding] = []
    place = 0
    for recorded in (*chunk.decisions, None):
        first = place
        while place < len(left_out) and (recorded is None or left_out[place].seq < recorded.row.seq):
            place += 1
        if first < place:
            found += again.break_off()
            lots.take(left_out[first:place])
        found += again.finish() if recorded is None else again.add(recorded)
    return found


def _opened(left_out: LeftOut, freelancer_id: FreelancerId) -> set[LotId]:
    """The lots that a decision opened."""
    return {
        LotId(lot_id)
        for change in left_out.changes
        for lot_id, _, _, delta in change.movements
        if lot_id is not None and delta > 0 and is_opened_by(lot_id, freelancer_id, change.version)
    }
