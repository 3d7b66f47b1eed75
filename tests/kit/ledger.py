"""The ledger as far as relay and dead letters see it, on a real PostgreSQL."""

import asyncio
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Self

import asyncpg
import msgspec

from worker.kafka.headers import pack_headers
from worker.kafka.output.messages import Message, pack
from worker.kafka.output.outbox import DeadLetter, OutboxRow
from worker.ledger.leadership import guard
from worker.ledger.sql import load


def wallet_updated(freelancer: str, version: int, size: int = 0) -> Message:
    value = {"freelancer_id": freelancer, "version": version, "explanation": "x" * size}
    return Message(
        topic="wallet-updated",
        key=freelancer.encode(),
        value=msgspec.json.encode(value),
        ce_id=f"{freelancer}:{version}",
        ce_time="2026-01-01T00:00:00Z",
    )


class Ledger:
    """One epoch's view of a ledger; `take_over` begins the next epoch, as a leader would."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self.connection = connection
        self.ledger_id = uuid.UUID(int=0)
        self.epoch = 0
        self.row_reads = 0
        self._turn = asyncio.Lock()  # one connection serves the relay and the test

    @classmethod
    async def connect(cls, database_url: str) -> Self:
        ledger = cls(await asyncpg.connect(database_url))
        row = await ledger.connection.fetchrow("SELECT ledger_id, epoch FROM leader")
        ledger.ledger_id, ledger.epoch = uuid.UUID(str(row["ledger_id"])), row["epoch"]
        return ledger

    async def close(self) -> None:
        self.connection.terminate()

    async def take_over(self) -> int:
        async with self._turn:
            self.epoch = await self.connection.fetchval("UPDATE leader SET epoch = epoch + 1 RETURNING epoch")
        return self.epoch

    async def commit(self, *messages: Message) -> OutboxRow:
        async with self._turn, self.connection.transaction():
            await guard(self.connection, self.epoch)
            seq = 1 + await self.connection.fetchval("SELECT coalesce(max(outbox_seq), 0) FROM batches")
            row = OutboxRow(seq, uuid.uuid4(), datetime.now(UTC), pack(messages))
            await self.connection.execute(
                "INSERT INTO batches (batch_no, epoch, last_seq, chain_head, recorded_at, outbox_seq, batch_uid,"
                " log_size, log_peaks)"
                " VALUES ($1, $2, 0, '', $3, $1, $4, 0, '')",
                *(seq, self.epoch, row.recorded_at, row.batch_uid),
            )
            await self.connection.execute(
                "INSERT INTO outbox VALUES ($1, $2, $3, $4)", seq, row.batch_uid, row.recorded_at, row.messages
            )
        return row

    async def drop_through(self, seq: int) -> None:
        await self.execute("DELETE FROM outbox WHERE outbox_seq <= $1", seq)
        await self.execute("UPDATE relay_state SET dropped_through = $1", seq)

    async def reject(self, **given: object) -> int:
        """Keep a dead letter; its decision's seq."""
        letter = {
            "key": b"k",
            "value": b"v",
            "headers": (),
            "topic": "job-closed",
            "partition": 2,
            "offset": 7,
            **given,
        }
        async with self._turn:
            return await self.connection.fetchval(
                'INSERT INTO dead_letters (decision_seq, topic, incarnation, partition, "offset", timestamp_ms,'
                " key, value, headers, error_code, error_detail)"
                " SELECT coalesce(max(decision_seq), 0) + 1, $1, 0, $2, $3, 1000, $4, $5, $6, 'invalid-event', 'no é'"
                " FROM dead_letters RETURNING decision_seq",
                *(letter["topic"], letter["partition"], letter["offset"], letter["key"], letter["value"]),
                pack_headers(letter["headers"]),
            )

    async def execute(self, statement: str, *arguments: object) -> None:
        async with self._turn:
            await self.connection.execute(statement, *arguments)

    # What the relay and the dead-letter lane ask.

    async def outbox_rows(self, after_seq: int, limit_bytes: int) -> Sequence[OutboxRow]:
        self.row_reads += 1
        rows = await self._fetch(
            "SELECT outbox_seq, batch_uid, recorded_at, messages FROM outbox WHERE outbox_seq > $1 ORDER BY 1",
            after_seq,
        )
        taken, size = [], 0
        for row in rows:
            if taken and size + len(row["messages"]) > limit_bytes:
                break
            taken.append(OutboxRow(*row))
            size += len(row["messages"])
        return taken

    async def outbox_state(self) -> tuple[int, int]:
        (row,) = await self._fetch(
            "SELECT coalesce((SELECT max(outbox_seq) FROM batches), 0), (SELECT dropped_through FROM relay_state)"
        )
        return row[0], row[1]

    async def batch_uid_at(self, seq: int) -> uuid.UUID | None:
        rows = await self._fetch("SELECT batch_uid FROM batches WHERE outbox_seq = $1", seq)
        return rows[0]["batch_uid"] if rows else None

    async def still_mine(self, epoch: int) -> bool:
        return bool(await self._fetch("SELECT FROM leader WHERE epoch = $1", epoch))

    async def letters_unsent(self, limit: int, value_bytes: int, limit_bytes: int) -> Sequence[DeadLetter]:
        rows = await self._fetch(load("store.sql")["letters_unsent"], limit, value_bytes, limit_bytes)
        return [DeadLetter(*row) for row in rows]

    async def letters_sent(self, seqs: Sequence[int]) -> None:
        await self.execute("UPDATE dead_letters SET sent_at = now() WHERE decision_seq = ANY($1::bigint[])", seqs)

    async def unsent(self) -> int:
        (row,) = await self._fetch("SELECT count(*) FROM dead_letters WHERE sent_at IS NULL")
        return int(row[0])

    async def _fetch(self, statement: str, *arguments: object) -> list[asyncpg.Record]:
        async with self._turn:
            return await self.connection.fetch(statement, *arguments)
