"""Deciding the triggers of a plan, in order: each brings what was planned, or nothing of it is booked."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal, NamedTuple

import msgspec
import structlog

from schemas.base import InputEvent
from schemas.reading import InvalidEvent, read_event
from worker.domain.decide import decide_event, subject_of
from worker.domain.decisions import Decision, Subject
from worker.domain.model import Cause, FreelancerId, JobId
from worker.domain.policy import PolicyBook
from worker.domain.triggers import Received
from worker.engine.batch_builder import LARGE
from worker.engine.correcting import (
    Ordered,
    decide_correction,
    load_for,
    look_up,
    note_booked,
    subject_of_correction,
    with_standing,
)
from worker.engine.decide_loop import DecideLoop
from worker.errors import Transient, WorkerError
from worker.kafka.records import InputRecord, added_record
from worker.ledger.parked import ParkedKey
from worker.ledger.store import Store
from worker.ledger.tables import ReplayedRow, SeenRow
from worker.repair.brought import expected_of
from worker.repair.plan import (
    Added,
    Correction,
    Decide,
    Expected,
    OfADecision,
    Replace,
    Settle,
    Trigger,
    kind_of,
)
from worker.repair.voiding import Refused
from worker.words.explanations import worded
from worker.words.plans import brought_in_words

_log = structlog.get_logger(__name__)

PARKED, AFTER_DEVIATION = "parked", "after-deviation"
_MOST_OF_AN_ERROR: Final = 500
"""How many characters of a failure are kept."""
_encode: Final = msgspec.json.Encoder().encode


class Deviates(WorkerError):
    """A trigger brought something else than was planned: what was decided since the last commit is decided again.

    `number` is the trigger's.
    """

    def __init__(self, number: int, why: str) -> None:
        super().__init__(why)
        self.number = number


class NotBooked(NamedTuple):
    """Why nothing of a trigger is booked, as `ReplayedRow` has it."""

    outcome: Literal["deviated", "left-out"]
    reason: str
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some triggers of a plan, in its order. `deviating` gets those that brought something else than was planned."""

    plan: str
    triggers: Sequence[Trigger]
    cause: Cause
    """The command that carries them: the cause of corrections."""
    give_only: bool
    latest: datetime
    """No event may be dated later."""
    begun: float = field(default_factory=time.monotonic)
    """The monotonic time at which it was begun."""
    deviating: dict[int, NotBooked] = field(default_factory=dict)
    doubtful: set[int] = field(default_factory=set)
    """Those that did so beside others that were decided together with them, or were in a batch that PostgreSQL refused:
    each is decided again, by itself."""

    def doubt(self, number: int) -> None:
        """Decide a trigger by itself before it is said to deviate: others were decided with it."""
        del self.deviating[number]
        self.doubtful.add(number)

    def note_refused(self, triggers: Sequence[object]) -> None:
        """Decide each of the triggers by itself that were in a batch that PostgreSQL refused; one alone is found out.

        Halving that batch does not find it: what live events commit between two parts lets batches grow again.
        """
        if len(triggers) > 1:
            of_plan = ("replay", self.plan)
            self.doubtful.update(one[2] for one in triggers if isinstance(one, tuple) and one[:2] == of_plan)


class Replaying:
    """Decides one chunk in one state. `run` raises `Deviates` when that state must be thrown away: then begin again."""

    def __init__(
        self,
        store: Store,
        loop: DecideLoop,
        policies: PolicyBook,
        chunk: Chunk,
        failing: dict[object, str],
    ) -> None:
        self._store, self._loop, self._policies = store, loop, policies
        self._chunk, self._failing = chunk, failing
        self._behind: dict[tuple[str, str], int] = {}
        """Wallets and jobs of which a trigger was not booked, and the number of the first of these triggers."""
        self._found: dict[int, OfADecision | Refused | Exception] = {}
        """What the ledger says of what corrections correct, of those that were looked up and not decided yet."""
        self.has_more = False
        """Whether there are more triggers without an answer than were prepared."""

    async def prepare(self, most: int) -> list[tuple[Trigger, InputRecord | None]]:
        """Load what the triggers ask about; returns the first of those that have no answer yet, so many at most.

        Those that add an event have it as a record, if it is valid. Corrections of decisions do not count: what they
        ask about is loaded when they are looked up.

        Raises:
            Transient: the database is away.
        """
        chunk, loop = self._chunk, self._loop
        known = await self._store.replayed(chunk.plan, [one.number for one in chunk.triggers])
        unanswered = [one for one in chunk.triggers if one.number not in known]
        loaded = [place for place, one in enumerate(unanswered) if not isinstance(one, OfADecision)]
        self.has_more = len(loaded) > most
        left = [(one, self._record_of(one)) for one in unanswered[: loaded[most] if self.has_more else None]]
        subjects = [_subject(*one) for one in left]
        freelancers = sorted({one.freelancer_id for one in subjects if one.freelancer_id is not None})
        jobs = sorted({one.job_id for one in subjects if one.job_id is not None})
        for row in await self._store.not_replayed(chunk.plan, freelancers, jobs):
            if row.outcome == "deviated" or row.reason == PARKED:
                self._leave_behind(row.number, row.freelancer_id, row.job_id)
        await loop.cache.make_room()
        await loop.cache.prepare([record for _, record in left if record is not None], (), loop.business_time)
        await load_for([one for one, _ in left if not isinstance(one, Added)], loop.cache, loop.business_time)
        return left

    async def run(self, trigger: Trigger, record: InputRecord | None) -> None:
        """Decide one trigger, and write what became of it into the open batch.

        Raises:
            Deviates: it brought something else; `deviating` says what. Nothing of the open batch may be committed.
        """
        not_booked = self._chunk.deviating.get(trigger.number) or self._left_out(trigger, record)
        if not_booked is None:
            await self._book(trigger, record)
            return
        row = self._row(trigger, not_booked, None, record)
        if not_booked.outcome == "deviated" or not_booked.reason == PARKED:
            self._leave_behind(trigger.number, row.freelancer_id, row.job_id)
        self._loop.builder.open_batch.batch.replayed.append(row)

    async def look_up(self, corrections: Sequence[OfADecision]) -> list[OfADecision | Refused | Exception]:
        """Read what the ledger says of what these correct, for `run`; all that has to do with them is to be in it.

        Raises:
            Transient: the database is away.
        """
        found = await look_up(corrections, self._store, self._loop.cache, self._loop.business_time)
        self._found = {one.number: what for one, what in zip(corrections, found, strict=True)}
        return found

    def is_known_to_deviate(self, trigger: Trigger) -> bool:
        """Whether it was decided before, in a state that was thrown away: what is before it should be committed."""
        return trigger.number in self._chunk.deviating

    # What needs no deciding.

    def _record_of(self, trigger: Trigger) -> InputRecord | None:
        """The event that a trigger adds, if it is valid; None for corrections."""
        if not isinstance(trigger, Added):
            return None
        try:
            event = read_event(trigger.topic, trigger.event.encode())
        except InvalidEvent as error:
            self._deviates(trigger, "invalid-event", error.detail)
            return None
        if event.event_id != trigger.event_id:
            self._deviates(trigger, "invalid-event", f"the plan names event {trigger.event_id}")
            return None
        if event.occurred_at > self._chunk.latest:
            self._deviates(trigger, "occurred-in-the-future", f"it is dated {event.occurred_at.isoformat()}")
            return None
        return added_record(trigger.topic, trigger.event.encode(), event, self._loop.business_time)

    def _left_out(self, trigger: Trigger, record: InputRecord | None) -> NotBooked | None:
        if record is not None and (first := self._loop.cache.first_decisions.on(record.event_key)) is not None:
            return NotBooked("left-out", "already-decided", f"the event id was decided as decision {first.seq}")
        if (failure := self._failing.pop(_identity(self._chunk, trigger), None)) is not None:
            self._deviates(trigger, "refused-by-postgresql", failure)
            return self._chunk.deviating[trigger.number]
        subject = _subject(trigger, record)
        if (key := self._stopped_for(trigger, record, subject)) is not None:
            return NotBooked("left-out", PARKED, f"the {key.scope} {key.key} is parked")
        for key_of in _keys(subject.freelancer_id, subject.job_id):
            if (earlier := self._behind.get(key_of, trigger.number)) < trigger.number:
                words = f"trigger {earlier} of the same {key_of[0]} was not booked"
                return NotBooked("left-out", AFTER_DEVIATION, words)
        if self._chunk.give_only and trigger.expected.takes:
            return NotBooked("left-out", "takes", brought_in_words(trigger.expected))
        return None

    def _stopped_for(self, trigger: Trigger, record: InputRecord | None, subject: Subject) -> ParkedKey | None:
        """The parked wallet or job that it would have to wait behind."""
        if record is not None:
            return self._loop.builder.stopped_for(trigger.topic, _event_of(record).__dict__)
        return self._loop.builder.stopped_of(subject)

    # Deciding.

    async def _book(self, trigger: Trigger, record: InputRecord | None) -> None:
        loop = self._loop
        open_batch = loop.builder.open_batch
        seq = open_batch.next_seq
        try:
            if isinstance(trigger, Added):
                decisions = await self._decide_added(trigger, record, seq)
            else:
                trigger, decisions = await self._correct(trigger, seq)
        except (Deviates, Transient):
            raise
        except Exception as failure:
            _log.exception("replay.failed", plan=self._chunk.plan, trigger=trigger.number, topic=trigger.topic)
            words = f"{type(failure).__name__}: {failure}"[:_MOST_OF_AN_ERROR]
            raise self._deviates(trigger, "failure-in-rule", words) from failure
        if (brought := expected_of(decisions)) != trigger.expected:
            raise self._deviates(trigger, _what_differs(brought, trigger.expected), _differ(brought, trigger.expected))
        if isinstance(trigger, Settle) and (corrected := self._event_corrected(trigger, decisions[0])) is not None:
            words = f"it would correct {corrected}; planned was event {trigger.corrects[0]} of {trigger.topic}"
            raise self._deviates(trigger, "other-outcome", words)
        open_batch.triggers.append(_identity(self._chunk, trigger))
        open_batch.batch.replayed.append(self._row(trigger, None, seq, record))
        if record is not None:
            open_batch.batch.seen_events.append(SeenRow(record.event_key, seq))
            loop.cache.first_decisions.note(seq, record)
        loop.builder.book(decisions)
        if not isinstance(trigger, Added):
            note_booked(loop, trigger, decisions[0])

    def _event_corrected(self, trigger: Settle, decision: Decision) -> str | None:
        """The event that a settle corrects now, in words, if it is another one than was planned."""
        for closure in self._loop.builder.state.jobs[JobId(trigger.job_id)].closures:
            if closure.decision_seq == decision.follows:
                event_id = closure.cause.event_id
                return None if event_id in trigger.corrects else f"event {event_id} of job-closed"
        return None if trigger.topic == "proposal-submitted" else f"proposal {trigger.proposal_id}"

    async def _decide_added(self, trigger: Added, record: InputRecord | None, seq: int) -> list[Decision]:
        if record is None:
            raise AssertionError("an event that is not valid deviates")
        builder, event = self._loop.builder, _event_of(record)
        cause = Cause(trigger.topic, event.event_id, added=seq)
        received = Received(event, trigger.topic, cause, self._loop.business_time, seq)

        def decide() -> list[Decision]:
            return worded(decide_event(builder.state, received, self._policies, record.value))

        return await _in_thread_if(decide, is_large=builder.is_large(trigger.topic, event.__dict__))

    async def _correct(self, trigger: Correction, seq: int) -> tuple[Correction, list[Decision]]:
        """Decide a correction; returns it with what the ledger said of what it corrects."""
        loop = self._loop
        builder, instant = loop.builder, loop.business_time
        if instant is None:
            raise AssertionError("nothing was decided yet that could be corrected")
        if isinstance(trigger, OfADecision):
            trigger = self._with_found(trigger)
        elif isinstance(trigger, Decide):
            trigger = await with_standing(trigger, self._store)

        def decide() -> list[Decision]:
            ordered = Ordered(instant, seq, self._chunk.cause, _encode(trigger))
            return worded(decide_correction(builder.state, trigger, ordered, self._policies))

        size = builder.size_of(FreelancerId(trigger.freelancer_id))
        return trigger, await _in_thread_if(decide, is_large=size > LARGE)

    def _with_found(self, trigger: OfADecision) -> OfADecision:
        found = self._found.pop(trigger.number)
        if isinstance(found, Exception):
            raise found
        if isinstance(found, Refused):
            done = {"void": "voided", "replace": "replaced", "undo": "undone"}[kind_of(trigger)]
            raise self._deviates(trigger, "other-outcome", f"it cannot be {done}: {found.why}")
        if isinstance(found, Replace):
            occurred_at = read_event(found.topic, found.event.encode()).occurred_at
            if occurred_at > self._chunk.latest:
                raise self._deviates(trigger, "occurred-in-the-future", f"it is dated {occurred_at.isoformat()}")
            self._require_same_closings(found)
        return found

    def _require_same_closings(self, replace: Replace) -> None:
        """Refuse to move a proposal past a closing, or before one, that no trigger of the plan settles it again by.

        Raises:
            Deviates: a closing of its job became due since the plan was made.
        """
        instant = self._loop.business_time
        if replace.closings is None or instant is None:
            return
        due = self._loop.builder.state.jobs[JobId(replace.job_id or "")].closings_due(instant)
        if due != replace.closings:
            words = f"job {replace.job_id} was closed since the plan was made, so its proposal has to be settled again"
            raise self._deviates(replace, "other-outcome", words)

    def _deviates(self, trigger: Trigger, reason: str, detail: str) -> Deviates:
        """Note that nothing of a trigger is to be booked, and why; returns what to raise if it was decided."""
        self._chunk.deviating[trigger.number] = NotBooked("deviated", reason, detail)
        return Deviates(trigger.number, f"trigger {trigger.number} of plan {self._chunk.plan}: {reason}")

    def _row(
        self, trigger: Trigger, not_booked: NotBooked | None, seq: int | None, record: InputRecord | None
    ) -> ReplayedRow:
        subject = _subject(trigger, record)
        outcome: Literal["booked", "deviated", "left-out"] = "booked"
        reason, detail = trigger.expected.reason, None
        if not_booked is not None:
            outcome, reason, detail = not_booked
        return ReplayedRow(
            self._chunk.plan,
            trigger.number,
            kind_of(trigger),
            outcome,
            reason,
            detail,
            seq,
            trigger.topic,
            trigger.event_id if isinstance(trigger, Added) else trigger.corrects[0],
            subject.freelancer_id,
            subject.job_id,
            trigger.source,
            trigger.line,
        )

    def _leave_behind(self, number: int, freelancer_id: FreelancerId | None, job_id: JobId | None) -> None:
        for key in _keys(freelancer_id, job_id):
            self._behind[key] = min(number, self._behind.get(key, number))


def _event_of(record: InputRecord) -> InputEvent:
    if record.event is None:
        raise AssertionError("only valid events are added")
    return record.event


def _subject(trigger: Trigger, record: InputRecord | None) -> Subject:
    """Whom and what a trigger is about; nobody, if the event that it adds is not valid."""
    if not isinstance(trigger, Added):
        return subject_of_correction(trigger)
    return Subject() if record is None else subject_of(_event_of(record))


async def _in_thread_if(decide: Callable[[], list[Decision]], *, is_large: bool) -> list[Decision]:
    """Decide beside the event loop what may take long."""
    return await asyncio.to_thread(decide) if is_large else decide()


def _identity(chunk: Chunk, trigger: Trigger) -> tuple[str, str, int]:
    """How a trigger is named among those that PostgreSQL refuses."""
    return "replay", chunk.plan, trigger.number


def _keys(freelancer_id: FreelancerId | None, job_id: JobId | None) -> list[tuple[str, str]]:
    named = (("wallet", freelancer_id), ("job", job_id))
    return [(scope, key) for scope, key in named if key is not None]


def _what_differs(brought: Expected, expected: Expected) -> str:
    """Which part of what was planned it is that differs."""
    return (
        "other-outcome" if (brought.outcome, brought.reason) != (expected.outcome, expected.reason) else "other-amounts"
    )


def _differ(brought: Expected, expected: Expected) -> str:
    return f"it would bring {brought_in_words(brought)}; planned was {brought_in_words(expected)}"
