"""Whole workers as processes, with a ledger and topics of their own for each test."""

import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.kit.ledger import Ledger
from tests.kit.world import World, a_world
from worker.embedded.stack import LocalStack

logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # clients of a broker that is killed have much to say


@pytest.fixture
async def world(stack: LocalStack, tmp_path: Path, database_url: str, prefix: str) -> AsyncIterator[World]:
    async with a_world(stack, tmp_path, database_url, prefix) as world:
        yield world


@pytest.fixture
async def ledger(database_url: str) -> AsyncIterator[Ledger]:
    """The ledger as a relay sees it, without a worker."""
    ledger = await Ledger.connect(database_url)
    yield ledger
    await ledger.close()
