"""Spends: what a proposal costs, and which lots pay it.

A submitted proposal is a fact, not a request (S3): what no lot covers becomes debt. Sources: S3, HP.
"""

from schemas.proposals import ProposalSubmitted
from worker.domain.booking import Booking
from worker.domain.books import Books, Due
from worker.domain.decisions import Fact, Subject, Verdict
from worker.domain.model import FreelancerId, JobId, ProposalId, Spend, SpendLine
from worker.domain.policy import Policy
from worker.domain.triggers import Received

SPEND = "spend.proposal"


def propose(books: Books, event: ProposalSubmitted, trigger: Received, policy: Policy) -> Verdict:
    """Spend base and boost, once for each proposal id (S3's double deduction); an invitation is free."""
    earlier = books.spends.get(ProposalId(event.proposal_id))
    if earlier:
        return Verdict(
            "declined", "already-spent", SPEND, {"spent_at": earlier.occurred_at, "connects": earlier.connects}
        )
    invited = event.origin == "invite"
    base = SpendLine("base", 0 if invited else event.connects)
    boost = SpendLine("boost", 0 if invited else event.boost_connects)
    spend = Spend(
        ProposalId(event.proposal_id),
        FreelancerId(event.freelancer_id),
        JobId(event.job_id),
        trigger.seq,
        event.occurred_at,
        event.origin,
        base,
        boost,
    )
    wallet = books.wallet(spend.freelancer_id)
    if not spend.connects:
        _keep(books, spend, trigger)
        reason = "free-from-invitation" if invited else "cost-nothing"
        return Verdict("recorded", reason, SPEND, {})
    booking = Booking(books, wallet)
    facts: dict[str, Fact] = {"base": base.connects, "boost": boost.connects, "origin": event.origin}
    if policy.overdraft == "decline" and not booking.covers(spend.connects, event.occurred_at):
        drawable = booking.drawable(event.occurred_at)
        refusal: dict[str, Fact] = {"connects": spend.connects, "balance": wallet.balance, "drawable": drawable}
        return Verdict("declined", "insufficient-balance", SPEND, refusal)
    _keep(books, spend, trigger)
    for line in spend.lines:
        if line.connects:
            booking.spend(spend, line, event.occurred_at)
    if spend.owes:
        facts["debt"] = base.debt + boost.debt
    subject = Subject(spend.freelancer_id, spend.job_id, spend.proposal_id)
    about = {"job_id": event.job_id, "proposal_id": event.proposal_id}
    change = booking.close(event.occurred_at, SPEND, "proposal-submitted", policy, subject, facts, about)
    return Verdict("applied", "proposal-submitted", SPEND, facts, [change])


def _keep(books: Books, spend: Spend, trigger: Received) -> None:
    """Note the spend; if closures of its job were settled without it, it is settled the same way one grace later."""
    books.keep_spend(spend)
    for closure in books.job(spend.job_id).closures:
        if closure.settled and closure.closed_at >= spend.occurred_at:
            key = f"{closure.decision_seq}/{spend.proposal_id}"
            books.touched.due_added.append(Due(trigger.instant + books.grace, "late-settlement", key))
