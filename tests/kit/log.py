"""The Merkle log, and the hash chain before it, recomputed from a whole ledger's rows at once."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg
import msgspec

from worker.ledger.chain import DECISION_COLUMNS, next_head
from worker.ledger.leaves import as_text, leaves_of, log_after
from worker.ledger.memory_store import MemoryStore
from worker.ledger.merkle import Log
from worker.ledger.tables import AnswerRow, BatchRow, ChangeRow, DecisionRow, PolicyRow

ZERO = bytes(32)


class Rows(NamedTuple):
    """What the hashes are over, each table in ledger order."""

    batches: list[BatchRow]
    decisions: list[DecisionRow]
    changes: list[ChangeRow]
    policies: list[PolicyRow]
    answers: list[AnswerRow]


class Recomputed(NamedTuple):
    """What a batch's hashes should be: the chain's head, or the log."""

    chain_head: bytes
    log: Log | None


def in_memory(store: MemoryStore) -> Rows:
    tables = store.tables
    in_order = sorted(tables.changes, key=lambda row: (row.decision_seq, row.ordinal))
    return Rows(
        list(tables.batches), list(tables.decisions), in_order, list(tables.policies), list(store.answers.values())
    )


async def on_postgresql(url: str) -> Rows:
    connection = await asyncpg.connect(url)
    try:
        batches = await _read(connection, BatchRow, "batches", "batch_no")
        commands = await connection.fetch(
            "SELECT c.id, c.answer, c.name, c.arguments, c.actor, c.why, c.asked_at FROM commands c"
            " JOIN decisions d ON d.kind = 'command' AND d.event_id = 'command:' || c.id ORDER BY d.seq"
        )
        return Rows(
            [row._replace(batch_uid=row.batch_uid and UUID(str(row.batch_uid))) for row in batches],
            await _read(connection, DecisionRow, "decisions", "seq"),
            await _read(connection, ChangeRow, "changes", "decision_seq, ordinal"),
            await _read(connection, PolicyRow, "policies", "version"),
            [_answer(*row) for row in commands],
        )
    finally:
        await connection.close()


async def _read(connection: asyncpg.Connection, row: Any, table: str, order: str) -> list[Any]:  # noqa: ANN401
    columns = ", ".join(f'"{name}"' for name in row._fields)
    return [row(*found) for found in await connection.fetch(f"SELECT {columns} FROM {table} ORDER BY {order}")]  # noqa: S608


def _answer(command_id: object, answer: str, name: str, arguments: str, *rest: Any) -> AnswerRow:  # noqa: ANN401
    return AnswerRow(UUID(str(command_id)), answer, name, as_text(msgspec.json.decode(arguments)), *rest)


def recomputed(rows: Rows) -> dict[int, Recomputed]:
    """What the hashes of each batch should be by its rows and those of the batches before it."""
    decisions, changes = _by_batch(rows)
    policies = defaultdict[int, list[PolicyRow]](list)
    for policy in rows.policies:
        policies[policy.batch_no].append(policy)
    answers = {f"command:{row.command_id}": row for row in rows.answers}
    head, log, found = ZERO, None, {}
    for batch in rows.batches:
        of_batch, moved = decisions[batch.batch_no], changes[batch.batch_no]
        if batch.log_size is None:
            head = next_head(head, [row[: len(DECISION_COLUMNS)] for row in of_batch], moved)
        else:
            log = log or log_after(head, policies[0])
            named = (str(row.event_id) for row in of_batch if row.kind == "command")
            replies = [answers[name] for name in named if name in answers]
            log = log.extended(leaves_of(batch, of_batch, moved, policies[batch.batch_no], replies).hashes)
            head = log.root
        found[batch.batch_no] = Recomputed(head, log)
    return found


def _by_batch(rows: Rows) -> tuple[Mapping[int, list[DecisionRow]], Mapping[int, list[ChangeRow]]]:
    decisions, changes = defaultdict[int, list[DecisionRow]](list), defaultdict[int, list[ChangeRow]](list)
    batch_of = {}
    for decision in rows.decisions:
        batch_of[decision.seq] = decision.batch_no
        decisions[decision.batch_no].append(decision)
    for change in rows.changes:
        changes[batch_of[change.decision_seq]].append(change)
    return decisions, changes


def differing(rows: Rows) -> Iterable[int]:
    """The batches whose stored hashes are not those recomputed."""
    for batch, should_be in zip(rows.batches, recomputed(rows).values(), strict=True):
        log = should_be.log
        peaks = None if log is None else (log.size, b"".join(log.peaks))
        stored = None if batch.log_size is None else (batch.log_size, batch.log_peaks)
        if (batch.chain_head, stored) != (should_be.chain_head, peaks):
            yield batch.batch_no
