"""The real writer on a real PostgreSQL, fed records as if they had been read from Kafka in that order."""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg

from schemas.reading import InvalidEvent, read_event
from worker.domain.policy import PolicyBook
from worker.engine.writer import Committed, Writer
from worker.ledger.postgres import PostgresStore
from worker.ledger.store import Appointment
from worker.stream.records import InputRecord, Rejection, TopicPartition

_KEPT = {"alembic_version", "leader", "relay_state"}
GRACE = timedelta(seconds=30)
WALL_CLOCK = datetime(2999, 12, 31, tzinfo=UTC)
"""Where the writer believes the wall clock to be: far beyond all events, so that everything is a catch-up."""


async def wipe(database_url: str) -> None:
    """Empty a ledger for the next example: far quicker than a new database. Only a superuser gets past the triggers."""
    connection = await asyncpg.connect(database_url)
    try:
        tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()")
        names = [row["tablename"] for row in tables if row["tablename"] not in _KEPT]
        emptied = "; ".join(f"DELETE FROM {name}" for name in names)  # noqa: S608 - the catalogue names them
        await connection.execute(f"SET session_replication_role = replica; {emptied}")
    finally:
        await connection.close()


def as_read(rows: Iterable[dict[str, Any]]) -> list[InputRecord]:
    """Records with the values, places and business times of these rows (topic, partition, offset, payload, ...)."""
    records = []
    running_max: dict[TopicPartition, datetime] = {}
    for row in rows:
        source, value, event, rejection = TopicPartition(row["topic"], row["partition"]), row["payload"], None, None
        try:
            event = read_event(source.topic, value)
        except InvalidEvent as error:
            rejection = Rejection("invalid-event", error.field, error.detail)
        if row.get("reason") == "occurred-in-the-future":
            event, rejection = None, Rejection("occurred-in-the-future", "occurred_at", "too far ahead")
        if event is not None:
            running_max[source] = max(running_max.get(source, event.occurred_at), event.occurred_at)
        read = (event, rejection, running_max.get(source), row["business_time"])
        records.append(InputRecord(source, 0, row["offset"], 0, None, value, (), *read))
    return records


class FewAppointments(PostgresStore):
    """A store that tells only a few pieces of clock work at a time, as it does when there are very many."""

    async def appointments(
        self, limit: int, grace: timedelta, after: Appointment | None = None
    ) -> tuple[list[Appointment], Appointment]:
        return await super().appointments(min(limit, 2), grace, after)


class Deciding:
    """A writer that leads a ledger. `restart` forgets everything in memory, as a new leader would."""

    def __init__(self, database_url: str, policies: PolicyBook, batch_size: int, store: type[PostgresStore]) -> None:
        self._database_url, self._policies, self._batch_size = database_url, policies, batch_size
        self.store = store(database_url, "a test")
        self.committed: list[Committed] = []
        self.wall_clock = WALL_CLOCK

    async def restart(self) -> None:
        connection = await asyncpg.connect(self._database_url)
        epoch = await connection.fetchval("UPDATE leader SET epoch = epoch + 1 RETURNING epoch")
        await connection.close()
        keep = self.committed.append
        now = lambda: self.wall_clock  # noqa: E731
        self.writer = Writer(self.store, epoch, self._policies, GRACE, now, keep, self._batch_size)
        await self.writer.open()

    async def decide(self, records: Sequence[InputRecord]) -> None:
        await self.writer.decide(records)

    async def until(self, instant: datetime) -> None:
        """Let business time pass; everything due by then is done."""
        while True:
            while not await self.writer.pass_time(instant, seconds=60):
                pass
            await self.commit()
            passed = self.writer.business_time is not None and self.writer.business_time >= instant
            if passed and not self.writer.clock_due(instant):
                return  # else PostgreSQL refused some of it, which is to be done again

    async def commit(self) -> None:
        await self.writer.flush()
        await self.writer.settle_down()

    async def close(self) -> None:
        await self.store.close()


@asynccontextmanager
async def deciding(
    database_url: str, policies: PolicyBook, *, batch_size: int = 1_000, store: type[PostgresStore] = PostgresStore
) -> AsyncIterator[Deciding]:
    decides = Deciding(database_url, policies, batch_size, store)
    try:
        await decides.restart()
        yield decides
    finally:
        await decides.close()
