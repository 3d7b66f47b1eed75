"""The content that events were given by corrections, out of the payloads of these corrections."""

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from worker.ledger.store import FirstDecision


class _Undone(msgspec.Struct):
    event: str


class _Found(msgspec.Struct):
    what: _Undone


class _Replace(msgspec.Struct, tag="replace"):
    """The part of the trigger of a plan that says what the event's right content is."""

    event: str


class _Undo(msgspec.Struct, tag="undo"):
    """The part of the trigger of a plan that says what the content was, before a replacement that is undone."""

    found: _Found


JOB_CLOSED: Final = "job-closed"
"""The topic of events that are given no other content; as many corrections follow one as its job has proposals."""
_read: Final = msgspec.json.Decoder(_Replace | _Undo).decode


def content_in(payload: bytes | None) -> bytes:
    """The content that an event was given, of a replacement with this payload, or of the undo of one."""
    trigger = _read(payload or b"")
    return (trigger.event if isinstance(trigger, _Replace) else trigger.found.what.event).encode()


def first_decision_of(row: Iterable[Any]) -> FirstDecision:
    """A row of the statement `first_decisions`: the last two columns are corrections and their payloads, or nulls."""
    *columns, seqs, payloads = row
    replaced = tuple(zip(seqs or (), map(content_in, payloads or ()), strict=True))
    return FirstDecision(*columns)._replace(replaced=replaced)
