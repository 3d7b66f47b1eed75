"""decide: one trigger in, its recorded answers out. No clock, no I/O, no setting."""

from collections.abc import Callable, Mapping
from typing import Final

from schemas.base import InputEvent
from worker.domain.books import Books
from worker.domain.decisions import Decision, Kind, Subject, Verdict
from worker.domain.model import Cause, ProposalId
from worker.domain.policy import Policy, PolicyBook
from worker.domain.rules import expiry, grants, refunds, spends
from worker.domain.triggers import ExpiryDue, Received, SettlementDue

RULES: Final[Mapping[str, Callable[..., Verdict]]] = {
    "job-closed": refunds.close_job,
    "hire-made": refunds.note_hire,
    "interview-won": grants.interview,
    "certification-completed": grants.certification,
    "proposal-submitted": spends.propose,
    "proposal-withdrawn": refunds.withdraw,
    "boost-outbid": refunds.outbid,
    "freelancer-registered": grants.registration,
    "badge-earned": grants.badge,
    "connects-purchased": grants.purchase,
    "connects-adjusted": grants.adjustment,
}


def subject_of(event: InputEvent) -> Subject:
    """The freelancer, job and proposal that an event names."""
    get = event.__dict__.get
    return Subject(get("freelancer_id"), get("job_id"), get("proposal_id"))


def decide_event(
    books: Books, trigger: Received, policies: PolicyBook, payload: bytes | None, follows: int | None = None
) -> list[Decision]:
    """Decide an event; the list has its decision, then those of what had been waiting for it.

    With `follows` the event was parked before and is decided now: a follow-up, whose payload stands in the decision it
    follows.
    """
    event = trigger.event
    policy = policies.in_force(event.occurred_at)
    subject = subject_of(event)
    if subject.freelancer_id is not None:
        books.wallet(subject.freelancer_id)
    verdict = RULES[trigger.topic](books, event, trigger, policy)
    decision = _decision(
        trigger.seq, "first" if follows is None else "follow-up", trigger.cause, subject, verdict, policy
    )
    decision.occurred_at = event.occurred_at
    decision.business_time = trigger.business_time
    decision.payload = payload
    decision.follows = follows
    if follows is None:
        decision.late_by_seconds = late_by_seconds(books, trigger)
    if (
        trigger.topic == "proposal-submitted"
        and subject.proposal_id in books.awaiting
        and subject.proposal_id in books.spends
    ):
        return [decision, *_decide_awaited(books, trigger, policies, subject.proposal_id)]
    return [decision]


def decide_settlement(books: Books, due: SettlementDue, policies: PolicyBook) -> Decision:
    """Decide one spend on a closed job, under the policy in force at the closing time."""
    closure, spend = due.closure, due.spend
    policy = policies.in_force(closure.closed_at)
    subject = Subject(spend.freelancer_id, spend.job_id, spend.proposal_id)
    decision = _decision(due.seq, "settlement", closure.cause, subject, refunds.settle(books, due, policy), policy)
    decision.occurred_at = closure.closed_at
    decision.business_time = due.due_at
    return decision


def decide_expiry(books: Books, due: ExpiryDue, policies: PolicyBook) -> Decision:
    """Book a lot's expiry, under the policy in force when the lot was issued: its time was fixed then."""
    lot = due.lot
    policy = policies.in_force(lot.order.issued_at)
    verdict = expiry.expire(books, due, policy)
    decision = _decision(due.seq, "clock", expiry_cause(lot.lot_id), Subject(lot.freelancer_id), verdict, policy)
    decision.occurred_at = lot.expires_at
    decision.business_time = due.due_at
    return decision


def expiry_cause(lot_id: str) -> Cause:
    """The instant of the clock at which a lot's time is over."""
    return Cause(None, f"expiry:{lot_id}")


def late_by_seconds(books: Books, trigger: Received) -> float | None:
    """How far business time had gone past the event when it was read; None within the grace."""
    if trigger.business_time is None or trigger.business_time <= trigger.event.occurred_at + books.grace:
        return None
    return (trigger.business_time - trigger.event.occurred_at).total_seconds()


def _decide_awaited(books: Books, trigger: Received, policies: PolicyBook, proposal_id: ProposalId) -> list[Decision]:
    """Let withdrawals and outbids that came before their proposal count now; an outbid gets a follow-up."""
    decisions: list[Decision] = []
    spend = books.spends[proposal_id]
    for told in books.awaited_by(proposal_id):
        if not told.is_outbid:
            if (spend.freelancer_id, spend.job_id) == (told.freelancer_id, told.job_id):
                refunds.keep_withdrawal(books, spend, told.occurred_at)
            continue
        policy = policies.in_force(told.occurred_at)
        verdict = refunds.settle_outbid(books, told, trigger.business_time, policy)
        subject = Subject(told.freelancer_id, told.job_id, told.proposal_id)
        seq = trigger.seq + 1 + len(decisions)
        decision = _decision(seq, "follow-up", told.cause, subject, verdict, policy)
        decision.occurred_at = told.occurred_at
        decision.business_time = trigger.business_time
        decision.follows = told.decision_seq
        decisions.append(decision)
    return decisions


def _decision(seq: int, kind: Kind, cause: Cause, subject: Subject, verdict: Verdict, policy: Policy) -> Decision:
    return Decision(
        seq,
        kind,
        cause,
        None,
        subject,
        verdict.outcome,
        verdict.reason,
        verdict.rule,
        policy.version,
        verdict.facts,
        None,
        changes=verdict.changes,
    )
