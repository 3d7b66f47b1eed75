"""The store behind one narrow interface: what is read before deciding, and the one way to write."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple, Protocol
from uuid import UUID

import asyncpg

from worker.domain.books import Awaited, Books, Held
from worker.domain.model import (
    Charge,
    ChargeKey,
    FreelancerId,
    Grant,
    Job,
    JobId,
    Lot,
    LotId,
    Membership,
    ProposalId,
    Spend,
    Wallet,
)
from worker.stream.records import Position, TopicPartition

Row = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Tail:
    """Where the ledger ends: last batch, last place in ledger order, chain head, business time, last outbox row."""

    batch_no: int
    last_seq: int
    chain_head: bytes
    business_time: datetime | None
    outbox_seq: int


class FirstDecision(NamedTuple):
    """The first decision on an event id, to compare a repeat with."""

    seq: int
    topic: str
    incarnation: int
    partition: int
    offset: int
    payload: bytes | None
    event_id: str


class Appointment(NamedTuple):
    """One piece of clock work, in the order it is done: by due instant, then settlements, expiries, cycles, then key.

    For a settlement `seq` is the job-closed decision's and `subject` its job; of a late one `key` is the proposal and
    `closing` the closing time and kind, so that one proposal's late settlements come in closing order. For an expiry
    `key` is the lot and `subject` its freelancer; for the start of a membership's cycle both are the freelancer.

    Keys are compared by code point, in the ledger by collation "C": very many may be due at one instant, and the ledger
    has to read on from any of them.
    """

    due_at: datetime
    rank: int
    key: str
    closing: tuple[()] | tuple[datetime, str]
    seq: int
    subject: str


SETTLEMENT, LATE_SETTLEMENT, EXPIRY, CYCLE = 0, 1, 2, 3
_AFTER_ALL: Final = 9


def end_of(instant: datetime) -> Appointment:
    """A place in the clock's order: after all that is due at that instant, before whatever is due later."""
    return Appointment(instant, _AFTER_ALL, "", (), 0, "")


LATEST: Final = end_of(datetime.max.replace(tzinfo=UTC))
"""After all clock work there can be."""


class ParkedKey(NamedTuple):
    """A stopped wallet or job."""

    scope: str
    key: str


@dataclass(slots=True)
class Batch:
    """Everything one transaction writes, as rows ready to be sent."""

    batch_no: int
    last_seq: int
    chain_head: bytes
    business_time: datetime | None
    recorded_at: datetime
    outbox_seq: int | None = None
    batch_uid: UUID | None = None
    outbox: bytes | None = None
    drop_outbox_through: int = 0
    positions: list[Position] = field(default_factory=list)
    decisions: list[Row] = field(default_factory=list)
    mentions: list[Row] = field(default_factory=list)
    changes: list[Row] = field(default_factory=list)
    seen_events: list[Row] = field(default_factory=list)
    new_lots: list[Row] = field(default_factory=list)
    lots: list[Row] = field(default_factory=list)
    new_spends: list[Row] = field(default_factory=list)
    spends: list[Row] = field(default_factory=list)
    closures: list[Row] = field(default_factory=list)
    hires: list[Row] = field(default_factory=list)
    awaiting: list[Row] = field(default_factory=list)
    awaiting_done: list[Row] = field(default_factory=list)
    due: list[Row] = field(default_factory=list)
    due_done: list[Row] = field(default_factory=list)
    memberships: list[Row] = field(default_factory=list)
    charges: list[Row] = field(default_factory=list)
    held: list[Row] = field(default_factory=list)
    held_done: list[int] = field(default_factory=list)
    parked: list[Row] = field(default_factory=list)
    unparked: list[ParkedKey] = field(default_factory=list)
    parked_triggers: list[Row] = field(default_factory=list)
    triggers_released: list[int] = field(default_factory=list)
    dead_letters: list[Row] = field(default_factory=list)
    policies: list[Row] = field(default_factory=list)
    answers: list[tuple[UUID, str]] = field(default_factory=list)


class Store(Protocol):
    """What the writer needs of a ledger."""

    async def tail(self) -> Tail:
        """Where the ledger ends."""
        ...

    async def positions(self) -> dict[TopicPartition, Position]:
        """The next offset to decide, for every partition ever read."""
        ...

    async def decided_ahead(self) -> dict[TopicPartition, int]:
        """The last offset decided at or after its position, of each partition whose position was set back."""
        ...

    async def decided_offsets(self, source: TopicPartition, incarnation: int, first: int, last: int) -> set[int]:
        """Which offsets of a partition, from `first` to `last`, have a first decision."""
        ...

    async def seen(self, keys: Sequence[str]) -> dict[str, int]:
        """Which of these event ids (see `seen_key`) were decided, and by which decision."""
        ...

    async def first_decisions(self, seqs: Sequence[int]) -> dict[int, FirstDecision]:
        """The decisions of these seqs, to compare repeats with."""
        ...

    async def wallets(
        self, ids: Sequence[FreelancerId], after: datetime | None, books: Books
    ) -> dict[FreelancerId, Wallet]:
        """Wallets that exist, with lots open or expiring after then, owing spends (those of `books`), interviews."""
        ...

    async def lots(self, ids: Sequence[tuple[FreelancerId, LotId]]) -> list[Lot]:
        """The lots of these freelancers and ids that exist."""
        ...

    async def jobs(self, ids: Sequence[JobId]) -> dict[JobId, Job]:
        """Every job asked for; one never heard of is empty."""
        ...

    async def spends(self, ids: Sequence[ProposalId]) -> list[Spend]:
        """The spends of these proposals that exist."""
        ...

    async def awaiting(self, ids: Sequence[ProposalId]) -> list[Awaited]:
        """Withdrawals and outbids that wait for these proposals, in ledger order."""
        ...

    async def grants(self, keys: Iterable[tuple[str, str]]) -> list[Grant]:
        """Grants made under these (rule, natural key)."""
        ...

    async def memberships(self, ids: Sequence[FreelancerId]) -> dict[FreelancerId, Membership]:
        """Every membership asked for; one never heard of has not begun."""
        ...

    async def charges(self, keys: Sequence[ChargeKey]) -> list[Charge]:
        """Those of these charges that were asked for."""
        ...

    async def held(self, ids: Sequence[FreelancerId]) -> list[Held]:
        """These freelancers' membership events that cannot count yet, in ledger order."""
        ...

    async def appointments(
        self, limit: int, grace: timedelta, after: Appointment | None = None
    ) -> tuple[list[Appointment], Appointment]:
        """The next clock work that is not parked, and the place in its order up to which that is all there is.

        Of the work `after` a place, or of all. Of one instant it may be only the first part: a million cycles start at
        one midnight, and what they granted expires at another.
        """
        ...

    async def parked(self) -> dict[ParkedKey, set[str]]:
        """Stopped wallets and jobs, each with the event ids of the clock work that waits there."""
        ...

    async def parked_triggers(self, key: ParkedKey, after: int = 0, most: int = 2_000) -> list[asyncpg.Record]:
        """What waits behind one parked wallet or job after the decision `after`, in ledger order; `most` of it.

        The columns are those of the statement.
        """
        ...

    async def count_parked_triggers(self, key: ParkedKey) -> int:
        """How many triggers wait behind one parked wallet or job."""
        ...

    async def commit(self, batch: Batch, epoch: int) -> None:
        """Write a batch in one transaction, proving the epoch first.

        Raises:
            LeadershipLost: the epoch is not ours any more; nothing was written.
            Transient: it may or may not have been written; take the recovery path.
            BatchRefused: it holds what the ledger cannot take; nothing was written.
        """
        ...
