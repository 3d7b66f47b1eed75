"""A selection: a file of decisions that were found, for commands that work on just those.

JSON lines. The first is the header: `ledger_id`, `query`, `made_at`, `through_seq` (the ledger was read up to there),
and `checks`, if checks of `connects verify` found them: then the query is empty.
Each other line is a decision: `seq`, `topic`, `event_id`, and what else identifies it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

import msgspec

from worker.new_file import new_file
from worker.queries.log_find import FoundDecision
from worker.queries.log_query import LogQuery


class SelectionHeader(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which ledger was queried or checked, for what, and when."""

    ledger_id: UUID
    query: LogQuery
    made_at: datetime
    through_seq: int
    checks: tuple[str, ...] = ()
    """The checks of `connects verify` that found the decisions."""


class Selected(msgspec.Struct, frozen=True):
    """One decision of a selection; an instant of the clock or a command has no topic."""

    seq: int
    topic: str | None
    event_id: str | None
    kind: str
    incarnation: int | None
    partition: int | None
    offset: int | None
    freelancer_id: str | None
    job_id: str | None
    proposal_id: str | None


class SelectionFile:
    """Writes lines to an open file."""

    def __init__(self, file: BinaryIO, header: SelectionHeader) -> None:
        self._file = file
        self.decisions = 0
        self._encode = msgspec.json.Encoder().encode
        self._line(header)

    def add(self, found: FoundDecision) -> None:
        """Write one decision."""
        self._line(Selected(*(getattr(found, name) for name in Selected.__struct_fields__)))
        self.decisions += 1

    def _line(self, value: msgspec.Struct) -> None:
        self._file.write(self._encode(value) + b"\n")


@contextmanager
def new_selection(path: Path, header: SelectionHeader) -> Iterator[SelectionFile]:
    """Write a selection: the file is there once it is complete, and not before; never without a decision in it.

    Raises:
        UsageError: there is such a file already.
        OSError: it cannot be written.
    """
    with new_file(path, "--selection") as new:
        selection = SelectionFile(new.file, header)
        yield selection
        new.is_wanted = selection.decisions > 0
