"""Writing a small batch in one statement.

Each COPY costs two answers of the server and each merge one: forty round trips a batch, which a live event waits for. A
small batch goes as arrays instead, all its tables in one statement of many parts. A large one is cheaper by COPY.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final

import asyncpg

from worker.ledger.sql import load
from worker.ledger.store import Batch, Row

SMALL_ROWS: Final = 2_000
"""A batch with fewer rows in all is written at once."""

_SQL: Final = load("store.sql")
_STAGED: Final = re.compile(r"staged_(\w+)(?: AS (\w+))?")
Columns = Mapping[str, str]
"""A table's columns, in their order, with their types."""


class AtOnce:
    """The statement for one connection; `added` names the columns of tables that are added to, `merged` other tables.

    The parts do not see each other's rows: no part may need what another one writes.
    """

    def __init__(
        self, tables: Mapping[str, Columns], added: Mapping[str, Sequence[str]], merged: Sequence[str]
    ) -> None:
        self._sources: list[tuple[str, int]] = []
        """What the arrays are made of: an attribute of a batch, and how many columns it has."""
        self._parameters = 0
        parts = []
        for table, names in added.items():
            listed = ", ".join(f'"{name}"' for name in names)
            source = self._arrays(table, [tables[table][name] for name in names])
            parts.append(_insert(table, f"{table} ({listed})", source))
        for table in ("spends", "lots"):
            source = self._arrays(f"new_{table}", list(tables[table].values()))
            parts.append(_insert(table, table, source))
        for table in merged:
            source = self._arrays(table, list(tables[table].values()))
            listed = ", ".join(f'"{name}"' for name in tables[table])
            parts.append(f"merged_{table} AS ({_merge(table, source, listed)})")
        self.text = f"WITH {', '.join(parts)} SELECT"

    def arguments(self, batch: Batch) -> list[Sequence[object]]:
        """The batch's rows, turned into an array for each column."""
        arrays: list[Sequence[object]] = []
        for name, width in self._sources:
            rows: list[Row] = getattr(batch, name)
            arrays.extend(zip(*rows, strict=True) if rows else ((),) * width)
        return arrays

    def _arrays(self, name: str, types: Sequence[str]) -> str:
        first = self._parameters + 1
        self._parameters += len(types)
        self._sources.append((name, len(types)))
        arrays = ", ".join(f"${number}::{type_}[]" for number, type_ in enumerate(types, start=first))
        return f"unnest({arrays})"


def is_small(batch: Batch, tables: Sequence[str]) -> bool:
    """Whether a batch is better written at once."""
    return sum(len(getattr(batch, table)) for table in tables) < SMALL_ROWS


async def columns_of(connection: "asyncpg.Connection[asyncpg.Record]") -> dict[str, dict[str, str]]:
    """The columns of all tables that this connection sees, in order, with their types."""
    found: dict[str, dict[str, str]] = {}
    for table, column, type_ in await connection.fetch(_SQL["columns"]):
        found.setdefault(table, {})[column] = type_
    return found


def _insert(name: str, target: str, source: str) -> str:
    return f"added_{name} AS (INSERT INTO {target} SELECT * FROM {source})"  # noqa: S608 - of this code's own names


def _merge(table: str, source: str, columns: str) -> str:
    """The statement that merges staged rows, with arrays in the place of the staging table."""
    lines = [line for line in _SQL[f"write_{table}"].splitlines() if not line.startswith("--")]
    return _STAGED.sub(lambda found: f"{source} AS {found[2] or found[0]} ({columns})", "\n".join(lines))
