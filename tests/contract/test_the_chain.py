"""The hash chain: recomputed from the tables it ends in the stored heads, and whatever is altered breaks it."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import asyncpg
import pytest

from tests.contract.conftest import Kept
from tests.support.story import Story, day
from worker.ledger.chain import next_head
from worker.ledger.store import Row

Tables = dict[int, tuple[list[Row], list[Row]]]
"""Of each batch: decisions and changes, in ledger order."""


async def read(url: str) -> tuple[Tables, list[bytes]]:
    """The tables' rows by batch, and the stored heads."""
    connection = await asyncpg.connect(url)
    batches = await connection.fetch("SELECT batch_no, chain_head FROM batches ORDER BY batch_no")
    tables: Tables = {row["batch_no"]: ([], []) for row in batches}
    batch_of: dict[int, int] = {}
    for row in await connection.fetch("SELECT * FROM decisions ORDER BY seq"):
        batch_of[row["seq"]] = row["batch_no"]
        tables[row["batch_no"]][0].append(tuple(row))
    for row in await connection.fetch("SELECT * FROM changes ORDER BY decision_seq, ordinal"):
        tables[batch_of[row["decision_seq"]]][1].append(tuple(row))
    await connection.close()
    return tables, [row["chain_head"] for row in batches]


def heads(tables: Tables) -> list[bytes]:
    head, found = bytes(32), []
    for batch in sorted(tables):
        head = next_head(head, *tables[batch])
        found.append(head)
    return found


@pytest.fixture
async def chained(kept: Kept, ledger_url: str, story: Story) -> tuple[Tables, list[bytes]]:
    """A ledger of four batches: every kind of decision, late ones, debts, changes of two wallets."""
    story.registered("f-1", at=day(0))
    story.outbid("p-1", by="f-1", on="j-1")
    await kept.keep(story)
    story.proposed("p-1", by="f-1", on="j-1", connects=45, boost=5, at=day(1))
    story.bought("f-2", 7)
    await kept.keep(story)
    story.until(day(3))
    story.closed("j-1", at=day(2))
    story.settled()
    await kept.keep(story)
    story.until(day(400))
    await kept.keep(story)
    return await read(ledger_url)


async def test_the_heads_recomputed_from_the_tables_are_the_stored_ones(chained: tuple[Tables, list[bytes]]) -> None:
    tables, stored = chained
    assert heads(tables) == stored
    assert len(set(stored)) == 4
    assert all(len(head) == 32 for head in stored)
    assert all(any(batch[part] for batch in tables.values()) for part in range(2))


async def test_a_batch_without_decisions_has_a_head_of_its_own(kept: Kept, ledger_url: str, story: Story) -> None:
    story.registered("f-1")
    await kept.keep(story)
    await kept.keep(story)
    tables, stored = await read(ledger_url)
    assert tables[2] == ([], [])
    assert heads(tables) == stored
    assert stored[0] != stored[1]


def test_no_two_ledgers_share_their_heads_by_chance_of_how_rows_are_cut() -> None:
    """Rows and columns are told apart: `ab` + `c` is not `a` + `bc`."""
    empty: list[Row] = []
    ends = [
        next_head(bytes(32), [("ab", "c")], empty),
        next_head(bytes(32), [("a", "bc")], empty),
        next_head(bytes(32), [("ab",), ("c",)], empty),
        next_head(bytes(32), [("ab",)], [("c",)]),
        next_head(bytes(32), empty, [("ab",), ("c",)]),
        next_head(next_head(bytes(32), [("ab",)], empty), [("c",)], empty),
    ]
    assert len(set(ends)) == len(ends)


async def test_any_altered_value_breaks_the_chain(chained: tuple[Tables, list[bytes]]) -> None:
    tables, stored = chained
    altered = 0
    for batch, part, place in places(tables):
        rows = tables[batch][part]
        row = rows[place]
        for column, value in enumerate(row):
            rows[place] = (*row[:column], another(value), *row[column + 1 :])
            assert heads(tables)[-1] != stored[-1], f"column {column} of {row} may be altered unnoticed"
            altered += 1
        rows[place] = row
    assert heads(tables) == stored
    assert altered > 200


REARRANGED: dict[str, Callable[[list[Row], list[Row]], Any]] = {
    "a row is lost": lambda rows, _: rows.pop(),
    "a row is added": lambda rows, _: rows.append(rows[-1]),
    "rows are exchanged": lambda rows, _: rows.reverse(),
    "a row moves to the next batch": lambda rows, later: later.insert(0, rows.pop()),
}


@pytest.mark.parametrize("how", REARRANGED)
@pytest.mark.parametrize("part", [0, 1])
async def test_a_row_lost_added_or_moved_breaks_the_chain(
    chained: tuple[Tables, list[bytes]], part: int, how: str
) -> None:
    tables, stored = chained
    REARRANGED[how](tables[2][part], tables[3][part])
    assert heads(tables)[-1] != stored[-1]


async def test_a_row_altered_in_the_database_behind_the_triggers_back_is_noticed(
    chained: tuple[Tables, list[bytes]], ledger_url: str
) -> None:
    assert heads(chained[0]) == chained[1]
    connection = await asyncpg.connect(ledger_url)
    await connection.execute("SET session_replication_role = replica")
    await connection.execute("UPDATE changes SET delta = delta + 1 WHERE freelancer_id = 'f-2'")
    await connection.close()
    tables, stored = await read(ledger_url)
    assert [one == other for one, other in zip(heads(tables), stored, strict=True)] == [True, False, False, False]


def places(tables: Tables) -> Iterator[tuple[int, int, int]]:
    for batch, parts in tables.items():
        for part, rows in enumerate(parts):
            for place in range(len(rows)):
                yield batch, part, place


def another(value: object) -> object:
    """The least different value of its kind."""
    match value:
        case None:
            return ""
        case bool():
            return not value
        case int() | float():
            return value + 1
        case str():
            return value + " "
        case bytes():
            return value + b" "
        case datetime():
            return value + timedelta(microseconds=1)
    raise TypeError(type(value))
