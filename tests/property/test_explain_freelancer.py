"""Of a freelancer little is read: it is the same that reading every decision and every proposal of theirs finds.

Random histories, looked at amid them, with late proposals that wait for a settlement of their own. In the middle a
third is voided, and in the end that is undone: proposals wait then for closings that were settled without them.
Of several wallets that one decision changes is test_ask_about_claw_backs.py.
"""

import random
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from tests.kit import undoing, voiding
from tests.kit.deciding import GRACE, as_read, deciding
from tests.kit.histories import History
from tests.kit.memory_connection import connection_to
from tests.kit.policies import policies
from tests.property.played import in_order
from tests.property.variety import FOR_GOOD, POLICIES, SEEDS
from worker.domain.policy import PolicyBook
from worker.ledger.memory_store import MemoryStore
from worker.ledger.sql import load
from worker.queries.explain import decisions_of, explain_freelancer, open_spend, open_spends_of

START = datetime(2026, 1, 5, tzinfo=UTC)
_SQL = load("asking.sql")


@pytest.mark.parametrize("seed", SEEDS)
async def test_little_is_read_of_a_freelancer_and_all_is_found(seed: int) -> None:
    history = History(
        *(seed, 6, 12, 300, START, timedelta(days=20)), mix={"hire": 9.0}, late=0.3, late_by=timedelta(days=3)
    )
    store, book = MemoryStore(), policies(POLICIES["claw-back"])
    amid, after = Counter[str](), Counter[str]()
    rows = in_order(list(history), POLICIES["claw-back"])
    read, end = as_read(rows), max(row["business_time"] for row in rows if row["business_time"])
    async with deciding(store, book) as decides:
        for start in range(0, len(read), 3):
            await decides.decide(read[start : start + 3])
            await decides.commit()
            amid.update(await all_is_found(store, book))
            if start == len(read) // 6 * 3:
                await voiding.void_decisions(decides, book, voiding.some_of(store, random.Random(seed), 1 / 3))
        await decides.until(end + GRACE)
        await undoing.undo(decides, book)
        after.update(await all_is_found(store, book))
    if seed == FOR_GOOD:
        assert min(amid["open"], amid["settled late"], after["open"], after["settled late"]) > 0, (amid, after)


async def all_is_found(store: MemoryStore, book: PolicyBook) -> Counter[str]:
    """Compare for each freelancer; counts what was there to be compared."""
    connection = connection_to(store)
    seen = Counter({"settled late": sum(row.kind == "late-settlement" for row in store.tables.due)})
    for whose in sorted({row.freelancer_id for row in store.tables.decisions if row.freelancer_id is not None}):
        found, sent = await explain_freelancer(connection, whose, book, START - GRACE)
        seqs = {row[0] for row in await connection.fetch(_SQL["seqs_of_freelancer"], whose)}
        assert found.decisions == await decisions_of(connection, seqs)
        opened = [open_spend(row) for row in await open_spends_of(connection, whose)]
        assert found.open == opened
        assert {one.subject["proposal_id"] for one in opened} <= {one.proposal_id for one in sent}
        seen["open"] += len(opened)
    return seen
