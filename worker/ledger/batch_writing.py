"""Writing a batch on the connection that writes: by COPY what there is much of, the rest in one statement."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from worker.domain.state import Due, Voided
from worker.ledger import at_once
from worker.ledger.batch import Batch
from worker.ledger.connections import Connection
from worker.ledger.deadlines import STATEMENT_SECONDS, answered_within
from worker.ledger.pool import Purpose
from worker.ledger.sql import load
from worker.ledger.tables import (
    AwaitingRow,
    ChangeRow,
    DeadLetterRow,
    DecisionRow,
    HeldRow,
    MentionRow,
    ParkedRow,
    ParkedTriggerRow,
    ReplayedRow,
    SeenRow,
)

_SQL: Final = load("store.sql")

_MERGED: Final = ("lots", "spends", "closures", "hires", "memberships", "charges")
"""Tables of current state: a batch gives the whole row, in the order of the table's columns."""
_COPIED: Final[Mapping[str, Sequence[str]]] = {
    "decisions": DecisionRow._fields,
    "changes": ChangeRow._fields,
    "mentions": MentionRow._fields,
    "seen_events": SeenRow._fields,
    "awaiting": AwaitingRow._fields,
    "due": Due._fields,
    "held": HeldRow._fields,
}
"""Tables that a batch only adds to, and the columns of its rows."""
_NEW: Final = {"new_spends": "spends", "new_lots": "lots"}
"""Rows that are new in tables of current state, and their tables."""
_RARE: Final[Mapping[str, Sequence[str]]] = {
    "parked": ParkedRow._fields,
    "parked_triggers": ParkedTriggerRow._fields,
    "dead_letters": DeadLetterRow._fields,
    "replayed": ReplayedRow._fields,
    "voided": Voided._fields,
}
"""The same, of what hardly any batch has."""


class BatchWriting:
    """`prepare` a connection, then `write` on it, within a transaction, as many batches as there are."""

    def __init__(self) -> None:
        self._at_once: at_once.AtOnce | None = None
        """The statement for each batch, of the present connection that writes."""

    async def prepare(self, purpose: Purpose, connection: Connection) -> None:
        """Give a connection that writes its staging tables and its statement; others need nothing."""
        if purpose == "writer":
            await connection.execute(_SQL["staging"])
            self._at_once = at_once.AtOnce(await at_once.columns_of(connection), _COPIED, _NEW, _MERGED)

    async def write(self, connection: Connection, batch: Batch) -> None:
        """Write all that a batch holds; the caller commits."""
        await _write_rare(connection, batch)
        if batch.held_back:
            await connection.execute(_SQL["hold_back"], *map(list, zip(*batch.held_back, strict=True)), batch.batch_no)
        large = {name for name in (*_COPIED, *_MERGED, *_NEW) if len(getattr(batch, name)) >= at_once.SMALL_ROWS}
        for table in _MERGED:
            if table in large:
                await _copy(connection, f"staged_{table}", getattr(batch, table))
                await connection.execute(_SQL[f"write_{table}"])
        for name, table in _NEW.items():
            if name in large:
                await _copy(connection, table, getattr(batch, name))
        await _copy_of(connection, batch, {table: names for table, names in _COPIED.items() if table in large})
        if self._at_once is None:
            raise AssertionError("the connection that writes has its statement")
        await connection.execute(self._at_once.text, *self._at_once.arguments(batch, large))


async def _write_rare(connection: Connection, batch: Batch) -> None:
    """Write what hardly any batch has: letters, what is parked, released or on hold, answers, policies, plans."""
    await _copy_of(connection, batch, _RARE)
    for key in batch.unparked:
        await connection.execute(_SQL["unpark"], *key)
    rows = {"void_spends": batch.spends_voided, "unvoid": batch.unvoided, "release_triggers": batch.triggers_released}
    for statement, keys in rows.items():
        if keys:
            await connection.execute(_SQL[statement], keys)
    for place in batch.holds_ended:
        await connection.execute(_SQL["end_hold"], *place)
    for hold in batch.holds:
        await connection.execute(_SQL["store_hold"], *hold)
    for replay in batch.replays:
        await connection.execute(_SQL["store_replay"], *replay)
    for answer in batch.answers:
        await connection.execute(_SQL["answer_command"], answer.command_id, answer.answer)
    for amended in batch.amended:
        await connection.execute(_SQL["amend"], *amended)
    for policy in batch.policies:
        await connection.execute(_SQL["store_policy"], *policy)


async def _copy_of(connection: Connection, batch: Batch, tables: Mapping[str, Sequence[str]]) -> None:
    for table, names in tables.items():
        if rows := getattr(batch, table):
            await _copy(connection, table, rows, names)


async def _copy(
    connection: Connection, table: str, rows: Sequence[tuple[Any, ...]], names: Sequence[str] | None = None
) -> None:
    with answered_within(connection, STATEMENT_SECONDS):  # the driver's own limit does not hold for COPY
        await connection.copy_records_to_table(table, records=rows, columns=names)
