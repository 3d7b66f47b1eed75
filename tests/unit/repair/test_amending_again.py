"""Corrections of amounts after something else: what expired, what was not there, a settle, another corrected policy."""

from collections.abc import AsyncIterator

import pytest

from tests.kit import amending, replaying, voiding
from tests.kit.correcting import adjusted, boost_came_back_twice, certified, day, last_change
from tests.kit.deciding import Deciding
from tests.kit.policies import policies
from tests.kit.replaying import Came, balance, event, leading, nothing_is_found, registered
from worker.domain.policy import PolicyBook
from worker.ledger.memory_store import MemoryStore
from worker.repair.planning import Planned

BOOK = policies()


def bought_later(at: str, connects: int) -> tuple[str, dict[str, object]]:
    return event("connects-purchased", "e-late", at, freelancer_id="f-1", purchase_id="b-late", connects=connects)


async def amended_by(decides: Deciding, corrected: PolicyBook | None, name: str) -> Planned:
    return await amending.amend(decides, BOOK, corrected, name=name * 32)


async def test_a_shortfall_is_not_given_back(decides: Deciding, came: Came, store: MemoryStore) -> None:
    await came(certified("f-1"), adjusted("f-1", "a-1", -20, "2026-03-06T10:00:00Z"))
    by_mistake = await amended_by(decides, policies(certification=2), "ab")
    assert (by_mistake.summary.taken, by_mistake.summary.shortfall) == (0, 18)
    part = await amended_by(decides, policies(certification=12), "bc")
    assert (len(part.triggers), part.summary.given, balance(store, "f-1")) == (1, 0, 0)
    again = await amended_by(decides, policies(certification=19), "cd")
    assert (len(again.triggers), again.summary.given, balance(store, "f-1")) == (1, 0, 0)
    assert [row.not_taken for row in store.tables.amended] == [1]
    more = await amended_by(decides, policies(certification=25), "de")
    assert (more.summary.given, balance(store, "f-1")) == (5, 5)
    await nothing_is_found(store, 1, 3)


async def test_what_is_set_off_is_said(decides: Deciding, came: Came, store: MemoryStore) -> None:
    await came(certified("f-1"), adjusted("f-1", "a-1", -19, "2026-03-06T10:00:00Z"))
    await amended_by(decides, policies(certification=2), "ab")
    assert (balance(store, "f-1"), [row.not_taken for row in store.tables.amended]) == (0, [17])
    await amended_by(decides, policies(certification=22), "cd")
    assert balance(store, "f-1") == 3
    assert "3 Connects added on" in last_change(store).explanation
    assert "17 Connects had not been taken back before, and stay." in last_change(store).explanation
    await nothing_is_found(store, 1, 3)


@pytest.fixture
async def gave_twice() -> AsyncIterator[Deciding]:
    """A ledger that gives 80 Connects for a registration, where BOOK has 40."""
    async with leading(MemoryStore(), policies(registration=80), batch_size=4) as decides:
        yield decides


async def plan_registration(decides: Deciding) -> Planned:
    store, wrong = decides.store, policies(registration=80)
    assert isinstance(store, MemoryStore)
    seqs = [row.seq for row in store.tables.decisions if row.topic == "freelancer-registered"]
    return await amending.plan(store, wrong, seqs, BOOK)


async def test_what_expired_is_not_taken_again(gave_twice: Deciding) -> None:
    store = gave_twice.store
    assert isinstance(store, MemoryStore)
    await Came(gave_twice)(registered("f-1"))
    await gave_twice.until(day("2027-04-02"))
    await Came(gave_twice, 50)(bought_later("2027-04-02T10:00:00Z", 30))
    before = balance(store, "f-1")
    planned = await plan_registration(gave_twice)
    assert [trigger.expected.wallets for trigger in planned.triggers] == [{}]
    await replaying.apply(gave_twice, policies(registration=80), planned.triggers)
    assert balance(store, "f-1") == before
    assert (await plan_registration(gave_twice)).triggers == []
    assert [row.not_taken for row in store.tables.amended] == [40]
    await nothing_is_found(store, 1, 3)


async def test_what_was_spent_of_it_is_taken(gave_twice: Deciding) -> None:
    store = gave_twice.store
    assert isinstance(store, MemoryStore)
    await Came(gave_twice)(registered("f-1"), adjusted("f-1", "a-1", -65, "2026-03-06T10:00:00Z"))
    await gave_twice.until(day("2027-04-02"))
    await Came(gave_twice, 50)(bought_later("2027-04-02T10:00:00Z", 30))
    planned = await plan_registration(gave_twice)
    assert [trigger.expected.wallets for trigger in planned.triggers] == [{"f-1": -25}]
    await replaying.apply(gave_twice, policies(registration=80), planned.triggers)
    assert "15 Connects of it had expired already." in last_change(store).explanation
    await nothing_is_found(store, 1, 3)


async def test_of_a_refund_what_expired_is_not_taken_again(decides: Deciding, came: Came, store: MemoryStore) -> None:
    await boost_came_back_twice(decides, came)
    await decides.until(day("2026-12-01"))
    before = balance(store, "f-1")
    planned = await amending.amend(decides, BOOK)
    assert [trigger.expected.wallets for trigger in planned.triggers] == [{}]
    assert balance(store, "f-1") == before
    await nothing_is_found(store, 1, 3)


async def test_a_surplus_is_taken_also_after_its_job_was_settled_again(
    decides: Deciding, came: Came, store: MemoryStore
) -> None:
    await boost_came_back_twice(decides, came)
    hired = {"job_id": "j-1", "freelancer_id": "f-2", "contract_id": "k-1"}
    await came(event("hire-made", "h-1", "2026-03-03T12:00:00Z", **hired))
    late = await replaying.planned_again(store, BOOK, ["j-1"], late_hires=True)
    await replaying.apply(decides, BOOK, late.triggers, "cd" * 32)
    assert balance(store, "f-1") == 38
    await amending.amend(decides, BOOK)
    assert balance(store, "f-1") == 34
    assert (await amending.plan(store, BOOK)).triggers == []
    assert (await replaying.planned_again(store, BOOK, ["j-1"], late_hires=True)).triggers == []
    await nothing_is_found(store, 1, 3)


async def test_a_second_corrected_file_does_not_take_the_first_back() -> None:
    wrong = policies(registration=4, certification=2)
    first, second = policies(registration=40, certification=2), policies(registration=4, certification=20)
    async with leading(MemoryStore(), wrong, batch_size=4) as decides:
        store = decides.store
        assert isinstance(store, MemoryStore)
        await Came(decides)(registered("f-1"), certified("f-1"))
        await amending.amend(decides, wrong, first)
        assert balance(store, "f-1") == 42
        planned = await amending.amend(decides, wrong, second, name="cd" * 32)
        assert [trigger.expected.wallets for trigger in planned.triggers] == [{"f-1": 18}]
        left = [(one.what, one.events) for one in planned.summary.left_for_a_person]
        assert ("decisions that another policy file corrected, and for which this one gives what was booked", 1) in left
        assert balance(store, "f-1") == 60
        await nothing_is_found(store, 1, 3)


async def test_a_refund_of_a_proposal_that_is_void_is_left_by_name(
    decides: Deciding, came: Came, store: MemoryStore
) -> None:
    await boost_came_back_twice(decides, came)
    await voiding.void(decides, BOOK, "s-p-1")
    planned = await amending.plan(store, BOOK)
    left = [(one.what, one.events) for one in planned.summary.left_for_a_person]
    assert (planned.triggers, ("refunds of proposals that were voided or given other content since", 1) in left) == (
        [],
        True,
    )
