"""Deciding selected decisions again, by the rules of today or a corrected policy: what a plan amends them to."""

from collections.abc import AsyncIterator, Collection, Iterable
from typing import Final

from worker.domain.model import FreelancerId
from worker.domain.policy import PolicyBook
from worker.ledger.connections import Connection
from worker.ledger.sql import load
from worker.ledger.tables import DecisionRow
from worker.proof.again import Again, Judge
from worker.proof.checks import Progress
from worker.proof.parts import Part, Reader
from worker.proof.passes import parts_of
from worker.proof.run import decide_part
from worker.repair.judging import Judging

_SQL: Final = load("plan.sql")
_BY_INDEX: Final = 300
"""Up to so many freelancers are decided again one by one, by index; for more, the whole ledger is read in passes."""
_FOLLOWING: Final = 1_000
"""How many decisions after the last one are read as well: those of what had waited for it."""


async def amended_before(connection: Connection) -> set[int]:
    """The decisions that corrections amended before.

    Raises:
        Transient: the ledger is away, here and below.
    """
    return {row["decision_seq"] for row in await connection.fetch(_SQL["amended_before"])}


async def judged(
    reader: Reader,
    rows: Collection[DecisionRow],
    amended: Collection[int],
    policies: PolicyBook | None,
    progress: Progress,
) -> Judging:
    """Judge these decisions, each on the recorded state before it."""
    seqs = {row.seq for row in rows}
    judging = Judging(lambda row: row.seq in seqs, amended, policies)
    if seqs:
        names = sorted({FreelancerId(row.freelancer_id) for row in rows if row.freelancer_id is not None})
        await judge(reader, judging, names, max(seqs), policies, progress)
    return judging


async def judge(
    reader: Reader,
    judging: Judge,
    names: Collection[FreelancerId] | None,
    last: int,
    policies: PolicyBook | None,
    progress: Progress,
) -> int:
    """Decide these freelancers' decisions again, up to the decision `last`; None: everybody's.

    Returns how many could not be decided again, because what was recorded cannot be followed so far.
    """
    through = min(last + _FOLLOWING, await reader.end())
    parts: Iterable[Part] = parts_of(through)
    if names is not None and len(names) <= _BY_INDEX:
        parts = [Part(freelancer=name) for name in names]
    progress.begin("decided again", 0, "decisions")
    skipped = 0
    for part in parts:
        again = Again(policies=policies, judge=judging, has_words=False)
        await _pass(decide_part(reader, part, through, again, progress.advance))
        skipped += again.tally.skipped
    return skipped


async def _pass(findings: AsyncIterator[object]) -> None:
    """Have a part decided; the verdicts are what matters."""
    async for _ in findings:
        pass
