"""The subordinate clauses of corrections: which lot, which line, which of several, and for how long (domain.md)."""

from datetime import timedelta

import pytest

from tests.kit import amending, replacing, replaying, undoing, voiding
from tests.kit.correcting import adjusted, boosted, day, last_change, outbid, spend, withdrawn
from tests.kit.deciding import Deciding
from tests.kit.policies import policies
from tests.kit.replacing import other
from tests.kit.replaying import Came, Event, balance, bought, closed, event, leading, nothing_is_found, registered
from worker.ledger.memory_store import MemoryStore
from worker.ledger.rows import facts_in
from worker.ledger.tables import LotRow

BOOK = policies()


def lots(store: MemoryStore) -> list[LotRow]:
    return sorted(store.tables.lots_of.of("f-1"), key=lambda row: row.lot_id)


async def test_one_that_names_another_job_is_forgotten_without_effect(
    decides: Deciding, came: Came, store: MemoryStore
) -> None:
    await came(bought("f-1", "b-1", 20), boosted("f-1", "p-1", 6, 4))
    await came(outbid("f-1", "p-1"), withdrawn("f-1", "p-1"))
    topic, fields = outbid("f-1", "p-1", "j-2")
    elsewhere = withdrawn("f-1", "p-1", "j-2", at="2026-03-03T09:00:00Z")
    await came((topic, {**fields, "event_id": "o-elsewhere"}), elsewhere)
    await voiding.void(decides, BOOK, "o-elsewhere", "w-p-1-2026-03-03T09:00:00Z")
    assert (spend(store, "p-1").boost_outbid, spend(store, "p-1").withdrawn_at) == (True, day("2026-03-03T13:00:00"))
    await came(closed("j-1"))
    await decides.until(day("2026-03-10"))
    assert balance(store, "f-1") == 14  # the boost had come back, and the base was withdrawn
    await nothing_is_found(store, 1, 3)


async def test_the_lines_that_drew_last_are_charged_again_first(
    decides: Deciding, came: Came, store: MemoryStore
) -> None:
    wrong = bought("f-1", "b-1", 20)
    await came(wrong, boosted("f-1", "p-1", 6, 0), boosted("f-1", "p-2", 4, 5))
    await replacing.replace(decides, BOOK, other(wrong, connects=8))
    owed = {name: (spend(store, name).base_debt, spend(store, name).boost_debt) for name in ("p-1", "p-2")}
    assert owed == {"p-1": (0, 0), "p-2": (2, 5)}
    assert balance(store, "f-1") == -7
    await nothing_is_found(store, 1, 3)


async def test_of_a_proposal_that_cost_less_what_it_drew_last_comes_back(
    decides: Deciding, came: Came, store: MemoryStore
) -> None:
    wrong = boosted("f-1", "p-1", 16, 0)
    await came(bought("f-1", "b-1", 10), bought("f-1", "b-2", 10), wrong)
    assert [lot.remaining for lot in lots(store)] == [0, 4]
    await replacing.replace(decides, BOOK, other(wrong, connects=12))
    assert [lot.remaining for lot in lots(store)] == [0, 8]
    await nothing_is_found(store, 1, 3)


async def test_what_a_debit_took_too_much_lasts_as_long_as_a_correction_promises(
    decides: Deciding, came: Came, store: MemoryStore
) -> None:
    wrong = adjusted("f-1", "x", -10)
    await came(bought("f-1", "b-1", 40), wrong)
    await replacing.replace(decides, BOOK, other(wrong, connects=-4))
    new = lots(store)[-1]
    assert (new.source, new.original, new.expires_at - new.issued_at) == ("adjustment", 6, timedelta(days=30))
    await nothing_is_found(store, 1, 3)


async def test_what_a_void_gives_lasts_as_long_as_a_correction_promises_though_refunds_promise_less() -> None:
    book = policies(least_life_days=90)
    async with leading(MemoryStore(), book, batch_size=4) as decides:
        store = decides.store
        assert isinstance(store, MemoryStore)
        await Came(decides)(bought("f-1", "b-1", 10), boosted("f-1", "p-1", 6, 0))
        await decides.until(day("2027-01-01"))  # its lot has 60 days left
        await voiding.void(decides, book, "s-p-1")
        first, second = lots(store)
        assert (first.remaining, second.remaining, second.linked_to) == (4, 6, first.lot_id)
        assert second.expires_at - second.issued_at == timedelta(days=90)
        await nothing_is_found(store, 1, 3)


async def test_what_expired_is_counted_by_one_correction_alone() -> None:
    """80 were given, 65 spent and 15 expired: of the 5 and then 35 that were too many these 15 are not taken again."""
    wrong = policies(registration=80)
    async with leading(MemoryStore(), wrong, batch_size=4) as decides:
        store = decides.store
        assert isinstance(store, MemoryStore)
        await Came(decides)(registered("f-1"), adjusted("f-1", "a-1", -65, "2026-03-06T10:00:00Z"))
        await decides.until(day("2027-04-02"))
        fields = {"freelancer_id": "f-1", "purchase_id": "b-2", "connects": 30}
        await Came(decides, 50)(event("connects-purchased", "e-2", "2027-04-02T10:00:00Z", **fields))
        seqs = [row.seq for row in store.tables.decisions if row.topic == "freelancer-registered"]
        for number, (registration, taken, gone) in enumerate(((75, 0, 5), (40, 25, 10))):
            planned = await amending.plan(store, wrong, seqs, policies(registration=registration))
            await replaying.apply(decides, wrong, planned.triggers, f"{number:064x}")
            booked = [row for row in store.tables.decisions if row.kind == "correction"]
            facts = facts_in(max(booked, key=lambda row: row.seq).facts)
            assert (facts["taken"], facts["gone"]) == (taken, gone)
        assert last_change(store).delta == -25
        await nothing_is_found(store, 1, 3)


@pytest.mark.parametrize("voided", ["h-1", "h-2"])
async def test_of_two_hires_the_first_counts_again_when_the_void_of_either_is_undone(
    decides: Deciding, came: Came, store: MemoryStore, voided: str
) -> None:
    def hired(event_id: str, at: str) -> Event:
        return event("hire-made", event_id, at, job_id="j-1", freelancer_id="f-9", contract_id=event_id)

    await came(bought("f-1", "b-1", 10), boosted("f-1", "p-1", 6, 0))
    await came(hired("h-1", "2026-03-04T09:00:00Z"), hired("h-2", "2026-03-05T09:00:00Z"))
    await voiding.void(decides, BOOK, voided)
    await undoing.undo(decides, BOOK)
    assert [row.first_hired_at for row in store.tables.hires] == [day("2026-03-04T09:00:00")]
    await came(closed("j-1"))
    await decides.until(day("2026-03-10"))
    assert balance(store, "f-1") == 4
    await nothing_is_found(store, 1, 3)


async def test_a_closing_before_a_proposal_does_not_settle_it_when_its_void_is_undone(
    decides: Deciding, came: Came, store: MemoryStore
) -> None:
    topic, fields = closed("j-1")
    await came(bought("f-1", "b-1", 10), (topic, {**fields, "occurred_at": "2026-03-02T12:00:00Z"}))
    await came(boosted("f-1", "p-1", 6, 0))
    await voiding.void(decides, BOOK, "s-p-1")
    assert balance(store, "f-1") == 10
    await undoing.undo(decides, BOOK)
    await decides.until(day("2026-03-10"))
    assert (balance(store, "f-1"), spend(store, "p-1").base_returned) == (4, False)
    await nothing_is_found(store, 1, 3)
