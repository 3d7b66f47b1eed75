"""A worker with a fault: it passes some spends over when it settles a job, and takes the job for settled."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime

from worker.domain.model import Closure, Job, Spend
from worker.domain.state import State
from worker.engine.clock_work import ClockWork

PassesOver = Callable[[Spend, Job, State], bool]
"""Whether the fault passes a spend of that job over."""


def pass_over(passes_over: PassesOver) -> Callable[[], None]:
    """Have all workers of this process pass spends over; returns what ends that."""
    as_it_is = ClockWork._settle_now  # noqa: SLF001 - there is no other place where one spend may be passed over

    def faulty(self: ClockWork, closure: Closure, spend: Spend, due_at: datetime) -> None:
        state = self._builder.state
        # A late spend has a row of its own on the schedule: without it and without a decision `verify` finds the row.
        if closure.settled or not passes_over(spend, state.jobs[spend.job_id], state):
            as_it_is(self, closure, spend, due_at)

    ClockWork._settle_now = faulty  # type: ignore[method-assign]  # noqa: SLF001

    def end() -> None:
        ClockWork._settle_now = as_it_is  # type: ignore[method-assign]  # noqa: SLF001

    return end


@contextmanager
def passing_over(passes_over: PassesOver) -> Iterator[None]:
    """The same for as long as the context lasts."""
    end = pass_over(passes_over)
    try:
        yield
    finally:
        end()


def of_a_job_with_a_withdrawn_proposal(_spend: Spend, job: Job, state: State) -> bool:
    """A fault about jobs of which a proposal was withdrawn, as far as those are in memory."""
    spends = (state.spends.get(name) for name in job.proposal_ids)
    return any(spend is not None and spend.withdrawn_at is not None for spend in spends)
