"""What the clock has to do next, of a ledger in memory."""

from collections.abc import Collection, Iterator
from datetime import timedelta
from heapq import nsmallest

from worker.domain.model import midnight
from worker.ledger.memory_tables import Tables
from worker.ledger.store import CYCLE, EXPIRY, LATE_SETTLEMENT, LATEST, SETTLEMENT, Appointment


def appointments_in(
    tables: Tables, waiting: Collection[str], limit: int, grace: timedelta, after: Appointment | None
) -> tuple[list[Appointment], Appointment]:
    """The next clock work, without that of the event ids `waiting`, and the place up to which that is all there is.

    Of the work `after` a place, or of all: at most `limit` of each kind, even of one instant.
    """
    found: list[Appointment] = []
    horizon = LATEST
    for work in (*_settlements(tables), _expiries(tables, grace, waiting), _cycles(tables, grace, waiting)):
        some = nsmallest(limit, (one for one in work if after is None or one > after))
        if len(some) == limit:
            horizon = min(horizon, some[-1])
        found += some
    return [one for one in found if one <= horizon], horizon


def _settlements(tables: Tables) -> tuple[list[Appointment], list[Appointment]]:
    """Settlements of closures, and late ones of single proposals."""
    whole, late = [], []
    for due in tables.due:
        seq, _, proposal_id = due.key.partition("/")
        closure = tables.closures_by_seq.rows[int(seq)]
        if due.kind != "late-settlement":
            whole.append(Appointment(due.due_at, SETTLEMENT, "", (), int(seq), closure.job_id))
            continue
        closing = (closure.closed_at, closure.closure)
        late.append(Appointment(due.due_at, LATE_SETTLEMENT, proposal_id, closing, int(seq), closure.job_id))
    return whole, late


def _expiries(tables: Tables, grace: timedelta, waiting: Collection[str]) -> Iterator[Appointment]:
    for row in tables.open_lots.of(key=True):
        if f"expiry:{row.lot_id}" not in waiting:
            yield Appointment(row.expires_at + grace, EXPIRY, row.lot_id, (), 0, row.freelancer_id)


def _cycles(tables: Tables, grace: timedelta, waiting: Collection[str]) -> Iterator[Appointment]:
    for row in tables.memberships:
        day, name = row.next_renewal, row.freelancer_id
        if day is not None and f"cycle:{name}:{day.isoformat()}" not in waiting:
            yield Appointment(midnight(day) + grace, CYCLE, name, (), 0, name)
