"""The one writer: takes triggers in ledger order, decides them in memory, and commits them in batches.

While PostgreSQL commits one batch the next is read and decided. Nothing leaves before its commit is acknowledged; after
any failure everything in memory is thrown away and read again (the recovery path belongs to the service).
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

import asyncpg
import msgspec
import structlog

from worker.clock.agenda import Agenda
from worker.domain.books import Books
from worker.domain.decide import decide_event, late_by_seconds, subject_of
from worker.domain.policy import Policy, PolicyBook
from worker.domain.triggers import Received
from worker.engine import answers
from worker.engine.clock_work import ClockWork
from worker.engine.commands import Answer, Command, command_decision
from worker.engine.desk import LARGE, Desk
from worker.engine.draft import Draft
from worker.engine.look_ahead import MOST_APPOINTMENTS, LookAhead
from worker.engine.memory import AT_ONCE, Memory
from worker.engine.narrowing import Narrowing
from worker.engine.release import Release
from worker.errors import BatchRefused, Bug
from worker.futures import hear_out
from worker.ledger.store import (
    Batch,
    ParkedKey,
    Store,
)
from worker.probes import Probe, no_probe
from worker.stream.fingerprints import record_hash
from worker.stream.records import InputRecord, Position, TopicPartition

_SLICE_SECONDS: Final = 0.002
_TURNS: Final = 4
"""How often the event loop goes round between two slices of clock work that live events wait beside.

An answer of PostgreSQL or Kafka takes some turns from the socket to whoever waits for it, and a slice between any two
of them would add up to more than the answer took.
"""

_log = structlog.get_logger(__name__)


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


class Writer:
    """Decides and commits, in one ledger order, for one epoch."""

    def __init__(
        self,
        store: Store,
        epoch: int,
        policies: PolicyBook,
        grace: timedelta,
        now: Callable[[], datetime],
        on_commit: Callable[[Committed], None],
        batch_size: int,
        reached: Probe = no_probe,
    ) -> None:
        self._store, self._epoch, self._policies, self._grace = store, epoch, policies, grace
        self._now, self._on_commit, self._reached = now, on_commit, reached
        self._failing: dict[object, str] = {}
        self._narrowing = Narrowing(batch_size, self._failing)
        self._committing: asyncio.Task[None] | None = None
        self.positions: dict[TopicPartition, Position] = {}
        self.business_time: datetime | None = None
        self.parked: dict[ParkedKey, set[str]] = {}
        self.clock_is_stopped = False
        """While this host's clock cannot be trusted business time stands still, and nothing is due."""
        self.is_stopping = False
        """Set when the worker is to end: then what would take long is left, clock work and releases."""
        self.left_records = False
        """Whether records that were handed over are left with it: their positions have not moved."""
        self._done = 0
        self._drop_through = self._records = 0
        self._begun_at = 0.0
        self._in_flight: tuple[Draft, list[InputRecord]] | None = None
        """What was cut last and is being committed, with its records."""
        self._waited: dict[ParkedKey, int] = {}
        """How much waited behind what is being released, before anything of it was decided."""
        self._forget_everything()

    def _forget_everything(self) -> None:
        books, agenda = Books(self._grace, strict=True), Agenda(MOST_APPOINTMENTS)
        self._memory = Memory(self._store, books, self._policies)
        self._look_ahead = LookAhead(self._store, self._memory, agenda, self._grace)
        self._desk = Desk(books, self._policies, self._grace, agenda, self.parked, self._failing)
        self._clock_work = ClockWork(self._desk, self._memory, self._grace)
        self._clock_work.at_once = min(AT_ONCE, self._narrowing.most)
        self._moved: dict[TopicPartition, InputRecord] = {}
        self._new_positions: dict[TopicPartition, Position] = {}
        self._pending: list[InputRecord] = []

    async def open(self) -> None:
        """Begin from what the ledger holds; anything in memory is forgotten."""
        self._tail = await self._store.tail()
        self.positions = await self._store.positions()
        self._decided_ahead = await self._store.decided_ahead()
        self.parked = await self._store.parked()
        self.business_time = self._tail.business_time
        self._forget_everything()
        self._memory.committed_through = self._tail.last_seq
        self._begin_draft()
        await self._look_ahead.open()

    # What the service calls.

    async def read_ahead(self, records: Sequence[InputRecord]) -> None:
        """Begin to load what these records, taken live, ask about. Clock work may be done before `decide` waits for it.

        Raises:
            Transient: the database is away.
        """
        await self._look_ahead.begin(records, self.business_time)

    async def decide(self, records: Sequence[InputRecord]) -> None:
        """Decide these records, and the clock work due before each. Full batches go; `flush` sends the rest.

        Nothing, once records are left: positions would move past them.
        """
        while not self.left_records:
            try:
                await self._decide_all(records)
            except (Bug, BatchRefused) as failure:
                left = records[self._done :]
                records = [*await self._start_over(failure), *left]
            else:
                return

    @property
    def is_committing(self) -> bool:
        """Whether a batch is under way to the ledger: the next one has to wait for it."""
        return self._committing is not None and not self._committing.done()

    async def pass_time(self, frontier: datetime | None, *, seconds: float, least_seconds: float | None = None) -> bool:
        """Let business time pass up to `frontier` and do what became due, for about `seconds`; True when it is done.

        With `least_seconds` no longer than that once the batch before is committed, and what was read ahead is loaded:
        then the next batch may go.
        """
        self._pass(frontier)
        instant = self.business_time
        if instant is None:
            return True
        self._freshen_draft()
        try:
            begun = time.monotonic()
            least = None if least_seconds is None else begun + least_seconds
            return await self._do_due(instant, begun + seconds, least=least)
        except (Bug, BatchRefused) as failure:
            await self.decide(await self._start_over(failure))
            return False

    async def flush(self) -> None:
        """Begin to commit what has been decided."""
        await self._in_spite_of_refusals(self._cut)

    def clock_due(self, instant: datetime | None) -> int:
        """How many pieces of clock work are due and not done (of those in memory)."""
        return 0 if instant is None else self._desk.agenda.count_due(instant)

    async def advance(self, offsets: dict[TopicPartition, int]) -> None:
        """Store positions that moved over records of no account, and business time; a batch without decisions."""
        self._freshen_draft()
        for source, offset in offsets.items() if not self.left_records else ():
            known = self.positions.get(source)
            if known is None or offset > known.next_offset:
                self._move(source, offset)
        await self._in_spite_of_refusals(lambda: self._cut(even_empty=True))

    def add_policy(self, policy: Policy) -> None:
        """Have the next batch store a policy version, for good."""
        document = msgspec.json.encode(policy.stored_document).decode()
        self._desk.draft.batch.policies.append((policy.version, policy.effective_from, policy.hash, document))

    def drop_outbox_through(self, seq: int) -> None:
        """Have the next batch drop outbox rows that the relay's marker is past."""
        self._drop_through = max(self._drop_through, seq)

    def failed(self) -> bool:
        """Whether a commit begun behind our back has ended badly; `settle_down` then raises what it was."""
        task = self._committing
        return task is not None and task.done() and (task.cancelled() or task.exception() is not None)

    async def settle_down(self) -> None:
        """Wait until everything begun is committed.

        Raises:
            LeadershipLost: the epoch is over.
            Transient: the database is away, or the outcome of a commit is unknown: take the recovery path.
            OperatorNeeded: PostgreSQL refused a commit, and not for what one event holds.
        """
        while True:
            try:
                await self._settle()
            except BatchRefused as refusal:
                await self.decide(await self._start_over(refusal))
                await self.flush()
            else:
                return

    async def _in_spite_of_refusals(self, step: Callable[[], Awaitable[None]]) -> None:
        """Take a step that waits for the commit before; if that was refused, decide it again, then take the step."""
        while True:
            try:
                await step()
            except BatchRefused as refusal:
                await self.decide(await self._start_over(refusal))
            else:
                return

    def abandon(self) -> None:
        """Let go of what is being read ahead: what is in memory is not used any more."""
        self._look_ahead.abandon()

    # What commands ask.

    def set_position(self, position: Position) -> None:
        """Have the next batch store this position."""
        self.positions[position.source] = self._new_positions[position.source] = position

    async def release(self, key: ParkedKey) -> tuple[int, int, str | None]:
        """Decide what waits behind a stopped wallet or job, in ledger order, until it fails again or we are to stop.

        Gives how many were decided, how many still wait, and the failure that stopped it.
        """
        while True:
            try:
                await self._commit_all()  # what was parked just now is in the ledger then
                if key not in self._waited:  # before a failure batches of it may have been committed
                    self._waited[key] = await self._store.count_parked_triggers(key)
                failure = await self._release_all(key)
                if key not in self.parked:
                    return self._waited[key], 0, None
                await self._commit_all()
                left = await self._store.count_parked_triggers(key)
            except (Bug, BatchRefused) as error:
                await self.decide(await self._start_over(error))
            else:
                return self._waited[key] - left, left, failure

    async def _release_all(self, key: ParkedKey) -> str | None:
        """Decide what waits, page by page. It ends early for a stop, between two batches, or for a failure: why."""
        release = Release(self._memory, self._policies, self.business_time)
        last = 0
        self._freshen_draft()
        while page := await self._store.parked_triggers(key, last):
            await self._memory.make_room()
            await release.prepare(page)
            for row in page:
                if self.is_stopping and not len(self._desk.draft):
                    return None
                if (failure := self._failing.pop(_released(row["seq"]), None)) is not None:
                    return failure
                await self._release_one(release, row, key)
                last = row["seq"]
        del self.parked[key]
        self._desk.draft.batch.unparked.append(key)
        return None

    async def _release_one(self, release: Release, row: asyncpg.Record, key: ParkedKey) -> None:
        try:
            decisions = await release.decide(row, key, self._desk.draft.next_seq)
        except Exception as error:
            where = f"{key.scope} {key.key}, waiting trigger {row['seq']}"
            raise self._desk.fails(_released(row["seq"]), where, error) from error
        if decisions:
            self._desk.draft.triggers.append(_released(row["seq"]))
            self._desk.book(decisions)
        self._desk.draft.batch.triggers_released.append(row["seq"])
        if self._desk.draft.is_full(self._narrowing.most):
            await self._cut()
        await asyncio.sleep(0)  # the lease is renewed meanwhile

    async def _commit_all(self) -> None:
        """Commit what is decided, and wait until it is in the ledger."""
        await self._cut()
        await self._settle()

    async def answer(self, command: Command, answer: Answer) -> bool:
        """Commit the command's decision and answer, with what it set in motion.

        False if PostgreSQL refused what was decided up to here: nothing was written, so it is to be carried out again.
        """
        self._freshen_draft()
        decision = command_decision(command, answer, self._desk.draft.next_seq)
        decision.business_time = self.business_time
        self._desk.draft.add(decision)
        told = {"outcome": answer.outcome, "reason": answer.reason, **answer.told}
        self._desk.draft.batch.answers.append((command.id, msgspec.json.encode(told).decode()))
        try:
            await self._cut()
            await self._settle()
        except BatchRefused as refusal:
            await self.decide(await self._start_over(refusal))
            return False
        self._waited.clear()
        return True

    # Deciding.

    async def _decide_all(self, records: Sequence[InputRecord]) -> None:
        """Decide records in order; a full batch is cut between two of them.

        Behind the wall clock, clock work that is due before a record is done before it; live events do not wait for it.
        """
        self._done = 0
        if not records:
            return
        live, last = self._now() - self._grace, records[-1].business_time
        due_through = last if last is not None and last < live else None
        await self._look_ahead.have(records, self.business_time, due_through)
        self._freshen_draft()
        again = await self._decided_before(records)
        slice_end = time.monotonic() + _SLICE_SECONDS
        for record in records:
            if again and (record.source, record.offset) in again:
                self._moved[record.source] = record  # read again after its position was set back: it has its decision
                self._done += 1
                continue
            self._pass(record.business_time)
            # Reading began anew knows only the topics; the ledger's own business time never goes back.
            if (instant := self.business_time) is not None:
                record.business_time = instant
                if instant < live and not self._desk.agenda.is_clear(instant):
                    await self._do_due_before(instant, records)
                    if self.is_stopping and not self._desk.agenda.is_clear(instant):
                        self.left_records = True
                        return
            if record.event is not None and self._desk.is_large(record.source.topic, record.event.__dict__):
                await asyncio.to_thread(self._decide_record, record)
            else:
                self._decide_record(record)
            self._pending.append(record)
            self._done += 1
            if self._desk.draft.is_full(self._narrowing.most):
                await self._cut()
            if time.monotonic() > slice_end:
                await asyncio.sleep(0)
                slice_end = time.monotonic() + _SLICE_SECONDS

    async def _do_due_before(self, instant: datetime, records: Sequence[InputRecord]) -> None:
        """Do the clock work due before the next of these records; then have ready what they ask about, as before."""
        forgotten = self._memory.forgotten
        await self._do_due(instant, None, records[-1].business_time)
        if self._memory.forgotten != forgotten:
            await self._memory.prepare(records[self._done :], (), self.business_time)

    async def _decided_before(self, records: Sequence[InputRecord]) -> set[tuple[TopicPartition, int]]:
        """Which of these records have their decision already: those of a partition whose position was set back."""
        found: set[tuple[TopicPartition, int]] = set()
        for source, through in self._decided_ahead.items():
            of_source = [record for record in records if record.source == source and record.offset <= through]
            if of_source:
                first, last = of_source[0], of_source[-1]
                offsets = await self._store.decided_offsets(source, first.incarnation, first.offset, last.offset)
                found.update((source, offset) for offset in offsets)
        return found

    def _decide_record(self, record: InputRecord) -> None:
        draft, event = self._desk.draft, record.event
        self._moved[record.source] = record
        self._records += 1
        seq = draft.next_seq
        draft.triggers.append(_identity(record))
        if record.rejection is not None or event is None:
            rejection = record.rejection
            if rejection is None:
                raise AssertionError(f"{record.source}: neither an event nor a rejection at {record.offset}")
            draft.add(answers.rejected(record, rejection, seq))
            draft.batch.dead_letters.append(answers.dead_letter(record, rejection, seq))
            return
        topic = record.source.topic
        first = self._memory.first_decision(record.event_key)
        if first is not None:
            decision, conflict = answers.seen_before(record, event, first, seq)
            draft.add(decision)
            if conflict is not None:
                draft.batch.dead_letters.append(answers.dead_letter(record, conflict, seq))
            return
        self._memory.note_seen(seq, record)
        draft.batch.seen_events.append((record.event_key, seq))
        if self.parked or self._failing:
            stopped = self._desk.stopped_for(topic, event.__dict__)
            error = self._failing.get(_identity(record))
            if stopped is not None or error is not None:
                self._park(record, stopped, error)
                return
        cause = answers.input_cause(record)
        try:
            decisions = decide_event(
                self._desk.books, Received(event, topic, cause, record.business_time, seq), self._policies, record.value
            )
        except Exception as failure:
            where = f"{topic}, partition {cause.partition}, offset {cause.offset}, event {event.event_id}"
            raise self._desk.fails(_identity(record), where, failure) from failure
        self._desk.book(decisions)

    # Clock work.

    async def _do_due(
        self, instant: datetime, until: float | None, soon: datetime | None = None, least: float | None = None
    ) -> bool:
        """Do what is due at or before `instant`, in order, until a monotonic time; True when nothing is left.

        From the time `least` on it also ends when the next batch may go. What it asks about is loaded for many
        appointments together, those due up to `soon` among them.
        """
        slice_end = time.monotonic() + _SLICE_SECONDS
        while True:
            appointment = self._desk.agenda.next_due(instant)
            if appointment is None:
                if self._desk.agenda.knows(instant):
                    return True
                await self._look_ahead.see_further()
            elif not self._look_ahead.has(appointment):
                await self._look_ahead.have_due(instant if soon is None else max(instant, soon), self.business_time)
            elif await self._clock_work.do(appointment, self.business_time):
                self._desk.agenda.done(appointment)
            now = time.monotonic()
            if until is not None and (now > until or (least is not None and now > least and self._may_go)):
                return self._desk.agenda.is_clear(instant)
            if self.is_stopping:
                return False
            if self._desk.draft.is_full(self._narrowing.most):
                await self._cut()
                self._reached("between-chunks")
            if now > slice_end:
                await _give_way(1 if until is None else _TURNS)
                slice_end = time.monotonic() + _SLICE_SECONDS

    @property
    def _may_go(self) -> bool:
        """Whether nothing is in the way of the next batch: neither the one before nor the loading for its records."""
        return not self.is_committing and not self._look_ahead.is_loading

    # Parking.

    def _park(self, record: InputRecord, stopped: ParkedKey | None, error: str | None) -> None:
        event = record.event
        if event is None:
            raise AssertionError("only events are parked")
        if stopped is None:
            stopped = self._desk.stopped_by(record.source.topic, event.__dict__)
        else:
            error = None
        seq, cause = self._desk.draft.next_seq, answers.input_cause(record)
        decision = answers.parked(seq, "first", cause, event, subject_of(event), stopped, error)
        decision.business_time, decision.payload = record.business_time, record.value
        read = Received(event, record.source.topic, cause, record.business_time, seq)
        decision.late_by_seconds = late_by_seconds(self._desk.books, read)
        self._desk.park(decision, stopped, error)

    # Committing.

    def _begin_draft(self) -> None:
        self._desk.begin(Draft(self._tail, self._now()))
        self._records = 0
        self._drop_through = 0
        self._look_ahead.seconds = 0.0
        self._begun_at = time.monotonic()

    def _freshen_draft(self) -> None:
        """A draft is of the time when its first decision is taken, not of when the one before was closed."""
        if not len(self._desk.draft):
            self._desk.draft.batch.recorded_at = self._now()
            self._begun_at = time.monotonic()

    def _move(self, source: TopicPartition, offset: int, record: InputRecord | None = None) -> None:
        known = self.positions.get(source)
        if record is not None:
            moved = Position(
                source,
                record.incarnation,
                offset,
                record.offset,
                record.timestamp_ms,
                record_hash(record.key, record.value),
                record.running_max,
            )
        elif known is not None:
            moved = replace(known, next_offset=offset)
        else:
            moved = Position(source, 0, offset, None, None, None, None)
        self.positions[source] = self._new_positions[source] = moved

    async def _cut(self, *, even_empty: bool = False) -> None:
        """Close the draft and commit it behind our back, once the batch before is acknowledged."""
        draft, records = self._desk.draft, self._records
        # Work may leave no decision: a closure without spends, a released trigger that has become void. It is done all
        # the same, or it would come again.
        done = draft.batch.due_done or draft.batch.triggers_released
        if not (len(draft) or self._moved or done or even_empty):
            return
        spent = time.monotonic() - self._begun_at
        touched = self._desk.books.touched
        if draft.movements > LARGE:
            batch = await asyncio.to_thread(draft.finish, touched, self.business_time)
        else:
            batch = draft.finish(touched, self.business_time)
        for source, record in self._moved.items():
            self._move(source, record.offset + 1, record)
        self._moved.clear()
        batch.positions = list(self._new_positions.values())
        self._new_positions.clear()
        batch.drop_outbox_through = self._drop_through
        loading = min(self._look_ahead.seconds, spent)
        encoding = time.monotonic() - self._begun_at - spent
        seconds = (loading, spent - loading, encoding)
        await self._settle()
        self._in_flight = (draft, self._pending)
        self._memory.in_flight, self._pending = touched, []
        self._tail = draft.tail()
        self._desk.agenda.batch_is_cut()
        self._begin_draft()
        self._committing = asyncio.create_task(self._commit(batch, draft, records, seconds))
        hear_out(self._committing)

    async def _commit(self, batch: Batch, draft: Draft, records: int, seconds: tuple[float, float, float]) -> None:
        begun = time.monotonic()
        await self._store.commit(batch, self._epoch)
        commit_seconds = time.monotonic() - begun
        self._memory.committed_through = batch.last_seq
        self._in_flight = None
        self._narrowing.committed(batch)
        self._clock_work.at_once = min(AT_ONCE, self._narrowing.most)
        self._on_commit(Committed(batch, draft.outcomes, draft.late, records, *seconds, commit_seconds))

    async def _settle(self) -> None:
        """Wait until the batch that was cut last is committed."""
        if self._committing is not None:
            committing, self._committing = self._committing, None
            await committing

    async def _start_over(self, failure: Bug | BatchRefused) -> list[InputRecord]:
        """Forget everything not committed, to decide it again, knowing more of what fails; gives its records."""
        again = self._pending
        self.abandon()
        if isinstance(failure, Bug):
            _log.error("a rule failed: its wallet or job is parked", error=str(failure), exc_info=failure.__cause__)
            try:
                await self._settle()
            except BatchRefused as refusal:
                failure = refusal
        if isinstance(failure, BatchRefused):
            if self._in_flight is None:
                raise AssertionError("only a batch that was cut is refused")
            draft, records = self._in_flight
            self._narrowing.refused(draft.batch, draft.triggers, failure)
            again = [*records, *again]
        await self.open()
        return again

    def _pass(self, instant: datetime | None) -> None:
        if self.clock_is_stopped or instant is None:
            return
        if self.business_time is None or instant > self.business_time:
            self.business_time = instant


async def _give_way(turns: int) -> None:
    for _ in range(turns):
        await asyncio.sleep(0)


def _released(seq: int) -> tuple[str, int]:
    """How a waiting trigger is named among those that fail."""
    return "release", seq


def _identity(record: InputRecord) -> tuple[TopicPartition, int, int]:
    return record.source, record.incarnation, record.offset
