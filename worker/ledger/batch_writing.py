"""Writing a batch on the connection that writes: by COPY what there is much of, the rest in one statement."""

from collections.abc import Mapping, Sequence
from typing import Final

from worker.ledger import at_once
from worker.ledger.connections import Connection
from worker.ledger.deadlines import STATEMENT_SECONDS, answered_within
from worker.ledger.pool import Purpose
from worker.ledger.sql import load
from worker.ledger.store import Batch, Row

_SQL: Final = load("store.sql")

_MERGED: Final = ("lots", "spends", "closures", "hires", "memberships", "charges")
"""Tables of current state: a batch gives the whole row, in the order of the table's columns."""
_COPIED: Final = {
    "decisions": [
        *("seq", "batch_no", "kind", "follows", "topic", "incarnation", "partition", "offset", "event_id"),
        *("occurred_at", "freelancer_id", "job_id", "proposal_id", "outcome", "reason", "rule", "policy_version"),
        *("facts", "late_by_seconds", "business_time", "recorded_at", "payload"),
    ],
    "changes": [
        *("freelancer_id", "version", "decision_seq", "ordinal", "occurred_at", "recorded_at", "rule", "reason"),
        *("policy_version", "delta", "debt_delta", "balance_after", "explanation", "natural_key", "movements"),
    ],
    "mentions": ["key", "seq"],
    "seen_events": ["key", "seq"],
    "awaiting": ["proposal_id", "decision_seq"],
    "due": ["due_at", "kind", "key"],
    "held": ["decision_seq", "freelancer_id"],
}
"""Tables that a batch only adds to, and the columns of its rows."""
_NEW: Final = {"new_spends": "spends", "new_lots": "lots"}
"""Rows that are new in tables of current state, and their tables."""
_RARE: Final = {
    "parked": ["scope", "key", "decision_seq", "error", "since"],
    "parked_triggers": ["decision_seq", "scope", "key"],
    "dead_letters": [
        *("decision_seq", "topic", "incarnation", "partition", "offset", "timestamp_ms", "key", "value", "headers"),
        *("error_code", "error_detail"),
    ],
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

    async def write(self, connection: Connection, batch: Batch, epoch: int) -> None:
        """Write all that a batch holds; the caller commits."""
        await _write_rare(connection, batch)
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
        await connection.execute(self._at_once.text, *self._at_once.arguments(batch, epoch, large))


async def _write_rare(connection: Connection, batch: Batch) -> None:
    """Write what hardly any batch has: letters, what is parked or released, answers, policy versions."""
    await _copy_of(connection, batch, _RARE)
    for key in batch.unparked:
        await connection.execute(_SQL["unpark"], *key)
    if batch.triggers_released:
        await connection.execute(_SQL["release_triggers"], batch.triggers_released)
    for command_id, answer in batch.answers:
        await connection.execute(_SQL["answer_command"], command_id, answer)
    for policy in batch.policies:
        await connection.execute(_SQL["store_policy"], *policy)


async def _copy_of(connection: Connection, batch: Batch, tables: Mapping[str, Sequence[str]]) -> None:
    for table, names in tables.items():
        if rows := getattr(batch, table):
            await _copy(connection, table, rows, names)


async def _copy(connection: Connection, table: str, rows: Sequence[Row], names: Sequence[str] | None = None) -> None:
    with answered_within(connection, STATEMENT_SECONDS):  # the driver's own limit does not hold for COPY
        await connection.copy_records_to_table(table, records=rows, columns=names)
