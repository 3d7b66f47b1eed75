"""The content that events were given by corrections, out of the payloads of these corrections."""

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from worker.ledger.store import FirstDecision


class _Trigger(msgspec.Struct):
    """The part of the trigger of a plan that says what the event's right content is."""

    event: str


JOB_CLOSED: Final = "job-closed"
"""The topic of events that are given no other content; as many corrections follow one as its job has proposals."""
_read: Final = msgspec.json.Decoder(_Trigger).decode


def content_in(payload: bytes | None) -> bytes:
    """The right content of an event, of a correction with this payload."""
    return _read(payload or b"").event.encode()


def first_decision_of(row: Iterable[Any]) -> FirstDecision:
    """A row of the statement `first_decisions`: the last two columns are corrections and their payloads, or nulls."""
    *columns, seqs, payloads = row
    replaced = tuple(zip(seqs or (), map(content_in, payloads or ()), strict=True))
    return FirstDecision(*columns)._replace(replaced=replaced)
