"""Spends: what a proposal costs, and which lots pay it.

A submitted proposal is a fact, not a request (S3): what no lot covers becomes debt. Sources: S3, HP.
"""

from schemas.proposals import ProposalSubmitted
from worker.domain.booking import Booking
from worker.domain.cards import Need, OncePer, rule
from worker.domain.decisions import Fact, Subject, Verdict
from worker.domain.model import FreelancerId, JobId, ProposalId, Spend, SpendLine
from worker.domain.policy import Policy
from worker.domain.state import Due, State
from worker.domain.triggers import Received

SPEND = "spend.proposal"


@rule(
    id=SPEND,
    on="proposal-submitted",
    event=ProposalSubmitted,
    needs=(Need.WALLET, Need.JOB, Need.PROPOSAL),
    stops="wallet",
    once_per=OncePer(("proposal_id",)),
    repeat=None,
    unless=None,
    source=None,
    about=("job_id", "proposal_id"),
    reasons=("proposal-submitted", "already-spent", "insufficient-balance", "free-from-invitation", "cost-nothing"),
    found_by={"proposal-submitted": "spend", "free-from-invitation": "spend", "cost-nothing": "spend"},
    policy=("spends.overdraft",),
    then="proposal-arrives",
)
def propose(state: State, event: ProposalSubmitted, trigger: Received, policy: Policy) -> Verdict:
    """Spend base and boost, once for each proposal id (S3's double deduction); an invitation is free."""
    earlier = state.spend(ProposalId(event.proposal_id))
    if earlier:
        return Verdict(
            "declined", "already-spent", SPEND, {"spent_at": earlier.occurred_at, "connects": earlier.connects}
        )
    invited = event.origin == "invite"
    base, boost = lines_of(event)
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
    wallet = state.wallet(spend.freelancer_id)
    if not spend.connects:
        _keep(state, spend, trigger)
        reason = "free-from-invitation" if invited else "cost-nothing"
        return Verdict("recorded", reason, SPEND, {})
    booking = Booking(state, wallet)
    facts: dict[str, Fact] = {"base": base.connects, "boost": boost.connects, "origin": event.origin}
    if policy.overdraft == "decline" and not booking.covers(spend.connects, event.occurred_at):
        drawable = booking.drawable(event.occurred_at)
        refusal: dict[str, Fact] = {"connects": spend.connects, "balance": wallet.balance, "drawable": drawable}
        return Verdict("declined", "insufficient-balance", SPEND, refusal)
    _keep(state, spend, trigger)
    for line in spend.lines:
        if line.connects:
            booking.spend(spend, line, event.occurred_at)
    if spend.owes:
        facts["debt"] = base.debt + boost.debt
    subject = Subject.of_spend(spend)
    about = {"job_id": event.job_id, "proposal_id": event.proposal_id}
    change = booking.close(event.occurred_at, SPEND, "proposal-submitted", policy, subject, facts, about)
    return Verdict("applied", "proposal-submitted", SPEND, facts, [change])


def lines_of(event: ProposalSubmitted) -> tuple[SpendLine, SpendLine]:
    """The base and the boost of a proposal, before anything is drawn for them; an invitation is free."""
    invited = event.origin == "invite"
    base = SpendLine("base", 0 if invited else event.connects)
    return base, SpendLine("boost", 0 if invited else event.boost_connects)


def _keep(state: State, spend: Spend, trigger: Received) -> None:
    """Note the spend; if closures of its job were settled without it, it is settled by them one grace later."""
    state.keep_spend(spend)
    for closure in state.job(spend.job_id).closures:
        if closure.settled and closure.concerns(spend.occurred_at):
            key = f"{closure.decision_seq}/{spend.proposal_id}"
            state.changed.due_added.append(Due(trigger.instant + state.grace, "late-settlement", key))
