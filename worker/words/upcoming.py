"""The next grant, renewal or downgrade of a membership, if nothing happens until then, for people to read.

Nothing here decides anything; the amounts are those of the policy that will be in force, as far as it is known.
"""

from datetime import date
from typing import Literal, NamedTuple

from worker.domain.model import Charge, Membership, midnight
from worker.domain.policy import Policy, PolicyBook
from worker.domain.rules.charges import prorated, what_is_asked
from worker.domain.rules.cycles import (
    next_cycle_start,
    running_cycle,
    suspended_before,
    suspended_by_latest,
    what_ends_plus,
)
from worker.words.phrases import connects, day, money


class Upcoming(NamedTuple):
    """Something ahead: on which day, and the Connects to expect from it (a downgrade brings none itself)."""

    on: date
    kind: Literal["grant", "renewal", "downgrade"]
    connects: int
    explanation: str


def upcoming(membership: Membership, policies: PolicyBook, unanswered: Charge | None = None) -> list[Upcoming]:
    """Return what is ahead of a membership, the next first; nothing if it has not begun.

    `unanswered` is the charge that it waits for (`membership.upgrade` or `membership.renewal`), if there is one.
    """
    if membership.cycle_start is None:
        return []
    _, on = running_cycle(membership)
    policy = policies.in_force(midnight(on))
    if membership.plan == "plus" and unanswered is not None:
        return _renewal_unanswered(membership, unanswered, on, policies)
    if membership.plan == "plus":
        return _plus_goes_on_or_ends(membership, on, policy)
    if unanswered is None:
        return [_basic_grant(membership, on, policy)]
    unless_upgraded = _basic_grant(membership, on, policy, "If the upgrade is not paid before: ")
    return [_when_paid(membership, unanswered, policies), unless_upgraded]


def _plus_goes_on_or_ends(membership: Membership, on: date, policy: Policy) -> list[Upcoming]:
    if what_ends_plus(membership):
        return [_downgrade(membership, on), _basic_grant(membership, on, policy, plus_goes_on=_may_go_on(membership))]
    return [_renewal(membership, on, policy)]


def _renewal_unanswered(membership: Membership, charge: Charge, on: date, policies: PolicyBook) -> list[Upcoming]:
    """Both ways: paid before the next cycle start, Plus goes on or ends there; else it has ended before (ours)."""
    then, since = policies.in_force(midnight(on)), midnight(charge.cycle_start)
    paid = [
        expected._replace(explanation=f"If that is paid before: {expected.explanation}")
        for expected in _plus_goes_on_or_ends(membership, on, then)
    ]
    missed = 0 if "account" in suspended_before(membership, since) else policies.in_force(since).monthly_basic
    cycle = f"for the Basic cycle that began on {_day(charge.cycle_start)}"
    words = f"If that is not paid before: {connects(missed)} {cycle}, then or as soon as the charge fails for good."
    unpaid = [
        Upcoming(on, "grant", missed, words),
        _basic_grant(membership, on, then, "If that is not paid before: "),
    ]
    return [_when_paid(membership, charge, policies), *paid, *unpaid]


def _when_paid(membership: Membership, charge: Charge, policies: PolicyBook) -> Upcoming:
    """The Connects of an unanswered charge, listed under the day from which it is awaited."""
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
    over_on = next_cycle_start(charge.cycle_start, policy)
    words = f"{connects(count)} come in when the charge of {amount} for the upgrade to Plus is paid"
    if charge.cycle_start < start:
        words = f"At least {words}. How many of the {policy.monthly_plus_free} free ones come in depends on its day."
    elif over_on < end:
        words = f"{words} before {_day(over_on)}. Later, the day of the payment counts: there may be more."
    else:
        words = f"{words}."
    return Upcoming(charge.cycle_start, "grant", count, words)


def _may_go_on(membership: Membership) -> bool:
    """Whether Plus goes on if the suspension is lifted: Basic was not chosen."""
    return "downgrade_chosen_at" not in what_ends_plus(membership)


def _basic_grant(
    membership: Membership, on: date, policy: Policy, condition: str = "", *, plus_goes_on: bool = False
) -> Upcoming:
    """`plus_goes_on`: lifting the suspension brings no Basic cycle at all."""
    count, cycle = policy.monthly_basic, f"for the Basic cycle that begins on {_day(on)}"
    if "account" in suspended_by_latest(membership):
        unless = ", unless the suspension of the account is lifted before"
        why = ": the account is suspended" if plus_goes_on else unless
        return Upcoming(on, "grant", 0, f"{condition}No Connects {cycle}{why}.")
    return Upcoming(on, "grant", count, f"{condition}{connects(count)} {cycle}.")


def _downgrade(membership: Membership, on: date) -> Upcoming:
    chosen_at = what_ends_plus(membership).get("downgrade_chosen_at")
    if chosen_at is not None:
        why = f"Basic was chosen on {day(chosen_at)}"
    else:
        suspended = [scope.replace("-", " ") for scope in sorted(suspended_by_latest(membership))]
        both = len(suspended) > 1
        what, lifted = " and the ".join(suspended), "Both lifted before" if both else "Lifted before"
        why = f"the {what} {'are' if both else 'is'} suspended. {lifted}, Plus goes on"
    return Upcoming(on, "downgrade", 0, f"Plus ends with its cycle on {_day(on)}: {why}.")


def _renewal(membership: Membership, on: date, policy: Policy) -> Upcoming:
    promo, amount_cents, source = what_is_asked(membership, policy)
    count = policy.monthly_plus_paid + policy.monthly_plus_free
    if not amount_cents:
        code = "" if promo is None else f" with the promotion code {promo.code}"
        words = f"Plus is renewed on {_day(on)}; nothing has to be paid for it{code}. {connects(count)} come in then."
        return Upcoming(on, "renewal", count, words)
    asked = f"{money(amount_cents, policy.currency)} is requested from the {source.replace('-', ' ')}"
    words = f"Plus is renewed on {_day(on)}: {asked}. {connects(count)} come in when that is paid."
    return Upcoming(on, "renewal", count, words)


def _day(on: date) -> str:
    return day(midnight(on))
