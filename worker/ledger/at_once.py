"""Writing a batch in one statement, but for the tables of which it has many rows.

Each COPY costs two answers of the server and each merge one: forty round trips a batch, which a live event waits for.
A few rows go as arrays instead, all tables in one statement of many parts. Many rows are cheaper by COPY.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

import asyncpg

from worker.kafka.records import Position
from worker.ledger.batch import Batch
from worker.ledger.rows import batch_row
from worker.ledger.sql import load
from worker.ledger.tables import DecisionRow

SMALL_ROWS: Final = 300
"""A table of which a batch has fewer rows goes into the single statement; larger ones use COPY."""

_SQL: Final = load("store.sql")
_STAGED: Final = re.compile(r"staged_\w+")
_NUMBERED: Final = re.compile(r"\$(\d+)")
_CLOSE_BATCH: Final = _SQL["close_batch"]
"""The part of it that every batch has; its parameters come first."""
_BATCHES: Final = re.compile(r"INSERT INTO batches \((.*)\)\s+VALUES \((.*)\)")


def _of_the_batch() -> dict[str, str]:
    found = _BATCHES.search(_CLOSE_BATCH)
    if found is None:
        raise AssertionError("close_batch inserts its batch")
    parameters = dict(zip(found[1].split(", "), found[2].split(", "), strict=True))
    return {name: parameters[name] for name in ("batch_no", "recorded_at")}


_OF_THE_BATCH: Final = _of_the_batch()
"""Columns that are the same in all rows that a batch adds, and which parameters of `close_batch` they are."""
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
        self._sources: list[tuple[str, list[int]]] = []
        """What the arrays are made of: an attribute of a batch, and which of its rows' places."""
        self._parameters = max(int(number) for number in _NUMBERED.findall(_CLOSE_BATCH))
        parts = []
        for table, names in added.items():
            listed = ", ".join(f'"{name}"' for name in names)
            told = ", ".join(_OF_THE_BATCH.get(name, f'r."{name}"') for name in names)
            types = {name: tables[table][name] for name in names}
            parts.append(_insert(table, f"{table} ({listed})", told, self._unnest(table, types, but=_OF_THE_BATCH)))
        for name, table in new.items():
            parts.append(_insert(name, table, "*", self._unnest(name, tables[table])))
        parts += [f"merged_{table} AS ({_merge(table, self._unnest(table, tables[table]))})" for table in merged]
        self.text = f"WITH {', '.join(parts)}, {_CLOSE_BATCH[_CLOSE_BATCH.index('WITH ') + 5 :]}"

    def arguments(self, batch: Batch, but: Collection[str] = ()) -> list[object]:
        """What closes the batch, and its rows, turned into an array for each column; `but` those that went by COPY."""
        arguments = _closing_arguments(batch)
        for name, places in self._sources:
            rows = () if name in but else getattr(batch, name)
            if name == "decisions":
                rows = sorted(rows, key=_is_of_the_clock)
            arguments += _arrays(rows, places)
        return arguments

    def _unnest(self, name: str, types: Columns, but: Collection[str] = ()) -> str:
        """The rows of an attribute of a batch, `but` some columns."""
        sent = [(place, column) for place, column in enumerate(types) if column not in but]
        self._sources.append((name, [place for place, _ in sent]))
        first = self._parameters + 1
        self._parameters += len(sent)
        arrays = ", ".join(f"${number}::{types[column]}[]" for number, (_, column) in enumerate(sent, start=first))
        columns = ", ".join(f'"{column}"' for _, column in sent)
        return f"unnest({arrays}) AS r ({columns})"


def _closing_arguments(batch: Batch) -> list[object]:
    row = batch_row(batch)
    return [
        *_arrays([_position_row(position) for position in batch.positions], range(8)),
        *_arrays(batch.awaiting_done, range(2)),
        *_arrays(batch.due_done, range(2)),
        batch.held_done,
        batch.drop_outbox_through,
        row.outbox_seq,
        row.batch_uid,
        row.recorded_at,
        batch.outbox,
        *row[:5],
        *row[8:],
    ]


async def columns_of(connection: "asyncpg.Connection[asyncpg.Record]") -> dict[str, dict[str, str]]:
    """The columns of all tables that this connection sees, in order, with their types."""
    found: dict[str, dict[str, str]] = {}
    for table, column, type_ in await connection.fetch(_SQL["columns"]):
        found.setdefault(table, {})[column] = type_
    return found


def _arrays(rows: Sequence[tuple[Any, ...]], places: Iterable[int]) -> list[Sequence[object]]:
    """Columns of these rows. Arrays that end early are filled up with nulls: those at the end need not be sent."""
    if not rows:
        return [() for _ in places]
    columns = list(zip(*rows, strict=True))
    return [_without_nulls_at_the_end(columns[place]) for place in places]


def _without_nulls_at_the_end(column: Sequence[object]) -> Sequence[object]:
    length = len(column)
    while length and column[length - 1] is None:
        length -= 1
    return column[:length]


def _is_of_the_clock(decision: DecisionRow) -> bool:
    """Sorts decisions so that those come last that have nulls where others name their record."""
    return decision.kind == "clock"


def _position_row(position: Position) -> tuple[object, ...]:
    return (
        *position.source,
        position.incarnation,
        position.next_offset,
        position.last_offset,
        position.last_timestamp,
        position.last_hash,
        position.running_max,
    )


def _insert(name: str, target: str, columns: str, source: str) -> str:
    return f"added_{name} AS (INSERT INTO {target} SELECT {columns} FROM {source})"  # noqa: S608 - of this code's own names


def _merge(table: str, source: str) -> str:
    """The statement that merges staged rows, with arrays in the place of the staging table."""
    lines = [line for line in _SQL[f"write_{table}"].splitlines() if not line.startswith("--")]
    return _STAGED.sub(source, "\n".join(lines))
