"""decide: one trigger in, its recorded answers out. No clock, no I/O, no setting."""

from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Final

from schemas.base import InputEvent
from worker.domain.books import Books
from worker.domain.decisions import Decision, Kind, Subject, Verdict
from worker.domain.model import Cause, FreelancerId, ProposalId, midnight
from worker.domain.policy import Policy, PolicyBook
from worker.domain.rules import charges, cycles, expiry, grants, memberships, promos, refunds, spends
from worker.domain.triggers import CycleDue, ExpiryDue, Received, SettlementDue

MEMBERSHIP_RULES: Final[Mapping[str, Callable[..., Verdict]]] = {
    "membership-plan-chosen": memberships.choose,
    "promo-code-entered": promos.enter,
    "membership-charge-settled": charges.answer,
    "earnings-balance-updated": memberships.note_earnings,
    "account-suspended": memberships.suspend,
    "account-reinstated": memberships.reinstate,
}
"""They are given all policies: what they grant may be dated at a cycle start, long before the event."""

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
    **MEMBERSHIP_RULES,
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
    event, topic = trigger.event, trigger.topic
    policy = policies.in_force(event.occurred_at)
    subject = subject_of(event)
    if subject.freelancer_id is not None:
        books.wallet(subject.freelancer_id)
    moved = False
    if topic in MEMBERSHIP_RULES:
        verdict, moved = _membership_verdict(books, trigger, policies, may_wait=True)
    else:
        verdict = RULES[topic](books, event, trigger, policy)
        if topic == "freelancer-registered":
            _begin_membership(books, event, verdict, policy)
    decision = _decision(
        trigger.seq, "first" if follows is None else "follow-up", trigger.cause, subject, verdict, policy
    )
    decision.occurred_at = event.occurred_at
    decision.business_time = trigger.business_time
    decision.payload = payload
    decision.follows = follows
    if follows is None:
        decision.late_by_seconds = late_by_seconds(books, trigger)
    if topic == "proposal-submitted" and subject.proposal_id in books.awaiting and subject.proposal_id in books.spends:
        return [decision, *_decide_awaited(books, trigger, policies, subject.proposal_id)]
    if moved:
        freelancer_id = memberships.freelancer_of(event)
        return [decision, *_decide_held(books, freelancer_id, trigger.business_time, trigger.seq + 1, policies)]
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


def decide_cycle(books: Books, due: CycleDue, policies: PolicyBook) -> list[Decision]:
    """Decide a cycle start, each part under the policy in force at its own cycle start; then what waited for it.

    The decisions have consecutive seqs, from `due.seq` on.
    """
    membership = due.membership
    freelancer_id = membership.freelancer_id
    subject = Subject(freelancer_id)
    decisions: list[Decision] = []
    for what, day, verdict, policy in memberships.start_cycle(books, due, policies):
        cause = cycle_cause(freelancer_id, day) if what == "cycle" else renewal_cause(freelancer_id, day)
        decision = _decision(due.seq + len(decisions), "clock", cause, subject, verdict, policy)
        decision.occurred_at = midnight(day)
        decision.business_time = due.due_at
        decisions.append(decision)
    if books.held.get(freelancer_id):
        decisions += _decide_held(books, freelancer_id, due.due_at, due.seq + len(decisions), policies)
    return decisions


def cycle_cause(freelancer_id: FreelancerId, day: date) -> Cause:
    """The instant of the clock at which a cycle starts; also the cause of a cycle start that is parked."""
    return Cause(None, f"cycle:{freelancer_id}:{day.isoformat()}")


def renewal_cause(freelancer_id: FreelancerId, day: date) -> Cause:
    """The instant of the clock at which Plus is renewed, or ends."""
    return Cause(None, f"renewal:{freelancer_id}:{day.isoformat()}")


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


def _begin_membership(books: Books, event: InputEvent, verdict: Verdict, policy: Policy) -> None:
    """A membership begins with the first freelancer-registered, whatever becomes of its grant (ours)."""
    membership = books.membership(memberships.freelancer_of(event))
    if membership.cycle_start is None:
        cycles.begin(books, membership, event.occurred_at.date(), policy)
        verdict.membership = cycles.told(membership, None, verdict.reason)


def _membership_verdict(
    books: Books, trigger: Received, policies: PolicyBook, *, may_wait: bool
) -> tuple[Verdict, bool]:
    """Apply the rule of a membership event, and tell what it changed.

    Also gives whether it moved the next cycle start or made a charge: what is held may count then.
    """
    if may_wait:
        waits = memberships.await_cycle_start(books, trigger)
        if waits is not None:
            return waits, False
    membership = books.membership(memberships.freelancer_of(trigger.event))
    before, next_renewal = cycles.seen(membership), membership.next_renewal
    verdict = MEMBERSHIP_RULES[trigger.topic](books, trigger.event, trigger, policies)
    verdict.membership = cycles.told(membership, before, verdict.reason)
    charge_is_known = verdict.charge is not None or verdict.reason == "upgraded"  # an upgrade for nothing asks nobody
    return verdict, charge_is_known or membership.next_renewal != next_renewal


def _decide_held(
    books: Books, freelancer_id: FreelancerId, business_time: datetime | None, seq: int, policies: PolicyBook
) -> list[Decision]:
    """Let the membership events that waited count now, each in a follow-up, by (occurred_at, ledger order).

    Whenever one of them moves the cycle or requests a charge, all that still waits is looked at again.
    """
    decisions: list[Decision] = []
    while ready := memberships.ready(books, freelancer_id):
        for held in ready:
            books.let_go(held)
            trigger = Received(held.event, held.topic, held.cause, business_time, seq + len(decisions))
            verdict, moved = _membership_verdict(books, trigger, policies, may_wait=False)
            policy = policies.in_force(held.event.occurred_at)
            decision = _decision(trigger.seq, "follow-up", held.cause, subject_of(held.event), verdict, policy)
            decision.occurred_at = held.event.occurred_at
            decision.business_time = business_time
            decision.follows = held.decision_seq
            decisions.append(decision)
            if moved:
                break
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
        membership=verdict.membership,
        charge=verdict.charge,
    )
