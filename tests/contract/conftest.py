"""The stores that the suite runs against, each empty and led by the test."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import asyncpg
import pytest

from tests.support.deciding import wipe
from tests.support.story import Story
from worker.engine.draft import Draft
from worker.engine.memory import seen_key
from worker.ledger.migrate import migrate
from worker.ledger.postgres import PostgresStore
from worker.ledger.store import Batch, Store
from worker.local.stack import LocalStack
from worker.stream.records import Position

RECORDED_AT = datetime(2026, 11, 1, 9, 30, tzinfo=UTC)


@dataclass
class Kept:
    """A store, and the writer's part of keeping a story in it. `lead` begins the next epoch and gives its number."""

    store: Store
    lead: Callable[[], Awaitable[int]]
    epoch: int = 0
    _told: int = 0
    _due_done: int = 0
    batches: list[Batch] = field(default_factory=list)

    async def draft(self, story: Story, positions: Sequence[Position] = ()) -> Batch:
        """A batch of all that happened in the story since the one before."""
        draft = Draft(await self.store.tail(), RECORDED_AT)
        for decision in story.decisions[self._told :]:
            draft.add(decision)
            if decision.kind == "first" and decision.cause.topic and decision.cause.event_id:
                key = seen_key(decision.cause.topic, decision.cause.event_id)
                draft.batch.seen_events.append((key, decision.seq))
        draft.batch.due_done += story.due_done[self._due_done :]
        draft.batch.positions += positions
        self._told, self._due_done = len(story.decisions), len(story.due_done)
        return draft.finish(story.take_touched(), story.now)

    async def keep(self, story: Story, positions: Sequence[Position] = ()) -> Batch:
        batch = await self.draft(story, positions)
        await self.commit(batch)
        return batch

    async def commit(self, batch: Batch) -> None:
        await self.store.commit(batch, self.epoch)
        self.batches.append(batch)


async def on_postgresql(database_url: str) -> AsyncIterator[Kept]:
    store = PostgresStore(database_url, "a test")

    async def lead() -> int:
        connection = await asyncpg.connect(database_url)
        epoch: int = await connection.fetchval("UPDATE leader SET epoch = epoch + 1 RETURNING epoch")
        await connection.close()
        return epoch

    yield Kept(store, lead, await lead())
    await store.close()


STORES = {"postgresql": on_postgresql}
"""The overlay of a replay plan joins here."""


@pytest.fixture(scope="session")
def database_of_the_suite(stack: LocalStack) -> str:
    url = stack.create_database("contract")
    asyncio.run(migrate(url))
    return url


@pytest.fixture
async def ledger_url(database_of_the_suite: str) -> str:
    """An empty ledger; a new database for each of so many tests would take its time."""
    await wipe(database_of_the_suite)
    return database_of_the_suite


@pytest.fixture(params=sorted(STORES))
async def kept(request: pytest.FixtureRequest, ledger_url: str) -> AsyncIterator[Kept]:
    async for kept in STORES[request.param](ledger_url):
        yield kept


@pytest.fixture
def story() -> Story:
    return Story()
