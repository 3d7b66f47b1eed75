"""A whole ledger in memory: what PostgreSQL keeps and refuses, without SQL and without waiting.

For deciding again what is recorded, for plans, and for tests. What it holds ends with the process.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import msgspec

from schemas.reading import read_event
from worker.domain.booking import burn_order, debt_order
from worker.domain.model import (
    AGAIN,
    Cause,
    Charge,
    ChargeKey,
    FreelancerId,
    Grant,
    InterviewGrant,
    Job,
    JobId,
    Lot,
    LotId,
    Membership,
    ProposalId,
    Spend,
    Wallet,
    freed_grant,
    stored_cause,
)
from worker.domain.policy_use import StoredVersion
from worker.domain.state import Awaited, Held
from worker.errors import BatchRefused, LeadershipLost
from worker.kafka.holds import Hold, by_place
from worker.kafka.output.outbox import OutboxRow
from worker.kafka.output.published_before import Named, PublishedBefore
from worker.kafka.records import Position, TopicPartition
from worker.ledger.batch import Batch
from worker.ledger.leaves import log_after
from worker.ledger.membership_rows import read_charge, read_membership
from worker.ledger.memory_clock import appointments_in
from worker.ledger.memory_plans import MemoryPlans
from worker.ledger.memory_tables import ConstraintBroken
from worker.ledger.merkle import stored_log
from worker.ledger.parked import ParkedKey, ParkedTrigger
from worker.ledger.rows import batch_row, read_closure, read_lot, read_spend
from worker.ledger.store import Appointment, OpenCommand, Past, Tail
from worker.ledger.tables import AnswerRow, BatchRow, DecisionRow, HoldRow, MembershipRow

_ADDED: Final = {
    **{name: name for name in ("decisions", "changes", "mentions", "seen_events", "awaiting", "due", "held")},
    **{name: name for name in ("parked", "parked_triggers", "dead_letters", "policies", "replayed", "voided")},
    "new_lots": "lots",
    "new_spends": "spends",
}
"""Rows of a batch that are new, and their tables."""
_MERGED: Final = {
    "lots": ("remaining", "open"),
    "spends": (
        *("occurred_at", "origin", "base", "boost"),
        *("base_debt", "boost_debt", "base_returned", "boost_returned", "boost_outbid", "refunded_closing_at"),
        *("draws", "withdrawn_at", "owing"),
    ),
    "closures": ("closure", "settled_through", "settled", "returned_any"),
    "hires": ("first_hired_at",),
    "holds": ("lets_time_go_on", "decision_seq"),
    "replays": ("state",),
    "amended": ("by_seq", "connects", "policy", "not_taken"),
    "memberships": MembershipRow._fields[1:],
    "charges": ("status",),
}
"""Rows of a batch that may be there already, and what of them may change."""
_NEVER: Final = datetime.min.replace(tzinfo=UTC)


class MemoryStore(MemoryPlans):
    """A `Store` that is never away, led by whoever has called `lead` last. `tables` has what was committed."""

    def __init__(
        self, now: Callable[[], datetime] = lambda: datetime.now(UTC), *, ledger_id: UUID | None = None
    ) -> None:
        super().__init__(ledger_id)
        self.commands: dict[UUID, OpenCommand] = {}
        """What operators ask, until it is answered; in the order in which it was asked."""
        self.answers: dict[UUID, AnswerRow] = {}
        self._now = now
        self._epoch = self._dropped_through = 0
        self._tail = Tail(0, 0, bytes(32), None, 0, log_after(bytes(32)))
        self._positions: dict[TopicPartition, Position] = {}
        self._outbox: dict[int, OutboxRow] = {}

    def lead(self) -> int:
        """Begin the next epoch; a commit under one before is refused from now on."""
        self._epoch += 1
        return self._epoch

    async def open(self) -> None:
        """Nothing has to be reached."""

    @property
    def trouble(self) -> str | None:
        """Nothing is ever in the way."""
        return None

    async def close(self) -> None:
        """What was committed stays."""

    async def tail(self) -> Tail:
        """Where the ledger ends."""
        return self._tail

    async def database_time(self) -> datetime:
        """What the clock shows that it was made with."""
        return self._now()

    async def stored_policies(self) -> list[StoredVersion]:
        """Every policy version that the ledger has."""
        return [StoredVersion(row.version, row.effective_from, row.document) for row in self.tables.policies]

    async def open_commands(self) -> list[OpenCommand]:
        """The commands of operators without an answer, oldest first."""
        return list(self.commands.values())

    # Input.

    async def positions(self) -> dict[TopicPartition, Position]:
        """The next offset to decide, for every partition ever read."""
        return dict(self._positions)

    async def holds(self) -> dict[TopicPartition, Hold]:
        """What operators have put on hold, by place."""
        return by_place(map(self._hold, self.tables.holds))

    def _hold(self, row: HoldRow) -> Hold:
        decision = self.tables.decisions[row.decision_seq]
        facts = msgspec.json.decode(decision.facts)
        place = TopicPartition(row.topic, row.partition)
        return Hold(place, row.lets_time_go_on, facts["actor"], facts["why"], decision.recorded_at)

    async def decided_ahead(self) -> dict[TopicPartition, int]:
        """The last offset decided at or after its position, of each partition whose position was set back."""
        ahead = {}
        for source, position in self._positions.items():
            if (last := max(self._decided(source, position.incarnation), default=-1)) >= position.next_offset:
                ahead[source] = last
        return ahead

    async def decided_offsets(self, source: TopicPartition, incarnation: int, first: int, last: int) -> set[int]:
        """Which offsets of a partition, from `first` to `last`, have a first decision."""
        return {offset for offset in self._decided(source, incarnation) if first <= offset <= last}

    def _decided(self, source: TopicPartition, incarnation: int) -> Iterator[int]:
        firsts = self.tables.firsts_of.of((source.topic, incarnation, source.partition))
        return (row.offset for row in firsts if row.offset is not None)

    async def seen(self, keys: Sequence[str]) -> dict[str, int]:
        """Which of these event ids (see `seen_key`) were decided, and by which decision."""
        return {key: self.tables.seen_events[key].seq for key in keys if key in self.tables.seen_events}

    # Wallets and jobs.

    async def wallets(self, ids: Sequence[FreelancerId], after: datetime | None) -> dict[FreelancerId, Wallet]:
        """Wallets that exist, with lots open or expiring after then, owing spends, and interview grants."""
        return {name: self._wallet(name, after or _NEVER) for name in ids if name in self.tables.changes_of.rows}

    def _wallet(self, freelancer_id: FreelancerId, after: datetime) -> Wallet:
        changes = list(self.tables.changes_of.of(freelancer_id))
        last = max(changes, key=lambda row: row.version)
        lots = [read_lot(row) for row in self.tables.lots_of.of(freelancer_id) if row.open or row.expires_at > after]
        return Wallet(
            freelancer_id,
            last.balance_after,
            last.version,
            sorted((lot for lot in lots if lot.remaining), key=burn_order),
            {lot.lot_id: lot for lot in lots if not lot.remaining},
            sorted(map(read_spend, self.tables.owing_of.of(freelancer_id)), key=debt_order),
            sorted(
                InterviewGrant(row.occurred_at, row.delta)
                for row in changes
                if row.rule == "grant.interview" and row.decision_seq not in self.tables.voided
            ),
        )

    async def last_decisions(self, ids: Sequence[FreelancerId]) -> dict[FreelancerId, int]:
        """The last decision that names each of these freelancers; 0 for one that no decision names."""
        return {name: max(self._decisions_of(name), default=0) for name in ids}

    def _decisions_of(self, freelancer_id: FreelancerId) -> Iterator[int]:
        yield from (row.seq for row in self.tables.mentions_of.of(f"f:{freelancer_id}"))
        for row in self.tables.changes_of.of(freelancer_id):
            if self.tables.decisions[row.decision_seq].freelancer_id == freelancer_id:
                yield row.decision_seq

    async def lots(self, ids: Sequence[tuple[FreelancerId, LotId]]) -> list[Lot]:
        """The lots of these freelancers and ids that exist."""
        return [read_lot(self.tables.lots[key]) for key in ids if key in self.tables.lots]

    async def grants(self, keys: Iterable[tuple[str, str]]) -> list[Grant]:
        """Grants made under these (rule, natural key); of a key that was freed by a void one that does not stand."""
        return [grant for key in keys if (grant := self._grant(*key)) is not None]

    def _grant(self, rule: str, natural_key: str) -> Grant | None:
        voids = list(self.tables.voided_keys.of((rule, natural_key)))
        recorded = f"{natural_key}{AGAIN}{len(voids)}" if voids else natural_key
        row = self.tables.grants.rows.get((rule, recorded))
        if row is not None:
            stands = (row.freelancer_id, row.occurred_at, row.delta, row.decision_seq)
            return Grant(rule, natural_key, *stands, voided=len(voids))
        return freed_grant(rule, natural_key, len(voids)) if voids else None

    async def jobs(self, ids: Sequence[JobId]) -> dict[JobId, Job]:
        """Every job asked for; one never heard of is empty."""
        return {job_id: self._job(job_id) for job_id in ids}

    def _job(self, job_id: JobId) -> Job:
        hire = self.tables.hires.get(job_id)
        rows = sorted(
            self.tables.closures_of.of(job_id), key=lambda row: (row.closed_at, row.closure, row.decision_seq)
        )
        spends = sorted(self.tables.spends_on.of(job_id), key=lambda row: row.decision_seq)
        return Job(
            job_id,
            None if hire is None else hire.first_hired_at,
            [read_closure(row) for row in rows],
            [row.proposal_id for row in spends],
        )

    async def spends(self, ids: Sequence[ProposalId]) -> list[Spend]:
        """The spends of these proposals that exist."""
        return [read_spend(self.tables.spends[key]) for key in ids if key in self.tables.spends]

    async def awaiting(self, ids: Sequence[ProposalId]) -> list[Awaited]:
        """Withdrawals and outbids that wait for these proposals, in ledger order."""
        seqs = sorted(row.decision_seq for key in ids for row in self.tables.awaiting_for.of(key))
        rows: list[Any] = [self.tables.decisions[seq] for seq in seqs]
        return [
            Awaited(
                row.proposal_id,
                row.seq,
                row.topic == "boost-outbid",
                row.freelancer_id,
                row.job_id,
                row.occurred_at,
                _cause(row, row.seq),
            )
            for row in rows
        ]

    # Memberships.

    async def memberships(self, ids: Sequence[FreelancerId]) -> dict[FreelancerId, Membership]:
        """Every membership asked for; one never heard of has not begun."""
        found = ((name, self.tables.memberships.get(name)) for name in ids)
        return {name: Membership(name) if row is None else read_membership(row) for name, row in found}

    async def charges(self, keys: Sequence[ChargeKey]) -> list[Charge]:
        """Those of these charges that were asked for."""
        return [read_charge(self.tables.charges[key]) for key in keys if key in self.tables.charges]

    async def held(self, ids: Sequence[FreelancerId]) -> list[Held]:
        """These freelancers' membership events that cannot count yet, in ledger order."""
        return [
            self._held(seq) for seq in sorted(row.decision_seq for key in ids for row in self.tables.held_of.of(key))
        ]

    def _held(self, seq: int) -> Held:
        row: Any = self.tables.decisions[seq]
        # If it was parked before, the decision that parked it has the payload.
        payload = row.payload or self.tables.decisions[row.follows].payload
        return Held(
            self.tables.held[seq].freelancer_id, seq, row.topic, read_event(row.topic, payload), _cause(row, seq)
        )

    # The clock's work, and what is parked.

    async def appointments(
        self, limit: int, grace: timedelta, after: Appointment | None = None
    ) -> tuple[list[Appointment], Appointment]:
        """The next clock work that is not parked, and the place in its order up to which that is all there is.

        Of the work `after` a place, or of all: at most `limit` of each kind, even of one instant.
        """
        waiting = {event_id for event_ids in (await self.parked()).values() for event_id in event_ids}
        return appointments_in(self.tables, waiting, limit, grace, after)

    async def parked(self) -> dict[ParkedKey, set[str]]:
        """Stopped wallets and jobs, each with the event ids of the clock work that waits there."""
        found: dict[ParkedKey, set[str]] = {ParkedKey(row.scope, row.key): set() for row in self.tables.parked}
        for waiting in self.tables.parked_triggers:
            row = self.tables.decisions[waiting.decision_seq]
            if row.kind == "clock" and row.event_id is not None:
                found.setdefault(ParkedKey("wallet", waiting.key), set()).add(row.event_id)
        return found

    async def parked_triggers(self, key: ParkedKey, after: int = 0, most: int = 2_000) -> list[ParkedTrigger]:
        """What waits behind one parked wallet or job after the decision `after`, in ledger order; `most` of it."""
        seqs = sorted(row.decision_seq for row in self.tables.waiting_behind.of(key) if row.decision_seq > after)
        return [self._parked_trigger(self.tables.decisions[seq]) for seq in seqs[:most]]

    def _parked_trigger(self, row: DecisionRow) -> ParkedTrigger:
        cause = _cause(row, None)
        told = (row.seq, row.kind, cause, row.occurred_at, row.business_time, row.payload, row.proposal_id)
        if row.kind == "settlement":
            for closure in self.tables.closures_of.of(row.job_id):
                if cause.is_event_of(_cause(closure, None)):
                    return ParkedTrigger(*told, closure.job_id, closure.decision_seq)
        return ParkedTrigger(*told, None, None)

    async def count_parked_triggers(self, key: ParkedKey) -> int:
        """How many triggers wait behind one parked wallet or job."""
        return sum(1 for _ in self.tables.waiting_behind.of(key))

    def together(self) -> Past:
        """The same answers about the past; they cost nothing here, so each is looked up by itself."""
        return self

    # Writing.

    async def commit(self, batch: Batch, epoch: int) -> None:
        """Take a batch in, all of it or nothing.

        Raises:
            LeadershipLost: the epoch is not that of `lead`; nothing was written.
            BatchRefused: it holds what the ledger cannot take; nothing was written.
        """
        if epoch != self._epoch:
            raise LeadershipLost(f"epoch {epoch} is over: another worker has taken the ledger")
        row = batch_row(batch)
        try:
            self._check(batch, row)
        except ConstraintBroken as broken:
            raise BatchRefused(f"The ledger in memory refused {batch.in_words}: {broken}", str(broken)) from broken
        self._write(batch)
        self.tables.batches.put([row])
        outbox_seq = max(self._tail.outbox_seq, batch.outbox_seq or 0)
        if batch.batch_no > self._tail.batch_no:
            log = stored_log(row.log_size or 0, row.log_peaks or b"")
            self._tail = Tail(row.batch_no, row.last_seq, row.chain_head, row.business_time, outbox_seq, log)

    def _check(self, batch: Batch, row: BatchRow) -> None:
        self.tables.batches.check([row], new=True)
        for names, new in ((_ADDED, True), ({name: name for name in _MERGED}, False)):
            for name, table in names.items():
                if rows := getattr(batch, name):
                    getattr(self.tables, table).check(rows, new=new)

    def _write(self, batch: Batch) -> None:
        tables = self.tables
        for name, table in _ADDED.items():
            getattr(tables, table).put(getattr(batch, name))
        for name, columns in _MERGED.items():
            getattr(tables, name).merge(getattr(batch, name), columns)
        tables.spends.remove(batch.spends_voided)
        tables.voided.remove(batch.unvoided)
        tables.awaiting.remove(batch.awaiting_done)
        tables.due.remove(batch.due_done)
        tables.held.remove(batch.held_done)
        tables.holds.remove(batch.holds_ended)
        tables.parked.remove(batch.unparked)
        tables.parked_triggers.remove(batch.triggers_released)
        self._positions.update({position.source: position for position in batch.positions})
        for answer in batch.answers:
            if self.commands.pop(answer.command_id, None) is not None:
                self.answers[answer.command_id] = answer
        self._dropped_through = max(self._dropped_through, batch.drop_outbox_through)
        for seq in [seq for seq in self._outbox if seq <= batch.drop_outbox_through]:
            del self._outbox[seq]
        if batch.outbox_seq is not None and batch.batch_uid is not None and batch.outbox is not None:
            row = OutboxRow(batch.outbox_seq, batch.batch_uid, batch.recorded_at, batch.outbox)
            self._outbox[batch.outbox_seq] = row

    async def not_made_again(self) -> int:
        """None: a ledger in memory was never restored."""
        return 0

    async def published_before(self, names: Sequence[Named]) -> dict[Named, PublishedBefore]:  # noqa: ARG002
        """None, as above."""
        return {}

    # What the relay asks.

    async def outbox_rows(self, after_seq: int, limit_bytes: int) -> list[OutboxRow]:
        """The rows after `after_seq`, in order, up to about `limit_bytes` of messages; at least one if there is one."""
        found: list[OutboxRow] = []
        for seq in sorted(seq for seq in self._outbox if seq > after_seq):
            if sum(len(row.messages) for row in found) >= limit_bytes:
                break
            found.append(self._outbox[seq])
        return found

    async def outbox_state(self) -> tuple[int, int]:
        """The last `seq` ever given to a batch, and the `seq` up to which rows were dropped; 0 for none."""
        return self._tail.outbox_seq, self._dropped_through

    async def batch_uid_at(self, seq: int) -> UUID | None:
        """The `batch_uid` of the batch with that `seq`; None when there is no such batch."""
        row = self.tables.batches_by_outbox.rows.get(seq)
        return None if row is None else row.batch_uid

    async def still_mine(self, epoch: int) -> bool:
        """Whether the ledger's epoch is still that one."""
        return epoch == self._epoch


def _cause(row: Any, decided_by: int | None) -> Cause:  # noqa: ANN401 - a decision or a closure
    return stored_cause(row.topic, row.incarnation, row.partition, row.offset, row.event_id, decided_by)
