"""The primary database is lost and its streaming replica promoted: DATABASE_URL names both, and the worker finds it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

import asyncpg
import pytest

from tests.kit.clusters import Cluster, a_cluster
from tests.kit.histories import History
from tests.kit.http import free_port
from tests.kit.invariants import check_by_verify, check_everything
from tests.kit.produce import by_key
from tests.kit.waiting import until_async
from tests.kit.world import PARTITIONS, Events, World, a_world
from worker.embedded.stack import LocalStack
from worker.ledger.migrate import migrate

pytestmark = pytest.mark.in_turn

VERSION: Final = 15
NAME: Final = "ledger"
STREAMING: Final = "SELECT count(*) = 1 FROM pg_stat_replication WHERE state = 'streaming'"
SYNCHRONOUS: Final = "SELECT count(*) = 1 FROM pg_stat_replication WHERE sync_state = 'sync'"


class Pair(NamedTuple):
    """A primary with a ledger, and the replica that streams from it."""

    primary: Cluster
    replica: Cluster

    @property
    def url(self) -> str:
        """As operators write it: both hosts, and whichever of them is the primary."""
        hosts = f"{self.primary.address},{self.replica.address}"
        return f"postgresql://owner@{hosts}/{NAME}?target_session_attrs=read-write"

    async def fail_over(self) -> None:
        await asyncio.to_thread(self.primary.kill)
        await asyncio.to_thread(self.replica.promote)


async def asked(cluster: Cluster, statement: str) -> object:
    connection = await asyncpg.connect(cluster.url())
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


def is_true(cluster: Cluster, statement: str) -> Callable[[], Awaitable[bool]]:
    async def look() -> bool:
        return await asked(cluster, statement) is True

    return look


@pytest.fixture
def primary() -> Iterator[Cluster]:
    with a_cluster(VERSION) as cluster:
        yield cluster


@pytest.fixture
async def pair(primary: Cluster) -> AsyncIterator[Pair]:
    await asked(primary, f"CREATE DATABASE {NAME}")
    await migrate(primary.url(NAME))
    replica = await asyncio.to_thread(primary.replica)
    try:
        await until_async(is_true(primary, STREAMING))
        yield Pair(primary, replica)
    finally:
        await asyncio.to_thread(replica.stop)


@pytest.fixture
async def world(stack: LocalStack, pair: Pair, tmp_path: Path, prefix: str) -> AsyncIterator[World]:
    async with a_world(stack, tmp_path, pair.url, prefix) as world:
        world.grace_seconds = 30
        yield world


async def comes_back(world: World) -> None:
    """Wait until the promoted server answers a test's own questions, which no worker's recovery helps."""

    async def answers() -> bool:
        with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError):
            return bool(await world.value("SELECT NOT pg_is_in_recovery()"))
        return False

    await until_async(answers)


async def test_nothing_is_lost_or_repeated_where_commits_wait_for_the_replica(world: World, pair: Pair) -> None:
    """Under load, with a standby: each commit that was acknowledged is on the replica, and one in doubt is decided."""
    await asked(pair.primary, "ALTER SYSTEM SET synchronous_standby_names = '*'")
    await asked(pair.primary, "SELECT pg_reload_conf()")
    await until_async(is_true(pair.primary, SYNCHRONOUS))
    history = History(seed=18, freelancers=40, jobs=150, events=2_000)
    await world.produce(history, by_key(PARTITIONS))
    workers = [await world.worker(batch_size=50), await world.worker(batch_size=50)]
    await world.has_decided(400)
    await pair.fail_over()
    await comes_back(world)
    await world.settled()
    assert all(worker.runs for worker in workers)
    assert await world.value("SELECT max(last_seq) FROM batches") > 400
    await check_everything(world)
    await check_by_verify(world)


async def stop_streaming(pair: Pair) -> None:
    """What the primary commits from here on is lost with it."""
    await asked(pair.replica, "ALTER SYSTEM SET primary_conninfo = ''")
    await asked(pair.replica, "SELECT pg_reload_conf()")
    await until_async(is_true(pair.primary, "SELECT count(*) = 0 FROM pg_stat_replication"))


async def test_what_was_lost_before_it_was_published_is_read_again(world: World, pair: Pair) -> None:
    """An asynchronous replica lacks the last commits; their records are in Kafka, and nobody has seen what they did."""
    history = History(seed=19, freelancers=30, jobs=80, events=900)
    half = list(history)[:450]
    await world.produce(half, by_key(PARTITIONS))
    first = await world.worker(batch_size=50, kill_at="before-kafka-transaction:4")
    await first.died_at("before-kafka-transaction")
    known = await world.value("SELECT max(batch_no) FROM batches")
    # The relay died before it published a batch that is committed; that one is on the replica, the next ones are not.
    await until_async(is_true(pair.replica, "SELECT pg_last_wal_replay_lsn() = pg_last_wal_receive_lsn()"))
    await stop_streaming(pair)
    await world.produce(list(history)[450:], by_key(PARTITIONS))
    second = await world.worker(batch_size=50, kill_at="before-kafka-transaction:1")
    await second.died_at("before-kafka-transaction")
    lost = await world.value("SELECT max(batch_no) FROM batches")
    await pair.fail_over()
    await comes_back(world)
    assert await world.value("SELECT max(batch_no) FROM batches") <= lost
    assert lost >= known
    third = await world.worker(batch_size=50)
    await world.settled()
    assert third.runs, third.tail()
    await check_everything(world)
    await check_by_verify(world)


async def test_what_was_lost_after_it_was_published_stops_the_worker_and_is_named(world: World, pair: Pair) -> None:
    """Consumers have seen versions that the promoted ledger does not know: deciding on would publish others."""
    history = list(History(seed=20, freelancers=30, jobs=80, events=900))
    await world.produce(history[:450], by_key(PARTITIONS))
    worker = await world.connects_run(free_port())
    await world.has_decided(450)
    await stop_streaming(pair)
    await world.produce(history[450:], by_key(PARTITIONS))
    await world.settled()  # so that it has nothing to write when the primary is lost
    await pair.fail_over()
    await comes_back(world)
    kept = await world.value("SELECT max(last_seq) FROM batches")
    assert kept < 900
    happens = Events()
    await world.produce([happens("freelancer-registered", freelancer_id="f-after")])
    await worker.ended()
    assert worker.said("the relay must not go on"), worker.tail()
    shown = await world.asking()("relay show --json")
    assert shown.json["consistent"] is False
    assert await world.value("SELECT max(last_seq) FROM batches") == kept, "nothing is decided on top of it"
    assert all(versions == sorted(set(versions)) for versions in world.reader.versions.values()), "each once, in order"
