"""Kafka goes away under load, in every way: nothing is lost, nothing is repeated, and work goes on by itself."""

import asyncio
import os
import time
from typing import Final

from tests.support.histories import History
from tests.support.invariants import check_everything
from tests.support.produce import by_key
from tests.support.waiting import until
from tests.support.world import PARTITIONS, World
from worker.local.stack import LocalStack

HEALED_SECONDS: Final = 90  # I13 says 30 s; a machine that shares its cores is given three times that
"""I13."""
AWAY_SECONDS: Final = float(os.environ.get("TEST_AWAY_SECONDS", "20"))


def a_history(seed: int) -> History:
    return History(seed, freelancers=60, jobs=300, events=3_000)


async def test_a_broker_killed_and_started_again_under_load_loses_and_repeats_nothing(
    fault_world: World, fault_stack: LocalStack
) -> None:
    """F7, and I10: the reader was there all along."""
    await fault_world.produce(a_history(7), by_key(PARTITIONS))
    worker = await fault_world.worker(batch_size=20)
    for decided in (300, 2_000):
        await fault_world.has_decided(decided, 60)
        fault_stack.kill_kafka()
        await asyncio.to_thread(fault_stack.start_kafka)
    await fault_world.settled(HEALED_SECONDS)
    assert worker.runs, "it went on by itself"
    await check_everything(fault_world)


async def test_a_broker_away_for_long_under_load_is_waited_for(fault_world: World, fault_stack: LocalStack) -> None:
    history = a_history(8)
    half = len(history) // 2
    await fault_world.produce(history[:half], by_key(PARTITIONS))
    worker = await fault_world.worker(batch_size=20)
    standby = await fault_world.worker(batch_size=20)
    await fault_world.has_decided(300)
    await asyncio.to_thread(fault_stack.stop_kafka)
    gone = time.monotonic()
    await until(lambda: time.monotonic() - gone > AWAY_SECONDS, AWAY_SECONDS + 5)
    await asyncio.to_thread(fault_stack.start_kafka)
    await fault_world.produce(history[half:], by_key(PARTITIONS))
    await fault_world.settled(HEALED_SECONDS)
    assert worker.runs
    assert standby.runs
    await check_everything(fault_world)


async def test_a_broker_that_hangs_and_comes_back_is_waited_for(fault_world: World, fault_stack: LocalStack) -> None:
    """Stopped where it is, with every connection open: whether a transaction went through, the marker tells."""
    await fault_world.produce(a_history(9), by_key(PARTITIONS))
    worker = await fault_world.worker(batch_size=20)
    await fault_world.has_decided(300)
    fault_stack.pause_kafka()
    hung = time.monotonic()
    try:
        await until(lambda: time.monotonic() - hung > AWAY_SECONDS, AWAY_SECONDS + 5)
    finally:
        fault_stack.resume_kafka()
    await fault_world.settled(HEALED_SECONDS)
    assert worker.runs
    await check_everything(fault_world)


async def test_a_worker_killed_while_the_broker_is_away_is_replaced_when_it_is_back(
    fault_world: World, fault_stack: LocalStack
) -> None:
    """F4: the old relay's transaction is open at the broker that died; the new one waits for Kafka before it leads."""
    await fault_world.produce(a_history(10), by_key(PARTITIONS))
    first = await fault_world.worker(batch_size=20, kill_at="inside-kafka-transaction:5")
    await first.died_at("inside-kafka-transaction")
    fault_stack.kill_kafka()
    second = await fault_world.worker(batch_size=20)
    await until(lambda: second.said("kafka.not_reached"))
    await asyncio.to_thread(fault_stack.start_kafka)
    await fault_world.leads(second)
    await fault_world.settled(HEALED_SECONDS)
    await check_everything(fault_world)
