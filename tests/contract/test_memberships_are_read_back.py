"""Memberships, charges and held events come back as they were; cycle starts are found in the clock's order."""

import json
from collections.abc import Iterable, Iterator
from datetime import date, datetime, timedelta

import msgspec
import pytest

from schemas.reading import read_event
from tests.contract.conftest import Kept
from tests.kit.story import GRACE, Story, day
from worker.domain.decisions import Decision, Subject
from worker.domain.model import (
    Cause,
    Charge,
    ChargeId,
    ChargeKey,
    FreelancerId,
    Membership,
    Promo,
    Suspension,
    midnight,
)
from worker.domain.state import Held
from worker.ledger.parked import ParkedKey
from worker.ledger.store import CYCLE, EXPIRY, LATEST, Appointment
from worker.ledger.tables import ParkedRow, ParkedTriggerRow

F1, F2 = FreelancerId("f-1"), FreelancerId("f-2")
MARCH, APRIL = date(2026, 3, 7), date(2026, 4, 7)


def plain(thing: object) -> object:
    """Working copies have no equality of their own: their contents."""
    return msgspec.to_builtins(thing, builtin_types=(datetime, date))


def a_membership(freelancer: str, next_renewal: date | None = APRIL) -> Membership:
    start = next_renewal and next_renewal - timedelta(days=31)
    return Membership(FreelancerId(freelancer), cycle_start=start, next_renewal=next_renewal)


def an_eventful_membership() -> Membership:
    return Membership(
        F1,
        7,
        "plus",
        MARCH,
        APRIL,
        day(3, 0.000001),
        ChargeId("f-1:e-4:1"),
        ChargeId("f-1:2026-03-07:2"),
        [Suspension(day(1), "account", suspended=True), Suspension(day(2, 0.5), "billing-method", suspended=False)],
        (day(4), 12_345),
        [Promo("SPRING-25", 25, 0, 3), Promo("FIVE.OFF", 0, 500, 0)],
    )


def a_charge(charge_id: str = "f-1:e-4:1", **differing: object) -> Charge:
    given = (F1, "upgrade", MARCH, day(3), 1, 2_000, "USD", "earnings-balance", "SPRING-25", True, day(3), 17)
    return msgspec.structs.replace(Charge(ChargeId(charge_id), *given), **differing)


async def membership_of(kept: Kept, freelancer_id: FreelancerId) -> Membership:
    return (await kept.store.memberships([freelancer_id]))[freelancer_id]


async def keep_memberships(kept: Kept, story: Story, memberships: Iterable[Membership]) -> None:
    story.state.changed.memberships.update({one.freelancer_id: one for one in memberships})
    await kept.keep(story)


# Memberships and charges.


async def test_of_nobody_a_membership_has_begun(kept: Kept) -> None:
    assert plain(await kept.store.memberships([F1, F2])) == plain({F1: Membership(F1), F2: Membership(F2)})
    assert await kept.store.memberships([]) == {}
    assert await kept.store.charges([a_charge().key]) == []
    assert await kept.store.charges([]) == []
    assert await kept.store.held([F1]) == []


async def test_a_membership_is_read_back_with_suspensions_balance_and_promo_codes(kept: Kept, story: Story) -> None:
    membership, other = an_eventful_membership(), Membership(F2, suspensions=[Suspension(day(1), "account", True)])
    await keep_memberships(kept, story, [membership, other])
    found = await kept.store.memberships([F1, F2])
    assert plain(found) == plain({F1: membership, F2: other})
    assert isinstance(found[F1].suspensions[0], Suspension)
    assert isinstance(found[F1].promos[0], Promo)


async def test_a_later_batch_changes_everything_of_a_membership(kept: Kept, story: Story) -> None:
    await keep_memberships(kept, story, [an_eventful_membership()])
    await keep_memberships(kept, story, [a_membership("f-1", date(2026, 5, 1))])
    assert plain(await membership_of(kept, F1)) == plain(a_membership("f-1", date(2026, 5, 1)))
    changed = an_eventful_membership()
    await keep_memberships(kept, story, [changed])
    assert plain(await membership_of(kept, F1)) == plain(changed)


async def test_a_charge_is_read_back_and_only_what_became_of_it_changes(kept: Kept, story: Story) -> None:
    asked = a_charge()
    renewal = a_charge(
        "f-2:2026-03-07:1", freelancer_id=F2, kind="renewal", chosen_at=None, promo_code=None, source="payment-method"
    )
    story.state.keep_charge(asked)
    story.state.keep_charge(renewal)
    await kept.keep(story)
    found = await kept.store.charges([asked.key, renewal.key, ChargeKey(F1, renewal.charge_id)])
    assert {one.charge_id: plain(one) for one in found} == {one.charge_id: plain(one) for one in (asked, renewal)}
    story.state.keep_charge(msgspec.structs.replace(asked, status="lapsed", amount_cents=9))
    await kept.keep(story)
    (found,) = await kept.store.charges([asked.key])
    assert plain(found) == plain(msgspec.structs.replace(asked, status="lapsed"))


async def test_a_charge_id_may_be_as_long_as_the_contract_allows(kept: Kept, story: Story) -> None:
    charge = a_charge("x.y_z:" * 26 + "-123")
    assert len(charge.charge_id) == 160
    story.state.keep_charge(charge)
    await kept.keep(story)
    assert [one.key for one in await kept.store.charges([charge.key])] == [charge.key]


async def test_two_freelancers_may_have_a_charge_of_one_id(kept: Kept, story: Story) -> None:
    first, second = a_charge("f:1:up:1"), a_charge("f:1:up:1", freelancer_id=F2, amount_cents=1_500, decision_seq=18)
    story.state.keep_charge(first)
    story.state.keep_charge(second)
    await kept.keep(story)
    story.state.keep_charge(msgspec.structs.replace(second, status="paid"))
    await kept.keep(story)
    found = {one.key: plain(one) for one in await kept.store.charges([second.key, first.key])}
    assert found == {first.key: plain(first), second.key: plain(msgspec.structs.replace(second, status="paid"))}
    assert [one.key for one in await kept.store.charges([second.key])] == [second.key]


# All of a story, whether it came in one batch or in many.


def eventful(story: Story) -> Iterator[object]:
    """Plans chosen, paid and not paid, promotions, balances, suspensions, and what waits for a charge."""
    yield story.registered("f-1", at=day(0))
    yield story.has_earned("f-1", 5_000)
    yield story.chose("plus", "f-1", at=day(3))
    yield told_in_full(story, "membership-charge-settled", "f-1", charge_id="f-1:never:1", outcome="paid", source="x")
    yield story.unpaid(story.charge("f-1").charge_id, "f-1")
    yield story.paid(story.charge("f-1").charge_id, "f-1", at=day(4))
    yield story.chose("basic", "f-1")
    yield story.suspended("f-2", at=day(5))
    yield story.suspended("f-2", "billing-method", at=day(6))
    yield story.reinstated("f-2")
    yield story.registered("f-2", at=day(7))
    yield story.passes(days=40)
    yield story.registered("f-3")
    yield story.chose("plus", "f-3")
    yield story.paid(story.charge("f-3").charge_id, "f-3")
    yield story.passes(days=70)
    yield story.chose("plus", "f-1")


@pytest.mark.parametrize("in_many_batches", [False, True])
async def test_what_a_story_made_of_memberships_is_read_back(
    kept: Kept, story: Story, *, in_many_batches: bool
) -> None:
    for _ in eventful(story):
        if in_many_batches:
            await kept.keep(story)
    await kept.keep(story)
    state = story.state
    assert plain(await kept.store.memberships(list(state.memberships))) == plain(state.memberships)
    charges = await kept.store.charges(list(state.charges))
    assert {charge.key: plain(charge) for charge in charges} == {
        key: plain(charge) for key, charge in state.charges.items()
    }
    assert {charge.status for charge in charges} >= {"asked", "paid", "failed", "lapsed"}
    assert await kept.store.held(list(state.memberships)) == [held for all_ in state.held.values() for held in all_]
    assert [len(held) for held in state.held.values()] == [1]
    appointments, _ = await kept.store.appointments(100, GRACE)
    assert {(one.subject, one.due_at) for one in appointments if one.rank == CYCLE} == {
        (membership.freelancer_id, midnight(membership.next_renewal) + GRACE)
        for membership in state.memberships.values()
        if membership.next_renewal is not None
    }


def told_in_full(story: Story, topic: str, freelancer: str, **fields: object) -> Decision:
    """An event with its payload, of which it can be read again."""
    at = story.now + timedelta(minutes=1)
    said = {"event_id": f"e-full-{len(story.decisions)}", "occurred_at": at.isoformat(), "freelancer_id": freelancer}
    value = json.dumps({**said, **fields}).encode()
    event = read_event(topic, value)
    return story.read(topic, event, Cause(topic, event.event_id, 0, 0, 1_000 + len(story.decisions)), value)


# What is held.


def hold(story: Story, freelancer: str, event_id: str) -> Held:
    """An event that was recorded, and waits."""
    decision = told_in_full(
        story,
        "membership-charge-settled",
        freelancer,
        event_id=event_id,
        charge_id=f"{freelancer}:none:1",
        outcome="paid",
        source="card",
    )
    assert decision.reason == "unknown-charge"
    return story.state.held[FreelancerId(freelancer)][-1]


async def test_what_is_held_is_read_back_in_ledger_order(kept: Kept, story: Story) -> None:
    first, other, second = (hold(story, *which) for which in (("f-1", "e-9"), ("f-2", "e-1"), ("f-1", "e-2")))
    await kept.keep(story)
    assert await kept.store.held([F1]) == [first, second]
    assert await kept.store.held([F2, F1]) == [first, other, second]


@pytest.mark.parametrize("batches", [1, 2])
async def test_what_was_let_go_is_held_no_more(kept: Kept, story: Story, batches: int) -> None:
    first, second = hold(story, "f-1", "e-1"), hold(story, "f-1", "e-2")
    if batches == 2:
        await kept.keep(story)
        assert await kept.store.held([F1]) == [first, second]
    story.state.let_go(first)
    await kept.keep(story)
    assert await kept.store.held([F1]) == [second]


async def test_an_event_that_was_parked_before_it_was_held_is_read_from_the_record_that_was_parked(
    kept: Kept, story: Story
) -> None:
    held = hold(story, "f-1", "e-1")
    story.state.let_go(held)
    parked = story.decisions[-1]
    follow_up = Decision(
        *(parked.seq + 1, "follow-up", parked.cause, parked.occurred_at, Subject(F1), "recorded"),
        *("awaits-cycle-start", None, None, {}, None),
    )
    follow_up.follows = parked.seq
    story.decisions.append(follow_up)
    held = held._replace(decision_seq=follow_up.seq)
    story.state.hold(held)
    await kept.keep(story)
    assert await kept.store.held([F1]) == [held]


# Cycle starts.


def a_cycle(freelancer: str, start: date) -> Appointment:
    return Appointment(midnight(start) + GRACE, CYCLE, freelancer, (), 0, freelancer)


async def test_cycle_starts_are_shown_by_day_and_of_a_day_in_the_order_of_pythons_strings(
    kept: Kept, story: Story
) -> None:
    ids = ["f-1", "f-10", "f-2", "F-1", "f.1", "f:1", "f_1", "a", "Z", "0"]
    memberships = [a_membership(name) for name in ids] + [a_membership("b", MARCH), a_membership("c", None)]
    await keep_memberships(kept, story, memberships)
    appointments, horizon = await kept.store.appointments(100, GRACE)
    assert sorted(appointments) == [a_cycle("b", MARCH), *(a_cycle(name, APRIL) for name in sorted(ids))]
    assert horizon == LATEST


@pytest.mark.parametrize("limit", [1, 2, 3, 7])
async def test_of_many_that_start_on_one_day_the_first_are_shown_and_up_to_whom(
    kept: Kept, story: Story, limit: int
) -> None:
    ids = ["f-1", "f-10", "f-2", "F-1", "f.1", "f:1", "f_1", "a", "Z", "0"]
    await keep_memberships(kept, story, [a_membership(name) for name in ids])
    appointments, horizon = await kept.store.appointments(limit, GRACE)
    assert sorted(appointments) == [a_cycle(name, APRIL) for name in sorted(ids)[:limit]]
    assert horizon == a_cycle(sorted(ids)[limit - 1], APRIL)


async def test_other_work_of_that_instant_and_before_is_shown_with_them(kept: Kept, story: Story) -> None:
    """It comes before them: without it the first would not be the first."""
    a_year_before = midnight(date(2025, 4, 7))
    for number, seconds in enumerate((0, 0, -1, 1)):
        story.bought(f"f-{number}", 10, at=a_year_before + timedelta(seconds=seconds))
    await keep_memberships(kept, story, [a_membership(name) for name in ("a", "b", "c", "d")])
    appointments, horizon = await kept.store.appointments(4, GRACE)
    expiries = [appointment for appointment in appointments if appointment.rank == EXPIRY]
    assert sorted(one.key for one in expiries) == ["f-0:1", "f-1:1", "f-2:1"]
    assert horizon == max(appointments) == a_cycle("d", APRIL)


async def test_work_due_before_limits_how_far_cycle_starts_are_shown(kept: Kept, story: Story) -> None:
    a_year_before = midnight(date(2025, 4, 1))
    for number in range(3):
        story.bought(f"f-{number}", 10, at=a_year_before + timedelta(days=number))
    await keep_memberships(kept, story, [a_membership("a", date(2026, 4, 1)), a_membership("b")])
    appointments, horizon = await kept.store.appointments(2, GRACE)
    assert [(one.rank, one.subject) for one in sorted(appointments)] == [(EXPIRY, "f-0"), (CYCLE, "a"), (EXPIRY, "f-1")]
    assert horizon == max(appointments)
    assert horizon.due_at == midnight(date(2026, 4, 2)) + GRACE


async def test_what_waits_for_a_parked_wallet_is_not_listed_again(kept: Kept, story: Story) -> None:
    story.registered("f-1", at=midnight(date(2025, 4, 7)))
    await keep_memberships(kept, story, [a_membership("f-1"), a_membership("f-2")])
    batch = await kept.open_batch(story)
    key = ParkedKey("wallet", "f-1")
    batch.parked.append(ParkedRow(*key, 2, "ValueError: a bug", day(0)))
    for event_id in ("cycle:f-1:2026-04-07", "expiry:f-1:1"):
        batch.last_seq += 1
        record = dict.fromkeys(("topic", "incarnation", "partition", "offset"))
        first = kept.batches[0].decisions[0]._replace(**record, seq=batch.last_seq, batch_no=batch.batch_no)
        batch.decisions.append(first._replace(kind="clock", event_id=event_id))
        batch.parked_triggers.append(ParkedTriggerRow(batch.last_seq, *key))
    await kept.commit(batch)
    assert await kept.store.appointments(100, GRACE) == ([a_cycle("f-2", APRIL)], LATEST)
    assert await kept.store.parked() == {key: {"cycle:f-1:2026-04-07", "expiry:f-1:1"}}
