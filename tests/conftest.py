"""What tests against the real servers share: one stack per run, one fresh ledger and one set of topics per test."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

from worker.ledger.migrate import migrate
from worker.local.stack import LocalStack
from worker.stream.topics import create_topics

TEMPLATE = "ledger_template"


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """The embedded Kafka and PostgreSQL, up."""
    stack = LocalStack(tmp_path_factory.mktemp("stack"))
    stack.up()
    yield stack
    stack.down(delete=True)


@pytest.fixture(scope="session")
def migrated(stack: LocalStack) -> str:
    """The name of a migrated database that nobody connects to: the template of all ledgers."""
    asyncio.run(migrate(stack.create_database(TEMPLATE)))
    return TEMPLATE


@pytest.fixture
async def database_url(stack: LocalStack, migrated: str) -> AsyncIterator[str]:
    """A fresh, migrated, empty ledger."""
    name = f"ledger_{uuid.uuid4().hex[:12]}"
    server = stack.addresses.database_url
    await run_sql(server, f"CREATE DATABASE {name} TEMPLATE {migrated}")
    yield urlsplit(server)._replace(path=f"/{name}").geturl()
    await run_sql(server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def kafka(stack: LocalStack) -> dict[str, Any]:
    """aiokafka's connection arguments."""
    return {"bootstrap_servers": stack.addresses.kafka_bootstrap}


@pytest.fixture
def prefix() -> str:
    """A prefix of topics that no other test has."""
    return f"t{uuid.uuid4().hex[:10]}-"


@pytest.fixture
async def topics(kafka: dict[str, Any], prefix: str) -> str:
    """The prefix of a fresh set of the worker's own topics, with three partitions each."""
    await create_topics(kafka, prefix, partitions=3, replication=1, inputs=False)
    return prefix


async def run_sql(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
