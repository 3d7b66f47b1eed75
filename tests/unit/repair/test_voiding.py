"""Voids: what a grant, purchase, adjustment or spend still does is taken back, on the wallet as it is now."""

from datetime import timedelta

import pytest

from tests.kit import replaying, voiding
from tests.kit.correcting import adjusted, boosted, day, interviewed, last_change, outbid, spend
from tests.kit.deciding import Deciding
from tests.kit.policies import policies
from tests.kit.replaying import (
    Came,
    Event,
    balance,
    bought,
    closed,
    event,
    nothing_is_found,
    proposed,
    registered,
)
from worker.kafka.records import TopicPartition
from worker.ledger.memory_store import MemoryStore
from worker.ledger.parked import ParkedKey
from worker.repair.plan import Void
from worker.repair.selecting import JobToSettle

BOOK = policies()


async def test_what_is_left_of_a_purchase_is_taken(decides: Deciding, came: Came, store: MemoryStore) -> None:
    await came(registered("f-1"), bought("f-1", "b-1", 30))
    planned = await voiding.void(decides, BOOK, "e-b-1")
    assert (planned.summary.taken, planned.summary.given, planned.summary.shortfall) == (30, 0, 0)
    assert balance(store, "f-1") == 40
    change = last_change(store)
    assert (change.rule, change.reason, change.delta) == ("correct.void", "voided", -30)
    assert change.explanation == (
        "30 Connects taken back on 2 March 2026, as a correction: purchase b-1 of 2 March 2026 should not have been "
        "booked."
    )
    await nothing_is_found(store, 1, 3)


async def test_what_a_proposal_drew_is_drawn_from_other_lots(decides: Deciding, came: Came, store: MemoryStore) -> None:
    await came(bought("f-1", "b-1", 10), proposed("f-1", "p-1", connects=6), adjusted("f-1", "x", 20))
    await voiding.void(decides, BOOK, "e-b-1")
    assert balance(store, "f-1") == 14
    assert "6 Connects" in last_change(store).explanation
    assert "f-1:3" in spend(store, "p-1").draws
    assert "f-1:1" not in spend(store, "p-1").draws
    await came(closed("j-1"))
    await decides.until(day("2026-03-10"))
    assert balance(store, "f-1") == 20
    await nothing_is_found(store, 1, 3)


async def test_what_no_lot_covers_becomes_the_proposals_debt(decides: Deciding, came: Came, store: MemoryStore) -> None:
    await came(bought("f-1", "b-1", 10), proposed("f-1", "p-1", connects=6))
    await voiding.void(decides, BOOK, "e-b-1")
    assert balance(store, "f-1") == -6
    assert spend(store, "p-1").base_debt == 6
    await came(adjusted("f-1", "later", 10, "2026-03-05T00:00:00Z"))
    assert (balance(store, "f-1"), spend(store, "p-1").base_debt) == (4, 0)
    await nothing_is_found(store, 1, 3)


async def test_a_purchase_whose_connects_came_back_is_taken_whole(
    decides: Deciding, came: Came, store: MemoryStore
) -> None:
    await came(registered("f-1"), bought("f-1", "b-1", 10), proposed("f-1", "p-1", connects=45), closed("j-1"))
    await decides.until(day("2026-03-10"))
    assert balance(store, "f-1") == 50
    planned = await voiding.void(decides, BOOK, "e-b-1")
    assert planned.summary.taken == 10
    assert balance(store, "f-1") == 40
    await nothing_is_found(store, 1, 3)


async def test_a_purchase_that_expired_is_gone_already(decides: Deciding, came: Came, store: MemoryStore) -> None:
    await came(bought("f-1", "b-1", 10), proposed("f-1", "p-1", connects=6))
    await decides.until(day("2027-03-05"))
    assert balance(store, "f-1") == 0
    await voiding.void(decides, BOOK, "e-b-1")
    assert balance(store, "f-1") == -6, "only what the proposal drew is charged again"
    await nothing_is_found(store, 1, 3)


async def test_a_purchase_of_which_all_expired_books_nothing(decides: Deciding, came: Came, store: MemoryStore) -> None:
    await came(bought("f-1", "b-1", 10))
    await decides.until(day("2027-03-05"))
    before = last_change(store)
    planned = await voiding.void(decides, BOOK, "e-b-1")
    assert planned.triggers[0].expected.wallets == {}
    assert last_change(store) == before
    await nothing_is_found(store, 1, 3)


async def test_a_purchase_that_paid_a_debt(decides: Deciding, came: Came, store: MemoryStore) -> None:
    await came(proposed("f-1", "p-1", connects=6), bought("f-1", "b-1", 10))
    assert (balance(store, "f-1"), spend(store, "p-1").base_debt) == (4, 0)
    await voiding.void(decides, BOOK, "e-b-1")
    assert (balance(store, "f-1"), spend(store, "p-1").base_debt) == (-6, 6)
    await nothing_is_found(store, 1, 3)


async def test_what_a_debit_drew_is_taken_from_other_lots_but_never_below_zero(
    decides: Deciding, came: Came, store: MemoryStore
) -> None:
    await came(bought("f-1", "b-1", 10), adjusted("f-1", "off", -8), adjusted("f-1", "on", 5))
    assert balance(store, "f-1") == 7
    planned = await voiding.void(decides, BOOK, "e-b-1")
    assert planned.summary.shortfall == 3
    assert planned.triggers[0].expected.shortfall == {"f-1": 3}
    assert balance(store, "f-1") == 0
    assert "3 Connects could not be taken back" in last_change(store).explanation
    await nothing_is_found(store, 1, 3)


async def test_a_debit_comes_back_into_a_lot_that_lasts_thirty_days(
    decides: Deciding, came: Came, store: MemoryStore
) -> None:
    await came(bought("f-1", "b-1", 10), adjusted("f-1", "off", -8))
    await voiding.void(decides, BOOK, "a-off")
    assert balance(store, "f-1") == 10
    (lot,) = (row for row in store.tables.lots if row.lot_id == "f-1:3")
    assert (lot.source, lot.remaining, lot.expires_at - lot.issued_at) == ("adjustment", 8, timedelta(days=30))
    await nothing_is_found(store, 1, 3)


@pytest.mark.parametrize("order", [("e-b-1", "a-off"), ("a-off", "e-b-1")])
async def test_a_purchase_and_the_debit_that_drew_on_it(
    decides: Deciding, came: Came, store: MemoryStore, order: tuple[str, str]
) -> None:
    """In either order nothing is left of both; what was short at first came back with the debit."""
    await came(bought("f-1", "b-1", 10), adjusted("f-1", "off", -8))
    shortfall = 0
    for number, event_id in enumerate(order):
        planned = await voiding.void(decides, BOOK, event_id, name=f"{number}" * 64)
        shortfall += planned.summary.shortfall
    assert balance(store, "f-1") - shortfall == 0
    await nothing_is_found(store, 1, 3)


async def test_a_spend_comes_back_to_the_lots_it_drew_and_its_proposal_was_never_there(
    decides: Deciding, came: Came, store: MemoryStore
) -> None:
    await came(registered("f-1"), proposed("f-1", "p-1", connects=45), proposed("f-1", "p-2", connects=3))
    assert balance(store, "f-1") == -8
    planned = await voiding.void(decides, BOOK, "s-p-1")
    assert planned.summary.given == 45
    assert balance(store, "f-1") == 37
    assert "p-1" not in store.tables.spends
    await came(closed("j-1"))
    await decides.until(day("2026-03-10"))
    assert balance(store, "f-1") == 40, "the closure passes the void spend by"
    await came(outbid("f-1", "p-1"))
    assert max(store.tables.decisions, key=lambda row: row.seq).reason == "unknown-proposal"
    await nothing_is_found(store, 1, 3)


async def test_a_spend_that_came_back_in_part_gives_the_rest(decides: Deciding, came: Came, store: MemoryStore) -> None:
    await came(registered("f-1"), boosted("f-1", "p-1", 6, 4), outbid("f-1", "p-1"))
    assert balance(store, "f-1") == 34
    planned = await voiding.void(decides, BOOK, "s-p-1")
    assert planned.summary.given == 6
    assert balance(store, "f-1") == 40
    await nothing_is_found(store, 1, 3)


async def test_a_second_proposal_under_the_id_is_charged_and_what_named_it_counts(
    decides: Deciding, came: Came, store: MemoryStore
) -> None:
    await came(registered("f-1"), boosted("f-1", "p-1", 6, 4), outbid("f-1", "p-1"))
    await voiding.void(decides, BOOK, "s-p-1")
    assert [row.proposal_id for row in store.tables.awaiting] == ["p-1"]
    again = boosted("f-1", "p-1", 7, 5)
    await came((again[0], {**again[1], "event_id": "s-again"}))
    assert balance(store, "f-1") == 33, "its boost was outbid before it came"
    assert spend(store, "p-1").boost_returned
    assert not list(store.tables.awaiting)
    await nothing_is_found(store, 1, 3)


async def test_a_spend_on_a_lot_that_ended_comes_into_one_that_lasts(
    decides: Deciding, came: Came, store: MemoryStore
) -> None:
    await came(bought("f-1", "b-1", 10), proposed("f-1", "p-1", connects=6))
    await decides.until(day("2027-03-05"))
    await voiding.void(decides, BOOK, "s-p-1")
    assert balance(store, "f-1") == 6
    (lot,) = (row for row in store.tables.lots if row.linked_to == "f-1:1")
    assert lot.expires_at - lot.issued_at >= timedelta(days=30)
    # A void of the purchase takes what is in the linked lot as well.
    await voiding.void(decides, BOOK, "e-b-1", name="cd" * 32)
    assert balance(store, "f-1") == 0
    await nothing_is_found(store, 1, 3)


async def test_a_late_settlement_of_a_void_spend_does_nothing(
    decides: Deciding, came: Came, store: MemoryStore
) -> None:
    await came(registered("f-1"), closed("j-1"))
    await decides.until(day("2026-03-05"))
    await came(proposed("f-1", "p-1", connects=6))
    assert [row.kind for row in store.tables.due] == ["late-settlement"]
    await voiding.void(decides, BOOK, "s-p-1")
    assert not list(store.tables.due)
    await decides.until(day("2026-03-06"))
    assert not list(store.tables.parked)
    assert balance(store, "f-1") == 40
    await nothing_is_found(store, 1, 3)


async def test_an_interview_leaves_the_weekly_sum(decides: Deciding, came: Came, store: MemoryStore) -> None:
    names = [f"j-{number}" for number in range(30)]
    await came(*(interviewed("f-1", name, "2026-03-02T10:00:00Z") for name in names))
    assert max(store.tables.decisions, key=lambda row: row.seq).reason == "weekly-cap"
    first = next(row for row in store.tables.changes if row.rule == "grant.interview")
    await voiding.void(decides, BOOK, f"i-{names[0]}")
    await decides.restart()
    before = balance(store, "f-1")
    await came(interviewed("f-1", "j-more", "2026-03-02T11:00:00Z"))
    assert balance(store, "f-1") == before + first.delta
    await nothing_is_found(store, 1, 3)


async def test_a_natural_key_is_free_again_and_taken_again(decides: Deciding, came: Came, store: MemoryStore) -> None:
    again = bought("f-2", "b-1", 25)
    await came(registered("f-1"), bought("f-1", "b-1", 10))
    for number in (1, 2):
        await voiding.void(decides, BOOK, "e-b-1" if number == 1 else "e-again-1", name=f"{number}" * 64)
        await decides.restart()
        topic, fields = again
        await came((topic, {**fields, "event_id": f"e-again-{number}"}))
        assert balance(store, "f-2") == 25
        await came((topic, {**fields, "event_id": f"e-refused-{number}"}))
        assert max(store.tables.decisions, key=lambda row: row.seq).reason == "already-granted"
    keys = [row.natural_key for row in store.tables.changes if row.rule == "grant.purchase"]
    assert keys == ["b-1", "b-1//1", "b-1//2"]
    await nothing_is_found(store, 1, 3)


async def test_a_voided_event_id_stays_used(decides: Deciding, came: Came, store: MemoryStore) -> None:
    await came(bought("f-1", "b-1", 10))
    await voiding.void(decides, BOOK, "e-b-1")
    await came(bought("f-1", "b-1", 10))
    assert max(store.tables.decisions, key=lambda row: row.seq).outcome == "duplicate"
    assert balance(store, "f-1") == 0
    await nothing_is_found(store, 1, 3)


async def test_a_plan_settles_no_spend_that_it_voids(decides: Deciding, came: Came, store: MemoryStore) -> None:
    await came(registered("f-1"), proposed("f-1", "p-1"), proposed("f-1", "p-2"), closed("j-1"))
    await decides.until(day("2026-03-10"))
    voided = voiding.seqs_of(store, "s-p-1")
    planned = await voiding.plan(store, BOOK, voided, [JobToSettle("j-1", False, "jobs.txt", 1)])
    assert (planned.summary.triggers["void"], planned.summary.nothing_to_do) == (1, 1)


async def test_a_second_void_is_no_trigger(decides: Deciding, came: Came, store: MemoryStore) -> None:
    await came(bought("f-1", "b-1", 10), proposed("f-1", "p-1"))
    await voiding.void(decides, BOOK, "e-b-1", "s-p-1")
    planned = await voiding.void(decides, BOOK, "e-b-1", "s-p-1")
    assert (planned.triggers, planned.summary.nothing_to_void) == ([], 2)
    await nothing_is_found(store, 1, 3)


async def test_what_cannot_be_voided_is_left_for_a_person(decides: Deciding, came: Came) -> None:
    await came(registered("f-1"), bought("f-1", "b-1", 10), closed("j-1"), outbid("f-1", "p-1"))
    await decides.until(day("2026-04-03"))
    again = bought("f-1", "b-1", 10)
    await came((again[0], {**again[1], "event_id": "e-again"}))
    planned = await voiding.void(decides, BOOK, "r-f-1", "o-p-1", "e-b-1", "e-again")
    assert [trigger.corrects for trigger in planned.triggers if isinstance(trigger, Void)] == [["o-p-1"], ["e-b-1"]]
    left = {one.what: one.events for one in planned.summary.left_for_a_person}
    assert left == {
        "events that were refused because of what is voided": 1,
        "registrations": 1,
    }
    assert planned.summary.nothing_to_void == 1
    assert all(one.next for one in planned.summary.left_for_a_person)


async def test_a_void_that_would_bring_something_else_by_now_books_nothing(
    decides: Deciding, came: Came, store: MemoryStore
) -> None:
    await came(bought("f-1", "b-1", 10), bought("f-1", "b-2", 10))
    planned = await voiding.plan(store, BOOK, voiding.seqs_of(store, "e-b-1"))
    await came(
        adjusted("f-1", "off", -15, "2026-03-05T00:00:00Z"), adjusted("f-1", "off-2", -5, "2026-03-05T00:00:00Z")
    )
    answer = await replaying.apply(decides, BOOK, planned.triggers)
    assert (answer.told["booked"], answer.told["deviated"]) == (0, 1)
    assert replaying.became(store) == [(1, "deviated", "other-amounts")]
    assert balance(store, "f-1") == 0
    await nothing_is_found(store, 1, 3)


def again(sent: Event) -> Event:
    """The same fact, under a new event id."""
    topic, fields = sent
    return topic, {**fields, "event_id": f"{fields['event_id']}-again"}


async def test_a_proposal_that_comes_again_is_settled_by_the_closure_that_settled_it_before(
    decides: Deciding, came: Came, store: MemoryStore
) -> None:
    await came(registered("f-1"), proposed("f-1", "p-1", connects=6), closed("j-1"))
    await decides.until(day("2026-03-06"))
    before = balance(store, "f-1")
    await voiding.void(decides, BOOK, "s-p-1")
    await came(again(proposed("f-1", "p-1", connects=5)))
    assert balance(store, "f-1") == before - 5
    await decides.until(day("2026-03-07"))
    await decides.restart()
    await decides.until(day("2026-03-08"))
    assert (balance(store, "f-1"), list(store.tables.due)) == (before, [])
    await nothing_is_found(store, 1, 3)


async def test_what_was_due_of_a_voided_proposal_settles_none_that_comes_again(
    decides: Deciding, came: Came, store: MemoryStore
) -> None:
    """It came after the settlement, was voided within the grace, and came again within the grace."""
    await came(registered("f-1"), closed("j-1"))
    await decides.until(day("2026-03-05"))
    await came(proposed("f-1", "p-1", connects=6))
    await voiding.void(decides, BOOK, "s-p-1")
    await decides.until(day("2026-03-05") + timedelta(seconds=10))
    await came(again(proposed("f-1", "p-1", connects=5)))
    await decides.until(day("2026-03-06"))
    settled = [row for row in store.tables.decisions if row.kind == "settlement"]
    assert [(row.outcome, row.reason) for row in settled] == [("applied", "closed-without-hire")]
    assert list(store.tables.due) == []
    await nothing_is_found(store, 1, 3)


async def test_an_outbid_that_was_parked_and_released_waits_for_the_proposal_again(
    decides: Deciding, came: Came, store: MemoryStore
) -> None:
    await came(registered("f-1"), boosted("f-1", "p-1", 6, 4))
    start = balance(store, "f-1") or 0
    failing = decides.writer._failing  # noqa: SLF001 - as if the rule failed
    failing[TopicPartition("boost-outbid", 0), 0, 2] = "a bug"
    await came(outbid("f-1", "p-1"))
    failing.clear()
    assert await decides.writer.release(ParkedKey("wallet", "f-1")) == (1, 0, None)
    await decides.commit()
    assert balance(store, "f-1") == start + 4
    await voiding.void(decides, BOOK, "s-p-1")
    assert balance(store, "f-1") == start + 10
    await came(again(boosted("f-1", "p-1", 7, 5)))
    assert balance(store, "f-1") == start + 10 - 7, "its boost is outbid already"
    await nothing_is_found(store, 1, 3)


async def test_what_cannot_be_taken_is_left_out_where_nothing_may_be_taken(
    decides: Deciding, came: Came, store: MemoryStore
) -> None:
    """Its purchase could come again otherwise, and bring what the first one had brought."""
    await came(bought("f-1", "b-1", 10), adjusted("f-1", "a-1", -10))
    planned = await voiding.plan(store, BOOK, voiding.seqs_of(store, "e-b-1"))
    (trigger,) = planned.triggers
    assert (trigger.expected.wallets, trigger.expected.shortfall, trigger.expected.takes) == ({}, {"f-1": 10}, True)
    await replaying.begin(decides, BOOK, 1)
    answer = await replaying.add(decides, planned.triggers, give_only=True)
    assert (answer.told["booked"], answer.told["left_out"]) == (0, 1)


async def test_a_settle_that_would_correct_another_closing_than_was_planned_is_left(
    decides: Deciding, came: Came, store: MemoryStore
) -> None:
    """A closing of the same instant came meanwhile, and stands before the one that returned the proposal."""
    topic, fields = closed("j-1")
    removed = topic, {**fields, "event_id": "c-removed", "closure": "removed-by-marketplace"}
    await came(registered("f-1"), proposed("f-1", "p-1", connects=6), removed)
    await decides.until(day("2026-03-05"))
    hired = {"job_id": "j-1", "client_id": "c", "contract_id": "k", "freelancer_id": "f-9"}
    await came(event("hire-made", "h-1", "2026-03-03T12:00:00Z", **hired))
    planned = await voiding.plan(store, BOOK, [], [JobToSettle("j-1", True, "late-hires", 0)])
    assert len(planned.triggers) == 1
    await came((topic, {**fields, "event_id": "c-client"}))
    answer = await replaying.apply(decides, BOOK, planned.triggers)
    assert (answer.told["booked"], answer.told["deviated"]) == (0, 1)
    await nothing_is_found(store, 1, 3)


@pytest.mark.parametrize("name", ["f-1", "f-2"])
async def test_an_empty_purchase_under_the_id_of_one_that_was_voided(
    name: str, decides: Deciding, came: Came, store: MemoryStore
) -> None:
    """It is no repeat: the id is free again. Found by test_undos.py."""
    await came(bought("f-1", "b-1", 10))
    await voiding.void(decides, BOOK, "e-b-1")
    await came(
        event("connects-purchased", "e-2", "2026-03-06T10:00:00Z", freelancer_id=name, purchase_id="b-1", connects=0)
    )
    (last,) = [row for row in store.tables.decisions if row.event_id == "e-2"]
    assert (last.outcome, last.reason) == ("declined", "nothing-to-do")
    await nothing_is_found(store, 1, 3)
