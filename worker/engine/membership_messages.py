"""What a decision tells of a membership: `membership-updated`, `membership-charge-requested`."""

from collections.abc import Iterator
from datetime import date, datetime
from typing import Final

import msgspec

from schemas.fields import ChargeSource, Plan
from worker.domain.decisions import Decision, MembershipUpdate
from worker.domain.model import Charge
from worker.engine.event_ids import event_id_of
from worker.kafka.output.messages import Message, time_text

MEMBERSHIP_UPDATED: Final = "membership-updated"
CHARGE_REQUESTED: Final = "membership-charge-requested"
_encode = msgspec.json.Encoder().encode


class _MembershipUpdated(msgspec.Struct):
    event_id: str
    freelancer_id: str
    occurred_at: datetime
    version: int
    plan: Plan
    cycle_start: date
    next_renewal_on: date
    scheduled_plan: Plan | None
    suspended: bool
    reason: str


class _ChargeRequested(msgspec.Struct):
    event_id: str
    freelancer_id: str
    occurred_at: datetime
    charge_id: str
    amount_cents: int
    currency: str
    source: ChargeSource
    cycle_start: date
    promo_code: str | msgspec.UnsetType


def membership_messages(decision: Decision) -> Iterator[Message]:
    """The messages that a decision about a membership makes, besides those of its changes."""
    if decision.membership is not None:
        yield _updated(decision, decision.membership)
    if decision.charge is not None:
        yield _requested(decision.charge)


def _updated(decision: Decision, told: MembershipUpdate) -> Message:
    freelancer_id, occurred_at = decision.subject.freelancer_id, decision.occurred_at
    if freelancer_id is None or occurred_at is None:
        raise AssertionError(f"decision {decision.seq} tells of a membership, but not whose or when")
    event_id = event_id_of(f"membership/{freelancer_id}/{told.version}")
    update = _MembershipUpdated(
        event_id,
        freelancer_id,
        occurred_at,
        told.version,
        told.plan,
        told.cycle_start,
        told.next_renewal_on,
        told.scheduled_plan,
        told.suspended,
        told.reason,
    )
    return _message(MEMBERSHIP_UPDATED, update)


def _requested(charge: Charge) -> Message:
    event_id = event_id_of(f"charge/{charge.freelancer_id}/{charge.charge_id}")
    request = _ChargeRequested(
        event_id,
        charge.freelancer_id,
        charge.requested_at,
        charge.charge_id,
        charge.amount_cents,
        charge.currency,
        charge.source,
        charge.cycle_start,
        msgspec.UNSET if charge.promo_code is None else charge.promo_code,
    )
    return _message(CHARGE_REQUESTED, request)


def _message(topic: str, told: _MembershipUpdated | _ChargeRequested) -> Message:
    return Message(topic, told.freelancer_id.encode(), _encode(told), told.event_id, time_text(told.occurred_at))
