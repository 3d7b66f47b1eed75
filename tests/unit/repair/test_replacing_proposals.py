"""Replacements of proposals: what they cost more or less is charged or returned, and their time is the right one."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.kit import replacing, voiding
from tests.kit.deciding import Deciding
from tests.kit.policies import policies
from tests.kit.replacing import other
from tests.kit.replaying import Came, Event, balance, bought, closed, event, nothing_is_found, proposed
from worker.ledger.memory_store import MemoryStore
from worker.ledger.tables import ChangeRow, SpendRow

BOOK = policies()
LATER = datetime(2026, 3, 10, tzinfo=UTC)


def boosted(proposal: str, connects: int, boost: int) -> Event:
    return other(proposed("f-1", proposal, connects=connects), boost_connects=boost)


def corrections(store: MemoryStore) -> list[ChangeRow]:
    rows = sorted(store.tables.changes_of.of("f-1"), key=lambda row: row.version)
    return [row for row in rows if row.rule.startswith("correct.")]


def spend(store: MemoryStore) -> SpendRow:
    return store.tables.spends["p-1"]


async def test_a_proposal_that_cost_less_gets_the_difference_back(
    decides: Deciding, came: Came, store: MemoryStore
) -> None:
    wrong = boosted("p-1", 16, 4)
    await came(bought("f-1", "b-1", 40), wrong)
    planned = await replacing.replace(decides, BOOK, other(wrong, connects=6))
    assert (planned.summary.given, planned.summary.taken, balance(store, "f-1")) == (10, 0, 30)
    (change,) = corrections(store)
    assert change.explanation == (
        "10 Connects returned on 3 March 2026, as a correction: proposal p-1 of 3 March 2026 cost 10 Connects, not 20."
    )
    assert (spend(store).base, spend(store).boost, spend(store).base_returned) == (6, 4, False)
    await nothing_is_found(store, 1, 3)
    await came(closed("j-1"))
    await decides.until(LATER)
    assert balance(store, "f-1") == 40
    await nothing_is_found(store, 1, 3)


async def test_a_proposal_that_cost_more_is_charged_the_difference(
    decides: Deciding, came: Came, store: MemoryStore
) -> None:
    wrong = boosted("p-1", 6, 0)
    await came(bought("f-1", "b-1", 10), wrong)
    planned = await replacing.replace(decides, BOOK, other(wrong, connects=16))
    assert (planned.summary.given, planned.summary.taken, balance(store, "f-1")) == (0, 10, -6)
    assert corrections(store)[0].explanation == (
        "10 Connects charged on 3 March 2026, as a correction: proposal p-1 of 3 March 2026 cost 16 Connects, not 6. "
        "6 Connects were not there: the wallet owes that many."
    )
    assert spend(store).base_debt == 6
    await came(closed("j-1"))
    await decides.until(LATER)
    assert balance(store, "f-1") == 10
    await nothing_is_found(store, 1, 3)


async def test_debt_is_forgiven_before_anything_comes_back(decides: Deciding, came: Came, store: MemoryStore) -> None:
    wrong = boosted("p-1", 16, 0)
    await came(bought("f-1", "b-1", 10), wrong)
    await replacing.replace(decides, BOOK, other(wrong, connects=7))
    assert (balance(store, "f-1"), spend(store).base_debt) == (3, 0)
    await nothing_is_found(store, 1, 3)


async def test_part_of_a_debt_is_forgiven(decides: Deciding, came: Came, store: MemoryStore) -> None:
    wrong = boosted("p-1", 16, 0)
    await came(bought("f-1", "b-1", 10), wrong)
    await replacing.replace(decides, BOOK, other(wrong, connects=12))
    assert (balance(store, "f-1"), spend(store).base_debt) == (-2, 2)
    await came(bought("f-1", "b-2", 10))
    assert (balance(store, "f-1"), spend(store).base_debt) == (8, 0)
    await nothing_is_found(store, 1, 3)


async def test_lines_that_change_places_book_two_changes(decides: Deciding, came: Came, store: MemoryStore) -> None:
    wrong = boosted("p-1", 6, 4)
    await came(bought("f-1", "b-1", 40), wrong)
    planned = await replacing.replace(decides, BOOK, other(wrong, connects=4, boost_connects=6))
    assert (planned.triggers[0].expected.wallets, balance(store, "f-1")) == ({}, 30)
    assert [change.delta for change in corrections(store)] == [2, -2]
    assert corrections(store)[0].explanation == (
        "2 Connects returned and 2 Connects charged on 3 March 2026, as a correction: proposal p-1 of 3 March 2026 "
        "came with wrong content, and cost 10 Connects all the same."
    )
    await nothing_is_found(store, 1, 3)


async def test_lines_that_move_apart_book_the_net(decides: Deciding, came: Came, store: MemoryStore) -> None:
    wrong = boosted("p-1", 6, 4)
    await came(bought("f-1", "b-1", 40), wrong)
    await replacing.replace(decides, BOOK, other(wrong, connects=1, boost_connects=6))
    assert [change.delta for change in corrections(store)] == [3]
    assert (spend(store).base, spend(store).boost) == (1, 6)
    await nothing_is_found(store, 1, 3)


@pytest.mark.parametrize(("origin", "after"), [("invite", 40), ("proposal", 34)])
async def test_an_invitation_is_free(
    decides: Deciding, came: Came, store: MemoryStore, origin: str, after: int
) -> None:
    wrong = other(boosted("p-1", 6, 0), origin="proposal" if origin == "invite" else "invite")
    await came(bought("f-1", "b-1", 40), wrong)
    await replacing.replace(decides, BOOK, other(wrong, origin=origin))
    assert (balance(store, "f-1"), spend(store).origin) == (after, origin)
    await nothing_is_found(store, 1, 3)


async def test_what_came_back_is_amended_and_nothing_is_booked(
    decides: Deciding, came: Came, store: MemoryStore
) -> None:
    wrong = boosted("p-1", 6, 0)
    await came(bought("f-1", "b-1", 40), wrong, closed("j-1"))
    await decides.until(LATER)
    planned = await replacing.replace(decides, BOOK, other(wrong, connects=16, boost_connects=3))
    assert (planned.summary.wallets, balance(store, "f-1"), corrections(store)) == (0, 40, [])
    assert (spend(store).base, spend(store).boost, spend(store).boost_returned) == (16, 3, True)
    await nothing_is_found(store, 1, 3)


async def test_what_was_free_when_its_job_was_closed_is_charged_and_comes_back(
    decides: Deciding, came: Came, store: MemoryStore
) -> None:
    wrong = boosted("p-1", 0, 0)
    await came(bought("f-1", "b-1", 40), wrong, closed("j-1"))
    await decides.until(LATER)
    planned = await replacing.replace(decides, BOOK, other(wrong, connects=6))
    assert [trigger.expected.wallets for trigger in planned.triggers] == [{"f-1": -6}, {"f-1": 6}]
    assert (balance(store, "f-1"), [change.delta for change in corrections(store)]) == (40, [-6, 6])
    await nothing_is_found(store, 1, 3)


async def test_a_price_that_was_nothing_comes_back_though_its_boost_came_back_before(
    decides: Deciding, came: Came, store: MemoryStore
) -> None:
    wrong = boosted("p-1", 0, 2)
    outbid = event("boost-outbid", "o-1", "2026-03-03T12:00:00Z", freelancer_id="f-1", job_id="j-1", proposal_id="p-1")
    await came(bought("f-1", "b-1", 40), wrong, outbid, closed("j-1"))
    await decides.until(LATER)
    await replacing.replace(decides, BOOK, other(wrong, connects=6))
    assert (balance(store, "f-1"), [change.delta for change in corrections(store)]) == (40, [-6, 6])
    await nothing_is_found(store, 1, 3)


async def test_a_replaced_proposal_is_replaced_again_and_voided(
    decides: Deciding, came: Came, store: MemoryStore
) -> None:
    wrong = boosted("p-1", 6, 0)
    await came(bought("f-1", "b-1", 40), wrong)
    await replacing.replace(decides, BOOK, other(wrong, connects=16))
    assert balance(store, "f-1") == 24
    again = await replacing.plan(store, BOOK, [other(wrong, connects=16)])
    assert (again.triggers, again.summary.replaced) == ([], 1)
    await replacing.replace(decides, BOOK, other(wrong, connects=10), name="cd" * 32)
    assert balance(store, "f-1") == 30
    await replacing.replace(decides, BOOK, wrong, name="de" * 32)
    assert balance(store, "f-1") == 34
    await nothing_is_found(store, 1, 3)
    await voiding.void(decides, BOOK, "s-p-1", name="ef" * 32)
    assert balance(store, "f-1") == 40
    await nothing_is_found(store, 1, 3)


async def test_a_boost_that_was_outbid_when_there_was_none_comes_back(
    decides: Deciding, came: Came, store: MemoryStore
) -> None:
    wrong = boosted("p-1", 6, 0)
    outbid = event("boost-outbid", "o-1", "2026-03-03T12:00:00Z", freelancer_id="f-1", job_id="j-1", proposal_id="p-1")
    await came(bought("f-1", "b-1", 40), wrong, outbid)
    await replacing.replace(decides, BOOK, other(wrong, boost_connects=4))
    assert (balance(store, "f-1"), spend(store).boost, spend(store).boost_returned) == (34, 4, True)
    await nothing_is_found(store, 1, 3)


async def test_somebody_elses_proposal_is_compared_with_what_it_was_then(
    decides: Deciding, came: Came, store: MemoryStore
) -> None:
    wrong = boosted("p-1", 6, 0)
    twice = other(proposed("f-2", "p-1", connects=5), event_id="s-2")
    await came(bought("f-1", "b-1", 40), wrong, twice)
    await replacing.replace(decides, BOOK, other(wrong, connects=16, occurred_at="2026-03-02T10:00:00Z"))
    await came(other(twice, event_id="s-3"))
    await nothing_is_found(store, 1, 2, 3, 5)


# Another time.


def closed_at(at: str) -> Event:
    return other(closed("j-1"), occurred_at=at)


async def test_one_that_was_submitted_before_its_job_was_closed_comes_back(
    decides: Deciding, came: Came, store: MemoryStore
) -> None:
    wrong = other(boosted("p-1", 6, 0), occurred_at="2026-03-05T10:00:00Z")
    await came(bought("f-1", "b-1", 40), closed("j-1"), wrong)
    await decides.until(LATER)
    assert balance(store, "f-1") == 34
    planned = await replacing.plan(store, BOOK, shifted=["s-p-1"], by=timedelta(days=-2))
    assert [trigger.expected.wallets for trigger in planned.triggers] == [{}, {"f-1": 6}]
    await replacing.applied(decides, BOOK, planned)
    assert balance(store, "f-1") == 40
    again = await replacing.plan(store, BOOK, shifted=["s-p-1"], by=timedelta(days=-2))
    assert (again.triggers, again.summary.replaced) == ([], 1)
    await nothing_is_found(store, 1, 3)


async def test_one_that_was_submitted_after_its_job_was_closed_is_charged_again(
    decides: Deciding, came: Came, store: MemoryStore
) -> None:
    wrong = boosted("p-1", 6, 0)
    await came(bought("f-1", "b-1", 40), wrong, closed("j-1"))
    await decides.until(LATER)
    assert balance(store, "f-1") == 40
    planned = await replacing.plan(store, BOOK, shifted=["s-p-1"], by=timedelta(days=2))
    assert [trigger.expected.wallets for trigger in planned.triggers] == [{}, {"f-1": -6}]
    await replacing.applied(decides, BOOK, planned)
    assert balance(store, "f-1") == 34
    await nothing_is_found(store, 1, 3)


async def test_a_settlement_that_is_still_due_is_due_no_more_or_is_done(
    decides: Deciding, came: Came, store: MemoryStore
) -> None:
    """The proposal comes late: it is settled one grace later, but is moved past the closing time meanwhile."""
    wrong = boosted("p-1", 6, 0)
    await came(bought("f-1", "b-1", 40), closed("j-1"))
    await decides.until(LATER)
    await came(wrong)
    assert [row.kind for row in store.tables.due] == ["late-settlement"]
    planned = await replacing.plan(store, BOOK, shifted=["s-p-1"], by=timedelta(days=2))
    assert [trigger.expected.wallets for trigger in planned.triggers] == [{}]
    await replacing.applied(decides, BOOK, planned)
    assert list(store.tables.due) == []
    await decides.until(LATER + timedelta(days=1))
    assert balance(store, "f-1") == 34
    await nothing_is_found(store, 1, 3)


async def test_debts_are_paid_in_the_order_of_the_right_times(
    decides: Deciding, came: Came, store: MemoryStore
) -> None:
    first = boosted("p-1", 6, 0)
    second = other(proposed("f-1", "p-2", job="j-2", connects=6), occurred_at="2026-03-03T11:00:00Z")
    await came(first, second)
    planned = await replacing.plan(store, BOOK, [other(first, occurred_at="2026-03-03T12:00:00Z")])
    await replacing.applied(decides, BOOK, planned)
    await came(bought("f-1", "b-1", 8))
    assert (store.tables.spends["p-2"].base_debt, spend(store).base_debt) == (0, 4)
    await nothing_is_found(store, 1, 3)


async def test_a_withdrawn_proposal_keeps_its_withdrawal(decides: Deciding, came: Came, store: MemoryStore) -> None:
    wrong = boosted("p-1", 6, 0)
    withdrawn = event(
        "proposal-withdrawn", "w-1", "2026-03-03T12:00:00Z", freelancer_id="f-1", job_id="j-1", proposal_id="p-1"
    )
    await came(bought("f-1", "b-1", 40), wrong, withdrawn)
    await replacing.replace(decides, BOOK, other(wrong, connects=16))
    await came(closed("j-1"))
    await decides.until(LATER)
    assert balance(store, "f-1") == 24
    await nothing_is_found(store, 1, 3)
