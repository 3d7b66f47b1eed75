"""`connects dead-letters list|show`: records that could never be decided, as the ledger keeps them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import asyncpg
import msgspec

from worker.kafka.headers import unpack_headers
from worker.ledger.connections import Connection
from worker.ledger.sql import load

_SQL: Final = load("asking.sql")


class Redriven(msgspec.Struct, frozen=True):
    """That a letter was put before the worker again: when, by whom and why, by which plan, and the decision on it.

    `is_undone`: a later plan undid that.
    """

    at: datetime
    by: str
    why: str
    plan: str
    seq: int
    is_undone: bool


class DeadLetterRecord(msgspec.Struct, frozen=True):
    """A record and why it was rejected; `seq` is the decision's.

    `timestamp_ms` is the producer's, whatever it claims; `sent_at` is None until Kafka has the letter. `redriven` is
    None for one that still waits for a person.
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
    redriven: Redriven | None = None


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
    rows = await connection.fetch(_SQL["dead_letters"], last)
    again = await redriven(connection, [row["decision_seq"] for row in rows])
    return DeadLetters([_letter(row, again) for row in rows])


async def redriven(connection: Connection, letters: Sequence[int]) -> dict[int, Redriven]:
    """Which of these letters were redriven, each with what became of it last."""
    rows = await connection.fetch(_SQL["redriven"], letters)
    return {
        row["letter"]: Redriven(
            row["recorded_at"], row["actor"], row["why"], row["plan"], row["seq"], is_undone=row["is_undone"]
        )
        for row in rows
    }


async def show_letter(connection: Connection, seq: int) -> WholeDeadLetter | None:
    """One letter, by the seq of its decision; None if there is none."""
    row = await connection.fetchrow(_SQL["dead_letter"], seq)
    if row is None:
        return None
    headers = [
        (_readable(name.encode("utf-8", "surrogateescape")), value) for name, value in unpack_headers(row["headers"])
    ]
    return WholeDeadLetter(
        _letter(row, await redriven(connection, [seq])),
        None if row["key"] is None else _readable(row["key"]),
        None if row["value"] is None else _readable(row["value"]),
        [(name, None if value is None else _readable(value)) for name, value in headers],
    )


def _letter(row: asyncpg.Record, again: dict[int, Redriven]) -> DeadLetterRecord:
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
        again.get(row["decision_seq"]),
    )


def _readable(content: bytes) -> str:
    return content.decode("utf-8", "backslashreplace")
