"""`connects verify` beside a worker that goes on writing: what is written meanwhile is no finding."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from tests.kit.deciding import Deciding, as_read, deciding
from tests.kit.histories import History
from tests.kit.policies import policies
from tests.property.played import in_order
from tests.property.variety import POLICIES
from worker.domain.model import FreelancerId
from worker.kafka.records import InputRecord
from worker.proof import passes
from worker.proof.checks import Ground, Progress, Range, run_checks
from worker.proof.ledger_checks import again_check, again_check_of
from worker.proof.passes import decide_ledger_again
from worker.proof.state_check import state_check

POLICY = POLICIES["claw-back"]
HISTORY = History(5, freelancers=12, jobs=20, events=700, late=0.2, poison=0.02)
BEFORE = 250


@pytest.fixture
async def writer(database_url: str) -> AsyncIterator[tuple[Deciding, list[InputRecord]]]:
    """A writer that has decided some records, and the others."""
    records = as_read(in_order(list(HISTORY), POLICY))
    async with deciding(database_url, policies(POLICY), batch_size=20) as decides:
        decides.add_policies()
        await decides.writer.advance({})
        await decides.decide(records[:BEFORE])
        await decides.commit()
        yield decides, records[BEFORE:]


async def go_on(decides: Deciding, records: list[InputRecord]) -> None:
    for first in range(0, len(records), 5):
        await decides.decide(records[first : first + 5])
        await decides.commit()


async def test_what_is_written_meanwhile_is_no_finding(
    writer: tuple[Deciding, list[InputRecord]], database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passes, "_NEAR", 20)
    attempts = (0, passes._ATTEMPTS)  # noqa: SLF001 - with 0 all that was written meanwhile is read at one instant
    decides, records = writer
    writing, runs = asyncio.create_task(go_on(decides, records)), 0
    connection = await asyncpg.connect(database_url)
    while not writing.done() or runs < 2:
        monkeypatch.setattr(passes, "_ATTEMPTS", attempts[runs % 2])
        before = await connection.fetchval("SELECT max(last_seq) FROM batches")
        tally = await decide_ledger_again(database_url, through=before, per_pass=before // 3, rows=True)
        assert not tally.counts, tally.samples
        assert not tally.row_count, tally.rows
        assert tally.compared
        ground = Ground(database_url, Range(), Progress())
        checks = (state_check(), again_check(), *(again_check_of(FreelancerId(f"f-{number}")) for number in (1, 2)))
        assert [finding async for finding in run_checks(checks, ground)] == []
        runs += 1
        assert writing.done() or await connection.fetchval("SELECT max(last_seq) FROM batches") > before
    await connection.close()
    await writing
