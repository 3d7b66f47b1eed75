"""A batch: everything that one transaction writes, decided under the conditions of one leadership."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from worker.domain.model import ProposalId
from worker.domain.state import Amended, Due, Voided
from worker.kafka.output.published_before import Named
from worker.kafka.records import Position, TopicPartition
from worker.ledger.merkle import EMPTY, Log
from worker.ledger.parked import ParkedKey
from worker.ledger.tables import (
    AnswerRow,
    AwaitingRow,
    ChangeRow,
    ChargeRow,
    ClosureRow,
    DeadLetterRow,
    DecisionRow,
    DueKey,
    HeldRow,
    HireRow,
    HoldRow,
    LotRow,
    MembershipRow,
    MentionRow,
    ParkedRow,
    ParkedTriggerRow,
    PolicyRow,
    ReplayedRow,
    ReplayRow,
    SeenRow,
    SpendRow,
)


class Conditions(NamedTuple):
    """What all batches of one leadership are decided under: release, settings, and the policy versions known."""

    epoch: int
    release: str
    grace_seconds: float
    skew_seconds: float
    policy_versions: Sequence[str]


@dataclass(slots=True)
class Batch:
    """Everything one transaction writes, as rows ready to be sent. `time_before` is business time before it."""

    batch_no: int
    last_seq: int
    chain_head: bytes
    business_time: datetime | None
    recorded_at: datetime
    conditions: Conditions
    time_before: datetime | None
    salt: bytes
    log: Log = EMPTY
    leaf_marks: bytes = b""
    outbox_seq: int | None = None
    batch_uid: UUID | None = None
    outbox: bytes | None = None
    drop_outbox_through: int = 0
    positions: list[Position] = field(default_factory=list)
    decisions: list[DecisionRow] = field(default_factory=list)
    mentions: list[MentionRow] = field(default_factory=list)
    changes: list[ChangeRow] = field(default_factory=list)
    seen_events: list[SeenRow] = field(default_factory=list)
    new_lots: list[LotRow] = field(default_factory=list)
    lots: list[LotRow] = field(default_factory=list)
    new_spends: list[SpendRow] = field(default_factory=list)
    spends: list[SpendRow] = field(default_factory=list)
    closures: list[ClosureRow] = field(default_factory=list)
    hires: list[HireRow] = field(default_factory=list)
    awaiting: list[AwaitingRow] = field(default_factory=list)
    awaiting_done: list[AwaitingRow] = field(default_factory=list)
    due: list[Due] = field(default_factory=list)
    due_done: list[DueKey] = field(default_factory=list)
    memberships: list[MembershipRow] = field(default_factory=list)
    charges: list[ChargeRow] = field(default_factory=list)
    held: list[HeldRow] = field(default_factory=list)
    held_done: list[int] = field(default_factory=list)
    holds: list[HoldRow] = field(default_factory=list)
    holds_ended: list[TopicPartition] = field(default_factory=list)
    parked: list[ParkedRow] = field(default_factory=list)
    unparked: list[ParkedKey] = field(default_factory=list)
    parked_triggers: list[ParkedTriggerRow] = field(default_factory=list)
    triggers_released: list[int] = field(default_factory=list)
    closures_worked: list[tuple[int, int, int, int]] = field(default_factory=list)
    released_void: list[tuple[int, int]] = field(default_factory=list)
    dead_letters: list[DeadLetterRow] = field(default_factory=list)
    policies: list[PolicyRow] = field(default_factory=list)
    answers: list[AnswerRow] = field(default_factory=list)
    replays: list[ReplayRow] = field(default_factory=list)
    replayed: list[ReplayedRow] = field(default_factory=list)
    voided: list[Voided] = field(default_factory=list)
    spends_voided: list[ProposalId] = field(default_factory=list)
    unvoided: list[int] = field(default_factory=list)
    """Decisions that were voided and count again, by seq; of a spend its row is among `new_spends`."""
    amended: list[Amended] = field(default_factory=list)
    held_back: list[Named] = field(default_factory=list)
    """Messages that are made again and were published before the ledger was restored: they are not in `outbox`."""

    @property
    def in_words(self) -> str:
        """Which batch it is, and which places in ledger order it takes: `batch 2 (decisions 4 to 7)`."""
        seqs = sorted({row.seq for row in self.decisions})
        if not seqs:
            return f"batch {self.batch_no} (no decisions)"
        taken = f"decision {seqs[0]}" if len(seqs) == 1 else f"decisions {seqs[0]} to {seqs[-1]}"
        return f"batch {self.batch_no} ({taken})"
