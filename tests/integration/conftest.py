"""Whole workers as processes, with a ledger and topics of their own for each test."""

import logging
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.support.world import World, a_world, fresh_ledger
from worker.local.stack import LocalStack

logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # clients of a broker that is killed have much to say


@pytest.fixture
async def world(stack: LocalStack, tmp_path: Path, database_url: str, prefix: str) -> AsyncIterator[World]:
    async with a_world(stack, tmp_path, database_url, prefix) as world:
        yield world


@pytest.fixture(scope="session")
def fault_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """A second stack, for tests that stop its servers under everybody's feet."""
    stack = LocalStack(tmp_path_factory.mktemp("fault-stack"))
    stack.up()
    yield stack
    stack.down(delete=True)


@pytest.fixture
def fault_ledger(fault_stack: LocalStack) -> str:
    """A migrated, empty ledger there."""
    fault_stack.up()
    return fresh_ledger(fault_stack, f"ledger_{uuid.uuid4().hex[:12]}")


@pytest.fixture
async def fault_world(fault_stack: LocalStack, fault_ledger: str, tmp_path: Path, prefix: str) -> AsyncIterator[World]:
    async with a_world(fault_stack, tmp_path, fault_ledger, prefix) as world:
        yield world
    fault_stack.up()
