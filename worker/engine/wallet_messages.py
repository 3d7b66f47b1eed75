"""The message about a change of a wallet, when it is booked; and the same message again, from what the ledger keeps."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

import msgspec

from schemas.outputs import Subject as PublishedSubject
from worker.domain.decisions import Change, Subject
from worker.domain.model import Cause, FreelancerId
from worker.domain.rules.refunds import CLAW_BACK
from worker.engine.event_ids import event_id_of
from worker.kafka.output.messages import Message, RepublishedMessage, time_text
from worker.ledger.recorded_change import RecordedChange
from worker.ledger.rows import facts_in, movements_in

WALLET_UPDATED: Final = "wallet-updated"
_encode = msgspec.json.Encoder().encode


class _Cause(msgspec.Struct, frozen=True):
    topic: str | None
    event_id: str | None


class _AddedCause(msgspec.Struct, frozen=True):
    topic: str
    event_id: str | None
    added: int


class _InputCause(msgspec.Struct, frozen=True):
    topic: str | None
    incarnation: int | None
    partition: int | None
    offset: int | None
    event_id: str | None


class LotMoved(msgspec.Struct):
    """What a change did to one lot, in Connects."""

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
    cause: _Cause | _InputCause | _AddedCause
    subject: Mapping[str, str]
    lots: list[LotMoved]
    explanation: str
    corrects: Sequence[str] | msgspec.UnsetType = msgspec.UNSET


def wallet_message(
    change: Change,
    cause: Cause,
    recorded_at: datetime,
    moved: list[LotMoved],
    corrects: Sequence[str] | None,
) -> Message:
    """The message about a change that was booked at this instant; `moved` is what it did to each lot, in order."""
    event_id = event_id_of(f"{change.freelancer_id}/{change.version}")
    update = _WalletUpdated(
        event_id,
        change.freelancer_id,
        change.version,
        change.occurred_at,
        recorded_at,
        change.delta,
        change.debt_delta,
        change.balance_before,
        change.balance_after,
        change.balance_after < 0,
        change.rule,
        change.reason,
        change.policy_version,
        _told_cause(cause),
        change.about,
        moved,
        change.explanation,
        corrects or msgspec.UNSET,
    )
    key = change.freelancer_id.encode()
    return Message(WALLET_UPDATED, key, _encode(update), event_id, time_text(change.occurred_at))


def message_again(recorded: RecordedChange, command: str) -> RepublishedMessage:
    """The message about a change as it was published first, to the byte, to be published once more by a command."""
    row = recorded.change
    change = Change(
        FreelancerId(row.freelancer_id),
        row.version,
        row.occurred_at,
        row.rule,
        row.reason,
        row.policy_version,
        row.delta,
        row.debt_delta,
        row.balance_after,
        [],
        Subject(),
        {},
        _about(recorded),
        explanation=row.explanation,
    )
    corrects = None if recorded.trigger is None else _trigger_in(recorded.trigger).corrects
    first = wallet_message(change, recorded.cause, row.recorded_at, _moved(recorded), corrects)
    named = (first.topic, first.key, first.value, first.ce_id, first.ce_time)
    return RepublishedMessage(*named, republished=command)


class _Trigger(msgspec.Struct):
    corrects: list[str] | None = None


_trigger_in: Final = msgspec.json.Decoder(_Trigger).decode
_IN_ORDER: Final = tuple(PublishedSubject.model_fields)


def _about(recorded: RecordedChange) -> dict[str, str]:
    """The subject that was published: what of the decision a message names, but for a hire that took Connects back.

    That decision is about many proposals; the change names its own, if it is about one alone.
    """
    named: dict[str, object] = facts_in(recorded.facts)
    named |= {"job_id": recorded.job_id, "proposal_id": recorded.proposal_id}
    if recorded.change.rule == CLAW_BACK:
        proposals = {proposal_id for _, proposal_id, _, _ in movements_in(recorded.change.movements)}
        named["proposal_id"] = proposals.pop() if len(proposals) == 1 else None
    return {name: str(named[name]) for name in _IN_ORDER if named.get(name) is not None}


def _moved(recorded: RecordedChange) -> list[LotMoved]:
    moved: dict[str, LotMoved] = {}
    for lot_id, _, _, delta in movements_in(recorded.change.movements):
        if lot_id is not None and lot_id in moved:
            moved[lot_id].delta += delta
        elif lot_id is not None:
            moved[lot_id] = LotMoved(lot_id, delta, recorded.ends[lot_id])
    return list(moved.values())


def _told_cause(cause: Cause) -> _Cause | _InputCause | _AddedCause:
    if cause.topic is None:
        return _Cause(None, cause.event_id)
    if cause.added is not None:
        return _AddedCause(cause.topic, cause.event_id, cause.added)
    return _InputCause(cause.topic, cause.incarnation, cause.partition, cause.offset, cause.event_id)
