"""Random histories from which events are withheld and then added by a plan, with deaths between all steps.

The ledger is decided again without a finding, nothing is booked twice, and where no order matters it is what it would
be if nothing had been lost."""

import asyncio
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kit.deciding import GRACE, Deciding, as_read, deciding
from tests.kit.deciding_again import decide_again
from tests.kit.histories import History, Record, listed
from tests.kit.policies import as_document, policies
from tests.kit.replaying import Event, add, became, begin, planned
from tests.model.answers import Row
from tests.model.driver import Driver
from tests.property.played import in_order
from tests.property.variety import POLICIES, SEEDS, any_histories, looking
from worker.domain.policy import PolicyBook
from worker.errors import Transient
from worker.kafka.records import InputRecord
from worker.ledger.batch import Batch
from worker.ledger.memory_store import MemoryStore
from worker.proof.memory_reader import MemoryReader
from worker.proof.memory_rows import MemoryRows
from worker.repair.plan import Added

LIMIT_SECONDS = 120
ORDER_DOES_NOT_MATTER = {
    *("connects-purchased", "badge-earned", "certification-completed", "proposal-submitted", "job-closed"),
    "boost-outbid",
}
"""Lost events of these topics make the same ledger whenever they are decided, while nothing lacks the Connects."""
NEVER = ("propose_again", "close_again", "same_key_again", "adjust")
"""What a marketplace does whose outcome depends on which of two events came first, or on the balance."""


class Dying(MemoryStore):
    """Loses its leader at some commits, before they are written or after."""

    def __init__(self, deaths: Sequence[tuple[int, bool]] = ()) -> None:
        super().__init__()
        self.deaths = dict(deaths)
        self.commits: int | None = None
        """How many there were since it may die."""

    async def commit(self, batch: Batch, epoch: int) -> None:
        dies: bool | None = None
        if self.commits is not None:
            self.commits += 1
            dies = self.deaths.pop(self.commits, None)
        if dies is False:
            raise Transient("the worker died before the commit")
        await super().commit(batch, epoch)
        if dies:
            raise Transient("the worker died after the commit")


@dataclass(frozen=True)
class Loss:
    """How much is lost, and how it is added: in chunks of which size, with which deaths."""

    seed: int
    share: float
    chunk: int
    batch_size: int
    deaths: tuple[tuple[int, bool], ...] = field(default=())


losses = st.builds(
    Loss,
    seed=st.integers(0, 1_000),
    share=st.sampled_from((0.1, 0.3, 1.0)),
    chunk=st.sampled_from((1, 3, 50)),
    batch_size=st.sampled_from((1, 3, 1_000)),
    deaths=st.lists(st.tuples(st.integers(1, 12), st.booleans()), max_size=4).map(tuple),
)


@looking(examples=80)
@given(records=any_histories(), policy=st.sampled_from(sorted(POLICIES)), loss=losses)
def test_whatever_is_added_is_booked_once_and_decided_again_without_a_finding(
    records: list[Record], policy: str, loss: Loss
) -> None:
    asyncio.run(lose_and_add(records, policy, loss))


async def lose_and_add(records: list[Record], policy: str, loss: Loss) -> None:
    text, store = POLICIES[policy], Dying(loss.deaths)
    rows, book = in_order(records, text), policies(POLICIES[policy])
    chance = random.Random(loss.seed)
    ids = {(row["topic"], row["event_id"]) for row in rows if row["outcome"] not in {"rejected", "duplicate"}}
    lost = {one for one in sorted(ids) if chance.random() < loss.share}
    shown = f"policy {policy!r}, {loss}\n{listed(records)}"
    async with asyncio.timeout(LIMIT_SECONDS), deciding(store, book, batch_size=loss.batch_size) as decides:
        triggers = await come_but(decides, rows, lost, book)
        others = _of_others(store, triggers)
        await apply_in_chunks(decides, book, triggers, loss)
        assert _of_others(store, triggers) == others, f"wallets that the plan does not name changed\n{shown}"
        assert [outcome for _, outcome, _ in became(store)] == ["booked"] * len(triggers), f"{became(store)}\n{shown}"
        await decides.until(_end_of(rows) + GRACE)  # what the schedule does with them
        again = [(row.freelancer_id, row.version, row.balance_after) for row in store.tables.changes]
        await decides.decide(_elsewhere(rows, lost, decides.writer.business_time))
        await decides.commit()
        after = [(row.freelancer_id, row.version, row.balance_after) for row in store.tables.changes]
        assert after == again, f"the lost events changed something when they came\n{shown}"
    found = await decide_again(MemoryReader(store, 50), 1, MemoryRows(store.tables))
    assert not found.findings, f"{found}\n{shown}"
    assert (found.tally.row_count, found.tally.skipped) == (0, 0), f"{found}\n{shown}"
    assert len([row for row in store.tables.decisions if row.kind == "added"]) == len(triggers)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("share", [0.1, 1.0])
def test_what_is_lost_and_added_makes_the_ledger_of_the_true_history(seed: int, share: float) -> None:
    mix = dict.fromkeys(NEVER, 0.0)
    records = list(History(seed, freelancers=20, events=500, jobs=40, mix=mix, duplicates=0.0))
    loss = Loss(seed, share, 50, 40, ((2, False), (4, True), (5, False)))
    asyncio.run(lose_and_compare(records, loss))


async def lose_and_compare(records: list[Record], loss: Loss) -> None:
    text, store = POLICIES["as it is"], Dying(loss.deaths)
    rows, book = in_order(records, text), policies(POLICIES["as it is"])
    chance = random.Random(loss.seed)
    may_be_lost = [row for row in rows if row["topic"] in ORDER_DOES_NOT_MATTER and row["outcome"] != "rejected"]
    lost = {(row["topic"], row["event_id"]) for row in may_be_lost if chance.random() < loss.share}
    assert lost
    async with asyncio.timeout(LIMIT_SECONDS), deciding(store, book, batch_size=loss.batch_size) as decides:
        triggers = await come_but(decides, rows, lost, book)
        await apply_in_chunks(decides, book, triggers, loss)
        end = _end_of(rows) + timedelta(days=1)
        await decides.until(end)
    assert len([row for row in store.tables.replayed if row.outcome == "booked"]) == len(lost)
    driver = Driver(as_document(text), GRACE.total_seconds(), end + timedelta(days=36_500))
    driver.run(records, lambda _topic, _key: 0, end)
    state = driver.model.state
    balances = {
        row.freelancer_id: row.balance_after for row in sorted(store.tables.changes, key=lambda row: row.version)
    }
    wallets = {name for name, wallet in state.wallets.items() if wallet.version}
    assert balances == {name: state.balance(name) for name in wallets}
    assert _lines(store) == {
        (spend.proposal_id, name): (line.connects, line.returned)
        for spend in state.spends.values()
        for name, line in spend.lines.items()
        if line.connects
    }
    found = await decide_again(MemoryReader(store, 500), 3, MemoryRows(store.tables))
    assert not found.findings, str(found)
    assert found.tally.row_count == 0, str(found)


def _of_others(store: MemoryStore, triggers: Sequence[Added]) -> list[tuple[Any, ...]]:
    """The rows of current state of all freelancers whom no trigger names or changes."""
    named = {name for trigger in triggers for name in trigger.expected.wallets}
    named |= {json.loads(trigger.event).get("freelancer_id") for trigger in triggers}
    tables = (store.tables.lots, store.tables.spends, store.tables.memberships, store.tables.charges)
    rows: list[Any] = [row for table in tables for row in table]
    return sorted(tuple(map(str, row)) for row in rows if row.freelancer_id not in named)


def _lines(store: MemoryStore) -> dict[tuple[str, str], tuple[int, bool]]:
    """The lines of all spends that cost something: how much, and whether it came back."""
    lines = {}
    for row in store.tables.spends:
        lines[row.proposal_id, "base"] = (row.base, row.base_returned)
        lines[row.proposal_id, "boost"] = (row.boost, row.boost_returned)
    return {name: line for name, line in lines.items() if line[0]}


# The steps.


async def come_but(decides: Deciding, rows: Sequence[Row], lost: set[tuple[str, str]], book: PolicyBook) -> list[Added]:
    """Decide all but the lost events, with all that the schedule has then; plan the lost ones, by their time."""
    decides.add_policies()
    await decides.writer.advance({})
    await decides.decide(as_read([row for row in rows if (row["topic"], row["event_id"]) not in lost]))
    await decides.commit()
    await decides.until(_end_of(rows) + GRACE)
    events: dict[tuple[str, str], tuple[datetime, Event]] = {}
    for row in rows:
        if (row["topic"], row["event_id"]) in lost:
            event = (row["topic"], _fields(row))
            events.setdefault((row["topic"], row["event_id"]), (row["occurred_at"], event))
    in_time = sorted(events.values(), key=lambda one: one[0])
    assert isinstance(decides.store, Dying)
    return await planned(decides.store, book, [event for _, event in in_time])


def _fields(row: Row) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(row["payload"])
    return fields


async def apply_in_chunks(decides: Deciding, book: PolicyBook, triggers: Sequence[Added], loss: Loss) -> None:
    """Apply a plan with a worker that dies now and then; each chunk is asked for twice."""
    assert isinstance(decides.store, Dying)
    decides.store.commits = 0
    if triggers:
        await until_it_lives(decides, lambda: begin(decides, book, len(triggers)), {"plan-begun", "plan-is-open"})
    for first in range(0, len(triggers), loss.chunk):
        chunk = triggers[first : first + loss.chunk]
        await until_it_lives(decides, lambda chunk=chunk: add(decides, chunk), {"plan-applied"})
    if triggers:
        await decides.restart()
        await until_it_lives(decides, lambda: add(decides, triggers[-loss.chunk :]), {"plan-applied"})
    decides.store.commits = None


async def until_it_lives(decides: Deciding, ask: Any, reasons: set[str]) -> None:  # noqa: ANN401
    """Ask again after each death, as a new leader does with a command that has no answer."""
    while True:
        try:
            answer = await ask()
        except Transient:
            await decides.restart()
        else:
            assert answer.reason in reasons, answer
            return


def _elsewhere(rows: Sequence[Row], lost: set[tuple[str, str]], business_time: datetime | None) -> list[InputRecord]:
    """The lost events as they come after all."""
    came = as_read([row for row in rows if (row["topic"], row["event_id"]) in lost])
    for record in came:
        record.business_time = business_time
    return came


def _end_of(rows: Sequence[Row]) -> datetime:
    return max(row["business_time"] or row["occurred_at"] for row in rows if row["business_time"] or row["occurred_at"])
