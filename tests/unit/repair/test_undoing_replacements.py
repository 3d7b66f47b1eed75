"""Replacements that are undone: the event says again what it said, and the difference that was booked is reversed."""

import pytest

from tests.kit import amending, replacing, undoing, voiding
from tests.kit.correcting import adjusted, certified, day, last_change
from tests.kit.deciding import Deciding
from tests.kit.policies import policies
from tests.kit.replaying import Came, balance, bought, nothing_is_found, proposed
from worker.ledger.memory_store import MemoryStore
from worker.repair.undoing_amounts import PROPOSALS

BOOK = policies()
AGAIN, AGAIN_UNDONE = "cd" * 32, "dd" * 32
LATER = "2026-03-06T10:00:00Z"
WRONG = bought("f-1", "b-1", 30)


def right(connects: int) -> replacing.Event:
    return replacing.other(WRONG, connects=connects)


async def answered(store: MemoryStore, came: Came, event: replacing.Event) -> str:
    """How the event is answered when it comes once more."""
    await came(event)
    return max(store.tables.decisions, key=lambda row: row.seq).reason


async def test_what_was_given_is_taken_and_the_event_says_again_what_it_said(
    decides: Deciding, came: Came, store: MemoryStore
) -> None:
    await came(bought("f-1", "b-0", 7), WRONG)
    await replacing.replace(decides, BOOK, right(50))
    assert balance(store, "f-1") == 57
    undone = await undoing.undo(decides, BOOK)
    assert (undone.summary.taken, undone.summary.left_for_a_person, balance(store, "f-1")) == (20, [], 37)
    assert last_change(store).explanation == (
        "20 Connects taken back on 2 March 2026, as a correction is undone: purchase b-1 of 2 March 2026 was given "
        "other content on 2 March 2026, and counts again with that which it had, 30 Connects."
    )
    (seq,) = voiding.seqs_of(store, "e-b-1")
    first = (await store.first_decisions([seq]))[seq]
    assert (first.stands, first.is_replaced, len(first.replaced)) == (first.payload, False, 2)
    assert [await answered(store, came, event) for event in (WRONG, right(50))] == ["already-decided"] * 2
    assert await answered(store, came, right(51)) == "event-id-conflict"
    await nothing_is_found(store, 1, 3)


async def test_what_was_taken_comes_back_with_the_end_of_its_lot(
    decides: Deciding, came: Came, store: MemoryStore
) -> None:
    await came(WRONG, proposed("f-1", "p-1", connects=25))
    await replacing.replace(decides, BOOK, right(10))
    assert balance(store, "f-1") == -15
    await undoing.undo(decides, BOOK)
    assert balance(store, "f-1") == 5
    (back,) = [row for row in store.tables.lots if row.linked_to is not None]
    (first,) = [row for row in store.tables.lots if row.lot_id == back.linked_to]
    assert (back.original, back.remaining, back.source) == (20, 5, "purchase"), "the proposal owes nothing any more"
    assert back.expires_at == first.expires_at
    await nothing_is_found(store, 1, 3)


async def test_a_debit_that_was_replaced_is_as_it_was(decides: Deciding, came: Came, store: MemoryStore) -> None:
    wrong = adjusted("f-1", "x", -8)
    await came(WRONG, wrong)
    for number, connects in enumerate((-12, -3)):
        await replacing.replace(decides, BOOK, replacing.other(wrong, connects=connects), name=f"{number}a" * 32)
        assert balance(store, "f-1") == 30 + connects
        await undoing.undo(decides, BOOK, f"{number}a" * 32, f"{number}b" * 32)
        assert balance(store, "f-1") == 22
    await voiding.void(decides, BOOK, "a-x", name=AGAIN)
    assert balance(store, "f-1") == 30
    await nothing_is_found(store, 1, 3)


@pytest.mark.parametrize("connects", [50, 10])
async def test_it_may_be_replaced_and_voided_afterwards(
    decides: Deciding, came: Came, store: MemoryStore, connects: int
) -> None:
    await came(bought("f-1", "b-0", 7), WRONG)
    await replacing.replace(decides, BOOK, right(connects))
    await undoing.undo(decides, BOOK)
    assert (await amending.plan(store, BOOK)).triggers == []
    again = await replacing.replace(decides, BOOK, right(45), name=AGAIN)
    assert (len(again.triggers), balance(store, "f-1")) == (1, 52)
    await undoing.undo(decides, BOOK, AGAIN, AGAIN_UNDONE)
    assert balance(store, "f-1") == 37
    voided = await voiding.void(decides, BOOK, "e-b-1", name="ef" * 32)
    assert (voided.summary.taken, voided.summary.shortfall, balance(store, "f-1")) == (30, 0, 7)
    await undoing.undo(decides, BOOK, "ef" * 32, "fe" * 32)
    assert balance(store, "f-1") == 37
    await nothing_is_found(store, 1, 3)


async def test_what_was_not_there_is_not_given_a_second_time(decides: Deciding, came: Came, store: MemoryStore) -> None:
    await came(WRONG)
    await replacing.replace(decides, BOOK, right(50))
    await came(adjusted("f-1", "a-1", -45, LATER))
    undone = await undoing.undo(decides, BOOK)
    assert (undone.summary.taken, undone.summary.shortfall, balance(store, "f-1")) == (5, 15, 0)
    again = await replacing.plan(store, BOOK, [right(50)])
    (left,) = again.summary.left_for_a_person
    assert (again.triggers, left.what) == (
        [],
        "events whose replacement was undone, and not all was there to be taken back",
    )
    await nothing_is_found(store, 1, 3)


async def test_what_expired_of_it_is_gone(decides: Deciding, came: Came, store: MemoryStore) -> None:
    await came(WRONG)
    await replacing.replace(decides, BOOK, right(50))
    await decides.until(day("2027-03-08"))
    topic, fields = bought("f-1", "b-2", 90)
    await came((topic, {**fields, "occurred_at": "2027-03-08T10:00:00Z"}))
    undone = await undoing.undo(decides, BOOK)
    assert (undone.summary.taken, undone.summary.shortfall, balance(store, "f-1")) == (0, 0, 90)
    await nothing_is_found(store, 1, 3)


async def test_planning_an_undo_changes_nothing(decides: Deciding, came: Came, store: MemoryStore) -> None:
    await came(certified("f-1"), WRONG)
    await replacing.replace(decides, BOOK, right(31))
    planned = await undoing.plan(store, BOOK)
    assert len(planned.triggers) == 1
    (seq,) = voiding.seqs_of(store, "e-b-1")
    assert (await store.first_decisions([seq]))[seq].is_replaced


async def test_a_proposal_is_left_for_a_person(decides: Deciding, came: Came, store: MemoryStore) -> None:
    wrong = proposed("f-1", "p-1", connects=10)
    await came(WRONG, wrong)
    await replacing.replace(decides, BOOK, replacing.other(wrong, connects=4))
    undone = await undoing.undo(decides, BOOK)
    (left,) = undone.summary.left_for_a_person
    assert (undone.triggers, left.what, balance(store, "f-1")) == ([], PROPOSALS.what, 26)
    await replacing.replace(decides, BOOK, wrong, name=AGAIN)
    assert balance(store, "f-1") == 20, "what it says to do instead"
    await nothing_is_found(store, 1, 3)
