"""The checks of `connects verify` beside that of the hashes: sums, refunds that are owed, and every decision again."""

from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Final

import asyncpg

from worker.domain.model import FreelancerId
from worker.ledger.connections import Connection
from worker.proof import findings
from worker.proof.checks import Check, Finding, Ground
from worker.proof.findings import Tally, in_words
from worker.proof.hashed_rows import bounds
from worker.proof.parts import Part
from worker.proof.passes import decide_ledger_again, decide_named_again
from worker.proof.reader import PostgresReader
from worker.proof.reading import reading
from worker.proof.state_check import CURRENT_STATE
from worker.proof.unreadable import in_words as said
from worker.queries.balances import totals_that_disagree
from worker.queries.lookups import require_known
from worker.queries.owed import refunds_not_made
from worker.words.phrases import counted

TOTALS: Final = "totals"
OWED: Final = "owed"
AGAIN: Final = "decided-again"


def totals_check() -> Check:
    """The check that lots, debts, movements and balances have one sum."""

    async def run(ground: Ground) -> AsyncIterator[Finding]:
        async with reading(ground.database_url) as connection:
            try:
                async for words in totals_that_disagree(connection):
                    yield Finding(TOTALS, "inconsistent", words)
            except asyncpg.DataError as error:
                yield Finding(TOTALS, "not-executable", f"the movements cannot be added up: {said(error)}", "changes")

    return Check(TOTALS, run)


def owed_check(grace: timedelta) -> Check:
    """The check that no closure owes a refund that nothing on the schedule will make; `grace` is the worker's."""

    async def run(ground: Ground) -> AsyncIterator[Finding]:
        async with reading(ground.database_url) as connection:
            async for refund in refunds_not_made(connection, grace):
                if ground.selected is not None:
                    ground.selected.append(refund.closure_seq)
                yield Finding(OWED, "owed", refund.explanation, "closures")

    return Check(OWED, run)


def again_check(jobs: int = 1) -> Check:
    """The check that today's rules decide everything as it was decided, in `jobs` processes.

    Up to the end of the batch that has the range's last decision: what a trigger brought with it is never in two
    batches, and is compared with it. Of the whole ledger the rows of current state are compared with what the decisions
    make.
    """

    async def run(ground: Ground) -> AsyncIterator[Finding]:
        async with reading(ground.database_url) as connection:
            through = await PostgresReader(connection).end()
            if ground.range.last is not None:
                found = await bounds(connection, None, ground.range.last)
                through = 0 if found is None else min(through, found.last.last_seq)
        ground.progress.begin(AGAIN, through)
        tally = await decide_ledger_again(
            ground.database_url,
            jobs=jobs,
            through=through,
            rows=ground.range.is_all,
            keeps_seqs=ground.selected is not None,
            advance=ground.progress.advance,
        )
        if ground.selected is not None and tally.seqs is not None:
            ground.selected.extend(tally.seqs)
        for finding in (*_rows(tally), *_by_kind(tally)):
            yield finding

    return Check(AGAIN, run)


def again_check_of(freelancer_id: FreelancerId) -> Check:
    """The same for one freelancer's decisions, each finding by itself.

    It raises UsageError if no event has named them.
    """

    async def run(ground: Ground) -> AsyncIterator[Finding]:
        async with reading(ground.database_url) as connection:
            await require_known(connection, "freelancer", freelancer_id)
            ground.progress.begin(AGAIN, 0)
            for finding in (await findings_of_freelancer(connection, freelancer_id, ground))[0]:
                yield finding

    return Check(AGAIN, run)


async def findings_of_freelancer(
    connection: Connection, freelancer_id: FreelancerId, ground: Ground
) -> tuple[list[Finding], Tally]:
    """What is found when one freelancer's decisions are decided again and the rows compared, and what was looked at."""
    found, tally = await findings_of(connection, Part(freelancer=freelancer_id), ground.progress.advance)
    if ground.selected is not None and tally.seqs is not None:
        ground.selected.extend(tally.seqs)
    return found, tally


async def findings_of(
    connection: Connection, part: Part, advance: Callable[[int], None] = lambda _: None
) -> tuple[list[Finding], Tally]:
    """The same of one freelancer or one job; `advance` counts what was looked at.

    Raises:
        Transient: the ledger is away.
    """
    found, tally = await decide_named_again(connection, part, advance)
    return [*_rows(tally), *map(_one, found)], tally


def _rows(tally: Tally) -> list[Finding]:
    """The rows of current state that are not what the decisions make, a finding each."""
    rows = [Finding(CURRENT_STATE, "inconsistent", f"{row.key}: {row.detail}", row.table) for row in tally.rows]
    if more := tally.row_count - len(rows):
        rows.append(Finding(CURRENT_STATE, "inconsistent", f"{counted(more, 'more row')} that should be otherwise"))
    return rows


def _one(found: findings.Finding) -> Finding:
    words = in_words(found.differences) or found.detail
    return Finding(AGAIN, found.cause, words, "decisions", found.seq, found.batch_no)


def _by_kind(tally: Tally) -> list[Finding]:
    """One finding for each cause, rule and release: how many decisions, and what differs in the first of them."""
    found = []
    for cause, rule, release, count, samples in tally.kinds():
        first = samples[0]
        of = f"{rule or 'no rule'}, decided by {f'release {release}' if release else 'an earlier release'}"
        others = [str(one.seq) for one in samples[1:]]
        if more := count - len(samples):
            others.append(f"{more:,} more")
        words = f"{of}: {counted(count, 'decision')}. In the first, {in_words(first.differences) or first.detail}"
        words += f". The others: {', '.join(others)}" if others else ""
        found.append(Finding(AGAIN, cause, words, "decisions", first.seq, first.batch_no))
    return found
