"""The things the rules are about: wallets, lots, spends, debts, jobs and closures (words: domain.md).

Connects are whole numbers. Instants are aware datetimes in UTC. The objects are mutable working copies; what they mean
for good is in the ledger's changes and movements.
"""

from datetime import datetime
from typing import Literal, NamedTuple, NewType

import msgspec

FreelancerId = NewType("FreelancerId", str)
JobId = NewType("JobId", str)
ProposalId = NewType("ProposalId", str)
LotId = NewType("LotId", str)

LineName = Literal["base", "boost"]
ClosureKind = Literal["closed-by-client", "expired", "removed-by-marketplace"]


class BurnOrder(NamedTuple):
    """Lots burn by earliest expiry, then earliest issue, then id."""

    expires_at: datetime
    issued_at: datetime
    lot_id: LotId


class Lot(msgspec.Struct, eq=False):
    """Connects that entered together. `order` is its place in the burn order; 0 <= remaining <= original."""

    order: BurnOrder
    freelancer_id: FreelancerId
    source: str
    original: int
    remaining: int
    linked_to: LotId | None = None

    @property
    def lot_id(self) -> LotId:
        """Its name: the freelancer and the version of the change that opened it."""
        return self.order.lot_id

    @property
    def expires_at(self) -> datetime:
        """The instant from which it cannot be drawn."""
        return self.order.expires_at


class Draw(NamedTuple):
    """What one spend line took from one lot, when it was spent or when the lot paid its debt."""

    lot: BurnOrder
    connects: int


class SpendLine(msgspec.Struct, eq=False):
    """The base or the boost of one proposal. connects = the sum of draws + debt, until it is returned."""

    name: LineName
    connects: int
    debt: int = 0
    returned: bool = False
    draws: list[Draw] = msgspec.field(default_factory=list)


class Spend(msgspec.Struct, eq=False):
    """What one proposal cost, in lines; `decision_seq` is its place in ledger order.

    `refunded_closing_at` is the closing time of the closure that returned it, `boost_outbid` says that the boost came
    back before.
    """

    proposal_id: ProposalId
    freelancer_id: FreelancerId
    job_id: JobId
    decision_seq: int
    occurred_at: datetime
    origin: str
    base: SpendLine
    boost: SpendLine
    withdrawn_at: datetime | None = None
    boost_outbid: bool = False
    refunded_closing_at: datetime | None = None

    @property
    def lines(self) -> tuple[SpendLine, SpendLine]:
        """Base before boost: the order in which they draw and are paid."""
        return (self.base, self.boost)

    @property
    def connects(self) -> int:
        """What the proposal cost, both lines together."""
        return self.base.connects + self.boost.connects

    @property
    def open_lines(self) -> list[SpendLine]:
        """The lines with Connects on them that have not come back."""
        return [line for line in self.lines if line.connects and not line.returned]

    @property
    def owes(self) -> bool:
        """Whether any of it is unpaid debt."""
        return bool(self.base.debt or self.boost.debt)


class InterviewGrant(NamedTuple):
    """One interview's grant, for the rolling cap."""

    occurred_at: datetime
    connects: int


class Wallet(msgspec.Struct, eq=False):
    """One freelancer's Connects. balance = the sum of the lots' remaining - the sum of the owing spends' debts.

    `lots` holds, in burn order, the lots with something remaining; `drained` those with nothing that have not expired.
    `owing` holds the spends with unpaid debt; `interviews` the interview grants.
    """

    freelancer_id: FreelancerId
    balance: int = 0
    version: int = 0
    lots: list[Lot] = msgspec.field(default_factory=list)
    drained: dict[LotId, Lot] = msgspec.field(default_factory=dict)
    owing: list[Spend] = msgspec.field(default_factory=list)
    interviews: list[InterviewGrant] = msgspec.field(default_factory=list)


class Cause(msgspec.Struct, frozen=True):
    """What a decision answers: an input record, or (topic None) an instant of the clock or a command, by event_id."""

    topic: str | None
    event_id: str | None
    incarnation: int | None = None
    partition: int | None = None
    offset: int | None = None


class Closure(msgspec.Struct, eq=False):
    """A job-closed fact. Due once business time passes `due_at`; identity is job, closing time and kind.

    It is worked off in ledger order of the job's spends: those up to `settled_through` (a decision seq) are decided.
    """

    job_id: JobId
    closed_at: datetime
    kind: ClosureKind
    decision_seq: int
    due_at: datetime
    cause: Cause
    settled_through: int = 0
    settled: bool = False
    returned_any: bool = False


class Job(msgspec.Struct, eq=False):
    """What is known of a job: closures in closing order, the first hire, and the proposals on it, in ledger order."""

    job_id: JobId
    first_hired_at: datetime | None = None
    closures: list[Closure] = msgspec.field(default_factory=list)
    proposal_ids: list[ProposalId] = msgspec.field(default_factory=list)


class Grant(msgspec.Struct, frozen=True):
    """A grant that was made, under its natural key."""

    rule: str
    natural_key: str
    freelancer_id: FreelancerId
    occurred_at: datetime
    connects: int
    decision_seq: int
