"""Cycles: a membership's periods [start, next start), in days of UTC; each starts at 00:00 of its first day (S0).

Here are the calendar, the state of a membership at an instant, and what is published of it.
"""

from bisect import insort
from collections.abc import Iterable
from datetime import date, datetime
from typing import Final, NamedTuple

from schemas.fields import Plan, SuspensionScope
from worker.domain.decisions import Fact, MembershipUpdate
from worker.domain.model import Membership, Suspension, midnight
from worker.domain.policy import Policy, PolicyBook
from worker.domain.state import State

LAST_MONTHLY_DAY: Final = 28
"""The last day of a month on which anybody is billed month after month (S0)."""
_MONTHS_IN_A_YEAR: Final = 12


def next_cycle_start(day: date, policy: Policy) -> date:
    """The first day of the cycle after the one that starts on `day`.

    Up to the 28th: the same day of the next month. The 29th, 30th and 31st: the 1st of the next month (S0), or, with
    policy `late_cycle_start` = "after-anniversary", of the month after that: nobody pays twice in two days (ours).
    """
    months = 1
    first_of_month = day.day > LAST_MONTHLY_DAY
    if first_of_month and policy.late_cycle_start == "after-anniversary":
        months = 2
    years, month = divmod(day.month - 1 + months, _MONTHS_IN_A_YEAR)
    return date(day.year + years, month + 1, 1 if first_of_month else day.day)


def what_is_due(membership: Membership, until: datetime, policies: PolicyBook) -> list[date]:
    """The cycle starts not booked yet that lie at or before `until`, if the membership goes on as it is."""
    due: list[date] = []
    day = membership.next_renewal
    while day is not None and midnight(day) <= until:
        due.append(day)
        day = next_cycle_start(day, policies.in_force(midnight(day)))
    return due


def begin(state: State, membership: Membership, day: date, policy: Policy) -> None:
    """Begin a membership: Basic, its cycle on that day, that start granting nothing (ours)."""
    membership.plan = "basic"
    enter_cycle(state, membership, day, next_cycle_start(day, policy))


def forget_beginning(state: State, membership: Membership) -> None:
    """Let a membership be one that never began: the registration that began it should never have been (ours).

    What was published of it stays: there is no message for it.
    """
    state.changed.cycles_before[membership.freelancer_id] = (membership.cycle_start, membership.next_renewal)
    membership.cycle_start = membership.next_renewal = None
    state.keep_membership(membership)


def begin_again(state: State, membership: Membership, day: date, next_renewal: date) -> None:
    """Let a membership whose beginning was forgotten have begun as it had; the clock grants what it missed (ours)."""
    state.changed.cycles_before[membership.freelancer_id] = (membership.cycle_start, membership.next_renewal)
    enter_cycle(state, membership, day, next_renewal)


def enter_cycle(state: State, membership: Membership, day: date, next_renewal: date) -> None:
    """Let the cycle [day, next_renewal) be the running one; the schedule gets the start of the next."""
    membership.cycle_start = day
    if membership.next_renewal != next_renewal:
        membership.next_renewal = next_renewal
        state.changed.cycles_added.append((next_renewal, membership.freelancer_id))
    state.keep_membership(membership)


def running_cycle(membership: Membership) -> tuple[date, date]:
    """The cycle that runs, of a membership that has begun: its first day and the first day of the next."""
    if membership.cycle_start is None or membership.next_renewal is None:
        raise AssertionError(f"{membership.freelancer_id}: the membership has not begun")
    return membership.cycle_start, membership.next_renewal


def note_suspension(membership: Membership, fact: Suspension) -> None:
    """Keep a dated fact in its place; of two dated alike the one decided later counts."""
    insort(membership.suspensions, fact, key=lambda known: known.at)


def basic_chosen_before(membership: Membership, at: datetime) -> bool:
    """Whether Basic was chosen before a cycle start: the renewal day or later is too late, the renewal counts (S0).

    A choice may be known that is dated later: an upgrade chosen after the 28th, paid before the 1st and read after it,
    moves the cycle start ahead.
    """
    return membership.downgrade_chosen_at is not None and membership.downgrade_chosen_at < at


def suspended_before(membership: Membership, at: datetime) -> frozenset[SuspensionScope]:
    """The scopes that are suspended at a cycle start: of each the latest fact dated before it."""
    if not membership.suspensions:
        return _NONE
    return _in_force(fact for fact in membership.suspensions if fact.at < at)


def suspended_at(membership: Membership, at: datetime) -> frozenset[SuspensionScope]:
    """The scopes that are suspended at an instant: a suspension holds from its own instant on."""
    if not membership.suspensions:
        return _NONE
    return _in_force(fact for fact in membership.suspensions if fact.at <= at)


def suspended_by_latest(membership: Membership) -> frozenset[SuspensionScope]:
    """The scopes that are suspended by the latest facts, whatever their dates."""
    return _in_force(membership.suspensions) if membership.suspensions else _NONE


def suspended_since(membership: Membership, scope: SuspensionScope, at: datetime) -> datetime | None:
    """Since when a scope that is suspended at that instant has been so without a break."""
    since: datetime | None = None
    for fact in membership.suspensions:
        if fact.scope == scope and fact.at <= at:
            since = (since or fact.at) if fact.suspended else None
    return since


def what_is_suspended(membership: Membership) -> dict[str, Fact]:
    """Return what is suspended by the latest facts, as a fact: the account goes before the billing method."""
    suspended = suspended_by_latest(membership)
    return {"suspended": min(suspended)} if suspended else {}


def what_ends_plus(membership: Membership) -> dict[str, Fact]:
    """Return what ends Plus at the next cycle start, as facts; none if it is to be renewed."""
    _, until = running_cycle(membership)
    facts = what_is_suspended(membership)
    if basic_chosen_before(membership, midnight(until)):
        facts["downgrade_chosen_at"] = membership.downgrade_chosen_at
    return facts


class Seen(NamedTuple):
    """The published fields of a membership that has begun."""

    plan: Plan
    cycle_start: date
    next_renewal_on: date
    scheduled_plan: Plan | None
    suspended: bool


def seen(membership: Membership) -> Seen | None:
    """Return its published fields; None as long as it has not begun.

    Basic is scheduled while the plan is Plus and a downgrade is chosen or a suspension in force.
    """
    if membership.cycle_start is None or membership.next_renewal is None:
        return None
    suspended = bool(suspended_by_latest(membership))
    ends = membership.plan == "plus" and (suspended or membership.downgrade_chosen_at is not None)
    return Seen(membership.plan, membership.cycle_start, membership.next_renewal, "basic" if ends else None, suspended)


def update_of(membership: Membership, before: Seen | None, reason: str) -> MembershipUpdate | None:
    """The membership to publish, compared with `before`: with the version incremented if anything visible changed."""
    now = seen(membership)
    if now is None or now == before:
        return None
    membership.version += 1
    return MembershipUpdate(membership.version, *now, reason)


def _in_force(facts: Iterable[Suspension]) -> frozenset[SuspensionScope]:
    latest = {fact.scope: fact.suspended for fact in facts}
    return frozenset(scope for scope, suspended in latest.items() if suspended)


_NONE: Final[frozenset[SuspensionScope]] = frozenset()
