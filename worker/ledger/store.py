"""The store behind one narrow interface: what is read before deciding, and the one way to write."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple, Protocol
from uuid import UUID

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
from worker.domain.policy_use import StoredVersion
from worker.domain.rules.decides import Standing
from worker.domain.state import Awaited, Held
from worker.kafka.holds import Hold
from worker.kafka.output.outbox import DeadLetterDatabase, RelayDatabase
from worker.kafka.output.published_before import Named, PublishedBefore
from worker.kafka.records import Position, TopicPartition
from worker.ledger.batch import Batch
from worker.ledger.merkle import Log
from worker.ledger.parked import ParkedKey, ParkedTrigger
from worker.ledger.recorded_change import RecordedChange, RecordedSize
from worker.ledger.tables import (
    ChangeRow,
    DecisionRow,
    ReplayedRow,
    ReplayRow,
)


@dataclass(frozen=True, slots=True)
class Tail:
    """Where the ledger ends: last batch, last place in ledger order, chain head, business time, last outbox row."""

    batch_no: int
    last_seq: int
    chain_head: bytes
    business_time: datetime | None
    outbox_seq: int
    log: Log
    """The Merkle log; of a ledger that has none yet the one that begins now."""


class FirstDecision(NamedTuple):
    """The first decision on an event id, to compare a repeat with. An event that was added has no place.

    `replaced` is the content that the event was given since, each with the correction that gave it, in ledger order;
    one that was undone is followed by the content before it, with the undo.
    """

    seq: int
    topic: str
    incarnation: int | None
    partition: int | None
    offset: int | None
    payload: bytes | None
    event_id: str
    replaced: tuple[tuple[int, bytes], ...] = ()

    @property
    def stands(self) -> bytes | None:
        """The content that counts now."""
        return self.replaced[-1][1] if self.replaced else self.payload

    @property
    def is_replaced(self) -> bool:
        """Whether other content counts now than came."""
        return self.stands != self.payload


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


class OpenCommand(NamedTuple):
    """What an operator asked and nobody has answered yet; `arguments` as JSON."""

    id: UUID
    name: str
    arguments: str
    actor: str
    why: str
    asked_at: datetime | None = None


class Moved(NamedTuple):
    """What one change moved, as `ChangeRow` has it."""

    decision_seq: int
    rule: str
    movements: str


class Past(Protocol):
    """What is asked of a ledger about decisions that are to be voided, replaced or undone; as of a `Store`."""

    async def first_decisions(self, seqs: Sequence[int]) -> dict[int, FirstDecision]:
        """The decisions of these seqs, to compare repeats with."""
        ...

    async def lots(self, ids: Sequence[tuple[FreelancerId, LotId]]) -> list[Lot]:
        """The lots of these freelancers and ids that exist, also those that `wallets` leaves out."""
        ...

    async def grants(self, keys: Iterable[tuple[str, str]]) -> list[Grant]:
        """Grants made under these (rule, natural key); of a key that was freed by a void one that does not stand."""
        ...

    async def jobs(self, ids: Sequence[JobId]) -> dict[JobId, Job]:
        """Every job asked for, with its proposals, closures and hire; one never heard of is empty."""
        ...

    async def spends(self, ids: Sequence[ProposalId]) -> list[Spend]:
        """The spends of these proposals that exist."""
        ...

    async def memberships(self, ids: Sequence[FreelancerId]) -> dict[FreelancerId, Membership]:
        """Every membership asked for; one never heard of has not begun."""
        ...

    async def held(self, ids: Sequence[FreelancerId]) -> list[Held]:
        """These freelancers' membership events that cannot count yet, in ledger order."""
        ...

    # What a decision that is to be voided has done.

    async def in_full(self, seq: int) -> tuple[DecisionRow, list[ChangeRow]] | None:
        """A decision and its changes."""
        ...

    async def moved_since(self, freelancer_id: FreelancerId, version: int) -> list[Moved]:
        """What moved in a wallet from this version on, in order."""
        ...

    async def linked_lots(self, freelancer_id: FreelancerId) -> list[tuple[LotId, LotId]]:
        """The lots of a freelancer that are linked to another one, and which."""
        ...

    async def naming(self, proposal_id: ProposalId) -> list[DecisionRow]:
        """The withdrawals and outbids that name a proposal, in ledger order."""
        ...

    # What a decision of a plan that is to be undone has done.

    async def mentioned(self, keys: Sequence[str], after: int) -> list[DecisionRow]:
        """The decisions after `after` that are mentioned under these keys (see `mentions.py`), in ledger order."""
        ...

    async def settled_by(self, job_id: JobId, proposal_id: ProposalId) -> list[tuple[int, int]]:
        """The settlements of a spend on a job: the decision of each one's closure, and its own."""
        ...

    async def standing(self, seq: int, proposal_id: ProposalId | None) -> Standing:
        """What stands for a decision, which names this proposal if it is on one, since corrections."""
        ...


class Store(Past, Protocol):
    """What a leader needs of a ledger. Every method raises Transient while the ledger cannot be reached.

    What is read are working copies: a change of them reaches the ledger by `commit` only.
    """

    # The ledger as a whole.

    async def open(self) -> None:
        """Be ready for use; wait until the ledger can be reached with all that a leader needs."""
        ...

    @property
    def trouble(self) -> str | None:
        """Why `open` does not come to an end; None when nothing is in its way."""
        ...

    async def close(self) -> None:
        """Let go of the ledger; what is under way fails."""
        ...

    async def tail(self) -> Tail:
        """Where the ledger ends."""
        ...

    async def database_time(self) -> datetime:
        """The time on the ledger's own wall clock."""
        ...

    async def stored_policies(self) -> list[StoredVersion]:
        """Every policy version that the ledger has."""
        ...

    async def open_commands(self) -> list[OpenCommand]:
        """The commands of operators without an answer, oldest first."""
        ...

    # Input: positions, and the decisions on records.

    async def positions(self) -> dict[TopicPartition, Position]:
        """The next offset to decide, for every partition ever read."""
        ...

    async def holds(self) -> dict[TopicPartition, Hold]:
        """What operators have put on hold, by place."""
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

    # Wallets and jobs, each whole.

    async def wallets(self, ids: Sequence[FreelancerId], after: datetime | None) -> dict[FreelancerId, Wallet]:
        """Wallets that exist, with lots open or expiring after then, owing spends, and interview grants."""
        ...

    async def last_decisions(self, ids: Sequence[FreelancerId]) -> dict[FreelancerId, int]:
        """The last decision that names each of these freelancers; 0 for one that no decision names."""
        ...

    async def awaiting(self, ids: Sequence[ProposalId]) -> list[Awaited]:
        """Withdrawals and outbids that wait for these proposals, in ledger order."""
        ...

    # Memberships.

    async def charges(self, keys: Sequence[ChargeKey]) -> list[Charge]:
        """Those of these charges that were asked for."""
        ...

    # The clock's work, and what is parked.

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

    async def parked_triggers(self, key: ParkedKey, after: int = 0, most: int = 2_000) -> list[ParkedTrigger]:
        """What waits behind one parked wallet or job after the decision `after`, in ledger order; `most` of it."""
        ...

    async def count_parked_triggers(self, key: ParkedKey) -> int:
        """How many triggers wait behind one parked wallet or job."""
        ...

    # Plans.

    async def ledger_id(self) -> str:
        """Which ledger it is."""
        ...

    async def replay(self, plan: str) -> ReplayRow | None:
        """The plan of this hash, if it was begun."""
        ...

    async def replayed(self, plan: str, numbers: Sequence[int]) -> dict[int, ReplayedRow]:
        """What became of these triggers of a plan, of those that have an answer."""
        ...

    async def not_replayed(
        self, plan: str, freelancers: Sequence[FreelancerId], jobs: Sequence[JobId]
    ) -> list[ReplayedRow]:
        """The triggers of a plan about these freelancers or jobs that were answered and not booked."""
        ...

    def together(self) -> Past:
        """The same answers as those of `Past`: what many ask at once is looked up together."""
        ...

    # What was published before the ledger was restored from a backup.

    async def not_made_again(self) -> int:
        """How many adopted messages are not made again yet."""
        ...

    async def published_before(self, names: Sequence[Named]) -> dict[Named, PublishedBefore]:
        """Those of these messages that were adopted and are not made again yet."""
        ...

    async def recorded_sizes(self, wallets: Sequence[tuple[str, int]], most: int) -> list[RecordedSize]:
        """How large the changes are that `recorded_changes` has of these wallets."""
        ...

    async def recorded_changes(self, wallets: Sequence[tuple[str, int]], most: int) -> list[RecordedChange]:
        """The changes of these wallets, each from a version on, in that order and by version; so many at most."""
        ...

    # Writing.

    async def commit(self, batch: Batch, epoch: int) -> None:
        """Write a batch in one transaction, proving the epoch first.

        Raises:
            LeadershipLost: the epoch is not ours any more; nothing was written.
            Transient: it may or may not have been written; take the recovery path.
            BatchRefused: it holds what the ledger cannot take; nothing was written.
        """
        ...


class LeaderStore(Store, RelayDatabase, DeadLetterDatabase, Protocol):
    """What a whole term needs of a ledger: the writer, the relay and the dead-letter lane."""
