"""What random histories, and thinking about them, found in the writer: told once more, so that it stays found."""

import asyncio
import json
from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.reference.ledger import Ledger, check, read_ledger
from tests.support.deciding import GRACE, FewAppointments, as_read, deciding
from tests.support.policies import as_document, policies, policy_text
from tests.support.story import day
from worker.domain.model import ProposalId
from worker.domain.rules import grants, refunds
from worker.ledger.store import ParkedKey
from worker.stream.records import InputRecord


class Telling:
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
def telling() -> Telling:
    return Telling()


async def checked(database_url: str, policy: str) -> Ledger:
    ledger = await read_ledger(database_url)
    report = check(ledger, as_document(policy), movements_in_order=False)
    assert report.ok, str(report)
    return ledger


def settlements(ledger: Ledger) -> list[str]:
    return [f"{row['outcome']}/{row['reason']}" for row in ledger.decisions if row["kind"] == "settlement"]


async def test_closures_without_spends_are_done_once_however_many_there_are(
    database_url: str, telling: Telling
) -> None:
    """They leave no decision, so no batch was cut, and a ledger that tells only the next work told them for ever."""
    records = [telling.closed(day(1), job=f"j-{number}") for number in range(20)]
    async with deciding(database_url, policies(), store=FewAppointments) as decides:
        await decides.decide(records)
        await decides.commit()
        await decides.restart()
        await decides.until(day(2))
        await decides.restart()
        assert decides.writer.clock_due(day(3)) == 0


@pytest.mark.parametrize("switch", ["grace", "expire"])
@pytest.mark.parametrize(("closed", "back"), [(300, 370), (300, 400), (364.999, 366)])
async def test_a_settlement_that_was_due_before_a_long_stop_returns_to_a_lot_that_has_ended_since(
    database_url: str, telling: Telling, switch: str, closed: float, back: float
) -> None:
    """A drained lot was loaded only if it had not ended by now; the settlement asks about its own due instant."""
    policy = policy_text(refund_to_ending_lot=switch)
    records = [telling.registered(day(0)), telling.proposed(day(1), 40), telling.closed(day(closed))]
    async with deciding(database_url, policies(policy)) as decides:
        await decides.decide(records)
        await decides.commit()
        await decides.restart()
        await decides.until(day(back))
        assert decides.writer.parked == {}
    assert settlements(await checked(database_url, policy)) == ["applied/closed-without-hire"]


@pytest.mark.parametrize(("begun", "in_front"), [(1, 0), (2, 0), (1, 1), (3, 2)])
async def test_lots_that_have_ended_are_loaded_by_any_number_of_loads_at_once(
    database_url: str, telling: Telling, begun: int, in_front: int
) -> None:
    async with deciding(database_url, policies()) as decides:
        proposed = telling.proposed(day(1), 40)
        await decides.decide([telling.registered(day(0)), proposed])
        await decides.commit()
        proposal = ProposalId(proposed.event.__dict__["proposal_id"])
        await decides.restart()
        memory = decides.writer._memory  # noqa: SLF001
        loads = [memory.begin(memory.load_whole_spends([proposal], day(400))) for _ in range(begun)]
        async with asyncio.timeout(10):
            await asyncio.gather(*loads, *(memory.load_whole_spends([proposal], day(400)) for _ in range(in_front)))
            await memory.loaded()
        (wallet,) = memory.books.wallets.values()
        assert [lot.remaining for lot in wallet.drained.values()] == [0]


async def test_a_settlement_released_long_after_it_was_due_returns_to_a_lot_that_has_ended_since(
    database_url: str, telling: Telling, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = [telling.bought(day(0), 40), telling.proposed(day(1), 40), telling.closed(day(300))]
    async with deciding(database_url, policies()) as decides:
        with monkeypatch.context() as broken:
            broken.setattr(refunds, "settle", None)
            await decides.decide(records)
            await decides.until(day(370))
        assert list(decides.writer.parked) == [ParkedKey("wallet", "f-1")]
        await decides.restart()
        assert await decides.writer.release(ParkedKey("wallet", "f-1")) == (1, 0, None)
        await decides.until(day(371))
        assert decides.writer.parked == {}
    last_but_one, last = (await read_ledger(database_url)).decisions[-2:]
    assert [(row["kind"], row["reason"]) for row in (last_but_one, last)] == [
        ("follow-up", "closed-without-hire"),
        ("clock", "lot-expired"),
    ]
    assert [change["balance_after"] for row in (last_but_one, last) for change in row["changes"]] == [40, 0]


async def test_a_late_spend_is_settled_by_the_closure_with_the_earlier_closing_time(
    database_url: str, telling: Telling
) -> None:
    """Not by the closure that was read first."""
    records = [
        telling.registered(day(0)),
        telling.closed(day(3), "removed-by-marketplace"),
        telling.closed(day(2), "closed-by-client"),
        telling.registered(day(4), "f-2"),
        telling.proposed(day(1), 12),
    ]
    async with deciding(database_url, policies()) as decides:
        await decides.decide(records)
        await decides.until(day(5))
    ledger = await checked(database_url, policy_text())
    assert settlements(ledger) == ["applied/closed-without-hire", "declined/already-refunded"]


async def test_a_late_spend_is_settled_so_after_a_restart_too(database_url: str, telling: Telling) -> None:
    records = [
        telling.registered(day(0)),
        telling.closed(day(3), "removed-by-marketplace"),
        telling.closed(day(2), "closed-by-client"),
        telling.registered(day(4), "f-2"),
        telling.proposed(day(1), 12),
    ]
    async with deciding(database_url, policies(), store=FewAppointments) as decides:
        await decides.decide(records)
        await decides.commit()
        await decides.restart()
        await decides.until(day(4) + GRACE + timedelta(days=1))
    ledger = await checked(database_url, policy_text())
    assert settlements(ledger) == ["applied/closed-without-hire", "declined/already-refunded"]


async def test_a_stop_within_a_long_backlog_of_clock_work_leaves_the_rest_to_whoever_comes_next(
    database_url: str, telling: Telling
) -> None:
    """A worker that stops has ten seconds; years of work may be due between two records."""
    records = [telling.registered(day(0), f"f-{number}") for number in range(30)]
    records.append(telling.registered(day(900), "f-last"))
    async with deciding(database_url, policies(), batch_size=20) as decides:
        await decides.decide(records[:-1])
        decides.writer.is_stopping = True
        await decides.decide(records[-1:])
        await decides.commit()
        assert decides.writer.left_records
        assert [position.next_offset for position in decides.writer.positions.values()] == [30]
        await decides.restart()
        await decides.decide(records[-1:])
        assert not decides.writer.left_records
        await decides.until(day(901))
    decided = (await checked(database_url, policy_text())).decisions
    assert [row["payload"] for row in decided if row["kind"] == "first"][-1] == records[-1].value


async def test_a_queue_longer_than_a_batch_is_released_in_parts_and_in_order(
    database_url: str, telling: Telling, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = [telling.registered(day(0))]
    records += [telling.event("badge-earned", day(1), freelancer_id="f-1", badge=f"b-{n}") for n in range(25)]
    async with deciding(database_url, policies(), batch_size=10) as decides:
        with monkeypatch.context() as broken:
            broken.setattr(grants, "_grant", None)
            await decides.decide(records)
            await decides.commit()
        before = len(decides.committed)
        assert await decides.writer.release(ParkedKey("wallet", "f-1")) == (26, 0, None)
        await decides.until(day(2))
        assert len(decides.committed) - before >= 3
    followed = [row["follows"] for row in (await read_ledger(database_url)).decisions if row["kind"] == "follow-up"]
    assert followed == list(range(1, 27))
