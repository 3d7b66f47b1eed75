"""The Merkle log that the writer keeps in each store: recomputed from the rows it is the stored one, it goes on after a
restart, and whatever is altered changes its root."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg
import pytest

from tests.kit.deciding import Deciding, deciding
from tests.kit.log import Rows, differing, in_memory, on_postgresql, recomputed
from tests.kit.policies import policies
from tests.kit.story import day
from tests.property.test_writer_found_before import Timeline
from worker.engine.commands import CommandRunner, read_command
from worker.ledger.leaves import leaves_of, log_after
from worker.ledger.memory_store import MemoryStore
from worker.ledger.merkle import (
    EMPTY,
    Log,
    consistency_proof,
    inclusion_proof,
    is_consistent,
    root_by_inclusion,
    stored_log,
)
from worker.ledger.store import OpenCommand
from worker.ledger.tables import BatchRow

COMMAND = OpenCommand(UUID(int=7), "parked-release", '{"scope": "job",  "key": "j-1"}', "ann", "corrected", day(3))


class Logged(NamedTuple):
    """A ledger, and how its rows are read."""

    decides: Deciding
    read: Callable[[], Awaitable[Rows]]


@pytest.fixture
async def logged(ledger_url: str) -> AsyncIterator[Logged]:
    """Every kind of decision, late ones, debts, changes of two wallets, policies, a command; two restarts."""
    at = ledger_url or MemoryStore()
    timeline, book = Timeline(), policies()
    async with deciding(at, book) as decides:

        async def read() -> Rows:
            return in_memory(decides.store) if isinstance(decides.store, MemoryStore) else await on_postgresql(at)

        decides.add_policies()
        await decides.writer.advance({})
        named = {"freelancer_id": "f-1", "job_id": "j-1", "proposal_id": "p-1"}
        await decides.decide([timeline.registered(day(0)), timeline.event("boost-outbid", day(0), **named)])
        await decides.commit()
        await decides.restart()
        await decides.decide([timeline.proposed(day(1), 45), timeline.bought(day(1), 7, "f-2")])
        await decides.commit()
        await decides.decide([timeline.closed(day(2))])
        await decides.until(day(3))
        await ask(decides, ledger_url)
        await decides.restart()
        await decides.until(day(400))
        yield Logged(decides, read)


async def ask(decides: Deciding, ledger_url: str) -> None:
    """An operator asks, and gets an answer."""
    await put_command(decides, ledger_url)
    (asked,) = await decides.store.open_commands()
    await CommandRunner(decides.writer).run(read_command(asked))


async def put_command(decides: Deciding, ledger_url: str) -> None:
    """An operator asks."""
    if isinstance(decides.store, MemoryStore):
        decides.store.commands[COMMAND.id] = COMMAND
        return
    connection = await asyncpg.connect(ledger_url)
    columns = "id, name, arguments, actor, why, asked_at"
    await connection.execute(f"INSERT INTO commands ({columns}) VALUES ($1, $2, $3, $4, $5, $6)", *COMMAND)  # noqa: S608
    await connection.close()


async def test_the_log_recomputed_from_the_rows_is_the_stored_one(logged: Logged) -> None:
    rows = await logged.read()
    assert list(differing(rows)) == []
    assert len(rows.batches) > 5
    assert len({row.chain_head for row in rows.batches}) == len(rows.batches)
    assert {row.kind for row in rows.decisions} == {"first", "follow-up", "settlement", "clock", "command"}
    assert all(rows)


async def test_the_first_leaf_is_over_the_head_before_and_a_batch_appends_its_decisions_and_itself(
    logged: Logged,
) -> None:
    rows = await logged.read()
    assert [row.last_seq + row.batch_no + 1 for row in rows.batches] == [row.log_size for row in rows.batches]
    first = rows.batches[0]
    appended = leaves_of(first, [], [], [row for row in rows.policies if row.batch_no == 1], [])
    assert log_of(first) == log_after(bytes(32)).extended(appended.hashes)


async def test_the_tail_has_the_log_of_the_last_batch(logged: Logged) -> None:
    tail, last = await logged.decides.store.tail(), (await logged.read()).batches[-1]
    assert (tail.log, tail.chain_head) == (log_of(last), tail.log.root)


async def test_an_empty_ledger_begins_with_one_leaf(ledger_url: str) -> None:
    async with deciding(ledger_url or MemoryStore(), policies()) as decides:
        tail = await decides.store.tail()
    assert (tail.chain_head, tail.log) == (bytes(32), log_after(bytes(32)))


async def test_a_decision_is_proved_by_few_hashes_and_an_older_log_is_the_beginning(logged: Logged) -> None:
    rows = await logged.read()
    leaves = all_leaves(rows)
    size, root = len(leaves), rows.batches[-1].chain_head

    def tree_hash(start: int, end: int) -> bytes:
        return EMPTY.extended(leaves[start:end]).root

    for index, leaf in enumerate(leaves):
        assert root_by_inclusion(index, size, leaf, inclusion_proof(index, size, tree_hash)) == root
    for batch in rows.batches:
        older = (batch.log_size or 0, batch.chain_head)
        assert is_consistent(older, (size, root), consistency_proof(older[0], size, tree_hash))


async def test_any_altered_value_changes_the_root(logged: Logged) -> None:
    rows = await logged.read()
    last, altered = rows.batches[-1].batch_no, 0
    for part, place in places(rows):
        row = rows[part][place]
        for column, value in enumerate(row):
            name = row._fields[column]
            if name in KEYS or (isinstance(row, BatchRow) and name in FOLLOWS):
                continue
            rows[part][place] = row._replace(**{name: another(value)})
            assert recomputed(rows)[last].chain_head != rows.batches[-1].chain_head, f"{name} of {row}"
            altered += 1
        rows[part][place] = row
    assert list(differing(rows)) == []
    assert altered > 300


KEYS = {"batch_no", "decision_seq", "command_id", "seq", "ordinal"}
"""By which rows are put together here: a row with another key belongs elsewhere, or nowhere."""
FOLLOWS = {"chain_head", "log_size", "log_peaks", "leaf_marks"}
"""Compared with what is recomputed."""


@pytest.mark.parametrize("part", ["decisions", "changes", "policies"])
async def test_a_row_lost_doubled_or_out_of_order_changes_the_root(logged: Logged, part: str) -> None:
    rows = await logged.read()
    table: list[Any] = getattr(rows, part)
    for place in range(len(table)):
        row, others = table[place], [*table[:place], *table[place + 1 :]]
        rearranged = [others, [*table[: place + 1], *table[place:]]]
        if part != "changes" and place and table[place - 1].batch_no == row.batch_no:
            rearranged.append([*table[: place - 1], row, table[place - 1], *table[place + 1 :]])
        for other in rearranged:
            altered = rows._replace(**{part: other})
            seqs = {decision.seq for decision in altered.decisions}
            changes = [change for change in altered.changes if change.decision_seq in seqs]
            should_be = recomputed(altered._replace(changes=changes))
            assert should_be[rows.batches[-1].batch_no].chain_head != rows.batches[-1].chain_head


@pytest.mark.postgresql_only("rows that are altered behind the triggers' back")
async def test_a_row_altered_in_the_database_is_noticed_from_its_batch_on(logged: Logged, ledger_url: str) -> None:
    connection = await asyncpg.connect(ledger_url)
    await connection.execute("SET session_replication_role = replica")
    seq = await connection.fetchval("UPDATE changes SET delta = delta + 1 WHERE freelancer_id = 'f-2' RETURNING 3::int")
    assert seq == 3
    batch = await connection.fetchval(
        "SELECT min(batch_no) FROM decisions JOIN changes ON seq = decision_seq WHERE changes.freelancer_id = 'f-2'"
    )
    await connection.close()
    rows = await logged.read()
    assert list(differing(rows)) == [row.batch_no for row in rows.batches if row.batch_no >= batch]


def log_of(row: BatchRow) -> Log:
    return stored_log(row.log_size or 0, row.log_peaks or b"")


def all_leaves(rows: Rows) -> list[bytes]:
    """The leaves of a log, from its first."""
    leaves, answers = [log_after(bytes(32)).root], list(rows.answers)
    for batch in rows.batches:
        decisions = [row for row in rows.decisions if row.batch_no == batch.batch_no]
        seqs = {row.seq for row in decisions}
        replies = [answers.pop(0) for row in decisions if row.kind == "command"]
        stored = [row for row in rows.policies if row.batch_no == batch.batch_no]
        changes = [row for row in rows.changes if row.decision_seq in seqs]
        leaves += leaves_of(batch, decisions, changes, stored, replies).hashes
    return leaves


def places(rows: Rows) -> Iterator[tuple[int, int]]:
    for part, table in enumerate(rows):
        for place in range(len(table)):
            yield part, place


def another(value: object) -> object:  # noqa: PLR0911 - one for each kind
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
            return value[:-1] + bytes([value[-1] ^ 1]) if value else b" "
        case datetime():
            return value + timedelta(microseconds=1)
        case UUID():
            return UUID(int=value.int ^ 1)
        case list():
            return [*value, value[-1]]
    raise TypeError(type(value))
