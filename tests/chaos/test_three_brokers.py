"""Three brokers, three copies of everything: one after the other is killed under load, and nobody misses it (F7).

TEST_BROKER_KILLS (20 when whole) says how often, TEST_BROKER_SECONDS (30 when whole) how much time is at least between
two of them, TEST_BROKER_SEED which.
"""

import asyncio
import os
import random
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.kit.histories import History
from tests.kit.invariants import check_by_verify, check_everything
from tests.kit.load import longest_pause, steady_load
from tests.kit.sizes import size
from tests.kit.stacks import new_ledger
from tests.kit.three_brokers import NODES, ThreeBrokers, three_brokers
from tests.kit.waiting import until
from tests.kit.world import World, a_world

pytestmark = pytest.mark.in_turn

KILLS: Final = size("BROKER_KILLS", 20, least=1)
BETWEEN_SECONDS: Final = size("BROKER_SECONDS", 30, least=1)
SEED: Final = int(os.environ.get("TEST_BROKER_SEED", "7"))
EVENTS_A_SECOND: Final = 30.0


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[ThreeBrokers]:
    with three_brokers(tmp_path / "cluster") as cluster:
        yield cluster


@pytest.fixture
async def world(cluster: ThreeBrokers, tmp_path: Path, prefix: str) -> AsyncIterator[World]:
    await cluster.start(*NODES)
    await cluster.make_topics(prefix)
    ledger = await asyncio.to_thread(new_ledger, cluster.stack)
    async with a_world(cluster.stack, tmp_path, ledger, prefix, bootstrap=cluster.bootstrap) as world:
        world.grace_seconds = 5
        yield world


@pytest.mark.soak
@pytest.mark.timeout(3_600)
async def test_one_broker_after_the_other_is_killed_and_nothing_is_lost_or_repeated(
    cluster: ThreeBrokers, world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    chance = random.Random(SEED)
    workers = [await world.worker(batch_size=50), await world.worker(batch_size=50)]
    async with steady_load(world, History(SEED, freelancers=200, jobs=5_000, events=200_000), EVENTS_A_SECOND) as load:
        await world.has_decided(100)
        for _ in range(KILLS):
            next_one = time.monotonic() + BETWEEN_SECONDS
            node = chance.choice(NODES)
            await cluster.fall(node)
            await decides_again(world)
            await cluster.come_back(node)
            await until(lambda next_one=next_one: time.monotonic() >= next_one)
        longest = await longest_pause(world)
    await world.settled()
    assert all(worker.runs for worker in workers)
    await check_everything(world)
    await check_by_verify(world)
    assert await load.lost() == []
    with capsys.disabled():
        told = f"TEST_BROKER_SEED={SEED}: {len(load.sent)} events, {len(world.reader.records)} messages, {KILLS} kills"
        print(f"\n{told}, 0 lost, 0 repeated; the longest time without a decision was {longest:.1f} s")  # noqa: T201


async def decides_again(world: World) -> None:
    """Wait for a decision of an event that came after the kill, while the broker is away."""
    await world.has_decided(await world.value("SELECT max(last_seq) FROM batches") + 1)
