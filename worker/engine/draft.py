"""A batch in the making: decisions become rows and messages as they are taken."""

import secrets
from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from worker.domain.books import Touched
from worker.domain.decisions import Change, Decision
from worker.domain.model import Cause
from worker.engine.event_ids import event_id_of
from worker.engine.membership_messages import membership_messages
from worker.ledger.chain import next_head
from worker.ledger.membership_rows import write_down_memberships
from worker.ledger.mentions import mention
from worker.ledger.rows import closure_row, lot_row, spend_row
from worker.ledger.store import Batch, Tail
from worker.stream.messages import Message, pack, time_text

WALLET_UPDATED: Final = "wallet-updated"
_NO_LINE: Final = (None, None)
_MOST_BYTES: Final = 8 * 1024 * 1024
_MOST_MOVEMENTS: Final = 100_000
"""Each takes some hundred bytes in the rows and in the message that tell of it."""
_encode = msgspec.json.Encoder().encode


class _Cause(msgspec.Struct, frozen=True):
    topic: str | None
    event_id: str | None


class _InputCause(msgspec.Struct, frozen=True):
    topic: str | None
    incarnation: int | None
    partition: int | None
    offset: int | None
    event_id: str | None


class _LotMoved(msgspec.Struct):
    lot_id: str
    delta: int
    expires_at: datetime


class _WalletUpdated(msgspec.Struct):
    event_id: str
    freelancer_id: str
    version: int
    occurred_at: datetime
    recorded_at: datetime
    delta: int
    debt_delta: int
    balance_before: int
    balance_after: int
    overdrawn: bool
    rule: str
    reason: str
    policy_version: str
    cause: _Cause | _InputCause
    subject: Mapping[str, str]
    lots: list[_LotMoved]
    explanation: str


class Draft:
    """Collects what one batch will write. `recorded_at` is one instant of the wall clock for the whole batch."""

    def __init__(self, tail: Tail, recorded_at: datetime) -> None:
        self._tail = tail
        self._messages: list[Message] = []
        self.batch = Batch(tail.batch_no + 1, tail.last_seq, b"", tail.business_time, recorded_at)
        self.outcomes: dict[tuple[str, str], int] = {}
        """How many decisions of each (outcome, reason); known once finished."""
        self.triggers: list[object] = []
        """What it decides, by what `failing` of the desk knows each by."""
        self.late = 0
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
        batch, cause, subject = self.batch, decision.cause, decision.subject
        if decision.seq != batch.last_seq + 1:
            raise AssertionError(f"decision {decision.seq} after {batch.last_seq}: ledger order has no gaps")
        batch.last_seq = decision.seq
        batch.decisions.append(
            (
                decision.seq,
                batch.batch_no,
                decision.kind,
                decision.follows,
                cause.topic,
                cause.incarnation,
                cause.partition,
                cause.offset,
                cause.event_id,
                decision.occurred_at,
                subject.freelancer_id,
                subject.job_id,
                subject.proposal_id,
                decision.outcome,
                decision.reason,
                decision.rule,
                decision.policy_version,
                _encode(decision.facts).decode(),
                decision.late_by_seconds,
                decision.business_time,
                batch.recorded_at,
                decision.payload,
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

    def finish(self, touched: Touched, business_time: datetime | None) -> Batch:
        """The whole batch, ready to be committed: current state, outbox row, chain head."""
        batch = self.batch
        batch.business_time = business_time
        batch.new_lots = [lot_row(lot) for lot in touched.new_lots.values()]
        batch.lots = [lot_row(lot) for lot_id, lot in touched.lots.items() if lot_id not in touched.new_lots]
        for spend in touched.spends.values():
            is_new = spend.decision_seq > self._tail.last_seq
            (batch.new_spends if is_new else batch.spends).append(spend_row(spend))
        batch.closures = [closure_row(closure) for closure in touched.closures.values()]
        batch.hires = list(touched.hires.items())
        # What came and was answered within one batch never waits in the ledger; nor is work that is done already due.
        answered = {told.decision_seq for told in touched.awaiting_done}
        added = {told.decision_seq for told in touched.awaiting_added}
        batch.awaiting = [
            (t.proposal_id, t.decision_seq) for t in touched.awaiting_added if t.decision_seq not in answered
        ]
        batch.awaiting_done = [
            (t.proposal_id, t.decision_seq) for t in touched.awaiting_done if t.decision_seq not in added
        ]
        done = set(batch.due_done)
        new = {(due.kind, due.key) for due in touched.due_added}
        batch.due = [tuple(due) for due in touched.due_added if (due.kind, due.key) not in done]
        batch.due_done = [row for row in batch.due_done if row not in new]
        write_down_memberships(batch, touched)
        self.outcomes = Counter((row[13], row[14]) for row in batch.decisions)  # type: ignore[misc]  # columns outcome, reason
        batch.chain_head = next_head(self._tail.chain_head, batch.decisions, batch.changes)
        if self._messages:
            batch.outbox_seq = self._tail.outbox_seq + 1
            batch.batch_uid = UUID(bytes=secrets.token_bytes(16), version=4)
            batch.outbox = pack(self._messages)
        return batch

    def tail(self) -> Tail:
        """Where the ledger ends once this batch is committed."""
        batch = self.batch
        outbox_seq = self._tail.outbox_seq if batch.outbox_seq is None else batch.outbox_seq
        return Tail(batch.batch_no, batch.last_seq, batch.chain_head, batch.business_time, outbox_seq)

    def _add_change(self, decision: Decision, ordinal: int, change: Change) -> None:
        batch = self.batch
        movements: list[tuple[str | None, str | None, str | None, int]] = []
        moved: dict[str, _LotMoved] = {}
        for lot_id, expires_at, line, delta in change.movements:
            proposal_id, line_name = line if line is not None else _NO_LINE
            movements.append((lot_id, proposal_id, line_name, delta))
            if lot_id is not None and expires_at is not None:
                if lot_id in moved:
                    moved[lot_id].delta += delta
                else:
                    moved[lot_id] = _LotMoved(lot_id, delta, expires_at)
        batch.changes.append(
            (
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
                change.explanation,
                change.natural_key,
                _encode(movements).decode(),
            )
        )
        self.movements += len(movements)
        event_id = event_id_of(f"{change.freelancer_id}/{change.version}")
        update = _WalletUpdated(
            event_id,
            change.freelancer_id,
            change.version,
            change.occurred_at,
            batch.recorded_at,
            change.delta,
            change.debt_delta,
            change.balance_before,
            change.balance_after,
            change.balance_after < 0,
            change.rule,
            change.reason,
            change.policy_version,
            _told_cause(decision.cause),
            change.about,
            list(moved.values()),
            change.explanation,
        )
        key = change.freelancer_id.encode()
        self._messages.append(Message(WALLET_UPDATED, key, _encode(update), event_id, time_text(change.occurred_at)))


def _told_cause(cause: Cause) -> _Cause | _InputCause:
    if cause.topic is None:
        return _Cause(None, cause.event_id)
    return _InputCause(cause.topic, cause.incarnation, cause.partition, cause.offset, cause.event_id)
