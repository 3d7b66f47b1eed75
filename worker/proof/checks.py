"""What `connects verify` does: a list of checks, each of which reads the ledger and yields what it finds."""

import time
from array import array
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Literal, NamedTuple

import msgspec

from worker.garbage import seldom_collected
from worker.pace import Pace
from worker.proof.findings import Cause
from worker.proof.unreadable import Unreadable

FindingCause = Cause | Literal["tampered", "truncated", "owed", "undecided", "not-in-topic", "not-published"]
"""What is wrong with a row, with a decision that was decided again, or between the ledger and a topic."""


class Finding(msgspec.Struct, frozen=True):
    """One thing that is not as it should be: which check found it, where it is, and what differs."""

    check: str
    cause: FindingCause
    detail: str
    table: str | None = None
    seq: int | None = None
    """The decision that it is about, if that is known."""
    batch_no: int | None = None

    @property
    def place(self) -> str:
        """Where it is, in words; the check, if that is all that is known."""
        parts = [self.table or ""]
        parts += [f"decision {self.seq}"] * (self.seq is not None)
        parts += [f"batch {self.batch_no}"] * (self.batch_no is not None)
        return ", ".join(part for part in parts if part) or self.check


class Progress:
    """How far a check is. `report` is called with it now and then, at most once in `every` seconds."""

    def __init__(self, report: "Callable[[Progress], None]" = lambda _: None, every: float = 1.0) -> None:
        self._report, self._every = report, every
        self.begin("", 0)

    def begin(self, name: str, total: int, unit: str = "decisions") -> None:
        """A check of this name begins, over that many of what it counts as far as is known; 0: that is not known."""
        self.name, self.total, self.unit, self.done = name, total, unit, 0
        self._begun, self._pace = time.monotonic(), Pace(self._every)

    def advance(self, records: int) -> None:
        """Note that some of what it counts was checked."""
        self.done += records
        if self._pace.is_due():
            self._report(self)

    @property
    def rate(self) -> float:
        """How many a second since the check began."""
        return self.done / max(time.monotonic() - self._begun, 1e-9)

    @property
    def seconds_left(self) -> float | None:
        """How long the check still takes at this rate; None: that is not known, or more came than there was."""
        return (self.total - self.done) / self.rate if 0 < self.done <= self.total else None


class Range(NamedTuple):
    """The decisions that are checked, first and last; None: from the beginning, or up to the end."""

    first: int | None = None
    last: int | None = None

    @property
    def is_all(self) -> bool:
        """Whether it is the whole ledger."""
        return self.first is None and self.last is None


class Ground(NamedTuple):
    """What a check works on: the ledger, which part of it, and whom it says how far it is.

    `selected` takes the seqs of decisions that other commands can do something about; None: nobody wants them.
    """

    database_url: str
    range: Range
    progress: Progress
    selected: "array[int] | None" = None


class Check(NamedTuple):
    """One check: its name, and what yields its findings."""

    name: str
    run: Callable[[Ground], AsyncIterator[Finding]]


async def run_checks(checks: Iterable[Check], ground: Ground) -> AsyncIterator[Finding]:
    """Run checks one after the other. One that comes to what cannot be read ends there, with a finding.

    Raises:
        UsageError, OperatorNeeded, Transient: the ledger cannot be read.
    """
    with seldom_collected():
        for check in checks:
            ground.progress.begin(check.name, 0)
            try:
                async for finding in check.run(ground):
                    yield finding
            except Unreadable as why:
                yield Finding(check.name, "not-executable", f"the rest of this check cannot be done: {why}")
