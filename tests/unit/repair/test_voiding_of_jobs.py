"""Voids of closures and hires: they are forgotten, and the job's spends are settled as if they had never come."""

import pytest

from tests.kit import replaying, undoing, voiding
from tests.kit.correcting import day, last_change, sent_as, spend
from tests.kit.deciding import Deciding
from tests.kit.policies import policies
from tests.kit.replaying import Came, Event, balance, bought, closed, event, nothing_is_found, proposed
from worker.ledger.memory_store import MemoryStore
from worker.repair.plan import Settle, Void

BOOK = policies()


def hired(job: str, event_id: str = "h-1", at: str = "2026-03-03T10:00:00Z", contract: str = "k-1") -> Event:
    return event("hire-made", event_id, at, job_id=job, freelancer_id="f-9", contract_id=contract)


async def test_what_a_closing_returned_is_charged_again(decides: Deciding, came: Came, store: MemoryStore) -> None:
    await came(bought("f-1", "b-1", 10), proposed("f-1", "p-1", connects=6), closed("j-1"))
    await decides.until(day("2026-03-10"))
    assert balance(store, "f-1") == 10
    planned = await voiding.void(decides, BOOK, "c-j-1")
    assert [type(trigger) for trigger in planned.triggers] == [Void, Settle]
    assert (planned.summary.taken, planned.summary.left_for_a_person) == (6, [])
    assert (balance(store, "f-1"), spend(store, "p-1").base_returned) == (4, False)
    assert last_change(store).explanation == (
        "6 Connects taken back on 10 March 2026, as a correction: no closing of job j-1 returns the Connects of "
        "proposal p-1."
    )
    assert not (await voiding.void(decides, BOOK, "c-j-1", name="cd" * 32)).triggers
    await nothing_is_found(store, 1, 3)


async def test_the_same_closing_may_come_again_and_is_settled_then(
    decides: Deciding, came: Came, store: MemoryStore
) -> None:
    await came(bought("f-1", "b-1", 10), proposed("f-1", "p-1", connects=6), closed("j-1"))
    await decides.until(day("2026-03-10"))
    await voiding.void(decides, BOOK, "c-j-1")
    topic, fields = closed("j-1")
    await came((topic, {**fields, "event_id": "c-right"}))
    await decides.until(day("2026-03-12"))
    assert balance(store, "f-1") == 10
    assert [row.closure for row in store.tables.closures] == ["closed-by-client//3", "closed-by-client"]
    planned = await undoing.plan(store, BOOK)
    assert not planned.triggers, "both closings would count"
    await nothing_is_found(store, 1, 3)


async def test_a_closing_that_another_event_tells_too_stands(decides: Deciding, came: Came, store: MemoryStore) -> None:
    topic, fields = closed("j-1")
    twice = (topic, {**fields, "event_id": "c-again"})
    await came(bought("f-1", "b-1", 10), proposed("f-1", "p-1", connects=6), closed("j-1"), twice)
    await decides.until(day("2026-03-10"))
    planned = await voiding.void(decides, BOOK, "c-j-1")
    assert [type(trigger) for trigger in planned.triggers] == [Void]
    assert balance(store, "f-1") == 10
    await voiding.void(decides, BOOK, "c-again", name="cd" * 32)
    assert balance(store, "f-1") == 4
    await nothing_is_found(store, 1, 3)


async def test_a_closing_that_is_not_settled_yet_settles_nothing_any_more(
    decides: Deciding, came: Came, store: MemoryStore
) -> None:
    await came(bought("f-1", "b-1", 10), proposed("f-1", "p-1", connects=6), closed("j-1"))
    planned = await voiding.void(decides, BOOK, "c-j-1")
    assert [type(trigger) for trigger in planned.triggers] == [Void]
    await decides.until(day("2026-03-10"))
    assert balance(store, "f-1") == 4
    assert not list(store.tables.due)
    await nothing_is_found(store, 1, 3)


async def test_a_late_proposal_is_not_settled_by_it(decides: Deciding, came: Came, store: MemoryStore) -> None:
    await came(bought("f-1", "b-1", 10), proposed("f-1", "p-1", connects=6), closed("j-1"))
    await decides.until(day("2026-03-10"))
    await came(proposed("f-1", "p-2", connects=2))
    await voiding.void(decides, BOOK, "c-j-1")
    await decides.until(day("2026-03-12"))
    assert balance(store, "f-1") == 2
    await nothing_is_found(store, 1, 3)


async def test_what_a_hire_kept_comes_back(decides: Deciding, came: Came, store: MemoryStore) -> None:
    await came(bought("f-1", "b-1", 10), proposed("f-1", "p-1", connects=6), hired("j-1"), closed("j-1"))
    await decides.until(day("2026-03-10"))
    assert balance(store, "f-1") == 4
    planned = await voiding.void(decides, BOOK, "h-1")
    assert [type(trigger) for trigger in planned.triggers] == [Void, Settle]
    assert balance(store, "f-1") == 10
    await nothing_is_found(store, 1, 3)


async def test_an_earlier_or_later_hire_still_counts(decides: Deciding, came: Came, store: MemoryStore) -> None:
    other = hired("j-1", "h-2", "2026-03-03T12:00:00Z", "k-2")
    await came(bought("f-1", "b-1", 10), proposed("f-1", "p-1", connects=6), hired("j-1"), other, closed("j-1"))
    await decides.until(day("2026-03-10"))
    await voiding.void(decides, BOOK, "h-1")
    assert balance(store, "f-1") == 4
    (row,) = store.tables.hires
    assert row.first_hired_at == day("2026-03-03T12:00:00Z")
    await voiding.void(decides, BOOK, "h-2", name="cd" * 32)
    assert balance(store, "f-1") == 10
    await nothing_is_found(store, 1, 3)


@pytest.mark.parametrize("event_ids", [("c-j-1",), ("h-1",), ("c-j-1", "h-1")])
async def test_an_undo_brings_back_what_they_did(
    decides: Deciding, came: Came, store: MemoryStore, event_ids: tuple[str, ...]
) -> None:
    late = hired("j-1", at="2026-03-05T10:00:00Z")
    await came(bought("f-1", "b-1", 10), proposed("f-1", "p-1", connects=6), closed("j-1"), late)
    await decides.until(day("2026-03-10"))
    counted = undoing.what_counts(store)
    await voiding.void(decides, BOOK, *event_ids)
    await undoing.undo(decides, BOOK)
    assert (balance(store, "f-1"), undoing.what_counts(store)) == (10, counted)
    await nothing_is_found(store, 1, 3)


@pytest.mark.parametrize("restarted", [False, True])
async def test_the_same_closing_that_came_again_is_voided_too(
    decides: Deciding, came: Came, store: MemoryStore, *, restarted: bool
) -> None:
    """What is charged again corrects the second one, in whatever order the job's closures are known."""
    await came(bought("f-1", "b-1", 10), proposed("f-1", "p-1", connects=6), closed("j-1"))
    await decides.until(day("2026-03-10"))
    await voiding.void(decides, BOOK, "c-j-1")
    await came(sent_as(closed("j-1"), "c-again"))
    await decides.until(day("2026-03-12"))
    assert balance(store, "f-1") == 10
    if restarted:
        await decides.restart()
    planned = await voiding.void(decides, BOOK, "c-again", name="cd" * 32)
    assert [trigger.corrects for trigger in planned.triggers] == [["c-again"], ["c-again"]]
    assert balance(store, "f-1") == 4
    await nothing_is_found(store, 1, 3)


async def test_a_settlement_is_voided_by_its_closing(decides: Deciding, came: Came, store: MemoryStore) -> None:
    await came(bought("f-1", "b-1", 10), proposed("f-1", "p-1", connects=6), closed("j-1"))
    await decides.until(day("2026-03-10"))
    (settlement,) = (row.seq for row in store.tables.decisions if row.kind == "settlement")
    planned = await voiding.plan(store, BOOK, [settlement])
    (left,) = planned.summary.left_for_a_person
    assert (left.what, left.next) == (
        "settlements of closures",
        "Void the job-closed event, which settles them again",
    )
    assert replaying.became(store) == []


async def test_what_it_returned_is_kept_for_no_late_hires_sake(
    decides: Deciding, came: Came, store: MemoryStore
) -> None:
    """The right closing found it returned, and a hire came in time for that: nothing was due."""
    topic, fields = closed("j-1")
    wrong = (topic, {**fields, "event_id": "c-wrong", "occurred_at": "2026-03-03T12:00:00Z"})
    await came(bought("f-1", "b-1", 10), proposed("f-1", "p-1", connects=6), wrong)
    await decides.until(day("2026-03-03T13:00:00Z"))
    await came(hired("j-1", at="2026-03-03T14:00:00Z"), closed("j-1"))
    await decides.until(day("2026-03-10"))
    assert balance(store, "f-1") == 10
    await voiding.void(decides, BOOK, "c-wrong")
    assert balance(store, "f-1") == 4
    await nothing_is_found(store, 1, 3)
