"""Recorded decisions with their changes, and lots, as the commands show them and replies are composed of them."""

from datetime import datetime

import msgspec


class LotMoved(msgspec.Struct, frozen=True, gc=False):
    """What a change did to a lot, net."""

    lot_id: str
    delta: int
    expires_at: datetime


class ChangeMade(msgspec.Struct, frozen=True, gc=False):
    """A change that a decision made."""

    freelancer_id: str
    version: int
    occurred_at: datetime
    delta: int
    debt_delta: int
    balance_after: int
    rule: str
    reason: str
    explanation: str
    lots: list[LotMoved]


class DecisionRecord(msgspec.Struct, frozen=True, gc=False):
    """A recorded answer, in words, and what it rests on. `follows` is the seq of the decision it follows."""

    seq: int
    kind: str
    follows: int | None
    event_id: str | None
    topic: str | None
    partition: int | None
    offset: int | None
    occurred_at: datetime | None
    recorded_at: datetime
    business_time: datetime | None
    subject: dict[str, str]
    outcome: str
    reason: str
    rule: str | None
    policy_version: str | None
    facts: dict[str, object]
    explanation: str
    late_by_seconds: float | None
    changes: list[ChangeMade]


class LotHeld(msgspec.Struct, frozen=True):
    """A lot with something remaining."""

    lot_id: str
    source: str
    issued_at: datetime
    expires_at: datetime
    remaining: int
