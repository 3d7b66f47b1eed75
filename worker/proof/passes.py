"""The whole ledger decided again: in passes by the hash of the freelancer, in several processes if asked to.

A pass keeps the state of its wallets only, so memory does not grow with the ledger: a larger one takes more passes. At
its end it can compare that state with the rows of current state, in a short transaction that also reads the decisions
that were taken meanwhile: so a worker that goes on writing makes no difference.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Final, NamedTuple

from worker.garbage import seldom_collected
from worker.ledger.connections import Connection
from worker.proof.again import Again
from worker.proof.current_state import compare
from worker.proof.findings import Finding, Tally
from worker.proof.parts import Part
from worker.proof.reader import PostgresReader
from worker.proof.run import decide_part
from worker.proof.state_rows import PostgresRows
from worker.queries.asking import connected
from worker.release import release

PER_PASS: Final = 100_000
"""Decisions of a pass, about: their wallets, spends and grants take less than 200 MB."""
_WORTH_A_PROCESS: Final = 20_000
_NEAR: Final = 5_000
"""That many decisions at most are decided again within the transaction that reads current state."""
_ATTEMPTS: Final = 5
"""How often what was decided meanwhile is caught up with before that."""


def parts_of(decisions: int, jobs: int = 1, per_pass: int = PER_PASS) -> list[Part]:
    """The parts in which a ledger of so many decisions is decided again."""
    enough = -(-decisions // per_pass)
    busy = min(jobs, -(-decisions // _WORTH_A_PROCESS))
    parts = max(1, enough, busy)
    return [Part(number, parts) for number in range(parts)]


class Pass(NamedTuple):
    """What passes work on: a ledger up to a place in ledger order; `rows`: and its current state.

    `keeps_seqs`: the tally keeps which decisions today's rules take otherwise.
    """

    database_url: str
    through: int
    rows: bool = False
    keeps_seqs: bool = False


async def decide_ledger_again(
    database_url: str,
    *,
    jobs: int = 1,
    through: int | None = None,
    per_pass: int = PER_PASS,
    rows: bool = False,
    keeps_seqs: bool = False,
    advance: Callable[[int], None] = lambda _: None,
) -> Tally:
    """Decide all of a ledger again, up to a place in ledger order, or its end now; `advance` counts what was looked at.

    `rows`: compare current state as well, which is that of now. `keeps_seqs`: see `Pass`.

    Raises:
        UsageError, OperatorNeeded, Transient: the ledger cannot be read.
    """
    if through is None:
        async with connected(database_url) as connection:
            through = await PostgresReader(connection).end()
    parts = parts_of(through, jobs, per_pass)
    whole, work = Tally(keeps_seqs=keeps_seqs), Pass(database_url, through, rows, keeps_seqs)
    if jobs == 1 or len(parts) == 1:
        for part in parts:
            whole.add_up(await _pass(work, part, advance))
        return whole
    async for tally in _in_processes(work, parts, jobs):
        whole.add_up(tally)
        advance(tally.decisions + tally.inputs)
    return whole


async def decide_named_again(
    connection: Connection, part: Part, advance: Callable[[int], None] = lambda _: None
) -> tuple[list[Finding], Tally]:
    """Decide the decisions of one freelancer, or job, again, and compare the rows; each finding, and the tally of rows.

    Raises:
        Transient: the ledger is away.
    """
    reader = PostgresReader(connection)

    async def decide() -> tuple[int, Again, list[Finding]]:
        again, through = Again(release(), keeps_seqs=True), await reader.end()
        return through, again, [one async for one in decide_part(reader, part, through, again, advance)]

    for _ in range(_ATTEMPTS):
        through, again, found = await decide()
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            if await reader.last_of(part) <= through:
                await compare(again, PostgresRows(connection))
                return found, again.tally
    async with connection.transaction(isolation="repeatable_read", readonly=True):  # it changes all the time
        _, again, found = await decide()
        await compare(again, PostgresRows(connection))
    return found, again.tally


async def _pass(work: Pass, part: Part, advance: Callable[[int], None]) -> Tally:
    """One pass. Its tally counts the findings, and keeps the first of each kind."""
    again = Again(release() if work.rows else None, keeps_seqs=work.keeps_seqs)
    with seldom_collected():
        await _decide_and_compare(work, part, again, advance)
    return again.tally


async def _decide_and_compare(work: Pass, part: Part, again: Again, advance: Callable[[int], None]) -> None:
    async with connected(work.database_url) as connection:
        reader = PostgresReader(connection)
        await _decide(decide_part(reader, part, work.through, again, advance))
        if work.rows:
            through = work.through
            for _ in range(_ATTEMPTS):
                if (end := await reader.end()) - through <= _NEAR:
                    break
                await _decide(decide_part(reader, part, end, again, after=through))
                through = end
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                await _decide(decide_part(reader, part, await reader.end(), again, after=through))
                await compare(again, PostgresRows(connection))


async def _decide(findings: AsyncIterator[Finding]) -> None:
    """Have a part decided; the tally has the findings."""
    async for _ in findings:
        pass


async def _in_processes(work: Pass, parts: list[Part], jobs: int) -> AsyncIterator[Tally]:
    """The tallies of passes in as many processes, as they are done."""
    loop = asyncio.get_running_loop()
    pool = ProcessPoolExecutor(jobs, mp_context=get_context("spawn"))
    try:
        passes = [loop.run_in_executor(pool, _pass_in_a_process, work, part) for part in parts]
        for done in asyncio.as_completed(passes):
            yield await done
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _pass_in_a_process(work: Pass, part: Part) -> Tally:
    return asyncio.run(_pass(work, part, lambda _: None))
