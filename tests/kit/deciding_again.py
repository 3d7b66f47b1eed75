"""Deciding again what a ledger recorded: as one part or as several, with all that was found."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from worker.proof.again import Again
from worker.proof.current_state import StateRows, compare
from worker.proof.findings import Finding, Tally
from worker.proof.parts import Part, Reader
from worker.proof.run import decide_part


@dataclass
class Found:
    """What all parts together looked at and found."""

    tally: Tally = field(default_factory=Tally)
    findings: list[Finding] = field(default_factory=list)

    def seqs(self, *causes: str) -> list[int]:
        """The decisions that were found for these causes, in ledger order."""
        return sorted({one.seq for one in self.findings if one.cause in causes})

    def __str__(self) -> str:
        told = [f"{one.cause} {one.seq} {one.rule} {one.reason}: {one.detail}" for one in self.findings]
        return "\n".join([*told, *(f"{row.table} {row.key}: {row.detail}" for row in self.tally.rows)])


async def decide_again(reader: Reader, parts: int = 1, rows: StateRows | None = None) -> Found:
    """Decide a whole ledger again, in that many parts; and compare its rows of current state, if they are given."""
    found, through = Found(), await reader.end()
    for number in range(parts):
        again = Again()
        found.findings += [one async for one in decide_part(reader, Part(number, parts), through, again)]
        if rows is not None:
            await compare(again, rows)
        found.tally.add_up(again.tally)
    return found


def seqs(rows: Iterable[object]) -> list[int]:
    """The places in ledger order of decision rows."""
    return sorted(row.seq for row in rows)  # type: ignore[attr-defined]
