"""The results of the rules: decisions, changes and movements, and the reason codes of domain.md."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Literal, NamedTuple, Self

import msgspec

from schemas.fields import Plan
from worker.domain.model import Cause, Charge, FreelancerId, JobId, LineName, LotId, ProposalId, Spend

Outcome = Literal["applied", "duplicate", "declined", "withheld", "recorded", "parked", "rejected"]
Kind = Literal["first", "added", "follow-up", "settlement", "clock", "command", "correction"]
Fact = str | int | bool | datetime | None
Facts = Mapping[str, Fact]


class Subject(NamedTuple):
    """Whom and what a decision is about; those that apply."""

    freelancer_id: FreelancerId | None = None
    job_id: JobId | None = None
    proposal_id: ProposalId | None = None

    @classmethod
    def of_spend(cls, spend: Spend) -> Self:
        """Of a decision on one proposal's cost."""
        return cls(spend.freelancer_id, spend.job_id, spend.proposal_id)


class LineRef(NamedTuple):
    """One spend line, by name."""

    proposal_id: ProposalId
    line: LineName


class Movement(NamedTuple):
    """A change's effect on the balance through one lot, or (lot_id None) through one line's debt.

    `delta` is the effect on the balance: a debt that grows by 4 moves it by -4. A change's movements sum to its delta.
    """

    lot_id: LotId | None
    expires_at: datetime | None
    line: LineRef | None
    delta: int


class Change(msgspec.Struct, eq=False, gc=False):
    """The effect of one trigger on one wallet under one rule: one version, one wallet-updated. Never of delta 0."""

    freelancer_id: FreelancerId
    version: int
    occurred_at: datetime
    rule: str
    reason: str
    policy_version: str
    delta: int
    debt_delta: int
    balance_after: int
    movements: list[Movement]
    subject: Subject
    facts: Facts
    """The values that the change rests on, enough to word it."""
    about: Mapping[str, str]
    natural_key: str | None = None
    """Of a grant: identifies what may happen once under its rule, whatever the event ids are."""
    explanation: str = ""
    """In words, once the engine has had the change worded; the rules make none."""

    @property
    def balance_before(self) -> int:
        """The wallet's balance before it."""
        return self.balance_after - self.delta


class MembershipUpdate(NamedTuple):
    """What a membership-updated tells: the membership after its `version`-th change, and the reason for that."""

    version: int
    plan: Plan
    cycle_start: date
    next_renewal_on: date
    scheduled_plan: Plan | None
    suspended: bool
    reason: str


class Decision(msgspec.Struct, eq=False, gc=False):
    """The one recorded result of one trigger; `seq` is its place in ledger order.

    `facts` are the values that it rests on, enough to word it (see explanations). `late_by_seconds` is None unless the
    event was late.
    """

    seq: int
    kind: Kind
    cause: Cause
    occurred_at: datetime | None
    subject: Subject
    outcome: Outcome
    reason: str
    rule: str | None
    policy_version: str | None
    facts: Facts
    business_time: datetime | None
    late_by_seconds: float | None = None
    follows: int | None = None
    payload: bytes | None = None
    changes: list[Change] = msgspec.field(default_factory=list)
    membership: MembershipUpdate | None = None
    """The membership-updated to publish, if the decision changed what others see."""
    charge: Charge | None = None
    """The charge that it requests."""
    corrects: Sequence[str] = ()
    """Of a correction: the ids of the events whose decisions it corrects."""


class Verdict(msgspec.Struct, eq=False, gc=False):
    """A rule's result, before it becomes a decision."""

    outcome: Outcome
    reason: str
    rule: str
    facts: dict[str, Fact]
    changes: list[Change] = msgspec.field(default_factory=list)
    membership: MembershipUpdate | None = None
    charge: Charge | None = None
