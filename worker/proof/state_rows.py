"""Rows of current state on PostgreSQL. Within a transaction they are of one instant."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from worker.domain.model import ChargeKey, FreelancerId, JobId, ProposalId
from worker.domain.state import Due
from worker.ledger.connections import Connection
from worker.ledger.sql import load
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

_SQL: Final = {**load("store.sql"), **load("state.sql")}
_ALL: Final = datetime.min.replace(tzinfo=UTC)


class PostgresRows:
    """The `StateRows` of a connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def lots(self, freelancers: Sequence[FreelancerId]) -> list[LotRow]:
        """All lots of these freelancers."""
        return [*map(LotRow._make, await self._rows("lots", freelancers, _ALL))]

    async def spends(self, proposals: Sequence[ProposalId]) -> list[SpendRow]:
        """The spends of these proposals."""
        return [*map(SpendRow._make, await self._rows("spends", proposals))]

    async def memberships(self, freelancers: Sequence[FreelancerId]) -> list[MembershipRow]:
        """The memberships of these freelancers."""
        return [*map(MembershipRow._make, await self._rows("memberships", freelancers))]

    async def charges(self, keys: Sequence[ChargeKey]) -> list[ChargeRow]:
        """These charges."""
        ids = ",".join(key.charge_id for key in keys)
        return [*map(ChargeRow._make, await self._rows("charges", (key.freelancer_id for key in keys), ids))]

    async def held(self, freelancers: Sequence[FreelancerId]) -> list[HeldRow]:
        """The events of these freelancers that cannot count yet."""
        return [*map(HeldRow._make, await self._rows("held_of", freelancers))]

    async def awaiting(self, proposals: Sequence[ProposalId]) -> list[AwaitingRow]:
        """What waits for these proposals."""
        return [*map(AwaitingRow._make, await self._rows("awaiting_of", proposals))]

    async def closures(self, jobs: Sequence[JobId]) -> list[ClosureRow]:
        """The closures of these jobs."""
        return [*map(ClosureRow._make, await self._rows("closures", jobs))]

    async def hires(self, jobs: Sequence[JobId]) -> list[HireRow]:
        """The first hires of these jobs."""
        return [*map(HireRow._make, await self._rows("hires", jobs))]

    async def due(self, keys: Sequence[str]) -> list[Due]:
        """The work of the schedule under these keys."""
        return [*map(Due._make, await self._rows("due_of", keys))]

    async def parked_triggers(self, seqs: Sequence[int]) -> list[ParkedTriggerRow]:
        """Those of these triggers that wait."""
        rows = await self._connection.fetch(_SQL["parked_triggers_of"], list(seqs))
        return [*map(ParkedTriggerRow._make, rows)]

    async def _rows(self, statement: str, ids: Iterable[str], *arguments: object) -> list[Any]:
        return list(await self._connection.fetch(_SQL[statement], ",".join(ids), *arguments))
