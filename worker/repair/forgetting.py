"""What the ledger says of a closure or a hire that is to be voided: whether other events tell the same."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Protocol

import msgspec

from worker.domain.model import FreelancerId, Job, JobId
from worker.domain.rules.undos import UNDO
from worker.domain.rules.voids import VOID, ToVoid
from worker.ledger.rows import facts_in
from worker.ledger.tables import DecisionRow


class JobRecord(Protocol):
    """What is asked of a ledger about a job; see `Store`."""

    async def mentioned(self, keys: Sequence[str], after: int) -> list[DecisionRow]:
        """The decisions after `after` that are mentioned under these keys, in ledger order."""
        ...

    async def jobs(self, ids: Sequence[JobId]) -> dict[JobId, Job]:
        """Every job asked for."""
        ...


async def to_forget(record: JobRecord, row: DecisionRow) -> ToVoid:
    """What the ledger says of a decision on a closure or a hire.

    Raises:
        Transient: the ledger is away.
    """
    job_id = JobId(row.job_id or "")
    about_it = await record.mentioned([f"j:{job_id}"], 0)
    voided = voided_among(about_it)
    if row.occurred_at is None or row.rule is None:
        raise AssertionError(f"decision {row.seq} has no instant or rule")
    named = (row.seq, row.rule, str(row.seq), row.event_id or "", row.occurred_at, FreelancerId(""), job_id, 0)
    what = ToVoid(*named, {"job_id": job_id}, is_over=row.seq in voided)
    others = [one for one in about_it if one.seq != row.seq and one.seq not in voided and _counts(one)]
    if row.topic == "hire-made":
        hires = [one.occurred_at for one in others if one.topic == "hire-made" and one.occurred_at is not None]
        return msgspec.structs.replace(what, topic="hire-made", hired_at=min(hires, default=None))
    closures = (await record.jobs([job_id]))[job_id].closures
    told = _told(row)
    noted = [closure for closure in closures if (closure.closed_at, closure.kind) == told and not closure.voided]
    is_told_again = any(one.topic == "job-closed" and _told(one) == told for one in others) or any(
        closure.decision_seq not in {row.seq, *voided} for closure in noted
    )
    closure_seq = None if is_told_again or not noted else noted[0].decision_seq
    return msgspec.structs.replace(what, topic="job-closed", closure_seq=closure_seq)


def voided_among(rows: Iterable[DecisionRow]) -> frozenset[int]:
    """The decisions that were voided, by these voids, of which none was undone among them."""
    listed = [one for one in rows if one.kind == "correction" and one.outcome == "applied"]
    undone = {one.follows for one in listed if one.rule == UNDO}
    return frozenset(one.follows for one in listed if one.rule == VOID and one.seq not in undone and one.follows)


def _counts(row: DecisionRow) -> bool:
    """Whether it is on an event of a job that tells something, and was no repeat of an event id."""
    is_of_job = row.topic == "hire-made" or (row.topic == "job-closed" and row.freelancer_id is None)
    return is_of_job and row.outcome in {"recorded", "declined"}


def _told(row: DecisionRow) -> tuple[datetime | None, object]:
    """The closing that a decision on job-closed answers: when and how."""
    return row.occurred_at, facts_in(row.facts).get("closure")
