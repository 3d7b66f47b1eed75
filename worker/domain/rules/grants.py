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
from worker.domain.books import Books
from worker.domain.decisions import Fact, Subject, Verdict
from worker.domain.model import FreelancerId, Grant, JobId, Wallet
from worker.domain.policy import Policy
from worker.domain.triggers import Received

REGISTRATION = "grant.registration"
BADGE = "grant.badge"
CERTIFICATION = "grant.certification"
INTERVIEW = "grant.interview"
PURCHASE = "grant.purchase"
ADJUST = "adjust"


def registration(books: Books, event: FreelancerRegistered, trigger: Received, policy: Policy) -> Verdict:
    """40 Connects for registering, once for each freelancer (S3)."""
    earlier = books.grants.get((REGISTRATION, event.freelancer_id))
    if earlier:
        return _already_granted(REGISTRATION, earlier)
    facts: dict[str, Fact] = {"connects": policy.registration}
    return _grant(
        books, trigger, policy, REGISTRATION, "registered", event.freelancer_id, event.freelancer_id, facts, {}
    )


def badge(books: Books, event: BadgeEarned, trigger: Received, policy: Policy) -> Verdict:
    """30 Connects for Rising Talent, once: losing and earning it again pays nothing (S3: somebody was paid twice)."""
    key = f"{event.freelancer_id}/{event.badge}"
    earlier = books.grants.get((BADGE, key))
    if earlier:
        return _already_granted(BADGE, earlier, badge=event.badge)
    connects = policy.badges.get(event.badge, 0)
    facts: dict[str, Fact] = {"connects": connects, "badge": event.badge}
    if not connects:
        return Verdict("declined", "no-award-for-badge", BADGE, facts)
    return _grant(
        books, trigger, policy, BADGE, "badge-earned", event.freelancer_id, key, facts, {"badge": event.badge}
    )


def certification(books: Books, event: CertificationCompleted, trigger: Received, policy: Policy) -> Verdict:
    """20 Connects for a skill certification, once for each; a learning path is none (S3: Upwork 101)."""
    key = f"{event.freelancer_id}/{event.certification_id}"
    facts: dict[str, Fact] = {"connects": policy.certification, "certification_id": event.certification_id}
    if event.kind == "learning-path":
        return Verdict("declined", "not-a-skill-certification", CERTIFICATION, facts)
    earlier = books.grants.get((CERTIFICATION, key))
    if earlier:
        return _already_granted(CERTIFICATION, earlier, certification_id=event.certification_id)
    about = {"certification_id": event.certification_id}
    return _grant(books, trigger, policy, CERTIFICATION, "certified", event.freelancer_id, key, facts, about)


def interview(books: Books, event: InterviewWon, trigger: Received, policy: Policy) -> Verdict:
    """Connects for an interview with an established client, once for each job, up to a weekly cap (S3, HP)."""
    key = f"{event.freelancer_id}/{event.job_id}"
    if event.origin == "invite":
        return Verdict("declined", "interview-from-invitation", INTERVIEW, {"job_id": event.job_id})
    award = policy.interview_award(event.client_spent_cents)
    if not event.client_hires or not event.client_spent_cents or not award:
        client: dict[str, Fact] = {"client_hires": event.client_hires, "client_spent_cents": event.client_spent_cents}
        return Verdict("declined", "client-not-established", INTERVIEW, client)
    earlier = books.grants.get((INTERVIEW, key))
    if earlier:
        return _already_granted(INTERVIEW, earlier, job_id=event.job_id)
    wallet = books.wallet(FreelancerId(event.freelancer_id))
    granted = _granted_in_window(wallet, event.occurred_at, policy)
    connects = min(award, policy.interview_cap - granted)
    cap: dict[str, Fact] = {"cap": policy.interview_cap, "days": policy.interview_cap_window.days, "granted": granted}
    if connects <= 0:
        return Verdict("declined", "weekly-cap", INTERVIEW, {"connects": award, **cap})
    facts: dict[str, Fact] = {"connects": connects, "job_id": event.job_id}
    if connects < award:
        facts |= {"award": award, "cut_to_cap": True, **cap}
    about = {"job_id": event.job_id}
    return _grant(books, trigger, policy, INTERVIEW, "interview-won", event.freelancer_id, key, facts, about)


def purchase(books: Books, event: ConnectsPurchased, trigger: Received, policy: Policy) -> Verdict:
    """What was bought, once for each purchase id (S3)."""
    facts: dict[str, Fact] = {"connects": event.connects, "purchase_id": event.purchase_id}
    earlier = books.grants.get((PURCHASE, event.purchase_id))
    if earlier:
        return _already_granted(PURCHASE, earlier, purchase_id=event.purchase_id)
    about = {"purchase_id": event.purchase_id}
    return _grant(books, trigger, policy, PURCHASE, "purchased", event.freelancer_id, event.purchase_id, facts, about)


def adjustment(books: Books, event: ConnectsAdjusted, trigger: Received, policy: Policy) -> Verdict:
    """A signed correction by a named person, once for each adjustment id; never below zero (ours)."""
    facts: dict[str, Fact] = {
        "connects": event.connects,
        "adjustment_id": event.adjustment_id,
        "actor": event.actor,
        "note": event.note,
    }
    earlier = books.grants.get((ADJUST, event.adjustment_id))
    if earlier:
        return _already_granted(ADJUST, earlier, adjustment_id=event.adjustment_id)
    freelancer_id = FreelancerId(event.freelancer_id)
    about = {"adjustment_id": event.adjustment_id}
    if event.connects >= 0:
        return _grant(books, trigger, policy, ADJUST, "adjusted", freelancer_id, event.adjustment_id, facts, about)
    wallet = books.wallet(freelancer_id)
    booking = Booking(books, wallet)
    if not booking.covers(-event.connects, event.occurred_at):
        facts |= {"balance": wallet.balance, "drawable": booking.drawable(event.occurred_at)}
        return Verdict("declined", "insufficient-balance", ADJUST, facts)
    booking.debit(-event.connects, event.occurred_at)
    books.keep_grant(Grant(ADJUST, event.adjustment_id, freelancer_id, event.occurred_at, event.connects, trigger.seq))
    subject = Subject(freelancer_id)
    key = event.adjustment_id
    change = booking.close(event.occurred_at, ADJUST, "adjusted", policy, subject, facts, about, key)
    return Verdict("applied", "adjusted", ADJUST, facts, [change])


def _granted_in_window(wallet: Wallet, at: datetime, policy: Policy) -> int:
    """The sum granted for interviews with occurred_at in (at - window, at]."""
    first = bisect_right(wallet.interviews, at - policy.interview_cap_window, key=attrgetter("occurred_at"))
    after = bisect_right(wallet.interviews, at, lo=first, key=attrgetter("occurred_at"))
    return sum(grant.connects for grant in wallet.interviews[first:after])


def _already_granted(rule: str, earlier: Grant, **about: str) -> Verdict:
    facts: dict[str, Fact] = {"granted_at": earlier.occurred_at, "connects": earlier.connects, **about}
    return Verdict("declined", "already-granted", rule, facts)


def _grant(
    books: Books,
    trigger: Received,
    policy: Policy,
    rule: str,
    reason: str,
    freelancer: str,
    natural_key: str,
    facts: dict[str, Fact],
    about: dict[str, str],
) -> Verdict:
    connects = facts["connects"]
    if not isinstance(connects, int):
        raise TypeError(f"{rule}: a grant needs a number of Connects")
    if not connects:
        return Verdict("declined", "nothing-to-do", rule, facts)
    at = trigger.event.occurred_at
    freelancer_id = FreelancerId(freelancer)
    booking = Booking(books, books.wallet(freelancer_id))
    booking.credit(connects, _SOURCES[rule], at, policy.expiry_of(at))
    books.keep_grant(Grant(rule, natural_key, freelancer_id, at, connects, trigger.seq))
    job_id = about.get("job_id")
    subject = Subject(freelancer_id, JobId(job_id) if job_id else None)
    change = booking.close(at, rule, reason, policy, subject, facts, about, natural_key)
    return Verdict("applied", reason, rule, facts, [change])


_SOURCES = {
    REGISTRATION: "registration",
    BADGE: "badge",
    CERTIFICATION: "certification",
    INTERVIEW: "interview",
    PURCHASE: "purchase",
    ADJUST: "adjustment",
}
