"""What is parked: a wallet or a job that a failure stopped, and what waits behind it."""

from datetime import datetime
from typing import NamedTuple

from worker.domain.decisions import Kind
from worker.domain.model import Cause, JobId, ProposalId


class ParkedKey(NamedTuple):
    """A stopped wallet or job."""

    scope: str
    key: str


class ParkedTrigger(NamedTuple):
    """A trigger that waits behind a stopped wallet or job: what the decision that parked it says.

    `business_time` of clock work is its due instant. Of a settlement `closure_job` and `closure_seq` name its closure.
    """

    seq: int
    kind: Kind
    cause: Cause
    occurred_at: datetime | None
    business_time: datetime | None
    payload: bytes | None
    proposal_id: ProposalId | None
    closure_job: JobId | None
    closure_seq: int | None
