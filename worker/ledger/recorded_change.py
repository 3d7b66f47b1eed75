"""A change with all that its message says, as the ledger keeps it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from worker.domain.model import Cause
from worker.ledger.tables import ChangeRow


class RecordedChange(NamedTuple):
    """A change, and of its decision the cause, the facts (as in their row) and what it names.

    `trigger` is that of a correction; `ends` has when each of its lots ends.
    """

    change: ChangeRow
    cause: Cause
    facts: str
    job_id: str | None
    proposal_id: str | None
    trigger: bytes | None
    ends: Mapping[str, datetime]


class RecordedSize(NamedTuple):
    """A change, and how many bytes its movements have."""

    freelancer_id: str
    version: int
    bytes: int


def read_recorded(row: Mapping[str, Any]) -> RecordedChange:
    """A row of the statement `recorded_changes`."""
    change = ChangeRow(*(row[name] for name in ChangeRow._fields))
    cause = Cause(row["topic"], row["event_id"], row["incarnation"], row["partition"], row["offset"], row["added"])
    ends = dict(zip(row["lots"] or (), row["ends"] or (), strict=True))
    return RecordedChange(change, cause, row["facts"], row["job_id"], row["proposal_id"], row["trigger"], ends)
