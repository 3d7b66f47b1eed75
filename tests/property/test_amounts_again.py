"""Random histories that a wrong policy and a wrong release decided, of which a plan then corrects the amounts.

Under the release and policy that decided, a plan is empty, also after voids and settles. Else each difference is booked
once, whatever dies meanwhile; after that the same plan is empty, and deciding again finds nothing.
"""

import asyncio
import random
import re
from dataclasses import dataclass
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kit import amending, replaying, voiding
from tests.kit.deciding import GRACE, as_read, deciding
from tests.kit.histories import History, Record, listed
from tests.kit.policies import policies
from tests.kit.replaying import became, nothing_is_found
from tests.kit.wrong_release import boosts_come_back_twice
from tests.property.played import in_order
from tests.property.test_added_events import LIMIT_SECONDS, Dying, _end_of
from tests.property.test_settling_again import _jobs, apply_though_it_dies
from tests.property.variety import FOR_GOOD, POLICIES, SEEDS, any_histories, looking
from worker.domain.policy import PolicyBook
from worker.ledger.memory_store import MemoryStore
from worker.repair.plan import Decide

AMOUNTS = ("registration", "certification", "basic", "plus_paid", "rising-talent")


def otherwise(text: str, chance: random.Random) -> PolicyBook:
    """The policy with other amounts in each of its versions."""
    for name in AMOUNTS:
        text = re.sub(rf"(?m)^{name} = \d+", lambda _, name=name: f"{name} = {chance.choice((0, 1, 8, 80))}", text)
    return policies(text)


@looking(examples=40)
@given(records=any_histories(), policy=st.sampled_from(sorted(POLICIES)), seed=st.integers(0, 2**32))
def test_what_was_decided_by_these_rules_is_not_amended(records: list[Record], policy: str, seed: int) -> None:
    asyncio.run(void_settle_and_plan(records, policy, random.Random(seed)))


async def void_settle_and_plan(records: list[Record], policy: str, chance: random.Random) -> None:
    store, text, shown = MemoryStore(), POLICIES[policy], f"policy {policy!r}\n{listed(records)}"
    rows, book = in_order(records, text), policies(text)
    async with asyncio.timeout(LIMIT_SECONDS), deciding(store, book, batch_size=50) as decides:
        decides.add_policies()
        await decides.decide(as_read(rows))
        await decides.until(_end_of(rows) + GRACE)
        assert not (await amending.plan(store, book)).triggers, shown
        seqs = [row.seq for row in store.tables.decisions if chance.random() < 0.2]
        for number, planned in enumerate(
            (await voiding.plan(store, book, seqs), await replaying.planned_again(store, book, _jobs(store)))
        ):
            if planned.triggers:
                await replaying.apply(decides, book, planned.triggers, f"{number}{'ef' * 31}0")
        again = await amending.plan(store, book)
        assert not again.triggers, f"{again.triggers}\n{shown}"
        assert {one.what for one in again.summary.left_for_a_person} <= {"corrections", "hires that took refunds back"}


@dataclass(frozen=True)
class Wrong:
    """What was wrong, and how it is corrected."""

    seed: int
    by_policy: bool
    chunk: int
    batch_size: int
    days_later: int
    deaths: tuple[tuple[int, bool], ...]


wrongs = st.builds(
    Wrong,
    seed=st.integers(0, 1_000),
    by_policy=st.booleans(),
    chunk=st.sampled_from((1, 3, 50)),
    batch_size=st.sampled_from((1, 3, 1_000)),
    days_later=st.sampled_from((0, 40, 400)),
    deaths=st.lists(st.tuples(st.integers(1, 12), st.booleans()), max_size=4).map(tuple),
)


@looking(examples=50)
@given(records=any_histories(), policy=st.sampled_from(sorted(POLICIES)), wrong=wrongs)
def test_whatever_is_amended_is_booked_once_and_stands(records: list[Record], policy: str, wrong: Wrong) -> None:
    asyncio.run(amend_and_compare(records, POLICIES[policy], wrong, f"policy {policy!r}, {wrong}\n{listed(records)}"))


@pytest.mark.in_turn
@pytest.mark.parametrize("by_policy", [True, False])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_marketplaces_days_are_amended(seed: int, by_policy: bool) -> None:  # noqa: FBT001
    mix = {"propose": 40.0, "outbid": 25.0, "close": 25.0}
    records = list(History(seed, events=600, jobs=30, mix=mix))
    wrong = Wrong(seed, by_policy, 50, 40, 0, ((2, False), (4, True), (5, False)))
    amended = asyncio.run(amend_and_compare(records, POLICIES["as it is"], wrong, f"TEST_SEED={seed}"))
    assert seed != FOR_GOOD or amended > 2, f"TEST_SEED={seed}"


async def amend_and_compare(records: list[Record], text: str, wrong: Wrong, shown: str) -> int:
    """Returns how many decisions were amended."""
    store, chance = Dying(wrong.deaths), random.Random(wrong.seed)
    rows, right = in_order(records, text), policies(text)
    book = otherwise(text, chance) if wrong.by_policy else right
    corrected = right if wrong.by_policy else None
    async with asyncio.timeout(LIMIT_SECONDS), deciding(store, book, batch_size=wrong.batch_size) as decides:
        decides.add_policies()
        with boosts_come_back_twice():
            await decides.decide(as_read(rows))
            await decides.until(_end_of(rows) + GRACE)
        await decides.until(_end_of(rows) + timedelta(days=wrong.days_later))
        await decides.writer.advance({})
        await decides.commit()
        before, planned = _balances(store), await amending.plan(store, book, None, corrected)
        await apply_though_it_dies(decides, book, planned.triggers, wrong.chunk)
        assert [outcome for _, outcome, _ in became(store)] == ["booked"] * len(planned.triggers), shown
        for trigger in planned.triggers:
            assert isinstance(trigger, Decide), shown
            for name, delta in trigger.expected.wallets.items():
                before[name] += delta
        assert _balances(store) == before, shown
        again = await amending.plan(store, book, None, corrected)
        assert not again.triggers, f"{again.triggers}\n{shown}"
        await decides.until((decides.writer.business_time or _end_of(rows)) + timedelta(days=400))
    await nothing_is_found(store, 1, 3, shown=shown)
    return len(planned.triggers)


def _balances(store: MemoryStore) -> dict[str, int]:
    by_version = sorted(store.tables.changes, key=lambda row: row.version)
    return {row.freelancer_id: row.balance_after for row in by_version}
