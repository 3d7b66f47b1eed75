"""The real writer on PostgreSQL or in memory, fed records as if they had been read from Kafka in that order."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg

from schemas.reading import InvalidEvent, read_event
from tests.model.ledger import Ledger, read_ledger, with_their_effects
from worker.domain.policy import Policy, PolicyBook
from worker.engine.commit import Committed
from worker.engine.writer import Writer
from worker.kafka.records import InputRecord, Rejection, TopicPartition
from worker.ledger.memory_store import MemoryStore
from worker.ledger.memory_tables import Tables
from worker.ledger.postgres import PostgresStore
from worker.ledger.store import Appointment, Store, Tail

_KEPT = {"alembic_version", "leader", "relay_state"}
GRACE = timedelta(seconds=30)
SKEW = timedelta(seconds=300)
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
        if (reason := row.get("reason")) in {"occurred-in-the-future", "occurred-too-long-ago"}:
            event, rejection = None, Rejection(reason, "occurred_at", "not at any time that counts")
        if event is not None:
            running_max[source] = max(running_max.get(source, event.occurred_at), event.occurred_at)
        read = (event, rejection, running_max.get(source), row["business_time"])
        records.append(InputRecord(source, 0, row["offset"], 0, None, value, (), *read))
    return records


class _Few:
    async def appointments(
        self, limit: int, grace: timedelta, after: Appointment | None = None
    ) -> tuple[list[Appointment], Appointment]:
        return await super().appointments(min(limit, 2), grace, after)  # type: ignore[misc]


class FewAppointments(_Few, PostgresStore):
    """A store that returns only a few pieces of clock work at a time, as it does when there are very many."""


class FewInMemory(_Few, MemoryStore):
    """The same in memory."""


def unhurried(store: MemoryStore, turns: int) -> MemoryStore:
    """Let each answer of a store in memory take that many turns of the event loop, as PostgreSQL's take their time."""
    for name in ("commit", "wallets", "jobs", "spends", "grants", "memberships", "seen", "appointments"):
        at_once = getattr(store, name)

        async def later(*arguments: Any, at_once: Any = at_once) -> Any:  # noqa: ANN401
            for _ in range(turns):
                await asyncio.sleep(0)
            return await at_once(*arguments)

        setattr(store, name, later)
    return store


Place = str | MemoryStore
"""A ledger: the URL of one on PostgreSQL, or one in memory."""


async def lead(place: Place) -> int:
    """Begin the next epoch of a ledger."""
    if isinstance(place, MemoryStore):
        return place.lead()
    connection = await asyncpg.connect(place)
    epoch: int = await connection.fetchval("UPDATE leader SET epoch = epoch + 1 RETURNING epoch")
    await connection.close()
    return epoch


async def ledger_at(place: Place) -> Ledger:
    """All that a ledger holds, as rows of its tables."""
    return await read_ledger(place) if isinstance(place, str) else _ledger_in(place.tables, await place.tail())


def _ledger_in(tables: Tables, tail: Tail) -> Ledger:
    changes = sorted(tables.changes, key=lambda row: (row.decision_seq, row.ordinal))
    moved = ("lot_id", "proposal_id", "spend_line", "delta")
    movements = [
        {"decision_seq": row.decision_seq, "ordinal": row.ordinal, **dict(zip(moved, movement, strict=True))}
        for row in changes
        for movement in json.loads(row.movements)
    ]
    decisions, charges = _rows(tables.decisions), _rows(tables.charges)
    lasts = {row.freelancer_id: row for row in sorted(changes, key=lambda row: row.version)}.values()
    return Ledger(
        with_their_effects(decisions, _rows(changes), movements, charges),
        [{"freelancer_id": row.freelancer_id, "balance": row.balance_after, "version": row.version} for row in lasts],
        _rows(tables.lots),
        _rows(tables.spends),
        tail.business_time,
        _rows(tables.memberships),
        charges,
    )


def _rows(rows: Iterable[Any]) -> list[dict[str, Any]]:
    return [row._asdict() for row in rows]


class Deciding:
    """A writer that leads a ledger. `restart` forgets everything in memory, as a new leader would."""

    def __init__(self, place: Place, policies: PolicyBook, batch_size: int, store: type[PostgresStore]) -> None:
        self._place, self._policies, self._batch_size = place, policies, batch_size
        self.store: Store = place if isinstance(place, MemoryStore) else store(place, "a test")
        self.committed: list[Committed] = []
        self.wall_clock = WALL_CLOCK
        self.grace = GRACE

    async def restart(self, *, grace: timedelta | None = None, policies: PolicyBook | None = None) -> None:
        """Lead again; from now on with another grace or other policy versions, if they are given."""
        self.grace = grace or self.grace
        self._policies = policies or self._policies
        epoch = await lead(self._place)
        keep = self.committed.append
        now = lambda: self.wall_clock  # noqa: E731
        self.writer = Writer(self.store, epoch, self._policies, self.grace, SKEW, now, keep, self._batch_size)
        await self.writer.open()

    def add_policies(self, versions: Iterable[Policy] | None = None) -> None:
        """Have versions stored with the next batch, as a worker that starts does; by default all that it decides by."""
        for version in self._policies.versions if versions is None else versions:
            self.writer.add_policy(version)

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
    place: Place, policies: PolicyBook, *, batch_size: int = 1_000, store: type[PostgresStore] = PostgresStore
) -> AsyncIterator[Deciding]:
    """A writer on that ledger; on PostgreSQL by a store of that class."""
    decides = Deciding(place, policies, batch_size, store)
    try:
        await decides.restart()
        yield decides
    finally:
        await decides.close()
