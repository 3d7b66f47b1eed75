"""Rows of current state of a ledger in memory."""

from collections.abc import Sequence

from worker.domain.model import ChargeKey, FreelancerId, JobId, ProposalId
from worker.domain.state import Due
from worker.ledger.memory_tables import Tables
from worker.ledger.tables import (
    AwaitingRow,
    ChargeRow,
    ClosureRow,
    HeldRow,
    HireRow,
    LotRow,
    MembershipRow,
    ParkedTriggerRow,
    SpendRow,
)


class MemoryRows:
    """The `StateRows` of tables in memory."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def lots(self, freelancers: Sequence[FreelancerId]) -> list[LotRow]:
        """All lots of these freelancers."""
        return [row for name in freelancers for row in self._tables.lots_of.of(name)]

    async def spends(self, proposals: Sequence[ProposalId]) -> list[SpendRow]:
        """The spends of these proposals."""
        return [row for name in proposals if (row := self._tables.spends.get(name)) is not None]

    async def memberships(self, freelancers: Sequence[FreelancerId]) -> list[MembershipRow]:
        """The memberships of these freelancers."""
        return [row for name in freelancers if (row := self._tables.memberships.get(name)) is not None]

    async def charges(self, keys: Sequence[ChargeKey]) -> list[ChargeRow]:
        """These charges."""
        return [row for key in keys if (row := self._tables.charges.get(key)) is not None]

    async def held(self, freelancers: Sequence[FreelancerId]) -> list[HeldRow]:
        """The events of these freelancers that cannot count yet."""
        return [row for name in freelancers for row in self._tables.held_of.of(name)]

    async def awaiting(self, proposals: Sequence[ProposalId]) -> list[AwaitingRow]:
        """What waits for these proposals."""
        return [row for name in proposals for row in self._tables.awaiting_for.of(name)]

    async def closures(self, jobs: Sequence[JobId]) -> list[ClosureRow]:
        """The closures of these jobs."""
        return [row for job in jobs for row in self._tables.closures_of.of(job)]

    async def hires(self, jobs: Sequence[JobId]) -> list[HireRow]:
        """The first hires of these jobs."""
        return [row for job in jobs if (row := self._tables.hires.get(job)) is not None]

    async def due(self, keys: Sequence[str]) -> list[Due]:
        """The work of the schedule under these keys."""
        return [row for row in self._tables.due if row.key in set(keys)]

    async def parked_triggers(self, seqs: Sequence[int]) -> list[ParkedTriggerRow]:
        """Those of these triggers that wait."""
        return [row for seq in seqs if (row := self._tables.parked_triggers.get(seq)) is not None]
