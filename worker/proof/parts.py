"""Parts of a ledger: the freelancers whose hash is one of several values, and what else a pass over them reads."""

from collections.abc import AsyncIterator, Iterable, Sequence
from typing import NamedTuple, Protocol

import msgspec

from worker.domain.model import Charge, ChargeKey, FreelancerId, Grant, JobId, Lot, LotId, ProposalId, Spend
from worker.ledger.store import FirstDecision
from worker.proof.recorded import BatchHeader, Recorded


class Part(NamedTuple):
    """The freelancers (and jobs, for closures and hires) whose hash modulo `of` is `number`; or just one of them."""

    number: int = 0
    of: int = 1
    freelancer: FreelancerId | None = None
    job: JobId | None = None

    @property
    def is_whole(self) -> bool:
        """Whether it is all of the ledger."""
        return self.of == 1 and self.freelancer is None and self.job is None


class Chunk(msgspec.Struct):
    """Some decisions in ledger order, and the headers of all batches that begin among them, also of empty ones."""

    decisions: list[Recorded]
    headers: list[BatchHeader]
    through: int
    """The last place in ledger order that was read."""


class Reader(Protocol):
    """Reads what was recorded. Every method raises Transient while the ledger cannot be reached."""

    async def end(self) -> int:
        """The last place in ledger order."""
        ...

    def chunks(self, part: Part, through: int, after: int = 0) -> AsyncIterator[Chunk]:
        """The decisions of a part up to `through`, with the closures and hires of jobs that its wallets spent on."""
        ...

    # What is global: who was first, whatever part they are in.

    async def seen_by_others(self, named: Sequence[tuple[str, int]]) -> dict[int, int | None]:
        """Of these event ids (see `seen_key`), each with a decision on it, those that another was first to use.

        By their place among these: which one. None: no decision is known that used it.
        """
        ...

    async def first_decisions(self, seqs: Sequence[int]) -> dict[int, FirstDecision]:
        """The decisions of these seqs, to compare repeats with."""
        ...

    async def grants(self, keys: Iterable[tuple[str, str]]) -> list[Grant]:
        """Grants ever made under these (rule, natural key), those that were voided too."""
        ...

    async def others_spends(self, named: Sequence[tuple[ProposalId, str]]) -> list[Spend]:
        """The spends of these proposals that are not the freelancer's who is named with each."""
        ...

    async def voided_spends(self, ids: Sequence[ProposalId]) -> list[tuple[Spend, int]]:
        """The spends of these proposals that were voided, as they were made, each with the decision that voided it."""
        ...

    async def charges(self, keys: Sequence[ChargeKey]) -> list[Charge]:
        """Those of these charges that were requested."""
        ...

    async def amended(self, seqs: Sequence[int]) -> dict[int, int]:
        """The Connects that stand for those of these decisions that a correction amended."""
        ...

    async def lots(self, ids: Sequence[tuple[FreelancerId, LotId]]) -> list[Lot]:
        """The lots of these freelancers and ids that exist."""
        ...
