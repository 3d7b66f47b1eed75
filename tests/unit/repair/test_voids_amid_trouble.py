"""Voids of closings and hires amid parked wallets and jobs, plans that only give, and wallets with too little left."""

import pytest

from tests.kit import replaying, undoing, voiding
from tests.kit.correcting import boosted, day, outbid
from tests.kit.deciding import Deciding
from tests.kit.policies import policies, policy_text
from tests.kit.replaying import Came, Event, balance, bought, closed, event, leading, nothing_is_found, proposed
from worker.kafka.records import TopicPartition
from worker.ledger.memory_store import MemoryStore
from worker.ledger.parked import ParkedKey

BOOK = policies()
SECOND = "cd" * 32
SIX = (bought("f-1", "b-1", 10), proposed("f-1", "p-1", connects=6))


def hired(job: str, event_id: str = "h-1", at: str = "2026-03-03T10:00:00Z", contract: str = "k-1") -> Event:
    return event("hire-made", event_id, at, job_id=job, freelancer_id="f-9", contract_id=contract)


def closing(event_id: str, at: str, kind: str = "closed-by-client") -> Event:
    topic, fields = closed("j-1")
    return topic, {**fields, "event_id": event_id, "occurred_at": at, "closure": kind}


@pytest.mark.parametrize("undo", [False, True])
async def test_a_settlement_that_waits_behind_a_parked_wallet(
    decides: Deciding, came: Came, store: MemoryStore, *, undo: bool
) -> None:
    failing = decides.writer._failing  # noqa: SLF001 - as if the rule failed
    failing[TopicPartition("connects-purchased", 0), 0, 2] = "a bug"
    await came(*SIX, bought("f-1", "b-2", 1), closed("j-1"))
    failing.clear()
    await decides.until(day("2026-03-10"))
    await voiding.void(decides, BOOK, "c-j-1")
    if undo:
        await undoing.undo(decides, BOOK)
    await decides.writer.release(ParkedKey("wallet", "f-1"))
    await decides.commit()
    await nothing_is_found(store, 1, 3)
    assert balance(store, "f-1") == (11 if undo else 5)
    await voiding.void(decides, BOOK, "c-j-1", name=SECOND)
    assert balance(store, "f-1") == 5
    await nothing_is_found(store, 1, 3)


async def test_a_closing_and_a_hire_that_were_parked_and_released(
    decides: Deciding, came: Came, store: MemoryStore
) -> None:
    failing = decides.writer._failing  # noqa: SLF001 - as if the rule failed
    failing[TopicPartition("hire-made", 0), 0, 2] = "a bug"
    await came(*SIX, hired("j-1"), closed("j-1"))
    failing.clear()
    await decides.until(day("2026-03-10"))
    planned = await voiding.plan(store, BOOK, voiding.seqs_of(store, "h-1", "c-j-1"))
    assert not planned.triggers
    await decides.writer.release(ParkedKey("job", "j-1"))
    await decides.commit()
    await decides.until(day("2026-03-11"))
    seqs = [r.seq for r in store.tables.decisions if r.kind == "follow-up" and r.topic == "hire-made"]
    assert balance(store, "f-1") == 4
    planned = await voiding.plan(store, BOOK, seqs)
    await replaying.apply(decides, BOOK, planned.triggers)
    assert balance(store, "f-1") == 10
    seqs = [r.seq for r in store.tables.decisions if r.kind == "follow-up" and r.reason == "settlement-pending"]
    planned = await voiding.plan(store, BOOK, seqs)
    await replaying.apply(decides, BOOK, planned.triggers, SECOND)
    assert balance(store, "f-1") == 4
    await nothing_is_found(store, 1, 3)
    await undoing.undo(decides, BOOK, SECOND, name="ef" * 32)
    await undoing.undo(decides, BOOK, name="fe" * 32)
    assert balance(store, "f-1") == 4
    await nothing_is_found(store, 1, 3)


@pytest.mark.parametrize("how", ["keep", "claw-back"])
async def test_what_a_plan_that_only_gives_left_is_taken_later(how: str) -> None:
    store, book = MemoryStore(), policies(policy_text(late_hire=how))
    async with leading(store, book) as decides:
        came = Came(decides)
        await came(*SIX, bought("f-2", "b-3", 10), proposed("f-2", "p-2", connects=3), closed("j-1"))
        await decides.until(day("2026-03-10"))
        planned = await voiding.plan(store, book, voiding.seqs_of(store, "c-j-1"))
        await replaying.begin(decides, book, len(planned.triggers))
        await replaying.add(decides, planned.triggers, give_only=True)
        assert balance(store, "f-1") == 10
        await nothing_is_found(store, 1, 3)
        await came(closing("c-2", "2026-03-10T12:00:00Z"), hired("j-1", at="2026-03-03T20:00:00Z"))
        await decides.until(day("2026-03-15"))
        await nothing_is_found(store, 1, 3)
        await voiding.void(decides, book, "c-j-1", name=SECOND)
        assert (balance(store, "f-1"), balance(store, "f-2")) == (4, 7)
        await nothing_is_found(store, 1, 3)


async def test_a_wallet_with_too_little_left_owes_it(decides: Deciding, came: Came, store: MemoryStore) -> None:
    await came(*SIX, closed("j-1"))
    await decides.until(day("2026-03-10"))
    await came(proposed("f-1", "p-9", "j-9", 10))
    assert balance(store, "f-1") == 0
    await voiding.void(decides, BOOK, "c-j-1")
    assert balance(store, "f-1") == -6
    await nothing_is_found(store, 1, 3)
    await undoing.undo(decides, BOOK)
    assert balance(store, "f-1") == 0
    await nothing_is_found(store, 1, 3)
    await came(bought("f-1", "b-7", 5))
    await voiding.void(decides, BOOK, "c-j-1", name=SECOND)
    assert balance(store, "f-1") == -1
    await nothing_is_found(store, 1, 3)


async def test_a_closing_that_was_added(decides: Deciding, came: Came, store: MemoryStore) -> None:
    await came(*SIX, event("job-closed", "c-x", "2026-03-20T10:00:00Z", job_id="j-8", client_id="c", closure="expired"))
    await decides.until(day("2026-03-22"))
    adds = await replaying.planned(store, BOOK, [closed("j-1")])
    await replaying.apply(decides, BOOK, adds)
    await decides.until(day("2026-03-25"))
    assert balance(store, "f-1") == 10
    await voiding.void(decides, BOOK, "c-j-1", name=SECOND)
    assert balance(store, "f-1") == 4
    await undoing.undo(decides, BOOK, SECOND, name="ef" * 32)
    assert balance(store, "f-1") == 10
    await nothing_is_found(store, 1, 3)


async def test_a_boost_that_was_outbid_stays_returned(decides: Deciding, came: Came, store: MemoryStore) -> None:
    await came(bought("f-1", "b-1", 20), boosted("f-1", "p-1", 6, 4), closed("j-1"))
    await decides.until(day("2026-03-10"))
    await came(outbid("f-1", "p-1"))
    await voiding.void(decides, BOOK, "c-j-1")
    assert balance(store, "f-1") == 14
    await undoing.undo(decides, BOOK)
    assert balance(store, "f-1") == 20
    await voiding.void(decides, BOOK, "c-j-1", name=SECOND)
    assert balance(store, "f-1") == 14
    await nothing_is_found(store, 1, 3)
