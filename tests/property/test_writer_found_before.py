"""Faults of the writer that random histories, and thinking about them, found: played again, so that they stay found."""

import asyncio
import json
from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.kit.deciding import GRACE, FewAppointments, FewInMemory, Place, as_read, deciding, ledger_at
from tests.kit.policies import as_document, policies, policy_text
from tests.kit.story import day
from tests.model.ledger import Ledger, check
from worker.domain.model import ProposalId
from worker.domain.rules import grants, refunds
from worker.kafka.records import InputRecord
from worker.ledger.memory_store import MemoryStore
from worker.ledger.parked import ParkedKey
from worker.words import explanations


class Timeline:
    """Records for the writer, read when they happened, or at `read` if that is later."""

    def __init__(self) -> None:
        self._offsets: Counter[str] = Counter()
        self._now = day(-1)

    def event(self, topic: str, at: datetime, read: datetime | None = None, **fields: Any) -> InputRecord:  # noqa: ANN401
        offset = self._offsets[topic]
        self._offsets[topic] += 1
        self._now = max(self._now, read or at)
        value = {"event_id": f"e-{topic}-{offset}", "occurred_at": at.isoformat(), **fields}
        place = {"topic": topic, "partition": 0, "offset": offset, "business_time": self._now}
        (record,) = as_read([{**place, "payload": json.dumps(value).encode()}])
        return record

    def registered(self, at: datetime, who: str = "f-1") -> InputRecord:
        return self.event("freelancer-registered", at, freelancer_id=who)

    def bought(self, at: datetime, connects: int, who: str = "f-1") -> InputRecord:
        return self.event("connects-purchased", at, freelancer_id=who, purchase_id=f"b-{who}", connects=connects)

    def proposed(self, at: datetime, connects: int, read: datetime | None = None) -> InputRecord:
        named = {"freelancer_id": "f-1", "job_id": "j-1", "proposal_id": "p-1", "origin": "proposal"}
        return self.event("proposal-submitted", at, read, connects=connects, **named)

    def closed(self, at: datetime, closure: str = "closed-by-client", job: str = "j-1") -> InputRecord:
        return self.event("job-closed", at, job_id=job, client_id="c-1", closure=closure)


@pytest.fixture
def place(request: pytest.FixtureRequest) -> Place:
    """A ledger in memory, unless a test says where."""
    match getattr(request, "param", "memory"):
        case "postgresql":
            url: str = request.getfixturevalue("database_url")
            return url
        case "few in memory":
            return FewInMemory()
    return MemoryStore()


on_both = pytest.mark.parametrize("place", ["memory", "postgresql"], indirect=True)
on_both_with_few = pytest.mark.parametrize("place", ["few in memory", "postgresql"], indirect=True)
"""For tests in which PostgreSQL returns a few pieces of clock work at a time as well."""


@pytest.fixture
def timeline() -> Timeline:
    return Timeline()


async def checked(place: Place, policy: str) -> Ledger:
    ledger = await ledger_at(place)
    report = check(ledger, as_document(policy), movements_in_order=False)
    assert report.ok, str(report)
    return ledger


def settlements(ledger: Ledger) -> list[str]:
    return [f"{row['outcome']}/{row['reason']}" for row in ledger.decisions if row["kind"] == "settlement"]


@on_both_with_few
async def test_closures_without_spends_are_done_once_however_many_there_are(place: Place, timeline: Timeline) -> None:
    """They leave no decision, so no batch was cut, and a ledger that returns only the next work repeated them."""
    records = [timeline.closed(day(1), job=f"j-{number}") for number in range(20)]
    async with deciding(place, policies(), store=FewAppointments) as decides:
        await decides.decide(records)
        await decides.commit()
        await decides.restart()
        await decides.until(day(2))
        await decides.restart()
        assert decides.writer.clock_due(day(3)) == 0


@pytest.mark.parametrize("switch", ["grace", "expire"])
@pytest.mark.parametrize(("closed", "back"), [(300, 370), (300, 400), (364.999, 366)])
async def test_a_settlement_that_was_due_before_a_long_stop_returns_to_a_lot_that_has_ended_since(
    place: Place, timeline: Timeline, switch: str, closed: float, back: float
) -> None:
    """A drained lot was loaded only if it had not ended by now; the settlement asks about its own due instant."""
    policy = policy_text(refund_to_ending_lot=switch)
    records = [timeline.registered(day(0)), timeline.proposed(day(1), 40), timeline.closed(day(closed))]
    async with deciding(place, policies(policy)) as decides:
        await decides.decide(records)
        await decides.commit()
        await decides.restart()
        await decides.until(day(back))
        assert decides.writer.parked == {}
    assert settlements(await checked(place, policy)) == ["applied/closed-without-hire"]


@on_both
@pytest.mark.parametrize(("begun", "in_front"), [(1, 0), (2, 0), (1, 1), (3, 2)])
async def test_lots_that_have_ended_are_loaded_by_any_number_of_loads_at_the_same_time(
    place: Place, timeline: Timeline, begun: int, in_front: int
) -> None:
    async with deciding(place, policies()) as decides:
        proposed = timeline.proposed(day(1), 40)
        await decides.decide([timeline.registered(day(0)), proposed])
        await decides.commit()
        proposal = ProposalId(proposed.event.__dict__["proposal_id"])
        await decides.restart()
        cache = decides.writer._loop.cache  # noqa: SLF001
        loads = [cache.begin(cache.load_whole_spends([proposal], day(400))) for _ in range(begun)]
        async with asyncio.timeout(10):
            await asyncio.gather(*loads, *(cache.load_whole_spends([proposal], day(400)) for _ in range(in_front)))
            await cache.loaded()
        (wallet,) = cache.state.wallets.values()
        assert [lot.remaining for lot in wallet.drained.values()] == [0]


@on_both
async def test_a_settlement_released_long_after_it_was_due_returns_to_a_lot_that_has_ended_since(
    place: Place, timeline: Timeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = [timeline.bought(day(0), 40), timeline.proposed(day(1), 40), timeline.closed(day(300))]
    async with deciding(place, policies()) as decides:
        with monkeypatch.context() as broken:
            broken.setattr(refunds, "_give_back", None)
            await decides.decide(records)
            await decides.until(day(370))
        assert list(decides.writer.parked) == [ParkedKey("wallet", "f-1")]
        await decides.restart()
        assert await decides.writer.release(ParkedKey("wallet", "f-1")) == (1, 0, None)
        await decides.until(day(371))
        assert decides.writer.parked == {}
    last_but_one, last = (await ledger_at(place)).decisions[-2:]
    assert [(row["kind"], row["reason"]) for row in (last_but_one, last)] == [
        ("follow-up", "closed-without-hire"),
        ("clock", "lot-expired"),
    ]
    assert [change["balance_after"] for row in (last_but_one, last) for change in row["changes"]] == [40, 0]


async def test_a_late_spend_is_settled_by_the_closure_with_the_earlier_closing_time(
    place: Place, timeline: Timeline
) -> None:
    """Not by the closure that was read first."""
    records = [
        timeline.registered(day(0)),
        timeline.closed(day(3), "removed-by-marketplace"),
        timeline.closed(day(2), "closed-by-client"),
        timeline.registered(day(4), "f-2"),
        timeline.proposed(day(1), 12),
    ]
    async with deciding(place, policies()) as decides:
        await decides.decide(records)
        await decides.until(day(5))
    ledger = await checked(place, policy_text())
    assert settlements(ledger) == ["applied/closed-without-hire", "declined/already-refunded"]


@on_both_with_few
async def test_a_late_spend_is_settled_so_after_a_restart_too(place: Place, timeline: Timeline) -> None:
    records = [
        timeline.registered(day(0)),
        timeline.closed(day(3), "removed-by-marketplace"),
        timeline.closed(day(2), "closed-by-client"),
        timeline.registered(day(4), "f-2"),
        timeline.proposed(day(1), 12),
    ]
    async with deciding(place, policies(), store=FewAppointments) as decides:
        await decides.decide(records)
        await decides.commit()
        await decides.restart()
        await decides.until(day(4) + GRACE + timedelta(days=1))
    ledger = await checked(place, policy_text())
    assert settlements(ledger) == ["applied/closed-without-hire", "declined/already-refunded"]


async def test_a_stop_within_a_long_backlog_of_clock_work_leaves_the_rest_to_whoever_comes_next(
    place: Place, timeline: Timeline
) -> None:
    """A worker that stops has ten seconds; years of work may be due between two records."""
    records = [timeline.registered(day(0), f"f-{number}") for number in range(30)]
    records.append(timeline.registered(day(900), "f-last"))
    async with deciding(place, policies(), batch_size=20) as decides:
        await decides.decide(records[:-1])
        decides.writer.stop()
        await decides.decide(records[-1:])
        await decides.commit()
        assert decides.writer.left_records
        assert [position.next_offset for position in decides.writer.positions.values()] == [30]
        await decides.restart()
        await decides.decide(records[-1:])
        assert not decides.writer.left_records
        await decides.until(day(901))
    decided = (await checked(place, policy_text())).decisions
    assert [row["payload"] for row in decided if row["kind"] == "first"][-1] == records[-1].value


@on_both
async def test_a_queue_longer_than_a_batch_is_released_in_parts_and_in_order(
    place: Place, timeline: Timeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = [timeline.registered(day(0))]
    records += [timeline.event("badge-earned", day(1), freelancer_id="f-1", badge=f"b-{n}") for n in range(25)]
    async with deciding(place, policies(), batch_size=10) as decides:
        with monkeypatch.context() as broken:
            broken.setattr(grants, "grant", None)
            await decides.decide(records)
            await decides.commit()
        before = len(decides.committed)
        assert await decides.writer.release(ParkedKey("wallet", "f-1")) == (26, 0, None)
        await decides.until(day(2))
        assert len(decides.committed) - before >= 3
    followed = [row["follows"] for row in (await ledger_at(place)).decisions if row["kind"] == "follow-up"]
    assert followed == list(range(1, 27))


@on_both
async def test_words_that_fail_park_the_wallet_as_a_rule_does_that_fails(
    place: Place, timeline: Timeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = [timeline.registered(day(0)), timeline.registered(day(0), "f-2"), timeline.bought(day(1), 40)]
    async with deciding(place, policies()) as decides:
        with monkeypatch.context() as broken:
            failing = {**explanations.TABLE, ("grant.purchase", "purchased"): None, ("expire.lot", "lot-expired"): None}
            broken.setattr(explanations, "TABLE", failing)
            await decides.decide(records)
            await decides.until(day(370))
        assert {key.key for key in decides.writer.parked} == {"f-1", "f-2"}
        await decides.restart()
        for key in list(decides.writer.parked):
            released = await decides.writer.release(key)
            assert released[1:] == (0, None)
        await decides.until(day(371))
        assert decides.writer.parked == {}
    followed = [row for row in (await ledger_at(place)).decisions if row["kind"] == "follow-up"]
    assert {row["reason"] for row in followed} == {"purchased", "lot-expired", "cycle-started"}
    texts = [change["explanation"] for row in followed for change in row["changes"]]
    assert "40 Connects bought with purchase b-f-1." in texts
