"""The Connects of a membership: Basic's at each cycle start, Plus's for each charge that is paid (S3, S0)."""

from datetime import date, datetime

from worker.domain.cards import OncePer, part
from worker.domain.decisions import Change, Fact, Subject, Verdict
from worker.domain.granting import NOTHING, credit
from worker.domain.model import Charge, FreelancerId, Membership, midnight
from worker.domain.policy import Policy
from worker.domain.rules.cycles import suspended_before, suspended_since
from worker.domain.state import State

MONTHLY = "grant.monthly"
UPGRADE = "grant.upgrade"


def basic_cycle(
    state: State, membership: Membership, day: date, until: date, policy: Policy, seq: int, why: dict[str, Fact]
) -> Verdict:
    """Basic's Connects for the cycle [day, until), dated at its start; withheld from a suspended account (S0).

    Withheld Connects are not granted later. `why` says how Plus ended, if it did.
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
    changes = basic_grant(state, membership.freelancer_id, day, policy, seq, facts)
    if not changes:
        return Verdict("declined", "nothing-to-do", MONTHLY, facts)
    return Verdict("applied", "cycle-started", MONTHLY, facts, changes)


def basic_grant(
    state: State, freelancer_id: FreelancerId, day: date, policy: Policy, seq: int, facts: dict[str, Fact]
) -> list[Change]:
    """Basic's Connects for the cycle that starts on `day`: once for each freelancer and cycle start."""
    key = f"{freelancer_id}/{day.isoformat()}"
    at, connects = midnight(day), policy.monthly_basic
    return _grant(state, freelancer_id, MONTHLY, "cycle-started", key, connects, at, policy, seq, facts)


@part(
    id=UPGRADE,
    once_per=OncePer(("freelancer_id", "charge_id")),
    source="upgrade",
    reasons=("upgraded",),
    found_by={},
    policy=("grants.monthly.plus_paid", "grants.monthly.plus_free", "expiry.lot_lifetime_years"),
)
def upgrade_grant(
    state: State, charge: Charge, connects: int, at: datetime, policy: Policy, seq: int, facts: dict[str, Fact]
) -> list[Change]:
    """The Connects of an upgrade to Plus, once for its charge."""
    return _grant(state, charge.freelancer_id, UPGRADE, "upgraded", _key_of(charge), connects, at, policy, seq, facts)


@part(
    id=MONTHLY,
    once_per=OncePer(("freelancer_id", "charge_id"), decided=("renewed", "paid-after-lapse")),
    source="monthly",
    reasons=("cycle-started", "paid-after-lapse"),
    found_by={},
    policy=("grants.monthly.plus_paid", "grants.monthly.plus_free", "expiry.lot_lifetime_years"),
)
def plus_grant(
    state: State, charge: Charge, reason: str, at: datetime, policy: Policy, seq: int, facts: dict[str, Fact]
) -> list[Change]:
    """All of Plus's Connects, once for each charge that is paid."""
    connects = policy.monthly_plus_paid + policy.monthly_plus_free
    return _grant(state, charge.freelancer_id, MONTHLY, reason, _key_of(charge), connects, at, policy, seq, facts)


def _key_of(charge: Charge) -> str:
    """The natural key of a charge's grant. It is never Basic's key: a charge id has a `:`, a day has none."""
    return f"{charge.freelancer_id}/{charge.charge_id}"


def _grant(
    state: State,
    freelancer_id: FreelancerId,
    rule_id: str,
    reason: str,
    natural_key: str,
    connects: int,
    at: datetime,
    policy: Policy,
    seq: int,
    facts: dict[str, Fact],
) -> list[Change]:
    """Book a membership's Connects in one change; a policy that grants 0 books nothing."""
    if not connects:
        return []
    subject = Subject(freelancer_id)
    return [credit(state, subject, rule_id, reason, natural_key, connects, at, policy, seq, facts, NOTHING)]
