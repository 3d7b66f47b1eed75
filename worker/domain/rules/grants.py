"""Grants, each once for its natural key: registration, badges, certifications, interviews, purchases, adjustments.

Sources: S3 (amounts, and the complaints about double grants), HP (the weekly cap), ours where policies/connects.toml
says so.
"""

from bisect import bisect_right
from datetime import datetime
from operator import attrgetter

from schemas.credits import ConnectsAdjusted, ConnectsPurchased
from schemas.earning import BadgeEarned, CertificationCompleted, FreelancerRegistered, InterviewWon
from worker.domain.booking import Booking
from worker.domain.cards import ALREADY_GRANTED, Need, OncePer, rule
from worker.domain.decisions import Fact, Subject, Verdict
from worker.domain.granting import grant
from worker.domain.model import FreelancerId, Grant, Wallet
from worker.domain.policy import Policy
from worker.domain.state import State
from worker.domain.triggers import Received

REGISTRATION = "grant.registration"
BADGE = "grant.badge"
CERTIFICATION = "grant.certification"
INTERVIEW = "grant.interview"
PURCHASE = "grant.purchase"
ADJUST = "adjust"


@rule(
    id=REGISTRATION,
    on="freelancer-registered",
    event=FreelancerRegistered,
    needs=(Need.WALLET, Need.MEMBERSHIP),
    stops="wallet",
    once_per=OncePer(("freelancer_id",)),
    repeat=ALREADY_GRANTED,
    unless=None,
    source="registration",
    about=(),
    reasons=("registered", "nothing-to-do"),
    found_by={},
    policy=("grants.registration", "expiry.lot_lifetime_years"),
    then="membership-begins",
)
def registration(state: State, _event: FreelancerRegistered, trigger: Received, policy: Policy) -> Verdict:
    """40 Connects for registering, once for each freelancer (S3)."""
    return grant(state, trigger, policy, "registered", policy.registration)


@rule(
    id=BADGE,
    on="badge-earned",
    event=BadgeEarned,
    needs=(Need.WALLET,),
    stops="wallet",
    once_per=OncePer(("freelancer_id", "badge")),
    repeat=ALREADY_GRANTED,
    unless=None,
    source="badge",
    about=("badge",),
    reasons=("badge-earned", "no-award-for-badge"),
    found_by={},
    policy=("grants.badges", "expiry.lot_lifetime_years"),
    then="nothing",
)
def badge(state: State, event: BadgeEarned, trigger: Received, policy: Policy) -> Verdict:
    """30 Connects for Rising Talent, once: losing and earning it again pays nothing (S3: somebody was paid twice)."""
    connects = policy.badges.get(event.badge, 0)
    if not connects:
        return Verdict("declined", "no-award-for-badge", BADGE, {"connects": connects, "badge": event.badge})
    return grant(state, trigger, policy, "badge-earned", connects)


def is_learning_path(event: CertificationCompleted, policy: Policy) -> Verdict | None:
    """Refuse a learning path, even if its certification was granted before."""
    if event.kind != "learning-path":
        return None
    facts: dict[str, Fact] = {"connects": policy.certification, "certification_id": event.certification_id}
    return Verdict("declined", "not-a-skill-certification", CERTIFICATION, facts)


@rule(
    id=CERTIFICATION,
    on="certification-completed",
    event=CertificationCompleted,
    needs=(Need.WALLET,),
    stops="wallet",
    once_per=OncePer(("freelancer_id", "certification_id")),
    repeat=ALREADY_GRANTED,
    unless=is_learning_path,
    source="certification",
    about=("certification_id",),
    reasons=("certified", "nothing-to-do", "not-a-skill-certification"),
    found_by={},
    policy=("grants.certification", "expiry.lot_lifetime_years"),
    then="nothing",
)
def certification(state: State, _event: CertificationCompleted, trigger: Received, policy: Policy) -> Verdict:
    """20 Connects for a skill certification, once for each; a learning path is not one (S3: Upwork 101)."""
    return grant(state, trigger, policy, "certified", policy.certification)


def is_not_worth_connects(event: InterviewWon, policy: Policy) -> Verdict | None:
    """Refuse an interview from an invitation or of a client who is not established, even if the job earned before."""
    if event.origin == "invite":
        return Verdict("declined", "interview-from-invitation", INTERVIEW, {"job_id": event.job_id})
    if not event.client_hires or not event.client_spent_cents or not policy.interview_award(event.client_spent_cents):
        client: dict[str, Fact] = {"client_hires": event.client_hires, "client_spent_cents": event.client_spent_cents}
        return Verdict("declined", "client-not-established", INTERVIEW, client)
    return None


@rule(
    id=INTERVIEW,
    on="interview-won",
    event=InterviewWon,
    needs=(Need.WALLET,),
    stops="wallet",
    once_per=OncePer(("freelancer_id", "job_id")),
    repeat=ALREADY_GRANTED,
    unless=is_not_worth_connects,
    source="interview",
    about=("job_id",),
    reasons=("interview-won", "interview-from-invitation", "client-not-established", "weekly-cap"),
    found_by={},
    policy=(
        "grants.interview_tiers",
        "grants.interview_cap",
        "grants.interview_cap_days",
        "expiry.lot_lifetime_years",
    ),
    then="nothing",
)
def interview(state: State, event: InterviewWon, trigger: Received, policy: Policy) -> Verdict:
    """Connects for an interview with an established client, once for each job, up to a weekly cap (S3, HP)."""
    award = policy.interview_award(event.client_spent_cents)
    wallet = state.wallet(FreelancerId(event.freelancer_id))
    granted = _granted_in_window(wallet, event.occurred_at, policy)
    connects = min(award, policy.interview_cap - granted)
    cap: dict[str, Fact] = {"cap": policy.interview_cap, "days": policy.interview_cap_window.days, "granted": granted}
    if connects <= 0:
        return Verdict("declined", "weekly-cap", INTERVIEW, {"connects": award, **cap})
    cut: dict[str, Fact] | None = {"award": award, "cut_to_cap": True, **cap} if connects < award else None
    return grant(state, trigger, policy, "interview-won", connects, cut)


@rule(
    id=PURCHASE,
    on="connects-purchased",
    event=ConnectsPurchased,
    needs=(Need.WALLET,),
    stops="wallet",
    once_per=OncePer(("purchase_id",)),
    repeat=ALREADY_GRANTED,
    unless=None,
    source="purchase",
    about=("purchase_id",),
    reasons=("purchased", "nothing-to-do"),
    found_by={},
    policy=("expiry.lot_lifetime_years",),
    then="nothing",
)
def purchase(state: State, event: ConnectsPurchased, trigger: Received, policy: Policy) -> Verdict:
    """The Connects that were bought, once for each purchase id (S3)."""
    return grant(state, trigger, policy, "purchased", event.connects)


@rule(
    id=ADJUST,
    on="connects-adjusted",
    event=ConnectsAdjusted,
    needs=(Need.WALLET,),
    stops="wallet",
    once_per=OncePer(("adjustment_id",)),
    repeat=ALREADY_GRANTED,
    unless=None,
    source="adjustment",
    about=("adjustment_id",),
    reasons=("adjusted", "nothing-to-do", "insufficient-balance"),
    found_by={},
    policy=("expiry.lot_lifetime_years",),
    then="nothing",
)
def adjustment(state: State, event: ConnectsAdjusted, trigger: Received, policy: Policy) -> Verdict:
    """A signed correction by a named person, once for each adjustment id; never below zero (ours)."""
    said: dict[str, Fact] = {"actor": event.actor, "note": event.note}
    if event.connects >= 0:
        return grant(state, trigger, policy, "adjusted", event.connects, said)
    facts: dict[str, Fact] = {"connects": event.connects, "adjustment_id": event.adjustment_id, **said}
    freelancer_id = FreelancerId(event.freelancer_id)
    wallet = state.wallet(freelancer_id)
    booking = Booking(state, wallet)
    if not booking.covers(-event.connects, event.occurred_at):
        facts |= {"balance": wallet.balance, "drawable": booking.drawable(event.occurred_at)}
        return Verdict("declined", "insufficient-balance", ADJUST, facts)
    booking.debit(-event.connects, event.occurred_at)
    key = event.adjustment_id
    kept = state.keep_grant(Grant(ADJUST, key, freelancer_id, event.occurred_at, event.connects, trigger.seq))
    about, subject = {"adjustment_id": event.adjustment_id}, Subject(freelancer_id)
    change = booking.close(event.occurred_at, ADJUST, "adjusted", policy, subject, facts, about, kept.recorded_key)
    return Verdict("applied", "adjusted", ADJUST, facts, [change])


def _granted_in_window(wallet: Wallet, at: datetime, policy: Policy) -> int:
    """The sum granted for interviews with occurred_at in (at - window, at]."""
    first = bisect_right(wallet.interviews, at - policy.interview_cap_window, key=attrgetter("occurred_at"))
    after = bisect_right(wallet.interviews, at, lo=first, key=attrgetter("occurred_at"))
    return sum(earlier.connects for earlier in wallet.interviews[first:after])
