"""What the ledger recorded, as it is decided again: decisions with their changes, and the headers of batches."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

import msgspec

from schemas.base import InputEvent
from worker.domain.decisions import Change
from worker.domain.model import Cause, Charge, Grant, Lot, LotId, Spend, stored_cause
from worker.domain.policy import PolicyBook
from worker.domain.policy_use import StoredVersion
from worker.ledger.rows import Movements, movements_in
from worker.ledger.store import FirstDecision
from worker.ledger.tables import ChangeRow, DecisionRow
from worker.proof.policies import book_of
from worker.proof.unreadable import in_words

_OF_WORK, _OF_A_RELEASE = 4, 2
"""How many numbers each part of a closure has that was worked off, and each trigger released without effect."""

JOB_TOPICS: Final = frozenset({"job-closed", "hire-made"})


class BatchHeader(msgspec.Struct, frozen=True):
    """By which settings a batch was decided. None: the release that wrote it did not store that yet."""

    batch_no: int
    last_seq: int
    release: str | None
    grace: timedelta | None
    policies: PolicyBook
    """The versions that were known then; all of the ledger's, if that is not stored."""
    business_time: datetime | None
    """Business time after the batch."""
    closures_worked: Sequence[Sequence[int]] = ()
    """Each part of a closure that was worked off (see BatchRow)."""
    released_void: Sequence[Sequence[int]] = ()
    """Each parked trigger that was released and had no effect any more, and the next seq."""
    damage: str | None = None
    """Why nothing can be decided by it, in words, if it is damaged."""
    is_older: bool = False
    """Whether the batch was written before these settings were stored: it follows from the grace."""

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "is_older", self.grace is None)


class BatchColumns(NamedTuple):
    """What is read of a batch (see BatchRow)."""

    batch_no: int
    last_seq: int
    release: str | None
    grace_seconds: float | None
    policy_versions: Sequence[str] | None
    business_time: datetime | None
    closures_worked: Sequence[Sequence[int]] | None
    released_void: Sequence[Sequence[int]] | None


def header_of(row: BatchColumns, stored: Sequence[StoredVersion]) -> BatchHeader:
    """The header of a batch, with the policy versions that it knew of those that the ledger stored.

    Raises:
        Unreadable: one of the policy versions cannot be read.
    """
    worked, void = row.closures_worked or (), row.released_void or ()
    try:
        grace = None if row.grace_seconds is None else timedelta(seconds=row.grace_seconds)
        policies = book_of(stored, row.policy_versions)
        _require_whole(worked, _OF_WORK)
        _require_whole(void, _OF_A_RELEASE)
    except (TypeError, ValueError, OverflowError) as error:
        return damaged_header(row.batch_no, f"its batch {row.batch_no} cannot be read: {in_words(error)}")
    return BatchHeader(row.batch_no, row.last_seq, row.release, grace, policies, row.business_time, worked, void)


def damaged_header(batch_no: int, damage: str) -> BatchHeader:
    """What stands for a batch that is not there, or cannot be read."""
    return BatchHeader(batch_no, 0, None, None, PolicyBook([]), None, damage=damage)


def _require_whole(rows: Sequence[Sequence[int]], columns: int) -> None:
    for row in rows:
        if len(row) != columns or None in row:
            raise ValueError(f"{row} is not {columns} numbers")


class Recorded(msgspec.Struct, gc=False):
    """One decision as it was recorded, with what else the ledger says of whatever it names.

    What other wallets decided is here too, as far as this decision met it: who won its natural key, its proposal id and
    its event id.
    """

    row: DecisionRow
    batch: BatchHeader
    changes: list[ChangeRow] = msgspec.field(default_factory=list)
    """Those of the wallets that are being decided again."""
    connects_elsewhere: int = 0
    """The sum of the deltas of its changes of other wallets."""
    damage: str | None = None
    """Why it cannot be decided again, in words, if what it names cannot be read."""
    is_mine: bool = True
    """Whether its freelancer is among those that are being decided again."""
    is_my_job: bool = True
    """Whether its job is among those whose closures and hires are checked in this pass."""
    event: InputEvent | None = None
    """What it answers, once that was read."""
    first: FirstDecision | None = None
    """The first decision on its event id, if that is another one."""
    id_is_known: bool = True
    """Whether the ledger has a first decision on its event id."""
    grant: Grant | None = None
    """The grant under its natural key, if that is another wallet's."""
    spend: Spend | None = None
    """The spend of its proposal, as it is now, if that is another wallet's."""
    amended: int | None = None
    """The Connects that stand for it since a correction amended it; None: none did."""
    charge: Charge | None = None
    """The charge that its facts name, as it is now."""
    lots: dict[LotId, Lot] = msgspec.field(default_factory=dict)
    """The lots that its changes opened, as they are now."""

    @property
    def cause(self) -> Cause:
        """What it answers."""
        row = self.row
        if row.kind != "added":
            return Cause(row.topic, row.event_id, row.incarnation, row.partition, row.offset)
        return stored_cause(row.topic, row.incarnation, row.partition, row.offset, row.event_id, row.seq)


def is_of_job(row: DecisionRow) -> bool:
    """Whether a decision is on a job-closed or hire-made itself, or corrects one, and is no settlement of a closure."""
    is_about_no_wallet = row.topic == "job-closed" or (row.kind == "correction" and row.job_id is not None)
    return row.topic == "hire-made" or (is_about_no_wallet and row.freelancer_id is None)


def is_settlement(row: DecisionRow) -> bool:
    """Whether it settles a spend, at once or when it was released."""
    return row.topic == "job-closed" and row.freelancer_id is not None


def is_of_a_wallet(row: DecisionRow) -> bool:
    """Whether it settles a spend or corrects something: of a job, it is read also where its wallet is not."""
    if row.topic == "job-closed" and row.freelancer_id is not None:  # is_settlement, without a call for each decision
        return True
    return row.kind == "correction" and not is_of_job(row)


class _DueFact(msgspec.Struct):
    due_at: datetime


_due_fact: Final = msgspec.json.Decoder(_DueFact)


def due_at_of(row: DecisionRow) -> datetime:
    """When a recorded closure is due to be settled, by its facts."""
    return _due_fact.decode(row.facts).due_at


def movements_of(change: ChangeRow) -> Movements:
    """A change's movements: lot, proposal, spend line, delta."""
    return movements_in(change.movements)


def amount_of(changes: Iterable[Change | ChangeRow], recorded: Recorded) -> int:
    """The Connects that these changes are for the freelancer whom a decision names."""
    return sum(change.delta for change in changes if change.freelancer_id == recorded.row.freelancer_id)
