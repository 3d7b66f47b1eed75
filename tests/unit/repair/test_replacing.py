"""Replacements of grants, purchases and adjustments: what differs by the right content is booked, as one net change."""

import json
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from tests.kit import replacing, replaying, voiding
from tests.kit.correcting import adjusted, last_change
from tests.kit.deciding import Deciding
from tests.kit.policies import policies
from tests.kit.replacing import other
from tests.kit.replaying import Came, balance, bought, closed, event, nothing_is_found, proposed
from worker.domain.rules.grants import PURCHASE
from worker.ledger.memory_store import MemoryStore
from worker.ledger.parked import ParkedKey
from worker.ledger.tables import LotRow
from worker.repair.plan import NOTHING, Replace

BOOK = policies()


def lots(store: MemoryStore, name: str = "f-1") -> list[LotRow]:
    return sorted(store.tables.lots_of.of(name), key=lambda row: row.lot_id)


def left(planned: object) -> list[tuple[str, int]]:
    return [(one.what, one.events) for one in planned.summary.left_for_a_person]  # type: ignore[attr-defined]


async def test_a_purchase_of_more_is_given_the_difference(decides: Deciding, came: Came, store: MemoryStore) -> None:
    wrong = bought("f-1", "b-1", 10)
    await came(wrong)
    planned = await replacing.replace(decides, BOOK, other(wrong, connects=25))
    assert (planned.summary.given, planned.summary.taken, planned.summary.triggers["replace"]) == (15, 0, 1)
    assert balance(store, "f-1") == 25
    change = last_change(store)
    assert (change.rule, change.reason, change.delta) == ("correct.replace", "replaced", 15)
    assert change.explanation == (
        "15 Connects added on 2 March 2026, as a correction: purchase b-1 of 2 March 2026 was for 25 Connects, not 10."
    )
    first, second = lots(store)
    assert (second.source, second.linked_to, second.expires_at) == ("purchase", first.lot_id, first.expires_at)
    await nothing_is_found(store, 1, 3)


async def test_what_is_given_lasts_at_least_so_long(decides: Deciding, came: Came, store: MemoryStore) -> None:
    wrong = bought("f-1", "b-1", 10)
    await came(wrong)
    await decides.until(datetime(2027, 5, 1, tzinfo=UTC))
    await replacing.replace(decides, BOOK, other(wrong, connects=25))
    new = lots(store)[-1]
    assert new.expires_at - new.issued_at == timedelta(days=30)
    await nothing_is_found(store, 1, 3)


async def test_a_purchase_of_less_is_taken_from_its_lot_first(
    decides: Deciding, came: Came, store: MemoryStore
) -> None:
    wrong = bought("f-1", "b-1", 10)
    await came(adjusted("f-1", "x", 5), wrong)
    planned = await replacing.replace(decides, BOOK, other(wrong, connects=4))
    assert (planned.summary.given, planned.summary.taken) == (0, 6)
    assert [lot.remaining for lot in lots(store)] == [5, 4]
    assert last_change(store).explanation == (
        "6 Connects taken back on 3 March 2026, as a correction: purchase b-1 of 2 March 2026 was for 4 Connects, not "
        "10."
    )
    await nothing_is_found(store, 1, 3)


async def test_what_lines_drew_of_it_is_charged_again_and_no_more(
    decides: Deciding, came: Came, store: MemoryStore
) -> None:
    wrong = bought("f-1", "b-1", 10)
    await came(wrong, proposed("f-1", "p-1", connects=8), adjusted("f-1", "x", 5))
    planned = await replacing.replace(decides, BOOK, other(wrong, connects=5))
    assert (planned.summary.taken, balance(store, "f-1")) == (5, 2)
    assert "3 Connects had paid for proposals" in last_change(store).explanation
    spend = store.tables.spends["p-1"]
    assert spend.base_debt == 0
    await came(closed("j-1"))
    await decides.until(datetime(2026, 3, 10, tzinfo=UTC))
    assert balance(store, "f-1") == 10
    await nothing_is_found(store, 1, 3)


async def test_what_no_lot_covers_becomes_the_proposals_debt(decides: Deciding, came: Came, store: MemoryStore) -> None:
    wrong = bought("f-1", "b-1", 10)
    await came(wrong, proposed("f-1", "p-1", connects=8))
    await replacing.replace(decides, BOOK, other(wrong, connects=5))
    assert (balance(store, "f-1"), store.tables.spends["p-1"].base_debt) == (-3, 3)
    await nothing_is_found(store, 1, 3)


async def test_what_a_debit_drew_is_taken_elsewhere_or_missing(
    decides: Deciding, came: Came, store: MemoryStore
) -> None:
    wrong = bought("f-1", "b-1", 10)
    await came(wrong, adjusted("f-1", "x", -9), adjusted("f-1", "y", 2))
    planned = await replacing.replace(decides, BOOK, other(wrong, connects=4))
    assert (planned.summary.taken, planned.summary.shortfall, balance(store, "f-1")) == (3, 3, 0)
    assert "3 Connects could not be taken back" in last_change(store).explanation
    await nothing_is_found(store, 1, 3)


async def test_what_expired_covers_the_difference_first(decides: Deciding, came: Came, store: MemoryStore) -> None:
    wrong = bought("f-1", "b-1", 10)
    await came(wrong, proposed("f-1", "p-1", connects=6))
    await decides.until(datetime(2027, 5, 1, tzinfo=UTC))
    await came(adjusted("f-1", "later", 50, "2027-05-02T00:00:00Z"))
    planned = await replacing.replace(decides, BOOK, other(wrong, connects=5))
    assert (planned.summary.taken, balance(store, "f-1")) == (1, 49)
    assert "4 Connects of the difference had expired" in last_change(store).explanation
    await nothing_is_found(store, 1, 3)


@pytest.mark.parametrize(
    ("was", "right", "after"), [(-7, -3, 37), (-3, -7, 33), (-7, 5, 45), (5, -7, 33), (5, 0, 40), (-5, 0, 40)]
)
async def test_an_adjustment_of_another_amount(
    decides: Deciding, came: Came, store: MemoryStore, was: int, right: int, after: int
) -> None:
    wrong = adjusted("f-1", "x", was)
    await came(bought("f-1", "b-1", 40), wrong)
    await replacing.replace(decides, BOOK, other(wrong, connects=right))
    assert balance(store, "f-1") == after
    assert f"adjustment x of 3 March 2026 was for {right} Connects, not {was}." in last_change(store).explanation
    await nothing_is_found(store, 1, 3)


async def test_content_that_changes_no_balance_books_nothing_and_counts(
    decides: Deciding, came: Came, store: MemoryStore
) -> None:
    wrong = adjusted("f-1", "x", 5)
    await came(wrong)
    planned = await replacing.replace(decides, BOOK, other(wrong, note="the other reason"))
    assert (planned.summary.wallets, planned.summary.triggers["replace"]) == (0, 1)
    decision = max(store.tables.decisions, key=lambda row: row.seq if row.kind == "correction" else 0)
    assert (decision.outcome, decision.reason, decision.rule) == ("applied", "replaced", "correct.replace")
    assert last_change(store).rule == "adjust"
    await nothing_is_found(store, 1, 3)


async def test_a_badges_time_decides_by_the_policy_of_then(decides: Deciding, came: Came, store: MemoryStore) -> None:
    wrong = event("badge-earned", "g-1", freelancer_id="f-1", badge="rising-talent")
    await came(wrong)
    planned = await replacing.plan(store, BOOK, shifted=["g-1"], by=timedelta(days=-1))
    await replacing.applied(decides, BOOK, planned)
    assert balance(store, "f-1") == 30
    again = await replacing.plan(store, BOOK, shifted=["g-1"], by=timedelta(days=-1))
    assert (again.triggers, again.summary.replaced) == ([], 1)
    await nothing_is_found(store, 1, 3)


@pytest.mark.parametrize("days", [3_000_000, 900_000, -20_000])
async def test_a_shift_out_of_time_is_left_for_a_person(came: Came, store: MemoryStore, days: int) -> None:
    await came(bought("f-1", "b-1", 10))
    planned = await replacing.plan(store, BOOK, shifted=["e-b-1"], by=timedelta(days=days))
    assert left(planned) == [("events that would be dated at an instant that is refused", 1)]


async def test_a_second_plan_is_empty_and_says_why(decides: Deciding, came: Came, store: MemoryStore) -> None:
    wrong = bought("f-1", "b-1", 10)
    await came(wrong)
    await replacing.replace(decides, BOOK, other(wrong, connects=25))
    again = await replacing.plan(store, BOOK, [other(wrong, connects=25)])
    assert (again.triggers, again.summary.replaced, again.summary.inert) == ([], 1, 0)
    once_more = await replacing.plan(store, BOOK, [other(wrong, connects=26)])
    assert left(once_more) == [("events that were replaced before, with other content again", 1)]
    same = await replacing.plan(store, BOOK, adds=[wrong, other(wrong, connects=25)])
    assert (same.triggers, same.summary.replaced, same.summary.inert) == ([], 2, 0)
    unknown = await replacing.plan(store, BOOK, [bought("f-1", "b-9", 10)])
    assert left(unknown) == [("events that were never decided", 1)]


async def test_the_id_answers_with_the_new_content_and_with_the_old(
    decides: Deciding, came: Came, store: MemoryStore
) -> None:
    wrong = bought("f-1", "b-1", 10)
    right, neither = other(wrong, connects=25), other(wrong, connects=26)
    await came(wrong, right)
    await replacing.replace(decides, BOOK, right)
    await came(right, wrong, neither)
    repeats = [row for row in store.tables.decisions if row.event_id == "e-b-1" and row.kind == "first"]
    assert [row.outcome for row in sorted(repeats, key=lambda row: row.seq)] == [
        "applied",
        "rejected",
        "duplicate",
        "duplicate",
        "rejected",
    ]
    assert balance(store, "f-1") == 25
    await nothing_is_found(store, 1, 3)


async def test_the_next_leader_knows_the_content_too(decides: Deciding, came: Came, store: MemoryStore) -> None:
    wrong = bought("f-1", "b-1", 10)
    await came(wrong)
    await replacing.replace(decides, BOOK, other(wrong, connects=25))
    await decides.writer.open()
    await came(other(wrong, connects=25))
    assert max(store.tables.decisions, key=lambda row: row.seq).outcome == "duplicate"
    await nothing_is_found(store, 1, 3)


async def test_what_is_about_something_else_or_changed_nothing_is_left_for_a_person(
    came: Came, store: MemoryStore
) -> None:
    wrong, twice = bought("f-1", "b-1", 10), other(bought("f-1", "b-1", 10), event_id="e-2")
    hired = event("hire-made", "h-1", job_id="j-1", freelancer_id="f-2", contract_id="k-1")
    await came(wrong, twice, hired)
    planned = await replacing.plan(
        store,
        BOOK,
        [
            other(wrong, freelancer_id="f-2"),
            other(twice, connects=11),
            other(hired, occurred_at="2026-02-01T00:00:00Z"),
        ],
    )
    assert planned.triggers == []
    assert left(planned) == [
        ("events of other kinds", 1),
        ("events that were refused", 1),
        ("events that would be about something else", 1),
    ]


async def test_one_that_was_voided_stays_void(decides: Deciding, came: Came, store: MemoryStore) -> None:
    wrong = bought("f-1", "b-1", 10)
    await came(wrong)
    await voiding.void(decides, BOOK, "e-b-1")
    planned = await replacing.plan(store, BOOK, [other(wrong, connects=25)])
    assert (planned.triggers, planned.summary.nothing_to_void) == ([], 1)


async def test_a_purchase_that_was_replaced_is_not_voided(decides: Deciding, came: Came, store: MemoryStore) -> None:
    wrong = bought("f-1", "b-1", 10)
    await came(wrong)
    await replacing.replace(decides, BOOK, other(wrong, connects=25))
    planned = await voiding.plan(store, BOOK, voiding.seqs_of(store, "e-b-1"))
    assert planned.triggers == []
    assert left(planned) == [("grants, purchases and adjustments whose event was replaced", 1)]


async def test_two_lines_about_one_event_must_agree(came: Came, store: MemoryStore) -> None:
    wrong = bought("f-1", "b-1", 10)
    await came(wrong)
    right = other(wrong, connects=25)
    planned = await replacing.plan(store, BOOK, [right, right, other(wrong, connects=26)])
    assert (len(planned.triggers), planned.summary.inert, planned.summary.conflicts) == (1, 1, 1)
    assert planned.summary.conflicting == [
        "right.jsonl, line 3: event e-b-1 of connects-purchased is in an earlier line with other content"
    ]


async def test_a_wallet_that_went_on_deviates_and_books_nothing(
    decides: Deciding, came: Came, store: MemoryStore
) -> None:
    wrong = bought("f-1", "b-1", 10)
    await came(wrong)
    planned = await replacing.plan(store, BOOK, [other(wrong, connects=4)])
    await came(adjusted("f-1", "x", -8))
    answer = await replaying.apply(decides, BOOK, planned.triggers)
    assert answer.told["deviated"] == 1
    assert replaying.became(store) == [(1, "deviated", "other-amounts")]
    assert balance(store, "f-1") == 2
    await nothing_is_found(store, 1, 3)


@pytest.mark.parametrize(
    ("content", "reason", "detail"),
    [
        ({"connects": 4, "event_id": "e-other"}, "other-outcome", "names another freelancer, job, proposal, purchase"),
        ({"connects": 4, "purchase_id": "b-2"}, "other-outcome", "names another freelancer, job, proposal, purchase"),
        ({"connects": "four"}, "other-outcome", "it cannot be replaced: their right content cannot be read"),
        ({"occurred_at": "3001-01-01T00:00:00Z"}, "occurred-in-the-future", "it is dated 3001-01-01T00:00:00+00:00"),
    ],
)
async def test_content_that_no_plan_would_have_deviates(
    decides: Deciding, came: Came, store: MemoryStore, content: dict[str, object], reason: str, detail: str
) -> None:
    wrong = bought("f-1", "b-1", 10)
    await came(wrong)
    (trigger,) = (await replacing.plan(store, BOOK, [other(wrong, connects=4)])).triggers
    altered = msgspec.structs.replace(trigger, event=json.dumps(wrong[1] | content))
    await replaying.apply(decides, BOOK, [altered])
    (row,) = store.tables.replayed
    assert (row.outcome, row.reason) == ("deviated", reason)
    assert detail in (row.detail or "")
    assert balance(store, "f-1") == 10


async def test_one_that_is_voided_before_it_is_applied_deviates(
    decides: Deciding, came: Came, store: MemoryStore
) -> None:
    wrong = bought("f-1", "b-1", 10)
    await came(wrong)
    (trigger,) = (await replacing.plan(store, BOOK, [other(wrong, connects=4)])).triggers
    await voiding.void(decides, BOOK, "e-b-1", name="cd" * 32)
    nothing = msgspec.structs.replace(trigger, number=2, expected=NOTHING)
    answer = await replaying.apply(decides, BOOK, [trigger, nothing])
    assert (answer.told["booked"], answer.told["deviated"]) == (0, 1)
    answer = await replaying.apply(decides, BOOK, [msgspec.structs.replace(nothing, number=1)], "ef" * 32)
    assert answer.told["booked"] == 1
    await came(other(wrong, connects=4))
    assert max(store.tables.decisions, key=lambda row: row.seq).reason == "event-id-conflict"
    await nothing_is_found(store, 1, 3)


async def test_a_parked_wallet_is_left_out(decides: Deciding, came: Came, store: MemoryStore) -> None:
    wrong = bought("f-1", "b-1", 10)
    await came(wrong)
    planned = await replacing.plan(store, BOOK, [other(wrong, connects=4)])
    store.tables.parked.put([ParkedKey("wallet", "f-1")])
    await decides.writer.open()
    await replaying.apply(decides, BOOK, planned.triggers)
    assert replaying.became(store) == [(1, "left-out", "parked")]


async def test_a_trigger_keeps_what_the_ledger_said(decides: Deciding, came: Came, store: MemoryStore) -> None:
    wrong = bought("f-1", "b-1", 10)
    await came(wrong)
    planned = await replacing.replace(decides, BOOK, other(wrong, connects=4))
    (trigger,) = planned.triggers
    assert isinstance(trigger, Replace)
    assert (trigger.corrects, trigger.found, trigger.source, trigger.line) == (["e-b-1"], None, "right.jsonl", 1)
    (booked,) = (row for row in store.tables.decisions if row.kind == "correction")
    kept = json.loads(booked.payload or b"")
    assert (kept["found"]["what"]["rule"], json.loads(kept["found"]["was"])["connects"]) == (PURCHASE, 10)
    assert {named.key for named in store.tables.mentions if named.seq == booked.seq} >= {"e:e-b-1"}
