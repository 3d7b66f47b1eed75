"""`connects log releases`: which release decided from where to where."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import asyncpg
import msgspec

from worker.ledger.connections import Connection
from worker.ledger.sql import load

_SQL: Final = load("proof.sql")


class ReleaseUsed(msgspec.Struct, frozen=True):
    """A release, and the batches in a row that it wrote: their places in ledger order, and when they were recorded.

    `release` is null for one that did not store its name (before 0.2.0); `last_seq` is `first_seq` - 1 if it decided
    nothing.
    """

    release: str | None
    first_batch: int
    last_batch: int
    first_seq: int
    last_seq: int
    first_recorded_at: datetime
    last_recorded_at: datetime


class Releases(msgspec.Struct, frozen=True):
    """Every release that wrote the ledger, in order; one that came back is listed again."""

    releases: list[ReleaseUsed]


async def list_releases(connection: Connection) -> Releases:
    """Which release decided what. It reads every batch, but none of their decisions."""
    found: list[ReleaseUsed] = []
    begun = None
    for row in await connection.fetch(_SQL["releases"]):
        if row["begins"]:
            if begun is not None:
                found.append(_until(begun, row["batch_before"], row["seq_before"], row["recorded_before"]))
            begun = row
        if row["is_last"] and begun is not None:
            found.append(_until(begun, row["batch_no"], row["last_seq"], row["recorded_at"]))
    return Releases(found)


def first_after(used: Sequence[ReleaseUsed], seq: int) -> ReleaseUsed | None:
    """The first other release that decided after the one that took decision `seq`; None: there is none."""
    its = next((place for place, one in enumerate(used) if one.first_seq <= seq <= one.last_seq), len(used))
    later = (one for one in used[its + 1 :] if one.release != used[its].release and one.last_seq >= one.first_seq)
    return next(later, None)


def _until(begun: asyncpg.Record, batch_no: int, seq: int, recorded_at: datetime) -> ReleaseUsed:
    first_seq = begun["seq_before"] + 1
    return ReleaseUsed(begun["release"], begun["batch_no"], batch_no, first_seq, seq, begun["recorded_at"], recorded_at)
