"""From an open batch to a committed one: one is committed in the background while the next is decided."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple

from worker.domain.model import FreelancerId
from worker.domain.state import Changed
from worker.engine.batch_builder import LARGE
from worker.engine.holding_back import HoldingBack
from worker.engine.open_batch import OpenBatch
from worker.futures import consume_exception
from worker.kafka.records import InputRecord, Position, TopicPartition
from worker.ledger.batch import Batch, Conditions
from worker.ledger.store import Store


@dataclass(frozen=True, slots=True)
class Committed:
    """What a committed batch was, for the relay and the metrics, and the seconds that each stage took."""

    batch: Batch
    outcomes: dict[tuple[str, str], int]
    late: int
    records: int
    load_seconds: float
    decide_seconds: float
    encode_seconds: float
    commit_seconds: float
    rejected_with_others: int
    """Of `records`, those of batches rejected as a whole, without the one that has the decision."""


class InFlight(NamedTuple):
    """What was cut last and is being committed, with its records."""

    open_batch: OpenBatch
    records: Sequence[InputRecord]


class Positions:
    """Where reading of each partition goes on; what has moved is written with the next batch."""

    def __init__(self, known: dict[TopicPartition, Position]) -> None:
        self.known = known
        self._passed: dict[TopicPartition, InputRecord] = {}
        self._new: dict[TopicPartition, Position] = {}

    def pass_record(self, record: InputRecord) -> None:
        """Note that a record is decided, as the last one of its partition."""
        self._passed[record.source] = record

    @property
    def have_passed_records(self) -> bool:
        """Whether records were passed since the last batch."""
        return bool(self._passed)

    def move(self, source: TopicPartition, offset: int) -> None:
        """Move a position over records of no account, if it is not there already."""
        known = self.known.get(source)
        if known is None:
            self.set(Position(source, 0, offset, None, None, None, None))
        elif offset > known.next_offset:
            self.set(replace(known, next_offset=offset))

    def set(self, position: Position) -> None:
        """Have the next batch write this position."""
        self.known[position.source] = self._new[position.source] = position

    def take(self) -> list[Position]:
        """Every position that moved since this was asked last."""
        for record in self._passed.values():
            self.set(_after(record))
        moved = list(self._new.values())
        self._passed.clear()
        self._new.clear()
        return moved


def _after(record: InputRecord) -> Position:
    return Position(
        record.source,
        record.incarnation,
        record.next_offset,
        record.offset,
        record.timestamp_ms,
        record.fingerprint,
        record.running_max,
    )


class Commits:
    """Commits one batch after the other under one epoch. After a failure `open` again."""

    def __init__(
        self,
        store: Store,
        conditions: Conditions,
        now: Callable[[], datetime],
        on_commit: Callable[[Committed], None],
    ) -> None:
        self._store, self._conditions, self._now, self._on_commit = store, conditions, now, on_commit
        self._committing: asyncio.Task[None] | None = None
        self._in_flight: InFlight | None = None
        self._pending: list[InputRecord] = []
        """The records that the open batch decides."""
        self._records = self._drop_through = 0
        self._begun_at = 0.0
        self.positions = Positions({})
        self.last_decisions: dict[FreelancerId, int] = {}
        """The last decision that names each freelancer who is in memory."""
        self.holding_back = HoldingBack(store)

    async def open(self) -> None:
        """Go on from where the ledger ends."""
        self.tail = await self._store.tail()
        self.positions = Positions(await self._store.positions())
        await self.holding_back.open()
        self._pending = []

    def begin(self) -> OpenBatch:
        """A new open batch, after all that was cut."""
        self._records = self._drop_through = 0
        self._begun_at = time.monotonic()
        return self._new_batch()

    def _new_batch(self) -> OpenBatch:
        return OpenBatch(self.tail, self._now(), self._conditions, self.last_decisions)

    def freshen(self, open_batch: OpenBatch) -> None:
        """A batch is of the time when its first decision is taken, not of when the one before was closed."""
        if not len(open_batch):
            open_batch.batch.recorded_at = self._now()
            self._begun_at = time.monotonic()

    def count(self, record: InputRecord) -> None:
        """Note a record that is about to be decided."""
        self.positions.pass_record(record)
        self._records += record.count

    def keep(self, record: InputRecord) -> None:
        """Keep a decided record until its batch is committed: it may have to be decided again."""
        self._pending.append(record)

    def drop_outbox_through(self, seq: int) -> None:
        """Have the next batch drop outbox rows that the relay's marker is past."""
        self._drop_through = max(self._drop_through, seq)

    async def cut(
        self,
        open_batch: OpenBatch,
        changed: Changed,
        business_time: datetime | None,
        loading_seconds: float,
        *,
        even_empty: bool,
    ) -> OpenBatch | None:
        """Close the open batch and begin to commit it, once the one before is committed; return the next one.

        None: there is nothing to commit.

        Raises:
            BatchRefused, LeadershipLost, Transient: of the batch before.
        """
        # Work may leave no decision: a closure without spends, a released trigger that has become void. It is done all
        # the same, or it would come again.
        done = open_batch.batch.due_done or open_batch.batch.triggers_released
        if not (len(open_batch) or self.positions.have_passed_records or done or even_empty):
            return None
        records = self._records
        spent = time.monotonic() - self._begun_at
        if open_batch.movements > LARGE:
            batch = await asyncio.to_thread(open_batch.finish, changed, business_time)
        else:
            batch = open_batch.finish(changed, business_time)
        batch.positions = self.positions.take()
        batch.drop_outbox_through = self._drop_through
        loading = min(loading_seconds, spent)
        seconds = (loading, spent - loading, time.monotonic() - self._begun_at - spent)
        await self.settle()
        self._in_flight = InFlight(open_batch, self._pending)
        self._pending = []
        self.tail = open_batch.tail()
        self._committing = asyncio.create_task(self._commit(batch, open_batch, records, seconds))
        consume_exception(self._committing)
        return self.begin()

    async def _commit(
        self, batch: Batch, open_batch: OpenBatch, records: int, seconds: tuple[float, float, float]
    ) -> None:
        begun = time.monotonic()
        await self.holding_back.hold_back(batch)
        await self._store.commit(batch, self._conditions.epoch)
        self.holding_back.committed(batch)
        commit_seconds = time.monotonic() - begun
        self._in_flight = None
        others = open_batch.rejected_with_others
        self._on_commit(
            Committed(batch, open_batch.outcomes, open_batch.late, records, *seconds, commit_seconds, others)
        )

    async def settle(self) -> None:
        """Wait until the batch that was cut last is committed."""
        if self._committing is not None:
            committing, self._committing = self._committing, None
            await committing

    @property
    def is_committing(self) -> bool:
        """Whether a batch is under way to the ledger: the next one has to wait for it."""
        return self._committing is not None and not self._committing.done()

    def failed(self) -> bool:
        """Whether a commit in the background has ended badly; `settle` then raises what it was."""
        task = self._committing
        return task is not None and task.done() and (task.cancelled() or task.exception() is not None)

    @property
    def pending(self) -> Sequence[InputRecord]:
        """The records whose decisions have not been cut yet."""
        return self._pending

    def refused(self) -> InFlight:
        """The batch that the ledger has refused."""
        if self._in_flight is None:
            raise AssertionError("only a batch that was cut is refused")
        return self._in_flight
