"""A ledger in memory with a writer that leads it, in batches of four."""

from collections.abc import AsyncIterator

import pytest

from tests.kit.deciding import Deciding
from tests.kit.policies import policies
from tests.kit.replaying import Came, leading
from worker.ledger.memory_store import MemoryStore

BOOK = policies()


@pytest.fixture
async def decides() -> AsyncIterator[Deciding]:
    async with leading(MemoryStore(), BOOK, batch_size=4) as decides:
        yield decides


@pytest.fixture
def store(decides: Deciding) -> MemoryStore:
    assert isinstance(decides.store, MemoryStore)
    return decides.store


@pytest.fixture
def came(decides: Deciding) -> Came:
    return Came(decides)
