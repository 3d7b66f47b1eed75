"""What a membership has ahead, if nothing happens until then: its next grant, renewal or downgrade, for people to read.

Nothing here decides anything; the amounts are those of the policy that will be in force, as far as it is known.
"""

from datetime import date
from typing import Literal, NamedTuple

from worker.domain.model import Charge, Membership, midnight
from worker.domain.phrases import connects, day, money
from worker.domain.policy import Policy, PolicyBook
from worker.domain.rules.charges import prorated, what_is_asked
from worker.domain.rules.cycles import basic_chosen_before, running_cycle, suspended_by_latest


class Upcoming(NamedTuple):
    """Something ahead: on which day, and the Connects to expect from it (a downgrade brings none itself)."""

    on: date
    kind: Literal["grant", "renewal", "downgrade"]
    connects: int
    explanation: str


def upcoming(membership: Membership, policies: PolicyBook, unanswered: Charge | None = None) -> list[Upcoming]:
    """What lies ahead of a membership, oldest first; nothing, if it has not begun.

    `unanswered` is the charge that it waits for (`membership.upgrade` or `membership.renewal`), if there is one.
    """
    if membership.cycle_start is None:
        return []
    _, on = running_cycle(membership)
    policy = policies.in_force(midnight(on))
    ahead = [] if unanswered is None else [_when_paid(membership, unanswered, policies)]
    if membership.plan == "basic":
        return [*ahead, _basic_grant(membership, on, policy)]
    if basic_chosen_before(membership, midnight(on)) or suspended_by_latest(membership):
        return [*ahead, _downgrade(membership, on), _basic_grant(membership, on, policy)]
    return [*ahead, _renewal(membership, on, policy)]


def _when_paid(membership: Membership, charge: Charge, policies: PolicyBook) -> Upcoming:
    """What an unanswered charge brings; it stands under the day from which on it is awaited."""
    amount = money(charge.amount_cents, charge.currency)
    start, end = running_cycle(membership)
    if charge.kind == "renewal":
        policy = policies.in_force(midnight(charge.cycle_start))
        count = policy.monthly_plus_paid + policy.monthly_plus_free
        words = f"{connects(count)} for the Plus cycle that began on {_day(charge.cycle_start)}"
        words = f"{words} come in when its charge of {amount} is paid; from {_day(end)} on it counts as failed."
        return Upcoming(charge.cycle_start, "grant", count, words)
    policy = policies.in_force(charge.requested_at)
    restart = max(charge.cycle_start, start)
    free = prorated(policy.monthly_plus_free, (restart - start).days, (end - start).days)
    count = policy.monthly_plus_paid + free
    words = f"{connects(count)} come in when the charge of {amount} for the upgrade to Plus is paid."
    if charge.cycle_start < start:
        since = "The Basic cycle began only after the choice: the day of the payment counts, if it is later."
        words = f"At least {words} {since}"
    return Upcoming(charge.cycle_start, "grant", count, words)


def _basic_grant(membership: Membership, on: date, policy: Policy) -> Upcoming:
    count = policy.monthly_basic
    if "account" in suspended_by_latest(membership):
        words = f"No Connects for the Basic cycle that begins on {_day(on)}, unless the suspension is lifted before."
        return Upcoming(on, "grant", 0, words)
    return Upcoming(on, "grant", count, f"{connects(count)} for the Basic cycle that begins on {_day(on)}.")


def _downgrade(membership: Membership, on: date) -> Upcoming:
    if basic_chosen_before(membership, midnight(on)):
        why = f"Basic was chosen on {day(membership.downgrade_chosen_at)}"
    else:
        what = "account" if "account" in suspended_by_latest(membership) else "billing method"
        why = f"the {what} is suspended. Lifted before, Plus goes on"
    return Upcoming(on, "downgrade", 0, f"Plus ends with its cycle on {_day(on)}: {why}.")


def _renewal(membership: Membership, on: date, policy: Policy) -> Upcoming:
    _, amount_cents, source = what_is_asked(membership, policy)
    count = policy.monthly_plus_paid + policy.monthly_plus_free
    asked = f"{money(amount_cents, policy.currency)} is asked of the {source.replace('-', ' ')}"
    words = f"Plus is renewed on {_day(on)}: {asked}. {connects(count)} come in when that is paid."
    return Upcoming(on, "renewal", count, words)


def _day(on: date) -> str:
    return day(midnight(on))
