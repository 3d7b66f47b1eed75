"""What moves a membership: choices, charges, promotions, suspensions (S0)."""

from typing import Annotated

from pydantic import Field

from schemas.base import InputEvent
from schemas.fields import (
    Cents,
    ChargeId,
    ChargeOutcome,
    FreelancerId,
    Plan,
    PromoCode,
    ShortText,
    SuspensionScope,
)


class MembershipPlanChosen(InputEvent):
    """A freelancer chose a plan. Plus begins when its charge is paid; Basic at the next cycle start (S0)."""

    freelancer_id: FreelancerId
    plan: Annotated[Plan, Field(description="`basic` is free, `plus` is charged monthly (S0).")]
    promo_code: Annotated[PromoCode | None, Field(description="A promotion for the charge of this choice.")] = None


class PromoCodeEntered(InputEvent):
    """A member entered a promotion code: it counts for the next charge requested after this (S0)."""

    freelancer_id: FreelancerId
    promo_code: PromoCode


class MembershipChargeSettled(InputEvent):
    """The billing system answered a charge that membership-charge-requested asked for."""

    freelancer_id: FreelancerId
    charge_id: ChargeId
    outcome: Annotated[ChargeOutcome, Field(description="Whether the money came in.")]
    source: Annotated[
        ShortText, Field(description="Where it was taken from, in the billing system's words; recorded, not judged.")
    ]


class EarningsBalanceUpdated(InputEvent):
    """What a freelancer has earned and not taken out yet: the first source of a membership charge (S0)."""

    freelancer_id: FreelancerId
    available_cents: Annotated[Cents, Field(description="What could be charged now, in US cents.")]


class AccountSuspended(InputEvent):
    """An account, or its way of paying, was suspended: Plus ends with its cycle (S0)."""

    freelancer_id: FreelancerId
    scope: Annotated[SuspensionScope, Field(description="`account` also withholds monthly grants meanwhile (S0).")]


class AccountReinstated(InputEvent):
    """A suspension was lifted; the last one lifted before the cycle ends keeps the plan (S0)."""

    freelancer_id: FreelancerId
    scope: Annotated[SuspensionScope, Field(description="Which suspension is lifted.")]
