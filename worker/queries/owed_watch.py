"""How many refunds are owed, for a worker's metrics: a bounded number of closures a time, on and on.

Three groups are looked at each time: jobs that owed something before, closures that have become due since, and the next
closures of a walk through all there are. What is lost from an old closure is found when the walk comes by.
"""

from datetime import datetime, timedelta
from typing import Final, NamedTuple

from worker.ledger.connections import Connection
from worker.ledger.sql import load
from worker.queries.owed import MOST_SPENDS, OwedRefund, business_time_of, owed_of_jobs

_SQL: Final = load("owed.sql")
_CLOSURES: Final = 200
"""How many closures of each group are looked at each time."""
_MOST_KEPT: Final = 200
"""How many jobs that owe something are looked at again each time."""
_BEFORE_THE_END: Final = 1_000
"""How many closures before the last one the following begins: those of which some may not be settled yet."""


class OwedFigures(NamedTuple):
    """Refunds that are owed, of what was looked at, and how many seconds of business time the oldest has been due."""

    refunds: int
    oldest_seconds: float


class OwedWatch:
    """Of one leadership."""

    def __init__(self, grace: timedelta) -> None:
        self._grace = grace
        self._followed: int | None = None
        """The decision of the last closure that was seen when it had become due; None: not begun."""
        self._walked = 0
        self._owing: list[str] = []
        """Jobs that owe something, as far as they are looked at again."""

    async def sample(self, connection: Connection) -> OwedFigures:
        """Look at the next closures."""
        at = await business_time_of(connection)
        if at is None:
            return OwedFigures(0, 0.0)
        jobs = {*self._owing, *await self._follow(connection, at), *await self._walk(connection, at)}
        names = (connection, sorted(jobs), at, self._grace)
        found = [one async for one in owed_of_jobs(*names, most_spends=MOST_SPENDS)]
        self._owing = _owing(found)
        return OwedFigures(len(found), max((one.age_seconds for one in found), default=0.0))

    async def _follow(self, connection: Connection, at: datetime) -> list[str]:
        """The jobs of closures that became due since the last time; those not due yet are looked at then."""
        if self._followed is None:
            self._followed = await connection.fetchval(_SQL["closure_before_the_end"], _BEFORE_THE_END) or 0
        jobs: list[str] = []
        for row in await connection.fetch(_SQL["jobs_due_after"], self._followed, _CLOSURES, at):
            if not row["is_due"]:
                break
            self._followed = row["decision_seq"]
            jobs.append(row["job_id"])
        return jobs

    async def _walk(self, connection: Connection, at: datetime) -> list[str]:
        rows = await connection.fetch(_SQL["jobs_due_after"], self._walked, _CLOSURES, at)
        self._walked = rows[-1]["decision_seq"] if len(rows) == _CLOSURES else 0
        return [row["job_id"] for row in rows]


def _owing(found: list[OwedRefund]) -> list[str]:
    """The jobs that owe, those that have for longest first."""
    in_order = sorted(found, key=lambda one: one.due_at)
    return list(dict.fromkeys(one.job_id for one in in_order))[:_MOST_KEPT]
