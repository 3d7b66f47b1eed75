"""Corrections of amounts: what the right rules give, less what stands, is booked on the wallet as it is now."""

from collections.abc import AsyncIterator
from datetime import timedelta

import msgspec
import pytest

from schemas.outputs import WalletUpdated
from tests.kit import amending, replaying, voiding
from tests.kit.correcting import (
    adjusted,
    boost_came_back_twice,
    certified,
    day,
    interviewed,
    last_change,
)
from tests.kit.deciding import Deciding
from tests.kit.policies import policies, policy_text
from tests.kit.replaying import Came, balance, bought, event, leading, nothing_is_found, registered
from worker.kafka.output.messages import unpack
from worker.ledger.memory_store import MemoryStore
from worker.ledger.tables import ParkedRow
from worker.proof.parts import Part
from worker.repair import deciding
from worker.repair.plan import Decide

BOOK = policies()


async def test_a_boost_that_came_back_twice_is_taken(decides: Deciding, came: Came, store: MemoryStore) -> None:
    await boost_came_back_twice(decides, came)
    assert balance(store, "f-1") == 44
    planned = await amending.amend(decides, BOOK)
    (trigger,) = planned.triggers
    assert isinstance(trigger, Decide)
    assert (trigger.what.booked, trigger.what.verdict, trigger.expected.wallets) == (10, 6, {"f-1": -4})
    assert balance(store, "f-1") == 40
    assert "4 Connects taken back on" in last_change(store).explanation
    await nothing_is_found(store, 1, 3)
    again = await amending.plan(store, BOOK)
    assert (again.triggers, again.summary.left_for_a_person[1:]) == ([], [])


async def test_what_is_not_there_is_a_shortfall_once(decides: Deciding, came: Came, store: MemoryStore) -> None:
    await boost_came_back_twice(decides, came)
    await came(adjusted("f-1", "a-1", -43, "2026-03-06T10:00:00Z"))
    planned = await amending.amend(decides, BOOK)
    assert (planned.summary.taken, planned.summary.shortfall) == (1, 3)
    assert balance(store, "f-1") == 0
    assert "3 Connects could not be taken back" in last_change(store).explanation
    await came(bought("f-1", "b-1"))
    assert (await amending.plan(store, BOOK)).triggers == []
    assert balance(store, "f-1") == 10
    await nothing_is_found(store, 1, 3)


async def test_where_nothing_is_there_it_stands_amended_all_the_same(
    decides: Deciding, came: Came, store: MemoryStore
) -> None:
    await boost_came_back_twice(decides, came)
    await came(adjusted("f-1", "a-1", -44, "2026-03-06T10:00:00Z"))
    before = last_change(store).version
    planned = await amending.amend(decides, BOOK)
    assert (planned.summary.taken, planned.summary.shortfall, last_change(store).version) == (0, 4, before)
    assert (await amending.plan(store, BOOK)).triggers == []
    await nothing_is_found(store, 1, 3)


WRONG = policies(registration=4, basic=1, certification=2)
"""What the ledger decides by, while BOOK has what is right."""


@pytest.fixture
async def by_a_wrong_policy() -> AsyncIterator[Deciding]:
    async with leading(MemoryStore(), WRONG, batch_size=4) as decides:
        yield decides


async def test_a_corrected_policy_gives_the_rest_into_linked_lots(by_a_wrong_policy: Deciding) -> None:
    decides, store = by_a_wrong_policy, by_a_wrong_policy.store
    assert isinstance(store, MemoryStore)
    await Came(decides)(registered("f-1"), certified("f-1"), bought("f-1", "b-1", 5))
    await decides.until(day("2026-05-10"))
    assert balance(store, "f-1") == 4 + 2 + 5 + 2 * 1
    assert (await amending.plan(store, WRONG)).triggers == []
    planned = await amending.amend(decides, WRONG, BOOK)
    assert (planned.summary.triggers["decide"], planned.summary.given) == (4, 36 + 18 + 2 * 9)
    assert balance(store, "f-1") == 40 + 20 + 5 + 2 * 10
    linked = {row.linked_to: row for row in store.tables.lots if row.linked_to is not None}
    for original in (row for row in store.tables.lots if row.lot_id in linked):
        given = linked[original.lot_id]
        assert (given.source, given.expires_at) == (original.source, original.expires_at)
    assert sorted(row.source for row in linked.values()) == ["certification", "monthly", "monthly", "registration"]
    assert (await amending.plan(store, WRONG, None, BOOK)).triggers == []
    await nothing_is_found(store, 1, 3)


async def test_messages_fit_the_contract_also_where_the_clock_is_corrected_and_ids_are_long(
    by_a_wrong_policy: Deciding,
) -> None:
    decides, whose = by_a_wrong_policy, "f" * 64
    assert isinstance(decides.store, MemoryStore)
    await Came(decides)(event("freelancer-registered", "e-1", "2026-03-01T10:00:00Z", freelancer_id=whose))
    await decides.until(day("2026-04-10"))
    await amending.amend(decides, WRONG, BOOK)
    messages = [one for row in await decides.store.outbox_rows(0, 10**6) for one in unpack(row.messages)]
    updates = [WalletUpdated.model_validate_json(one.value) for one in messages if one.topic == "wallet-updated"]
    assert [one.corrects for one in updates if one.corrects] == [("e-1",), (f"cycle:{whose}:2026-04-01",)]


async def test_without_its_policy_what_was_amended_by_one_is_left(by_a_wrong_policy: Deciding) -> None:
    decides, store = by_a_wrong_policy, by_a_wrong_policy.store
    assert isinstance(store, MemoryStore)
    await Came(decides)(registered("f-1"))
    await amending.amend(decides, WRONG, BOOK)
    planned = await amending.plan(store, WRONG)
    assert planned.triggers == []
    (left,) = [one for one in planned.summary.left_for_a_person if "corrected policy" in one.what]
    assert left.events == 1
    other = await amending.amend(decides, WRONG, policies(registration=30), name="cd" * 32)
    assert [trigger.expected.wallets for trigger in other.triggers] == [{"f-1": -10}]
    assert balance(store, "f-1") == 30
    assert (await amending.plan(store, WRONG, None, policies(registration=30))).triggers == []
    await nothing_is_found(store, 1, 3)


async def test_what_is_given_lasts_a_while_also_if_the_original_is_over(by_a_wrong_policy: Deciding) -> None:
    decides, store = by_a_wrong_policy, by_a_wrong_policy.store
    assert isinstance(store, MemoryStore)
    await Came(decides)(certified("f-1", "2026-03-01T10:00:00Z"))
    await decides.until(day("2027-04-01"))
    assert balance(store, "f-1") == 0
    await amending.amend(decides, WRONG, BOOK)
    (given,) = [row for row in store.tables.lots if row.linked_to is not None]
    assert given.remaining == 18
    assert given.expires_at == given.issued_at + timedelta(days=30)
    await decides.until(given.expires_at + timedelta(days=1))
    assert balance(store, "f-1") == 0
    await nothing_is_found(store, 1, 3)


async def test_what_was_voided_is_not_amended(decides: Deciding, came: Came, store: MemoryStore) -> None:
    more = policies(certification=30)
    await came(certified("f-2"))
    assert len((await amending.plan(store, BOOK, None, more)).triggers) == 1
    await voiding.void(decides, BOOK, "k-f-2")
    assert (await amending.plan(store, BOOK, None, more)).triggers == []


async def test_what_was_amended_is_not_voided(by_a_wrong_policy: Deciding) -> None:
    decides, store = by_a_wrong_policy, by_a_wrong_policy.store
    assert isinstance(store, MemoryStore)
    await Came(decides)(certified("f-1"))
    await amending.amend(decides, WRONG, BOOK)
    planned = await voiding.void(decides, WRONG, "k-f-1", name="cd" * 32)
    assert planned.triggers == []
    assert [(one.what, one.events) for one in planned.summary.left_for_a_person] == [("decisions that were amended", 1)]
    assert balance(store, "f-1") == 20


async def test_what_cannot_be_amended_is_left_by_name(came: Came, store: MemoryStore) -> None:
    no_badge = policies(certification=0, interview_cap=3, lot_lifetime_years=2)
    await came(
        registered("f-1"),
        certified("f-1"),
        interviewed("f-1", "j-7", "2026-03-05T11:00:00Z"),
        event("badge-earned", "e-badge", "2026-03-05T12:00:00Z", freelancer_id="f-1", badge="top-rated"),
    )
    planned = await amending.plan(store, BOOK, None, no_badge)
    left = {one.what: one.events for one in planned.summary.left_for_a_person}
    assert left == {"grants that the right rules refuse": 1, "interviews": 1}
    given = await amending.plan(
        store, BOOK, None, policies(policy_text().replace("rising-talent = 30", "top-rated = 3"))
    )
    assert {one.what for one in given.summary.left_for_a_person} == {
        "grants that were refused, and that the right rules make"
    }
    assert given.triggers == planned.triggers == []


async def test_one_decision_named_twice_by_a_plan_is_booked_once(by_a_wrong_policy: Deciding) -> None:
    decides, store = by_a_wrong_policy, by_a_wrong_policy.store
    assert isinstance(store, MemoryStore)
    await Came(decides)(registered("f-1"))
    (trigger,) = (await amending.plan(store, WRONG, None, BOOK)).triggers
    twice = [trigger, msgspec.structs.replace(trigger, number=2)]
    answer = await replaying.apply(decides, WRONG, twice)
    assert (answer.told["booked"], answer.told["deviated"]) == (1, 1)
    assert balance(store, "f-1") == 40
    await nothing_is_found(store, 1, 3)


async def test_one_plan_voids_and_does_not_amend_the_same(by_a_wrong_policy: Deciding) -> None:
    decides, store = by_a_wrong_policy, by_a_wrong_policy.store
    assert isinstance(store, MemoryStore)
    await Came(decides)(certified("f-1"), certified("f-2"))
    both = await amending.plan(store, WRONG, None, BOOK, voids=voiding.seqs_of(store, "k-f-1"))
    assert [type(trigger).__name__ for trigger in both.triggers] == ["Void", "Decide"]
    assert (both.triggers[1].expected.wallets, both.summary.nothing_to_amend) == ({"f-2": 18}, 1)
    await replaying.apply(decides, WRONG, both.triggers)
    assert (balance(store, "f-1"), balance(store, "f-2")) == (0, 20)
    await nothing_is_found(store, 1, 3)


async def test_a_parked_wallet_is_left_for_a_person(by_a_wrong_policy: Deciding) -> None:
    decides, store = by_a_wrong_policy, by_a_wrong_policy.store
    assert isinstance(store, MemoryStore)
    await Came(decides)(registered("f-1"), registered("f-2"))
    (_, second) = (await amending.plan(store, WRONG, None, BOOK)).triggers
    store.tables.parked.put([ParkedRow("wallet", "f-2", 1, "it failed", day("2026-03-01"))])
    planned = await amending.plan(store, WRONG, None, BOOK)
    assert [trigger.expected.wallets for trigger in planned.triggers] == [{"f-1": 36}]
    assert [one.what for one in planned.summary.left_for_a_person] == ["wallet f-2"]
    await decides.restart()
    answer = await replaying.apply(decides, WRONG, [msgspec.structs.replace(second, number=1)])
    assert (answer.told["left_out"], answer.told["booked"]) == (1, 0)
    assert balance(store, "f-2") == 4


async def test_many_freelancers_are_judged_in_passes(
    by_a_wrong_policy: Deciding, monkeypatch: pytest.MonkeyPatch
) -> None:
    decides, store = by_a_wrong_policy, by_a_wrong_policy.store
    assert isinstance(store, MemoryStore)
    await Came(decides)(*(registered(f"f-{number}") for number in range(9)))
    one_by_one = await amending.plan(store, WRONG, None, BOOK)
    monkeypatch.setattr(deciding, "_BY_INDEX", 3)
    monkeypatch.setattr(deciding, "parts_of", lambda _: [Part(number, 4) for number in range(4)])
    in_passes = await amending.plan(store, WRONG, None, BOOK)
    assert in_passes.triggers == one_by_one.triggers
    assert len(in_passes.triggers) == 9
