"""What is voided, undone and voided again, and what else was corrected on the same job: nothing is moved twice."""

from collections.abc import AsyncIterator

import msgspec
import pytest

from tests.kit import replacing, replaying, undoing, voiding
from tests.kit.correcting import adjusted, boosted, day, outbid, sent_as
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
    leading,
    nothing_is_found,
    proposed,
    registered,
)
from tests.kit.undoing import balances, what_counts
from tests.property.variety import POLICIES
from worker.kafka.records import TopicPartition
from worker.ledger.memory_store import MemoryStore
from worker.ledger.parked import ParkedKey
from worker.repair.planning_undos import SETTLED_WITH
from worker.repair.undoing import CHANGED_SINCE
from worker.repair.undoing_amounts import PROPOSALS

BOOK = policies()
AGAIN, AGAIN_UNDONE = "cd" * 32, "dd" * 32


@pytest.fixture
async def came_under_claw_back() -> AsyncIterator[tuple[Deciding, Came]]:
    async with leading(MemoryStore(), policies(POLICIES["claw-back"]), batch_size=4) as decides:
        yield decides, Came(decides)


def late(name: str, proposal: str) -> Event:
    """A proposal that comes after its job was closed, and is dated before that."""
    topic, fields = proposed(name, proposal)
    return topic, {**fields, "event_id": f"s-{proposal}"}


# Shortfalls, and what debits drew.


async def test_what_a_debit_drew_from_a_purchase_is_taken_once_by_a_second_void(
    decides: Deciding, came: Came, store: MemoryStore
) -> None:
    await came(registered("f-1"), bought("f-1", "b-1", 10), adjusted("f-1", "x", -48), adjusted("f-1", "y", 50))
    assert balance(store, "f-1") == 52, "8 of the purchase are gone by the debit"
    for plan, undo in (("ab", "ba"), ("cd", "dc"), ("ef", "fe")):
        voided = await voiding.void(decides, BOOK, "e-b-1", name=plan * 32)
        assert (voided.summary.taken, voided.summary.shortfall, balance(store, "f-1")) == (10, 0, 42)
        undone = await undoing.undo(decides, BOOK, plan * 32, undo * 32)
        assert (undone.summary.given, balance(store, "f-1")) == (10, 52)
    await nothing_is_found(store, 1, 3)


async def test_what_a_void_could_not_take_is_taken_by_one_after_its_undo(
    decides: Deciding, came: Came, store: MemoryStore
) -> None:
    await came(bought("f-1", "b-1", 10), adjusted("f-1", "x", -8))
    voided = await voiding.void(decides, BOOK, "e-b-1")
    assert (voided.summary.taken, voided.summary.shortfall) == (2, 8)
    await undoing.undo(decides, BOOK)
    await came(adjusted("f-1", "y", 20))
    voided = await voiding.void(decides, BOOK, "e-b-1", name=AGAIN)
    assert (voided.summary.taken, voided.summary.shortfall, balance(store, "f-1")) == (10, 0, 12)
    undone = await undoing.undo(decides, BOOK, AGAIN, AGAIN_UNDONE)
    assert (undone.summary.given, balance(store, "f-1")) == (10, 22)
    await nothing_is_found(store, 1, 3)


async def test_what_an_undo_could_not_take_of_a_debit_is_not_given_by_a_second_void(
    decides: Deciding, came: Came, store: MemoryStore
) -> None:
    await came(bought("f-1", "b-1", 20), adjusted("f-1", "x", -8))
    await voiding.void(decides, BOOK, "a-x")
    await came(proposed("f-1", "p-1", connects=16))
    undone = await undoing.undo(decides, BOOK)
    assert (undone.summary.taken, undone.summary.shortfall, balance(store, "f-1")) == (4, 4, 0)
    voided = await voiding.void(decides, BOOK, "a-x", name=AGAIN)
    assert (voided.summary.given, balance(store, "f-1")) == (4, 4), "all that the debit still does"
    await came(proposed("f-1", "p-2", connects=3))
    undone = await undoing.undo(decides, BOOK, AGAIN, AGAIN_UNDONE)
    assert (undone.summary.taken, undone.summary.shortfall, balance(store, "f-1")) == (1, 3, 0)
    voided = await voiding.void(decides, BOOK, "a-x", name="ef" * 32)
    assert (voided.summary.given, balance(store, "f-1")) == (1, 1)
    await nothing_is_found(store, 1, 3)


async def test_a_debit_of_which_nothing_is_left_is_voided_without_a_change(
    decides: Deciding, came: Came, store: MemoryStore
) -> None:
    await came(bought("f-1", "b-1", 20), adjusted("f-1", "x", -8))
    await voiding.void(decides, BOOK, "a-x")
    await came(proposed("f-1", "p-1", connects=20))
    undone = await undoing.undo(decides, BOOK)
    assert (undone.summary.taken, undone.summary.shortfall, balance(store, "f-1")) == (0, 8, 0)
    voided = await voiding.void(decides, BOOK, "a-x", name=AGAIN)
    assert (voided.summary.given, voided.summary.taken, balance(store, "f-1")) == (0, 0, 0)
    undone = await undoing.undo(decides, BOOK, AGAIN, AGAIN_UNDONE)
    assert (undone.summary.shortfall, balance(store, "f-1")) == (0, 0)
    await nothing_is_found(store, 1, 3)


async def test_a_purchase_that_was_added_is_taken_once_after_a_void_of_it_was_undone(
    decides: Deciding, came: Came, store: MemoryStore
) -> None:
    await came(registered("f-1"))
    await replaying.apply(decides, BOOK, await replaying.planned(store, BOOK, [bought("f-1", "b-1", 10)]))
    await came(adjusted("f-1", "x", -48), adjusted("f-1", "y", 50))
    await voiding.void(decides, BOOK, "e-b-1", name=AGAIN)
    await undoing.undo(decides, BOOK, AGAIN, AGAIN_UNDONE)
    assert balance(store, "f-1") == 52
    undone = await undoing.undo(decides, BOOK)
    assert (undone.summary.taken, undone.summary.shortfall, balance(store, "f-1")) == (10, 0, 42)
    await nothing_is_found(store, 1, 3)


# What else happened on the same job.


async def passed_over(decides: Deciding, came: Came) -> None:
    """Proposals of f-1 and f-2 cost 10 each; their job was closed, and a fault passed them over."""
    await came(registered("f-1"), registered("f-2"), boosted("f-1", "p-1", 6, 4), boosted("f-2", "p-2", 6, 4))
    await came(closed("j-1"))
    with passing_over(lambda *_: True):
        await decides.until(day("2026-03-10"))


async def test_an_outbid_of_another_proposal_of_the_job_is_in_no_way(
    decides: Deciding, came: Came, store: MemoryStore
) -> None:
    await passed_over(decides, came)
    planned = await replaying.planned_again(store, BOOK, ["j-1"])
    await replaying.apply(decides, BOOK, planned.triggers)
    await came(outbid("f-2", "p-2"))
    undone = await undoing.undo(decides, BOOK)
    assert [getattr(trigger, "freelancer_id", "") for trigger in undone.triggers] == ["f-1"]
    (left,) = undone.summary.left_for_a_person
    assert (left.what, left.events) == (CHANGED_SINCE.what, 1)
    assert (balance(store, "f-1"), balance(store, "f-2")) == (30, 40)
    await nothing_is_found(store, 1, 3)


async def test_what_another_plan_settled_under_the_same_closure_is_in_no_way(
    decides: Deciding, came: Came, store: MemoryStore
) -> None:
    await passed_over(decides, came)
    first, second = (await replaying.planned_again(store, BOOK, ["j-1"])).triggers
    await replaying.apply(decides, BOOK, [first])
    await replaying.apply(decides, BOOK, [msgspec.structs.replace(second, number=1)], AGAIN)
    undone = await undoing.undo(decides, BOOK)
    assert (len(undone.triggers), undone.summary.left_for_a_person) == (1, [])
    assert (balance(store, "f-1"), balance(store, "f-2")) == (30, 40)
    await nothing_is_found(store, 1, 3)


async def test_a_settle_that_a_late_settlement_found_is_left_for_a_person(
    decides: Deciding, came: Came, store: MemoryStore
) -> None:
    await came(registered("f-1"), proposed("f-1", "p-0"), closed("j-1"))
    await decides.until(day("2026-03-10"))
    await came(late("f-1", "p-1"))
    planned = await replaying.planned_again(store, BOOK, ["j-1"])
    assert planned.summary.given == 6
    await replaying.apply(decides, BOOK, planned.triggers)
    await decides.until(day("2026-03-15"))
    last = max((row for row in store.tables.decisions if row.kind == "settlement"), key=lambda row: row.seq)
    assert (last.proposal_id, last.reason) == ("p-1", "already-refunded"), "it is not settled another time"
    undone = await undoing.undo(decides, BOOK)
    (left,) = undone.summary.left_for_a_person
    assert (undone.triggers, left.what, balance(store, "f-1")) == ([], CHANGED_SINCE.what, 40)
    await nothing_is_found(store, 1, 3)


async def test_a_settle_that_is_undone_before_the_late_settlement_leaves_it_to_that(
    decides: Deciding, came: Came, store: MemoryStore
) -> None:
    await came(registered("f-1"), proposed("f-1", "p-0"), closed("j-1"))
    await decides.until(day("2026-03-10"))
    await came(late("f-1", "p-1"))
    planned = await replaying.planned_again(store, BOOK, ["j-1"])
    await replaying.apply(decides, BOOK, planned.triggers)
    await undoing.undo(decides, BOOK)
    assert balance(store, "f-1") == 34
    await decides.until(day("2026-03-20"))
    assert balance(store, "f-1") == 40
    await nothing_is_found(store, 1, 3)


async def test_a_hire_that_took_refunds_back_meanwhile_takes_this_one_when_the_job_is_settled_again(
    came_under_claw_back: tuple[Deciding, Came],
) -> None:
    decides, came = came_under_claw_back
    store, book = decides.store, policies(POLICIES["claw-back"])
    assert isinstance(store, MemoryStore)
    await came(registered("f-1"), registered("f-2"), proposed("f-1", "p-1"), proposed("f-2", "p-2"), closed("j-1"))
    await decides.until(day("2026-03-10"))
    await voiding.void(decides, book, "s-p-1")
    hired = {"job_id": "j-1", "freelancer_id": "f-9", "contract_id": "k-1"}
    await came(event("hire-made", "h-1", "2026-03-04T09:00:00Z", **hired))
    assert (balance(store, "f-1"), balance(store, "f-2")) == (40, 34), "the hire passed the void proposal by"
    await undoing.undo(decides, book)
    planned = await replaying.planned_again(store, book, ["j-1"])
    assert (len(planned.triggers), planned.summary.taken) == (1, 6)
    await replaying.apply(decides, book, planned.triggers, AGAIN)
    assert (balance(store, "f-1"), balance(store, "f-2")) == (34, 34)
    await nothing_is_found(store, 1, 3)


async def test_a_proposal_that_was_replaced_before_it_was_voided_counts_by_its_right_content(
    decides: Deciding, came: Came, store: MemoryStore
) -> None:
    submitted = boosted("f-1", "p-1", 6, 4)
    right = replacing.other(submitted, connects=9, boost_connects=2, occurred_at="2026-03-03T08:00:00Z")
    await came(registered("f-1"), submitted)
    await replacing.replace(decides, BOOK, right, name=AGAIN)
    before = balances(store), what_counts(store)
    assert balance(store, "f-1") == 29
    await voiding.void(decides, BOOK, "s-p-1")
    await undoing.undo(decides, BOOK)
    assert (balances(store), what_counts(store)) == before
    await came(closed("j-1"))
    await decides.until(day("2026-03-10"))
    assert balance(store, "f-1") == 40
    await nothing_is_found(store, 1, 3)


async def test_a_proposal_that_was_parked_before_it_was_decided(
    decides: Deciding, came: Came, store: MemoryStore
) -> None:
    await came(registered("f-1"))
    failing = decides.writer._failing  # noqa: SLF001 - as if the rule failed
    failing[TopicPartition("proposal-submitted", 0), 0, 1] = "a bug"
    await came(boosted("f-1", "p-1", 6, 4))
    failing.clear()
    assert await decides.writer.release(ParkedKey("wallet", "f-1")) == (1, 0, None)
    await decides.commit()
    before = balances(store), what_counts(store)
    assert balance(store, "f-1") == 30
    made = next(row.seq for row in store.tables.decisions if row.reason == "proposal-submitted")
    planned = await voiding.plan(store, BOOK, [made])
    await replaying.apply(decides, BOOK, planned.triggers)
    assert balance(store, "f-1") == 40
    await undoing.undo(decides, BOOK)
    assert (balances(store), what_counts(store)) == before
    await nothing_is_found(store, 1, 3)


async def test_a_settle_that_belongs_to_a_replacement_is_not_undone_without_it(
    decides: Deciding, came: Came, store: MemoryStore
) -> None:
    submitted = boosted("f-1", "p-1", 6, 4)
    after_the_closing = replacing.other(submitted, occurred_at="2026-03-05T10:00:00Z")
    await came(registered("f-1"), submitted, boosted("f-2", "p-2", 6, 4), closed("j-1"))
    await decides.until(day("2026-03-10"))
    planned = await replacing.replace(decides, BOOK, after_the_closing)
    assert (len(planned.triggers), balance(store, "f-1")) == (2, 30), "it is charged again"
    undone = await undoing.undo(decides, BOOK)
    left = {one.what: one.events for one in undone.summary.left_for_a_person}
    assert (undone.triggers, left) == ([], {PROPOSALS.what: 1, SETTLED_WITH.what: 1})
    await replacing.replace(decides, BOOK, submitted, name=AGAIN)
    assert balance(store, "f-1") == 40
    await nothing_is_found(store, 1, 3)


# What has no lines, what is voided again before it is settled, and plans of which a part was booked.


@pytest.mark.parametrize("fields", [{"origin": "invite"}, {"connects": 0, "boost_connects": 0}], ids=["invited", "0"])
async def test_a_proposal_that_cost_nothing(
    decides: Deciding, came: Came, store: MemoryStore, fields: dict[str, object]
) -> None:
    topic, submitted = boosted("f-1", "p-1", 6, 4)
    await came(registered("f-1"), (topic, {**submitted, **fields}))
    before = balances(store), what_counts(store)
    await voiding.void(decides, BOOK, "s-p-1")
    await undoing.undo(decides, BOOK)
    assert (balances(store), what_counts(store)) == before
    await came(closed("j-1"))
    await decides.until(day("2026-03-10"))
    assert balance(store, "f-1") == 40
    await nothing_is_found(store, 1, 3)


async def test_a_proposal_that_is_voided_and_undone_twice_is_settled_once(
    decides: Deciding, came: Came, store: MemoryStore
) -> None:
    await came(registered("f-1"), registered("f-2"), proposed("f-1", "p-1"), proposed("f-2", "p-2"))
    await voiding.void(decides, BOOK, "s-p-1")
    await came(closed("j-1"))
    await decides.until(day("2026-03-10"))
    await undoing.undo(decides, BOOK)
    await voiding.void(decides, BOOK, "s-p-1", name=AGAIN)
    await undoing.undo(decides, BOOK, AGAIN, AGAIN_UNDONE)
    await decides.until(day("2026-03-20"))
    assert (balance(store, "f-1"), balance(store, "f-2")) == (40, 40)
    settled = sorted(row.proposal_id or "" for row in store.tables.decisions if row.kind == "settlement")
    assert settled == ["p-1", "p-2"]
    await nothing_is_found(store, 1, 3)


async def test_a_plan_that_goes_on_after_an_undo_is_undone_as_to_the_rest(
    decides: Deciding, came: Came, store: MemoryStore
) -> None:
    await came(registered("f-1"), bought("f-1", "b-1", 30), bought("f-1", "b-2", 7))
    planned = await voiding.plan(store, BOOK, voiding.seqs_of(store, "e-b-1", "e-b-2"))
    await replaying.begin(decides, BOOK, len(planned.triggers))
    await replaying.add(decides, planned.triggers[:1])
    assert len((await undoing.undo(decides, BOOK)).triggers) == 1
    assert balance(store, "f-1") == 77
    await replaying.add(decides, planned.triggers)
    assert balance(store, "f-1") == 47, "the first trigger is not booked another time"
    rest = await undoing.undo(decides, BOOK, name=AGAIN_UNDONE)
    assert (len(rest.triggers), rest.summary.nothing_to_undo, balance(store, "f-1")) == (1, 1, 77)
    await nothing_is_found(store, 1, 3)


async def test_what_is_due_of_an_added_proposal_is_due_no_more_when_that_is_undone(
    decides: Deciding, came: Came, store: MemoryStore
) -> None:
    await came(bought("f-1", "b-1", 10), closed("j-1"))
    await decides.until(day("2026-03-10"))
    await replaying.apply(decides, BOOK, await replaying.planned(store, BOOK, [proposed("f-1", "p-1")]))
    assert [row.key for row in store.tables.due] == ["2/p-1"]
    await undoing.undo(decides, BOOK)
    assert not list(store.tables.due)
    await came(sent_as(proposed("f-1", "p-1"), "s-again"))
    await decides.until(day("2026-03-12"))
    assert balance(store, "f-1") == 10
    await nothing_is_found(store, 1, 3)
