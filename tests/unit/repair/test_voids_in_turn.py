"""Voids of closings and hires beside other voids, undos, and events that come in between."""

import pytest

from tests.kit import replaying, undoing, voiding
from tests.kit.correcting import day, spend
from tests.kit.deciding import Deciding
from tests.kit.policies import policies, policy_text
from tests.kit.replaying import Came, Event, balance, bought, closed, event, leading, nothing_is_found, proposed
from worker.ledger.memory_store import MemoryStore
from worker.repair.undoing import LATER_STANDS

BOOK = policies()
SECOND = "cd" * 32


def hired(job: str, event_id: str = "h-1", at: str = "2026-03-03T10:00:00Z", contract: str = "k-1") -> Event:
    return event("hire-made", event_id, at, job_id=job, freelancer_id="f-9", contract_id=contract)


def closing(event_id: str, at: str, kind: str = "closed-by-client") -> Event:
    topic, fields = closed("j-1")
    return topic, {**fields, "event_id": event_id, "occurred_at": at, "closure": kind}


SIX = (bought("f-1", "b-1", 10), proposed("f-1", "p-1", connects=6))


async def test_a_closing_is_voided_undone_and_voided_again(decides: Deciding, came: Came, store: MemoryStore) -> None:
    await came(*SIX, closed("j-1"))
    await decides.until(day("2026-03-10"))
    await voiding.void(decides, BOOK, "c-j-1")
    assert balance(store, "f-1") == 4
    await undoing.undo(decides, BOOK)
    assert balance(store, "f-1") == 10
    await voiding.void(decides, BOOK, "c-j-1", name=SECOND)
    assert balance(store, "f-1") == 4
    await nothing_is_found(store, 1, 3)
    await undoing.undo(decides, BOOK, SECOND, name="ef" * 32)
    assert balance(store, "f-1") == 10
    await nothing_is_found(store, 1, 3)


async def test_voids_of_one_job_are_undone_the_latest_first(decides: Deciding, came: Came, store: MemoryStore) -> None:
    """Undone alone, the first would let its event count, and leave the closing that both tell forgotten."""
    topic, fields = closed("j-1")
    await came(*SIX, closed("j-1"), (topic, {**fields, "event_id": "c-again"}))
    await decides.until(day("2026-03-10"))
    await voiding.void(decides, BOOK, "c-j-1")
    await voiding.void(decides, BOOK, "c-again", name=SECOND)
    assert balance(store, "f-1") == 4
    refused = await undoing.plan(store, BOOK)
    assert (refused.triggers, [left.what for left in refused.summary.left_for_a_person]) == ([], [LATER_STANDS.what])
    await undoing.undo(decides, BOOK, SECOND, name="ef" * 32)
    await undoing.undo(decides, BOOK, name="fe" * 32)
    (row,) = store.tables.closures
    assert (balance(store, "f-1"), row.closure, list(store.tables.voided)) == (10, "closed-by-client", [])
    await nothing_is_found(store, 1, 3)


async def test_a_voided_proposal_does_not_count_again_before_its_closing_does(
    decides: Deciding, came: Came, store: MemoryStore
) -> None:
    await came(*SIX, closed("j-1"))
    await decides.until(day("2026-03-10"))
    await voiding.void(decides, BOOK, "s-p-1")
    assert balance(store, "f-1") == 10
    await voiding.void(decides, BOOK, "c-j-1", name=SECOND)
    assert balance(store, "f-1") == 10
    assert not (await undoing.plan(store, BOOK)).triggers, "it would come back returned, by no closing"
    await undoing.undo(decides, BOOK, SECOND, name="ef" * 32)
    await undoing.undo(decides, BOOK, name="fe" * 32)
    assert (balance(store, "f-1"), spend(store, "p-1").base_returned) == (10, True)
    await nothing_is_found(store, 1, 3)


@pytest.mark.parametrize("order", ["s-p-1 c-j-1", "c-j-1 s-p-1"])
async def test_a_closing_and_its_proposal_in_one_plan(
    decides: Deciding, came: Came, store: MemoryStore, order: str
) -> None:
    await came(*SIX, closed("j-1"))
    await decides.until(day("2026-03-10"))
    counted = undoing.what_counts(store)
    await voiding.void(decides, BOOK, *order.split())
    assert balance(store, "f-1") == 10
    await undoing.undo(decides, BOOK)
    assert (balance(store, "f-1"), undoing.what_counts(store)) == (10, counted)
    await nothing_is_found(store, 1, 3)


@pytest.mark.parametrize(("one", "two"), [("c-j-1", "h-1"), ("h-1", "c-j-1")])
async def test_a_closing_and_a_hire_of_one_job_in_two_plans(
    decides: Deciding, came: Came, store: MemoryStore, one: str, two: str
) -> None:
    """The first plan's settles are not undone alone either: they rest on what the second one changed."""
    await came(*SIX, hired("j-1"), closed("j-1"))
    await decides.until(day("2026-03-10"))
    counted = undoing.what_counts(store)
    await voiding.void(decides, BOOK, one)
    await voiding.void(decides, BOOK, two, name=SECOND)
    assert balance(store, "f-1") == 4
    assert not (await undoing.plan(store, BOOK)).triggers
    await undoing.undo(decides, BOOK, SECOND, name="ef" * 32)
    await nothing_is_found(store, 1, 3)
    await undoing.undo(decides, BOOK, name="fe" * 32)
    assert (balance(store, "f-1"), undoing.what_counts(store)) == (4, counted)
    await nothing_is_found(store, 1, 3)


async def test_a_late_hire_takes_back_what_a_right_closing_stands_for() -> None:
    store, book = MemoryStore(), policies(policy_text(late_hire="claw-back"))
    async with leading(store, book) as decides:
        came = Came(decides)
        await came(*SIX, closing("c-wrong", "2026-03-03T12:00:00Z"))
        await decides.until(day("2026-03-03T13:00:00Z"))
        await came(closing("c-right", "2026-03-04T10:00:00Z"))
        await decides.until(day("2026-03-10"))
        assert balance(store, "f-1") == 10
        await voiding.void(decides, book, "c-wrong")
        assert balance(store, "f-1") == 10
        await came(hired("j-1", at="2026-03-03T20:00:00Z"))
        await decides.until(day("2026-03-12"))
        assert balance(store, "f-1") == 4
        await nothing_is_found(store, 1, 3)


async def test_a_plan_takes_what_a_late_hire_makes_undue_though_a_right_closing_found_it_returned(
    decides: Deciding, came: Came, store: MemoryStore
) -> None:
    """Decision 30: which closure returned something is known of a job, not of one wallet, by which `verify` decides."""
    await came(*SIX, closing("c-wrong", "2026-03-03T12:00:00Z"))
    await decides.until(day("2026-03-03T13:00:00Z"))
    await came(closing("c-right", "2026-03-04T10:00:00Z"))
    await decides.until(day("2026-03-10"))
    await voiding.void(decides, BOOK, "c-wrong")
    await came(hired("j-1", at="2026-03-03T20:00:00Z"))
    (row,) = (row for row in store.tables.decisions if row.topic == "hire-made")
    assert row.reason == "hire-after-settlement"
    assert balance(store, "f-1") == 10
    (settle,) = (await replaying.planned_again(store, BOOK, ["j-1"])).triggers
    assert (settle.expected.reason, settle.expected.wallets) == ("taken-back", {"f-1": -6})
    await nothing_is_found(store, 1, 3)


async def test_a_closing_told_again_between_plan_and_apply_stands(
    decides: Deciding, came: Came, store: MemoryStore
) -> None:
    await came(*SIX, closed("j-1"))
    await decides.until(day("2026-03-10"))
    await came(hired("j-1", at="2026-03-04T09:00:00Z"))
    assert balance(store, "f-1") == 10
    planned = await voiding.plan(store, BOOK, voiding.seqs_of(store, "c-j-1"))
    topic, fields = closed("j-1")
    await came((topic, {**fields, "event_id": "c-again"}))
    await replaying.apply(decides, BOOK, planned.triggers)
    assert balance(store, "f-1") == 10, replaying.became(store)
    await nothing_is_found(store, 1, 3)


async def test_what_a_closing_missed_while_it_was_void_is_owed(
    decides: Deciding, came: Came, store: MemoryStore
) -> None:
    await came(*SIX, closed("j-1"))
    await decides.until(day("2026-03-10"))
    await came(proposed("f-1", "p-2", connects=2))
    await voiding.void(decides, BOOK, "c-j-1")
    await undoing.undo(decides, BOOK)
    await decides.until(day("2026-03-12"))
    assert balance(store, "f-1") == 8
    await nothing_is_found(store, 1, 3)
    (owed,) = (await replaying.planned_again(store, BOOK, ["j-1"])).triggers
    assert owed.expected.wallets == {"f-1": 2}


async def test_a_closing_whose_void_is_undone_before_it_is_due_is_settled(
    decides: Deciding, came: Came, store: MemoryStore
) -> None:
    await came(*SIX, closed("j-1"))
    await voiding.void(decides, BOOK, "c-j-1")
    await undoing.undo(decides, BOOK)
    await decides.until(day("2026-03-12"))
    await nothing_is_found(store, 1, 3)
    assert balance(store, "f-1") == 10


async def test_a_closing_that_was_due_while_it_was_void_is_owed(
    decides: Deciding, came: Came, store: MemoryStore
) -> None:
    await came(*SIX, closed("j-1"))
    await voiding.void(decides, BOOK, "c-j-1")
    await decides.until(day("2026-03-12"))
    await undoing.undo(decides, BOOK)
    await decides.until(day("2026-03-14"))
    await nothing_is_found(store, 1, 3)
    planned = await replaying.planned_again(store, BOOK, ["j-1"])
    assert len(planned.triggers) == 1
