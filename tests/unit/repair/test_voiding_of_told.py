"""Voids of withdrawals and outbids: they are forgotten, and their proposal is settled as if they had never come."""

import pytest

from tests.kit import replaying, undoing, voiding
from tests.kit.correcting import boosted, day, last_change, outbid, sent_as, spend, withdrawn
from tests.kit.deciding import Deciding
from tests.kit.policies import policies
from tests.kit.replaying import Came, Event, balance, bought, closed, event, nothing_is_found, proposed
from worker.ledger.memory_store import MemoryStore
from worker.repair.plan import Settle, Void
from worker.repair.undoing import CHANGED_SINCE, LATER_STANDS

BOOK = policies()
EARLY, LATE = "w-p-1-2026-03-03T13:00:00Z", "w-p-1-2026-03-03T14:00:00Z"
SECOND, THIRD, FOURTH = "cd" * 32, "de" * 32, "ef" * 32


def hired(at: str) -> Event:
    return event("hire-made", "h-1", at, job_id="j-1", freelancer_id="f-9", contract_id="k-1")


# Withdrawals.


async def test_what_a_withdrawal_kept_comes_back(decides: Deciding, came: Came, store: MemoryStore) -> None:
    await came(bought("f-1", "b-1", 10), proposed("f-1", "p-1"), withdrawn("f-1", "p-1"), closed("j-1"))
    await decides.until(day("2026-03-10"))
    assert balance(store, "f-1") == 4
    planned = await voiding.void(decides, BOOK, EARLY)
    assert [type(trigger) for trigger in planned.triggers] == [Void, Settle]
    assert (planned.summary.given, planned.summary.left_for_a_person) == (6, [])
    assert (balance(store, "f-1"), spend(store, "p-1").withdrawn_at) == (10, None)
    assert not (await voiding.void(decides, BOOK, EARLY, name=SECOND)).triggers
    await nothing_is_found(store, 1, 3)


async def test_other_proposals_of_the_job_are_left_alone(decides: Deciding, came: Came, store: MemoryStore) -> None:
    await came(bought("f-1", "b-1", 10), proposed("f-1", "p-1"), withdrawn("f-1", "p-1"))
    await came(bought("f-2", "b-2", 10), proposed("f-2", "p-2"), closed("j-1"))
    await decides.until(day("2026-03-10"))
    planned = await voiding.void(decides, BOOK, EARLY)
    assert [trigger.expected.wallets for trigger in planned.triggers] == [{}, {"f-1": 6}]
    await nothing_is_found(store, 1, 3)


@pytest.mark.parametrize("event_id", [EARLY, LATE])
async def test_another_withdrawal_still_counts(
    decides: Deciding, came: Came, store: MemoryStore, event_id: str
) -> None:
    both = (withdrawn("f-1", "p-1"), withdrawn("f-1", "p-1", at="2026-03-03T14:00:00Z"))
    await came(bought("f-1", "b-1", 10), proposed("f-1", "p-1"), *both, closed("j-1"))
    await decides.until(day("2026-03-10"))
    other = {EARLY: LATE, LATE: EARLY}[event_id]
    await voiding.void(decides, BOOK, event_id)
    assert (balance(store, "f-1"), spend(store, "p-1").withdrawn_at) == (4, day(other.removeprefix("w-p-1-")[:-1]))
    await voiding.void(decides, BOOK, other, name=SECOND)
    assert balance(store, "f-1") == 10
    await nothing_is_found(store, 1, 3)


async def test_one_that_waits_for_its_proposal_waits_no_more(decides: Deciding, came: Came, store: MemoryStore) -> None:
    await came(bought("f-1", "b-1", 10), withdrawn("f-1", "p-1"), outbid("f-1", "p-1"))
    planned = await voiding.void(decides, BOOK, EARLY, "o-p-1")
    assert [trigger.expected.wallets for trigger in planned.triggers] == [{}, {}]
    assert not list(store.tables.awaiting)
    await came(boosted("f-1", "p-1", 4, 2), closed("j-1"))
    await decides.until(day("2026-03-03T20:00:00"))
    assert balance(store, "f-1") == 4
    await decides.until(day("2026-03-10"))
    assert balance(store, "f-1") == 10
    await nothing_is_found(store, 1, 3)


async def test_one_after_the_settlement_changes_nothing(decides: Deciding, came: Came, store: MemoryStore) -> None:
    await came(bought("f-1", "b-1", 10), proposed("f-1", "p-1"), closed("j-1"))
    await decides.until(day("2026-03-10"))
    await came(withdrawn("f-1", "p-1"))
    planned = await voiding.void(decides, BOOK, EARLY)
    assert ([type(trigger) for trigger in planned.triggers], balance(store, "f-1")) == ([Void], 10)
    late = await replaying.planned_again(store, BOOK, ["j-1"], late_hires=True)
    assert not late.triggers, "no withdrawal is left that makes the refund undue"
    await nothing_is_found(store, 1, 3)


async def test_a_withdrawn_refund_that_was_taken_back_comes_back(
    decides: Deciding, came: Came, store: MemoryStore
) -> None:
    await came(bought("f-1", "b-1", 10), proposed("f-1", "p-1"), closed("j-1"))
    await decides.until(day("2026-03-10"))
    await came(withdrawn("f-1", "p-1"))
    late = await replaying.planned_again(store, BOOK, ["j-1"], late_hires=True)
    await replaying.apply(decides, BOOK, late.triggers, SECOND)
    assert balance(store, "f-1") == 4
    await voiding.void(decides, BOOK, EARLY)
    assert balance(store, "f-1") == 10
    await nothing_is_found(store, 1, 3)


async def test_one_of_another_freelancer_waits_no_more_either(
    decides: Deciding, came: Came, store: MemoryStore
) -> None:
    await came(bought("f-1", "b-1", 10), proposed("f-1", "p-1"), bought("f-2", "b-2", 10))
    await came(sent_as(withdrawn("f-2", "p-1"), "w-2"), sent_as(outbid("f-2", "p-1"), "o-2"))
    planned = await voiding.void(decides, BOOK, "w-2", "o-2")
    assert [type(trigger) for trigger in planned.triggers] == [Void, Void]
    await voiding.void(decides, BOOK, "s-p-1", name=SECOND)
    assert not list(store.tables.awaiting)
    await came(sent_as(boosted("f-2", "p-1", 4, 2), "s-other"))
    assert (balance(store, "f-2"), spend(store, "p-1").withdrawn_at) == (4, None)
    await nothing_is_found(store, 1, 3, 5)


async def test_its_proposal_is_settled_also_beside_one_of_another(
    decides: Deciding, came: Came, store: MemoryStore
) -> None:
    """Both name the proposal, and the other freelancer's is the later decision, which is voided first."""
    await came(bought("f-1", "b-1", 10), proposed("f-1", "p-1"), withdrawn("f-1", "p-1"))
    await came(bought("f-2", "b-2", 10), sent_as(withdrawn("f-2", "p-1"), "w-2"), closed("j-1"))
    await decides.until(day("2026-03-10"))
    planned = await voiding.void(decides, BOOK, EARLY, "w-2")
    assert [type(trigger) for trigger in planned.triggers] == [Void, Void, Settle]
    assert balance(store, "f-1") == 10
    await nothing_is_found(store, 1, 3)


async def test_a_voided_proposal_lets_none_wait_that_is_void(decides: Deciding, came: Came, store: MemoryStore) -> None:
    await came(bought("f-1", "b-1", 10), boosted("f-1", "p-1", 4, 2), withdrawn("f-1", "p-1"), outbid("f-1", "p-1"))
    await voiding.void(decides, BOOK, EARLY)
    await voiding.void(decides, BOOK, "s-p-1", name=SECOND)
    assert [row.decision_seq for row in store.tables.awaiting] == voiding.seqs_of(store, "o-p-1")
    await nothing_is_found(store, 1, 3)


# Outbids.


async def test_a_boost_that_was_not_outbid_is_charged_again(decides: Deciding, came: Came, store: MemoryStore) -> None:
    await came(bought("f-1", "b-1", 10), boosted("f-1", "p-1", 4, 2), outbid("f-1", "p-1"))
    assert balance(store, "f-1") == 6
    planned = await voiding.void(decides, BOOK, "o-p-1")
    assert [trigger.expected.wallets for trigger in planned.triggers] == [{}, {"f-1": -2}]
    row = spend(store, "p-1")
    assert (balance(store, "f-1"), row.boost_outbid, row.boost_returned) == (4, False, False)
    assert last_change(store).explanation == (
        "2 Connects taken back on 3 March 2026, as a correction: the boost of proposal p-1 for job j-1 had come back "
        "for an outbid that never was, and nothing else returns it."
    )
    await came(closed("j-1"))
    await decides.until(day("2026-03-10"))
    assert balance(store, "f-1") == 10
    await nothing_is_found(store, 1, 3)


async def test_a_boost_that_its_closing_returns_stays(decides: Deciding, came: Came, store: MemoryStore) -> None:
    await came(bought("f-1", "b-1", 10), boosted("f-1", "p-1", 4, 2), outbid("f-1", "p-1"), closed("j-1"))
    await decides.until(day("2026-03-10"))
    planned = await voiding.void(decides, BOOK, "o-p-1")
    assert ([type(trigger) for trigger in planned.triggers], balance(store, "f-1")) == ([Void], 10)
    await nothing_is_found(store, 1, 3)


@pytest.mark.parametrize("hire", ["2026-03-03T11:00:00Z", "2026-03-03T16:00:00Z"])
async def test_a_hire_makes_the_boost_undue(decides: Deciding, came: Came, store: MemoryStore, hire: str) -> None:
    await came(bought("f-1", "b-1", 10), boosted("f-1", "p-1", 4, 2), outbid("f-1", "p-1"), hired(hire), closed("j-1"))
    await decides.until(day("2026-03-10"))
    assert balance(store, "f-1") == 6
    await voiding.void(decides, BOOK, "o-p-1")
    assert balance(store, "f-1") == 4
    await nothing_is_found(store, 1, 3)


async def test_a_late_hire_keeps_what_the_closing_returned(decides: Deciding, came: Came, store: MemoryStore) -> None:
    await came(bought("f-1", "b-1", 10), boosted("f-1", "p-1", 4, 2), outbid("f-1", "p-1"), closed("j-1"))
    await decides.until(day("2026-03-10"))
    await came(hired("2026-03-03T16:00:00Z"))
    planned = await voiding.void(decides, BOOK, "o-p-1")
    assert ([type(trigger) for trigger in planned.triggers], balance(store, "f-1")) == ([Void], 10)
    await nothing_is_found(store, 1, 3)


async def test_one_that_found_the_boost_returned_changes_nothing(
    decides: Deciding, came: Came, store: MemoryStore
) -> None:
    await came(bought("f-1", "b-1", 10), boosted("f-1", "p-1", 4, 2), closed("j-1"))
    await decides.until(day("2026-03-10"))
    await came(outbid("f-1", "p-1"))
    assert store.tables.decisions[max(row.seq for row in store.tables.decisions)].reason == "already-refunded"
    planned = await voiding.void(decides, BOOK, "o-p-1")
    assert ([type(trigger) for trigger in planned.triggers], balance(store, "f-1")) == ([Void], 10)
    assert not spend(store, "p-1").boost_outbid
    await voiding.void(decides, BOOK, "c-j-1", name=SECOND)
    assert balance(store, "f-1") == 4, "base and boost had come back by the closing alone"
    await nothing_is_found(store, 1, 3)


async def test_another_outbid_still_counts(decides: Deciding, came: Came, store: MemoryStore) -> None:
    again = sent_as(outbid("f-1", "p-1"), "o-again")
    await came(bought("f-1", "b-1", 10), boosted("f-1", "p-1", 4, 2), outbid("f-1", "p-1"), again)
    planned = await voiding.void(decides, BOOK, "o-p-1")
    assert ([type(trigger) for trigger in planned.triggers], balance(store, "f-1")) == ([Void], 6)
    await voiding.void(decides, BOOK, "o-again", name=SECOND)
    assert balance(store, "f-1") == 4
    await nothing_is_found(store, 1, 3)


async def test_one_that_had_waited_is_voided_by_its_event(decides: Deciding, came: Came, store: MemoryStore) -> None:
    await came(bought("f-1", "b-1", 10), outbid("f-1", "p-1"), boosted("f-1", "p-1", 4, 2))
    assert balance(store, "f-1") == 6
    (followed,) = (row.seq for row in store.tables.decisions if row.kind == "follow-up")
    planned = await voiding.plan(store, BOOK, [followed])
    (left,) = planned.summary.left_for_a_person
    assert (left.what, left.next) == (
        "outbids that had waited for their proposal",
        "Void the boost-outbid event itself",
    )
    await voiding.void(decides, BOOK, "o-p-1")
    assert balance(store, "f-1") == 4
    await nothing_is_found(store, 1, 3)


async def test_one_without_a_boost_is_forgotten_all_the_same(decides: Deciding, came: Came, store: MemoryStore) -> None:
    await came(bought("f-1", "b-1", 10), proposed("f-1", "p-1"), outbid("f-1", "p-1"))
    planned = await voiding.void(decides, BOOK, "o-p-1")
    assert [type(trigger) for trigger in planned.triggers] == [Void]
    await nothing_is_found(store, 1, 3)


async def test_what_was_spent_meanwhile_is_owed(decides: Deciding, came: Came, store: MemoryStore) -> None:
    await came(bought("f-1", "b-1", 10), boosted("f-1", "p-1", 4, 6), outbid("f-1", "p-1"))
    await came(proposed("f-1", "p-2", "j-2", 6))
    await voiding.void(decides, BOOK, "o-p-1")
    assert (balance(store, "f-1"), spend(store, "p-1").boost_debt) == (-6, 6)
    await nothing_is_found(store, 1, 3)


async def test_an_outbid_may_come_again_under_a_new_id(decides: Deciding, came: Came, store: MemoryStore) -> None:
    await came(bought("f-1", "b-1", 10), boosted("f-1", "p-1", 4, 2), outbid("f-1", "p-1"))
    await voiding.void(decides, BOOK, "o-p-1")
    await came(sent_as(outbid("f-1", "p-1"), "o-right"))
    assert (balance(store, "f-1"), last_change(store).rule) == (6, "refund.boost-outbid")
    planned = await undoing.plan(store, BOOK)
    left = {one.what for one in planned.summary.left_for_a_person}
    assert (planned.triggers, left) == ([], {CHANGED_SINCE.what, LATER_STANDS.what})
    await nothing_is_found(store, 1, 3)


# Undone.


@pytest.mark.parametrize(
    "event_ids", [(EARLY,), ("o-p-1",), (EARLY, "o-p-1"), (EARLY, LATE), ("o-p-1", "c-j-1"), (EARLY, "s-p-1", "o-p-1")]
)
async def test_an_undo_brings_back_what_they_did(
    decides: Deciding, came: Came, store: MemoryStore, event_ids: tuple[str, ...]
) -> None:
    both = (withdrawn("f-1", "p-1"), withdrawn("f-1", "p-1", at="2026-03-03T14:00:00Z"))
    await came(bought("f-1", "b-1", 10), boosted("f-1", "p-1", 4, 2), *both, outbid("f-1", "p-1"), closed("j-1"))
    await decides.until(day("2026-03-10"))
    counted, had = undoing.what_counts(store), balance(store, "f-1")
    await voiding.void(decides, BOOK, *event_ids)
    assert undoing.what_counts(store) != counted
    await undoing.undo(decides, BOOK)
    assert (balance(store, "f-1"), undoing.what_counts(store)) == (had, counted)
    await voiding.void(decides, BOOK, *event_ids, name=SECOND)
    await undoing.undo(decides, BOOK, SECOND, THIRD)
    assert (balance(store, "f-1"), undoing.what_counts(store)) == (had, counted)
    await nothing_is_found(store, 1, 3)


async def test_an_undone_void_lets_them_wait_again_in_their_order(
    decides: Deciding, came: Came, store: MemoryStore
) -> None:
    again = sent_as(outbid("f-1", "p-1"), "o-again")
    await came(bought("f-1", "b-1", 10), outbid("f-1", "p-1"), again)
    counted = undoing.what_counts(store)
    await voiding.void(decides, BOOK, "o-p-1")
    await undoing.undo(decides, BOOK)
    assert undoing.what_counts(store) == counted
    await came(boosted("f-1", "p-1", 4, 2))
    answers = [(row.follows, row.reason) for row in store.tables.decisions if row.kind == "follow-up"]
    assert answers == [(2, "boost-outbid"), (3, "already-refunded")]
    await nothing_is_found(store, 1, 3)


async def test_an_outbid_whose_proposal_came_meanwhile_is_not_let_count(
    decides: Deciding, came: Came, store: MemoryStore
) -> None:
    """Its boost was charged: nothing would give it back."""
    await came(bought("f-1", "b-1", 10), outbid("f-1", "p-1"))
    await voiding.void(decides, BOOK, "o-p-1")
    await came(boosted("f-1", "p-1", 4, 2))
    planned = await undoing.plan(store, BOOK)
    assert (planned.triggers, planned.summary.left_for_a_person[0].what) == ([], CHANGED_SINCE.what)


async def test_a_voided_proposal_is_undone_before_what_named_it(
    decides: Deciding, came: Came, store: MemoryStore
) -> None:
    await came(bought("f-1", "b-1", 10), boosted("f-1", "p-1", 4, 2), outbid("f-1", "p-1"))
    counted = undoing.what_counts(store)
    await voiding.void(decides, BOOK, "o-p-1")
    await voiding.void(decides, BOOK, "s-p-1", name=SECOND)
    refused = await undoing.plan(store, BOOK)
    assert {one.what for one in refused.summary.left_for_a_person} == {LATER_STANDS.what}
    await undoing.undo(decides, BOOK, SECOND, THIRD)
    await undoing.undo(decides, BOOK, name=FOURTH)
    assert (balance(store, "f-1"), undoing.what_counts(store)) == (6, counted)
    await nothing_is_found(store, 1, 3)


async def test_a_hire_does_not_count_again_while_what_it_settled_stands(
    decides: Deciding, came: Came, store: MemoryStore
) -> None:
    """Else its freelancer would keep, without a word, what came back while it was void."""
    hire = hired("2026-03-03T11:00:00Z")
    await came(bought("f-1", "b-1", 10), boosted("f-1", "p-1", 4, 2), outbid("f-1", "p-1"), hire, closed("j-1"))
    await decides.until(day("2026-03-10"))
    await voiding.void(decides, BOOK, "h-1")
    await voiding.void(decides, BOOK, "o-p-1", name=SECOND)
    refused = await undoing.plan(store, BOOK)
    left = [(one.what, one.events) for one in refused.summary.left_for_a_person]
    assert (refused.triggers, left) == ([], [(LATER_STANDS.what, 2)])
    await undoing.undo(decides, BOOK, SECOND, THIRD)
    await undoing.undo(decides, BOOK, name=FOURTH)
    assert (balance(store, "f-1"), list(store.tables.voided)) == (6, [])
    await nothing_is_found(store, 1, 3)


async def test_one_of_another_freelancer_waits_again(decides: Deciding, came: Came, store: MemoryStore) -> None:
    await came(bought("f-1", "b-1", 10), proposed("f-1", "p-1"), bought("f-2", "b-2", 10))
    await came(sent_as(outbid("f-2", "p-1"), "o-2"))
    await voiding.void(decides, BOOK, "o-2")
    await undoing.undo(decides, BOOK)
    await voiding.void(decides, BOOK, "s-p-1", name=SECOND)
    await came(sent_as(boosted("f-2", "p-1", 4, 2), "s-other"))
    assert balance(store, "f-2") == 6
    await nothing_is_found(store, 1, 3, 5)
