"""Writing a batch in one statement, but for the tables of which it has many rows.

Each COPY costs two answers of the server and each merge one: forty round trips a batch, which a live event waits for.
A few rows go as arrays instead, all tables in one statement of many parts. Many rows are cheaper by COPY.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

import asyncpg

from worker.ledger.sql import load
from worker.ledger.store import Batch, Row
from worker.stream.records import Position

SMALL_ROWS: Final = 300
"""Of a table of which a batch has fewer rows they are written at once."""

_SQL: Final = load("store.sql")
_STAGED: Final = re.compile(r"staged_(\w+)(?: AS (\w+))?")
_NUMBERED: Final = re.compile(r"\$(\d+)")
_CLOSE_BATCH: Final = _SQL["close_batch"]
"""The part of it that every batch has."""
Columns = Mapping[str, str]
"""A table's columns, in their order, with their types."""


class AtOnce:
    """The statement for one connection.

    `added` names the columns of tables that are added to; `new` the tables of which a batch gives new rows apart, by
    its attribute; `merged` those of which it gives rows that may be there. The parts do not see each other's rows: no
    part may need what another one writes.
    """

    def __init__(
        self,
        tables: Mapping[str, Columns],
        added: Mapping[str, Sequence[str]],
        new: Mapping[str, str],
        merged: Sequence[str],
    ) -> None:
        self._sources: list[tuple[str, int]] = []
        """What the arrays are made of: an attribute of a batch, and how many columns it has."""
        self._parameters = 0
        parts = []
        for table, names in added.items():
            listed = ", ".join(f'"{name}"' for name in names)
            source = self._unnest(table, [tables[table][name] for name in names])
            parts.append(_insert(table, f"{table} ({listed})", source))
        for name, table in new.items():
            source = self._unnest(name, list(tables[table].values()))
            parts.append(_insert(table, table, source))
        for table in merged:
            source = self._unnest(table, list(tables[table].values()))
            listed = ", ".join(f'"{name}"' for name in tables[table])
            parts.append(f"merged_{table} AS ({_merge(table, source, listed)})")
        closing = _NUMBERED.sub(lambda found: f"${int(found[1]) + self._parameters}", _CLOSE_BATCH)
        self.text = f"WITH {', '.join(parts)}, {closing[closing.index('WITH ') + 5 :]}"

    def arguments(self, batch: Batch, epoch: int, but: Collection[str] = ()) -> list[object]:
        """The batch's rows, turned into an array for each column, and what closes it; `but` those that went by COPY."""
        arguments: list[object] = []
        for name, width in self._sources:
            arguments += _arrays((), width) if name in but else _arrays(getattr(batch, name), width)
        return arguments + _closing_arguments(batch, epoch)

    def _unnest(self, name: str, types: Sequence[str]) -> str:
        first = self._parameters + 1
        self._parameters += len(types)
        self._sources.append((name, len(types)))
        arrays = ", ".join(f"${number}::{type_}[]" for number, type_ in enumerate(types, start=first))
        return f"unnest({arrays})"


def _closing_arguments(batch: Batch, epoch: int) -> list[object]:
    return [
        *_arrays([_position_row(position) for position in batch.positions], 8),
        *_arrays(batch.awaiting_done, 2),
        *_arrays(batch.due_done, 2),
        batch.held_done,
        batch.drop_outbox_through,
        batch.outbox_seq,
        batch.batch_uid,
        batch.recorded_at,
        batch.outbox,
        batch.batch_no,
        epoch,
        batch.last_seq,
        batch.chain_head,
        batch.business_time,
    ]


async def columns_of(connection: "asyncpg.Connection[asyncpg.Record]") -> dict[str, dict[str, str]]:
    """The columns of all tables that this connection sees, in order, with their types."""
    found: dict[str, dict[str, str]] = {}
    for table, column, type_ in await connection.fetch(_SQL["columns"]):
        found.setdefault(table, {})[column] = type_
    return found


def _arrays(rows: Sequence[Row], width: int) -> Iterable[Sequence[object]]:
    return zip(*rows, strict=True) if rows else ((),) * width


def _position_row(position: Position) -> Row:
    return (
        *position.source,
        position.incarnation,
        position.next_offset,
        position.last_offset,
        position.last_timestamp,
        position.last_hash,
        position.running_max,
    )


def _insert(name: str, target: str, source: str) -> str:
    return f"added_{name} AS (INSERT INTO {target} SELECT * FROM {source})"  # noqa: S608 - of this code's own names


def _merge(table: str, source: str, columns: str) -> str:
    """The statement that merges staged rows, with arrays in the place of the staging table."""
    lines = [line for line in _SQL[f"write_{table}"].splitlines() if not line.startswith("--")]
    return _STAGED.sub(lambda found: f"{source} AS {found[2] or found[0]} ({columns})", "\n".join(lines))
