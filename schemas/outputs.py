"""What the worker tells the marketplace."""

from datetime import date
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import Field, StringConstraints, create_model, model_validator

from schemas.base import Message
from schemas.fields import (
    LONG_ID_PATTERN,
    BigInt,
    Cents,
    ChargeId,
    ChargeSource,
    EventId,
    FreelancerId,
    Instant,
    JobId,
    Plan,
    PromoCode,
    ProposalId,
)
from schemas.inputs import TOPICS
from schemas.topics import InSubject

Reason = Annotated[str, StringConstraints(pattern="^[a-z0-9-]{1,64}$")]
RuleId = Annotated[str, StringConstraints(pattern="^[a-z0-9.-]{1,64}$")]
CorrectedId = Annotated[str, StringConstraints(pattern=LONG_ID_PATTERN)]
LotId = Annotated[str, StringConstraints(pattern=LONG_ID_PATTERN)]
Version = Annotated[int, Field(ge=1)]


def _is_none(value: object) -> bool:
    return value is None


class OutputEvent(Message):
    """What every message of the worker has."""

    event_id: Annotated[EventId, Field(description="The same for the same fact, however often it is worked out.")]
    freelancer_id: FreelancerId
    occurred_at: Annotated[Instant, Field(description="When it took effect, in UTC.")]


class RecordCause(Message):
    """An input record caused the change; a settlement's cause is the job-closed record."""

    topic: Annotated[str, Field(min_length=1, description="The input topic, without the deployment's prefix.")]
    incarnation: Annotated[int, Field(ge=0, description="How many times the topic has been recreated.")]
    partition: Annotated[int, Field(ge=0, description="The record's partition.")]
    offset: Annotated[int, Field(ge=0, description="The record's offset.")]
    event_id: Annotated[EventId, Field(description="The input event's own id.")]


class AddedCause(Message):
    """An event that never came to its topic, and was added later, caused the change; likewise its settlements."""

    topic: Annotated[str, Field(min_length=1, description="The input topic, without the deployment's prefix.")]
    event_id: Annotated[EventId, Field(description="The event's own id.")]
    added: Annotated[BigInt, Field(ge=1, description="The place in ledger order of the decision on it.")]


class OwnCause(Message):
    """Business time or a command caused the change."""

    topic: Annotated[None, Field(description="Null: no record caused it.")]
    event_id: Annotated[
        str,
        StringConstraints(pattern="^(cycle|expiry|command):.{1,240}$"),
        Field(description="`cycle:<freelancer_id>:<cycle start>`, `expiry:<lot_id>` or `command:<id>`."),
    ]


class _NamedByAny(Message):
    job_id: Annotated[JobId | None, Field(exclude_if=_is_none, description="The job post, where there is one.")] = None
    proposal_id: Annotated[ProposalId | None, Field(exclude_if=_is_none, description="The proposal, likewise.")] = None


def _named_by_events() -> dict[str, Any]:
    """The fields of events that are marked with `InSubject`, each as an optional field of its type."""
    named = {}
    for topic in TOPICS:
        for name, field in topic.event.model_fields.items():
            for mark in field.metadata:
                if isinstance(mark, InSubject):
                    constraints = [one for one in field.metadata if not isinstance(one, InSubject)]
                    kind = Annotated[field.annotation, *constraints] if constraints else field.annotation
                    named[name] = _optional(kind, mark.description)
    return named


def _optional(kind: Any, description: str) -> Any:  # noqa: ANN401 - a type, which is made at run time
    return Annotated[kind | None, Field(exclude_if=_is_none, description=description)], None


if TYPE_CHECKING:
    Subject = _NamedByAny
else:
    Subject = create_model(
        "Subject",
        __base__=_NamedByAny,
        __doc__="What the change is about; only what applies is present.",
        **_named_by_events(),
        lot_id=_optional(LotId, "The lot that expired."),
    )


class LotChange(Message):
    """What the change did to one lot."""

    lot_id: Annotated[LotId, Field(description="The lot: Connects that entered together.")]
    delta: Annotated[BigInt, Field(description="What came into the lot, or left it, in Connects.")]
    expires_at: Annotated[Instant, Field(description="When what remains of the lot expires.")]


class WalletUpdated(OutputEvent):
    """One change of one wallet: versions 1, 2, 3, ... without a gap and in order. Notifications hook in here (S3)."""

    version: Annotated[Version, Field(description="The wallet's version after this change.")]
    recorded_at: Annotated[Instant, Field(description="When it was booked.")]
    delta: Annotated[BigInt, Field(description="What the balance changed by: the lots' deltas less debt_delta.")]
    debt_delta: Annotated[BigInt, Field(description="What the debt changed by, in Connects.")]
    balance_before: Annotated[BigInt, Field(description="In Connects; below zero when overdrawn.")]
    balance_after: Annotated[BigInt, Field(description="In Connects; below zero when overdrawn.")]
    overdrawn: Annotated[bool, Field(description="Whether the balance is below zero after this change.")]
    rule: Annotated[RuleId, Field(description="The rule that was applied.")]
    reason: Annotated[Reason, Field(description="The reason code of the decision.")]
    policy_version: Annotated[str, Field(min_length=1, description="The policy in force at that time.")]
    cause: Annotated[RecordCause | AddedCause | OwnCause, Field(description="What brought it about.")]
    subject: Annotated[Subject, Field(description="What it is about.")]
    lots: Annotated[tuple[LotChange, ...], Field(strict=False, description="Every lot that changed.")]
    explanation: Annotated[str, Field(min_length=1, description="In words a support agent can paste.")]
    corrects: Annotated[
        tuple[CorrectedId, ...] | None,
        Field(
            strict=False,
            min_length=1,
            exclude_if=_is_none,
            description="Of a correction, which operators ordered: the ids of the events whose decisions it corrects; "
            "of Connects that came in at a cycle start by themselves, `cycle:<freelancer_id>:<cycle start>`.",
        ),
    ] = None

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        if self.delta != sum(lot.delta for lot in self.lots) - self.debt_delta:
            raise ValueError("delta is not the sum of the lots' deltas less debt_delta")
        if self.balance_after != self.balance_before + self.delta:
            raise ValueError("balance_after is not balance_before plus delta")
        if self.overdrawn != (self.balance_after < 0):
            raise ValueError("overdrawn does not say whether balance_after is below zero")
        return self


class MembershipUpdated(OutputEvent):
    """One change of one membership (S0)."""

    version: Annotated[Version, Field(description="The membership's version after this change.")]
    plan: Annotated[Plan, Field(description="The plan now.")]
    cycle_start: Annotated[date, Field(description="The day the running cycle began, in UTC.")]
    next_renewal_on: Annotated[date, Field(description="The day the next cycle begins, at 00:00 UTC.")]
    scheduled_plan: Annotated[Plan | None, Field(description="The plan from the next cycle on, if it will change.")]
    suspended: Annotated[bool, Field(description="Whether a suspension of either scope is in force.")]
    reason: Annotated[Reason, Field(description="The reason code of the decision.")]


class MembershipChargeRequested(OutputEvent):
    """The billing system is asked for one charge; membership-charge-settled answers it (S0). Never for 0."""

    charge_id: ChargeId
    amount_cents: Annotated[Cents, Field(description="The whole price after any promotion, in cents of `currency`.")]
    currency: Annotated[str, StringConstraints(pattern="^[A-Z]{3}$"), Field(description="ISO 4217.")]
    source: Annotated[ChargeSource, Field(description="The whole price from the one or the other, never split (S0).")]
    cycle_start: Annotated[date, Field(description="The first day of the cycle it pays for, in UTC.")]
    promo_code: Annotated[PromoCode | None, Field(exclude_if=_is_none, description="The promotion applied.")] = None
