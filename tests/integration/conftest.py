"""Whole workers as processes, with a ledger and topics of their own for each test."""

import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.kit.brokers import OddKafka, odd_kafka
from tests.kit.ledger import Ledger
from tests.kit.stacks import new_ledger
from tests.kit.world import World, a_world
from worker.embedded.stack import LocalStack

logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # clients of a broker that is killed have much to say


@pytest.fixture
async def world(stack: LocalStack, tmp_path: Path, database_url: str, prefix: str) -> AsyncIterator[World]:
    async with a_world(stack, tmp_path, database_url, prefix) as world:
        yield world


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OddKafka]:
    """A broker with three ways in, for the tests of one module."""
    with odd_kafka(tmp_path_factory.mktemp("odd")) as odd:
        yield odd


@pytest.fixture
def ledger_url(odd: OddKafka) -> str:
    """A fresh ledger on the PostgreSQL beside that broker."""
    return new_ledger(odd.stack)


@pytest.fixture
async def ledger(database_url: str) -> AsyncIterator[Ledger]:
    """The ledger as a relay sees it, without a worker."""
    ledger = await Ledger.connect(database_url)
    yield ledger
    await ledger.close()
