"""Owed against done: the refunds that closures owe by what is known now, and that nobody made.

The rules say what a closure returns. What waits for its grace, or behind a parked wallet or job, is not owed yet.
"""

import heapq
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

import msgspec

from worker.domain.model import Closure, Job, JobId, Spend
from worker.domain.rules.refunds import SETTLEMENT, closing_order, closures_that_return
from worker.ledger.connections import Connection
from worker.ledger.rows import read_closure, read_spend
from worker.ledger.sql import load
from worker.ledger.tables import ClosureRow, SpendRow
from worker.words.operators import refund_owed

_SQL: Final = load("owed.sql")
_ASKING: Final = load("asking.sql")
_JOBS: Final = 500
_SPENDS: Final = 2_000
"""How many jobs, and how many spends on them, are held at a time."""
_LAST_CLOSURES: Final = 500
MOST_SPENDS: Final = 20_000
"""How many open spends are looked at where the answer has to be quick."""


class OwedRefund(msgspec.Struct, frozen=True):
    """Connects that a closure owes for a proposal; `closure_seq` is the decision that recorded the closure.

    `due_at` is when it had to be made, `age_seconds` how far business time is past that. `on_schedule`: the worker has
    it on its schedule and has not come to it.
    """

    freelancer_id: str
    job_id: str
    proposal_id: str
    connects: int
    closure: str
    closed_at: datetime
    closure_seq: int
    closure_event_id: str | None
    due_at: datetime
    age_seconds: float
    on_schedule: bool
    explanation: str


class Owed(msgspec.Struct, frozen=True):
    """What is owed, oldest first, as much of it as was asked for; and figures of all of it.

    `made` counts the proposals that a closure returned, `connects_made` what came back of them. `jobs` were read.
    """

    refunds: int
    connects: int
    oldest_seconds: float | None
    made: int
    connects_made: int
    jobs: int
    business_time: datetime | None
    owed: list[OwedRefund]


class Scope(NamedTuple):
    """What to look at: a job, a freelancer, or the whole ledger; and what was owed for at least so long."""

    job_id: str | None = None
    freelancer_id: str | None = None
    older_than: timedelta = timedelta(0)


class Part(NamedTuple):
    """What some jobs owe, and what came back on them."""

    jobs: int
    owed: list[OwedRefund]
    made: int = 0
    connects_made: int = 0


class Tally:
    """Adds parts up, and keeps the `most` refunds that are owed for longest."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._oldest: list[OwedRefund] = []
        self.refunds = self.connects = self.made = self.connects_made = self.jobs = 0

    def add(self, part: Part) -> None:
        """Count a part."""
        self.refunds += len(part.owed)
        self.connects += sum(one.connects for one in part.owed)
        self.made += part.made
        self.connects_made += part.connects_made
        self.jobs += part.jobs
        self._oldest = heapq.nsmallest(self._most, [*self._oldest, *part.owed], key=_by_age)

    def total(self, business_time: datetime | None) -> Owed:
        """All that was added."""
        oldest = self._oldest[0].age_seconds if self._oldest else None
        figures = (self.refunds, self.connects, oldest, self.made, self.connects_made, self.jobs)
        return Owed(*figures, business_time, self._oldest)


class _Pair(NamedTuple):
    """A closure that returns a spend, and how the schedule names that work."""

    closure: Closure
    spend: Spend

    @property
    def work(self) -> tuple[str, str]:
        """Kind and key of its work in `due`."""
        if self.closure.settled:
            return "late-settlement", f"{self.closure.decision_seq}/{self.spend.proposal_id}"
        return "settlement", str(self.closure.decision_seq)


async def business_time_of(connection: Connection) -> datetime | None:
    """The ledger's business time; None: nothing was read yet."""
    batch = await connection.fetchrow(_ASKING["last_batch"])
    return None if batch is None else batch["business_time"]


async def owed_in_parts(connection: Connection, scope: Scope, at: datetime, grace: timedelta) -> AsyncIterator[Part]:
    """What is owed in a scope at that business time, some jobs at a time, by the history: a change made a refund.

    Each part is read in short transactions of its own. Between them a worker may go on: that makes refunds, and owes
    none at an earlier business time.
    """
    async for jobs in _jobs(connection, scope):
        found = [
            one
            async for one in owed_of_jobs(connection, jobs, at, grace, scope.freelancer_id, by_history=True)
            if one.age_seconds >= scope.older_than.total_seconds()
        ]
        row = await connection.fetchrow(_SQL["came_back"], jobs, scope.freelancer_id)
        yield Part(len(jobs), found, *(row or ()))


async def refunds_not_made(connection: Connection, grace: timedelta) -> AsyncIterator[OwedRefund]:
    """Each refund of the whole ledger that is owed, and that no schedule will make."""
    at = await business_time_of(connection)
    if at is None:
        return
    async for part in owed_in_parts(connection, Scope(), at, grace):
        for one in part.owed:
            if not one.on_schedule:
                yield one


async def owed_lately(connection: Connection, grace: timedelta) -> Owed:
    """What the closures read last owe: a bounded number, so that it is quick on any ledger. By the current state."""
    at = await business_time_of(connection)
    tally = Tally(_LAST_CLOSURES)
    jobs = list({row["job_id"] for row in await connection.fetch(_SQL["jobs_closed_last"], _LAST_CLOSURES)})
    if at is not None and jobs:
        tally.add(
            Part(len(jobs), [one async for one in owed_of_jobs(connection, jobs, at, grace, most_spends=MOST_SPENDS)])
        )
    return tally.total(at)


async def owed_of_jobs(
    connection: Connection,
    jobs: Sequence[str],
    at: datetime,
    grace: timedelta,
    freelancer_id: str | None = None,
    *,
    by_history: bool = False,
    most_spends: int | None = None,
) -> AsyncIterator[OwedRefund]:
    """What the closures of these jobs owe at that business time, in ledger order of the spends.

    With `by_history` what the current state calls returned is owed as well if no change returned it. Ends after about
    `most_spends` (None: all).
    """
    after, rows, read = 0, _SPENDS, 0
    while rows == _SPENDS and (most_spends is None or read < most_spends):
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            known = await _closed_jobs(connection, jobs)
            if not known:
                return
            names = (list(known), after, _SPENDS, by_history, SETTLEMENT, freelancer_id)
            spends = [
                read_spend(SpendRow(*row)) for row in await connection.fetch(_SQL["spends_that_may_be_owed"], *names)
            ]
            for spend in spends:
                if not spend.open_lines:
                    await _as_moved(connection, spend)
            found = await _owed_of(connection, known, spends, at, grace)
        for one in found:
            yield one
        rows, after = len(spends), spends[-1].decision_seq if spends else after
        read += rows


async def _jobs(connection: Connection, scope: Scope) -> AsyncIterator[list[str]]:
    if scope.job_id is not None:
        yield [scope.job_id]
        return
    if scope.freelancer_id is not None:
        names = [row[0] for row in await connection.fetch(_SQL["jobs_of_freelancer"], scope.freelancer_id)]
        for start in range(0, len(names), _JOBS):
            yield names[start : start + _JOBS]
        return
    last = ""
    while rows := await connection.fetch(_SQL["jobs_after"], last, _JOBS):
        yield [row["job_id"] for row in rows]
        last = rows[-1]["job_id"]


async def _closed_jobs(connection: Connection, jobs: Sequence[str]) -> dict[str, Job]:
    known: dict[str, Job] = {}
    for row in await connection.fetch(_SQL["closures_of_jobs"], jobs):
        *closure, first_hired_at = row
        job = known.setdefault(row["job_id"], Job(JobId(row["job_id"]), first_hired_at))
        job.closures.append(read_closure(ClosureRow(*closure)))
    for job in known.values():
        job.closures.sort(key=closing_order)
    return known


async def _as_moved(connection: Connection, spend: Spend) -> None:
    """Have the lines of a spend returned, or not, as the movements say."""
    rows = await connection.fetch(_SQL["lines_by_movements"], spend.freelancer_id, spend.proposal_id)
    net = {row["spend_line"]: row["net"] for row in rows}
    for line in spend.lines:
        line.returned = net.get(line.name, 0) >= 0


async def _owed_of(
    connection: Connection, known: dict[str, Job], spends: Iterable[Spend], at: datetime, grace: timedelta
) -> list[OwedRefund]:
    pairs = [
        _Pair(closure, spend)
        for spend in spends
        for closure in closures_that_return(known[spend.job_id], spend)
        if closure.due_at <= at
    ]
    scheduled = await _scheduled(connection, pairs)
    found: dict[str, OwedRefund] = {}
    for pair in pairs:
        due_at, on_schedule = await _due(connection, pair, scheduled, grace)
        if due_at <= at and pair.spend.proposal_id not in found:
            found[pair.spend.proposal_id] = _refund(pair, due_at, at, on_schedule=on_schedule)
    return list(found.values())


async def _scheduled(connection: Connection, pairs: Sequence[_Pair]) -> dict[tuple[str, str], datetime]:
    if not pairs:
        return {}
    works = [pair.work for pair in pairs]
    kinds, keys = zip(*works, strict=True)
    rows = await connection.fetch(_SQL["scheduled"], kinds, keys)
    return {(row["kind"], row["key"]): row["due_at"] for row in rows}


async def _due(
    connection: Connection, pair: _Pair, scheduled: dict[tuple[str, str], datetime], grace: timedelta
) -> tuple[datetime, bool]:
    """When a closure had to return a spend, and whether that is still on the schedule."""
    closure, spend = pair
    if spend.decision_seq > closure.settled_through and (due_at := scheduled.get(pair.work)) is not None:
        return due_at, True
    if not closure.settled or spend.decision_seq <= closure.settled_through:
        return closure.due_at, False
    read_at = await connection.fetchval(_SQL["read_at"], spend.decision_seq)  # it arrived after the settlement
    return max(closure.due_at, spend.occurred_at + grace, (read_at or spend.occurred_at) + grace), False


def _refund(pair: _Pair, due_at: datetime, at: datetime, *, on_schedule: bool) -> OwedRefund:
    closure, spend = pair
    connects = sum(line.connects for line in spend.open_lines)
    return OwedRefund(
        spend.freelancer_id,
        spend.job_id,
        spend.proposal_id,
        connects,
        closure.kind,
        closure.closed_at,
        closure.decision_seq,
        closure.cause.event_id,
        due_at,
        (at - due_at).total_seconds(),
        on_schedule,
        refund_owed(
            spend.proposal_id, spend.job_id, connects, closure.kind, closure.closed_at, on_schedule=on_schedule
        ),
    )


def _by_age(one: OwedRefund) -> tuple[datetime, str]:
    return (one.due_at, one.proposal_id)
