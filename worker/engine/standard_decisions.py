"""Answers that need no rule: rejected, seen before, parked."""

from typing import Final

from schemas.base import InputEvent
from schemas.reading import LARGEST_VALUE_BYTES, canonical_json, event_id_in
from worker.domain.decide import subject_of
from worker.domain.decisions import Decision, Fact, Kind, Subject
from worker.domain.model import Cause
from worker.kafka.headers import pack_headers
from worker.kafka.records import InputRecord, Rejection
from worker.ledger.parked import ParkedKey
from worker.ledger.store import FirstDecision
from worker.ledger.tables import DeadLetterRow

REFUSED_BY_POSTGRESQL: Final = "PostgreSQL refused it: "
"""How the failure of a trigger begins that no rule failed on, but whose decision PostgreSQL would not take."""


def rejected(record: InputRecord, rejection: Rejection, seq: int) -> Decision:
    """The decision on a record that can never be decided. It uses up no event id."""
    facts: dict[str, Fact] = {"field": rejection.field, "detail": rejection.detail}
    if record.batch is not None:
        facts |= {"last_offset": record.batch.last_offset, "records": record.batch.records}
    event = record.event
    event_id = event.event_id if event is not None else event_id_in(record.value)
    decision = _answer(seq, "first", _cause(record, event_id), event, "rejected", rejection.code, facts)
    decision.business_time = record.business_time
    decision.payload = _kept(record.value)
    return decision


def dead_letter(record: InputRecord, rejection: Rejection, seq: int) -> DeadLetterRow:
    """The letter's row in the ledger: the record as it came, and why."""
    return DeadLetterRow(
        seq,
        record.source.topic,
        record.incarnation,
        record.source.partition,
        record.offset,
        record.timestamp_ms,
        record.key,
        record.value,
        pack_headers(record.headers),
        rejection.code,
        rejection.detail,
    )


def seen_before(
    record: InputRecord, event: InputEvent, first: FirstDecision, seq: int
) -> tuple[Decision, Rejection | None]:
    """A repeat of an event id: a duplicate if it says the same, else a conflict, with the rejection it deserves.

    An event that was given other content says that as well as what it said first: its record is still in its topic.
    """
    facts: dict[str, Fact] = {
        "first_seq": first.seq,
        "first_topic": first.topic,
        "first_partition": first.partition,
        "first_offset": first.offset,
    }
    cause = _cause(record, event.event_id)
    said = (first.payload, *(content for _, content in first.replaced))
    if record.value in said or any(_same(record.value, one) for one in said):
        decision = _answer(seq, "first", cause, event, "duplicate", "already-decided", facts)
        rejection = None
    else:
        if first.offset is None:
            where = f"by the {first.topic} that was added as decision {first.seq}"
        else:
            where = f"at {first.topic}, partition {first.partition}, offset {first.offset}"
        rejection = Rejection("event-id-conflict", "event_id", f"event_id: was used with other content {where}")
        facts |= {"field": "event_id", "detail": rejection.detail}
        decision = _answer(seq, "first", cause, event, "rejected", rejection.code, facts)
    decision.business_time = record.business_time
    decision.payload = record.value
    return decision, rejection


def parked(
    seq: int, kind: Kind, cause: Cause, event: InputEvent | None, subject: Subject, key: ParkedKey, error: str | None
) -> Decision:
    """A trigger that waits: for a failure of its own (`error`), or behind an earlier one of its wallet or job."""
    facts: dict[str, Fact] = {"scope": key.scope, "key": key.key}
    reason = "waits-behind"
    if error is not None:
        facts["error"] = error.removeprefix(REFUSED_BY_POSTGRESQL)
        reason = "refused-by-postgresql" if error.startswith(REFUSED_BY_POSTGRESQL) else "failure-in-rule"
    decision = _answer(seq, kind, cause, event, "parked", reason, facts)
    decision.subject = subject
    return decision


def input_cause(record: InputRecord) -> Cause:
    """The record that a decision on it answers."""
    return _cause(record, record.event.event_id if record.event is not None else None)


def _cause(record: InputRecord, event_id: str | None) -> Cause:
    return Cause(record.source.topic, event_id, record.incarnation, record.source.partition, record.offset)


def _answer(
    seq: int, kind: Kind, cause: Cause, event: InputEvent | None, outcome: str, reason: str, facts: dict[str, Fact]
) -> Decision:
    subject = Subject() if event is None else subject_of(event)
    occurred_at = None if event is None else event.occurred_at
    return Decision(seq, kind, cause, occurred_at, subject, outcome, reason, None, None, facts, None)  # type: ignore[arg-type]


def _kept(value: bytes | None) -> bytes | None:
    """What is kept beside the decision; larger values stand in the dead letter alone."""
    return value if value is not None and len(value) <= LARGEST_VALUE_BYTES else None


def _same(value: bytes | None, payload: bytes | None) -> bool:
    return value is not None and payload is not None and canonical_json(value) == canonical_json(payload)
