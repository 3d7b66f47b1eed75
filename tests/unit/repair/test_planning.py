"""What a plan says of events that never came: what each brings, what follows, and what is left out."""

from datetime import timedelta
from typing import Any

import pytest

from tests.unit.repair.planned import MARCH, a_ledger, bought, event, planned, proposed
from worker.domain.decide import decide_event
from worker.engine import decide_loop
from worker.ledger.memory_store import MemoryStore
from worker.ledger.tables import ParkedRow
from worker.repair.plan import Expected
from worker.repair.summary import Balance, Booked, Decided, Left

AGREED = {"actor": "support-2", "note": "as agreed"}
CLOSED = event("job-closed", "e-9", job_id="j-1", client_id="c-1", closure="closed-by-client")


async def test_each_trigger_has_what_it_brings() -> None:
    place = await a_ledger(bought("e-1"))
    plan = await planned(place, bought("e-2", connects=60), proposed("e-3", "p-1", 12))
    assert [(one.number, one.event_id, one.source, one.line) for one in plan.triggers] == [
        (1, "e-2", "hour", 1),
        (2, "e-3", "hour", 2),
    ]
    assert [one.expected for one in plan.triggers] == [
        Expected("applied", "purchased", {"f-1": 60}),
        Expected("applied", "proposal-submitted", {"f-1": -12}),
    ]
    assert plan.triggers[0].event.encode() == bought("e-2", connects=60)[1]
    summary = plan.summary
    assert (summary.wallets, summary.given, summary.taken, summary.wallet_updated) == (1, 60, 12, 2)
    assert summary.triggers == {"add": 2, "void": 0, "replace": 0, "settle": 0, "decide": 0, "undo": 0}
    assert summary.gain_most == [Balance("f-1", 40, 88)]
    assert summary.lose_most == []
    assert summary.booked[0] == Booked("grant.purchase", "purchased", 1, 60, 0)
    assert (summary.shortfall, summary.replaced) == (0, 0)


async def test_what_waited_for_an_event_is_part_of_what_it_brings() -> None:
    outbid = event("boost-outbid", "e-2", freelancer_id="f-1", job_id="j-1", proposal_id="p-1")
    place = await a_ledger(bought("e-1"), outbid)
    plan = await planned(place, proposed("e-3", "p-1", 4, boost_connects=10))
    (trigger,) = plan.triggers
    assert trigger.expected == Expected("applied", "proposal-submitted", {"f-1": -4})
    assert (plan.summary.given, plan.summary.taken) == (10, 14)
    assert [step.number for step in plan.wallets[0].steps] == [1, 1]


async def test_a_wallet_whose_changes_add_up_to_nothing_is_counted() -> None:
    place = await a_ledger(bought("e-1"))
    summary = (await planned(place, bought("e-2", connects=12), proposed("e-3", "p-1", 12))).summary
    assert (summary.wallets, summary.given, summary.taken) == (1, 12, 12)
    assert (summary.gain_most, summary.lose_most) == ([], [])


async def test_what_the_clock_does_afterwards_is_shown_apart() -> None:
    place = await a_ledger(bought("e-1"), proposed("e-2", "p-1", 12), until=MARCH + timedelta(days=1))
    plan = await planned(place, CLOSED)
    (trigger,) = plan.triggers
    assert trigger.expected == Expected("recorded", "settlement-pending", {})
    assert plan.summary.booked == []
    assert plan.summary.decided == [Decided("recorded", "settlement-pending", trigger_rule(plan), 1)]
    assert [(one.reason, one.given) for one in plan.summary.will_follow] == [("closed-without-hire", 12)]
    (wallet,) = plan.wallets
    assert (wallet.before, wallet.after, wallet.later) == (28, 28, 40)
    assert [(step.number, step.delta, step.balance_after) for step in wallet.steps] == [(None, 12, 40)]
    assert "12 Connects" in wallet.steps[0].sentence


def trigger_rule(plan: Any) -> str | None:  # noqa: ANN401
    (decided,) = plan.summary.decided
    return str(decided.rule)


async def test_a_grant_whose_time_is_over_is_planned_and_expires_afterwards() -> None:
    place = await a_ledger(bought("e-1"), until=MARCH + timedelta(days=1))
    plan = await planned(place, bought("e-2", connects=7, at=MARCH - timedelta(days=700)))
    assert plan.triggers[0].expected.wallets == {"f-1": 7}
    assert [(one.rule, one.taken) for one in plan.summary.will_follow] == [("expire.lot", 7)]
    assert (plan.wallets[0].after, plan.wallets[0].later) == (47, 40)


async def test_a_decision_that_books_nothing_has_its_sentence() -> None:
    place = await a_ledger(bought("e-1"))
    again = bought("e-2", purchase_id="b-e-1")
    plan = await planned(place, again)
    assert plan.triggers[0].expected == Expected("declined", "already-granted", {})
    assert (plan.summary.wallets, plan.summary.wallet_updated) == (0, 0)
    (wallet,) = plan.wallets
    assert (wallet.before, wallet.after, wallet.later) == (40, 40, 40)
    assert wallet.steps[0].balance_after == 40
    assert "already" in wallet.steps[0].sentence


async def test_who_gains_and_loses_most_is_listed() -> None:
    place = await a_ledger(*(bought(f"e-{number}", f"f-{number}") for number in range(30)))
    gains = [bought(f"g-{number}", f"f-{number}", connects=number) for number in range(1, 15)]
    losses = [
        event("connects-adjusted", f"l-{n}", freelancer_id=f"f-{n}", adjustment_id=f"a-{n}", connects=-n, **AGREED)
        for n in range(15, 30)
    ]
    summary = (await planned(place, *gains, *losses)).summary
    assert [one.difference for one in summary.gain_most] == list(range(14, 4, -1))
    assert [one.difference for one in summary.lose_most] == list(range(-29, -19))


async def test_an_added_membership_brings_its_cycles() -> None:
    place = await a_ledger(bought("e-1"), until=MARCH + timedelta(days=70))
    plan = await planned(place, event("freelancer-registered", "e-2", freelancer_id="f-2"))
    assert [(one.rule, one.changes) for one in plan.summary.will_follow] == [("grant.monthly", 2)]


async def test_charges_that_will_be_requested_are_counted() -> None:
    place = await a_ledger(event("freelancer-registered", "e-1", freelancer_id="f-1"))
    plan = await planned(place, event("membership-plan-chosen", "e-2", freelancer_id="f-1", plan="plus"))
    assert plan.summary.charges_requested == 1


async def test_what_was_decided_before_is_no_trigger() -> None:
    plan = await planned(await a_ledger(bought("e-1")), bought("e-1"), bought("e-1", connects=3))
    assert (plan.triggers, plan.wallets) == ([], [])
    assert (plan.summary.inert, plan.summary.conflicts) == (1, 1)


async def test_events_of_a_parked_wallet_are_left_for_a_person() -> None:
    place = await a_ledger(bought("e-1"))
    place.tables.parked.put([ParkedRow("wallet", "f-1", 1, "it failed", MARCH)])
    plan = await planned(place, bought("e-2"), bought("e-3"), bought("e-4", "f-2"))
    assert [one.event_id for one in plan.triggers] == ["e-4"]
    release = "Release it first: connects parked release wallet f-1"
    assert plan.summary.left_for_a_person == [Left("wallet f-1", 2, "the wallet is parked", release)]
    assert [wallet.freelancer_id for wallet in plan.wallets] == ["f-2"]


async def test_events_of_a_parked_job_are_left_for_a_person() -> None:
    place = await a_ledger(bought("e-1"))
    place.tables.parked.put([ParkedRow("job", "j-1", 1, "it failed", MARCH)])
    plan = await planned(place, CLOSED)
    assert plan.triggers == []
    assert [one.what for one in plan.summary.left_for_a_person] == ["job j-1"]


async def test_a_rule_that_fails_parks_nothing_and_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(state: Any, trigger: Any, *others: Any) -> Any:  # noqa: ANN401
        if trigger.event.event_id == "e-3":
            raise ZeroDivisionError("division by zero")
        return decide_event(state, trigger, *others)

    place = await a_ledger(bought("e-1"))
    monkeypatch.setattr(decide_loop, "decide_event", failing)
    lines = [bought(f"e-{number}", at=MARCH + timedelta(seconds=number)) for number in (2, 3, 4)]
    plan = await planned(place, *lines, bought("e-5", "f-2"))
    assert sorted(one.event_id for one in plan.triggers) == ["e-2", "e-5"]
    (left,) = plan.summary.left_for_a_person
    assert (left.what, left.events) == ("wallet f-1", 2)
    assert left.why == "the rule for one of these events fails: ZeroDivisionError: division by zero"
    assert not list(place.tables.parked)


async def test_an_empty_ledger_may_be_planned_on() -> None:
    plan = await planned(MemoryStore(), bought("e-1"))
    assert plan.triggers[0].expected == Expected("applied", "purchased", {"f-1": 40})
