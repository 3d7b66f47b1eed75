"""What a plan of added events says is what a writer books that gets them afterwards; planning changes nothing."""

import asyncio
import random
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.catalogue import INPUT_TOPICS
from tests.kit.deciding import GRACE, SKEW, WALL_CLOCK, Deciding, as_read, deciding, ledger_at
from tests.kit.histories import History, MembershipYears, Record, listed
from tests.kit.overlays import MemorySnapshot
from tests.kit.policies import policies
from tests.kit.replaying import add, became, begin
from tests.property.played import in_order
from tests.property.variety import POLICIES, SEEDS, any_histories, looking
from worker.kafka.input.reading import RecordReader
from worker.ledger.memory_store import MemoryStore
from worker.proof.checks import Progress
from worker.repair.archives import Line
from worker.repair.candidates import Candidates, read_record
from worker.repair.overlay import Overlay
from worker.repair.planning import Ground, Planned, plan_all
from worker.wall_clock import WallClock

LIMIT_SECONDS = 60
RECREATED = 7
"""The incarnation of the topics that bring the lost events after all."""


class _LongAfter(WallClock):
    def now(self) -> datetime:
        return WALL_CLOCK


READER = RecordReader(_LongAfter(), SKEW)


class Brought(NamedTuple):
    """What one event brought: the decision on it, and the changes of balances with those that had waited for it."""

    event_id: str | None
    outcome: str
    reason: str
    wallets: dict[str, int]


@looking(examples=100)
@given(
    records=any_histories(),
    policy=st.sampled_from(sorted(POLICIES)),
    lost=st.integers(0, 2**32),
    days_more=st.sampled_from((0, 0, 1, 40)),
    chunk=st.sampled_from((None, 1, 3, 500)),
)
def test_a_plan_says_what_a_writer_books_afterwards(
    records: list[Record], policy: str, lost: int, days_more: int, chunk: int | None
) -> None:
    asyncio.run(plan_and_compare(records, POLICIES[policy], random.Random(lost), days_more, chunk))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_plan_for_a_marketplaces_month_says_what_a_writer_books_afterwards(seed: int) -> None:
    history = History(seed, events=1_500, jobs=100, late=0.03, poison=0.02)
    planned = asyncio.run(plan_and_compare(list(history), POLICIES["as it is"], random.Random(seed), 3))
    assert planned.summary.given > 0, f"TEST_SEED={seed}"
    assert planned.summary.will_follow, f"TEST_SEED={seed}"


@pytest.mark.parametrize("seed", SEEDS)
def test_a_plan_for_memberships_says_what_a_writer_books_afterwards(seed: int) -> None:
    history = MembershipYears(seed, freelancers=12, years=1.5)
    planned = asyncio.run(plan_and_compare(list(history), POLICIES["as it is"], random.Random(seed), 40))
    assert planned.triggers, f"TEST_SEED={seed}"


async def plan_and_compare(
    records: list[Record], text: str, chance: random.Random, days_more: int, chunk: int | None = None
) -> Planned:
    """Plan what was lost, then decide it: applied in chunks, or (None) as live events. Planned again it is nothing."""
    rows = in_order(records, text)
    lost = [chance.random() < 0.3 for _ in rows]
    place = MemoryStore()
    async with asyncio.timeout(LIMIT_SECONDS), deciding(place, policies(text), batch_size=50) as decides:
        decides.add_policies()
        await decides.decide(as_read([row for row, is_lost in zip(rows, lost, strict=True) if not is_lost]))
        await decides.commit()
        if decides.writer.business_time is not None:
            await decides.until(decides.writer.business_time + timedelta(days=days_more, hours=1))
            await decides.writer.advance({})  # business time is stored with the next batch
            await decides.commit()
        found = await _candidates(place, [row for row, is_lost in zip(rows, lost, strict=True) if is_lost])
        before = _all_of(place)
        planned = await _plan(place, found, text)
        assert _all_of(place) == before, "planning changes nothing"
        shown = f"{len(records)} records\n{listed(records)}"
        if chunk is None:
            booked = await _decide_live(decides, found)
            assert [Brought(one.event_id, *_values(one.expected)) for one in planned.triggers] == booked, shown
            assert sum(sum(one.wallets.values()) for one in booked) == planned.summary.given - planned.summary.taken
        else:
            await _apply(decides, planned, text, chunk)
            planned_so = [(one.number, "booked", one.expected.reason) for one in planned.triggers]
            assert became(place) == planned_so, shown
        again = await _plan(place, found, text)
        assert (again.triggers, again.summary.conflicts) == ([], found.conflicts), shown
        ledger = await ledger_at(place)
    balances = {row["freelancer_id"]: row["balance"] for row in ledger.wallets}
    assert {one.freelancer_id: one.later for one in planned.wallets} == {
        one.freelancer_id: balances.get(one.freelancer_id, 0) for one in planned.wallets
    }, shown
    for wallet in planned.wallets:
        assert wallet.steps[-1].balance_after == wallet.later
        assert all(step.sentence for step in wallet.steps)
    return planned


async def _candidates(place: MemoryStore, lost: Iterable[dict[str, Any]]) -> Candidates:
    """The lost events, as an archive has them: in the order in which they were sent."""
    found = Candidates(MemorySnapshot(place), READER, Progress())
    await found.add(
        Line("archive", number, row["topic"], row["payload"])
        for number, row in enumerate(lost, 1)
        if row["payload"] is not None and row["topic"] in INPUT_TOPICS
    )
    return found


async def _plan(place: MemoryStore, found: Candidates, text: str) -> Planned:
    overlay = Overlay(MemorySnapshot(place))
    await overlay.open()
    return await plan_all(overlay, found, Ground(policies(text), GRACE, SKEW, READER, Progress(), datetime.now(UTC)))


async def _decide_live(decides: Deciding, found: Candidates) -> list[Brought]:
    """Have the writer of the ledger decide the events as live ones; returns what each brought."""
    store, time = decides.store, decides.writer.business_time
    assert isinstance(store, MemoryStore)
    if time is not None:
        decides.wall_clock = time + GRACE
    first = (await store.tail()).last_seq + 1
    records = [read_record(READER, one.topic, one.value, one.number) for one in found.in_order()]
    for record in records:
        record.business_time, record.incarnation = time, RECREATED
    await decides.decide(records)
    await decides.commit()
    last = (await store.tail()).last_seq
    if time is not None:
        await decides.until(time + GRACE)
    return list(_brought(store, range(first, last + 1)))


async def _apply(decides: Deciding, planned: Planned, text: str, chunk: int) -> None:
    time = decides.writer.business_time
    await begin(decides, policies(text), len(planned.triggers))
    for first in range(0, len(planned.triggers), chunk):
        await add(decides, planned.triggers[first : first + chunk])
    if time is not None:
        await decides.until(time + GRACE)


def _brought(store: MemoryStore, seqs: Iterable[int]) -> Iterable[Brought]:
    deltas: dict[int, list[tuple[str, int]]] = {}
    for change in store.tables.changes:
        deltas.setdefault(change.decision_seq, []).append((change.freelancer_id, change.delta))
    found: list[Brought] = []
    for row in (store.tables.decisions[seq] for seq in seqs):
        if row.kind == "first":
            assert row.incarnation == RECREATED
            found.append(Brought(row.event_id, row.outcome, row.reason, {}))
        for name, delta in deltas.get(row.seq, ()):
            wallets = found[-1].wallets
            wallets[name] = wallets.get(name, 0) + delta
    for one in found:
        for name in [name for name, delta in one.wallets.items() if not delta]:
            del one.wallets[name]
    return found


def _values(expected: Any) -> Sequence[Any]:  # noqa: ANN401
    return expected.outcome, expected.reason, expected.wallets


def _all_of(store: MemoryStore) -> dict[str, list[Any]]:
    tables = vars(store.tables)
    return {name: sorted(map(str, table)) for name, table in tables.items() if hasattr(table, "merge")}
