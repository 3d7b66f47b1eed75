"""What stands for a decision since corrections, by every store: as it booked, amended, or over."""

from collections.abc import AsyncIterator

import pytest

from tests.kit.correcting import adjusted, certified, day
from tests.kit.deciding import Deciding, deciding
from tests.kit.policies import policies
from tests.kit.replaying import Came, apply, closed, event, proposed, registered
from worker.domain.model import FreelancerId, JobId, ProposalId
from worker.domain.rules.decides import Standing, ToAmend
from worker.ledger.memory_store import MemoryStore
from worker.ledger.tables import DecisionRow
from worker.repair.plan import Decide, Expected, Settle, Trigger, Void

BOOK = policies()
F_1, J_2, P_1, P_2 = FreelancerId("f-1"), JobId("j-2"), ProposalId("p-1"), ProposalId("p-2")


@pytest.fixture
async def decides(for_a_writer: str | MemoryStore) -> AsyncIterator[Deciding]:
    """A ledger in which f-1 was certified, and two proposals came back."""
    async with deciding(for_a_writer, BOOK) as decides:
        decides.add_policies()
        came = Came(decides)
        await came(registered("f-1"), certified("f-1", "2026-03-02T10:00:00Z"), proposed("f-1", "p-1"))
        await came(proposed("f-1", "p-2", "j-2"), closed("j-1"), closed("j-2"))
        await decides.until(day("2026-03-05"))
        yield decides


def decided(decides: Deciding, reason: str, proposal_id: str | None = None) -> DecisionRow:
    rows = [row for committed in decides.committed for row in committed.batch.decisions]
    return next(row for row in rows if row.reason == reason and row.proposal_id == proposal_id)


async def corrected(decides: Deciding, trigger: Trigger, plan: str) -> None:
    answer = await apply(decides, BOOK, [trigger], plan * 32)
    assert answer.told.get("booked") == 1, answer


async def test_a_decision_stands_as_it_was_amended_last(decides: Deciding) -> None:
    row = decided(decides, "certified")
    assert await decides.store.standing(row.seq, None) == Standing()
    for verdict, policy, delta, plan in ((15, None, -5, "ab"), (18, "2026-01-01 0f", 3, "cd")):
        about = (row.seq, "grant.certification", "k-f-1", day("2026-03-02"), F_1, None, None)
        what = ToAmend(*about, 20, verdict, policy)
        expected = Expected("applied", "amended", {"f-1": delta})
        named = (row.topic or "", [row.event_id or ""], "wrong.jsonl", 1)
        await corrected(decides, Decide(1, what, *named, expected), plan)
        assert await decides.store.standing(row.seq, None) == Standing(verdict, policy)
    assert await decides.store.standing(row.seq + 1, None) == Standing()


async def test_a_refund_is_over_when_its_proposal_is_void(decides: Deciding) -> None:
    refund, spend = decided(decides, "closed-without-hire", "p-1"), decided(decides, "proposal-submitted", "p-1")
    assert await decides.store.standing(refund.seq, P_1) == Standing()
    named = ("f-1", "j-1", "p-1", "proposal-submitted", ["s-p-1"], "resent.txt", 1)
    await corrected(decides, Void(1, spend.seq, *named, Expected("applied", "voided", {})), "ab")
    assert await decides.store.standing(refund.seq, P_1) == Standing(is_over=True)
    assert await decides.store.standing(spend.seq, P_1) == Standing(is_over=True)
    other = decided(decides, "closed-without-hire", "p-2")
    assert await decides.store.standing(other.seq, P_2) == Standing()


async def test_a_refund_stands_when_its_job_was_settled_again(decides: Deciding) -> None:
    refund = decided(decides, "closed-without-hire", "p-2")
    hired = {"job_id": "j-2", "freelancer_id": "f-2", "contract_id": "k-1"}
    await Came(decides, 100)(event("hire-made", "h-1", "2026-03-03T12:00:00Z", **hired))
    assert await decides.store.standing(refund.seq, P_2) == Standing()
    expected = Expected("applied", "taken-back", {"f-1": -6})
    await corrected(
        decides, Settle(1, "f-1", J_2, "p-2", True, "job-closed", ["c-j-2"], "late-hires", 0, expected), "ab"
    )
    assert await decides.store.standing(refund.seq, P_2) == Standing()
    correction = decided(decides, "taken-back", "p-2")
    assert await decides.store.standing(correction.seq, P_2) == Standing()


async def test_what_was_not_taken_is_set_off(decides: Deciding) -> None:
    row = decided(decides, "certified")
    await Came(decides, 200)(adjusted("f-1", "a-1", -58, "2026-03-06T10:00:00Z"))
    for verdict, delta, missing, not_taken, plan in ((5, -2, 13, 13, "ab"), (8, 0, 0, 10, "bc"), (19, 1, 0, 0, "cd")):
        about = (row.seq, "grant.certification", "k-f-1", day("2026-03-02"), F_1, None, None)
        what = ToAmend(*about, 20, verdict, None)
        expected = Expected("applied", "amended", {"f-1": delta} if delta else {}, {"f-1": missing} if missing else {})
        named = (row.topic or "", [row.event_id or ""], "wrong.jsonl", 1)
        await corrected(decides, Decide(1, what, *named, expected), plan)
        assert await decides.store.standing(row.seq, None) == Standing(verdict, None, not_taken=not_taken)
