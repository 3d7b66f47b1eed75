"""What a decision of a plan has done, as an undo asks for it, by every store: what mentions it, and what settled it."""

from collections.abc import AsyncIterator

import msgspec
import pytest

from tests.kit.correcting import day, outbid
from tests.kit.deciding import Deciding, deciding
from tests.kit.policies import policies
from tests.kit.replaying import Came, Event, apply, bought, closed, event, proposed, registered, value_of
from worker.domain.model import FreelancerId, JobId, LotId, ProposalId
from worker.domain.rules.decides import Standing, ToAmend
from worker.ledger.memory_store import MemoryStore
from worker.ledger.rows import facts_in
from worker.ledger.tables import DecisionRow
from worker.repair.plan import Added, Decide, Expected, Replace, Trigger, Undo, Void

BOOK = policies()
J_1, J_2, P_1, P_2 = JobId("j-1"), JobId("j-2"), ProposalId("p-1"), ProposalId("p-2")


@pytest.fixture
async def decides(for_a_writer: str | MemoryStore) -> AsyncIterator[Deciding]:
    """A ledger in which f-1 bought Connects, and submitted a proposal on each of two jobs."""
    async with deciding(for_a_writer, BOOK) as decides:
        decides.add_policies()
        came = Came(decides)
        await came(registered("f-1"), bought("f-1", "b-1", 30), proposed("f-1", "p-1"), proposed("f-1", "p-2", "j-2"))
        yield decides


def decided(decides: Deciding) -> list[DecisionRow]:
    return [row for committed in decides.committed for row in committed.batch.decisions]


def seq_of(decides: Deciding, event_id: str) -> int:
    return next(row.seq for row in decided(decides) if row.event_id == event_id)


async def booked(decides: Deciding, trigger: Trigger, plan: str) -> DecisionRow:
    """The decision of a trigger that is applied as a plan of its own."""
    answer = await apply(decides, BOOK, [trigger], plan * 32)
    assert answer.told.get("booked") == 1, answer
    kind = "added" if isinstance(trigger, Added) else "correction"
    return next(row for row in reversed(decided(decides)) if row.kind == kind)


def withdrawn(name: str, event_id: str) -> Event:
    named = {"freelancer_id": name, "proposal_id": "p-1", "job_id": "j-1"}
    return event("proposal-withdrawn", event_id, "2026-03-03T13:00:00Z", **named)


async def test_what_names_a_proposal_is_mentioned_in_ledger_order(decides: Deciding) -> None:
    store, made = decides.store, seq_of(decides, "s-p-1")
    assert await store.mentioned(["p:p-1"], 0) == [], "a proposal itself is found by its spend"
    await Came(decides, 100)(withdrawn("f-1", "w-1"), outbid("f-2", "p-1"), withdrawn("f-1", "w-2"))
    named = [row for row in decided(decides) if row.event_id in {"w-1", "o-p-1", "w-2"}]
    assert await store.mentioned(["p:p-1"], made) == named
    assert await store.mentioned(["p:p-1", "j:j-1", "p:p-1"], made) == named, "each once, whatever keys name it"
    assert await store.mentioned(["p:p-1"], named[0].seq) == named[1:], "those after a decision only"
    assert await store.mentioned(["p:p-1"], named[-1].seq) == []
    assert await store.mentioned(["p:p-2"], 0) == []
    assert await store.mentioned([], 0) == []


async def test_what_follows_a_decision_is_mentioned(decides: Deciding) -> None:
    store, seq = decides.store, seq_of(decides, "e-b-1")
    assert await store.mentioned([f"s:{seq}"], seq) == []
    named = ("f-1", None, None, "connects-purchased", ["e-b-1"])
    void = await booked(
        decides, Void(1, seq, *named, "wrong.txt", 1, Expected("applied", "voided", {"f-1": -30})), "ab"
    )
    assert await store.mentioned([f"s:{seq}"], seq) == [void]
    undo = await booked(
        decides, Undo(1, void.seq, *named, "plan abababababab", 1, Expected("applied", "undone", {"f-1": 30})), "cd"
    )
    assert await store.mentioned([f"s:{void.seq}"], void.seq) == [undo]
    assert await store.mentioned([f"s:{seq}", f"s:{void.seq}"], seq) == [void, undo]
    assert await store.mentioned([f"s:{seq}", f"s:{void.seq}"], void.seq) == [undo]


async def test_the_settlements_of_a_spend_name_their_closures(decides: Deciding) -> None:
    store, came = decides.store, Came(decides, 100)
    assert await store.settled_by(J_1, P_1) == []
    topic, fields = closed("j-1")
    expired = {**fields, "event_id": "c-expired", "occurred_at": "2026-03-04T09:00:00Z", "closure": "expired"}
    await came((topic, expired), (topic, fields), closed("j-2"))
    await decides.until(day("2026-03-06"))
    of_p_1 = [row for row in decided(decides) if row.kind == "settlement" and row.proposal_id == "p-1"]
    assert [row.reason for row in of_p_1] == ["job-expired", "closed-without-hire"]
    closures = [seq_of(decides, name) for name in ("c-expired", "c-j-1")]
    assert await store.settled_by(J_1, P_1) == list(zip(closures, [row.seq for row in of_p_1], strict=True))
    assert [closure for closure, _ in await store.settled_by(J_2, P_2)] == [seq_of(decides, "c-j-2")]
    assert await store.settled_by(J_2, P_1) == await store.settled_by(J_1, P_2) == []


async def test_the_settlement_of_a_closure_that_was_added_names_it(decides: Deciding) -> None:
    bought_later = {"freelancer_id": "f-2", "purchase_id": "b-2", "connects": 1}
    await Came(decides, 100)(event("connects-purchased", "e-b-2", "2026-03-05T00:00:00Z", **bought_later))
    pending = Expected("recorded", "settlement-pending", {})
    added = Added(1, "job-closed", "c-j-1", value_of(closed("j-1")), "lost.jsonl", 1, pending)
    closure = await booked(decides, added, "ab")
    await decides.until(day("2026-03-08"))
    (settlement,) = [row for row in decided(decides) if row.kind == "settlement"]
    assert (settlement.partition, settlement.proposal_id) == (None, "p-1")
    assert await decides.store.settled_by(J_1, P_1) == [(closure.seq, settlement.seq)]


def amending(seq: int, booked: int, verdict: int) -> Decide:
    """A trigger by which purchase b-1 should have brought other Connects."""
    named = (seq, "grant.purchase", "e-b-1", day("2026-03-02"), FreelancerId("f-1"), None, None)
    what = ToAmend(*named, booked, verdict, "2026-01-01 abc", LotId("f-1:2"), "purchase", day("2027-03-02"))
    expected = Expected("applied", "amended", {"f-1": verdict - booked})
    return Decide(1, what, "connects-purchased", ["e-b-1"], "found", 0, expected)


def undoing(row: DecisionRow, connects: int, shortfall: int = 0) -> Undo:
    wallets = {"f-1": connects} if connects else {}
    expected = Expected("applied", "undone", wallets, {"f-1": shortfall} if shortfall else {})
    return Undo(1, row.seq, "f-1", None, None, "connects-purchased", ["e-b-1"], "plan abababababab", 1, expected)


async def test_what_stands_for_an_amount_is_what_stood_before_after_an_undo(decides: Deciding) -> None:
    store, seq = decides.store, seq_of(decides, "e-b-1")
    amended = await booked(decides, amending(seq, 30, 50), "ab")
    assert await store.standing(seq, None) == Standing(50, "2026-01-01 abc")
    spent = {"freelancer_id": "f-1", "adjustment_id": "x", "actor": "ana", "note": "n"}
    left = 70 + 20 - 2 * int(proposed("f-1", "p-1")[1]["connects"])
    await Came(decides, 100)(
        event("connects-adjusted", "a-x", "2026-03-04T10:00:00Z", **spent, connects=-(left - 5)),
    )
    await booked(decides, undoing(amended, -5, 15), "cd")
    assert await store.standing(seq, None) == Standing(30, None, not_taken=15)
    again = msgspec.structs.replace(amending(seq, 30, 60), expected=Expected("applied", "amended", {"f-1": 15}))
    assert facts_in((await booked(decides, again, "ef")).facts)["set_off"] == 15
    assert await store.standing(seq, None) == Standing(60, "2026-01-01 abc")


async def test_an_event_says_what_it_said_after_a_replacement_is_undone(decides: Deciding) -> None:
    store, seq = decides.store, seq_of(decides, "e-b-1")
    right = value_of(bought("f-1", "b-1", 50))
    named = (seq, "f-1", None, None, "connects-purchased", ["e-b-1"])
    replaced = await booked(
        decides, Replace(1, *named, right, "right", 1, Expected("applied", "replaced", {"f-1": 20})), "ab"
    )
    first = (await store.first_decisions([seq]))[seq]
    assert (first.stands, first.is_replaced) == (right.encode(), True)
    assert await store.standing(seq, None) == Standing(is_over=True)
    undo = await booked(decides, undoing(replaced, -20), "cd")
    first = (await store.first_decisions([seq]))[seq]
    assert (first.stands, first.is_replaced) == (first.payload, False)
    assert first.replaced == ((replaced.seq, right.encode()), (undo.seq, first.payload))
    assert await store.standing(seq, None) == Standing()
    await Came(decides, 200)(("connects-purchased", bought("f-1", "b-1", 50)[1]), bought("f-1", "b-1", 31))
    assert [row.reason for row in decided(decides)[-2:]] == ["already-decided", "event-id-conflict"]
