"""A batch in the making: decisions become rows and messages as they are taken."""

import secrets
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from worker.domain.decisions import Change, Decision
from worker.domain.model import FreelancerId
from worker.domain.state import Changed
from worker.engine.membership_messages import membership_messages
from worker.engine.wallet_messages import LotMoved, wallet_message
from worker.kafka.output.messages import Message, pack
from worker.ledger.batch import Batch, Conditions
from worker.ledger.leaves import SALT_BYTES, leaves_of
from worker.ledger.membership_rows import write_down_memberships
from worker.ledger.mentions import mention
from worker.ledger.rows import (
    batch_row,
    closure_row,
    decided_columns,
    lot_row,
    membership_text,
    movements_text,
    spend_row,
)
from worker.ledger.store import Tail
from worker.ledger.tables import AwaitingRow, ChangeRow, DeadLetterRow, DecisionRow, HireRow

_MOST_BYTES: Final = 8 * 1024 * 1024
_MOST_MOVEMENTS: Final = 100_000
"""Each takes some hundred bytes in the rows and in the message that tell of it."""


class OpenBatch:
    """Collects what one batch will write. `recorded_at` is one instant of the wall clock for the whole batch."""

    def __init__(
        self, tail: Tail, recorded_at: datetime, conditions: Conditions, last_decisions: dict[FreelancerId, int]
    ) -> None:
        self._tail = tail
        self._messages: list[Message] = []
        self.batch = Batch(
            tail.batch_no + 1,
            tail.last_seq,
            b"",
            tail.business_time,
            recorded_at,
            conditions,
            time_before=tail.business_time,
            salt=secrets.token_bytes(SALT_BYTES),
        )
        self.running_time = tail.business_time
        """Business time at which the next decision is taken."""
        self._last_decisions = last_decisions
        """The last decision that names each freelancer who is in memory."""
        self.outcomes: dict[tuple[str, str], int] = {}
        """How many decisions of each (outcome, reason); known once finished."""
        self.triggers: list[object] = []
        """What it decides, by what `failing` of the builder knows each by."""
        self.late = 0
        self.rejected_with_others = 0
        """Records that were rejected by the decision on another one: those of batches rejected as a whole."""
        self.movements = 0
        """How many movements its changes have, for there is no end to them in one change."""
        self._payload_bytes = 0

    def __len__(self) -> int:
        return len(self.batch.decisions)

    def is_full(self, batch_size: int) -> bool:
        """Whether it should be closed: by its decisions, by the bytes of what they answer, or by what they moved."""
        return (
            len(self.batch.decisions) >= batch_size
            or self._payload_bytes >= _MOST_BYTES
            or self.movements >= _MOST_MOVEMENTS
        )

    @property
    def next_seq(self) -> int:
        """The place in ledger order that the next decision gets."""
        return self.batch.last_seq + 1

    def add(self, decision: Decision) -> None:
        """Write a decision and its changes down, and make their messages."""
        batch, subject = self.batch, decision.subject
        if decision.seq != batch.last_seq + 1:
            raise AssertionError(f"decision {decision.seq} after {batch.last_seq}: ledger order has no gaps")
        batch.last_seq = decision.seq
        batch.decisions.append(
            DecisionRow(
                decision.seq,
                batch.batch_no,
                *decided_columns(decision),
                batch.recorded_at,
                decision.payload,
                self._previous(subject.freelancer_id, decision.seq),
                None if self.running_time == decision.business_time else self.running_time,
                membership_text(decision),
            )
        )
        if decision.payload is not None:
            self._payload_bytes += len(decision.payload)
        mention(decision, batch.mentions.append)
        if decision.late_by_seconds is not None:
            self.late += 1
        for ordinal, change in enumerate(decision.changes):
            self._add_change(decision, ordinal, change)
        if decision.membership is not None or decision.charge is not None:
            self._messages += membership_messages(decision)

    def _previous(self, freelancer_id: FreelancerId | None, seq: int) -> int | None:
        """The decision before `seq` that names this freelancer; None: nobody, or nobody who is in memory."""
        if freelancer_id is None:
            return None
        previous = self._last_decisions.get(freelancer_id)
        self._last_decisions[freelancer_id] = seq
        return previous

    def add_letter(self, row: DeadLetterRow) -> None:
        """Write a dead letter's row down. It may hold much more than its decision does."""
        self.batch.dead_letters.append(row)
        self._payload_bytes += sum(len(held) for held in row if isinstance(held, bytes))

    def republish(self, messages: Sequence[Message]) -> None:
        """Publish messages once more, behind those of the batch's own changes."""
        self._messages += messages

    def finish(self, changed: Changed, business_time: datetime | None) -> Batch:
        """The whole batch, ready to be committed: current state, outbox row, Merkle log."""
        batch = self.batch
        batch.business_time = business_time
        batch.new_lots = [lot_row(lot) for lot in changed.new_lots.values()]
        batch.lots = [lot_row(lot) for lot_id, lot in changed.lots.items() if lot_id not in changed.new_lots]
        for spend in changed.spends.values():
            is_new = spend.decision_seq > self._tail.last_seq or spend.proposal_id in changed.spends_restored
            (batch.new_spends if is_new else batch.spends).append(spend_row(spend))
        batch.voided, batch.spends_voided = changed.voided, [spend.proposal_id for spend in changed.spends_voided]
        spends = changed.spends_restored.values()
        batch.unvoided = [
            *(grant.decision_seq for grant in changed.grants_restored),
            *(spend.decision_seq for spend in spends),
            *changed.facts_restored,
        ]
        batch.amended = list({one.decision_seq: one for one in changed.amended}.values())
        batch.closures = [closure_row(closure) for closure in changed.closures.values()]
        batch.hires = [HireRow(*hire) for hire in changed.hires.items()]
        # What came and was answered within one batch never waits in the ledger; and finished work is not scheduled.
        answered = {told.decision_seq for told in changed.awaiting_done}
        added = {told.decision_seq for told in changed.awaiting_added}
        batch.awaiting = [
            AwaitingRow(t.proposal_id, t.decision_seq) for t in changed.awaiting_added if t.decision_seq not in answered
        ]
        batch.awaiting_done = [
            AwaitingRow(t.proposal_id, t.decision_seq) for t in changed.awaiting_done if t.decision_seq not in added
        ]
        done = set(batch.due_done)
        new = {(due.kind, due.key) for due in changed.due_added}
        batch.due = [due for due in changed.due_added if (due.kind, due.key) not in done]
        batch.due_done = [row for row in batch.due_done if row not in new]
        write_down_memberships(batch, changed)
        self.outcomes = Counter((row.outcome, row.reason) for row in batch.decisions)
        if self._messages:
            batch.outbox_seq = self._tail.outbox_seq + 1
            batch.batch_uid = UUID(bytes=secrets.token_bytes(16), version=4)
            batch.outbox = pack(self._messages)
        leaves = leaves_of(batch_row(batch), batch.decisions, batch.changes, batch.policies, batch.answers)
        batch.log, batch.leaf_marks = self._tail.log.extended(leaves.hashes), leaves.marks
        batch.chain_head = batch.log.root
        return batch

    def tail(self) -> Tail:
        """Where the ledger ends once this batch is committed."""
        batch = self.batch
        outbox_seq = self._tail.outbox_seq if batch.outbox_seq is None else batch.outbox_seq
        return Tail(batch.batch_no, batch.last_seq, batch.chain_head, batch.business_time, outbox_seq, batch.log)

    def _add_change(self, decision: Decision, ordinal: int, change: Change) -> None:
        batch, explanation = self.batch, change.explanation
        if not explanation:
            raise AssertionError(f"a change of {change.freelancer_id} under {change.rule} was not worded")
        moved: dict[str, LotMoved] = {}
        for lot_id, expires_at, _, delta in change.movements:
            if lot_id is not None and expires_at is not None:
                if lot_id in moved:
                    moved[lot_id].delta += delta
                else:
                    moved[lot_id] = LotMoved(lot_id, delta, expires_at)
        batch.changes.append(
            ChangeRow(
                change.freelancer_id,
                change.version,
                decision.seq,
                ordinal,
                change.occurred_at,
                batch.recorded_at,
                change.rule,
                change.reason,
                change.policy_version,
                change.delta,
                change.debt_delta,
                change.balance_after,
                explanation,
                change.natural_key,
                movements_text(change),
            )
        )
        self.movements += len(change.movements)
        self._messages.append(
            wallet_message(change, decision.cause, batch.recorded_at, list(moved.values()), decision.corrects)
        )
