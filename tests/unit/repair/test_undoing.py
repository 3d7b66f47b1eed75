"""Undos: what a plan booked is reversed as far as it goes, and what counts is as it was before the plan."""

import pytest

from tests.kit import replaying, undoing, voiding
from tests.kit.correcting import adjusted, boosted, day, interviewed, last_change, outbid, spend, withdrawn
from tests.kit.deciding import Deciding
from tests.kit.passing_over import passing_over
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
from tests.kit.undoing import balances, what_counts
from worker.ledger.memory_store import MemoryStore
from worker.repair.planning import Planned

BOOK = policies()
AGAIN = "cd" * 32


async def void_and_undo(decides: Deciding, *event_ids: str) -> tuple[Planned, Planned]:
    """Void what these events did, undo that, and see that all is as before; returns both plans."""
    store = decides.store
    assert isinstance(store, MemoryStore)
    before = balances(store), what_counts(store)
    voided = await voiding.void(decides, BOOK, *event_ids)
    assert voided.triggers
    undone = await undoing.undo(decides, BOOK)
    assert len(undone.triggers) == len(voided.triggers)
    assert undone.summary.left_for_a_person == []
    assert (balances(store), what_counts(store)) == before
    await nothing_is_found(store, 1, 3)
    again = await undoing.plan(store, BOOK)
    assert (again.triggers, again.summary.nothing_to_undo) == ([], len(undone.triggers))
    return voided, undone


# A void of a grant.


async def test_a_purchase_that_was_voided_is_given_back(decides: Deciding, came: Came, store: MemoryStore) -> None:
    await came(registered("f-1"), bought("f-1", "b-1", 30))
    voided, undone = await void_and_undo(decides, "e-b-1")
    assert (voided.summary.taken, undone.summary.given, undone.summary.taken) == (30, 30, 0)
    change = last_change(store)
    assert (change.rule, change.reason, change.delta) == ("correct.undo", "undone", 30)
    assert change.explanation == (
        "30 Connects returned on 2 March 2026, as a correction is undone: purchase b-1 of 2 March 2026 was taken out "
        "on 2 March 2026, and counts again."
    )
    lot = store.tables.lots["f-1", "f-1:4"]
    assert (lot.linked_to, lot.expires_at, lot.source) == ("f-1:2", day("2027-03-02T10:00:00"), "purchase")


async def test_its_natural_key_is_in_use_again_and_it_may_be_voided_again(
    decides: Deciding, came: Came, store: MemoryStore
) -> None:
    await came(registered("f-1"), bought("f-1", "b-1", 30))
    await void_and_undo(decides, "e-b-1")
    topic, fields = bought("f-1", "b-1", 30)
    await came((topic, {**fields, "event_id": "e-other"}))
    (repeat,) = [row for row in store.tables.decisions if row.event_id == "e-other"]
    assert repeat.reason == "already-granted"
    planned = await voiding.void(decides, BOOK, "e-b-1", name=AGAIN)
    assert (planned.summary.taken, planned.summary.shortfall) == (30, 0)
    assert balance(store, "f-1") == 40
    undone = await undoing.undo(decides, BOOK, AGAIN, "dd" * 32)
    assert undone.summary.given == 30
    assert balance(store, "f-1") == 70
    await nothing_is_found(store, 1, 3)


async def test_what_proposals_drew_from_it_stays_paid_by_others(
    decides: Deciding, came: Came, store: MemoryStore
) -> None:
    await came(bought("f-1", "b-1", 10), proposed("f-1", "p-1", connects=6), adjusted("f-1", "x", 20))
    await void_and_undo(decides, "e-b-1")
    assert balance(store, "f-1") == 24
    await came(closed("j-1"))
    await decides.until(day("2026-03-10"))
    assert balance(store, "f-1") == 30
    await nothing_is_found(store, 1, 3)


async def test_debts_that_the_void_made_are_paid(decides: Deciding, came: Came, store: MemoryStore) -> None:
    await came(bought("f-1", "b-1", 10), proposed("f-1", "p-1", connects=6))
    await void_and_undo(decides, "e-b-1")
    assert spend(store, "p-1").base_debt == 0
    assert balance(store, "f-1") == 4


async def test_a_shortfall_of_the_void_is_not_given(decides: Deciding, came: Came, store: MemoryStore) -> None:
    await came(bought("f-1", "b-1", 10), adjusted("f-1", "x", -8))
    voided = await voiding.void(decides, BOOK, "e-b-1")
    assert (voided.summary.taken, voided.summary.shortfall) == (2, 8)
    undone = await undoing.undo(decides, BOOK)
    assert (undone.summary.given, undone.summary.shortfall) == (2, 0)
    assert balance(store, "f-1") == 2
    await nothing_is_found(store, 1, 3)


async def test_a_debit_is_taken_from_its_lots_and_never_below_zero(
    decides: Deciding, came: Came, store: MemoryStore
) -> None:
    await came(bought("f-1", "b-1", 20), adjusted("f-1", "x", -8))
    await void_and_undo(decides, "a-x")
    assert balance(store, "f-1") == 12
    await voiding.void(decides, BOOK, "a-x", name=AGAIN)
    await came(proposed("f-1", "p-1", connects=16))
    undone = await undoing.undo(decides, BOOK, AGAIN, "dd" * 32)
    assert (undone.summary.taken, undone.summary.shortfall) == (4, 4)
    assert balance(store, "f-1") == 0
    await nothing_is_found(store, 1, 3)


async def test_an_interview_counts_in_the_week_again(decides: Deciding, came: Came, store: MemoryStore) -> None:
    await came(registered("f-1"), *(interviewed("f-1", f"j-{n}", f"2026-03-0{n}T10:00:00Z") for n in range(1, 6)))
    await void_and_undo(decides, "i-j-2")
    await came(interviewed("f-1", "j-9", "2026-03-06T10:00:00Z"))
    (last,) = [row for row in store.tables.decisions if row.event_id == "i-j-9"]
    assert last.reason == "weekly-cap"


async def test_a_key_that_was_used_meanwhile_stays(decides: Deciding, came: Came, store: MemoryStore) -> None:
    await came(registered("f-1"), bought("f-1", "b-1", 30))
    await voiding.void(decides, BOOK, "e-b-1")
    topic, fields = bought("f-1", "b-1", 25)
    await came((topic, {**fields, "event_id": "e-right"}))
    undone = await undoing.undo(decides, BOOK)
    (left,) = undone.summary.left_for_a_person
    assert (undone.triggers, left.events, "was used since" in left.what) == ([], 1, True)
    assert balance(store, "f-1") == 65
    await voiding.void(decides, BOOK, "e-right", name=AGAIN)
    assert (await undoing.plan(store, BOOK)).triggers == []
    await undoing.undo(decides, BOOK, AGAIN, "dd" * 32)
    assert balance(store, "f-1") == 65
    await nothing_is_found(store, 1, 3)


# A void of a spend.


async def test_a_proposal_that_was_voided_is_charged_again(decides: Deciding, came: Came, store: MemoryStore) -> None:
    await came(registered("f-1"), boosted("f-1", "p-1", 6, 4), proposed("f-1", "p-2", connects=5))
    voided, undone = await void_and_undo(decides, "s-p-1")
    assert (voided.summary.given, undone.summary.taken) == (10, 10)
    assert last_change(store).explanation == (
        "10 Connects taken back on 3 March 2026, as a correction is undone: the charge for proposal p-1 of 3 March "
        "2026 was taken out on 3 March 2026, and counts again."
    )
    await came(closed("j-1"))
    await decides.until(day("2026-03-10"))
    assert balance(store, "f-1") == 40
    await nothing_is_found(store, 1, 3)


async def test_what_had_come_back_before_stays_so(decides: Deciding, came: Came, store: MemoryStore) -> None:
    await came(registered("f-1"), boosted("f-1", "p-1", 6, 4), outbid("f-1", "p-1"), withdrawn("f-1", "p-1"))
    await void_and_undo(decides, "s-p-1")
    row = spend(store, "p-1")
    assert (row.base_returned, row.boost_returned, row.boost_outbid) == (False, True, True)
    assert row.withdrawn_at is not None


async def test_a_refunded_proposal_that_was_voided_stays_refunded(
    decides: Deciding, came: Came, store: MemoryStore
) -> None:
    await came(registered("f-1"), boosted("f-1", "p-1", 6, 4), closed("j-1"))
    await decides.until(day("2026-03-10"))
    await void_and_undo(decides, "s-p-1")
    row = spend(store, "p-1")
    assert (row.base_returned, row.boost_returned, row.refunded_closing_at) == (True, True, day("2026-03-04T10:00:00"))
    await decides.until(day("2026-03-12"))
    assert len([one for one in store.tables.decisions if one.kind == "settlement"]) == 1


async def test_a_closure_that_passed_it_by_settles_it(decides: Deciding, came: Came, store: MemoryStore) -> None:
    await came(registered("f-1"), proposed("f-1", "p-1", connects=6), proposed("f-2", "p-2", connects=6))
    await voiding.void(decides, BOOK, "s-p-1")
    await came(closed("j-1"))
    await decides.until(day("2026-03-10"))
    await undoing.undo(decides, BOOK)
    assert balance(store, "f-1") == 34
    await decides.until(day("2026-03-12"))
    assert balance(store, "f-1") == 40
    assert spend(store, "p-1").base_returned
    await nothing_is_found(store, 1, 3)


async def test_a_withdrawal_that_came_meanwhile_counts(decides: Deciding, came: Came, store: MemoryStore) -> None:
    await came(registered("f-1"), proposed("f-1", "p-1", connects=6))
    await voiding.void(decides, BOOK, "s-p-1")
    await came(withdrawn("f-1", "p-1"))
    await undoing.undo(decides, BOOK)
    assert spend(store, "p-1").withdrawn_at == day("2026-03-03T13:00:00")
    assert len(list(store.tables.awaiting)) == 0
    await nothing_is_found(store, 1, 3)


@pytest.mark.parametrize(
    "meanwhile",
    [outbid("f-1", "p-1"), withdrawn("f-2", "p-1"), boosted("f-1", "p-1", 6, 4)],
    ids=["an outbid", "another freelancer's withdrawal", "the proposal"],
)
async def test_what_came_meanwhile_and_counts_otherwise_is_left_for_a_person(
    decides: Deciding, came: Came, store: MemoryStore, meanwhile: Event
) -> None:
    await came(registered("f-1"), boosted("f-1", "p-1", 6, 4))
    await voiding.void(decides, BOOK, "s-p-1")
    topic, fields = meanwhile
    await came((topic, {**fields, "event_id": "e-meanwhile"}))
    before = balances(store), what_counts(store)
    undone = await undoing.undo(decides, BOOK)
    assert (undone.triggers, sum(one.events for one in undone.summary.left_for_a_person)) == ([], 1)
    assert (balances(store), what_counts(store)) == before
    await nothing_is_found(store, 1, 3)


# What was settled again.


def hired(job: str, at: str = "2026-03-04T09:00:00Z") -> Event:
    return event("hire-made", f"h-{job}", at, job_id=job, freelancer_id="f-9", contract_id="k-1")


async def settle(decides: Deciding, *, late_hires: bool = True) -> Planned:
    assert isinstance(decides.store, MemoryStore)
    planned = await replaying.planned_again(decides.store, BOOK, ["j-1"], late_hires=late_hires)
    answer = await replaying.apply(decides, BOOK, planned.triggers)
    assert answer.told["booked"] == len(planned.triggers) > 0, answer
    return planned


async def test_what_a_late_hire_took_back_is_returned(decides: Deciding, came: Came, store: MemoryStore) -> None:
    await came(registered("f-1"), boosted("f-1", "p-1", 6, 4), closed("j-1"))
    await decides.until(day("2026-03-05"))
    await came(hired("j-1"))
    before = balances(store), what_counts(store)
    assert (await settle(decides)).summary.taken == 10
    undone = await undoing.undo(decides, BOOK)
    assert (undone.summary.given, undone.summary.taken) == (10, 0)
    assert (balances(store), what_counts(store)) == before
    words = "proposal p-1 was settled again on 5 March 2026, and should not have been."
    assert last_change(store).explanation.endswith(words)
    await nothing_is_found(store, 1, 3)
    again = await replaying.planned_again(store, BOOK, ["j-1"], late_hires=True)
    assert again.summary.taken == 10


async def passed_over(decides: Deciding, came: Came) -> None:
    """f-1 has 40, of which p-1 cost 10; its job was closed, and a fault passed it over. It is 10 March."""
    await came(registered("f-1"), boosted("f-1", "p-1", 6, 4), closed("j-1"))
    with passing_over(lambda *_: True):
        await decides.until(day("2026-03-10"))


async def test_what_came_back_is_charged_again(decides: Deciding, came: Came, store: MemoryStore) -> None:
    await passed_over(decides, came)
    before = balances(store), what_counts(store)
    assert (await settle(decides)).summary.given == 10
    undone = await undoing.undo(decides, BOOK)
    assert (undone.summary.given, undone.summary.taken) == (0, 10)
    assert (balances(store), what_counts(store)) == before
    await nothing_is_found(store, 1, 3)
    again = await replaying.planned_again(store, BOOK, ["j-1"])
    assert again.summary.given == 10


async def test_it_is_charged_from_the_lots_that_it_came_back_to_first(
    decides: Deciding, came: Came, store: MemoryStore
) -> None:
    await passed_over(decides, came)
    await decides.until(day("2027-02-20"))  # its lot ends in nine days: what comes back gets new ones
    await settle(decides)
    given = {lot.lot_id for lot in store.tables.lots if lot.linked_to is not None}
    assert len(given) == 2
    await undoing.undo(decides, BOOK)
    row = spend(store, "p-1")
    assert all(lot_id in row.draws for lot_id in given)
    assert (row.base_debt, row.boost_debt) == (0, 0)
    assert all(store.tables.lots["f-1", lot_id].remaining == 0 for lot_id in given)
    await nothing_is_found(store, 1, 3)


async def test_what_is_not_there_any_more_is_owed(decides: Deciding, came: Came, store: MemoryStore) -> None:
    await passed_over(decides, came)
    await settle(decides)
    await came(proposed("f-1", "p-2", "j-2", 40))
    await undoing.undo(decides, BOOK)
    row = spend(store, "p-1")
    assert (row.base_debt, row.boost_debt, balance(store, "f-1")) == (6, 4, -10)
    await came(adjusted("f-1", "x", 12, "2026-03-20T10:00:00Z"))
    assert balance(store, "f-1") == 2
    await nothing_is_found(store, 1, 3)


async def test_a_settle_after_which_the_boost_was_outbid_is_left_for_a_person(decides: Deciding, came: Came) -> None:
    await passed_over(decides, came)
    await settle(decides)
    await came(outbid("f-1", "p-1"))
    (left,) = (await undoing.undo(decides, BOOK)).summary.left_for_a_person
    assert left.what.startswith("corrections after which events changed")


async def test_a_plan_that_settled_and_was_settled_again_by_another_is_undone_after_it(
    decides: Deciding, came: Came, store: MemoryStore
) -> None:
    await passed_over(decides, came)
    await settle(decides)
    await came(hired("j-1"))
    later = await replaying.planned_again(store, BOOK, ["j-1"], late_hires=True)
    await replaying.apply(decides, BOOK, later.triggers, AGAIN)
    assert balance(store, "f-1") == 30
    (left,) = (await undoing.undo(decides, BOOK)).summary.left_for_a_person
    assert (left.what, left.events) == ("decisions that were corrected again later", 1)
    await undoing.undo(decides, BOOK, AGAIN, "dd" * 32)
    assert balance(store, "f-1") == 40
    await undoing.undo(decides, BOOK)
    assert balance(store, "f-1") == 30
    await nothing_is_found(store, 1, 3)


# What was added.


async def test_an_event_that_was_added_is_taken_back(decides: Deciding, came: Came, store: MemoryStore) -> None:
    await came(registered("f-1"))
    adds = [bought("f-1", "b-1", 30), boosted("f-1", "p-1", 6, 4), adjusted("f-1", "x", -5)]
    triggers = await replaying.planned(store, BOOK, adds)
    before = balances(store), what_counts(store)
    await replaying.apply(decides, BOOK, triggers)
    assert balance(store, "f-1") == 55
    undone = await undoing.undo(decides, BOOK)
    assert len(undone.triggers) == 3
    (left,) = undone.summary.left_for_a_person
    assert (left.what, left.events) == ("event ids of added events that are undone", 3)
    after = what_counts(store)
    assert len(after.pop("voided")) == 3
    before[1].pop("voided")
    assert (balances(store), after) == before
    assert last_change(store).explanation == (
        "30 Connects taken back on 1 March 2026, as a correction is undone: purchase b-1 of 2 March 2026 was added on "
        "1 March 2026, and should not have been."
    )
    await nothing_is_found(store, 1, 3)
    assert (await undoing.plan(store, BOOK)).summary.nothing_to_undo == 3


async def test_an_added_proposal_that_another_freelancer_named_is_left_for_a_person(
    decides: Deciding, came: Came, store: MemoryStore
) -> None:
    await came(registered("f-1"), withdrawn("f-2", "p-1"))
    await replaying.apply(decides, BOOK, await replaying.planned(store, BOOK, [proposed("f-1", "p-1")]))
    undone = await undoing.undo(decides, BOOK)
    (left,) = undone.summary.left_for_a_person
    assert (undone.triggers, left.what.startswith("corrections after which events changed")) == ([], True)
    await nothing_is_found(store, 1, 3)


async def test_what_did_nothing_or_is_not_undone_yet_is_counted(
    decides: Deciding, came: Came, store: MemoryStore
) -> None:
    await came(registered("f-1"), bought("f-1", "b-1", 30))
    topic, fields = bought("f-1", "b-1", 30)
    adds = [(topic, {**fields, "event_id": "e-repeat"}), closed("j-1"), registered("f-2")]
    await replaying.apply(decides, BOOK, await replaying.planned(store, BOOK, adds))
    await decides.until(day("2026-04-03"))
    undone = await undoing.undo(decides, BOOK)
    assert (undone.triggers, undone.summary.nothing_to_undo) == ([], 1)
    assert [(one.what, one.events) for one in undone.summary.left_for_a_person] == [
        ("added events: closures, hires, withdrawals and outbids", 1),
        ("added events: registrations", 1),
    ]


# In which order.


async def test_what_a_later_plan_corrected_is_undone_first(decides: Deciding, came: Came, store: MemoryStore) -> None:
    await came(registered("f-1"))
    triggers = await replaying.planned(store, BOOK, [bought("f-1", "b-1", 30), bought("f-1", "b-2", 7)])
    await replaying.apply(decides, BOOK, triggers)
    await voiding.void(decides, BOOK, "e-b-1", name=AGAIN)
    planned = await undoing.plan(store, BOOK)
    (left, _) = sorted(planned.summary.left_for_a_person, key=lambda one: one.what)
    assert (len(planned.triggers), left.events, left.what) == (1, 1, "decisions that were corrected again later")
    await undoing.undo(decides, BOOK, AGAIN, "dd" * 32)
    assert len((await undoing.undo(decides, BOOK)).triggers) == 2
    assert balance(store, "f-1") == 40
    await nothing_is_found(store, 1, 3)


async def test_an_undo_is_not_undone(decides: Deciding, came: Came, store: MemoryStore) -> None:
    await came(registered("f-1"), bought("f-1", "b-1", 30))
    await void_and_undo(decides, "e-b-1")
    planned = await undoing.plan(store, BOOK, undoing.UNDO)
    (left,) = planned.summary.left_for_a_person
    assert (planned.triggers, left.what, left.why) == ([], "undos", "an undo is not undone")
    again = await voiding.plan(store, BOOK, voiding.seqs_of(store, "e-b-1"))
    assert again.summary.taken == 30


async def test_an_undo_of_what_changed_meanwhile_deviates(decides: Deciding, came: Came, store: MemoryStore) -> None:
    await came(registered("f-1"), bought("f-1", "b-1", 30))
    await voiding.void(decides, BOOK, "e-b-1")
    planned = await undoing.plan(store, BOOK)
    topic, fields = bought("f-1", "b-1", 25)
    await came((topic, {**fields, "event_id": "e-right"}))
    await replaying.apply(decides, BOOK, planned.triggers, undoing.UNDO)
    (row,) = [one for one in store.tables.replayed if one.plan == undoing.UNDO]
    assert (row.outcome, row.reason, row.kind) == ("deviated", "other-outcome", "undo")
    assert (row.detail or "").startswith("it cannot be undone: ")
    await nothing_is_found(store)
