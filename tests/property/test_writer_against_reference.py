"""Random histories through the real writer: cut anywhere, restarted anywhere, with a cache that forgets soon or not
at all. The ledger that comes out must be the reference model's, row by row. Most into a ledger in memory, some into
PostgreSQL, whose answers take their time."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kit.deciding import (
    GRACE,
    Deciding,
    FewAppointments,
    FewInMemory,
    Place,
    as_read,
    deciding,
    ledger_at,
    unhurried,
    wipe,
)
from tests.kit.histories import History, Record, listed
from tests.kit.policies import as_document, policies
from tests.kit.stacks import new_ledger
from tests.kit.stored import check_what_is_stored
from tests.model.ledger import check
from tests.property.played import in_order
from tests.property.variety import POLICIES, SEEDS, any_histories, looking
from worker.embedded.stack import LocalStack
from worker.engine.loading import cache
from worker.kafka.records import InputRecord
from worker.ledger.memory_store import MemoryStore
from worker.ledger.postgres import PostgresStore

LIMIT_SECONDS = 60
LIMITS = [name for name in vars(cache) if name.startswith("MOST_")]
"""How much of each thing a memory holds."""


@dataclass(frozen=True)
class Running:
    """How the writer is run: at which records it stops (and whether it restarts there), how large its batches are, how
    much clock work it gets in one piece, how many turns of the event loop an answer of the ledger in memory takes, and
    how long it lets the clock run at the end, after a restart."""

    cuts: tuple[tuple[int, bool], ...] = ()
    batch_size: int = 1_000
    few_appointments: bool = False
    turns: int = 0
    days_more: int = 0


running = st.builds(
    Running,
    cuts=st.lists(st.tuples(st.integers(0, 60), st.booleans()), max_size=6).map(tuple),
    batch_size=st.sampled_from((1, 2, 3, 1_000)),
    few_appointments=st.booleans(),
    turns=st.sampled_from((0, 1, 4, 30)),
    days_more=st.sampled_from((0, 0, 1, 40, 800)),
)


@pytest.fixture(scope="session")
def ledger_url(shared_stack: LocalStack) -> str:
    """One database for all examples, wiped before each."""
    return new_ledger(shared_stack, "random_histories")


@pytest.fixture(params=["remembers", "forgets"])
def memory_that(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A memory that is large enough for everything, or for nothing that need not be there."""
    if request.param == "forgets":
        for name in LIMITS:
            monkeypatch.setattr(cache, name, 0)
    return request.param


@looking(examples=120)
@given(records=any_histories(), policy=st.sampled_from(sorted(POLICIES)), how=running)
def test_the_writer_decides_as_the_model_does(
    memory_that: str, records: list[Record], policy: str, how: Running
) -> None:
    asyncio.run(decide_and_compare(a_ledger_in_memory(how), records, policy, how, memory_that))


@looking(examples=6)
@given(records=any_histories(), policy=st.sampled_from(sorted(POLICIES)), how=running)
def test_the_writer_decides_as_the_model_does_on_postgresql(
    ledger_url: str, memory_that: str, records: list[Record], policy: str, how: Running
) -> None:
    asyncio.run(decide_and_compare(ledger_url, records, policy, how, memory_that))


@pytest.mark.parametrize("seed", SEEDS)
def test_the_writer_decides_a_marketplaces_month_as_the_model_does(seed: int) -> None:
    asyncio.run(decide_a_month(MemoryStore(), seed))


def test_the_writer_decides_a_marketplaces_month_as_the_model_does_on_postgresql(ledger_url: str) -> None:
    asyncio.run(decide_a_month(ledger_url, SEEDS[0]))


async def decide_a_month(place: Place, seed: int) -> None:
    history = History(seed, events=3_000, jobs=150, late=0.03, poison=0.03)
    how = Running(cuts=((500, False), (501, True), (1_700, True)), batch_size=400, days_more=400)
    await decide_and_compare(place, list(history), "as it is", how, f"TEST_SEED={seed}")


def a_ledger_in_memory(how: Running) -> MemoryStore:
    return unhurried(FewInMemory() if how.few_appointments else MemoryStore(), how.turns)


async def decide_and_compare(place: Place, records: list[Record], policy: str, how: Running, shown: str) -> None:
    text = POLICIES[policy]
    rows = in_order(records, text)
    end = max((row["business_time"] for row in rows if row["business_time"]), default=None)
    if isinstance(place, str):
        await wipe(place)
    store = FewAppointments if how.few_appointments else PostgresStore
    async with (
        asyncio.timeout(LIMIT_SECONDS),
        deciding(place, policies(text), batch_size=how.batch_size, store=store) as decides,
    ):
        await decide(decides, as_read(rows), how, end)
        assert decides.writer.parked == {}, shown
    ledger = await ledger_at(place)
    check_what_is_stored(ledger.decisions, ledger.memberships)
    report = check(ledger, as_document(text), movements_in_order=False)
    assert report.ok, f"{shown}\n{report}\npolicy {policy!r}, {how}, {len(records)} records\n{listed(records)}"


async def decide(decides: Deciding, records: list[InputRecord], how: Running, end: datetime | None) -> None:
    cuts = {0: False, **{place % (len(records) + 1): restart for place, restart in how.cuts}, len(records): False}
    for start, stop in pairwise(sorted(cuts)):
        await decides.decide(records[start:stop])
        if cuts[stop]:
            await decides.commit()
            await decides.restart()
    if end is not None and how.days_more:
        await decides.commit()
        await decides.restart()
    if end is not None:
        await decides.until(end + timedelta(days=how.days_more) + GRACE)
    await decides.commit()
