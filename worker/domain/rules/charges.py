"""Charges: what a membership asks of the billing system, and what its answers lead to (S0, HP).

An upgrade and every renewal of Plus ask for one charge. Connects come in when it is paid. A charge that the earnings
balance failed to pay is asked once of the payment method, as attempt 2; nothing is asked a third time. What costs
nothing, by a promotion or by the policy, is not asked of anybody: it takes effect at once (ours).
"""

from datetime import date, datetime

from schemas.memberships import MembershipChargeSettled
from worker.domain.books import Books, Held
from worker.domain.decisions import Change, Fact, Verdict
from worker.domain.model import (
    Charge,
    ChargeId,
    ChargeKey,
    ChargeKind,
    ChargeSource,
    FreelancerId,
    Membership,
    Promo,
    midnight,
)
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
from worker.domain.triggers import Received

UPGRADE = "membership.upgrade"
RENEWAL = "membership.renewal"
CHARGE = "membership.charge"


def request(
    books: Books,
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
    """Ask for the price, less the promotion, as attempt 1; `named` tells this charge from the freelancer's others.

    If nothing is left of the price the charge is paid as it is made, and its caller asks nobody.
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
    _keep_requested(books, membership, charge)
    return charge


def what_is_asked(membership: Membership, policy: Policy) -> tuple[Promo | None, int, ChargeSource]:
    """What the next charge would be: the promotion it uses, its cents, and their source.

    The whole amount comes from the earnings balance if what was last told of it is enough, else from the payment method
    (S0).
    """
    promo = promos.next_to_use(membership)
    amount_cents = promos.discounted(policy.plus_price_cents, promo)
    covered = membership.earnings is not None and membership.earnings[1] >= amount_cents
    return promo, amount_cents, "earnings-balance" if covered else "payment-method"


def answer(books: Books, event: MembershipChargeSettled, trigger: Received, policies: PolicyBook) -> Verdict:
    """The billing system answers a charge. What is granted at a cycle start is so under the policy in force there."""
    membership = books.membership(FreelancerId(event.freelancer_id))
    charge = known_charge(books, event)
    if charge is None:
        return _unknown(books, event, trigger)
    rule = RENEWAL if charge.kind == "renewal" else UPGRADE
    if charge.status in {"paid", "failed"} or (charge.status == "lapsed" and event.outcome == "failed"):
        facts: dict[str, Fact] = {**told_of(charge), "status": charge.status, "outcome": event.outcome}
        return Verdict("declined", "charge-already-settled", rule, facts)

    lapsed = charge.status == "lapsed"
    charge.status = event.outcome
    books.keep_charge(charge)
    books.keep_membership(membership)
    at, seq = event.occurred_at, trigger.seq
    if event.outcome == "failed":
        return _failed(books, membership, charge, at, policies, seq)
    if lapsed:
        return _paid_after_lapse(books, charge, at, policies.in_force(at), seq)
    if charge.kind == "upgrade":
        return _upgraded(books, membership, charge, at, policies.in_force(at), seq, {"paid_at": at})
    return _renewed(books, membership, charge, at, policies, seq)


def upgrade_for_nothing(
    books: Books, membership: Membership, charge: Charge, at: datetime, policy: Policy, seq: int
) -> Verdict:
    """Plus begins with the choice: nothing is left of the price, so there is nothing to wait for."""
    return _upgraded(books, membership, charge, at, policy, seq, _nothing_to_pay(policy))


def renew_for_nothing(
    books: Books, charge: Charge, at: datetime, policy: Policy, seq: int, ahead: dict[str, Fact]
) -> Verdict:
    """Plus's Connects at its cycle start: nothing is left of the price. `ahead` says what follows the cycle."""
    facts = {**_whole(charge, policy), **_nothing_to_pay(policy), **ahead}
    changes = _grant_whole(books, charge, "cycle-started", at, policy, seq, facts)
    return Verdict("applied", "renewed", RENEWAL, facts, changes)


def known_charge(books: Books, event: MembershipChargeSettled) -> Charge | None:
    """The charge that is answered, if it was asked of this freelancer."""
    return books.charges.get(ChargeKey(FreelancerId(event.freelancer_id), ChargeId(event.charge_id)))


def told_of(charge: Charge) -> dict[str, Fact]:
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


def _keep_requested(books: Books, membership: Membership, charge: Charge) -> None:
    if charge.key in books.charges:
        raise AssertionError(f"charge {charge.charge_id} was requested of {charge.freelancer_id} before")
    if charge.status == "asked" and charge.kind == "upgrade":
        membership.upgrade = charge.charge_id
    elif charge.status == "asked":
        membership.renewal = charge.charge_id
    books.keep_charge(charge)
    books.keep_membership(membership)


def _unknown(books: Books, event: MembershipChargeSettled, trigger: Received) -> Verdict:
    """Nobody asked this freelancer for this charge; not yet, perhaps: then it counts when it is asked."""
    facts: dict[str, Fact] = {"charge_id": event.charge_id, "outcome": event.outcome}
    books.hold(Held(FreelancerId(event.freelancer_id), trigger.seq, trigger.topic, event, trigger.cause))
    return Verdict("recorded", "unknown-charge", CHARGE, facts)


def _failed(
    books: Books, membership: Membership, charge: Charge, failed_at: datetime, policies: PolicyBook, seq: int
) -> Verdict:
    """No money came in: asked once more, of the payment method, or else failed for good; that uses up no promotion."""
    if charge.source == "earnings-balance":
        return _retried(books, membership, charge, failed_at, seq)
    promos.give_back(membership, charge)
    if charge.kind == "upgrade":
        return _upgrade_failed(membership, charge, failed_at)
    return _renewal_failed(books, membership, charge, failed_at, policies, seq)


def _retried(books: Books, membership: Membership, failed: Charge, at: datetime, seq: int) -> Verdict:
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
    _keep_requested(books, membership, charge)
    facts = {**told_of(charge), "failed_at": at}
    rule = RENEWAL if charge.kind == "renewal" else UPGRADE
    return Verdict("applied", "charge-retried", rule, facts, charge=charge)


def _upgraded(
    books: Books,
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
        **told_of(charge),
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
    enter_cycle(books, membership, day, until)
    facts |= what_ends_plus(membership)
    changes = monthly.grant(
        books,
        membership.freelancer_id,
        monthly.UPGRADE,
        "upgraded",
        monthly.key_of_charge(charge),
        connects,
        paid_at,
        policy,
        seq,
        facts,
    )
    return Verdict("applied", "upgraded", UPGRADE, facts, changes)


def prorated(connects: int, days: int, length: int) -> int:
    """The share of so many days in a cycle of that length, rounded down (HP)."""
    return connects * days // length


def _renewed(
    books: Books, membership: Membership, charge: Charge, paid_at: datetime, policies: PolicyBook, seq: int
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
    changes = _grant_whole(books, charge, "cycle-started", at, policies.in_force(at), seq, facts)
    return Verdict("applied", "renewed", RENEWAL, facts, changes)


def _paid_after_lapse(books: Books, charge: Charge, paid_at: datetime, policy: Policy, seq: int) -> Verdict:
    """Paid when it had been given up: all its Connects, dated at the payment; the plan stays as it is (ours)."""
    facts = {**_whole(charge, policy), "paid_at": paid_at}
    changes = _grant_whole(books, charge, "paid-after-lapse", paid_at, policy, seq, facts)
    return Verdict("applied", "paid-after-lapse", RENEWAL, facts, changes)


def _whole(charge: Charge, policy: Policy) -> dict[str, Fact]:
    return {
        **told_of(charge),
        "plan": "plus",
        "connects": policy.monthly_plus_paid + policy.monthly_plus_free,
        "paid": policy.monthly_plus_paid,
        "free": policy.monthly_plus_free,
    }


def _nothing_to_pay(policy: Policy) -> dict[str, Fact]:
    return {"nothing_to_pay": True, "price_cents": policy.plus_price_cents}


def _grant_whole(
    books: Books, charge: Charge, reason: str, at: datetime, policy: Policy, seq: int, facts: dict[str, Fact]
) -> list[Change]:
    connects = policy.monthly_plus_paid + policy.monthly_plus_free
    return monthly.grant(
        books,
        charge.freelancer_id,
        monthly.MONTHLY,
        reason,
        monthly.key_of_charge(charge),
        connects,
        at,
        policy,
        seq,
        facts,
    )


def _upgrade_failed(membership: Membership, charge: Charge, failed_at: datetime) -> Verdict:
    """An upgrade that fails changes nothing; a downgrade chosen meanwhile has nothing to end."""
    membership.upgrade = membership.downgrade_chosen_at = None
    facts = {**told_of(charge), "failed_at": failed_at, **what_is_suspended(membership)}
    return Verdict("applied", "charge-failed", UPGRADE, facts)


def _renewal_failed(
    books: Books, membership: Membership, charge: Charge, failed_at: datetime, policies: PolicyBook, seq: int
) -> Verdict:
    """Basic at once, no more attempts (HP), and Basic's Connects for the running cycle, dated at its start."""
    membership.plan = "basic"
    membership.renewal = membership.downgrade_chosen_at = None
    start, until = running_cycle(membership)
    at = midnight(start)
    policy = policies.in_force(at)
    facts: dict[str, Fact] = {
        **told_of(charge),
        "failed_at": failed_at,
        "next_renewal": until.isoformat(),
        **what_is_suspended(membership),
    }
    if "account" in suspended_before(membership, at):
        facts |= {"withheld": True, "suspended_at": suspended_since(membership, "account", at)}
        return Verdict("applied", "charge-failed", RENEWAL, facts)
    facts["connects"] = policy.monthly_basic
    granted: dict[str, Fact] = {**facts, "plan": "basic", "why": "failed"}
    changes = monthly.basic_grant(books, membership.freelancer_id, start, policy, seq, granted)
    return Verdict("applied", "charge-failed", RENEWAL, facts, changes)
