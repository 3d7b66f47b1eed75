"""The objects of the rules: wallets, lots, spends, debts, jobs and closures (words: domain.md).

Connects are whole numbers. Instants are aware datetimes in UTC. The objects are mutable working copies; the ledger's
changes and movements are the permanent record.
"""

from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Final, Literal, NamedTuple, NewType

import msgspec

from schemas.fields import ChargeSource, ClosureKind, Plan, SuspensionScope

FreelancerId = NewType("FreelancerId", str)
JobId = NewType("JobId", str)
ProposalId = NewType("ProposalId", str)
LotId = NewType("LotId", str)
ChargeId = NewType("ChargeId", str)

LineName = Literal["base", "boost"]
ChargeKind = Literal["upgrade", "renewal"]
ChargeStatus = Literal["asked", "paid", "failed", "lapsed"]


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
    """The Connects that one line took from one lot, when it was spent or when the lot paid its debt."""

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
    """The cost of one proposal, in lines; `decision_seq` is its place in ledger order.

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
        """The cost of the proposal, both lines together."""
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
    """The cause of a decision: an input record, an event that was added, an instant of the schedule, or a command.

    An event that was added has no place in its topic; `added` is the seq of the decision on it. An instant of the
    schedule and a command have no topic.
    """

    topic: str | None
    event_id: str | None
    incarnation: int | None = None
    partition: int | None = None
    offset: int | None = None
    added: int | None = None

    def is_event_of(self, other: "Cause") -> bool:
        """Whether both are the same event. The row of a settlement does not say which decision added that event."""
        return (
            self.offset == other.offset
            and self.event_id == other.event_id
            and self.topic == other.topic
            and self.partition == other.partition
            and self.incarnation == other.incarnation
        )


def stored_cause(
    topic: str | None,
    incarnation: int | None,
    partition: int | None,
    offset: int | None,
    event_id: str | None,
    decided_by: int | None,
) -> Cause:
    """A cause by its columns. `decided_by` is the decision on it: the one that added it, if it has no place."""
    is_added = topic is not None and offset is None
    return Cause(topic, event_id, incarnation, partition, offset, decided_by if is_added else None)


class Closure(msgspec.Struct, eq=False, gc=False):
    """A job-closed fact. Due once business time passes `due_at`; identity is job, closing time and kind.

    The job's spends are settled in ledger order: those up to `settled_through` (a decision seq) are decided.
    One that is `voided` should never have been: it decides nothing any more.
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
    voided: bool = False

    def concerns(self, spent_at: datetime) -> bool:
        """Whether it decides what was spent then: a proposal that was submitted after the closing time is untouched."""
        return not self.voided and spent_at <= self.closed_at


class Job(msgspec.Struct, eq=False, gc=False):
    """The known facts of a job: closures in closing order, the first hire, and its proposals in ledger order."""

    job_id: JobId
    first_hired_at: datetime | None = None
    closures: list[Closure] = msgspec.field(default_factory=list)
    proposal_ids: list[ProposalId] = msgspec.field(default_factory=list)

    def closings_due(self, instant: datetime) -> int:
        """How many of its closures were due to be settled at or before that instant."""
        return sum(one.due_at <= instant for one in self.closures)

    def is_voided(self, closing_at: datetime | None) -> bool:
        """Whether it was closed then, and every closure of that time was voided."""
        then = [closure.voided for closure in self.closures if closure.closed_at == closing_at]
        return bool(then) and all(then)


class Grant(msgspec.Struct, frozen=True, gc=False):
    """A grant that was made, under its natural key: ids with `/` between, which no id has.

    `voided` counts the grants under this key that were voided, this one too unless it `stands`: one that does not stand
    says only that its key was used before, and is free.
    """

    rule: str
    natural_key: str
    freelancer_id: FreelancerId
    occurred_at: datetime
    connects: int
    decision_seq: int
    stands: bool = True
    voided: int = 0

    @property
    def recorded_key(self) -> str:
        """The natural key as its change has it: unique for good, also when a grant under it was voided before."""
        return f"{self.natural_key}{AGAIN}{self.voided}" if self.voided else self.natural_key


def freed_grant(rule: str, natural_key: str, voided: int) -> Grant:
    """What says of a natural key that all grants under it were voided, so many."""
    return Grant(
        rule, natural_key, FreelancerId(""), datetime.min.replace(tzinfo=UTC), 0, 0, stands=False, voided=voided
    )


AGAIN: Final = "//"
"""Between a natural key and the number of grants under it that were voided before; no natural key has it."""


def natural_key_of(recorded_key: str) -> tuple[str, int]:
    """The natural key of a recorded one, and how many grants under it were voided before."""
    key, again, voided = recorded_key.partition(AGAIN)
    return key, int(voided) if again else 0


class ChargeKey(NamedTuple):
    """Identifies one charge. Two freelancers may have a charge of the same id: ids in it may have a `:`."""

    freelancer_id: FreelancerId
    charge_id: ChargeId


class Charge(msgspec.Struct, eq=False, gc=False):
    """One charge that was requested from the billing system; `amount_cents` after any promotion.

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
        """Identifies the charge."""
        return ChargeKey(self.freelancer_id, self.charge_id)


class Suspension(NamedTuple):
    """A dated fact: from then on this scope is suspended, or no longer is."""

    at: datetime
    scope: SuspensionScope
    suspended: bool


class Promo(NamedTuple):
    """A promo code that was accepted, on the terms of that day: one of the two discounts is 0."""

    code: str
    percent_off: int
    cents_off: int
    charges_left: int


class Membership(msgspec.Struct, eq=False, gc=False):
    """One freelancer's plan and cycle [cycle_start, next_renewal), days in UTC; None: it has not begun.

    `version` counts what was published of it. `downgrade_chosen_at` says that Basic was chosen and is still to come;
    `upgrade` and `renewal` are the charges not answered yet. `suspensions` are dated facts, oldest first; `earnings`
    the balance last reported, with its date; `promos` every code ever accepted, in that order.
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
