"""Between the domain's objects and the rows of the ledger. Every reading gives new working copies."""

from collections.abc import Callable
from datetime import datetime
from typing import Final, cast
from uuid import UUID

import msgspec

from schemas.fields import ClosureKind
from worker.domain.decisions import Change, Decision, Kind, Outcome
from worker.domain.model import (
    AGAIN,
    BurnOrder,
    Cause,
    Closure,
    Draw,
    FreelancerId,
    JobId,
    Lot,
    LotId,
    ProposalId,
    Spend,
    SpendLine,
    stored_cause,
)
from worker.ledger.batch import Batch
from worker.ledger.tables import BatchRow, ClosureRow, LotRow, SpendRow

DecidedColumns = tuple[
    Kind,
    int | None,
    str | None,
    int | None,
    int | None,
    int | None,
    str | None,
    datetime | None,
    FreelancerId | None,
    JobId | None,
    ProposalId | None,
    Outcome,
    str,
    str | None,
    str | None,
    str,
    float | None,
    datetime | None,
]
"""The columns of DecisionRow from `kind` to `business_time`, with their types, so that a swap is found."""

_json = msgspec.json.Encoder()
_NO_LINE: Final = (None, None)
Movements = list[tuple[str | None, str | None, str | None, int]]
"""Of each movement the lot, the proposal and its line, and how many Connects."""
_draws = msgspec.json.Decoder(list[tuple[str, str, int, datetime, datetime]])


def batch_row(batch: Batch) -> BatchRow:
    """A batch as the table of batches has it."""
    conditions = batch.conditions
    return BatchRow(
        batch.batch_no,
        conditions.epoch,
        batch.last_seq,
        batch.chain_head,
        batch.business_time,
        batch.recorded_at,
        batch.outbox_seq,
        batch.batch_uid,
        conditions.release,
        conditions.grace_seconds,
        conditions.skew_seconds,
        conditions.policy_versions,
        batch.time_before,
        batch.salt,
        [list(part) for part in batch.closures_worked] or None,  # lists: the driver takes no array of tuples
        [list(released) for released in batch.released_void] or None,
        batch.log.size,
        b"".join(batch.log.peaks),
        batch.leaf_marks,
    )


def decided_columns(decision: Decision) -> DecidedColumns:
    """What was decided: the columns of a decision's row from `kind` to `business_time`."""
    cause, subject = decision.cause, decision.subject
    return (
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
        _json.encode(decision.facts).decode(),
        decision.late_by_seconds,
        decision.business_time,
    )


def membership_text(decision: Decision) -> str | None:
    """The membership that a decision publishes, as the row has it; None: it publishes none."""
    return None if decision.membership is None else _json.encode(decision.membership).decode()


def movements_text(change: Change) -> str:
    """A change's movements as the row has them."""
    moved = [(lot_id, *(line or _NO_LINE), delta) for lot_id, _, line, delta in change.movements]
    return _json.encode(moved).decode()


movements_in: Final[Callable[[str], Movements]] = msgspec.json.Decoder(Movements).decode
"""The movements of a change's row."""
facts_in: Final[Callable[[str], dict[str, object]]] = msgspec.json.Decoder(dict[str, object]).decode
"""The facts of a decision's row."""


def spend_row(spend: Spend) -> SpendRow:
    """A spend as `write_spends` takes it; draws as [line, lot, connects, issued at, expires at]."""
    draws = [
        (line.name, draw.lot.lot_id, draw.connects, draw.lot.issued_at, draw.lot.expires_at)
        for line in spend.lines
        for draw in line.draws
    ]
    base, boost = spend.base, spend.boost
    return SpendRow(
        spend.proposal_id,
        spend.freelancer_id,
        spend.job_id,
        spend.decision_seq,
        spend.occurred_at,
        spend.origin,
        base.connects,
        boost.connects,
        base.debt,
        boost.debt,
        base.returned,
        boost.returned,
        spend.boost_outbid,
        spend.refunded_closing_at,
        _json.encode(draws).decode(),
        spend.withdrawn_at,
        spend.owes,
    )


def read_spend(row: SpendRow) -> Spend:
    """A spend as the ledger keeps it."""
    base = SpendLine("base", row.base, row.base_debt, row.base_returned)
    boost = SpendLine("boost", row.boost, row.boost_debt, row.boost_returned)
    for line_name, lot_id, connects, issued_at, expires_at in _draws.decode(row.draws):
        line = base if line_name == "base" else boost
        line.draws.append(Draw(BurnOrder(expires_at, issued_at, LotId(lot_id)), connects))
    return Spend(
        row.proposal_id,
        row.freelancer_id,
        row.job_id,
        row.decision_seq,
        row.occurred_at,
        row.origin,
        base,
        boost,
        row.withdrawn_at,
        row.boost_outbid,
        row.refunded_closing_at,
    )


def lot_row(lot: Lot) -> LotRow:
    """A lot as `write_lots` takes it."""
    order = lot.order
    return LotRow(
        order.lot_id,
        lot.freelancer_id,
        lot.source,
        order.issued_at,
        order.expires_at,
        lot.original,
        lot.remaining,
        lot.remaining > 0,
        lot.linked_to,
    )


def read_lot(row: LotRow) -> Lot:
    """A lot as the ledger keeps it."""
    order = BurnOrder(row.expires_at, row.issued_at, row.lot_id)
    return Lot(order, row.freelancer_id, row.source, row.original, row.remaining, row.linked_to)


def closure_row(closure: Closure) -> ClosureRow:
    """A closure as `write_closures` takes it."""
    return ClosureRow(
        closure.job_id,
        closure.closed_at,
        f"{closure.kind}{AGAIN}{closure.decision_seq}" if closure.voided else closure.kind,
        closure.decision_seq,
        *_record_of(closure.cause),
        closure.due_at,
        closure.settled_through,
        closure.settled,
        closure.returned_any,
    )


def read_closure(row: ClosureRow) -> Closure:
    """A closure as the ledger keeps it."""
    kind, voided, _ = row.closure.partition(AGAIN)
    return Closure(
        row.job_id,
        row.closed_at,
        cast("ClosureKind", kind),
        row.decision_seq,
        row.due_at,
        stored_cause(row.topic, row.incarnation, row.partition, row.offset, row.event_id, row.decision_seq),
        row.settled_through,
        row.settled,
        row.returned_any,
        bool(voided),
    )


def _record_of(cause: Cause) -> tuple[str, int | None, int | None, int | None, str]:
    """Topic, incarnation, partition, offset and event id of a cause that is an input record or an added event."""
    place = (cause.incarnation, cause.partition, cause.offset)
    has_place = None not in place if cause.added is None else place == (None, None, None)
    if cause.topic is None or not has_place or cause.event_id is None:
        raise AssertionError(f"{cause} is not an event")
    return cause.topic, *place, cause.event_id


def as_uuid(value: object) -> UUID:
    """PostgreSQL's uuid as Python's, whatever class the driver made of it."""
    return UUID(str(value))
