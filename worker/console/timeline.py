"""The line of time of a proposal or a job: recorded facts only, the oldest first."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Final

import msgspec

from worker.replies.known import Applied, Closing, Hire, Known
from worker.replies.recorded import DecisionRecord
from worker.words.phrases import connects, counted

_ENDED: Final = {
    "closed-by-client": "The client closed the job",
    "removed-by-marketplace": "The marketplace removed the job",
    "expired": "The job expired",
}


class Step(msgspec.Struct, frozen=True):
    """Something that happened, in words; `what` is its kind."""

    at: datetime
    what: str
    words: str


def of_proposal(known: Known) -> list[Step]:
    """The steps of the one proposal that was asked about."""
    if not known.applied:
        return []
    applied = known.applied[0]
    steps = [*_sent(applied), *_of_job(applied.hires, applied.closings, applied.freelancer_id)]
    steps += [step for one in known.about(applied.proposal_id) for step in _decided(one)]
    return _in_order(steps)


def of_job(known: Known) -> list[Step]:
    """The steps of a job: its proposals counted, nobody named."""
    applied = known.applied
    if not applied:
        return []
    first, last = (end(one.spent_at for one in applied) for end in (min, max))
    together = connects(sum(one.spent for one in applied))
    words = f"{counted(len(applied), 'proposal')} with {together}"
    steps = [Step(first, "submitted", f"First of {words}")] if first != last else [Step(first, "submitted", words)]
    if first != last:
        steps.append(Step(last, "submitted", "Last proposal"))
    closings = {(one.closed_at, one.closure): one for each in applied for one in each.closings}
    steps += _of_job(applied[0].hires, list(closings.values()), None)
    for closing in closings.values():
        if closing.settled:
            steps.append(Step(closing.closed_at, "settled", _settled_together(known, closing)))
    return _in_order(steps)


def _settled_together(known: Known, closing: Closing) -> str:
    settlements = [one for one in known.decisions if one.kind == "settlement" and one.occurred_at == closing.closed_at]
    back = sum(change.delta for one in settlements for change in one.changes if change.delta > 0)
    if not back:
        return f"Settled: no Connects came back for {counted(len(settlements), 'proposal')}"
    return f"Settled: {connects(back)} came back for {counted(len(settlements), 'proposal')}"


def _sent(applied: Applied) -> Iterator[Step]:
    free = " from an invitation" if applied.origin == "invite" else ""
    yield Step(applied.spent_at, "submitted", f"Submitted{free} for {connects(applied.base)}")
    if applied.boost:
        yield Step(applied.spent_at, "boosted", f"Boosted with {connects(applied.boost)}")
    if applied.withdrawn_at is not None:
        yield Step(applied.withdrawn_at, "withdrawn", "Withdrawn by the freelancer")


def _of_job(hires: Iterable[Hire], closings: Sequence[Closing], freelancer_id: str | None) -> Iterator[Step]:
    for hire in hires:
        yours = freelancer_id is not None and hire.freelancer_id == freelancer_id
        yield Step(hire.hired_at, "hired", "This freelancer was hired" if yours else "Somebody was hired")
    for closing in closings:
        pending = "" if closing.settled else "; the Connects are decided in a moment"
        yield Step(closing.closed_at, "closed", _ENDED.get(closing.closure, "The job ended") + pending)


def _decided(one: DecisionRecord) -> Iterator[Step]:
    at = one.occurred_at or one.recorded_at
    came = sum(change.delta for change in one.changes if change.delta > 0)
    if one.topic == "boost-outbid" and one.outcome == "applied":
        yield Step(at, "outbid", f"Outbid: {connects(came)} of the boost came back")
    elif one.kind == "correction" and one.outcome == "applied":
        taken = -sum(change.delta for change in one.changes if change.delta < 0)
        words = f"Corrected: {connects(came)} came back" if came else f"Corrected: {connects(taken)} taken back"
        yield Step(at, "corrected", words)
    elif one.kind == "settlement":
        yield Step(at, "settled", f"Settled: {connects(came)} came back" if came else "Settled: nothing came back")


_ORDER: Final = ("submitted", "boosted", "withdrawn", "outbid", "hired", "closed", "settled", "corrected")


def _in_order(steps: Iterable[Step]) -> list[Step]:
    return sorted(steps, key=lambda step: (step.at, _ORDER.index(step.what)))
