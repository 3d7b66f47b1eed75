"""Deciding records and clock work in one order, in memory, from one reading of the ledger on."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from worker.domain.decide import decide_event, late_by_seconds, subject_of
from worker.domain.decisions import Decision
from worker.domain.model import JobId
from worker.domain.policy import PolicyBook
from worker.domain.state import State
from worker.domain.triggers import Received
from worker.engine import standard_decisions
from worker.engine.batch_builder import BatchBuilder
from worker.engine.clock_work import ClockWork
from worker.engine.commit import Commits
from worker.engine.loading.cache import AT_ONCE, Cache
from worker.engine.loading.prefetch import MOST_APPOINTMENTS, Prefetch
from worker.engine.narrowing import Narrowing
from worker.engine.open_batch import OpenBatch
from worker.engine.schedule import Schedule
from worker.fault_points import FaultPoint
from worker.kafka.records import InputRecord, TopicPartition
from worker.ledger.event_key import seen_key
from worker.ledger.parked import ParkedKey
from worker.ledger.store import Store
from worker.ledger.tables import DueKey, SeenRow
from worker.words.explanations import worded

_SLICE_SECONDS: Final = 0.002
_TURNS: Final = 4
"""How often the event loop goes round between two slices of clock work that live events wait beside.

An answer of PostgreSQL or Kafka takes some turns from the socket to whoever waits for it, and a slice between any two
of them would add up to more than the answer took.
"""


@dataclass(slots=True)
class TermFlags:
    """What holds for a whole term, however often the ledger is read again."""

    is_stopping: bool = False
    """The worker is to end: then what would take long is left, clock work and releases."""
    clock_is_stopped: bool = False
    """This host's clock cannot be trusted: business time stands still, and nothing is due."""
    left_records: bool = False
    """Records that were handed over are left: their positions have not moved."""


class Ground(NamedTuple):
    """What a writer decides by, for as long as it leads."""

    store: Store
    policies: PolicyBook
    grace: timedelta
    now: Callable[[], datetime]
    reached: FaultPoint
    failing: dict[object, str]
    narrowing: Narrowing
    flags: TermFlags


class Read(NamedTuple):
    """What the ledger said when it was read."""

    business_time: datetime | None
    decided_ahead: dict[TopicPartition, int]
    parked: dict[ParkedKey, set[str]]


class DecideLoop:
    """Decides what it is handed. It begins with an empty state, and is thrown away when anything fails."""

    def __init__(self, ground: Ground, commits: Commits, read: Read) -> None:
        self._commits = commits
        self._store, self._policies, self._grace = ground.store, ground.policies, ground.grace
        self._now, self._reached, self._flags = ground.now, ground.reached, ground.flags
        self._failing, self._narrowing = ground.failing, ground.narrowing
        self.business_time, self.parked, self._decided_ahead = read.business_time, read.parked, read.decided_ahead
        state, schedule = State(self._grace, strict=True), Schedule(MOST_APPOINTMENTS)
        self.cache = Cache(self._store, state, self._policies)
        commits.last_decisions = self.cache.last_decisions
        self.prefetch = Prefetch(self._store, self.cache, schedule, self._grace)
        self.builder = BatchBuilder(state, self._policies, self._grace, schedule, self.parked, self._failing)
        self._clock_work = ClockWork(self.builder, self.cache, self._grace)
        self.done = 0
        """How many of the records that are being decided are."""
        self.resize()

    async def open(self) -> None:
        """Begin a batch where the ledger ends, and read what the clock has to do next.

        Raises:
            Transient: the database is away, here and below.
        """
        self.cache.committed_through = self._commits.tail.last_seq
        self._begin(self._commits.begin())
        await self.prefetch.open()

    def resize(self) -> None:
        """Settle no more at once than the next batch may have."""
        self._clock_work.at_once = min(AT_ONCE, self._narrowing.most)

    def freshen(self) -> None:
        """Set the time of the open batch to now, if nothing is in it yet."""
        self._commits.freshen(self.builder.open_batch)

    def _begin(self, open_batch: OpenBatch) -> None:
        self.builder.begin(open_batch)
        self.prefetch.seconds = 0.0

    async def cut(self, *, even_empty: bool = False) -> None:
        """Close the open batch and begin to commit it, once the batch before is committed.

        Raises:
            BatchRefused, LeadershipLost, Transient: of the batch before.
        """
        open_batch, changed = self.builder.open_batch, self.builder.state.changed
        following = await self._commits.cut(
            open_batch, changed, self.business_time, self.prefetch.seconds, even_empty=even_empty
        )
        if following is not None:
            self.cache.in_flight = changed
            self.builder.schedule.batch_is_cut()
            self._begin(following)

    def note_void(self, decision: Decision) -> None:
        """Let the clock know of a spend or a closure that was just voided: by it nothing is due any more."""
        freelancer_id, job_id, proposal_id = decision.subject
        if freelancer_id is None and job_id is not None:
            self._forget_voided_closures(job_id)
        if proposal_id is None or job_id is None:
            return
        self._clock_work.forget_places()
        self.builder.schedule.forget_late_settlements(proposal_id)
        done = self.builder.open_batch.batch.due_done
        for closure in self.builder.state.jobs[job_id].closures:
            done.append(DueKey("late-settlement", f"{closure.decision_seq}/{proposal_id}"))

    def _forget_voided_closures(self, job_id: JobId) -> None:
        """Strike out what is due later by voided closures of a job; their parts find nothing to settle."""
        job = self.builder.state.jobs[job_id]
        voided = {closure.decision_seq for closure in job.closures if closure.voided}
        if voided:
            self.builder.schedule.forget_late_settlements(None, voided)
            keys = (DueKey("late-settlement", f"{seq}/{name}") for seq in sorted(voided) for name in job.proposal_ids)
            self.builder.open_batch.batch.due_done.extend(keys)

    def note_restored(self) -> None:
        """Let the clock know that a spend that was voided counts again: closures under way look for their place."""
        self._clock_work.forget_places()

    def note_moved(self, decision: Decision) -> None:
        """Let the clock know of a spend that was just moved in time: closures before it do not settle it any more."""
        proposal_id, job_id = decision.subject.proposal_id, decision.subject.job_id
        if proposal_id is None or job_id is None:
            return
        state = self.builder.state
        spend, closures = state.spends[proposal_id], state.jobs[job_id].closures
        before = {closure.decision_seq for closure in closures if not closure.concerns(spend.occurred_at)}
        if before:
            self.builder.schedule.forget_late_settlements(proposal_id, before)
            keys = (DueKey("late-settlement", f"{seq}/{proposal_id}") for seq in sorted(before))
            self.builder.open_batch.batch.due_done.extend(keys)

    def note_replaced(self, topic: str, event_id: str, seq: int, content: str) -> None:
        """Let repeats of an event be compared with the content that a correction gave it, too."""
        self.cache.first_decisions.note_replaced(seen_key(topic, event_id), seq, content.encode())

    @property
    def batch_is_full(self) -> bool:
        """Whether the open batch has as much as a batch may have, and should be cut."""
        return self.builder.open_batch.is_full(self._narrowing.most)

    @property
    def most_decisions(self) -> int:
        """How many decisions the next batch may have."""
        return self._narrowing.most

    # Records.

    async def decide(self, records: Sequence[InputRecord]) -> None:
        """Decide records in order; a full batch is cut between two of them.

        Behind the wall clock, clock work that is due before a record is done before it; live events do not wait for it.
        """
        self.done = 0
        if not records:
            return
        live, last = self._now() - self._grace, records[-1].business_time
        due_through = last if last is not None and last < live else None
        await self.prefetch.have(records, self.business_time, due_through)
        self.freshen()
        again = await self._decided_before(records)
        slice_end = time.monotonic() + _SLICE_SECONDS
        for record in records:
            if again and (record.source, record.offset) in again:
                self._commits.positions.pass_record(record)  # read again after its position was set back: it is decided
                self.done += 1
                continue
            self._pass(record.business_time)
            # Reading began anew knows only the topics; the ledger's own business time never goes back.
            if (instant := self.business_time) is not None:
                record.business_time = instant
                if instant < live and not self.builder.schedule.is_clear(instant):
                    await self._do_due_before(instant, records)
                    if self._flags.is_stopping and not self.builder.schedule.is_clear(instant):
                        self._flags.left_records = True
                        return
            if record.event is not None and self.builder.is_large(record.source.topic, record.event.__dict__):
                await asyncio.to_thread(self._decide_record, record)
            else:
                self._decide_record(record)
            self._commits.keep(record)
            self.done += 1
            if self.batch_is_full:
                await self.cut()
            if time.monotonic() > slice_end:
                await asyncio.sleep(0)
                slice_end = time.monotonic() + _SLICE_SECONDS

    async def _do_due_before(self, instant: datetime, records: Sequence[InputRecord]) -> None:
        """Do the clock work due before the next of these records; then have ready what they ask about, as before."""
        forgotten = self.cache.forgotten
        await self._do_due(instant, None, records[-1].business_time)
        if self.cache.forgotten != forgotten:
            await self.cache.prepare(records[self.done :], (), self.business_time)

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
        open_batch, event = self.builder.open_batch, record.event
        self._commits.count(record)
        seq = open_batch.next_seq
        open_batch.triggers.append(_identity(record))
        if record.rejection is not None or event is None:
            rejection = record.rejection
            if rejection is None:
                raise AssertionError(f"{record.source}: neither an event nor a rejection at {record.offset}")
            open_batch.add(standard_decisions.rejected(record, rejection, seq))
            open_batch.add_letter(standard_decisions.dead_letter(record, rejection, seq))
            open_batch.rejected_with_others += record.count - 1
            return
        topic = record.source.topic
        first = self.cache.first_decisions.on(record.event_key)
        if first is not None:
            decision, conflict = standard_decisions.seen_before(record, event, first, seq)
            open_batch.add(decision)
            if conflict is not None:
                open_batch.add_letter(standard_decisions.dead_letter(record, conflict, seq))
            return
        self.cache.first_decisions.note(seq, record)
        open_batch.batch.seen_events.append(SeenRow(record.event_key, seq))
        if self.parked or self._failing:
            stopped = self.builder.stopped_for(topic, event.__dict__)
            error = self._failing.get(_identity(record))
            if stopped is not None or error is not None:
                self._park(record, stopped, error)
                return
        cause = standard_decisions.input_cause(record)
        try:
            trigger = Received(event, topic, cause, record.business_time, seq)
            decisions = worded(decide_event(self.builder.state, trigger, self._policies, record.value))
        except Exception as failure:
            where = f"{topic}, partition {cause.partition}, offset {cause.offset}, event {event.event_id}"
            raise self.builder.fails(_identity(record), where, failure) from failure
        self.builder.book(decisions)

    # Clock work.

    async def pass_time(self, frontier: datetime | None, *, seconds: float, least_seconds: float | None) -> bool:
        """Let business time pass up to `frontier` and do what became due, for about `seconds`; True when it is done.

        With `least_seconds` no longer than that once the next batch may go.
        """
        self._pass(frontier)
        instant = self.business_time
        if instant is None:
            return True
        self.freshen()
        begun = time.monotonic()
        least = None if least_seconds is None else begun + least_seconds
        return await self._do_due(instant, begun + seconds, least=least)

    async def _do_due(
        self, instant: datetime, until: float | None, soon: datetime | None = None, least: float | None = None
    ) -> bool:
        """Do what is due at or before `instant`, in order, until a monotonic time; True when nothing is left.

        From the time `least` on it also ends when the next batch may go. What it asks about is loaded for many
        appointments together, those due up to `soon` among them.
        """
        slice_end = time.monotonic() + _SLICE_SECONDS
        while True:
            appointment = self.builder.schedule.next_due(instant)
            if appointment is None:
                if self.builder.schedule.knows(instant):
                    return True
                await self.prefetch.see_further()
            elif not self.prefetch.has(appointment):
                await self.prefetch.have_due(instant if soon is None else max(instant, soon), self.business_time)
            elif await self._clock_work.do(appointment, self.business_time):
                self.builder.schedule.done(appointment)
            now = time.monotonic()
            if until is not None and (now > until or (least is not None and now > least and self._may_go)):
                return self.builder.schedule.is_clear(instant)
            if self._flags.is_stopping:
                return False
            if self.batch_is_full:
                await self.cut()
                self._reached("between-chunks")
            if now > slice_end:
                await _give_way(1 if until is None else _TURNS)
                slice_end = time.monotonic() + _SLICE_SECONDS

    @property
    def _may_go(self) -> bool:
        """Whether nothing is in the way of the next batch: neither the one before nor the loading for its records."""
        return not self._commits.is_committing and not self.prefetch.is_loading

    # Parking.

    def _park(self, record: InputRecord, stopped: ParkedKey | None, error: str | None) -> None:
        event = record.event
        if event is None:
            raise AssertionError("only events are parked")
        if stopped is None:
            stopped = self.builder.stopped_by(record.source.topic, event.__dict__)
        else:
            error = None
        seq, cause = self.builder.open_batch.next_seq, standard_decisions.input_cause(record)
        decision = standard_decisions.parked(seq, "first", cause, event, subject_of(event), stopped, error)
        decision.business_time, decision.payload = record.business_time, record.value
        read = Received(event, record.source.topic, cause, record.business_time, seq)
        decision.late_by_seconds = late_by_seconds(self.builder.state, read)
        self.builder.park(decision, stopped, error)

    def _pass(self, instant: datetime | None) -> None:
        if self._flags.clock_is_stopped or instant is None:
            return
        if self.business_time is None or instant > self.business_time:
            self.business_time = self.builder.open_batch.running_time = instant


async def _give_way(turns: int) -> None:
    for _ in range(turns):
        await asyncio.sleep(0)


def _identity(record: InputRecord) -> tuple[TopicPartition, int, int]:
    return record.source, record.incarnation, record.offset
