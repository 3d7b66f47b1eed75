"""The triggers of decisions: an input record, a settlement, an instant of the schedule, a correction."""

from datetime import datetime

import msgspec

from schemas.base import InputEvent
from worker.domain.model import Cause, Closure, Job, Lot, Membership, Spend


class Received(msgspec.Struct, eq=False, gc=False):
    """An event that was read. `seq` is the place in ledger order that its decision gets.

    `business_time` is the instant up to which every input had been seen when it was read (None: not known yet).
    """

    event: InputEvent
    topic: str
    cause: Cause
    business_time: datetime | None
    seq: int

    @property
    def instant(self) -> datetime:
        """The instant at which it counts: its own time, or, if it is late, the business time when it was read."""
        occurred_at = self.event.occurred_at
        return occurred_at if self.business_time is None else max(occurred_at, self.business_time)


class SettlementDue(msgspec.Struct, eq=False, gc=False):
    """One spend on a job whose closure is due; `due_at` is the instant it became due."""

    closure: Closure
    spend: Spend
    due_at: datetime
    seq: int


class ExpiryDue(msgspec.Struct, eq=False):
    """A lot whose time is over, with something remaining; `due_at` is its expiry and the grace."""

    lot: Lot
    due_at: datetime
    seq: int


class CycleDue(msgspec.Struct, eq=False):
    """A membership whose next cycle starts; `due_at` is 00:00 UTC of `next_renewal` and the grace."""

    membership: Membership
    due_at: datetime
    seq: int


class SettleAgain(msgspec.Struct, eq=False):
    """One spend that is settled again, at an instant of business time, by all that is known of its job by then.

    `late_hires`: also what only a late hire or withdrawal makes undue is taken back. `cause` is the command.
    """

    job: Job
    spend: Spend
    late_hires: bool
    instant: datetime
    seq: int
    cause: Cause
