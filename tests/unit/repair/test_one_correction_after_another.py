"""Corrections of several kinds after each other, on the same grant or proposal: no Connects come or go twice."""

from datetime import timedelta

import pytest

from tests.kit import replacing, replaying, undoing, voiding
from tests.kit.correcting import adjusted, boosted, day, spend
from tests.kit.deciding import Deciding
from tests.kit.policies import policies
from tests.kit.replacing import other
from tests.kit.replaying import Came, balance, bought, closed, event, nothing_is_found, proposed
from worker.ledger.memory_store import MemoryStore

BOOK = policies()
SECOND, THIRD, FOURTH = "cd" * 32, "de" * 32, "ef" * 32


async def test_a_replaced_proposal_counts_again_with_its_right_content(
    decides: Deciding, came: Came, store: MemoryStore
) -> None:
    wrong = boosted("f-1", "p-1", 6, 4)
    await came(bought("f-1", "b-1", 40), wrong)
    right = other(wrong, connects=16, boost_connects=0, occurred_at="2026-03-02T12:00:00Z")
    await replacing.replace(decides, BOOK, right)
    before = spend(store, "p-1")
    assert balance(store, "f-1") == 24
    await voiding.void(decides, BOOK, "s-p-1", name=SECOND)
    assert balance(store, "f-1") == 40
    await nothing_is_found(store, 1, 3)
    undone = await undoing.undo(decides, BOOK, SECOND, THIRD)
    assert (undone.summary.left_for_a_person, balance(store, "f-1")) == ([], 24)
    after = spend(store, "p-1")
    assert (after.base, after.boost, after.occurred_at) == (before.base, before.boost, before.occurred_at)
    await nothing_is_found(store, 1, 3)
    await came(closed("j-1"))
    await decides.until(day("2026-03-10"))
    assert balance(store, "f-1") == 40
    await nothing_is_found(store, 1, 3)


async def test_a_replaced_invitation_counts_again_as_one(decides: Deciding, came: Came, store: MemoryStore) -> None:
    wrong = boosted("f-1", "p-1", 6, 4)
    await came(bought("f-1", "b-1", 40), wrong)
    await replacing.replace(decides, BOOK, other(wrong, origin="invite"))
    await voiding.void(decides, BOOK, "s-p-1", name=SECOND)
    await undoing.undo(decides, BOOK, SECOND, THIRD)
    row = spend(store, "p-1")
    assert (row.base, row.boost, row.origin, balance(store, "f-1")) == (0, 0, "invite", 40)
    await nothing_is_found(store, 1, 3)


async def test_what_a_debit_drew_of_a_grant_is_taken_once_by_two_voids(
    decides: Deciding, came: Came, store: MemoryStore
) -> None:
    await came(bought("f-1", "b-1", 40), adjusted("f-1", "x", -10), bought("f-1", "b-2", 40))
    await voiding.void(decides, BOOK, "e-b-1")
    assert balance(store, "f-1") == 30
    await undoing.undo(decides, BOOK)
    assert balance(store, "f-1") == 70
    await voiding.void(decides, BOOK, "e-b-1", name=SECOND)
    assert balance(store, "f-1") == 30
    await nothing_is_found(store, 1, 3)


async def test_a_shortfall_of_the_first_void_is_taken_by_the_second(
    decides: Deciding, came: Came, store: MemoryStore
) -> None:
    await came(bought("f-1", "b-1", 40), adjusted("f-1", "x", -10))
    planned = await voiding.void(decides, BOOK, "e-b-1")
    assert (planned.summary.shortfall, balance(store, "f-1")) == (10, 0)
    await undoing.undo(decides, BOOK)
    assert balance(store, "f-1") == 30
    await came(bought("f-1", "b-2", 40))
    await voiding.void(decides, BOOK, "e-b-1", name=SECOND)
    assert balance(store, "f-1") == 30
    await nothing_is_found(store, 1, 3)


async def test_a_void_that_was_undone_is_replaced(decides: Deciding, came: Came, store: MemoryStore) -> None:
    await came(bought("f-1", "b-1", 40), adjusted("f-1", "x", -10), bought("f-1", "b-2", 40))
    await voiding.void(decides, BOOK, "e-b-1")
    await undoing.undo(decides, BOOK)
    await replacing.replace(decides, BOOK, bought("f-1", "b-1", 5), name=SECOND)
    assert balance(store, "f-1") == 35
    await nothing_is_found(store, 1, 3)


async def test_a_settle_that_came_with_a_replacement_is_left_for_a_person(
    decides: Deciding, came: Came, store: MemoryStore
) -> None:
    wrong = boosted("f-1", "p-1", 0, 0)
    await came(bought("f-1", "b-1", 40), wrong, closed("j-1"))
    await decides.until(day("2026-03-10"))
    await replacing.replace(decides, BOOK, other(wrong, connects=6))
    assert balance(store, "f-1") == 40
    undone = await undoing.plan(store, BOOK)
    assert undone.triggers == []
    assert sum(one.events for one in undone.summary.left_for_a_person) == 2


@pytest.mark.parametrize("kind", ["spend", "grant"])
async def test_an_added_event_that_was_replaced_since_is_left_for_a_person(
    decides: Deciding, came: Came, store: MemoryStore, kind: str
) -> None:
    await came(bought("f-1", "b-0", 40))
    wrong = proposed("f-1", "p-1", connects=6) if kind == "spend" else bought("f-1", "b-1", 30)
    await replaying.apply(decides, BOOK, await replaying.planned(store, BOOK, [wrong]))
    await replacing.replace(decides, BOOK, other(wrong, connects=16), name=SECOND)
    before = balance(store, "f-1")
    undone = await undoing.plan(store, BOOK)
    assert (undone.triggers, [one.events for one in undone.summary.left_for_a_person][:1]) == ([], [1])
    assert balance(store, "f-1") == before
    await nothing_is_found(store, 1, 3)


async def test_an_outbid_boost_that_was_replaced_and_voided_counts_again_as_returned(
    decides: Deciding, came: Came, store: MemoryStore
) -> None:
    wrong = boosted("f-1", "p-1", 6, 4)
    out = event("boost-outbid", "o-1", "2026-03-03T12:00:00Z", freelancer_id="f-1", job_id="j-1", proposal_id="p-1")
    await came(bought("f-1", "b-1", 40), wrong, out)
    await replacing.replace(decides, BOOK, other(wrong, connects=10, boost_connects=7))
    assert balance(store, "f-1") == 30
    await voiding.void(decides, BOOK, "s-p-1", name=SECOND)
    assert balance(store, "f-1") == 40
    await nothing_is_found(store, 1, 3)
    await undoing.undo(decides, BOOK, SECOND, THIRD)
    row = spend(store, "p-1")
    assert (row.base, row.boost, row.boost_returned, balance(store, "f-1")) == (10, 7, True, 30)
    await nothing_is_found(store, 1, 3)


async def test_a_repeat_of_a_closing_is_not_compared_with_each_settlement_that_follows_it(
    decides: Deciding, came: Came, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many corrections follow a job-closed as its job has proposals: none of them is looked at for a repeat."""
    await came(bought("f-1", "b-1", 40), boosted("f-1", "p-1", 0, 0), closed("j-1"))
    await decides.until(day("2026-03-10"))
    await replacing.replace(decides, BOOK, other(boosted("f-1", "p-1", 0, 0), connects=6))
    (closing,) = [row for row in store.tables.decisions if row.topic == "job-closed" and row.kind == "first"]
    assert [row.rule for row in await store.mentioned([f"s:{closing.seq}"], 0)] == ["correct.settle"]
    asked: list[object] = []
    looked_up = store.tables.mentions_of.of
    monkeypatch.setattr(store.tables.mentions_of, "of", lambda key: (asked.append(key), looked_up(key))[1])
    assert (await store.first_decisions([closing.seq]))[closing.seq].replaced == ()
    assert asked == []


@pytest.mark.parametrize(("at", "hours"), [("2026-03-04T10:00:01Z", -2), ("2026-03-04T09:59:59Z", 2)])
async def test_a_proposal_whose_job_was_closed_since_it_was_planned_is_planned_again(
    decides: Deciding, came: Came, store: MemoryStore, at: str, hours: int
) -> None:
    """The plan has no trigger that settles it again: moved alone it would keep the answer of the wrong time."""
    wrong = other(boosted("f-1", "p-1", 6, 0), occurred_at=at)
    await came(bought("f-1", "b-1", 40), closed("j-1"), wrong)
    planned = await replacing.plan(store, BOOK, shifted=["s-p-1"], by=timedelta(hours=hours))
    assert len(planned.triggers) == 1
    await decides.until(day("2026-03-10"))
    assert balance(store, "f-1") == (34 if hours < 0 else 40)
    await replaying.apply(decides, BOOK, planned.triggers)
    assert replaying.became(store) == [(1, "deviated", "other-outcome")]
    again = await replacing.plan(store, BOOK, shifted=["s-p-1"], by=timedelta(hours=hours))
    await replacing.applied(decides, BOOK, again, SECOND)
    assert balance(store, "f-1") == (40 if hours < 0 else 34)
    await nothing_is_found(store, 1, 3)
