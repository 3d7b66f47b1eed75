"""The stores that the suite runs against, each empty and led by the test."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple, Protocol

import asyncpg
import pytest

from tests.kit.deciding import wipe
from tests.kit.stacks import new_ledger
from tests.kit.story import Story
from worker.domain.model import FreelancerId
from worker.embedded.stack import LocalStack
from worker.engine.open_batch import OpenBatch
from worker.kafka.output.outbox import RelayDatabase
from worker.kafka.records import Position
from worker.ledger.batch import Batch, Conditions
from worker.ledger.event_key import seen_key
from worker.ledger.memory_store import MemoryStore
from worker.ledger.postgres import PostgresStore
from worker.ledger.store import Store
from worker.ledger.tables import DueKey, SeenRow
from worker.words.explanations import worded

RECORDED_AT = datetime(2026, 11, 1, 9, 30, tzinfo=UTC)


class KeepsTheOutbox(Store, RelayDatabase, Protocol):
    """The methods that a leader and its relay need of a ledger."""


@dataclass
class Kept:
    """A store, and the writer's part of keeping a story in it. `lead` begins the next epoch and returns its number.

    `refuses` is who refuses a batch, in the words of a refusal.
    """

    store: KeepsTheOutbox
    lead: Callable[[], Awaitable[int]]
    epoch: int = 0
    refuses: str = "PostgreSQL"
    _worded: int = 0
    _due_done: int = 0
    batches: list[Batch] = field(default_factory=list)
    last_decisions: dict[FreelancerId, int] = field(default_factory=dict)

    @property
    def conditions(self) -> Conditions:
        return Conditions(self.epoch, "0.0.0", 30.0, 300.0, ["2026-01-01", "2026-07-01"])

    async def open_batch(self, story: Story, positions: Sequence[Position] = ()) -> Batch:
        """A batch of all that happened in the story since the one before."""
        open_batch = OpenBatch(await self.store.tail(), RECORDED_AT, self.conditions, self.last_decisions)
        for decision in worded(story.decisions[self._worded :]):
            open_batch.running_time = decision.business_time
            if decision.subject.freelancer_id is not None:
                self.last_decisions.setdefault(decision.subject.freelancer_id, 0)
            open_batch.add(decision)
            if decision.kind in {"first", "added"} and decision.cause.topic and decision.cause.event_id:
                key = seen_key(decision.cause.topic, decision.cause.event_id)
                open_batch.batch.seen_events.append(SeenRow(key, decision.seq))
        open_batch.batch.due_done += map(DueKey._make, story.due_done[self._due_done :])
        open_batch.batch.positions += positions
        self._worded, self._due_done = len(story.decisions), len(story.due_done)
        return open_batch.finish(story.take_changed(), story.now)

    async def keep(self, story: Story, positions: Sequence[Position] = ()) -> Batch:
        batch = await self.open_batch(story, positions)
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


async def in_memory(_: str) -> AsyncIterator[Kept]:
    store = MemoryStore()

    async def lead() -> int:
        return store.lead()

    yield Kept(store, lead, await lead(), refuses="The ledger in memory")


STORES = {"memory": in_memory, "postgresql": on_postgresql}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test over every store, or only over PostgreSQL if it is marked so."""
    if "place" in metafunc.fixturenames:
        only = metafunc.definition.get_closest_marker("postgresql_only")
        metafunc.parametrize("place", sorted(STORES) if only is None else ["postgresql"], indirect=True)


@pytest.fixture(scope="session")
def database_of_the_suite(shared_stack: LocalStack) -> str:
    return new_ledger(shared_stack, "contract")


class Place(NamedTuple):
    """Which store a test runs over, and the URL of the ledger if that is on PostgreSQL."""

    store: str
    url: str


@pytest.fixture
def place(request: pytest.FixtureRequest) -> Place:
    on_disk = request.param == "postgresql"
    return Place(request.param, request.getfixturevalue("database_of_the_suite") if on_disk else "")


@pytest.fixture
async def ledger_url(place: Place) -> str:
    """An empty ledger on PostgreSQL; a new database for each of that many tests would take its time."""
    if place.store == "postgresql":
        await wipe(place.url)
    return place.url


@pytest.fixture
async def kept(place: Place, ledger_url: str) -> AsyncIterator[Kept]:
    async for kept in STORES[place.store](ledger_url):
        yield kept


@pytest.fixture
def story() -> Story:
    return Story()


@pytest.fixture
def for_a_writer(place: Place, ledger_url: str) -> str | MemoryStore:
    """Where a writer finds an empty ledger: in memory, or the URL of one."""
    return ledger_url if place.store == "postgresql" else MemoryStore()
