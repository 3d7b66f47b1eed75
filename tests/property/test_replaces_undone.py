"""Random histories of which events are given other content, and that is undone, whatever comes in between.

Balances less shortfalls are then those of before, each event says what it said, and can be given other content again.
Proposals are left for a person. `verify` finds nothing after each step.
"""

import asyncio
import random
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kit import replacing, undoing
from tests.kit.deciding import GRACE, as_read
from tests.kit.histories import History, Record, listed
from tests.kit.policies import policies
from tests.kit.replaying import leading, nothing_is_found
from tests.kit.undoing import balances
from tests.property.came_wrong import made_wrong
from tests.property.played import in_order
from tests.property.test_amounts_undone import less
from tests.property.variety import FOR_GOOD, POLICIES, SEEDS, any_histories, looking
from worker.ledger.memory_store import MemoryStore
from worker.repair.planning import Planned
from worker.repair.replacing import says_the_same
from worker.repair.undoing_amounts import PROPOSALS

LIMIT_SECONDS = 60
AGAIN, AGAIN_UNDONE = "cd" * 32, "dd" * 32


@looking(examples=60)
@given(
    records=any_histories(),
    policy=st.sampled_from(sorted(POLICIES)),
    seed=st.integers(0, 2**32),
    days_between=st.sampled_from((0, 0, 3, 345)),
)
def test_replacements_that_are_undone(records: list[Record], policy: str, seed: int, days_between: int) -> None:
    asyncio.run(replace_and_undo(records, POLICIES[policy], random.Random(seed), days_between))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("days_between", [0, 30])
def test_a_marketplaces_replacements_are_undone(seed: int, days_between: int) -> None:
    history = History(seed, events=500, jobs=30, late=0.03)
    undone = asyncio.run(replace_and_undo(list(history), POLICIES["as it is"], random.Random(seed), days_between))
    assert seed != FOR_GOOD or undone > 3, f"TEST_SEED={seed}"


async def replace_and_undo(records: list[Record], text: str, chance: random.Random, days_between: int) -> int:
    """Returns how many replacements were undone."""
    wrong, right = made_wrong(records, chance)
    right = [event for event in right if days_between or event[0] != "proposal-submitted"]
    rows, store, book = in_order(wrong, text), MemoryStore(), policies(text)
    shown, cut = f"{listed(wrong)}\n{right}", len(rows)
    if days_between:
        cut = chance.randrange(len(rows) // 2, len(rows) + 1)
    async with asyncio.timeout(LIMIT_SECONDS), leading(store, book, batch_size=50) as decides:
        await decides.decide(as_read(rows[:cut]))
        await decides.commit()
        if decides.writer.business_time is None:
            return 0
        await decides.until(decides.writer.business_time + GRACE)
        await decides.writer.advance({})
        await decides.commit()
        was, said = balances(store), await contents(store)
        first = await replacing.replace(decides, book, *right)
        replaced = balances(store)
        await decides.decide(as_read(rows[cut:]))
        await decides.commit()
        await decides.until(decides.writer.business_time + timedelta(days=days_between))
        await decides.writer.advance({})
        await decides.commit()
        undone = await undoing.undo(decides, book)
        only_proposals_are_left(undone, first, shown)
        await nothing_is_found(store, 1, 3, shown=shown)
        if not days_between:
            assert less(balances(store), undone) == was, shown
            now = await contents(store)
            assert {seq: now[seq] for seq in said} == said, shown
        second = await replacing.replace(decides, book, *right, name=AGAIN)
        if not (days_between or undone.summary.shortfall):
            assert len(second.triggers) == len(first.triggers), shown
            assert less(balances(store), second) == less(replaced, first), shown
        await undoing.undo(decides, book, AGAIN, AGAIN_UNDONE)
        await decides.until(decides.writer.business_time + timedelta(days=400))
    await nothing_is_found(store, 1, 3, shown=shown)
    return len(undone.triggers)


def only_proposals_are_left(undone: Planned, first: Planned, shown: str) -> None:
    """Every grant, purchase and adjustment is undone."""
    topics = [trigger.topic for trigger in first.triggers if trigger.number and hasattr(trigger, "event")]
    others = sum(topic != "proposal-submitted" for topic in topics)
    assert len(undone.triggers) == others, f"{undone.summary.left_for_a_person}\n{shown}"
    left = {one.what for one in undone.summary.left_for_a_person}
    assert left <= {PROPOSALS.what, "settles of proposals whose event the same plan replaced"}, f"{left}\n{shown}"


async def contents(store: MemoryStore) -> dict[int, bytes | None]:
    """What each event says that counts, by its decision; and no other content is said to count."""
    seqs = [row.seq for row in store.tables.decisions if row.kind == "first" and row.payload is not None]
    firsts = await store.first_decisions(seqs)
    assert all(one.is_replaced or says_the_same(one.stands, one.payload) for one in firsts.values())
    return {seq: one.stands for seq, one in firsts.items()}
