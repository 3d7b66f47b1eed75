"""A console on one ledger for all these tests, which a role reads that may do no more."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.kit.asking import Asking
from tests.kit.console_ledger import Places, add_trouble, fill
from tests.kit.decided import as_reader
from tests.kit.listening import closed_port
from tests.kit.stacks import new_ledger
from tests.kit.visiting import Visitor, visited
from worker.embedded.stack import LocalStack


@pytest.fixture(scope="session")
def places(shared_stack: LocalStack) -> Places:
    owner = new_ledger(shared_stack, "console")
    role = f"console_{uuid.uuid4().hex[:12]}"
    asyncio.run(fill(owner, role))
    parts = urlsplit(owner)
    return Places(owner, parts._replace(netloc=f"{role}:x@{parts.hostname}:{parts.port}").geturl())


@pytest.fixture(scope="module")
def troubled(shared_stack: LocalStack) -> Places:
    """A ledger with plans and policy versions, for what operators look at."""
    owner = new_ledger(shared_stack, "troubled")
    asyncio.run(add_trouble(owner))
    return Places(owner, asyncio.run(as_reader(owner)))


@pytest.fixture
async def console(places: Places) -> AsyncIterator[Visitor]:
    async with visited(places.console) as visitor:
        yield visitor


@pytest.fixture
def connects(places: Places, tmp_path: Path) -> Asking:
    with closed_port() as nobody:
        return Asking(tmp_path, DATABASE_URL=places.console, KAFKA_BOOTSTRAP_SERVERS=nobody)
