"""Charges: the requests of a membership to the billing system, and its replies (S0, HP).

An upgrade and every renewal of Plus ask for one charge. Connects come in when it is paid. A charge that the earnings
balance failed to pay is asked once of the payment method, as attempt 2; nothing is asked a third time. What costs
nothing, by a promotion or by the policy, is not requested: it takes effect immediately (ours).
"""

from datetime import date, datetime

from schemas.fields import ChargeSource
from schemas.memberships import MembershipChargeSettled
from worker.domain.cards import Need, part, rule
from worker.domain.decisions import Fact, Verdict
from worker.domain.model import Charge, ChargeId, ChargeKey, ChargeKind, FreelancerId, Membership, Promo, midnight
from worker.domain.policy import Policy, PolicyBook
from worker.domain.rules import monthly, promos
from worker.domain.rules.cycles import (
    enter_cycle,
    next_cycle_start,
    running_cycle,
    suspended_before,
    suspended_since,
    what_ends_plus,
    what_is_suspended,
)
from worker.domain.state import Held, State
from worker.domain.triggers import Received

UPGRADE = "membership.upgrade"
RENEWAL = "membership.renewal"
CHARGE = "membership.charge"


def request(
    state: State,
    membership: Membership,
    kind: ChargeKind,
    named: str,
    cycle_start: date,
    at: datetime,
    policy: Policy,
    seq: int,
    *,
    choice_promo: bool = False,
) -> Charge:
    """Request the price, less the promotion, as attempt 1; `named` makes the charge's id unique among the freelancer's.

    If nothing is left of the price the charge is made as paid, and the caller requests nothing.
    """
    promo, amount_cents, source = what_is_asked(membership, policy)
    if promo is not None:
        promos.use(membership, promo)
    charge = Charge(
        charge_id=ChargeId(f"{membership.freelancer_id}:{named}:1"),
        freelancer_id=membership.freelancer_id,
        kind=kind,
        cycle_start=cycle_start,
        chosen_at=at if kind == "upgrade" else None,
        attempt=1,
        amount_cents=amount_cents,
        currency=policy.currency,
        source=source,
        promo_code=None if promo is None else promo.code,
        choice_promo=choice_promo,
        requested_at=at,
        decision_seq=seq,
        status="asked" if amount_cents else "paid",
    )
    _keep_requested(state, membership, charge)
    return charge


def what_is_asked(membership: Membership, policy: Policy) -> tuple[Promo | None, int, ChargeSource]:
    """Return the next charge as it would be: the promotion it uses, its cents, and their source.

    The whole amount comes from the earnings balance if its last report is enough, else from the payment method
    (S0).
    """
    promo = promos.next_to_use(membership)
    amount_cents = promos.discounted(policy.plus_price_cents, promo)
    covered = membership.earnings is not None and membership.earnings[1] >= amount_cents
    return promo, amount_cents, "earnings-balance" if covered else "payment-method"


@rule(
    id=CHARGE,
    on="membership-charge-settled",
    event=MembershipChargeSettled,
    needs=(Need.WALLET, Need.MEMBERSHIP, Need.CHARGE),
    stops="wallet",
    once_per=None,
    repeat=None,
    unless=None,
    source=None,
    about=(),
    reasons=("unknown-charge",),
    found_by={},
    policy=(),
    then="membership-moves",
)
def answer(state: State, event: MembershipChargeSettled, trigger: Received, policies: PolicyBook) -> Verdict:
    """Apply a reply to a charge. Connects of a cycle start are granted under the policy in force there."""
    membership = state.membership(FreelancerId(event.freelancer_id))
    charge = known_charge(state, event)
    if charge is None:
        return _unknown(state, event, trigger)
    rule_id = RENEWAL if charge.kind == "renewal" else UPGRADE
    if charge.status in {"paid", "failed"} or (charge.status == "lapsed" and event.outcome == "failed"):
        facts: dict[str, Fact] = {**facts_of(charge), "status": charge.status, "outcome": event.outcome}
        return Verdict("declined", "charge-already-settled", rule_id, facts)

    lapsed = charge.status == "lapsed"
    charge.status = event.outcome
    state.keep_charge(charge)
    state.keep_membership(membership)
    at, seq = event.occurred_at, trigger.seq
    if event.outcome == "failed":
        return _failed(state, membership, charge, at, policies, seq)
    if lapsed:
        return _paid_after_lapse(state, charge, at, policies.in_force(at), seq)
    if charge.kind == "upgrade":
        return _upgraded(state, membership, charge, at, policies.in_force(at), seq, {"paid_at": at})
    return _renewed(state, membership, charge, at, policies, seq)


def upgrade_for_nothing(
    state: State, membership: Membership, charge: Charge, at: datetime, policy: Policy, seq: int
) -> Verdict:
    """Plus begins with the choice: nothing is left of the price, so there is nothing to wait for."""
    return _upgraded(state, membership, charge, at, policy, seq, _nothing_to_pay(policy))


def renew_for_nothing(
    state: State, charge: Charge, at: datetime, policy: Policy, seq: int, ahead: dict[str, Fact]
) -> Verdict:
    """Plus's Connects at its cycle start: nothing is left of the price. `ahead` says what follows the cycle."""
    facts = {**_whole(charge, policy), **_nothing_to_pay(policy), **ahead}
    changes = monthly.plus_grant(state, charge, "cycle-started", at, policy, seq, facts)
    return Verdict("applied", "renewed", RENEWAL, facts, changes)


def known_charge(state: State, event: MembershipChargeSettled) -> Charge | None:
    """The charge that is answered, if it was asked of this freelancer."""
    return state.charge(ChargeKey(FreelancerId(event.freelancer_id), ChargeId(event.charge_id)))


def facts_of(charge: Charge) -> dict[str, Fact]:
    """A charge, as facts; a charge of 0 has no source."""
    facts: dict[str, Fact] = {
        "charge_id": charge.charge_id,
        "charge": charge.kind,
        "cycle_start": charge.cycle_start.isoformat(),
        "amount_cents": charge.amount_cents,
        "currency": charge.currency,
    }
    if charge.amount_cents:
        facts["source"] = charge.source
    facts["attempt"] = charge.attempt
    if charge.promo_code is not None:
        facts["promo_code"] = charge.promo_code
    return facts


def _keep_requested(state: State, membership: Membership, charge: Charge) -> None:
    if charge.key in state.charges:
        raise AssertionError(f"charge {charge.charge_id} was requested of {charge.freelancer_id} before")
    if charge.status == "asked" and charge.kind == "upgrade":
        membership.upgrade = charge.charge_id
    elif charge.status == "asked":
        membership.renewal = charge.charge_id
    state.keep_charge(charge)
    state.keep_membership(membership)


def _unknown(state: State, event: MembershipChargeSettled, trigger: Received) -> Verdict:
    """The charge was not requested of this freelancer; if it is requested later, the reply counts then."""
    facts: dict[str, Fact] = {"charge_id": event.charge_id, "outcome": event.outcome}
    state.hold(Held(FreelancerId(event.freelancer_id), trigger.seq, trigger.topic, event, trigger.cause))
    return Verdict("recorded", "unknown-charge", CHARGE, facts)


def _failed(
    state: State, membership: Membership, charge: Charge, failed_at: datetime, policies: PolicyBook, seq: int
) -> Verdict:
    """No money came in: requested once more, from the payment method, or failed for good; no promotion is used."""
    if charge.source == "earnings-balance":
        return _retried(state, membership, charge, failed_at, seq)
    promos.give_back(membership, charge)
    if charge.kind == "upgrade":
        return _upgrade_failed(membership, charge, failed_at)
    return _renewal_failed(state, membership, charge, failed_at, policies, seq)


def _retried(state: State, membership: Membership, failed: Charge, at: datetime, seq: int) -> Verdict:
    """Any charge that the earnings balance failed to pay is asked once of the payment method (S0)."""
    attempt = failed.attempt + 1
    charge = Charge(
        charge_id=ChargeId(f"{failed.charge_id.rpartition(':')[0]}:{attempt}"),
        freelancer_id=failed.freelancer_id,
        kind=failed.kind,
        cycle_start=failed.cycle_start,
        chosen_at=failed.chosen_at,
        attempt=attempt,
        amount_cents=failed.amount_cents,
        currency=failed.currency,
        source="payment-method",
        promo_code=failed.promo_code,
        choice_promo=failed.choice_promo,
        requested_at=at,
        decision_seq=seq,
    )
    _keep_requested(state, membership, charge)
    facts = {**facts_of(charge), "failed_at": at}
    rule_id = RENEWAL if charge.kind == "renewal" else UPGRADE
    return Verdict("applied", "charge-retried", rule_id, facts, charge=charge)


@part(
    id=UPGRADE,
    once_per=None,
    source=None,
    reasons=("upgraded", "charge-failed", "charge-retried", "charge-already-settled"),
    found_by={},
    policy=("grants.monthly.plus_paid", "grants.monthly.plus_free", "memberships.late_cycle_start"),
)
def _upgraded(
    state: State,
    membership: Membership,
    charge: Charge,
    paid_at: datetime,
    policy: Policy,
    seq: int,
    how: dict[str, Fact],
) -> Verdict:
    """Plus begins: the paid part whole, the free part prorated by the days that Basic's cycle had run (HP).

    `how` says that it was paid, or that there was nothing to pay: then `paid_at` is the instant of the choice. The
    cycle restarts on the day of the choice. If a cycle has started since, Basic's or the one that Plus would have
    had, both go by the day of the payment: nobody pays for a cycle that is over (ours).
    """
    basic_start, basic_end = running_cycle(membership)
    day = charge.cycle_start
    over_on = next_cycle_start(day, policy)
    if day < basic_start or over_on <= paid_at.date():
        day = max(paid_at.date(), basic_start)
    days, length = (day - basic_start).days, (basic_end - basic_start).days
    free = prorated(policy.monthly_plus_free, days, length)
    connects = policy.monthly_plus_paid + free
    until = next_cycle_start(day, policy)
    facts: dict[str, Fact] = {
        **facts_of(charge),
        "connects": connects,
        "paid": policy.monthly_plus_paid,
        "free": free,
        "free_whole": policy.monthly_plus_free,
        "days": days,
        "length": length,
        "prorated_from": basic_start.isoformat(),
        "prorated_to": day.isoformat(),
        "chosen_at": charge.chosen_at,
        **how,
        "next_renewal": until.isoformat(),
    }
    if charge.cycle_start < basic_start:
        facts["overtaken"] = True
    elif day != charge.cycle_start:
        facts["over_on"] = over_on.isoformat()
    membership.plan, membership.upgrade = "plus", None
    enter_cycle(state, membership, day, until)
    facts |= what_ends_plus(membership)
    changes = monthly.upgrade_grant(state, charge, connects, paid_at, policy, seq, facts)
    return Verdict("applied", "upgraded", UPGRADE, facts, changes)


def prorated(connects: int, days: int, length: int) -> int:
    """Return the share of that many days in a cycle of that length, rounded down (HP)."""
    return connects * days // length


@part(
    id=RENEWAL,
    once_per=None,
    source=None,
    reasons=(
        "charge-requested",
        "renewed",
        "charge-failed",
        "charge-retried",
        "charge-already-settled",
        "paid-after-lapse",
    ),
    found_by={"paid-after-lapse": "operators"},
    policy=("grants.monthly", "memberships.plus_price_cents", "memberships.currency"),
)
def _renewed(
    state: State, membership: Membership, charge: Charge, paid_at: datetime, policies: PolicyBook, seq: int
) -> Verdict:
    """Plus's Connects for the running cycle, dated at its start, whatever has begun since."""
    membership.renewal = None
    _, until = running_cycle(membership)
    at = midnight(charge.cycle_start)
    facts = {
        **_whole(charge, policies.in_force(at)),
        "paid_at": paid_at,
        "next_renewal": until.isoformat(),
        **what_ends_plus(membership),
    }
    changes = monthly.plus_grant(state, charge, "cycle-started", at, policies.in_force(at), seq, facts)
    return Verdict("applied", "renewed", RENEWAL, facts, changes)


def _paid_after_lapse(state: State, charge: Charge, paid_at: datetime, policy: Policy, seq: int) -> Verdict:
    """It was paid after it had lapsed: all its Connects, dated at the payment; the plan stays as it is (ours)."""
    facts = {**_whole(charge, policy), "paid_at": paid_at}
    changes = monthly.plus_grant(state, charge, "paid-after-lapse", paid_at, policy, seq, facts)
    return Verdict("applied", "paid-after-lapse", RENEWAL, facts, changes)


def _whole(charge: Charge, policy: Policy) -> dict[str, Fact]:
    return {
        **facts_of(charge),
        "plan": "plus",
        "connects": policy.monthly_plus_paid + policy.monthly_plus_free,
        "paid": policy.monthly_plus_paid,
        "free": policy.monthly_plus_free,
    }


def _nothing_to_pay(policy: Policy) -> dict[str, Fact]:
    return {"nothing_to_pay": True, "price_cents": policy.plus_price_cents}


def _upgrade_failed(membership: Membership, charge: Charge, failed_at: datetime) -> Verdict:
    """An upgrade that fails changes nothing; a downgrade chosen meanwhile has nothing to end."""
    membership.upgrade = membership.downgrade_chosen_at = None
    facts = {**facts_of(charge), "failed_at": failed_at, **what_is_suspended(membership)}
    return Verdict("applied", "charge-failed", UPGRADE, facts)


def _renewal_failed(
    state: State, membership: Membership, charge: Charge, failed_at: datetime, policies: PolicyBook, seq: int
) -> Verdict:
    """Basic immediately, no more attempts (HP), and Basic's Connects for the running cycle, dated at its start."""
    membership.plan = "basic"
    membership.renewal = membership.downgrade_chosen_at = None
    start, until = running_cycle(membership)
    at = midnight(start)
    policy = policies.in_force(at)
    facts: dict[str, Fact] = {
        **facts_of(charge),
        "failed_at": failed_at,
        "next_renewal": until.isoformat(),
        **what_is_suspended(membership),
    }
    if "account" in suspended_before(membership, at):
        facts |= {"withheld": True, "suspended_at": suspended_since(membership, "account", at)}
        return Verdict("applied", "charge-failed", RENEWAL, facts)
    facts["connects"] = policy.monthly_basic
    granted: dict[str, Fact] = {**facts, "plan": "basic", "why": "failed"}
    changes = monthly.basic_grant(state, membership.freelancer_id, start, policy, seq, granted)
    return Verdict("applied", "charge-failed", RENEWAL, facts, changes)
