"""Random histories of which a plan corrects the amounts, and that plan is undone, whatever comes in between.

Balances less shortfalls are then those of before the plan, and what stands is what was booked. The same corrections can
be made again, and lead to the balances that they led to the first time; decisions can be voided. `verify` finds the
same in parts as of the whole ledger: nothing, but for what a wrong release decided while no correction of it counts.
"""

import asyncio
import random
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kit import amending, replaying, undoing, voiding
from tests.kit.deciding import GRACE, Deciding, as_read
from tests.kit.deciding_again import decide_again
from tests.kit.histories import History, Record, listed
from tests.kit.policies import policies
from tests.kit.replaying import leading, nothing_is_found
from tests.kit.undoing import balances
from tests.kit.wrong_release import boosts_come_back_twice
from tests.property.played import in_order
from tests.property.test_added_events import LIMIT_SECONDS, _end_of
from tests.property.test_amounts_again import otherwise
from tests.property.variety import FOR_GOOD, POLICIES, SEEDS, any_histories, looking
from worker.domain.policy import PolicyBook
from worker.ledger.memory_store import MemoryStore
from worker.proof.memory_reader import MemoryReader
from worker.proof.memory_rows import MemoryRows
from worker.repair.planning import Planned

AGAIN, VOIDED = "cd" * 32, "de" * 32
UNDONE, VOID_UNDONE = "dd" * 32, "ef" * 32


@dataclass(frozen=True)
class Case:
    """What was wrong, and when what was corrected is undone."""

    seed: int
    by_policy: bool
    batch_size: int
    days_between: int


cases = st.builds(
    Case,
    seed=st.integers(0, 1_000),
    by_policy=st.booleans(),
    batch_size=st.sampled_from((1, 3, 1_000)),
    days_between=st.sampled_from((0, 0, 3, 40, 345)),
)


@looking(examples=40)
@given(records=any_histories(), policy=st.sampled_from(sorted(POLICIES)), case=cases)
def test_amounts_that_were_corrected_and_undone(records: list[Record], policy: str, case: Case) -> None:
    asyncio.run(amend_and_undo(records, POLICIES[policy], case, f"policy {policy!r}, {case}\n{listed(records)}"))


@pytest.mark.in_turn
@pytest.mark.parametrize(("by_policy", "days_between"), [(True, 0), (False, 0), (False, 30)])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_marketplaces_corrected_amounts_are_undone(seed: int, by_policy: bool, days_between: int) -> None:  # noqa: FBT001
    mix = {"propose": 40.0, "outbid": 25.0, "close": 25.0}
    records = list(History(seed, events=500, jobs=30, mix=mix))
    case = Case(seed, by_policy, 40, days_between)
    undone = asyncio.run(amend_and_undo(records, POLICIES["as it is"], case, f"TEST_SEED={seed}"))
    assert seed != FOR_GOOD or days_between or undone > 2, f"TEST_SEED={seed}"


async def amend_and_undo(records: list[Record], text: str, case: Case, shown: str) -> int:
    """Returns how many corrections were undone."""
    store, chance = MemoryStore(), random.Random(case.seed)
    rows, right = in_order(records, text), policies(text)
    book = otherwise(text, chance) if case.by_policy else right
    corrected = right if case.by_policy else None
    cut = len(rows) if not case.days_between else chance.randrange(len(rows) // 2, len(rows) + 1)
    async with asyncio.timeout(LIMIT_SECONDS), leading(store, book, batch_size=case.batch_size) as decides:
        with nullcontext() if case.by_policy else boosts_come_back_twice():
            await decides.decide(as_read(rows[:cut]))
            await decides.commit()
            if decides.writer.business_time is None:
                return 0
            await decides.until((_end_of(rows) if cut == len(rows) else decides.writer.business_time) + GRACE)
        await decides.writer.advance({})
        await decides.commit()
        before, first = balances(store), await amending.amend(decides, book, corrected)
        amended = balances(store)
        await decides.decide(as_read(rows[cut:]))
        await decides.commit()
        await decides.until(decides.writer.business_time + timedelta(days=case.days_between))
        await decides.writer.advance({})
        await decides.commit()
        undone = await undoing.undo(decides, book)
        assert (len(undone.triggers), undone.summary.left_for_a_person) == (len(first.triggers), []), shown
        what_was_booked_stands(store, undone, shown)
        await the_same_in_parts(store, shown)
        if not case.days_between:
            assert less(balances(store), undone) == before, shown
        second = await amending.amend(decides, book, corrected, name=AGAIN)
        if not case.days_between:
            assert less(balances(store), second) == less(amended, first), shown
        await void_and_undo(decides, book, second, chance, shown)
        await decides.until((decides.writer.business_time or _end_of(rows)) + timedelta(days=400))
    await the_same_in_parts(store, shown)
    if case.by_policy:
        await nothing_is_found(store, 1, 3, shown=shown)
    return len(undone.triggers)


def what_was_booked_stands(store: MemoryStore, undone: Planned, shown: str) -> None:
    """Each decision has a row still, which says so."""
    tables = store.tables
    booked = dict.fromkeys((row.decision_seq for row in tables.amended), 0)
    whose = {seq: tables.decisions[seq].freelancer_id for seq in booked}
    for change in tables.changes:
        if change.decision_seq in booked and change.freelancer_id == whose[change.decision_seq]:
            booked[change.decision_seq] += change.delta
    assert {row.decision_seq: (row.connects, row.policy) for row in tables.amended} == {
        seq: (connects, None) for seq, connects in booked.items()
    }, shown
    missing = sum(sum(trigger.expected.shortfall.values()) for trigger in undone.triggers)
    assert sum(row.not_taken for row in tables.amended) >= missing, shown


async def the_same_in_parts(store: MemoryStore, shown: str) -> None:
    found = [await decide_again(MemoryReader(store, 50), parts, MemoryRows(store.tables)) for parts in (1, 3)]
    whole, parts = (sorted(str(one) for one in again.findings) for again in found)
    assert whole == parts, shown
    assert found[0].tally.amended == found[1].tally.amended, shown


async def void_and_undo(
    decides: Deciding, book: PolicyBook, second: Planned, chance: random.Random, shown: str
) -> None:
    """Undo the second corrections too; some of these decisions are voided then, and that is undone."""
    store = decides.store
    assert isinstance(store, MemoryStore)
    undone = await undoing.undo(decides, book, AGAIN, UNDONE)
    assert len(undone.triggers) == len(second.triggers), shown
    was = balances(store)
    seqs = sorted(row.decision_seq for row in store.tables.amended if chance.random() < 0.5)
    planned = await voiding.plan(store, book, seqs)
    assert "decisions that were amended" not in {one.what for one in planned.summary.left_for_a_person}, shown
    await _apply(decides, book, planned)
    undone = await undoing.undo(decides, book, VOIDED, VOID_UNDONE)
    assert less(balances(store), undone) == was, shown


async def _apply(decides: Deciding, book: PolicyBook, planned: Planned) -> None:
    if planned.triggers:
        answer = await replaying.apply(decides, book, planned.triggers, VOIDED)
        assert answer.told["booked"] == len(planned.triggers), answer


def less(found: dict[str, int], planned: Planned) -> dict[str, int]:
    """These balances, as if all had been there that the plan should have taken."""
    found = dict(found)
    for trigger in planned.triggers:
        for name, missing in trigger.expected.shortfall.items():
            found[name] -= missing
    return found
