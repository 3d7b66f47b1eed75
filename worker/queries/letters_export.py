"""Dead letters as lines that `connects replay plan --add` reads, in ledger order, however many there are.

A value that is a JSON object is the line's `value`, to the byte but for the space between its parts. Any other value is
in base64 as `value_base64` (null: the record had none): it is no event, whatever is done, and planning names it.
"""

from base64 import b64encode
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import datetime
from typing import Final, NamedTuple

import asyncpg
import msgspec

from schemas.json_text import canonical, parsed
from worker.ledger.connections import Connection
from worker.ledger.sql import load
from worker.queries.log_query import LogQuery, span_of

_SQL: Final = load("log.sql")
_SEQS: Final = 2_000
"""How many letters are looked at in a statement."""
_BYTES: Final = 8 * 1024 * 1024
"""How much of their values is held at a time; at least one value is."""


class LettersQuery(NamedTuple):
    """Which letters: of any of the causes and topics, rejected from an instant on and before another, or these seqs.

    What is empty or None takes all.
    """

    causes: tuple[str, ...] = ()
    topics: tuple[str, ...] = ()
    rejected_from: datetime | None = None
    rejected_to: datetime | None = None
    seqs: tuple[int, ...] = ()


class LetterOf(msgspec.Struct, frozen=True):
    """Which record it was and why it was rejected; nobody reads it but people."""

    seq: int
    cause: str
    detail: str
    rejected_at: datetime
    partition: int
    offset: int
    timestamp_ms: int


class LetterLine(NamedTuple):
    """A line, with its end; `is_event` where its value is a JSON object."""

    line: bytes
    is_event: bool


_encode: Final = msgspec.json.Encoder().encode


async def letter_lines(connection: Connection, query: LettersQuery) -> AsyncGenerator[list[LetterLine], None]:
    """The lines in pages; raises as `letter_rows` does."""
    async with aclosing(letter_rows(connection, query)) as pages:
        async for rows in pages:
            yield [_line(row) for row in rows]


async def letter_rows(connection: Connection, query: LettersQuery) -> AsyncGenerator[list[asyncpg.Record], None]:
    """The letters in pages, in ledger order, with the columns of the statement `letters`; little is held at a time.

    Raises:
        asyncpg.PostgresError, OSError: the database is away.
    """
    span = await span_of(connection, LogQuery(recorded_from=query.rejected_from, recorded_to=query.rejected_to))
    after = span.after
    while True:
        rows = await connection.fetch(
            _SQL["letters_between"],
            *(after, span.through, query.causes or None, query.topics or None),
            *(query.rejected_from, query.rejected_to, _SEQS, query.seqs or None),
        )
        for seqs in _portions(rows):
            yield await connection.fetch(_SQL["letters"], seqs)
        if len(rows) < _SEQS:
            return
        after = rows[-1]["seq"]


def _portions(rows: list[asyncpg.Record]) -> list[list[int]]:
    """The seqs, so many together as are held at a time."""
    portions: list[list[int]] = []
    held = 0
    for seq, size in rows:
        if not portions or held + size > _BYTES:
            portions.append([])
            held = 0
        portions[-1].append(seq)
        held += size
    return portions


def _line(row: asyncpg.Record) -> LetterLine:
    seq, topic, partition, offset, timestamp_ms, cause, detail, rejected_at, value = row
    about = LetterOf(seq, cause, detail, rejected_at, partition, offset, timestamp_ms)
    on_one_line = None if value is None else json_object(value)
    if on_one_line is not None:
        line = _encode({"topic": topic, "value": msgspec.Raw(on_one_line), "dead_letter": about})
    else:
        content = None if value is None else b64encode(value).decode()
        line = _encode({"topic": topic, "value_base64": content, "dead_letter": about})
    return LetterLine(line + b"\n", on_one_line is not None)


def json_object(value: bytes) -> bytes | None:
    """The value without line breaks between its parts, if it is a JSON object in UTF-8; else None."""
    if not value.lstrip(b" \t\r\n").startswith(b"{"):
        return None
    try:
        text = value.decode()
        try:
            return msgspec.json.format(value, indent=-1)
        except msgspec.MsgspecError:  # half a character, which is JSON all the same
            return canonical(parsed(text)).encode()
    except (ValueError, RecursionError):
        return None
