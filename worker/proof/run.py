"""Deciding a part of a ledger again, from a reader, chunk by chunk."""

import asyncio
from collections.abc import AsyncIterator, Callable

from worker.proof.again import Again
from worker.proof.findings import Finding
from worker.proof.identity import look_up
from worker.proof.parts import Part, Reader


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
