"""Judging decisions: what cannot be compared or amended is left for a person by name, and never booked wrong."""

from collections.abc import Iterable
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from tests.kit import amending
from tests.kit.correcting import boosted, certified, day, outbid
from tests.kit.deciding import Deciding
from tests.kit.overlays import MemorySnapshot
from tests.kit.policies import policies
from tests.kit.replaying import Came, balance, closed, event, registered
from worker.domain.booking import Booking
from worker.domain.decisions import LineRef
from worker.domain.model import Lot, Membership, Spend, SpendLine
from worker.domain.policy import Policy
from worker.domain.rules import memberships
from worker.domain.state import State
from worker.ledger.memory_store import MemoryStore
from worker.ledger.tables import ParkedRow
from worker.repair.decision_selection import DecisionSelection
from worker.repair.judging import refusal_of_named, refusal_to_judge
from worker.repair.planning import Planned

BOOK = policies()


def left_of(planned: Planned) -> dict[str, int]:
    return {one.what: one.events for one in planned.summary.left_for_a_person}


async def test_a_refund_that_left_a_line_out_is_settled_and_not_amended(
    decides: Deciding, came: Came, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_it_is = Booking.give_back

    def base_twice(
        self: Booking,
        spend: Spend,
        lines: Iterable[SpendLine],
        instant: datetime,
        policy: Policy,
        source: str,
        *more: Any,  # noqa: ANN401
    ) -> list[Lot]:
        ended = as_it_is(self, spend, [line for line in lines if line.name == "base"], instant, policy, source, *more)
        line = LineRef(spend.proposal_id, "base")
        self.credit(spend.base.connects, source, instant, instant + timedelta(days=200), None, line)
        return ended

    await came(registered("f-1"), boosted("f-1", "p-1", 6, 4), closed("j-1"))
    with monkeypatch.context() as fault:
        fault.setattr(Booking, "give_back", base_twice)
        await decides.until(day("2026-03-05"))
    assert balance(store, "f-1") == 42
    planned = await amending.plan(store, BOOK)
    assert (planned.triggers, left_of(planned)["refunds that were refused or not due"]) == ([], 1)


async def test_another_decision_in_its_place_is_not_compared(
    decides: Deciding, came: Came, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_downgrade(
        state: State, membership: Membership, on: date, policy: Policy, seq: int
    ) -> list[memberships.Step]:
        membership.plan, membership.downgrade_chosen_at = "basic", None
        return [memberships._basic_cycle(state, membership, on, policy, seq, {})]  # noqa: SLF001

    named = {"freelancer_id": "f-1"}
    await came(registered("f-1"), event("membership-plan-chosen", "m-1", "2026-03-05T10:00:00Z", **named, plan="plus"))
    (charge,) = store.tables.charges
    paid = {**named, "charge_id": charge.charge_id, "outcome": "paid", "source": "payment-method"}
    await came(
        event("membership-charge-settled", "m-2", "2026-03-05T11:00:00Z", **paid),
        event("membership-plan-chosen", "m-3", "2026-03-06T10:00:00Z", **named, plan="basic"),
    )
    with monkeypatch.context() as fault:
        fault.setattr(memberships, "_end_plus", no_downgrade)
        await decides.until(day("2026-04-07"))
    assert balance(store, "f-1") == 121
    planned = await amending.plan(store, BOOK)
    assert planned.triggers == []
    assert left_of(planned)["decisions in whose place the right rules decide something else"] == 1


async def test_events_whose_connects_are_in_other_decisions_are_refused_by_name(
    decides: Deciding, came: Came, store: MemoryStore, tmp_path: Path
) -> None:
    await came(registered("f-1"), outbid("f-1", "p-1"))
    await came(boosted("f-1", "p-1", 6, 4), closed("j-1"))
    await decides.until(day("2026-03-05"))
    store.tables.parked.put([ParkedRow("wallet", "f-1", 1, "it failed", day("2026-03-01"))])
    await decides.restart()
    await came(certified("f-1"))
    file = tmp_path / "named.txt"
    file.write_text("job-closed/c-j-1\nboost-outbid/o-p-1\ncertification-completed/k-f-1\n")
    by = {"refuses": refusal_to_judge, "refuses_named": refusal_of_named}
    selection = DecisionSelection(MemorySnapshot(store), UUID(int=0), option="--decide", **by)
    await selection.add_file(file)
    assert {one.what: events for one, events in selection.left.items()} == {
        "closures that are named by their events": 1,
        "events that waited, or were parked, and are named by their ids": 2,
    }
    assert (selection.in_order(), selection.nothing_to_do) == ([], 0)
    await selection.add_seqs("found", [row.seq for row in store.tables.decisions])
    assert {one.row.rule for one in selection.in_order()} >= {"refund.job-closed-without-hire", "refund.boost-outbid"}
