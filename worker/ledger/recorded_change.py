"""A change with all that its message says, as the ledger keeps it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from worker.domain.model import Cause


class RecordedChange(NamedTuple):
    """A change, and of its decision the cause, the facts and what it names.

    `movements` and `facts` are as in their rows; `trigger` is that of a correction; `ends` has when each of its lots
    ends.
    """

    freelancer_id: str
    version: int
    occurred_at: datetime
    recorded_at: datetime
    rule: str
    reason: str
    policy_version: str
    delta: int
    debt_delta: int
    balance_after: int
    explanation: str
    movements: str
    facts: str
    job_id: str | None
    proposal_id: str | None
    trigger: bytes | None
    cause: Cause
    ends: Mapping[str, datetime]


class RecordedSize(NamedTuple):
    """A change, and how many bytes its movements have."""

    freelancer_id: str
    version: int
    bytes: int


def read_recorded(row: Mapping[str, Any]) -> RecordedChange:
    """A row of the statement `recorded_changes`."""
    cause = Cause(row["topic"], row["event_id"], row["incarnation"], row["partition"], row["offset"], row["added"])
    ends = dict(zip(row["lots"] or (), row["ends"] or (), strict=True))
    return RecordedChange(**{name: row[name] for name in RecordedChange._fields[:-2]}, cause=cause, ends=ends)
