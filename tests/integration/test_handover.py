"""A worker leads only while it reaches Kafka: one that does not, or no longer, leaves the ledger to another."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.kit.histories import History
from tests.kit.invariants import check_everything
from tests.kit.produce import by_key
from tests.kit.proxy import Proxy
from tests.kit.secured_kafka import SecuredKafka, secured_kafka
from tests.kit.waiting import until
from tests.kit.world import PARTITIONS, World, a_world
from worker.kafka.reach import AWAY_SECONDS

NOTICED_SECONDS = AWAY_SECONDS + 30
"""A contact that fails takes its own limits, and a machine that shares its cores is given time."""


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredKafka]:
    with secured_kafka(tmp_path_factory.mktemp("handover") / "broker") as broker:
        yield broker


@asynccontextmanager
async def relaying(broker: SecuredKafka) -> AsyncIterator[Proxy]:
    """The way to the broker of those who are sent to the address `broker.proxy`."""
    host, _, port = broker.relayed.partition(":")
    proxy = Proxy(host, int(port))
    server = await asyncio.start_server(proxy.serve, host, int(broker.proxy.partition(":")[2]))
    try:
        yield proxy
    finally:
        proxy.mend()
        server.close()


@pytest.mark.in_turn
async def test_a_leader_that_loses_kafka_hands_the_ledger_to_a_standby_that_has_it(
    broker: SecuredKafka, database_url: str, prefix: str, tmp_path: Path
) -> None:
    history = History(seed=21, freelancers=20, jobs=40, events=300)
    stack = SimpleNamespace(addresses=SimpleNamespace(kafka_bootstrap=broker.plain))
    async with relaying(broker) as way, a_world(stack, tmp_path, database_url, prefix) as world:  # type: ignore[arg-type]
        world.grace_seconds = 30
        direct, world.kafka = world.kafka, {"bootstrap_servers": broker.proxy}
        first = await world.worker()
        await world.leads(first)
        world.kafka = direct
        second = await world.worker()
        await world.stands_by(second)
        await world.produce(history[:150], by_key(PARTITIONS))
        await world.settled()
        epoch = await world.value("SELECT epoch FROM leader")

        way.cut()
        await world.leads(second, NOTICED_SECONDS)
        assert await world.value("SELECT epoch FROM leader") == epoch + 1, "handed over once"
        await world.produce(history[150:], by_key(PARTITIONS))
        await world.settled()
        assert first.runs
        assert first.said("ledger.handed_over"), first.tail()

        way.mend()
        await until(lambda: first.said("kafka.reached"), NOTICED_SECONDS)
        await second.kill()
        await world.leads(first)
        await check_everything(world)


async def test_a_worker_without_kafka_takes_no_ledger_that_is_free(world: World) -> None:
    reachable, world.kafka = world.kafka, {"bootstrap_servers": "127.0.0.1:1"}
    without = await world.worker()
    await until(lambda: without.said("kafka.not_reached"))
    world.kafka = reachable
    other = await world.worker()
    await world.leads(other)
    assert await world.value("SELECT epoch FROM leader") == 1
    assert without.runs
    without.terminate()
    assert await without.ended() == 0
