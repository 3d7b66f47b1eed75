"""`connects dead-letters list|show`: records that could never be decided, as the ledger keeps them."""

from datetime import datetime
from typing import Final

import asyncpg
import msgspec

from worker.ledger.connections import Connection
from worker.ledger.sql import load
from worker.stream.headers import unpack_headers

_SQL: Final = load("asking.sql")


class LetterTold(msgspec.Struct, frozen=True):
    """A record and why it was rejected; `seq` is the decision's.

    `timestamp_ms` is the producer's, whatever it claims; `sent_at` is None until Kafka has the letter.
    """

    seq: int
    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    error_code: str
    error_detail: str
    attempts: int
    sent_at: datetime | None


class Letters(msgspec.Struct, frozen=True):
    """Letters, newest first."""

    dead_letters: list[LetterTold]


class WholeLetter(msgspec.Struct, frozen=True):
    """A letter with what it held. Bytes that are no text are shown as text with escapes."""

    letter: LetterTold
    key: str | None
    value: str | None
    headers: list[tuple[str, str | None]]


async def list_letters(connection: Connection, last: int) -> Letters:
    """The last letters."""
    return Letters([_letter(row) for row in await connection.fetch(_SQL["dead_letters"], last)])


async def show_letter(connection: Connection, seq: int) -> WholeLetter | None:
    """One letter, by the seq of its decision; None if there is none."""
    row = await connection.fetchrow(_SQL["dead_letter"], seq)
    if row is None:
        return None
    headers = [
        (_readable(name.encode("utf-8", "surrogateescape")), value) for name, value in unpack_headers(row["headers"])
    ]
    return WholeLetter(
        _letter(row),
        None if row["key"] is None else _readable(row["key"]),
        None if row["value"] is None else _readable(row["value"]),
        [(name, None if value is None else _readable(value)) for name, value in headers],
    )


def _letter(row: asyncpg.Record) -> LetterTold:
    return LetterTold(
        row["decision_seq"],
        row["topic"],
        row["partition"],
        row["offset"],
        row["timestamp_ms"],
        row["error_code"],
        row["error_detail"],
        row["attempts"],
        row["sent_at"],
    )


def _readable(content: bytes) -> str:
    return content.decode("utf-8", "backslashreplace")
