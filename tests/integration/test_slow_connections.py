"""Connections to PostgreSQL that pass everything on, but late or slowly (F8)."""

import asyncio
from typing import Final

import pytest

from tests.kit.histories import History
from tests.kit.invariants import check_everything
from tests.kit.produce import by_key
from tests.kit.proxy import Proxy, proxied
from tests.kit.world import PARTITIONS, World

pytestmark = pytest.mark.in_turn

SLOW_SECONDS: Final = 7.0
"""For how long they are: beyond two leases."""


async def slow_for_a_while(proxy: Proxy, *, delay_seconds: float = 0.0, bytes_per_second: int = 0) -> None:
    proxy.delay_seconds, proxy.bytes_per_second = delay_seconds, bytes_per_second
    await asyncio.sleep(SLOW_SECONDS)  # the length of the fault, not a wait for something to happen
    proxy.mend()


@pytest.mark.parametrize("how", [{"delay_seconds": 2.0}, {"bytes_per_second": 50_000}], ids=["late", "slow"])
@pytest.mark.parametrize("busy", [False, True], ids=["idle", "busy"])
async def test_what_is_late_or_slow_for_a_while_is_made_up_for(
    world: World, how: dict[str, float], *, busy: bool
) -> None:
    """Answers that come after 4 s are later than a lease lasts: the ledger may change hands, and no more than that."""
    world.grace_seconds = 30
    history = History(seed=8, freelancers=40, jobs=100, events=1_200)
    async with proxied(world.database_url) as (proxy, url):
        leader = await world.worker(database_url=url, batch_size=20)
        standby = await world.worker(database_url=url, batch_size=20)
        await world.produce(history[:300], by_key(PARTITIONS))
        if busy:
            await world.produce(history[300:], by_key(PARTITIONS))
            await world.has_decided(100)
        else:
            await world.settled()
        await slow_for_a_while(proxy, **how)  # type: ignore[arg-type]
        if not busy:
            await world.produce(history[300:], by_key(PARTITIONS))
        await world.settled()
        assert leader.runs
        assert standby.runs
        await check_everything(world)


async def test_work_goes_on_while_each_answer_is_a_little_late(world: World) -> None:
    """A lease is renewed as long as its answer comes within a second."""
    world.grace_seconds = 30
    async with proxied(world.database_url) as (proxy, url):
        worker = await world.worker(database_url=url)
        await world.produce(History(seed=9, freelancers=10, jobs=10, events=100), by_key(PARTITIONS))
        await world.settled()
        epoch = await world.value("SELECT epoch FROM leader")
        proxy.delay_seconds = 0.1
        await world.produce(History(seed=10, freelancers=10, jobs=10, events=100), by_key(PARTITIONS))
        await world.settled(90)
        assert await world.value("SELECT epoch FROM leader") == epoch
        assert worker.runs
        proxy.mend()
        await check_everything(world)
