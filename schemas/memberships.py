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
from schemas.topics import on_topic


@on_topic(
    "membership-plan-chosen",
    key="freelancer_id",
    example={
        "event_id": "membership-plan-chosen-21",
        "occurred_at": "2026-02-05T08:00:00Z",
        "freelancer_id": "freelancer-9",
        "plan": "plus",
        "promo_code": "SPRING-50",
    },
)
class MembershipPlanChosen(InputEvent):
    """A freelancer chose a plan. Plus begins when its charge is paid; Basic at the next cycle start (S0)."""

    freelancer_id: FreelancerId
    plan: Annotated[Plan, Field(description="`basic` is free, `plus` is charged monthly (S0).")]
    promo_code: Annotated[PromoCode | None, Field(description="A promotion for the charge of this choice.")] = None


@on_topic(
    "promo-code-entered",
    key="freelancer_id",
    example={
        "event_id": "promo-code-entered-6",
        "occurred_at": "2026-02-25T13:37:00Z",
        "freelancer_id": "freelancer-9",
        "promo_code": "SPRING-50",
    },
)
class PromoCodeEntered(InputEvent):
    """A member entered a promotion code: it counts for the next charge requested after this (S0)."""

    freelancer_id: FreelancerId
    promo_code: PromoCode


@on_topic(
    "membership-charge-settled",
    key="freelancer_id",
    example={
        "event_id": "membership-charge-settled-88",
        "occurred_at": "2026-02-05T08:00:04Z",
        "freelancer_id": "freelancer-9",
        "charge_id": "freelancer-9:membership-plan-chosen-21:1",
        "outcome": "paid",
        "source": "payment-method",
    },
)
class MembershipChargeSettled(InputEvent):
    """The billing system answered a charge that membership-charge-requested asked for."""

    freelancer_id: FreelancerId
    charge_id: ChargeId
    outcome: Annotated[ChargeOutcome, Field(description="Whether the money came in.")]
    source: Annotated[
        ShortText, Field(description="Where it was taken from, in the billing system's words; recorded, not judged.")
    ]


@on_topic(
    "earnings-balance-updated",
    key="freelancer_id",
    example={
        "event_id": "earnings-balance-updated-140",
        "occurred_at": "2026-02-04T23:59:59Z",
        "freelancer_id": "freelancer-9",
        "available_cents": 15000,
    },
)
class EarningsBalanceUpdated(InputEvent):
    """What a freelancer has earned and not taken out yet: the first source of a membership charge (S0)."""

    freelancer_id: FreelancerId
    available_cents: Annotated[Cents, Field(description="What could be charged now, in US cents.")]


@on_topic(
    "account-suspended",
    key="freelancer_id",
    example={
        "event_id": "account-suspended-2",
        "occurred_at": "2026-02-18T07:00:00Z",
        "freelancer_id": "freelancer-9",
        "scope": "billing-method",
    },
)
class AccountSuspended(InputEvent):
    """An account, or its way of paying, was suspended: Plus ends with its cycle (S0)."""

    freelancer_id: FreelancerId
    scope: Annotated[SuspensionScope, Field(description="`account` also withholds monthly grants meanwhile (S0).")]


@on_topic(
    "account-reinstated",
    key="freelancer_id",
    example={
        "event_id": "account-reinstated-2",
        "occurred_at": "2026-02-19T07:00:00Z",
        "freelancer_id": "freelancer-9",
        "scope": "billing-method",
    },
)
class AccountReinstated(InputEvent):
    """A suspension was lifted; the last one lifted before the cycle ends keeps the plan (S0)."""

    freelancer_id: FreelancerId
    scope: Annotated[SuspensionScope, Field(description="Which suspension is lifted.")]
