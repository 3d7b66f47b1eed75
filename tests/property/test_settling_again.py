"""Random histories of which a fault leaves some spends unsettled, and that a plan then settles again, with deaths.

The ledger is decided again without a finding, a second plan is empty, and where no order matters the ledger is what it
would be without the fault.
"""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kit.deciding import GRACE, SKEW, Deciding, as_read, deciding, wipe
from tests.kit.histories import History, Record, listed
from tests.kit.passing_over import passing_over
from tests.kit.policies import as_document, policies
from tests.kit.replaying import add, apply, became, begin, nothing_is_found, planned_again
from tests.kit.stacks import new_ledger
from tests.model.answers import Row
from tests.model.driver import Driver
from tests.property.played import in_order
from tests.property.test_added_events import LIMIT_SECONDS, NEVER, Dying, _end_of, _lines, until_it_lives
from tests.property.test_nothing_is_owed import connected, everything_owed
from tests.property.variety import POLICIES, SEEDS, any_histories, looking
from worker.domain.policy import PolicyBook
from worker.embedded.stack import LocalStack
from worker.kafka.input.reading import RecordReader
from worker.proof.checks import Progress
from worker.repair.candidates import Candidates
from worker.repair.overlay import Overlay
from worker.repair.plan import Settle, Trigger
from worker.repair.planning import Ground, Planned, plan_all
from worker.repair.selecting import jobs_to_settle
from worker.repair.snapshot import PostgresSnapshot
from worker.wall_clock import WallClock


@dataclass(frozen=True)
class Fault:
    """Which share of the settlements is passed over, and how they are settled again."""

    seed: int
    share: float
    chunk: int
    batch_size: int
    late_hires: bool
    days_later: int
    deaths: tuple[tuple[int, bool], ...] = ()


faults = st.builds(
    Fault,
    seed=st.integers(0, 1_000),
    share=st.sampled_from((0.3, 1.0)),
    chunk=st.sampled_from((1, 3, 50)),
    batch_size=st.sampled_from((1, 3, 1_000)),
    late_hires=st.booleans(),
    days_later=st.sampled_from((0, 40, 400)),
    deaths=st.lists(st.tuples(st.integers(1, 12), st.booleans()), max_size=4).map(tuple),
)


@looking(examples=80)
@given(records=any_histories(), policy=st.sampled_from(sorted(POLICIES)), fault=faults)
def test_whatever_is_settled_again_is_booked_once_and_decided_again_without_a_finding(
    records: list[Record], policy: str, fault: Fault
) -> None:
    asyncio.run(leave_and_settle(records, policy, fault))


async def leave_and_settle(records: list[Record], policy: str, fault: Fault) -> None:
    text, store = POLICIES[policy], Dying(fault.deaths)
    rows, book = in_order(records, text), policies(text)
    shown = f"policy {policy!r}, {fault}\n{listed(records)}"
    async with asyncio.timeout(LIMIT_SECONDS), deciding(store, book, batch_size=fault.batch_size) as decides:
        triggers = await settle_again(decides, rows, book, fault)
        assert [outcome for _, outcome, _ in became(store)] == ["booked"] * len(triggers), f"{became(store)}\n{shown}"
        for late_hires in {False, fault.late_hires}:
            again = await planned_again(store, book, _jobs(store), late_hires=late_hires)
            assert not again.triggers, f"{again.triggers}\n{shown}"
        await decides.until((decides.writer.business_time or _end_of(rows)) + timedelta(days=400))
    await nothing_is_found(store, 1, 3, shown=shown)
    assert len([row for row in store.tables.decisions if row.kind == "correction"]) == len(triggers)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("share", [0.2, 1.0])
def test_what_is_settled_again_makes_the_ledger_of_no_fault(seed: int, share: float) -> None:
    mix = dict.fromkeys(NEVER, 0.0)
    records = list(History(seed, freelancers=20, events=500, jobs=40, mix=mix, duplicates=0.0))
    fault = Fault(seed, share, 50, 40, late_hires=False, days_later=0, deaths=((2, False), (4, True), (5, False)))
    asyncio.run(leave_and_compare(records, fault))


async def leave_and_compare(records: list[Record], fault: Fault) -> None:
    text, store = POLICIES["as it is"], Dying(fault.deaths)
    rows, book = in_order(records, text), policies(text)
    async with asyncio.timeout(LIMIT_SECONDS), deciding(store, book, batch_size=fault.batch_size) as decides:
        assert await settle_again(decides, rows, book, fault)
        end = _end_of(rows) + timedelta(days=1)
        await decides.until(end)
    driver = Driver(as_document(text), GRACE.total_seconds(), end + timedelta(days=36_500))
    driver.run(records, lambda _topic, _key: 0, end)
    state = driver.model.state
    last = {row.freelancer_id: row.balance_after for row in sorted(store.tables.changes, key=lambda row: row.version)}
    assert last == {name: state.balance(name) for name, wallet in state.wallets.items() if wallet.version}
    assert _lines(store) == {
        (spend.proposal_id, name): (line.connects, line.returned)
        for spend in state.spends.values()
        for name, line in spend.lines.items()
        if line.connects
    }


async def settle_again(decides: Deciding, rows: Sequence[Row], book: PolicyBook, fault: Fault) -> list[Trigger]:
    """Decide everything by a worker with the fault, then settle all jobs again by one without it."""
    store, chance = decides.store, random.Random(fault.seed)
    assert isinstance(store, Dying)
    passed: dict[str, bool] = {}

    def passes_over(spend: object, *_: object) -> bool:
        return passed.setdefault(spend.proposal_id, chance.random() < fault.share)  # type: ignore[attr-defined]

    decides.add_policies()
    await decides.writer.advance({})
    with passing_over(passes_over):
        await decides.decide(as_read(rows))
        await decides.commit()
        await decides.until(_end_of(rows) + GRACE)
    await decides.until(_end_of(rows) + GRACE + timedelta(days=fault.days_later))
    await decides.writer.advance({})
    await decides.commit()
    triggers = (await planned_again(store, book, _jobs(store), late_hires=fault.late_hires)).triggers
    await apply_though_it_dies(decides, book, triggers, fault.chunk)
    return triggers


async def apply_though_it_dies(decides: Deciding, book: PolicyBook, triggers: Sequence[Trigger], size: int) -> None:
    """Apply a plan in chunks of that size, each until it is answered; the last one is asked for once more."""
    store = decides.store
    assert isinstance(store, Dying)
    store.commits = 0
    if triggers:
        await until_it_lives(decides, lambda: begin(decides, book, len(triggers)), {"plan-begun", "plan-is-open"})
    for first in range(0, len(triggers), size):
        chunk = triggers[first : first + size]
        await until_it_lives(decides, lambda chunk=chunk: add(decides, chunk), {"plan-applied"})
    if triggers:
        await decides.restart()
        await until_it_lives(decides, lambda: add(decides, triggers[-size:]), {"plan-applied"})
    store.commits = None


@pytest.fixture(scope="module")
def url(shared_stack: LocalStack) -> str:
    """One database for these tests, wiped before each."""
    return new_ledger(shared_stack, "settled")


@pytest.mark.parametrize("policy", ["as it is", "claw-back", "expire"])
@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_owed_is_selected_planned_and_owed_no_more(url: str, seed: int, policy: str) -> None:
    records = list(History(seed, events=900, jobs=60, late=0.04, late_by=timedelta(days=4)))
    asyncio.run(owe_and_settle(url, records, POLICIES[policy], seed))


async def owe_and_settle(url: str, records: list[Record], text: str, seed: int) -> None:
    """On PostgreSQL: settlements are passed over, or taken off the schedule; then all that is owed is settled again."""
    rows, book, chance = in_order(records, text), policies(text), random.Random(seed)
    passed: dict[str, bool] = {}

    def passes_over(spend: object, *_: object) -> bool:
        return passed.setdefault(spend.proposal_id, chance.random() < 0.3)  # type: ignore[attr-defined]

    await wipe(url)
    half = len(rows) // 2
    async with deciding(url, book, batch_size=50) as decides:
        decides.add_policies()
        with passing_over(passes_over):
            await decides.decide(as_read(rows[:half]))
            await decides.commit()
            async with connected(url) as connection:
                await connection.execute("DELETE FROM due WHERE kind = 'settlement'")
            await decides.restart()
            await decides.decide(as_read(rows[half:]))
            await decides.until(_end_of(rows) + timedelta(days=2))
        await decides.writer.advance({})
        await decides.commit()
        owed = await everything_owed(url)
        assert len(owed) > 5
        plan = await planned_on_postgresql(url, book)
        given = {
            one.proposal_id: sum(one.expected.wallets.values()) for one in plan.triggers if isinstance(one, Settle)
        }
        assert {name: given.get(name) for name in owed} == owed
        assert (await apply(decides, book, plan.triggers)).told["booked"] == len(plan.triggers)
        assert await everything_owed(url) == {}
        assert (await planned_on_postgresql(url, book)).summary.triggers["settle"] == 0


async def planned_on_postgresql(url: str, book: PolicyBook) -> Planned:
    async with connected(url) as connection:
        jobs = (await jobs_to_settle(connection, ["owed"], GRACE)).found
        snapshot = PostgresSnapshot(connection)
        await snapshot.begin()
        overlay = Overlay(snapshot)
        await overlay.open()
        reader, now = RecordReader(WallClock(), SKEW), datetime.now(UTC)
        found = Candidates(snapshot, reader, Progress())
        return await plan_all(overlay, found, Ground(book, GRACE, SKEW, reader, Progress(), now), jobs)


def _jobs(store: Dying) -> list[str]:
    return sorted({row.job_id for row in store.tables.spends})
