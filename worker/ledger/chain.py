"""The hash chain over decisions and changes in ledger order: one link per batch, the head stored with each."""

from collections.abc import Iterable
from hashlib import blake2b

import msgspec

from worker.ledger.store import Row

_encoder = msgspec.msgpack.Encoder()


def canonical_bytes(row: Row) -> bytes:
    """The one byte form of a decision's or change's row, in the column order of its table. Instants are UTC."""
    return _encoder.encode(row)


def next_head(head: bytes, decisions: Iterable[Row], changes: Iterable[Row], movements: Iterable[Row]) -> bytes:
    """The 32-byte chain head after a batch: BLAKE2b of the head before, then its decisions, changes and movements, in order."""
    link = blake2b(head, digest_size=32)
    for rows in (decisions, changes, movements):
        for row in rows:
            link.update(canonical_bytes(row))
    return link.digest()
