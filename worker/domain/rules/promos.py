"""Promotion codes: a percentage or an amount off, for a number of charges, once for each freelancer (ours).

The terms are those of the policy on the day the code was accepted.
"""

from datetime import datetime

from schemas.memberships import PromoCodeEntered
from worker.domain.cards import MOVES_MEMBERSHIP, rule
from worker.domain.decisions import Fact, Verdict
from worker.domain.model import Charge, FreelancerId, Membership, Promo
from worker.domain.policy import Policy, PolicyBook
from worker.domain.state import State
from worker.domain.triggers import Received

PROMO = "membership.promo"


@rule(
    id=PROMO,
    on="promo-code-entered",
    event=PromoCodeEntered,
    reasons=("promo-accepted", "promo-code-unknown", "promo-code-already-used", "promo-code-expired"),
    policy=("memberships.promo_codes", "memberships.currency"),
    **MOVES_MEMBERSHIP,
)
def enter(state: State, event: PromoCodeEntered, _trigger: Received, policies: PolicyBook) -> Verdict:
    """Accept a code for the next charges that are requested, or say why it cannot be used."""
    membership = state.membership(FreelancerId(event.freelancer_id))
    policy = policies.in_force(event.occurred_at)
    facts = terms(event.promo_code, policy)
    refusal = why_not(membership, event.promo_code, event.occurred_at, policy)
    if refusal is not None:
        return Verdict("declined", refusal, PROMO, facts)
    accept(state, membership, event.promo_code, policy)
    return Verdict("applied", "promo-accepted", PROMO, facts)


def why_not(membership: Membership, code: str, at: datetime, policy: Policy) -> str | None:
    """The reason why a code cannot be used then; the first that matches, None if it can."""
    offer = policy.promo_codes.get(code)
    if offer is None:
        return "promo-code-unknown"
    if any(promo.code == code for promo in membership.promos):
        return "promo-code-already-used"
    if not offer.valid_from <= at < offer.valid_until:
        return "promo-code-expired"
    return None


def accept(state: State, membership: Membership, code: str, policy: Policy) -> None:
    """Note a code that can be used, on the terms of this policy."""
    offer = policy.promo_codes[code]
    membership.promos.append(Promo(code, offer.percent_off, offer.cents_off, offer.charges))
    state.keep_membership(membership)


def next_to_use(membership: Membership) -> Promo | None:
    """The code that the next charge uses: of those with charges left the one that was accepted last."""
    return next((promo for promo in reversed(membership.promos) if promo.charges_left), None)


def use(membership: Membership, promo: Promo) -> None:
    """Take one charge off a code. The caller keeps the membership."""
    place = membership.promos.index(promo)
    membership.promos[place] = promo._replace(charges_left=promo.charges_left - 1)


def give_back(membership: Membership, charge: Charge) -> None:
    """A charge that failed for good returns its use; a code that came with the choice counts as never entered.

    The caller keeps the membership.
    """
    for place, promo in enumerate(membership.promos):
        if promo.code == charge.promo_code:
            if charge.choice_promo:
                del membership.promos[place]
            else:
                membership.promos[place] = promo._replace(charges_left=promo.charges_left + 1)
            return


def discounted(price_cents: int, promo: Promo | None) -> int:
    """What is left of a price, in cents: never below 0."""
    if promo is None:
        return price_cents
    off = price_cents * promo.percent_off // 100 if promo.percent_off else promo.cents_off
    return max(0, price_cents - off)


def terms(code: str, policy: Policy) -> dict[str, Fact]:
    """What the policy offers for a code, as facts."""
    offer = policy.promo_codes.get(code)
    if offer is None:
        return {"promo_code": code}
    off: dict[str, Fact] = (
        {"percent_off": offer.percent_off}
        if offer.percent_off
        else {"cents_off": offer.cents_off, "currency": policy.currency}
    )
    return {
        "promo_code": code,
        **off,
        "charges": offer.charges,
        "valid_from": offer.valid_from,
        "valid_until": offer.valid_until,
    }
