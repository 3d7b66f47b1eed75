"""The ledger and the topics of an earlier release, restored for each test, with this release's schema."""

import logging
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.kit.world import World, a_world
from tests.upgrade.release import Release, releases
from worker.embedded.stack import LocalStack
from worker.ledger.migrate import migrate

logging.getLogger("aiokafka").setLevel(logging.CRITICAL)


@pytest.fixture(params=releases())
def release(request: pytest.FixtureRequest) -> Release:
    return Release(request.param)


@pytest.fixture
def release_name(release: Release) -> str:
    return release.folder.name


@pytest.fixture
async def world(stack: LocalStack, tmp_path: Path, prefix: str, release: Release) -> AsyncIterator[World]:
    database_url = stack.create_database(f"release_{uuid.uuid4().hex[:12]}")
    await release.restore_database(database_url)
    await migrate(database_url)
    async with a_world(stack, tmp_path, database_url, prefix) as world:
        world.grace_seconds = release.grace.total_seconds()
        world.policy_file = release.policy_file
        world.it_is(release.now)
        await release.restore_topics(world)
        yield world
