"""The things the rules are about: wallets, lots, spends, debts, jobs and closures (words: domain.md).

Connects are whole numbers. Instants are aware datetimes in UTC. The objects are mutable working copies; what they mean
for good is in the ledger's changes and movements.
"""

from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Literal, NamedTuple, NewType

import msgspec

FreelancerId = NewType("FreelancerId", str)
JobId = NewType("JobId", str)
ProposalId = NewType("ProposalId", str)
LotId = NewType("LotId", str)
ChargeId = NewType("ChargeId", str)

LineName = Literal["base", "boost"]
ClosureKind = Literal["closed-by-client", "expired", "removed-by-marketplace"]
Plan = Literal["basic", "plus"]
ChargeKind = Literal["upgrade", "renewal"]
ChargeSource = Literal["earnings-balance", "payment-method"]
ChargeStatus = Literal["asked", "paid", "failed", "lapsed"]
Scope = Literal["account", "billing-method"]


class BurnOrder(NamedTuple):
    """Lots burn by earliest expiry, then earliest issue, then id."""

    expires_at: datetime
    issued_at: datetime
    lot_id: LotId


class Lot(msgspec.Struct, eq=False, gc=False):
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


class SpendLine(msgspec.Struct, eq=False, gc=False):
    """The base or the boost of one proposal. connects = the sum of draws + debt, until it is returned."""

    name: LineName
    connects: int
    debt: int = 0
    returned: bool = False
    draws: list[Draw] = msgspec.field(default_factory=list)


class Spend(msgspec.Struct, eq=False, gc=False):
    """What one proposal cost, in lines; `decision_seq` is its place in ledger order.

    `refunded_closing_at` is the closing time of the closure that returned it, as long as a late hire has not taken that
    back. `boost_outbid`: the boost was outbid, whether it came back then or had come back before.
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


class Wallet(msgspec.Struct, eq=False, gc=False):
    """One freelancer's Connects. balance = the sum of the lots' remaining - the sum of the owing spends' debts.

    `lots` holds, in burn order, the lots with something remaining; `drained` those with nothing that have not expired.
    `owing` holds the spends with unpaid debt, the oldest first; `interviews` the interview grants by date.
    """

    freelancer_id: FreelancerId
    balance: int = 0
    version: int = 0
    lots: list[Lot] = msgspec.field(default_factory=list)
    drained: dict[LotId, Lot] = msgspec.field(default_factory=dict)
    owing: list[Spend] = msgspec.field(default_factory=list)
    interviews: list[InterviewGrant] = msgspec.field(default_factory=list)


class Cause(msgspec.Struct, frozen=True, gc=False):
    """What a decision answers: an input record, or (topic None) an instant of the clock or a command, by event_id."""

    topic: str | None
    event_id: str | None
    incarnation: int | None = None
    partition: int | None = None
    offset: int | None = None


class Closure(msgspec.Struct, eq=False, gc=False):
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


class Job(msgspec.Struct, eq=False, gc=False):
    """What is known of a job: closures in closing order, the first hire, and the proposals on it, in ledger order."""

    job_id: JobId
    first_hired_at: datetime | None = None
    closures: list[Closure] = msgspec.field(default_factory=list)
    proposal_ids: list[ProposalId] = msgspec.field(default_factory=list)


class Grant(msgspec.Struct, frozen=True, gc=False):
    """A grant that was made, under its natural key: ids with `/` between, which no id has."""

    rule: str
    natural_key: str
    freelancer_id: FreelancerId
    occurred_at: datetime
    connects: int
    decision_seq: int


class ChargeKey(NamedTuple):
    """One charge: an id may stand for a charge of each of two freelancers, for ids are made of ids that have `:`."""

    freelancer_id: FreelancerId
    charge_id: ChargeId


class Charge(msgspec.Struct, eq=False, gc=False):
    """One charge that was asked of the billing system; `amount_cents` after any promotion.

    `cycle_start` is the first day of the cycle that it pays for (of an upgrade: the day of the choice, `chosen_at`);
    `requested_at` when the request took effect. `choice_promo`: the code came with the choice and goes with it.
    """

    charge_id: ChargeId
    freelancer_id: FreelancerId
    kind: ChargeKind
    cycle_start: date
    chosen_at: datetime | None
    attempt: int
    amount_cents: int
    currency: str
    source: ChargeSource
    promo_code: str | None
    choice_promo: bool
    requested_at: datetime
    decision_seq: int
    status: ChargeStatus = "asked"

    @property
    def key(self) -> ChargeKey:
        """What tells it from all other charges."""
        return ChargeKey(self.freelancer_id, self.charge_id)


class Suspension(NamedTuple):
    """A dated fact: from then on this scope is suspended, or no longer is."""

    at: datetime
    scope: Scope
    suspended: bool


class Promo(NamedTuple):
    """A promo code that was accepted, on the terms of that day: one of the two discounts is 0."""

    code: str
    percent_off: int
    cents_off: int
    charges_left: int


class Membership(msgspec.Struct, eq=False, gc=False):
    """One freelancer's plan and cycle [cycle_start, next_renewal), days in UTC; None: it has not begun.

    `version` counts what was told of it. `downgrade_chosen_at` says that Basic was chosen and is still to come;
    `upgrade` and `renewal` are the charges not answered yet. `suspensions` are dated facts, oldest first; `earnings`
    the balance last told, with its date; `promos` every code ever accepted, in that order.
    """

    freelancer_id: FreelancerId
    version: int = 0
    plan: Plan = "basic"
    cycle_start: date | None = None
    next_renewal: date | None = None
    downgrade_chosen_at: datetime | None = None
    upgrade: ChargeId | None = None
    renewal: ChargeId | None = None
    suspensions: list[Suspension] = msgspec.field(default_factory=list)
    earnings: tuple[datetime, int] | None = None
    promos: list[Promo] = msgspec.field(default_factory=list)


@lru_cache(maxsize=4096)
def midnight(day: date) -> datetime:
    """00:00 UTC of a day: the instant at which a cycle starts."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
