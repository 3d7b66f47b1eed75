"""PostgreSQL goes away under load, in every way: nothing is lost, nothing is done twice, and work goes on by itself."""

import asyncio
import time
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

import asyncpg
import pytest

from tests.kit.cuts import Cut, cutting_commits
from tests.kit.histories import History
from tests.kit.http import ask, free_port
from tests.kit.invariants import check_by_verify, check_everything
from tests.kit.produce import by_key
from tests.kit.sizes import size
from tests.kit.waiting import until, until_async
from tests.kit.worker_process import WorkerProcess
from tests.kit.world import PARTITIONS, World
from worker.embedded.stack import LocalStack

pytestmark = pytest.mark.in_turn

HEALED_SECONDS: Final = 90  # I13 says 30 s; a machine that shares its cores is given three times that
"""I13."""
AWAY_SECONDS: Final = size("AWAY_SECONDS", 20, least=8)


def a_history(seed: int) -> History:
    return History(seed, freelancers=60, jobs=300, events=3_000)


@pytest.mark.parametrize("cut", ["before the server has it", "after the server did it"])
async def test_a_commit_of_unknown_outcome_is_neither_lost_nor_done_twice(world: World, cut: Cut) -> None:
    """F14: the connection ends at COMMIT, and only the ledger knows what became of it."""
    world.grace_seconds = 30
    history = History(seed=14, freelancers=25, jobs=60, events=600)
    async with cutting_commits(world.database_url, {2, 5, 6, 11}, cut) as (cutter, through_proxy):
        await world.produce(history, by_key(PARTITIONS))
        worker = await world.worker(database_url=through_proxy, batch_size=50)
        await until(lambda: cutter.cuts == 4)
        await world.settled()
        assert worker.runs
        assert worker.said("recovering"), worker.tail()
        await check_everything(world)
        await check_by_verify(world)
        await worker.kill()


async def test_a_deadlock_in_which_the_worker_is_the_victim_is_tried_again(world: World) -> None:
    """F15: somebody holds the positions, which a batch writes, and then wants the row of the leader, which it holds."""
    world.grace_seconds = 30
    name = urlsplit(world.database_url).path[1:]
    await world.execute(f"ALTER DATABASE {name} SET deadlock_timeout = '3s'")  # until then the other is there as well
    await world.produce(History(seed=16, freelancers=25, jobs=60, events=600), by_key(PARTITIONS))
    worker = await world.worker(batch_size=50)
    await world.has_decided(100)
    other = await asyncpg.connect(world.database_url)
    try:
        await other.execute("SET deadlock_timeout = '1min'")  # so that the other is not the victim
        async with other.transaction():
            await other.execute("SELECT FROM positions FOR UPDATE")
            await world.comes_true(lambda: waits_for_a_lock(world, worker))
            await other.execute("SELECT FROM leader FOR UPDATE")
    finally:
        other.terminate()
    await world.settled()
    assert worker.runs
    assert worker.said("deadlock detected"), worker.tail()
    await check_everything(world)


async def waits_for_a_lock(world: World, worker: WorkerProcess) -> bool:
    waits = "datname = current_database() AND application_name LIKE $1 AND wait_event_type = 'Lock'"
    counted = f"SELECT count(*) FROM pg_stat_activity WHERE {waits}"  # noqa: S608
    return await world.value(counted, f"%:{worker.holder}/%") > 0


@pytest.mark.parametrize(
    "code", ["serialization_failure", "deadlock_detected", "query_canceled", "insufficient_resources"]
)
async def test_a_batch_that_the_server_refuses_for_now_is_written_later(world: World, code: str) -> None:
    """F15: the worker reads committed rows, so only a trigger makes the server say the first of these."""
    world.grace_seconds = 30
    await world.execute("CREATE SEQUENCE batches_seen")
    await world.execute(
        "CREATE FUNCTION refuse_some() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF nextval('batches_seen') IN (2, 3, 7) THEN RAISE EXCEPTION 'refused for now' USING ERRCODE = "
        f"'{code}'; END IF; RETURN NEW; END $$"
    )
    await world.execute(
        "CREATE TRIGGER refuse_some BEFORE INSERT ON batches FOR EACH ROW EXECUTE FUNCTION refuse_some()"
    )
    await world.produce(History(seed=17, freelancers=25, jobs=60, events=600), by_key(PARTITIONS))
    worker = await world.worker(batch_size=50)
    await world.settled()
    assert worker.runs
    assert await world.value("SELECT last_value FROM batches_seen") > 10
    assert worker.said("refused for now"), worker.tail()
    await check_everything(world)


@pytest.mark.own_servers
@pytest.mark.parametrize("immediate", [True, False], ids=["immediate shutdown", "restart"])
async def test_a_database_restarted_under_load_is_waited_for(
    world: World, stack: LocalStack, *, immediate: bool
) -> None:
    """F13."""
    world.grace_seconds = 30
    await world.produce(a_history(13), by_key(PARTITIONS))
    worker = await world.worker(batch_size=20)
    for decided in (300, 1_500):
        await world.has_decided(decided)
        await asyncio.to_thread(stack.restart_postgres, immediate=immediate)
    healed = time.monotonic()
    await world.settled(HEALED_SECONDS)
    assert time.monotonic() - healed < HEALED_SECONDS
    assert worker.runs, "it went on by itself"
    await check_everything(world)


@pytest.mark.own_servers
async def test_readiness_is_false_while_the_database_or_the_broker_is_away(world: World, stack: LocalStack) -> None:
    """As `connects run` reports it; it recovers by itself."""
    port = free_port()
    await world.connects_run(port)

    async def ready() -> bool:
        return (await ask(port, "/health/ready"))[0] == HTTPStatus.OK

    async def not_ready() -> bool:
        return (await ask(port, "/health/ready"))[0] == HTTPStatus.SERVICE_UNAVAILABLE

    await world.comes_true(ready)
    for stop, start in (
        (stack.kill_postgres, stack.start_postgres),
        (stack.kill_kafka, stack.start_kafka),
    ):
        await asyncio.to_thread(stop)
        await until_async(not_ready)
        assert (await ask(port, "/health/live"))[0] == HTTPStatus.OK
        await asyncio.to_thread(start)
        await world.comes_true(ready)


@pytest.mark.own_servers
@pytest.mark.soak
async def test_a_database_away_for_long_under_load_is_waited_for(world: World, stack: LocalStack) -> None:
    world.grace_seconds = 30
    history = a_history(15)
    half = len(history) // 2
    await world.produce(history[:half], by_key(PARTITIONS))
    worker = await world.worker(batch_size=20)
    standby = await world.worker(batch_size=20)
    await world.has_decided(300)
    await asyncio.to_thread(stack.stop_postgres, immediate=True)
    gone = time.monotonic()
    await world.produce(history[half:], by_key(PARTITIONS))
    await until(lambda: time.monotonic() - gone > AWAY_SECONDS, AWAY_SECONDS + 5)
    await asyncio.to_thread(stack.start_postgres)
    await world.settled(HEALED_SECONDS)
    assert worker.runs
    assert standby.runs
    await check_everything(world)
