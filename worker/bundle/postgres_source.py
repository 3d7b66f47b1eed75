"""Reading what a bundle holds from a ledger on PostgreSQL, by statements that last no longer than one batch."""

from collections.abc import AsyncGenerator, Iterable, Sequence
from typing import Final

from worker.bundle.export import Begun, Line, export
from worker.bundle.format import Bundle, Subject
from worker.bundle.source import Place
from worker.ledger.connections import Connection
from worker.ledger.place import require_known_revision
from worker.ledger.sql import load
from worker.ledger.tables import BatchRow, PolicyRow
from worker.proof.checks import Progress
from worker.proof.hashed_rows import (
    HashedBatch,
    batch_of_leaf,
    batches_between,
    bounds_of_batch,
    last_batch,
    policies_of,
)
from worker.proof.heads import Head
from worker.proof.reader import PostgresReader
from worker.proof.recorded import JOB_TOPICS
from worker.queries.asking import connected
from worker.queries.explain import explain_event

_ASKING: Final = load("asking.sql")
_AGAIN: Final = load("again.sql")
_PROOF: Final = load("proof.sql")


class PostgresSource:
    """A `Source` on a connection of its own."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.reader = PostgresReader(connection)

    async def last_batch(self) -> BatchRow | None:
        """The last batch; None: nothing was ever written."""
        return await last_batch(self._connection)

    async def batch(self, number: int) -> tuple[BatchRow | None, HashedBatch] | None:
        """A batch with its rows, and the batch before it; None: there is no such batch."""
        bounds = await bounds_of_batch(self._connection, number)
        if bounds is None:
            return None
        async for batch in batches_between(self._connection, bounds):
            return bounds.before, batch
        return None

    async def batch_of_leaf(self, index: int) -> int | None:
        """The batch that appended this leaf of the log, the first batch for the first leaf."""
        row = await batch_of_leaf(self._connection, index)
        return None if row is None else row.batch_no

    async def policies(self) -> list[PolicyRow]:
        """The policy versions that are stored."""
        stored = await policies_of(self._connection, 0, 2**63 - 1)
        return [row for its in stored.values() for row in its]

    async def subject_of(self, event_id: str) -> tuple[Subject, list[int]]:
        """Whom an event is about, and the decisions on it; none: nothing was decided on it."""
        decisions = (await explain_event(self._connection, event_id)).decisions
        of_jobs = any(decision.topic in JOB_TOPICS for decision in decisions)
        names = {name for decision in decisions if (name := decision.subject.get("freelancer_id")) is not None}
        freelancer = names.pop() if len(names) == 1 and not of_jobs else None
        return Subject(freelancer=freelancer, event=event_id), [decision.seq for decision in decisions]

    async def places(self, subject: Subject, through: int) -> list[Place]:
        """The decisions up to a seq that a bundle on this freelancer or job has, in ledger order."""
        if subject.freelancer is None:
            seqs = await self._seqs(_ASKING["seqs_of_job"], subject.job)
            return [place for place in await self.places_of(seqs) if place.seq <= through]
        seqs = await self._seqs(_ASKING["seqs_of_freelancer"], subject.freelancer)
        jobs = await self._seqs(_AGAIN["jobs_spent_on"], seqs)
        seqs += await self._seqs(_AGAIN["seqs_about_jobs"], jobs)
        rows = await self._connection.fetch(_PROOF["places_of_freelancer"], seqs, subject.freelancer, jobs, through)
        return [Place(*row) for row in rows]

    async def places_of(self, seqs: Iterable[int]) -> list[Place]:
        """These decisions, in ledger order."""
        return [Place(*row) for row in await self._connection.fetch(_PROOF["places"], list(seqs))]

    async def batches_that_worked_off(self, closures: Sequence[int]) -> list[int]:
        """The batches that worked off one of these closures, which are named by their decisions."""
        wanted = (",".join(map(str, closures)), 0, 2**63 - 1)
        rows = await self._connection.fetch(_AGAIN["batches_that_worked_off"], *wanted) if closures else []
        return [row["batch_no"] for row in rows]

    async def _seqs(self, statement: str, argument: object) -> list[int]:
        return [row[0] for row in await self._connection.fetch(statement, argument)]


async def export_ledger(
    database_url: str, asked: Subject, since: Head | None, progress: Progress
) -> AsyncGenerator[Begun | Line | Bundle]:
    """What a bundle of the ledger at this address holds (see `export`).

    What the caller does with a line does not concern the connection: its failures are not taken for PostgreSQL's.

    Raises:
        UsageError, OperatorNeeded, Transient: the ledger cannot be read, or there is nothing to export.
    """
    async with connected(database_url) as connection:
        await require_known_revision(connection)
        async for line in export(PostgresSource(connection), asked, since, progress):
            yield line
