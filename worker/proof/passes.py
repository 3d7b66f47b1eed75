"""The whole ledger decided again: in passes by the hash of the freelancer, in several processes if asked to.

A pass keeps the state of its wallets only, so memory does not grow with the ledger: a larger one takes more passes. At
its end it can compare that state with the rows of current state, in a short transaction that also reads the decisions
that were taken meanwhile: so a worker that goes on writing makes no difference.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Final, NamedTuple

from worker.garbage import seldom_collected
from worker.ledger.connections import Connection
from worker.proof.again import Again
from worker.proof.current_state import compare
from worker.proof.findings import Finding, Tally
from worker.proof.parts import Part
from worker.proof.reader import PostgresReader
from worker.proof.reading import reading
from worker.proof.run import decide_part
from worker.proof.state_rows import PostgresRows
from worker.release import release

AT_ONCE: Final = 240_000
"""Decisions of the passes that go on at one time, about: their wallets, spends and grants take less than 130 MB."""
_WITH_ANOTHER_PROCESS: Final = 160_000
"""The same if there is another process: that takes about 60 MB before it has any of them."""
_WORTH_A_PROCESS: Final = 20_000
_NEAR: Final = 5_000
"""That many decisions at most are decided again within the transaction that reads current state."""
_ATTEMPTS: Final = 5
"""How often what was decided meanwhile is caught up with before that."""


def parts_of(decisions: int, jobs: int = 1, per_pass: int | None = None) -> list[Part]:
    """The parts in which a ledger of so many decisions is decided again: as many for each of the processes."""
    most = per_pass or (AT_ONCE if jobs == 1 else _WITH_ANOTHER_PROCESS // jobs)
    busy = max(1, min(jobs, -(-decisions // _WORTH_A_PROCESS)))
    parts = busy * max(1, -(-decisions // (most * busy)))
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
    per_pass: int | None = None,
    rows: bool = False,
    keeps_seqs: bool = False,
    advance: Callable[[int], None] = lambda _: None,
) -> Tally:
    """Decide all of a ledger again, up to a place in ledger order, or its end now; `advance` counts what was looked at.

    With several `jobs` this process does its share of the passes, and starts one process less than that.

    `rows`: compare current state as well, which is that of now. `keeps_seqs`: see `Pass`.

    Raises:
        UsageError, OperatorNeeded, Transient: the ledger cannot be read.
    """
    if through is None:
        async with reading(database_url) as connection:
            through = await PostgresReader(connection).end()
    parts = parts_of(through, jobs, per_pass)
    whole, work = Tally(keeps_seqs=keeps_seqs), Pass(database_url, through, rows, keeps_seqs)
    left = iter(parts)

    async def take(decide: Callable[[Part], Awaitable[Tally]]) -> None:
        for part in left:
            whole.add_up(await decide(part))

    def here(part: Part) -> Awaitable[Tally]:
        return _pass(work, part, advance)

    if jobs == 1 or len(parts) == 1:
        await take(here)
        return whole
    with _processes(min(jobs, len(parts)) - 1) as elsewhere:

        async def there(part: Part) -> Tally:
            tally = await elsewhere(work, part)
            advance(tally.decisions + tally.inputs)
            return tally

        await _all_of([take(here), *(take(there) for _ in range(min(jobs, len(parts)) - 1))])
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
        again, through = Again(release(), keeps_seqs=True, has_words=False), await reader.end()
        return through, again, [one async for one in decide_part(reader, part, through, again, advance)]

    # A closure may be worked off by a batch that decides nothing of its job: then no decision tells of it.
    for _ in range(0 if part.job is not None else _ATTEMPTS):
        through, again, found = await decide()
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            if await reader.last_of(part) <= through:
                await compare(again, PostgresRows(connection))
                return found, again.tally
    async with connection.transaction(isolation="repeatable_read", readonly=True):  # a wallet here changes all the time
        _, again, found = await decide()
        await compare(again, PostgresRows(connection))
    return found, again.tally


async def _pass(work: Pass, part: Part, advance: Callable[[int], None]) -> Tally:
    """One pass. Its tally counts the findings, and keeps the first of each kind."""
    again = Again(release() if work.rows else None, keeps_seqs=work.keeps_seqs, has_words=False)
    with seldom_collected():
        await _decide_and_compare(work, part, again, advance)
    return again.tally


async def _decide_and_compare(work: Pass, part: Part, again: Again, advance: Callable[[int], None]) -> None:
    async with reading(work.database_url) as connection:
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


@contextmanager
def _processes(count: int) -> Iterator[Callable[[Pass, Part], Awaitable[Tally]]]:
    """So many processes, and what has one of them do a pass."""
    pool = ProcessPoolExecutor(count, mp_context=get_context("spawn"))
    try:
        loop = asyncio.get_running_loop()
        yield lambda work, part: loop.run_in_executor(pool, _pass_in_a_process, work, part)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


async def _all_of(shares: Iterable[Coroutine[None, None, None]]) -> None:
    """Wait for all of these; one that fails ends the others."""
    tasks = [asyncio.ensure_future(share) for share in shares]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


def _pass_in_a_process(work: Pass, part: Part) -> Tally:
    return asyncio.run(_pass(work, part, lambda _: None))
