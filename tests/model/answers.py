"""The result of a rule, and what a decision publishes in addition to the wallet's changes."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, NamedTuple

from tests.model.state import Change

Row = dict[str, Any]
Event = dict[str, Any]

ANYTHING = None
"""Where the rules do not say, `None` is expected and nothing is compared."""


@dataclass
class Charge:
    """Money asked of the billing system: `cycle_start` is the first day it pays for, or the day of the choice."""

    charge_id: str
    freelancer_id: str
    kind: str
    cycle_start: date
    chosen_at: datetime | None
    attempt: int
    amount_cents: int
    currency: str
    source: str
    promo_code: str | None
    choice_promo: bool
    requested_at: datetime
    decision_seq: int
    status: str = "asked"


class MembershipUpdate(NamedTuple):
    """What membership-updated says."""

    version: int
    plan: str
    cycle_start: date
    next_renewal_on: date
    scheduled_plan: str | None
    suspended: bool
    reason: str | None


class Answer(NamedTuple):
    outcome: str | None
    reason: str | None
    rule: str | None = ANYTHING
    changes: tuple[Change, ...] = ()
    membership: MembershipUpdate | None = None
    charge: Charge | None = None
