"""`connects dead-letters list|show`: records that could never be decided, as the ledger keeps them."""

from datetime import datetime
from typing import Final

import asyncpg
import msgspec

from worker.kafka.headers import unpack_headers
from worker.ledger.connections import Connection
from worker.ledger.sql import load

_SQL: Final = load("asking.sql")


class DeadLetterRecord(msgspec.Struct, frozen=True):
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


class DeadLetters(msgspec.Struct, frozen=True):
    """Letters, newest first."""

    dead_letters: list[DeadLetterRecord]


class WholeDeadLetter(msgspec.Struct, frozen=True):
    """A letter with what it held. Bytes that are no text are shown as text with escapes."""

    letter: DeadLetterRecord
    key: str | None
    value: str | None
    headers: list[tuple[str, str | None]]


class LettersOfCause(msgspec.Struct, frozen=True):
    """Letters of one topic and code; `last_seq` is the decision of the last one."""

    topic: str
    error_code: str
    letters: int
    unsent: int
    last_seq: int


async def letters_by_cause(connection: Connection, most: int) -> list[LettersOfCause]:
    """All letters, counted by topic and code: the `most` frequent."""
    return [LettersOfCause(*row) for row in await connection.fetch(_SQL["dead_letters_by_cause"], most)]


async def list_letters(connection: Connection, last: int) -> DeadLetters:
    """The last letters."""
    return DeadLetters([_letter(row) for row in await connection.fetch(_SQL["dead_letters"], last)])


async def show_letter(connection: Connection, seq: int) -> WholeDeadLetter | None:
    """One letter, by the seq of its decision; None if there is none."""
    row = await connection.fetchrow(_SQL["dead_letter"], seq)
    if row is None:
        return None
    headers = [
        (_readable(name.encode("utf-8", "surrogateescape")), value) for name, value in unpack_headers(row["headers"])
    ]
    return WholeDeadLetter(
        _letter(row),
        None if row["key"] is None else _readable(row["key"]),
        None if row["value"] is None else _readable(row["value"]),
        [(name, None if value is None else _readable(value)) for name, value in headers],
    )


def _letter(row: asyncpg.Record) -> DeadLetterRecord:
    return DeadLetterRecord(
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
