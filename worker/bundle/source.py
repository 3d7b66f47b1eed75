"""Where a bundle's content comes from: a ledger whose batches, decisions and proofs are read bit by bit."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

from worker.bundle.format import Subject
from worker.ledger.tables import BatchRow, PolicyRow
from worker.proof.hashed_rows import HashedBatch
from worker.proof.parts import Reader


class Place(NamedTuple):
    """A decision's place in ledger order, and its batch."""

    seq: int
    batch_no: int


class Source(Protocol):
    """Reads a ledger. Every method raises Transient while it cannot be reached."""

    @property
    def reader(self) -> Reader:
        """For whatever deciding again looks up."""
        ...

    async def last_batch(self) -> BatchRow | None:
        """The last batch; None: nothing was ever written."""
        ...

    async def batch(self, number: int) -> tuple[BatchRow | None, HashedBatch] | None:
        """A batch with its rows, and the batch before it; None: there is no such batch."""
        ...

    async def batch_of_leaf(self, index: int) -> int | None:
        """The batch that appended this leaf of the log, the first batch for the first leaf."""
        ...

    async def policies(self) -> list[PolicyRow]:
        """The policy versions that are stored."""
        ...

    async def subject_of(self, event_id: str) -> tuple[Subject, list[int]]:
        """Whom an event is about, and the decisions on it; none: nothing was decided on it."""
        ...

    async def places(self, subject: Subject, through: int) -> list[Place]:
        """The decisions up to a seq that a bundle on this freelancer or job has, in ledger order.

        Of a freelancer: those that name them or changed their wallet, and the closures and hires of jobs that they
        spent on. Of a job: those that name it.
        """
        ...

    async def places_of(self, seqs: Iterable[int]) -> list[Place]:
        """These decisions, in ledger order."""
        ...

    async def batches_that_worked_off(self, closures: Sequence[int]) -> list[int]:
        """The batches that worked off one of these closures, which are named by their decisions."""
        ...
