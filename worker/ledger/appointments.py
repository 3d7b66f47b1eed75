"""The clock work that the ledger holds, read by index from any place in its order on, a bounded number at a time."""

from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Final

import asyncpg

from worker.domain.model import midnight
from worker.ledger.store import CYCLE, EXPIRY, LATE_SETTLEMENT, LATEST, SETTLEMENT, Appointment

Rows = Callable[..., Awaitable[list[asyncpg.Record]]]
"""Runs a named statement with its arguments."""
_Some = tuple[list[Appointment], bool]
"""Some clock work of one kind, and whether that is all there is of it."""

_NEVER: Final = datetime.min.replace(tzinfo=UTC)
_MOST_CYCLES: Final = 5_000
"""How many cycle starts are read together: live events wait meanwhile, and many more may be due."""


async def read_appointments(
    rows: Rows, limit: int, grace: timedelta, after: Appointment | None
) -> tuple[list[Appointment], Appointment]:
    """The next clock work `after` a place, or of all, and the place up to which that is all there is.

    At most `_MOST_CYCLES` cycle starts, and `limit` of each other kind, even of one instant; of late settlements also
    the others of the last proposal. Expiries and cycle starts are due one grace after their instant.
    """
    found: list[Appointment] = []
    horizon = LATEST
    for read, most in ((_cycles, min(limit, _MOST_CYCLES)), (_settlements, limit), (_late, limit), (_expiries, limit)):
        some, is_all = await read(rows, most, grace, after, horizon.due_at)
        if not is_all:
            horizon = min(horizon, max(some))
        found += some
    return list(_within(found, after, horizon)), horizon


def _within(found: Iterable[Appointment], after: Appointment | None, horizon: Appointment) -> Iterable[Appointment]:
    return (work for work in found if work <= horizon and (after is None or work > after))


async def _cycles(rows: Rows, limit: int, grace: timedelta, after: Appointment | None, _through: datetime) -> _Some:
    due = await rows("due_cycles", limit, *_next_cycle(after, grace))
    found = ((midnight(row["next_renewal"]) + grace, row["freelancer_id"]) for row in due)
    return [Appointment(due_at, CYCLE, name, (), 0, name) for due_at, name in found], len(due) < limit


def _next_cycle(after: Appointment | None, grace: timedelta) -> tuple[date, str]:
    """The cycle starts after a place in the clock's order are those after this day and freelancer."""
    if after is None:
        return date.min, ""
    instant = after.due_at - grace
    day = instant.date()
    if instant > midnight(day) or after.rank > CYCLE:
        return day + timedelta(days=1), ""
    return day, after.key if after.rank == CYCLE else ""


async def _settlements(
    rows: Rows, limit: int, _grace: timedelta, after: Appointment | None, through: datetime
) -> _Some:
    since, at_rank = _start(after, SETTLEMENT)
    due = await rows("due_settlements", since, at_rank.seq if at_rank else 0, through, limit)
    return [Appointment(row["due_at"], SETTLEMENT, "", (), row["seq"], row["job_id"]) for row in due], len(due) < limit


async def _late(rows: Rows, limit: int, _grace: timedelta, after: Appointment | None, through: datetime) -> _Some:
    """Those of one proposal are done in closing order, so they are read together."""
    since, at_rank = _start(after, LATE_SETTLEMENT)
    due = await rows("due_late_settlements", since, at_rank.key if at_rank else "", through, limit)
    is_all = len(due) < limit
    if not is_all:
        due += await rows("due_late_settlements_of", due[-1]["due_at"], due[-1]["proposal_id"])
    if at_rank:
        due += await rows("due_late_settlements_of", at_rank.due_at, at_rank.key)
    found = {
        Appointment(
            row["due_at"],
            LATE_SETTLEMENT,
            row["proposal_id"],
            (row["closed_at"], row["closure"]),
            row["seq"],
            row["job_id"],
        )
        for row in due
    }
    return list(found), is_all


async def _expiries(rows: Rows, limit: int, grace: timedelta, after: Appointment | None, through: datetime) -> _Some:
    since, at_rank = _start(after, EXPIRY)
    earliest = since if since is _NEVER else since - grace
    due = await rows("due_expiries", earliest, at_rank.key if at_rank else "", through - grace, limit)
    found = ((row["expires_at"] + grace, row["lot_id"], row["freelancer_id"]) for row in due)
    expiries = [Appointment(due_at, EXPIRY, lot_id, (), 0, freelancer_id) for due_at, lot_id, freelancer_id in found]
    return expiries, len(due) < limit


def _start(after: Appointment | None, rank: int) -> tuple[datetime, Appointment | None]:
    """From which due instant on work of a rank comes after a place, and the place itself if it is of that rank."""
    if after is None:
        return _NEVER, None
    if after.rank > rank:
        return after.due_at + timedelta(microseconds=1), None
    return after.due_at, after if after.rank == rank else None
