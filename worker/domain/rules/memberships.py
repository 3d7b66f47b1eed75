"""Memberships: which plan, from when to when, and what moves it (S0).

A membership begins as Basic. Plus is chosen, charged for and renewed month after month, until Basic is chosen, a charge
fails or a suspension ends it. What is dated at or after a cycle start that is not booked yet waits for it, so that the
order of arrival within the grace changes nothing (docs/decisions/0008).
"""

import re
from datetime import date
from typing import NamedTuple

from schemas.base import InputEvent
from schemas.memberships import (
    AccountReinstated,
    AccountSuspended,
    EarningsBalanceUpdated,
    MembershipChargeSettled,
    MembershipPlanChosen,
)
from worker.domain.cards import MOVES_MEMBERSHIP, Need, OncePer, by_trigger, part, rule
from worker.domain.decisions import Fact, Verdict
from worker.domain.model import ChargeKey, FreelancerId, Membership, Suspension, midnight
from worker.domain.policy import Policy, PolicyBook
from worker.domain.rules import charges, monthly, promos
from worker.domain.rules.cycles import (
    basic_chosen_before,
    begin,
    enter_cycle,
    next_cycle_start,
    note_suspension,
    running_cycle,
    seen,
    suspended_at,
    suspended_before,
    suspended_by_latest,
    suspended_since,
    update_of,
    what_ends_plus,
    what_is_suspended,
)
from worker.domain.state import Held, State
from worker.domain.triggers import CycleDue, Received

BEGAN = "membership.began"
DOWNGRADE = "membership.downgrade"
SUSPENSION = "membership.suspension"
EARNINGS = "membership.earnings"
_A_DAY = re.compile(r"(choice:)*[0-9]{4}-[0-9]{2}-[0-9]{2}")


# Choices.


@rule(
    id=charges.UPGRADE,
    on="membership-plan-chosen",
    event=MembershipPlanChosen,
    reasons=(
        "charge-requested",
        "upgraded",
        "account-suspended",
        "already-on-plan",
        "promo-code-unknown",
        "promo-code-already-used",
        "promo-code-expired",
    ),
    policy=(
        "memberships.late_cycle_start",
        "memberships.plus_price_cents",
        "memberships.currency",
        "memberships.promo_codes",
    ),
    **MOVES_MEMBERSHIP,
)
def choose(state: State, event: MembershipPlanChosen, trigger: Received, policies: PolicyBook) -> Verdict:
    """A plan was chosen: Plus begins when its charge is paid (S0), Basic at the next cycle start (S0).

    Where nothing is left of the price Plus begins with the choice (ours).
    """
    membership = state.membership(FreelancerId(event.freelancer_id))
    policy = policies.in_force(event.occurred_at)
    begins = membership.cycle_start is None
    if begins:
        begin(state, membership, event.occurred_at.date(), policy)
    if event.plan == "plus":
        return _choose_plus(state, membership, event, policy, trigger.seq)
    if begins:
        return _began(membership, event)
    return _choose_basic(state, membership, event)


@part(
    id=BEGAN,
    once_per=None,
    source=None,
    reasons=("membership-began",),
    found_by={},
    policy=("memberships.late_cycle_start",),
)
def _began(membership: Membership, event: MembershipPlanChosen) -> Verdict:
    return Verdict("applied", "membership-began", BEGAN, _plan_facts(membership, event))


def _choose_plus(
    state: State, membership: Membership, event: MembershipPlanChosen, policy: Policy, seq: int
) -> Verdict:
    at, code = event.occurred_at, event.promo_code
    facts = _plan_facts(membership, event)
    suspended = suspended_at(membership, at)
    if suspended:
        facts |= {"scope": min(suspended), "suspended_at": suspended_since(membership, min(suspended), at)}
        return Verdict("declined", "account-suspended", charges.UPGRADE, facts)
    has_plus = membership.plan == "plus" or membership.upgrade is not None
    if has_plus and membership.downgrade_chosen_at is None:
        return Verdict("declined", "already-on-plan", charges.UPGRADE, facts)
    if code is not None:
        refusal = promos.why_not(membership, code, at, policy)
        if refusal is not None:
            return Verdict("declined", refusal, charges.UPGRADE, facts | promos.terms(code, policy))
        promos.accept(state, membership, code, policy)
    if has_plus:
        membership.downgrade_chosen_at = None
        state.keep_membership(membership)
        return Verdict("applied", "downgrade-cancelled", DOWNGRADE, facts | ({"promo_code": code} if code else {}))
    charge = charges.request(
        state, membership, "upgrade", _named(event.event_id), at.date(), at, policy, seq, choice_promo=code is not None
    )
    if charge.status == "paid":
        return charges.upgrade_for_nothing(state, membership, charge, at, policy, seq)
    asked: dict[str, Fact] = {**charges.facts_of(charge), "price_cents": policy.plus_price_cents, "chosen_at": at}
    return Verdict("applied", "charge-requested", charges.UPGRADE, asked, charge=charge)


def _named(event_id: str) -> str:
    """The id suffix of an upgrade's charge: the choice's event id, escaped where it could be read as a renewal date."""
    return f"choice:{event_id}" if _A_DAY.fullmatch(event_id) else event_id


@part(
    id=DOWNGRADE,
    once_per=None,
    source=None,
    reasons=("downgrade-scheduled", "downgrade-cancelled", "downgraded", "already-on-plan", "awaits-cycle-start"),
    found_by={},
    policy=(),
)
def _choose_basic(state: State, membership: Membership, event: MembershipPlanChosen) -> Verdict:
    facts = _plan_facts(membership, event)
    has_plus = membership.plan == "plus" or membership.upgrade is not None
    if not has_plus or membership.downgrade_chosen_at is not None:
        return Verdict("declined", "already-on-plan", DOWNGRADE, facts)
    membership.downgrade_chosen_at = event.occurred_at
    state.keep_membership(membership)
    return Verdict("applied", "downgrade-scheduled", DOWNGRADE, facts)


def _plan_facts(membership: Membership, event: MembershipPlanChosen) -> dict[str, Fact]:
    """Return the choice and the present plan, as facts."""
    start, until = running_cycle(membership)
    facts: dict[str, Fact] = {
        "chosen": event.plan,
        "chosen_at": event.occurred_at,
        "plan": membership.plan,
        "cycle_start": start.isoformat(),
        "next_renewal": until.isoformat(),
    }
    if membership.upgrade is not None:
        facts["upgrade"] = membership.upgrade
    if membership.renewal is not None:
        facts["renewal"] = membership.renewal
    if membership.downgrade_chosen_at is not None:
        facts["downgrade_chosen_at"] = membership.downgrade_chosen_at
    return facts


# Suspensions and balances.


@rule(
    id=SUSPENSION,
    on="account-suspended",
    event=AccountSuspended,
    reasons=("suspended",),
    policy=(),
    **MOVES_MEMBERSHIP,
)
def suspend(state: State, event: AccountSuspended, _trigger: Received, _policies: PolicyBook) -> Verdict:
    """An account or its way of paying was suspended: Plus ends with its cycle, unless that is lifted before (S0)."""
    return _note_suspension(state, event, suspended=True)


@rule(
    id=SUSPENSION,
    on="account-reinstated",
    event=AccountReinstated,
    reasons=("reinstated",),
    policy=(),
    **MOVES_MEMBERSHIP,
)
def reinstate(state: State, event: AccountReinstated, _trigger: Received, _policies: PolicyBook) -> Verdict:
    """A suspension was lifted; the last one lifted before the cycle ends keeps the plan (S0)."""
    return _note_suspension(state, event, suspended=False)


def _note_suspension(state: State, event: AccountSuspended | AccountReinstated, *, suspended: bool) -> Verdict:
    membership = state.membership(FreelancerId(event.freelancer_id))
    before = suspended_by_latest(membership)
    note_suspension(membership, Suspension(event.occurred_at, event.scope, suspended))
    state.keep_membership(membership)
    now = suspended_by_latest(membership)
    facts: dict[str, Fact] = {"scope": event.scope, "at": event.occurred_at, "plan": membership.plan}
    if membership.next_renewal is not None:
        facts["next_renewal"] = membership.next_renewal.isoformat()
    if membership.upgrade is not None:
        facts["upgrade"] = membership.upgrade
    if others := now - {event.scope}:
        facts["still_suspended"] = min(others)
    if membership.downgrade_chosen_at is not None:
        facts["downgrade_chosen_at"] = membership.downgrade_chosen_at
    return Verdict(
        "recorded" if now == before else "applied", "suspended" if suspended else "reinstated", SUSPENSION, facts
    )


@rule(
    id=EARNINGS,
    on="earnings-balance-updated",
    event=EarningsBalanceUpdated,
    reasons=("earnings-noted",),
    policy=("memberships.currency",),
    **MOVES_MEMBERSHIP,
)
def note_earnings(state: State, event: EarningsBalanceUpdated, _trigger: Received, policies: PolicyBook) -> Verdict:
    """Note what could be charged: the latest balance is the first source of the next charge (S0)."""
    membership = state.membership(FreelancerId(event.freelancer_id))
    currency = policies.in_force(event.occurred_at).currency
    facts: dict[str, Fact] = {"available_cents": event.available_cents, "currency": currency, "at": event.occurred_at}
    if membership.earnings is None or membership.earnings[0] <= event.occurred_at:
        membership.earnings = (event.occurred_at, event.available_cents)
        state.keep_membership(membership)
    else:
        facts["later_at"] = membership.earnings[0]
    return Verdict("recorded", "earnings-noted", EARNINGS, facts)


# Cycle starts.


class Step(NamedTuple):
    """One decision of a cycle start: its kind (`cycle` or `renewal`), its day, its policy."""

    what: str
    day: date
    verdict: Verdict
    policy: Policy


@rule(
    id=monthly.MONTHLY,
    on="cycle",
    event=None,
    needs=(Need.WALLET, Need.MEMBERSHIP),
    stops="wallet",
    once_per=OncePer(("freelancer_id", "occurred_at")),
    repeat=None,
    unless=None,
    source="monthly",
    about=(),
    reasons=("cycle-started", "account-suspended", "nothing-to-do"),
    found_by={},
    policy=("grants.monthly.basic", "memberships.late_cycle_start", "expiry.lot_lifetime_years"),
    then="nothing",
)
def start_cycle(state: State, due: CycleDue, policies: PolicyBook) -> list[Step]:
    """Start a cycle: Basic gets its Connects; Plus a charge, unless it lapsed or is to end there (S0)."""
    membership = due.membership
    _, day = running_cycle(membership)
    at = midnight(day)
    policy = policies.in_force(at)
    if membership.plan == "basic":
        return [_basic_cycle(state, membership, day, policy, due.seq, {})]
    if membership.renewal is not None:
        return _lapse(state, membership, day, policies, due.seq)
    suspended = suspended_before(membership, at)
    if suspended or basic_chosen_before(membership, at):
        return _end_plus(state, membership, day, policy, due.seq)
    return [_renew(state, membership, day, policy, due.seq)]


def _basic_cycle(
    state: State, membership: Membership, day: date, policy: Policy, seq: int, why: dict[str, Fact]
) -> Step:
    until = next_cycle_start(day, policy)
    enter_cycle(state, membership, day, until)
    verdict = monthly.basic_cycle(state, membership, day, until, policy, seq, why)
    verdict.membership = update_of(membership, None, verdict.reason)
    return Step("cycle", day, verdict, policy)


def _renew(state: State, membership: Membership, day: date, policy: Policy, seq: int) -> Step:
    """Plus goes on: a charge is requested, and its Connects come in when it is paid; immediately, if it costs nothing.

    Connects that come in at a cycle start are caused by `cycle:...`, as Basic's are (contract: wallet-updated).
    """
    before, at, until = seen(membership), midnight(day), next_cycle_start(day, policy)
    enter_cycle(state, membership, day, until)
    charge = charges.request(state, membership, "renewal", day.isoformat(), day, at, policy, seq)
    ahead: dict[str, Fact] = {"next_renewal": until.isoformat(), **what_ends_plus(membership)}
    if charge.status == "paid":
        verdict = charges.renew_for_nothing(state, charge, at, policy, seq, ahead)
    else:
        facts: dict[str, Fact] = {
            **charges.facts_of(charge),
            "price_cents": policy.plus_price_cents,
            "connects": policy.monthly_plus_paid + policy.monthly_plus_free,
            **ahead,
        }
        verdict = Verdict("applied", "charge-requested", charges.RENEWAL, facts, charge=charge)
    verdict.membership = update_of(membership, before, verdict.reason)
    return Step("renewal" if charge.status == "asked" else "cycle", day, verdict, policy)


def _end_plus(state: State, membership: Membership, day: date, policy: Policy, seq: int) -> list[Step]:
    """Plus ends with its cycle, because a downgrade was chosen or a suspension is in force; Basic's cycle begins."""
    before, at = seen(membership), midnight(day)
    why: dict[str, Fact] = {"why": "chosen", "downgrade_chosen_at": membership.downgrade_chosen_at}
    if not basic_chosen_before(membership, at):
        scope = min(suspended_before(membership, at))
        why = {"why": "suspended", "scope": scope, "suspended_at": suspended_since(membership, scope, at)}
    membership.plan, membership.downgrade_chosen_at = "basic", None
    facts: dict[str, Fact] = {**why, "cycle_start": day.isoformat(), **what_is_suspended(membership)}
    verdict = Verdict("applied", "downgraded", DOWNGRADE, facts)
    verdict.membership = update_of(membership, before, verdict.reason)
    return [Step("renewal", day, verdict, policy), _basic_cycle(state, membership, day, policy, seq + 1, why)]


def _lapse(state: State, membership: Membership, day: date, policies: PolicyBook, seq: int) -> list[Step]:
    """A charge not answered in its whole cycle counts as failed: Basic from that cycle's start, with its Connects."""
    if membership.renewal is None:
        raise AssertionError(f"{membership.freelancer_id}: no renewal that could lapse")
    charge = state.charges[ChargeKey(membership.freelancer_id, membership.renewal)]
    before, policy = seen(membership), policies.in_force(midnight(day))
    charge.status = "lapsed"
    state.keep_charge(charge)
    membership.plan = "basic"
    membership.renewal = membership.downgrade_chosen_at = None
    facts: dict[str, Fact] = {**charges.facts_of(charge), "lapsed": True, "lapsed_on": day.isoformat()}
    verdict = Verdict("applied", "charge-failed", charges.RENEWAL, facts)
    verdict.membership = update_of(membership, before, verdict.reason)
    why: dict[str, Fact] = {"why": "lapsed"}
    since, then = charge.cycle_start, policies.in_force(midnight(charge.cycle_start))
    missed = monthly.basic_cycle(state, membership, since, day, then, seq + 1, why)
    return [
        Step("renewal", day, verdict, policy),
        Step("cycle", since, missed, then),
        _basic_cycle(state, membership, day, policy, seq + 2, {}),
    ]


# Events that wait for a cycle start or a charge.


def await_cycle_start(state: State, trigger: Received) -> Verdict | None:
    """Hold an event that is dated at or after a cycle start that is not booked yet; None if it counts now."""
    event = trigger.event
    freelancer_id = freelancer_of(event)
    day = state.membership(freelancer_id).next_renewal
    if day is None or event.occurred_at < midnight(day):
        return None
    state.hold(Held(freelancer_id, trigger.seq, trigger.topic, event, trigger.cause))
    facts: dict[str, Fact] = {"waits": trigger.topic, "at": event.occurred_at, "next_renewal": day.isoformat()}
    return Verdict("recorded", "awaits-cycle-start", _rule_of(trigger), facts)


def ready(state: State, freelancer_id: FreelancerId) -> list[Held]:
    """Return the held events that count by now, by (occurred_at, ledger order)."""
    counts = [held for held in state.held.get(freelancer_id, ()) if _is_ready(state, held)]
    return sorted(counts, key=lambda held: (held.event.occurred_at, held.decision_seq))


def freelancer_of(event: InputEvent) -> FreelancerId:
    """Return the freelancer whose membership an event of the six membership topics is about."""
    return FreelancerId(event.__dict__["freelancer_id"])


def _is_ready(state: State, held: Held) -> bool:
    day = state.membership(held.freelancer_id).next_renewal
    if day is not None and held.event.occurred_at >= midnight(day):
        return False
    return not isinstance(held.event, MembershipChargeSettled) or charges.known_charge(state, held.event) is not None


def _rule_of(trigger: Received) -> str:
    """The rule under which an event is held."""
    event = trigger.event
    if isinstance(event, MembershipPlanChosen) and event.plan == "basic":
        return DOWNGRADE
    return by_trigger[trigger.topic].id
