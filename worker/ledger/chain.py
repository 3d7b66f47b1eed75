"""The hash chain over decisions and changes in ledger order: one link per batch, the head stored with each."""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

import msgspec

from worker.ledger.tables import DecisionRow

Row = tuple[object, ...]

DECISION_COLUMNS: Final = DecisionRow._fields[: DecisionRow._fields.index("previous_seq")]
"""The columns of a decision that the chain is over: those that release 0.1.0 had. Of a change it is over all."""

_encoder = msgspec.msgpack.Encoder()


def canonical_bytes(rows: Sequence[Row]) -> bytes:
    """The one byte form of a batch's rows of one table: MessagePack, in the table's column order. Instants are UTC."""
    return _encoder.encode(rows)


def next_head(head: bytes, decisions: Sequence[Row], changes: Sequence[Row]) -> bytes:
    """The 32-byte head after a batch: BLAKE2b of the head before, then of its decisions and changes."""
    link = blake2b(head, digest_size=32)
    for rows in (decisions, changes):
        link.update(canonical_bytes(rows))
    return link.digest()
