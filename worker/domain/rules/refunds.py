"""Refunds: what comes back when a job is closed, when a boost is outbid, and why it often does not.

A closure is settled once business time has passed it by the grace: one decision for each spend on the job, by the table
in `settle`, first match wins (S3). Connects return to the lots that they came from, with those lots' own expiry.
Never more than was spent on a line, never twice for a line.
"""

from bisect import bisect_left
from collections.abc import Sequence
from datetime import datetime

from schemas.jobs import HireMade, JobClosed
from schemas.proposals import BoostOutbid, ProposalWithdrawn
from worker.domain.booking import GIVES_BACK_BY, Booking
from worker.domain.cards import Need, OncePer, part, rule, sources
from worker.domain.decisions import Change, Fact, Subject, Verdict
from worker.domain.model import Closure, FreelancerId, Job, JobId, ProposalId, Spend, SpendLine
from worker.domain.policy import Policy
from worker.domain.rules.expiry import EXPIRE
from worker.domain.state import Awaited, Due, State
from worker.domain.triggers import Received, SettlementDue

SETTLEMENT = "refund.job-closed-without-hire"
OUTBID = "refund.boost-outbid"
CLAW_BACK = "refund.clawed-back"


@rule(
    id=SETTLEMENT,
    on="settlement",
    event=None,
    needs=(Need.JOB, Need.SPENDS_OF_JOB),
    stops="wallet",
    once_per=None,
    repeat=None,
    unless=None,
    source="refund",
    about=("job_id", "proposal_id"),
    reasons=(
        "closed-without-hire",
        "removed-by-marketplace",
        "free-from-invitation",
        "cost-nothing",
        "already-refunded",
        "proposal-withdrawn",
        "job-expired",
        "somebody-was-hired",
    ),
    found_by={},
    policy=GIVES_BACK_BY,
    then="nothing",
)
def settle(state: State, due: SettlementDue, policy: Policy) -> Verdict:
    """Decide one spend on a closed job, as of the closing time. A refusal leaves it open for a later closure."""
    closure, spend = due.closure, due.spend
    if (refused := refusal(state.jobs[closure.job_id], closure, spend)) is not None:
        return refused
    closed_at, open_lines = closure.closed_at, spend.open_lines
    facts: dict[str, Fact] = {"closure": closure.kind, "closed_at": closed_at}
    reason = "closed-without-hire" if closure.kind == "closed-by-client" else "removed-by-marketplace"
    facts["connects"] = sum(line.connects for line in open_lines)
    spend.refunded_closing_at = closed_at
    if not closure.returned_any:
        closure.returned_any = True
        state.changed.closures[closure.decision_seq] = closure
    changes = _give_back(state, spend, open_lines, closed_at, due.due_at, SETTLEMENT, reason, policy, facts)
    return Verdict("applied", reason, SETTLEMENT, facts, changes)


def refusal(job: Job, closure: Closure, spend: Spend) -> Verdict | None:
    """Why a closure that concerns a spend returns nothing of it; None: it returns the open lines."""
    facts: dict[str, Fact] = {"closure": closure.kind, "closed_at": closure.closed_at}
    if not spend.connects:
        return _declined("free-from-invitation" if spend.origin == "invite" else "cost-nothing", facts)
    if not spend.open_lines:
        return _declined("already-refunded", {**facts, "connects": spend.connects})
    why = why_undue(closure, job.first_hired_at, spend.withdrawn_at)
    if why == "proposal-withdrawn":
        facts["withdrawn_at"] = spend.withdrawn_at
    if why == "somebody-was-hired":
        facts["hired_at"] = job.first_hired_at
    return None if why is None else _declined(why, facts)


def why_undue(closure: Closure, hired_at: datetime | None, withdrawn_at: datetime | None) -> str | None:
    """Why nothing comes back by a closure, with that first hire and that withdrawal; None: Connects come back."""
    if withdrawn_at is not None and withdrawn_at < closure.closed_at:
        return "proposal-withdrawn"
    if closure.kind == "expired":
        return "job-expired"
    if hired_at is not None and hired_at <= closure.closed_at:
        return "somebody-was-hired"
    return None


def closures_that_return(job: Job, spend: Spend) -> list[Closure]:
    """The closures of its job that return the open lines of a spend by what is known now, in closing order.

    Whether they are due, or were settled, is not asked.
    """
    return [
        closure
        for closure in job.closures
        if closure.concerns(spend.occurred_at) and refusal(job, closure, spend) is None
    ]


@rule(
    id=SETTLEMENT,
    on="job-closed",
    event=JobClosed,
    needs=(Need.JOB, Need.SPENDS_OF_JOB),
    stops="job",
    once_per=None,
    repeat=None,
    unless=None,
    source=None,
    about=("job_id",),
    reasons=("settlement-pending", "already-closed"),
    found_by={"settlement-pending": "closure"},
    policy=(),
    then="nothing",
)
def close_job(state: State, event: JobClosed, trigger: Received, _policy: Policy) -> Verdict:
    """Note a closure and when it is due: one grace after its closing time, or after it was read, if that is later."""
    job = state.job(JobId(event.job_id))
    facts: dict[str, Fact] = {"closure": event.closure, "closed_at": event.occurred_at}
    stand = (known for known in job.closures if not known.voided)
    if any(known.closed_at == event.occurred_at and known.kind == event.closure for known in stand):
        return Verdict("declined", "already-closed", SETTLEMENT, facts)
    due_at = trigger.instant + state.grace
    closure = Closure(job.job_id, event.occurred_at, event.closure, trigger.seq, due_at, trigger.cause)
    job.closures.append(closure)
    job.closures.sort(key=closing_order)
    state.changed.jobs[job.job_id] = job
    state.changed.closures[trigger.seq] = closure
    state.changed.due_added.append(Due(due_at, "settlement", str(trigger.seq)))
    return Verdict("recorded", "settlement-pending", SETTLEMENT, {**facts, "due_at": due_at})


def closing_order(closure: Closure) -> tuple[datetime, str]:
    """Sort key: closures of a job by closing time, then kind."""
    return (closure.closed_at, closure.kind)


@rule(
    id=SETTLEMENT,
    on="hire-made",
    event=HireMade,
    needs=(Need.WALLET, Need.JOB, Need.REFUNDS_OF_JOB),
    stops="job",
    once_per=None,
    repeat=None,
    unless=None,
    source=None,
    about=("job_id",),
    reasons=("hire-noted", "hire-after-settlement"),
    found_by={"hire-after-settlement": "operators"},
    policy=("refunds.late_hire",),
    then="nothing",
)
def note_hire(state: State, event: HireMade, _trigger: Received, policy: Policy) -> Verdict:
    """Note a hire: nothing comes back for closures at or after it. If refunds were made before, operators see it."""
    job = state.job(JobId(event.job_id))
    if job.first_hired_at is None or event.occurred_at < job.first_hired_at:
        job.first_hired_at = state.changed.hires[job.job_id] = event.occurred_at
        state.changed.jobs[job.job_id] = job
    facts: dict[str, Fact] = {"hired_at": event.occurred_at}
    if not any(closure.returned_any and closure.concerns(event.occurred_at) for closure in job.closures):
        return Verdict("recorded", "hire-noted", SETTLEMENT, facts)
    changes: list[Change] = []
    if policy.late_hire == "claw-back":
        changes = _claw_back(state, job, event, policy)
        facts["clawed_back"] = sum(-change.delta for change in changes)
    return Verdict("recorded", "hire-after-settlement", SETTLEMENT, facts, changes)


@rule(
    id=SETTLEMENT,
    on="proposal-withdrawn",
    event=ProposalWithdrawn,
    needs=(Need.WALLET, Need.PROPOSAL),
    stops="wallet",
    once_per=None,
    repeat=None,
    unless=None,
    source=None,
    about=("job_id", "proposal_id"),
    reasons=("withdrawal-is-not-refunded", "withdrawal-after-settlement", "proposal-mismatch"),
    found_by={},
    policy=(),
    then="nothing",
)
def withdraw(state: State, event: ProposalWithdrawn, trigger: Received, _policy: Policy) -> Verdict:
    """Note a withdrawal: it returns nothing itself (S3), and takes the proposal out of closures after it."""
    facts: dict[str, Fact] = {"withdrawn_at": event.occurred_at}
    state.wallet(FreelancerId(event.freelancer_id))
    spend = state.spend(ProposalId(event.proposal_id))
    if spend is None:
        state.await_proposal(_awaited(event, trigger, is_outbid=False))
        return Verdict("recorded", "withdrawal-is-not-refunded", SETTLEMENT, facts)
    if (spend.freelancer_id, spend.job_id) != (event.freelancer_id, event.job_id):
        return _mismatch(SETTLEMENT, spend)
    keep_withdrawal(state, spend, event.occurred_at)
    if spend.refunded_closing_at is not None and event.occurred_at < spend.refunded_closing_at:
        return Verdict(
            "recorded", "withdrawal-after-settlement", SETTLEMENT, {**facts, "closed_at": spend.refunded_closing_at}
        )
    return Verdict("recorded", "withdrawal-is-not-refunded", SETTLEMENT, facts)


def keep_withdrawal(state: State, spend: Spend, withdrawn_at: datetime) -> None:
    """Keep the earliest withdrawal."""
    if spend.withdrawn_at is None or withdrawn_at < spend.withdrawn_at:
        spend.withdrawn_at = withdrawn_at
        state.changed.spends[spend.proposal_id] = spend


@rule(
    id=OUTBID,
    on="boost-outbid",
    event=BoostOutbid,
    needs=(Need.WALLET, Need.PROPOSAL),
    stops="wallet",
    once_per=OncePer(("proposal_id",)),
    repeat=None,
    unless=None,
    source="refund",
    about=("job_id", "proposal_id"),
    reasons=("boost-outbid", "no-boost", "already-refunded", "unknown-proposal", "proposal-mismatch"),
    found_by={},
    policy=GIVES_BACK_BY,
    then="nothing",
)
def outbid(state: State, event: BoostOutbid, trigger: Received, policy: Policy) -> Verdict:
    """Give the boost alone back, once (HP); before its proposal is known, keep it until that arrives."""
    awaited = _awaited(event, trigger, is_outbid=True)
    if state.spend(awaited.proposal_id) is None:
        state.wallet(awaited.freelancer_id)
        state.await_proposal(awaited)
        return Verdict("recorded", "unknown-proposal", OUTBID, {})
    return settle_outbid(state, awaited, trigger.business_time, policy)


def settle_outbid(state: State, awaited: Awaited, business_time: datetime | None, policy: Policy) -> Verdict:
    """Decide an outbid of a known proposal, when it was read or when its proposal arrived."""
    spend = state.spends[awaited.proposal_id]
    boost = spend.boost
    if (spend.freelancer_id, spend.job_id) != (awaited.freelancer_id, awaited.job_id):
        return _mismatch(OUTBID, spend)
    if not boost.connects:
        return Verdict("declined", "no-boost", OUTBID, {})
    spend.boost_outbid = True
    state.changed.spends[spend.proposal_id] = spend
    if boost.returned:
        return Verdict("declined", "already-refunded", OUTBID, {"connects": boost.connects})
    facts: dict[str, Fact] = {"connects": boost.connects}
    instant = awaited.occurred_at if business_time is None else max(awaited.occurred_at, business_time)
    changes = _give_back(state, spend, [boost], awaited.occurred_at, instant, OUTBID, "boost-outbid", policy, facts)
    return Verdict("applied", "boost-outbid", OUTBID, facts, changes)


def _declined(reason: str, facts: dict[str, Fact]) -> Verdict:
    return Verdict("declined", reason, SETTLEMENT, facts)


def _mismatch(rule_id: str, spend: Spend) -> Verdict:
    """A withdrawal or outbid that names another freelancer or job than its proposal does: without effect."""
    facts: dict[str, Fact] = {"proposal_freelancer_id": spend.freelancer_id, "proposal_job_id": spend.job_id}
    return Verdict("recorded", "proposal-mismatch", rule_id, facts)


def _awaited(event: BoostOutbid | ProposalWithdrawn, trigger: Received, *, is_outbid: bool) -> Awaited:
    return Awaited(
        ProposalId(event.proposal_id),
        trigger.seq,
        is_outbid,
        FreelancerId(event.freelancer_id),
        JobId(event.job_id),
        event.occurred_at,
        trigger.cause,
    )


def _give_back(
    state: State,
    spend: Spend,
    lines: Sequence[SpendLine],
    effective_at: datetime,
    instant: datetime,
    rule_id: str,
    reason: str,
    policy: Policy,
    facts: dict[str, Fact],
) -> list[Change]:
    """Return lines in one change; lots whose time is over expire again in a change of their own (policy "expire")."""
    wallet = state.wallets[spend.freelancer_id]
    subject = Subject.of_spend(spend)
    about = {"job_id": spend.job_id, "proposal_id": spend.proposal_id}
    booking = Booking(state, wallet)
    expired = booking.give_back(spend, lines, instant, policy, sources[rule_id])
    if booking.graced:
        facts["graced"] = booking.graced
    state.changed.spends[spend.proposal_id] = spend
    changes = [booking.close(effective_at, rule_id, reason, policy, subject, facts, about)]
    for lot in expired:
        if lot.remaining:
            expiry = Booking(state, wallet)
            ended = {"lot_issued_at": lot.order.issued_at, "expires_at": lot.expires_at}
            lot_facts: dict[str, Fact] = {"connects": lot.remaining, **ended}
            expiry.expire(lot)
            changes.append(expiry.close(lot.expires_at, EXPIRE, "lot-expired", policy, subject, lot_facts, about))
    return changes


@part(
    id=CLAW_BACK,
    once_per=None,
    source=None,
    reasons=("hire-after-settlement",),
    found_by={},
    policy=(),
)
def _claw_back(state: State, job: Job, event: HireMade, policy: Policy) -> list[Change]:
    """Draw again what closures at or after the hire returned, one change for each wallet (policy `late_hire`).

    What would have come back without them stays: a boost that was outbid, whatever the outbid's outcome was, and what
    an earlier closure returns that found it returned already.
    """
    changes: list[Change] = []
    closures = _closures_before_the_hire(job)
    to_take: dict[FreelancerId, list[tuple[Spend, list[SpendLine]]]] = {}
    for proposal_id in job.proposal_ids:
        spend = state.spends[proposal_id]
        closed_at = spend.refunded_closing_at
        if closed_at is None or (closed_at < event.occurred_at and not job.is_voided(closed_at)):
            continue
        spend.refunded_closing_at = _returned_before_the_hire(spend, closures)
        state.changed.spends[spend.proposal_id] = spend
        if spend.refunded_closing_at is None and (lines := _lines_to_take(spend)):
            to_take.setdefault(spend.freelancer_id, []).append((spend, lines))
    for freelancer_id, mine in to_take.items():
        booking = Booking(state, state.wallets[freelancer_id])
        taken = 0
        for spend, lines in mine:
            for line in lines:
                line.returned = False
                taken += line.connects
                booking.spend(spend, line, event.occurred_at)
        facts: dict[str, Fact] = {"connects": taken, "hired_at": event.occurred_at}
        only = mine[0][0].proposal_id if len(mine) == 1 else None
        subject = Subject(freelancer_id, job.job_id, only)
        about = {"job_id": job.job_id} | ({"proposal_id": only} if only is not None else {})
        changes.append(
            booking.close(event.occurred_at, CLAW_BACK, "hire-after-settlement", policy, subject, facts, about)
        )
    return changes


def _lines_to_take(spend: Spend) -> list[SpendLine]:
    """The lines of a refunded spend that only the refund returned."""
    return [line for line in spend.lines if line.connects and not (line.name == "boost" and spend.boost_outbid)]


def _closures_before_the_hire(job: Job) -> list[Closure]:
    """What may have returned spends before anybody was hired: begun or worked off by now, in closing order."""
    return [
        closure
        for closure in job.closures
        if (closure.settled or closure.settled_through)
        and not closure.voided
        and closure.kind != "expired"
        and (job.first_hired_at is None or closure.closed_at < job.first_hired_at)
    ]


def _returned_before_the_hire(spend: Spend, closures: list[Closure]) -> datetime | None:
    """The closing time of the first of these closures that returns the spend; None, if none of them does.

    It was settled after the closure that returned the spend, though it closed the job before it, and found nothing left
    to return.
    """
    for place in range(bisect_left(closures, spend.occurred_at, key=_closing_time), len(closures)):
        closure = closures[place]
        if spend.withdrawn_at is not None and spend.withdrawn_at < closure.closed_at:
            return None
        if closure.settled or closure.settled_through >= spend.decision_seq:
            return closure.closed_at
    return None


def _closing_time(closure: Closure) -> datetime:
    return closure.closed_at
