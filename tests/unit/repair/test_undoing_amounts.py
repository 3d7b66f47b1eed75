"""Corrections of amounts that are undone: what stood before stands again, and may be corrected again."""

from collections.abc import AsyncIterator

import pytest

from tests.kit import amending, undoing, voiding
from tests.kit.correcting import adjusted, boost_came_back_twice, certified, day, last_change
from tests.kit.deciding import Deciding
from tests.kit.deciding_again import decide_again
from tests.kit.policies import policies
from tests.kit.replaying import Came, balance, bought, leading, nothing_is_found, proposed, registered
from worker.domain.policy import PolicyBook
from worker.ledger.memory_store import MemoryStore
from worker.proof.memory_reader import MemoryReader
from worker.proof.memory_rows import MemoryRows

BOOK = policies()
MORE, LESS = policies(certification=50), policies(certification=2)
"""Corrected policies for a ledger that gives 20 Connects for a certification."""
AGAIN, AGAIN_UNDONE = "cd" * 32, "dd" * 32
LATER = "2026-03-06T10:00:00Z"


def stands(store: MemoryStore) -> list[tuple[int, str | None, int]]:
    return [(row.connects, row.policy, row.not_taken) for row in store.tables.amended]


async def test_what_was_given_is_taken_from_its_lot(decides: Deciding, came: Came, store: MemoryStore) -> None:
    await came(bought("f-1", "b-1", 7), certified("f-1"))
    await amending.amend(decides, BOOK, MORE)
    assert balance(store, "f-1") == 57
    undone = await undoing.undo(decides, BOOK)
    assert (undone.summary.taken, undone.summary.left_for_a_person, balance(store, "f-1")) == (30, [], 27)
    assert sorted(row.remaining for row in store.tables.lots) == [0, 7, 20], "the lot that it had opened is empty"
    assert stands(store) == [(20, None, 0)]
    assert last_change(store).explanation == (
        "30 Connects taken back on 5 March 2026, as a correction is undone: what the certification on 5 March 2026 "
        "brought was corrected on 5 March 2026 from 20 to 50 Connects."
    )
    await nothing_is_found(store, 1, 3)


async def test_what_was_taken_comes_back_with_the_end_of_its_lot(
    decides: Deciding, came: Came, store: MemoryStore
) -> None:
    await came(certified("f-1"))
    await amending.amend(decides, BOOK, LESS)
    assert balance(store, "f-1") == 2
    undone = await undoing.undo(decides, BOOK)
    first, back = sorted(store.tables.lots, key=lambda row: row.issued_at)
    assert (undone.summary.given, back.original, balance(store, "f-1")) == (18, 18, 20)
    assert (back.linked_to, back.source, back.expires_at) == (first.lot_id, first.source, first.expires_at)
    assert stands(store) == [(20, None, 0)]
    await nothing_is_found(store, 1, 3)


async def test_what_comes_back_lasts_for_a_while(decides: Deciding, came: Came, store: MemoryStore) -> None:
    await came(certified("f-1"))
    await amending.amend(decides, BOOK, LESS)
    await decides.until(day("2027-03-04"))
    topic, fields = bought("f-1", "b-1", 1)
    await came((topic, {**fields, "occurred_at": "2027-03-04T10:00:00Z"}))
    await undoing.undo(decides, BOOK)
    (back,) = [row for row in store.tables.lots if row.linked_to is not None]
    assert (back.remaining, back.expires_at - back.issued_at) == (18, BOOK.in_force(back.issued_at).least_life)
    await nothing_is_found(store, 1, 3)


async def test_what_was_spent_of_it_is_taken_elsewhere_and_else_is_a_shortfall(
    decides: Deciding, came: Came, store: MemoryStore
) -> None:
    await came(certified("f-1"))
    await amending.amend(decides, BOOK, MORE)
    await came(adjusted("f-1", "a-1", -44, LATER))
    undone = await undoing.undo(decides, BOOK)
    assert (undone.summary.taken, undone.summary.shortfall, balance(store, "f-1")) == (6, 24, 0)
    assert stands(store) == [(20, None, 24)]
    assert "24 Connects could not be taken back" in last_change(store).explanation
    await amending.amend(decides, BOOK, MORE, name=AGAIN)
    assert balance(store, "f-1") == 6, "what was not taken is not given a second time"
    await undoing.undo(decides, BOOK, AGAIN, AGAIN_UNDONE)
    assert (balance(store, "f-1"), stands(store)) == (0, [(20, None, 24)])
    await nothing_is_found(store, 1, 3)


async def test_what_expired_of_it_is_gone(decides: Deciding, came: Came, store: MemoryStore) -> None:
    await came(certified("f-1"))
    await amending.amend(decides, BOOK, MORE)
    await decides.until(day("2027-03-08"))
    topic, fields = bought("f-1", "b-1", 90)
    await came((topic, {**fields, "occurred_at": "2027-03-08T10:00:00Z"}))
    undone = await undoing.undo(decides, BOOK)
    assert (undone.summary.taken, undone.summary.shortfall, balance(store, "f-1")) == (0, 0, 90)
    assert stands(store) == [(20, None, 30)]
    await nothing_is_found(store, 1, 3)


async def test_a_surplus_of_a_refund_is_given_back(decides: Deciding, came: Came, store: MemoryStore) -> None:
    await boost_came_back_twice(decides, came)
    await amending.amend(decides, BOOK)
    assert balance(store, "f-1") == 40
    undone = await undoing.undo(decides, BOOK)
    assert (undone.summary.given, balance(store, "f-1")) == (4, 44)
    found = await decide_again(MemoryReader(store, 50), 1, MemoryRows(store.tables))
    assert found.tally.amended == 0, "today's rules take it otherwise again, and no correction has made that good"
    assert found.findings
    await amending.amend(decides, BOOK, name=AGAIN)
    assert balance(store, "f-1") == 40
    await nothing_is_found(store, 1, 3)


async def test_of_two_corrections_the_last_is_undone_first(decides: Deciding, came: Came, store: MemoryStore) -> None:
    await came(certified("f-1"))
    await amending.amend(decides, BOOK, MORE)
    await amending.amend(decides, BOOK, LESS, name=AGAIN)
    planned = await undoing.plan(store, BOOK)
    (left,) = planned.summary.left_for_a_person
    assert (planned.triggers, left.what) == ([], "decisions that were corrected again later")
    await undoing.undo(decides, BOOK, AGAIN, AGAIN_UNDONE)
    assert (balance(store, "f-1"), [row[0] for row in stands(store)]) == (50, [50])
    assert stands(store)[0][1] is not None, "the file that says so"
    await undoing.undo(decides, BOOK)
    assert (balance(store, "f-1"), stands(store)) == (20, [(20, None, 0)])
    again = await undoing.plan(store, BOOK)
    assert (again.triggers, again.summary.nothing_to_undo) == ([], 1)
    await nothing_is_found(store, 1, 3)


@pytest.mark.parametrize("corrected", [MORE, LESS])
async def test_it_may_be_voided_afterwards(
    decides: Deciding, came: Came, store: MemoryStore, corrected: PolicyBook
) -> None:
    await came(bought("f-1", "b-1", 7), certified("f-1"), proposed("f-1", "p-1", connects=10))
    await amending.amend(decides, BOOK, corrected)
    await undoing.undo(decides, BOOK)
    assert balance(store, "f-1") == 17
    voided = await voiding.void(decides, BOOK, "k-f-1", name=AGAIN)
    assert balance(store, "f-1") - voided.summary.shortfall == -3, "without the certification it would owe 3"
    await undoing.undo(decides, BOOK, AGAIN, AGAIN_UNDONE)
    assert balance(store, "f-1") == 17
    await nothing_is_found(store, 1, 3)


@pytest.fixture
async def paid_too_little() -> AsyncIterator[Deciding]:
    """A ledger that gives 4 Connects for a registration, where BOOK has 40."""
    async with leading(MemoryStore(), policies(registration=4), batch_size=4) as decides:
        yield decides


async def test_an_amount_of_a_membership_is_undone(paid_too_little: Deciding) -> None:
    store, wrong = paid_too_little.store, policies(registration=4)
    assert isinstance(store, MemoryStore)
    await Came(paid_too_little)(registered("f-1"))
    await amending.amend(paid_too_little, wrong, BOOK)
    assert balance(store, "f-1") == 40
    await undoing.undo(paid_too_little, wrong)
    assert (balance(store, "f-1"), stands(store)) == (4, [(4, None, 0)])
    await amending.amend(paid_too_little, wrong, BOOK, name=AGAIN)
    assert balance(store, "f-1") == 40
    await nothing_is_found(store, 1, 3)
