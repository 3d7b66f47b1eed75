"""What the check of a bundle finds."""

import msgspec

MOST_KEPT = 1_000
"""How many findings are kept; all are counted."""


class Found(msgspec.Struct, frozen=True):
    """One thing that is not as it should be, and where: an entry of the file, its line, the decision."""

    detail: str
    entry: str | None = None
    line: int | None = None
    seq: int | None = None

    @property
    def place(self) -> str:
        """Where it is, in words."""
        parts = [self.entry or "the file"]
        parts += [f"line {self.line}"] * (self.line is not None)
        parts += [f"decision {self.seq}"] * (self.seq is not None)
        return ", ".join(parts)


class Checked(msgspec.Struct):
    """What was checked, and what was found: the first findings, and how many there are."""

    subject: str | None = None
    head: str | None = None
    through_seq: int | None = None
    decisions: int = 0
    """Decisions in the bundle."""
    proved: int = 0
    """Decisions that were proved to be in the log at that head."""
    decided_again: int = 0
    """Decisions that were decided again; inputs (rejected and parked records, commands) are not among them."""
    decided_otherwise: int = 0
    """How many of them another release took, and this one takes otherwise, which is no fault."""
    remarks: list[str] = msgspec.field(default_factory=list)
    """What is worth to know, and is not wrong."""
    findings: list[Found] = msgspec.field(default_factory=list)
    count: int = 0

    def add(self, found: Found) -> None:
        """Count a finding, and keep it if it is among the first."""
        self.count += 1
        if self.count <= MOST_KEPT:
            self.findings.append(found)
