"""The Connects of a membership: Basic's at each cycle start, Plus's for each charge that is paid (S3, S0)."""

from datetime import date, datetime

from worker.domain.booking import Booking
from worker.domain.books import Books
from worker.domain.decisions import Change, Fact, Subject, Verdict
from worker.domain.model import Charge, FreelancerId, Grant, Membership, midnight
from worker.domain.policy import Policy
from worker.domain.rules.cycles import suspended_before, suspended_since

MONTHLY = "grant.monthly"
UPGRADE = "grant.upgrade"
_SOURCES = {MONTHLY: "monthly", UPGRADE: "upgrade"}


def basic_cycle(
    books: Books, membership: Membership, day: date, until: date, policy: Policy, seq: int, why: dict[str, Fact]
) -> Verdict:
    """Basic's Connects for the cycle [day, until), dated at its start; withheld from a suspended account (S0).

    What is withheld is not made up later. `why` says how Plus ended, where it did.
    """
    at = midnight(day)
    facts: dict[str, Fact] = {
        "connects": policy.monthly_basic,
        "plan": "basic",
        "cycle_start": day.isoformat(),
        "next_renewal": until.isoformat(),
    }
    if why:
        facts |= why
    if membership.suspensions and "account" in suspended_before(membership, at):
        facts["suspended_at"] = suspended_since(membership, "account", at)
        return Verdict("withheld", "account-suspended", MONTHLY, facts)
    changes = basic_grant(books, membership.freelancer_id, day, policy, seq, facts)
    if not changes:
        return Verdict("declined", "nothing-to-do", MONTHLY, facts)
    return Verdict("applied", "cycle-started", MONTHLY, facts, changes)


def basic_grant(
    books: Books, freelancer_id: FreelancerId, day: date, policy: Policy, seq: int, facts: dict[str, Fact]
) -> list[Change]:
    """Basic's Connects for the cycle that starts on `day`: once for each freelancer and cycle start."""
    key = f"{freelancer_id}/{day.isoformat()}"
    return grant(
        books,
        freelancer_id,
        MONTHLY,
        "cycle-started",
        key,
        policy.monthly_basic,
        midnight(day),
        policy,
        seq,
        facts,
    )


def key_of_charge(charge: Charge) -> str:
    """The natural key of what a charge brings. It is never Basic's key: a charge id has a `:`, a day has none."""
    return f"{charge.freelancer_id}/{charge.charge_id}"


def grant(
    books: Books,
    freelancer_id: FreelancerId,
    rule: str,
    reason: str,
    natural_key: str,
    connects: int,
    at: datetime,
    policy: Policy,
    seq: int,
    facts: dict[str, Fact],
) -> list[Change]:
    """Book a membership's Connects as a lot of their own, in one change; a policy that grants 0 books nothing."""
    if not connects:
        return []
    booking = Booking(books, books.wallet(freelancer_id))
    booking.credit(connects, _SOURCES[rule], at, policy.expiry_of(at))
    books.keep_grant(Grant(rule, natural_key, freelancer_id, at, connects, seq))
    return [booking.close(at, rule, reason, policy, Subject(freelancer_id), facts, _ABOUT_NOTHING, natural_key)]


_ABOUT_NOTHING: dict[str, str] = {}
