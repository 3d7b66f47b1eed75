"""Deciding corrections: the triggers of a plan that no event caused, on the wallets and jobs as they are now."""

import asyncio
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple, TypeVar

import msgspec

from schemas.reading import read_event
from worker.domain.decide import (
    decide_amendment,
    decide_replace,
    decide_settling_again,
    decide_undo,
    decide_void,
)
from worker.domain.decisions import Decision, Subject
from worker.domain.model import Cause, FreelancerId, JobId, ProposalId
from worker.domain.policy import PolicyBook
from worker.domain.rules.replaces import ToReplace
from worker.domain.rules.undone import ToUndo, UndoneAdd, UndoneReplacement, UndoneSpendVoid
from worker.domain.rules.voids import ToVoid
from worker.domain.state import State
from worker.domain.triggers import Received, SettleAgain
from worker.engine.batches import Batches
from worker.engine.decide_loop import DecideLoop
from worker.engine.loading.cache import Cache
from worker.errors import Transient
from worker.ledger.parked import ParkedKey
from worker.ledger.store import Past, Store
from worker.repair.plan import Correction, Decide, OfADecision, Replace, Settle, Undo, Void
from worker.repair.replacing import read_to_replace
from worker.repair.undoing import read_to_undo
from worker.repair.voiding import Refused, expired_of, read_to_void
from worker.words.explanations import worded

_encode: Final = msgspec.json.Encoder().encode
Found = TypeVar("Found")


async def load_for(corrections: Sequence[Correction], cache: Cache, business_time: datetime | None) -> None:
    """Have in memory what these corrections ask about: their wallets, jobs and spends, with the lots that these drew.

    Raises:
        Transient: the database is away.
    """
    settled = [one for one in corrections if isinstance(one, Settle)]
    jobs = {JobId(one.job_id): None for one in settled}
    spends = {ProposalId(one.proposal_id): None for one in settled}
    wallets = {FreelancerId(one.freelancer_id): None for one in corrections if not isinstance(one, OfADecision)}
    await cache.load_wallets(wallets, business_time)
    await cache.load_jobs(jobs)
    await cache.load_whole_spends(spends, business_time)


async def look_up(
    corrections: Sequence[OfADecision], store: Store, cache: Cache, business_time: datetime | None
) -> list[OfADecision | Refused | Exception]:
    """Corrections of decisions, each with what the ledger says of its decision now, or why it may not be.

    Then what deciding them asks about is in memory. An exception is the failure of looking that one up.

    Raises:
        Transient: the database is away.
    """
    past = store.together()
    found = await _gathered(_look_up(one, past) for one in corrections)
    known = [one.found for one in found if isinstance(one, OfADecision)]
    asked = (one.what if isinstance(one, ToReplace) else one for one in known if one is not None)
    await cache.load_to_correct(asked, business_time)
    return found


async def look_ahead(
    corrections: Sequence[Correction], store: Store, cache: Cache, business_time: datetime | None
) -> None:
    """Have read together what these corrections ask about, by a store that keeps what it read. No answer is used yet.

    For what one of them books may change what another one finds: each asks again when its turn comes.

    Raises:
        Transient: the database is away.
    """
    await look_up([one for one in corrections if isinstance(one, OfADecision)], store, cache, business_time)
    await load_for(corrections, cache, business_time)
    past, state = store.together(), cache.state
    amended = [one for one in corrections if isinstance(one, Decide)]
    await _gathered(with_standing(one, past) for one in amended)
    settled = [ProposalId(one.proposal_id) for one in corrections if isinstance(one, Settle)]
    spends = [state.spends[name] for name in settled if name in state.spends]
    jobs = dict.fromkeys(spend.job_id for spend in spends)
    closed = (closure.decision_seq for job_id in jobs for closure in state.jobs[job_id].closures)
    made = (*(one.what.seq for one in amended), *(spend.decision_seq for spend in spends), *closed)
    await past.first_decisions(list(made))  # one of them is named as what is corrected


async def _gathered(asking: Iterable[Coroutine[Any, Any, Found]]) -> list[Found | Exception]:
    """What each of these is told, or the failure of telling it.

    Raises:
        Transient: the database is away.
    """
    found = await asyncio.gather(*asking, return_exceptions=True)
    for one in found:
        if isinstance(one, BaseException) and (isinstance(one, Transient) or not isinstance(one, Exception)):
            raise one
    return [one for one in found if not isinstance(one, BaseException) or isinstance(one, Exception)]


async def _look_up(correction: OfADecision, past: Past) -> OfADecision | Refused:
    found: ToVoid | ToReplace | ToUndo | Refused
    if isinstance(correction, Undo):
        found = await read_to_undo(past, correction.seq)
    elif isinstance(correction, Replace):
        found = await read_to_replace(past, correction.seq, correction.event.encode())
    else:
        found = await read_to_void(past, correction.seq)
    return found if isinstance(found, Refused) else msgspec.structs.replace(correction, found=found)


async def with_standing(correction: Decide, past: Past) -> Decide:
    """The correction of an amount with what stands now; corrections of the same decision have to be in the ledger.

    Raises:
        Transient: the database is away.
    """
    what = correction.what
    standing = await past.standing(what.seq, what.proposal_id)
    if standing.less(what) > 0 and not standing.is_over:
        standing = msgspec.structs.replace(standing, expired=await expired_of(past, what.seq, what.freelancer_id))
    return msgspec.structs.replace(correction, standing=standing)


def may_concern(correction: Decide, before: Sequence[Correction]) -> bool:
    """Whether what stands for its decision may be another since one of these, which are not in the ledger yet."""
    seq = correction.what.seq
    return any(isinstance(one, Decide) and one.what.seq == seq for one in before)


def subject_of_correction(correction: Correction) -> Subject:
    """The freelancer, job and proposal that a correction names."""
    job_id = None if correction.job_id is None else JobId(correction.job_id)
    proposal_id = None if correction.proposal_id is None else ProposalId(correction.proposal_id)
    freelancer_id = FreelancerId(correction.freelancer_id) if correction.freelancer_id else None  # of a closure or hire
    return Subject(freelancer_id, job_id, proposal_id)


class Ordered(NamedTuple):
    """When and where a correction is decided: an instant of business time, its place in ledger order, the command.

    `payload` is the trigger as JSON, from which it can be decided again.
    """

    instant: datetime
    seq: int
    cause: Cause
    payload: bytes


def decide_correction(state: State, correction: Correction, ordered: Ordered, policies: PolicyBook) -> list[Decision]:
    """Decide a correction; the list has its decision, then those of what had waited for it."""
    decision = _decision_of(state, correction, ordered, policies)
    decision.payload, decision.corrects = ordered.payload, correction.corrects
    return [decision]


def _decision_of(state: State, correction: Correction, ordered: Ordered, policies: PolicyBook) -> Decision:
    at, seq, cause, _ = ordered
    if isinstance(correction, Settle):
        spend = state.spends[ProposalId(correction.proposal_id)]
        due = SettleAgain(state.jobs[spend.job_id], spend, correction.late_hires, at, seq, cause)
        return decide_settling_again(state, due, policies)
    if isinstance(correction, Decide):
        if correction.standing is None:
            raise AssertionError("what stands for the decision was not read")
        return decide_amendment(state, correction.what, correction.standing, at, seq, cause, policies)
    if correction.found is None:
        raise AssertionError("what the ledger says of the decision was not read")
    if isinstance(correction, Undo):
        return decide_undo(state, correction.found, at, seq, cause, policies)
    if isinstance(correction, Void):
        return decide_void(state, correction.found, at, seq, cause, policies)
    right = Received(read_event(correction.topic, correction.event.encode()), correction.topic, cause, at, seq)
    return decide_replace(state, correction.found.what, right, at, policies)


class NotTried(NamedTuple):
    """A correction that was not decided: the wallet or job that is parked, or the failure of its rule."""

    parked: ParkedKey | None
    failure: str | None


Result = Literal["booked", "nothing-to-do"] | NotTried | Refused


def note_booked(loop: DecideLoop, correction: Correction, decision: Decision) -> None:
    """Let the rest of the engine know of a correction that was just booked."""
    if decision.outcome != "applied":
        return
    if isinstance(correction, Void) and correction.found is not None:
        if not correction.found.is_of_proposal:  # of these nothing is on the schedule
            loop.note_void(decision)
    elif isinstance(correction, Replace):
        loop.note_moved(decision)
        loop.note_replaced(correction.topic, correction.corrects[0], decision.seq, correction.event)
    elif isinstance(correction, Undo) and correction.found is not None:
        if isinstance(correction.found.what, UndoneAdd):
            loop.note_void(decision)
        elif isinstance(correction.found.what, UndoneSpendVoid):
            loop.note_restored()
        elif isinstance(correction.found.what, UndoneReplacement):
            loop.note_replaced(correction.topic, correction.corrects[0], decision.seq, correction.found.what.event)


class Trying:
    """Decides corrections that a plan may have, in one state: those that book something go into the open batch.

    Each `run` ends with a result by number, which no two corrections share, or raises Bug when the state must be thrown
    away. Then begin again with the same results: what is booked by then books nothing again.
    """

    def __init__(self, loop: DecideLoop, store: Store, policies: PolicyBook, failing: Mapping[object, str]) -> None:
        self._loop, self._store, self._policies, self._failing = loop, store, policies, failing

    async def run_all(
        self, corrections: Sequence[Correction], cause: Cause, results: dict[int, Result], batches: Batches
    ) -> None:
        """Decide these in order, into as many batches as that takes. What one did is in the ledger for those after it.

        Raises:
            Bug: the rule of one failed.
            BatchRefused, Transient: of a batch.
        """
        before = list[Correction]()
        await self._loop.cache.make_room()
        await load_for(corrections, self._loop.cache, self._loop.business_time)
        for correction in corrections:
            if self._loop.batch_is_full:
                await batches.cut()
            if isinstance(correction, OfADecision):  # others read there what it did
                await batches.commit_all()
            if isinstance(correction, Decide) and may_concern(correction, before):
                await batches.commit_all()
                before.clear()
            before.append(correction)
            await self.run(correction, cause, results)
            if isinstance(correction, OfADecision):
                await batches.commit_all()

    async def run(self, correction: Correction, cause: Cause, results: dict[int, Result]) -> None:
        """Decide one, unless its wallet or job is parked.

        Raises:
            Bug: its rule failed.
            Transient: the database is away.
        """
        builder, instant = self._loop.builder, self._loop.business_time
        subject, identity = subject_of_correction(correction), ("correction", correction.number)
        if (stopped := builder.stopped_of(subject)) is not None:
            results[correction.number] = NotTried(stopped, None)
            return
        if (failure := self._failing.get(identity)) is not None:
            results[correction.number] = NotTried(None, failure)
            return
        if instant is None:
            raise AssertionError("nothing was decided yet that could be corrected")
        if isinstance(correction, OfADecision):
            (found,) = await look_up([correction], self._store, self._loop.cache, instant)
            if isinstance(found, Exception):
                raise found
            if isinstance(found, Refused):
                results[correction.number] = found
                return
            correction = found
        elif isinstance(correction, Decide):
            correction = await with_standing(correction, self._store)
        ordered = Ordered(instant, builder.open_batch.next_seq, cause, b"")
        try:
            decisions = worded(decide_correction(builder.state, correction, ordered, self._policies))
        except Exception as error:
            raise builder.fails(
                identity, f"correction {correction.number} of {subject.freelancer_id}", error
            ) from error
        if decisions[0].outcome != "applied":
            results.setdefault(correction.number, "nothing-to-do")
            return
        await self._name_corrected(correction, decisions[0])
        builder.open_batch.triggers.append(identity)
        builder.book(decisions)
        note_booked(self._loop, correction, decisions[0])
        results[correction.number] = "booked"

    async def _name_corrected(self, correction: Correction, decision: Decision) -> None:
        """Have the decision keep the trigger, with the event that it corrects."""
        if isinstance(correction, Undo):  # it follows a correction, and names the event that this corrected
            subject = decision.subject
            trigger: Correction = msgspec.structs.replace(
                correction, job_id=subject.job_id, proposal_id=subject.proposal_id
            )
            decision.payload, decision.corrects = _encode(trigger), correction.corrects
            return
        seq = decision.follows or 0
        corrected = (await self._store.first_decisions([seq]))[seq]
        event_id = corrected.event_id or ""
        trigger = msgspec.structs.replace(correction, topic=corrected.topic or "", corrects=[event_id])
        decision.payload, decision.corrects = _encode(trigger), [event_id]
