"""How far the closures of jobs are worked off, as batches recorded it: whoever's spends they settled."""

from collections import deque
from typing import NamedTuple

from worker.domain.model import Closure, JobId
from worker.domain.rules.corrections import SETTLED_ANEW
from worker.domain.state import Changed, State
from worker.proof.recorded import BatchHeader, Recorded, is_of_a_wallet


class _Work(NamedTuple):
    next_seq: int
    closure_seq: int
    settled_through: int
    is_done: bool


class ClosuresWorked:
    """Applies the work on closures in its place between the decisions."""

    def __init__(self) -> None:
        self._open: dict[int, Closure] = {}
        """Closures that are not settled, by the seq of their decision."""
        self._work: deque[_Work] = deque()

    def expect(self, header: BatchHeader) -> None:
        """Take the work that a batch recorded; it is applied when its place comes."""
        for closure_seq, next_seq, settled_through, is_done in header.closures_worked:
            self._work.append(_Work(next_seq, closure_seq, settled_through, bool(is_done)))

    def pass_work(self, seq: int) -> None:
        """Apply the work that was done before a decision."""
        while self._work and self._work[0].next_seq <= seq:
            work = self._work.popleft()
            if (closure := self._open.get(work.closure_seq)) is not None:
                closure.settled_through = max(closure.settled_through, work.settled_through)
                closure.settled = work.is_done
                if work.is_done:
                    del self._open[work.closure_seq]

    def keep(self, changed: Changed) -> None:
        """Keep closures that were just noted."""
        for closure in changed.closures.values():
            if not closure.settled:
                self._open.setdefault(closure.decision_seq, closure)

    def note(self, state: State, recorded: Recorded) -> None:
        """Note what a decision says of its job: that a closure returned something; of older batches also how far it is.

        Those did not store how far a closure is worked off.
        """
        if state.changed.closures:
            self.keep(state.changed)
        row = recorded.row
        if row.job_id is None or not is_of_a_wallet(row):
            return
        job = state.jobs.get(JobId(row.job_id))
        if row.kind == "correction":
            for closure in () if job is None else job.closures:
                gave = closure.decision_seq == row.follows and row.reason == SETTLED_ANEW
                closure.returned_any = closure.returned_any or gave
            return
        if row.outcome != "applied" and not recorded.batch.is_older:
            return  # it says nothing of the closure
        cause = recorded.cause
        spend = None if row.proposal_id is None else state.spends.get(row.proposal_id)
        for closure in () if job is None else job.closures:
            if closure.cause.is_event_of(cause):
                closure.returned_any = closure.returned_any or row.outcome == "applied"
                if recorded.batch.is_older and spend is not None and recorded.is_mine:
                    closure.settled_through = max(closure.settled_through, spend.decision_seq)
