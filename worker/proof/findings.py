"""What deciding again finds: decisions that today's rules take otherwise, and records that do not follow."""

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final, Literal, NamedTuple

import msgspec

Cause = Literal["code-changed", "not-due", "inconsistent", "not-executable"]
"""Why a decision is a finding.

`code-changed`: today's rules decide otherwise. `not-due`: the clock's work was done before it was due, or to somebody
to whom it was not. `inconsistent`: the record contradicts itself. `not-executable`: later decisions of that freelancer
cannot be decided again.
"""

MOST_SAMPLES: Final = 5
MOST_ROWS: Final = 1_000
"""How many rows that are not as they should be are kept; all are counted."""


class Difference(NamedTuple):
    """What was recorded and what is decided today. `field` is a column, or `changes[0].delta` and the like."""

    field: str
    recorded: object
    decided: object

    def __str__(self) -> str:
        return f"{self.field} was {_short(self.recorded)}, is {_short(self.decided)} now"


class Finding(msgspec.Struct, frozen=True):
    """One decision about which something was found."""

    cause: Cause
    seq: int
    batch_no: int
    release: str | None
    """The release that decided it; None, if that is not stored."""
    rule: str | None
    reason: str
    freelancer_id: str | None
    job_id: str | None
    detail: str
    """What was found, in words."""
    differences: tuple[Difference, ...] = ()


class RowFinding(NamedTuple):
    """A row of current state that is not what the recorded decisions make."""

    table: str
    key: str
    detail: str
    """Which columns differ, and what each should be."""


class Tally:
    """Counts what was looked at and found. The tallies of several passes can be added up."""

    def __init__(self, *, keeps_seqs: bool = False) -> None:
        self.seqs = array("q") if keeps_seqs else None
        """The decisions that today's rules take otherwise, if they are kept: 8 bytes each."""
        self.decisions = 0
        """Decisions that were decided again and compared."""
        self.inputs = 0
        """Decisions that are inputs: rejected and parked records, commands' verdicts."""
        self.older = 0
        """Decisions older than the stored settings: not compared are lateness, due instants, and facts they lack."""
        self.skipped = 0
        """Decisions that could not be decided again, after one that could not be executed."""
        self.amended = 0
        """Decisions that today's rules take otherwise, and that a correction has amended to just that."""
        self.words = 0
        """Changes whose sentence would be another one today, where sentences are made; their numbers agree."""
        self.counts: Counter[tuple[Cause, str | None, str | None]] = Counter()
        """Findings by cause, rule and release."""
        self.compared = 0
        """Rows of current state that were compared."""
        self.not_compared = 0
        """Rows of current state of wallets and jobs that could not be decided again to the end."""
        self.row_count = 0
        """Rows of current state that are not what they should be."""
        self.rows: list[RowFinding] = []
        """The first of them."""
        self.samples: dict[tuple[Cause, str | None, str | None], list[Finding]] = {}

    def add(self, finding: Finding) -> None:
        """Count a finding, and keep it if it is among the first of its kind."""
        kind = (finding.cause, finding.rule, finding.release)
        if self.seqs is not None and finding.cause == "code-changed":
            self.seqs.append(finding.seq)
        self.counts[kind] += 1
        samples = self.samples.setdefault(kind, [])
        if len(samples) < MOST_SAMPLES:
            samples.append(finding)

    def add_row(self, finding: RowFinding) -> None:
        """Count a row that is not what it should be, and keep it if it is among the first."""
        self.row_count += 1
        if len(self.rows) < MOST_ROWS:
            self.rows.append(finding)

    def add_up(self, other: "Tally") -> None:
        """Count what another pass found, too."""
        for name in (
            "decisions",
            "inputs",
            "older",
            "skipped",
            "amended",
            "words",
            "compared",
            "not_compared",
            "row_count",
        ):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        if self.seqs is not None and other.seqs is not None:
            self.seqs.extend(other.seqs)
        self.rows = [*self.rows, *other.rows][:MOST_ROWS]
        self.counts += other.counts
        for kind, samples in other.samples.items():
            known = [*self.samples.get(kind, ()), *samples]
            self.samples[kind] = sorted(known, key=lambda one: one.seq)[:MOST_SAMPLES]

    def kinds(self) -> Iterator[tuple[Cause, str | None, str | None, int, list[Finding]]]:
        """What was found: cause, rule, release, how often, and the first of them."""
        for kind in sorted(self.counts, key=lambda kind: tuple(part or "" for part in kind)):
            yield *kind, self.counts[kind], self.samples[kind]


def in_words(differences: Iterable[Difference]) -> str:
    """Differences in one line."""
    return "; ".join(map(str, differences))


_LONGEST: Final = 120


def _short(value: object) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
