"""A plan of voids, settles and adds is applied to a random history, and undone: all is as before (law 6).

Balances less shortfalls, and what counts, are those of before the plan. `verify` finds nothing, in any case.
"""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kit import undoing, voiding
from tests.kit.deciding import GRACE, SKEW, Deciding, as_read, deciding
from tests.kit.deciding_again import decide_again
from tests.kit.histories import History, Record, listed
from tests.kit.overlays import MemorySnapshot
from tests.kit.passing_over import passing_over
from tests.kit.policies import policies
from tests.kit.replaying import PLAN, apply, leading, nothing_is_found
from tests.model.answers import Row
from tests.property.played import in_order
from tests.property.test_voids import NEW, sent_again
from tests.property.variety import POLICIES, SEEDS, any_histories, looking
from worker.domain.policy import PolicyBook
from worker.ledger.memory_store import MemoryStore
from worker.proof.checks import Progress
from worker.proof.memory_reader import MemoryReader
from worker.proof.memory_rows import MemoryRows
from worker.repair.archives import Line
from worker.repair.candidates import Candidates
from worker.repair.decision_selection import DecisionSelection
from worker.repair.overlay import Overlay
from worker.repair.planning import Ground, Planned, plan_all
from worker.repair.selecting import JobToSettle
from worker.repair.told import OF_PROPOSALS
from worker.repair.undoing import CHANGED_SINCE

LIMIT_SECONDS = 60
UNDONE_ADDS = (*(NEW.keys() - OF_PROPOSALS), "badge-earned")
"""Topics of which an added event can be undone."""


@looking(examples=120)
@given(
    records=any_histories(),
    policy=st.sampled_from(sorted(POLICIES)),
    seed=st.integers(0, 2**32),
    days_later=st.sampled_from((0, 0, 40, 345)),
    late_hires=st.booleans(),
)
def test_a_plan_that_is_undone_is_as_if_it_never_was(
    records: list[Record], policy: str, seed: int, days_later: int, *, late_hires: bool
) -> None:
    asyncio.run(apply_and_undo(records, POLICIES[policy], random.Random(seed), days_later, late_hires=late_hires))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_marketplaces_plan_that_is_undone(seed: int) -> None:
    records = list(History(seed, events=600, jobs=40, late=0.03))
    undone = asyncio.run(
        apply_and_undo(records, POLICIES["as it is"], random.Random(seed), days_later=2, late_hires=True)
    )
    assert min(undone[kind] for kind in ("add", "void", "settle")) > 0, f"TEST_SEED={seed}: {undone}"


@looking(examples=120)
@given(
    records=any_histories(),
    policy=st.sampled_from(sorted(POLICIES)),
    seed=st.integers(0, 2**32),
    days=st.sampled_from((0, 3, 40, 345)),
    late_hires=st.booleans(),
)
def test_a_plan_is_undone_as_far_as_it_goes_after_events_came(
    records: list[Record], policy: str, seed: int, days: int, *, late_hires: bool
) -> None:
    asyncio.run(go_on_and_undo(records, POLICIES[policy], random.Random(seed), days, late_hires=late_hires))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("days", [0, 30])
def test_a_marketplaces_plan_is_undone_as_far_as_it_goes(seed: int, days: int) -> None:
    records = list(History(seed, events=600, jobs=40, late=0.03))
    undone = asyncio.run(go_on_and_undo(records, POLICIES["as it is"], random.Random(seed), days, late_hires=True))
    assert undone > 0, f"TEST_SEED={seed}"


async def go_on_and_undo(
    records: list[Record], text: str, chance: random.Random, days: int, *, late_hires: bool
) -> int:
    """Events come before an undo is planned, before it is applied, and afterwards; what deviates is left out."""
    came, lost = parted(records, chance)
    both, resent = sent_again(came, chance)
    rows = in_order(both, text)
    parts = sorted(chance.randrange(len(rows) + 1) for _ in range(3))
    store, book = MemoryStore(), policies(text)
    shown = f"{len(both)} records, parted at {parts}, and {len(lost)} that are added\n{listed(both)}\n{listed(lost)}"
    async with asyncio.timeout(LIMIT_SECONDS), leading(store, book, batch_size=50) as decides:
        with passing_over(lambda *_: chance.random() < 0.3):
            await go_on(decides, rows[: parts[0]], 1)
        if decides.writer.business_time is None:
            return 0
        planned = await plan(store, book, resent, lost, late_hires=late_hires)
        await apply(decides, book, planned.triggers)
        await go_on(decides, rows[parts[0] : parts[1]], days)
        undone = await undoing.plan(store, book)
        await go_on(decides, rows[parts[1] : parts[2]], 0)
        await apply(decides, book, undone.triggers, undoing.UNDO)
        await go_on(decides, rows[parts[2] :], days)
        await undoing.undo(decides, book, name="dd" * 32)
        again = await undoing.plan(store, book)
        assert not again.triggers, shown
        await decides.until(decides.writer.business_time + timedelta(days=400))
    for count in (1, 3):
        found = await decide_again(MemoryReader(store, 50), count, MemoryRows(store.tables))
        assert not found.findings, f"{found}\n{shown}"
        assert (found.tally.row_count, found.tally.skipped) == (0, 0), f"{found}\n{shown}"
    follows = Counter(row.follows for row in store.tables.decisions if row.rule == "correct.undo")
    assert not [seq for seq, times in follows.items() if times > 1], shown
    return len(follows)


async def go_on(decides: Deciding, rows: Sequence[Row], days: int) -> None:
    """Let these events come, and then time pass."""
    await decides.decide(as_read(rows))
    await decides.commit()
    if decides.writer.business_time is not None:
        await decides.until(decides.writer.business_time + timedelta(days=days))
    await decides.writer.advance({})
    await decides.commit()


def parted(records: Sequence[Record], chance: random.Random) -> tuple[list[Record], list[Record]]:
    """The records that come, and those that are lost, and added later."""
    came, lost = list[Record](), list[Record]()
    for record in records:
        (lost if record[0] in UNDONE_ADDS and record[2] and chance.random() < 0.2 else came).append(record)
    return (came, lost) if came else (lost, [])


async def apply_and_undo(
    records: list[Record], text: str, chance: random.Random, days_later: int, *, late_hires: bool
) -> Counter[str]:
    came, lost = parted(records, chance)
    both, resent = sent_again(came, chance)
    store, book = MemoryStore(), policies(text)
    shown = f"{len(both)} records, and {len(lost)} that are added\n{listed(both)}\n{listed(lost)}"
    async with asyncio.timeout(LIMIT_SECONDS), deciding(store, book, batch_size=50) as decides:
        decides.add_policies()
        with passing_over(lambda *_: chance.random() < 0.3):
            await decides.decide(as_read(in_order(both, text)))
            await decides.commit()
            if decides.writer.business_time is None:
                return Counter()
            await decides.until(decides.writer.business_time + 2 * GRACE)
        now = decides.writer.business_time + timedelta(days=days_later)
        await decides.until(now)
        await decides.writer.advance({})
        await decides.commit()
        counts = before(store)
        planned = await plan(store, book, resent, lost, late_hires=late_hires)
        if planned.triggers:
            assert (await apply(decides, book, planned.triggers)).told["booked"] == len(planned.triggers), shown
        undone = await undo_and_compare(decides, book, counts, shown)
        assert not (await undoing.plan(store, book)).triggers, shown
        await decides.until(now + timedelta(days=400))
    await nothing_is_found(store, 1, 3, shown=shown)
    kinds = {row.number: row.kind for row in store.tables.replayed if row.plan == PLAN}
    return Counter(kinds[trigger.line] for trigger in undone.triggers if hasattr(trigger, "seq"))


def before(store: MemoryStore) -> tuple[dict[str, int], dict[str, object]]:
    """Balances, of wallets that have one, and what counts, but not which decisions are void for good."""
    counts = undoing.what_counts(store)
    del counts["voided"]
    return {name: balance for name, balance in undoing.balances(store).items() if balance}, counts


async def undo_and_compare(
    decides: Deciding, book: PolicyBook, was: tuple[dict[str, int], dict[str, object]], shown: str
) -> Planned:
    assert isinstance(decides.store, MemoryStore)
    undone = await undoing.undo(decides, book)
    left = {one.what for one in undone.summary.left_for_a_person}
    assert left <= {"event ids of added events that are undone", CHANGED_SINCE.what}, f"{left}\n{shown}"
    if CHANGED_SINCE.what in left:  # an added proposal that another freelancer had named
        return undone
    balances, counts = before(decides.store)
    for trigger in undone.triggers:
        for name, missing in trigger.expected.shortfall.items():
            balances[name] = balances.get(name, 0) - missing
    assert {name: balance for name, balance in balances.items() if balance} == was[0], shown
    assert counts == was[1], shown
    return undone


async def plan(
    store: MemoryStore, book: PolicyBook, resent: Sequence[str], lost: Sequence[Record], *, late_hires: bool
) -> Planned:
    """A plan that voids what was sent again, adds what was lost, and settles all jobs again."""
    rows = MemorySnapshot(store)
    overlay = Overlay(rows)
    await overlay.open()
    known = {row.event_id: row.seq for row in store.tables.decisions if row.kind == "first"}
    selection = DecisionSelection(rows, UUID(int=0), first=True)
    await selection.add_seqs("a test", [known[event_id] for event_id in resent if event_id in known])
    events = Candidates(rows, voiding.READER, Progress())
    lines = (Line("lost", number, topic, value or b"") for number, (topic, _, value, _) in enumerate(lost, 1))
    await events.add(line for line in lines if _is_event(line.value))
    ground = Ground(book, GRACE, SKEW, voiding.READER, Progress(), datetime.now(UTC))
    jobs = [JobToSettle(job, late_hires, "all", 0) for job in sorted({row.job_id for row in store.tables.spends})]
    return await plan_all(overlay, events, ground, jobs, selection)


def _is_event(value: bytes) -> bool:
    try:
        return isinstance(json.loads(value), dict)
    except ValueError:
        return False
