"""The rows' columns and the refusals of the store in memory agree with the tables' SQL."""

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from worker.ledger.memory_tables import Table, Tables

pytestmark = pytest.mark.postgresql_only("the tables themselves")

TABLES: dict[str, Table[Any]] = {table.name: table for table in vars(Tables()).values() if isinstance(table, Table)}
COLUMNS = """
SELECT attname, attnotnull, atthasdef FROM pg_attribute
WHERE attrelid = $1::text::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum
"""
UNIQUE = """
SELECT c.relname, array_agg(a.attname::text ORDER BY k.place) FROM pg_index i
JOIN pg_class c ON c.oid = i.indexrelid, unnest(i.indkey) WITH ORDINALITY AS k(attnum, place)
JOIN pg_attribute a ON a.attnum = k.attnum
WHERE i.indrelid = $1::text::regclass AND a.attrelid = i.indrelid AND i.indisunique GROUP BY c.relname
"""
CHECKS = "SELECT conname FROM pg_constraint WHERE conrelid = $1::text::regclass AND contype = 'c'"
NOT_IN_MEMORY = {"leader", "positions", "outbox", "relay_state", "commands", "workers", "adopted", "alembic_version"}
"""Tables that are kept there in another way, or not at all."""


@pytest.fixture
async def database(ledger_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(ledger_url)
    yield connection
    await connection.close()


async def test_memory_has_every_table(database: asyncpg.Connection) -> None:
    rows = await database.fetch("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()")
    assert {row["tablename"] for row in rows} == set(TABLES) | NOT_IN_MEMORY


@pytest.mark.parametrize("name", TABLES)
async def test_a_row_has_the_columns_of_its_table_in_their_order_and_null_where_they_may_be(
    database: asyncpg.Connection,
    name: str,
) -> None:
    """Some columns at the end have a default, or none is ever written."""
    table = TABLES[name]
    columns = await database.fetch(COLUMNS, name)
    if name == "policies":  # written by name
        columns = sorted(columns, key=lambda row: row["attname"] not in table.columns)
    written, left = columns[: len(table.columns)], columns[len(table.columns) :]
    assert [row["attname"] for row in written] == list(table.columns)
    assert [row["attname"] for row in written if row["attnotnull"]] == table.not_null
    assert all(row["atthasdef"] or not row["attnotnull"] for row in left)


@pytest.mark.parametrize("name", TABLES)
async def test_memory_knows_what_there_is_only_one_of(database: asyncpg.Connection, name: str) -> None:
    known = {unique.constraint: list(unique.columns) for unique in TABLES[name].unique}
    assert known == dict(map(tuple, await database.fetch(UNIQUE, name)))


@pytest.mark.parametrize("name", TABLES)
async def test_memory_has_every_condition_on_a_row(database: asyncpg.Connection, name: str) -> None:
    assert set(TABLES[name].checks) >= {row["conname"] for row in await database.fetch(CHECKS, name)}
